//! The activations that a quantizer's lowest code took the place of: tools leave Relu, and often Relu6, out where QuantizeLinear clamps anyway.

use crate::graph::{Graph, TensorId};
use crate::op::{Activation, Binary, FakeQuantize, PadMode, Reduction};
use crate::{Op, Quantizer};

/// The limit of Relu6.
const SIX: f32 = 6.0;

/// Of each tensor that a quantizer without codes below zero sees, the activation that its values pass there; none where they are above zero
/// as they are. `whole` are the quantizers.
pub(super) fn left_out(graph: &Graph, whole: &[Option<Quantizer>]) -> Vec<Option<Activation>> {
    let mut above_zero: Vec<bool> =
        graph.tensors().iter().map(|t| t.constant.as_ref().is_some_and(|values| values.iter().all(|&v| v >= 0.0))).collect();
    let mut found = vec![None; above_zero.len()];
    for node in graph.nodes() {
        let inputs: Vec<bool> = node.inputs.iter().map(|t| above_zero[t.0]).collect();
        let TensorId(output) = node.output;
        above_zero[output] = stays_above_zero(&node.op, &inputs);
        found[output] = whole[output].filter(|_| !above_zero[output]).as_ref().and_then(clip);
    }
    found
}

/// What a quantizer clamps to, as the activation that stood there.
pub(super) fn clip(q: &Quantizer) -> Option<Activation> {
    let reaches_six = (q.range().max - SIX).abs() <= q.scale();
    let activation = if reaches_six { Activation::Clip { min: 0.0, max: SIX } } else { Activation::Relu };
    (q.qmin() == q.zero_point()).then_some(activation)
}

/// Whether no result is below zero, given which inputs are not.
fn stays_above_zero(op: &Op, inputs: &[bool]) -> bool {
    let all = inputs.iter().all(|&i| i);
    match op {
        Op::FakeQuantize(FakeQuantize { quantizers }) => all || quantizers.iter().all(|q| q.qmin() == q.zero_point()),
        Op::Activation(Activation::Clip { min, max }) => *min >= 0.0 || all && *max >= 0.0,
        Op::Activation(
            Activation::Relu
            | Activation::Sigmoid
            | Activation::HardSigmoid { .. }
            | Activation::Softplus
            | Activation::Exp
            | Activation::Sqrt
            | Activation::Abs,
        ) => true,
        Op::Activation(Activation::Neg | Activation::Log) => false,
        Op::Binary(Binary::Max) => inputs.contains(&true),
        Op::Binary(Binary::Sub) => false,
        Op::Softmax(op) => !op.log,
        Op::Reduce(op) if op.function == Reduction::L2 => true,
        Op::Pad(op) => all && !matches!(op.mode, PadMode::Constant(value) if value < 0.0),
        Op::Resize(op) => all && !matches!(op.interpolation, crate::op::Interpolation::Cubic { .. }),
        Op::BatchNormalization(_) | Op::LayerNormalization(_) | Op::InstanceNormalization(_) => false,
        Op::StraightThrough(_) | Op::Propagate(_) | Op::Recurrent(_) => false,
        // Sums of products, averages and what moves elements.
        _ => all,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{GraphBuilder, Rounding};

    fn byte(scale: f32, zero: i32) -> Quantizer {
        Quantizer::new(scale, zero, 0, 255, Rounding::HalfToEven).unwrap()
    }

    #[test]
    fn relu_is_found_where_values_may_be_below_zero() {
        let mut b = GraphBuilder::new("g");
        let x = b.input("x", &[3, 4, 4]);
        let y = b.convolution("conv", x, 2, [1, 1]).weights(vec![-1.0; 6]).done().unwrap();
        let z = b.relu("relu", y).unwrap();
        let mean = b.global_average_pool("mean", z).unwrap();
        let sum = b.add("sum", mean, mean).unwrap();
        b.output(sum);
        let graph = b.finish().unwrap();
        let of = |q: Quantizer| {
            let found = left_out(&graph, &vec![Some(q); graph.tensors().len()]);
            [x, y, z, mean, sum].map(|t| found[t.0])
        };
        assert_eq!(of(byte(0.1, 0)), [None, Some(Activation::Relu), None, None, None], "inputs are what they are");
        assert_eq!(of(byte(6.0 / 255.0, 0))[1], Some(Activation::Clip { min: 0.0, max: 6.0 }));
        assert_eq!(of(byte(0.1, 3)), [None; 5], "there are codes below zero");
    }
}
