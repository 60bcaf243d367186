//! Writes an [`IntegerProgram`](quantrain_integer::IntegerProgram) as a TensorFlow Lite file of codes of 8 bits: the instructions of the program
//! as operators, images as NHWC, weights and biases as the program holds them. The codes that TensorFlow Lite for microcontrollers computes of it
//! are those of the program (`tests-python/tflite_files.py`).
//!
//! ```
//! use quantrain_graph::{GraphBuilder, QuantGraph, Range, Settings, Target};
//! use quantrain_integer::IntegerProgram;
//!
//! let mut b = GraphBuilder::new("tiny");
//! let x = b.input("x", &[2, 1, 1]);
//! let y = b.convolution("y", x, 1, [1, 1]).weights(vec![1.0, -0.5]).done()?;
//! b.output(y);
//! let mut net = QuantGraph::prepare(b.finish()?, Target::named("tflite-micro")?, &Settings::default())?;
//! net.quantizers_mut().iter_mut().for_each(|q| q.range = Some(Range::new(-1.0, 1.0)));
//! let file = quantrain_tflite::write(&IntegerProgram::lower(&net)?)?;
//! assert_eq!(file[4..8], *b"TFL3");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! | module | what it does |
//! |---|---|
//! | `flatbuffer` | tables as bytes |
//! | `schema` | numbers of fields and operators: the place to add an operator's options |
//! | `model` | tensors, buffers and operators on their way |
//! | `operator` | what each instruction is in TensorFlow Lite: the place to add one |
//!
//! This crate writes no file, and knows neither gradients nor ONNX.
#![forbid(unsafe_code)]

mod error;
mod flatbuffer;
mod model;
mod operator;
mod schema;

pub use error::TfliteError;
pub use model::write;
