//! Where values go: what leads only to outputs, and what reaches no operator in integers any more.

use crate::Op;
use crate::block::Unit;
use crate::graph::{Graph, TensorId};
use crate::op::{Activation, Interpolation, Reduction};

/// Of each tensor, where all that is computed of it goes.
pub(crate) struct Paths {
    /// Into outputs only, through operators without weights.
    to_output: Vec<bool>,
    /// Into outputs and float operators only, through functions of each element and operators that move elements.
    to_float: Vec<bool>,
    /// Into an exponential, through the same operators.
    to_exponential: Vec<bool>,
    /// Only into functions that are flat far below zero, or take the greatest of several values.
    to_limit: Vec<bool>,
}

impl Paths {
    /// `is_float` says which units run in float whatever they read.
    pub fn of(graph: &Graph, units: &[Unit], is_float: impl Fn(usize) -> bool) -> Self {
        let count = graph.tensors().len();
        let mut paths = Paths {
            to_output: vec![true; count],
            to_float: vec![true; count],
            to_exponential: vec![false; count],
            to_limit: vec![true; count],
        };
        graph.outputs().iter().for_each(|t| paths.to_limit[t.0] = false);
        for (u, unit) in units.iter().enumerate().rev() {
            let (op, output) = (&graph.node(unit.core).op, unit.output(graph).0);
            let follows = moves(op) || is_function(op);
            for t in unit.inputs(graph) {
                paths.to_output[t.0] &= !has_weights(op) && paths.to_output[output];
                paths.to_float[t.0] &= is_float(u) || (follows && paths.to_float[output]);
                paths.to_exponential[t.0] |= is_exponential(op) || (follows && paths.to_exponential[output]);
                paths.to_limit[t.0] &= is_limited(op) || (moves(op) && paths.to_limit[output]);
            }
        }
        paths
    }

    /// Whether the tensor leads to outputs only, and no layer with weights is on the way.
    pub fn leads_to_output(&self, tensor: TensorId) -> bool {
        self.to_output[tensor.0]
    }

    /// Whether no operator in integers needs codes of the tensor, or of what is computed of it element by element.
    pub fn leads_to_float(&self, tensor: TensorId) -> bool {
        self.to_float[tensor.0]
    }

    /// Whether the tensor is read by a Softmax or another exponential.
    pub fn leads_to_exponential(&self, tensor: TensorId) -> bool {
        self.to_exponential[tensor.0]
    }

    /// Whether it makes no difference how far below the others a value of the tensor is.
    pub fn leads_to_limit(&self, tensor: TensorId) -> bool {
        self.to_limit[tensor.0]
    }
}

/// The results are values of the inputs.
pub(crate) fn moves(op: &Op) -> bool {
    match op {
        Op::Resize(op) => matches!(op.interpolation, Interpolation::Nearest(_)),
        Op::Reduce(op) => matches!(op.function, Reduction::Max | Reduction::Min),
        other => matches!(
            other,
            Op::Concat(_)
                | Op::MaxPool(_)
                | Op::Slice(_)
                | Op::Pad(_)
                | Op::Reshape(_)
                | Op::Flatten(_)
                | Op::Transpose(_)
                | Op::DepthToSpace(_)
                | Op::SpaceToDepth(_)
                | Op::Gather(_)
                | Op::Tile(_)
                | Op::Expand(_)
                | Op::Identity
        ),
    }
}

/// Each element of the result is a function of the elements at its place.
pub(crate) fn is_function(op: &Op) -> bool {
    matches!(op, Op::Activation(_) | Op::Binary(_) | Op::Where(_))
}

fn is_exponential(op: &Op) -> bool {
    matches!(op, Op::Softmax(_) | Op::Activation(Activation::Exp))
}

/// Values far below the others give the limit at −∞, or are not the greatest.
fn is_limited(op: &Op) -> bool {
    match op {
        Op::Activation(a) => matches!(
            a,
            Activation::Relu
                | Activation::Clip { .. }
                | Activation::Sigmoid
                | Activation::HardSigmoid { .. }
                | Activation::HardSwish
                | Activation::Tanh
                | Activation::Elu { .. }
                | Activation::Selu { .. }
                | Activation::Celu { .. }
                | Activation::Gelu { .. }
                | Activation::Silu
                | Activation::Softplus
                | Activation::Mish
                | Activation::Exp
        ),
        Op::Reduce(op) => op.function == Reduction::Max,
        other => matches!(other, Op::MaxPool(_) | Op::ArgMax(_) | Op::Softmax(_)),
    }
}

/// A layer: a product, or a normalisation.
pub(crate) fn has_weights(op: &Op) -> bool {
    matches!(
        op,
        Op::Convolution(_)
            | Op::ConvTranspose(_)
            | Op::Gemm(_)
            | Op::MatMul(_)
            | Op::BatchNormalization(_)
            | Op::LayerNormalization(_)
            | Op::InstanceNormalization(_)
    )
}
