//! Damaged files for the tests of everything that reads files: the damage, and a watch over what reading it takes.
//!
//! [`Trials`] makes files, hands each to what is tested, and fails where that panics, takes long, or takes more memory than it may. Of every
//! kind of file `cargo test` runs a thousand; more, or others, by
//!
//! ```sh
//! QUANTRAIN_DAMAGED_COUNT=100000 QUANTRAIN_DAMAGED_SEED=7 cargo test --release -p CRATE --test damaged -- --ignored --nocapture
//! ```

pub mod bytes;
mod generator;
pub mod memory;
mod text;
mod trial;

pub use generator::Generator;
pub use text::extremes;
pub use trial::{Trials, alone};
