//! Signals. Of Ctrl-C and SIGTERM the first asks to stop at the next batch, the second stops at once. SIGHUP stays as it is, for `nohup`.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, LazyLock};

use signal_hook::consts::{SIGINT, SIGTERM, SIGXFSZ};
use signal_hook::flag;

use crate::error::CliError;

/// The exit code after a signal, as shells have it for SIGINT.
pub const EXIT_CODE: u8 = 130;

static REQUESTED: LazyLock<Arc<AtomicBool>> = LazyLock::new(Arc::default);

/// Listens from now on.
pub fn listen() -> Result<(), CliError> {
    for signal in [SIGINT, SIGTERM] {
        // In this order: the first signal finds the flag down, the second finds it up.
        flag::register_conditional_shutdown(signal, i32::from(EXIT_CODE), Arc::clone(&REQUESTED))
            .and_then(|_| flag::register(signal, Arc::clone(&REQUESTED)))
            .map_err(|source| CliError::Signal { source })?;
    }
    Ok(())
}

/// Lets a write beyond the size that files may have fail with an error that is told, instead of ending the process.
pub fn outlive_file_limits() -> Result<(), CliError> {
    flag::register(SIGXFSZ, Arc::default()).map(drop).map_err(|source| CliError::Signal { source })
}

/// Whether the user asked to stop.
pub fn requested() -> bool {
    REQUESTED.load(Ordering::Relaxed)
}
