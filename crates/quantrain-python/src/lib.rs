//! The native module `quantrain._native`: what the Python package calls. Its face for users is in `python/quantrain`.
//!
//! | module | what it does |
//! |---|---|
//! | `incoming` | arrays of others, read through `__array_interface__` or DLPack |
//! | `outgoing` | arrays of ours, seen through both |
//! | `settings` | keyword arguments as a recipe |
//! | `session` | a network in a training loop |
//! | `optimizer` | the recipe's optimizers |
//! | `training` | the command `train` with a loss, a metric and a listener in Python |
//! | `failure` | errors as the exceptions of `quantrain.errors` |

mod failure;
mod incoming;
mod optimizer;
mod outgoing;
mod session;
mod settings;
mod training;

use std::ffi::OsString;

use pyo3::prelude::*;

/// Runs the command `quantrain` with these arguments, the program's name first; gives the exit code.
#[pyfunction]
fn main(py: Python<'_>, arguments: Vec<OsString>) -> u8 {
    py.detach(|| quantrain_cli::main(arguments))
}

/// Native part of quantrain.
#[pymodule]
fn _native(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add("__version__", env!("CARGO_PKG_VERSION"))?;
    module.add_class::<outgoing::Array>()?;
    module.add_class::<session::Session>()?;
    module.add_class::<optimizer::Optimizer>()?;
    module.add_function(wrap_pyfunction!(main, module)?)?;
    module.add_function(wrap_pyfunction!(settings::setting_names, module)?)?;
    module.add_function(wrap_pyfunction!(training::train, module)?)?;
    Ok(())
}
