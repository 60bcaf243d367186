//! The program as data, one instruction a unit: what the program runs, for others to read and to print.

use quantrain_graph::TensorId;
pub use quantrain_kernels::pooling::PoolShape;

pub use crate::block::{Codes, IntegerBlock, Output};
pub use crate::buffer::Kind;
pub use crate::grid::Grid;
pub use crate::op::{
    Average, Extreme, FloatFormula, Gather, InSteps, IntegerFormula, IntegerSum, Join, Linear, Moved, Mover, Nearest, OfCodes, OfIntegers,
    OfSamples, Operator, Reorder, SameShape, Sum, Table, Windows,
};
pub use crate::requantize::Requantizer;

/// The work of one unit.
pub struct Instruction {
    /// The unit's node, by which messages name it.
    pub node: String,
    /// The node's operator in ONNX's words.
    pub operator: &'static str,
    /// What it reads, constants left out.
    pub inputs: Vec<TensorId>,
    /// What it writes.
    pub output: TensorId,
    /// How.
    pub work: Work,
}

/// What an instruction does.
pub enum Work {
    /// A convolution or a product with integer weights.
    Block(IntegerBlock),
    /// One with weights that the target leaves in float, or whose input it does.
    FloatBlock,
    /// Everything without weights.
    Operator(Operator),
}
