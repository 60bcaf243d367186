//! Signals. Of Ctrl-C and SIGTERM the first asks to stop at the next batch, the second stops at once. SIGHUP stays as it is, for `nohup`.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, LazyLock};

use signal_hook::consts::{SIGINT, SIGTERM, SIGXFSZ};
use signal_hook::{SigId, flag, low_level};

use crate::error::CliError;

/// The exit code after a signal, as shells have it for SIGINT.
pub const EXIT_CODE: u8 = 130;

static REQUESTED: LazyLock<Arc<AtomicBool>> = LazyLock::new(Arc::default);

/// Signals are listened to for as long as this lives.
pub struct Listening(Vec<SigId>);

impl Drop for Listening {
    fn drop(&mut self) {
        for id in self.0.drain(..) {
            low_level::unregister(id);
        }
    }
}

/// Listens from now on.
pub fn listen() -> Result<Listening, CliError> {
    REQUESTED.store(false, Ordering::Relaxed);
    let mut listening = Listening(Vec::new());
    let failed = |source| CliError::Signal { source };
    for signal in [SIGINT, SIGTERM] {
        // In this order: the first signal finds the flag down, the second finds it up.
        listening.0.push(flag::register_conditional_shutdown(signal, i32::from(EXIT_CODE), Arc::clone(&REQUESTED)).map_err(failed)?);
        listening.0.push(flag::register(signal, Arc::clone(&REQUESTED)).map_err(failed)?);
    }
    Ok(listening)
}

/// Lets a write beyond the size that files may have fail with an error that is told, instead of ending the process.
pub fn outlive_file_limits() -> Result<(), CliError> {
    flag::register(SIGXFSZ, Arc::default()).map(drop).map_err(|source| CliError::Signal { source })
}

/// Whether the user asked to stop.
pub fn requested() -> bool {
    REQUESTED.load(Ordering::Relaxed)
}
