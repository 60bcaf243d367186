//! The intermediate representation of Quantrain: what a network is, before anything runs it.
//!
//! A [`Graph`] holds typed nodes and named tensors in ONNX's words (channels first, original names kept).
//! [`Target`] says, as data, what a runtime quantizes; [`QuantGraph::prepare`] groups the graph into blocks, places quantizers by the
//! target's rules and lists what stays in float and why. The arithmetic of one quantizer is [`Quantizer`]; folding and quantizing a
//! block's weights is [`fold`].
//!
//! This crate knows neither kernels nor files.
//!
//! ```
//! use quantrain_graph::{GraphBuilder, QuantGraph, Settings, Target};
//!
//! let mut b = GraphBuilder::new("tiny");
//! let x = b.input("x", &[3, 8, 8]);
//! let y = b.convolution("conv", x, 4, [3, 3]).padding([1, 1, 1, 1]).done()?;
//! let y = b.relu("relu", y)?;
//! b.output(y);
//! let net = QuantGraph::prepare(b.finish()?, Target::onnxruntime(), &Settings::default())?;
//! assert_eq!(net.quantizers().len(), 2); // the input and the block's output
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
#![forbid(unsafe_code)]

mod adopt;
pub mod bias;
mod block;
mod builder;
mod compared_inputs;
mod decisive;
mod error;
pub mod fold;
mod graph;
mod idle;
mod levels;
mod norm_block;
pub mod op;
mod operator_kernels;
mod own_parameters;
pub mod pairs;
mod parts;
pub mod pass;
mod passed;
mod placement;
mod quant_graph;
mod quantizer;
mod restore;
mod scheme;
mod separation;
mod shape;
mod take_over;
mod target;

pub use block::{Block, Unit, WeightLayout};
pub use builder::GraphBuilder;
pub use error::{GraphError, PlacementError, QuantizerError, ShapeError, TargetError};
pub use graph::{ElementType, Graph, Node, NodeId, Note, StoredCodes, Tensor, TensorId};
pub use op::Op;
pub use operator_kernels::{KernelLibrary, OperatorKernels};
pub use parts::{Part, Parts};
pub use pass::Fusion;
pub use passed::{Passed, PassedOutput};
pub use placement::{LayerSettings, Settings, TensorSettings};
pub use quant_graph::{ActivationQuantizer, BlockCodes, FloatReason, QuantGraph, QuantizedBlock, QuantizerId, WeightQuantizer};
pub use quantizer::{Quantizer, Range};
pub use restore::ChannelStatistics;
pub use scheme::{BiasLimit, ChannelScales, Granularity, Rounding, ScaleKind, Scheme, Sign};
pub use separation::{AxisExtents, Remedy, Separation, Spread};
pub use shape::{Dim, Shape};
pub use take_over::FileQuantizers;
pub use target::{Placement, Requantize, Target};
