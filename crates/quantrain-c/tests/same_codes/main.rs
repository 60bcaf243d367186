//! The C files against the integer program, code for code: compiled without a warning, run under sanitizers.
//!
//! | module | what it holds |
//! |---|---|
//! | `draft` | a network on its way, with values spread over their ranges |
//! | `compiled` | the C compiler, and a program around the printed function |
//! | `networks` | small networks that hold every form that is printed |
//! | `refused` | what has no C form, and what is said of it |

mod compiled;
mod draft;
mod networks;
mod refused;
