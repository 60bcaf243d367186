//! The command `quantrain`, as a program.
#![forbid(unsafe_code)]

use std::process::ExitCode;

fn main() -> ExitCode {
    ExitCode::from(quantrain_cli::main(std::env::args_os()))
}
