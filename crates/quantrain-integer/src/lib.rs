//! Lowers a [`QuantGraph`](quantrain_graph::QuantGraph) to an integer program, and runs it: what a device computes.
//!
//! Quantized tensors are integers (8 bits in a byte, 16 in two; fewer bits in a byte), weights and biases are integers, sums have 32 bits, or
//! 64 where 32 may not hold them, and a code arises from a sum by the formula of the target ([`Formula`]). What the target leaves in float
//! runs in float, dequantized before and quantized after.
//!
//! Images lie as NHWC inside, and so do the images passed in and handed out, as in the engine; other tensors lie in ONNX's order.
//!
//! ```
//! use quantrain_graph::{GraphBuilder, QuantGraph, Range, Settings, Target};
//! use quantrain_integer::IntegerProgram;
//!
//! let mut b = GraphBuilder::new("tiny");
//! let x = b.input("x", &[2, 1, 1]);
//! let y = b.convolution("y", x, 1, [1, 1]).weights(vec![1.0, -0.5]).done()?;
//! b.output(y);
//! let mut net = QuantGraph::prepare(b.finish()?, Target::named("onnxruntime-vnni")?, &Settings::default())?;
//! net.quantizers_mut().iter_mut().for_each(|q| q.range = Some(Range::new(-1.0, 1.0)));
//! let program = IntegerProgram::lower(&net)?;
//! let y = program.run(1, &[&[0.5, 0.25]], &mut ())?;
//! assert!((y[0][0] - 0.375).abs() < 0.01);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! | module | what it does |
//! |---|---|
//! | `lower`, `program` | from a network to steps, and the walk through them |
//! | `block` | convolutions and products with weights; bounds of their sums |
//! | [`instruction`] | the program as data, to be printed |
//! | `requantize` | from sums to codes: the formulas of the targets |
//! | `op` | everything without weights, a file for each family |
//! | [`tidl`] | the arithmetic of TIDL by itself, to read |
//!
//! This crate knows neither gradients nor files.
#![forbid(unsafe_code)]

mod block;
mod buffer;
mod error;
mod grid;
pub mod instruction;
mod lower;
mod op;
mod program;
mod requantize;
#[doc = include_str!("../../../docs/tidl-arithmetic.md")]
pub mod tidl;

pub use block::{Accumulator, Arithmetic, BlockReport, Products};
pub use error::{LowerError, RunError};
pub use program::{CodeMonitor, IntegerProgram};
pub use quantrain_lowering::Unsupported;
pub use requantize::{FixedPoint, Formula};
