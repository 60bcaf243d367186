//! Prints an [`IntegerProgram`](quantrain_integer::IntegerProgram) as C99: one source file and one header, without a library and without a
//! heap. The codes are those of the program, bit for bit.
//!
//! ```
//! use quantrain_graph::{GraphBuilder, QuantGraph, Range, Settings, Target};
//! use quantrain_integer::IntegerProgram;
//!
//! let mut b = GraphBuilder::new("tiny");
//! let x = b.input("x", &[2, 1, 1]);
//! let y = b.convolution("y", x, 1, [1, 1]).weights(vec![1.0, -0.5]).done()?;
//! b.output(y);
//! let mut net = QuantGraph::prepare(b.finish()?, Target::named("tidl-pow2")?, &Settings::default())?;
//! net.quantizers_mut().iter_mut().for_each(|q| q.range = Some(Range::new(-1.0, 1.0)));
//! let files = quantrain_c::print(&IntegerProgram::lower(&net)?, "tiny")?;
//! assert!(files.header.contains("int tiny_run(const int8_t *x, int8_t *y);"));
//! assert!(!files.footprint.floats);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! | module | what it does |
//! |---|---|
//! | `fuse` | additions that become a block's last step |
//! | `statement` | what each instruction is in C: the place to add one |
//! | `part` | the C functions under `src/c`, and which need which |
//! | `memory` | where tensors lie in the arena |
//! | `border` | inputs and outputs by their types |
//! | `print`, `text` | both files; numbers, names and comments as C spells them |
//!
//! This crate writes no file, and knows neither gradients nor ONNX.
#![forbid(unsafe_code)]

mod border;
mod error;
mod footprint;
mod fuse;
mod memory;
mod part;
mod print;
mod statement;
mod text;

pub use error::CError;
pub use footprint::Footprint;
pub use print::{footprint, print};
pub use text::identifier;

/// Both files, and what they take.
#[derive(Clone, Debug)]
pub struct CFiles {
    /// What files and function are called: a C identifier.
    pub name: String,
    /// The text of `NAME.h`.
    pub header: String,
    /// The text of `NAME.c`, which includes `NAME.h`.
    pub source: String,
    /// RAM, flash, multiplications.
    pub footprint: Footprint,
}
