//! Where values go: what leads only to outputs, and what reaches no operator in integers any more.

use crate::Op;
use crate::block::Unit;
use crate::graph::{Graph, TensorId};
use crate::op::{Activation, Binary, Interpolation, Reduction};

/// Of each tensor, where all that is computed of it goes.
pub(crate) struct Paths {
    /// Into outputs only, through operators without weights.
    to_output: Vec<bool>,
    /// Into outputs and float operators only, through functions of each element and operators that move elements.
    to_float: Vec<bool>,
    /// Into an exponential, through the same operators.
    to_exponential: Vec<bool>,
    /// Only into operators that take the greatest of several values or cut off what is below zero, moved or clipped from above on the way.
    to_greatest: Vec<bool>,
    /// Only into such, and functions that are flat far below zero.
    to_limit: Vec<bool>,
    /// Only into what asks whether a value is true, how two compare, or which element is meant.
    to_truth: Vec<bool>,
    /// Into a comparison of two computed tensors.
    to_comparison: Vec<bool>,
    /// Into the indices of a Lookup.
    to_index: Vec<bool>,
}

impl Paths {
    /// `is_float` says which units run in float whatever they read.
    pub fn of(graph: &Graph, units: &[Unit], is_float: impl Fn(usize) -> bool) -> Self {
        let count = graph.tensors().len();
        let mut paths = Paths {
            to_output: vec![true; count],
            to_float: vec![true; count],
            to_exponential: vec![false; count],
            to_greatest: vec![true; count],
            to_limit: vec![true; count],
            to_truth: vec![true; count],
            to_comparison: vec![false; count],
            to_index: vec![false; count],
        };
        for t in graph.outputs() {
            (paths.to_greatest[t.0], paths.to_limit[t.0], paths.to_truth[t.0]) = (false, false, false);
        }
        for (u, unit) in units.iter().enumerate().rev() {
            let (op, output) = (&graph.node(unit.core).op, unit.output(graph).0);
            let follows = moves(op) || is_function(op);
            let compares = matches!(op, Op::Binary(Binary::Relation(_))) && unit.inputs(graph).count() > 1;
            let inputs = graph.node(unit.core).inputs.iter().enumerate();
            for (position, t) in inputs.filter(|(_, t)| graph.constant(**t).is_none()) {
                paths.to_output[t.0] &= !has_weights(op) && paths.to_output[output];
                paths.to_float[t.0] &= is_float(u) || (follows && paths.to_float[output]);
                paths.to_exponential[t.0] |= is_exponential(op) || (follows && paths.to_exponential[output]);
                let moved = moves(op) || is_open_below(op);
                paths.to_greatest[t.0] &= takes_greatest(op) || (moved && paths.to_greatest[output]);
                paths.to_limit[t.0] &= takes_greatest(op) || is_flat(op) || (follows && paths.to_limit[output]);
                paths.to_truth[t.0] &= match op {
                    Op::Where(_) if position > 0 => paths.to_truth[output],
                    // Indices are asked for; the values go on.
                    Op::Lookup(_) => position == 1 || paths.to_truth[output],
                    _ => asks(op) || (follows && paths.to_truth[output]),
                };
                paths.to_index[t.0] |= if matches!(op, Op::Lookup(_)) { position == 1 } else { follows && paths.to_index[output] };
                paths.to_comparison[t.0] |= compares || (follows && !asks(op) && paths.to_comparison[output]);
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

    /// Whether a value below all others of the tensor may as well be the least of them.
    pub fn leads_to_greatest(&self, tensor: TensorId) -> bool {
        self.to_greatest[tensor.0]
    }

    /// Whether the tensor is only asked for truths, compared, or an index: codes gain nothing, and may change the answer.
    pub fn leads_to_truth(&self, tensor: TensorId) -> bool {
        self.to_truth[tensor.0]
    }

    /// Whether elements are picked by the tensor, or by what is computed of it: codes would pick others.
    pub fn leads_to_index(&self, tensor: TensorId) -> bool {
        self.to_index[tensor.0]
    }

    /// Whether it is compared with another computed tensor, where codes make equal what is not.
    pub fn leads_to_comparison(&self, tensor: TensorId) -> bool {
        self.to_comparison[tensor.0]
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

/// Each element of the result is a mean, or a sum, of several at and around its place.
pub(crate) fn is_mean(op: &Op) -> bool {
    match op {
        Op::Reduce(op) => matches!(op.function, Reduction::Mean | Reduction::Sum | Reduction::L2),
        other => matches!(other, Op::AveragePool(_) | Op::GlobalAveragePool(_) | Op::Resize(_)),
    }
}

/// What is below the others is not the greatest, or gives 0 as they do.
pub(crate) fn takes_greatest(op: &Op) -> bool {
    match op {
        Op::Activation(Activation::Relu) | Op::MaxPool(_) | Op::ArgMax(_) => true,
        Op::Activation(Activation::Clip { min, .. }) => *min >= 0.0,
        Op::Reduce(op) => op.function == Reduction::Max,
        _ => false,
    }
}

/// A clip that lets low values through.
fn is_open_below(op: &Op) -> bool {
    matches!(op, Op::Activation(Activation::Clip { min: f32::NEG_INFINITY, .. }))
}

/// Values far below the others give the limit at −∞.
pub(crate) fn is_flat(op: &Op) -> bool {
    match op {
        Op::Activation(a) => matches!(
            a,
            Activation::Clip { min: f32::MIN.., .. }
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
        other => matches!(other, Op::Softmax(_)),
    }
}

/// Reads truths, which are other than 0, or compares. Of a Where only the condition is such.
pub(crate) fn asks(op: &Op) -> bool {
    match op {
        Op::Activation(a) => a.is_truth(),
        other => matches!(other, Op::Binary(Binary::Relation(_)) | Op::Where(_)),
    }
}

/// A layer: a product, a normalisation, or a recurrent one.
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
            | Op::Recurrent(_)
    )
}
