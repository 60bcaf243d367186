//! Normalisations by each sample's own statistics: one node, or a chain of nodes where the operator set has none.

use quantrain_graph::op::Epsilon;
use quantrain_graph::{Node, Op, Shape};

use super::chain::Chain;
use super::error::WriteError;
use super::model::{ModelWriter, float, int, ints};
use super::operator::{TWO_FREE, shape_of};
use crate::proto::AttributeProto;

/// Adds a normalisation; the last of its nodes has the name.
pub(super) fn write(w: &mut ModelWriter, node: &Node, x: &Shape, inputs: Vec<String>, output: &str) -> Result<(), WriteError> {
    let opset = w.opset;
    let mut chain = Chain { w, name: &node.name, output };
    let own = |epsilon, attributes: Vec<AttributeProto>| [attributes, vec![float("epsilon", epsilon)]].concat();
    match &node.op {
        Op::LayerNormalization(op) => match op.epsilon.of_variance().filter(|_| opset >= 17) {
            Some(epsilon) => chain.last("LayerNormalization", inputs, own(epsilon, vec![int("axis", op.axis)])),
            None => chain.normalised(inputs, op.axis, x, op.epsilon, true),
        },
        Op::RmsNormalization(op) => match op.epsilon.of_variance().filter(|_| opset >= 23) {
            Some(epsilon) => chain.last("RMSNormalization", inputs, own(epsilon, vec![int("axis", op.axis)])),
            None => chain.normalised(inputs, op.axis, x, op.epsilon, false),
        },
        Op::GroupNormalization(op) if opset >= 21 => {
            chain.last("GroupNormalization", inputs, own(op.epsilon, vec![int("num_groups", op.groups as i64)]));
        }
        Op::GroupNormalization(op) => {
            let no_form = || WriteError::NoForm { node: node.name.clone(), operator: node.op.name(), reason: TWO_FREE };
            chain.in_groups(inputs, op.groups, op.epsilon, x).ok_or_else(no_form)?;
        }
        Op::InstanceNormalization(op) => chain.last("InstanceNormalization", inputs, own(op.epsilon, vec![])),
        other => return Err(WriteError::NoForm { node: node.name.clone(), operator: other.name(), reason: "it is no normalisation" }),
    }
    Ok(())
}

impl Chain<'_, '_> {
    /// A mean over the axes from one on.
    fn mean(&mut self, x: String, axis: i64, rank: usize) -> String {
        let rank = rank as i64;
        let axes: Vec<i64> = (if axis < 0 { axis + rank } else { axis }..rank).collect();
        let keep = int("keepdims", 1);
        if self.w.opset < 18 {
            return self.step("ReduceMean", vec![x], vec![keep, ints("axes", axes)]);
        }
        let axes = self.w.integers(&format!("{}.axes", self.name), &axes);
        self.step("ReduceMean", vec![x, axes], vec![keep])
    }

    /// `(x − mean)/√(variance + ε)·s + b` as exporters write it; without the mean where it is not centred.
    fn normalised(&mut self, inputs: Vec<String>, axis: i64, shape: &Shape, epsilon: Epsilon, centred: bool) {
        let mut inputs = inputs.into_iter();
        let (Some(mut x), Some(scale)) = (inputs.next(), inputs.next()) else { return };
        if centred {
            let mean = self.mean(x.clone(), axis, shape.rank());
            x = self.step("Sub", vec![x, mean], vec![]);
        }
        let square = self.step("Mul", vec![x.clone(), x.clone()], vec![]);
        let variance = self.mean(square, axis, shape.rank());
        let deviation = match epsilon {
            Epsilon::OfVariance(e) => {
                let sum = self.with("Add", variance, e);
                self.step("Sqrt", vec![sum], vec![])
            }
            Epsilon::OfDeviation(e) => {
                let root = self.step("Sqrt", vec![variance], vec![]);
                self.with("Add", root, e)
            }
            Epsilon::Least(e) => {
                let kept = self.with("Max", variance, e);
                self.step("Sqrt", vec![kept], vec![])
            }
        };
        let quotient = self.step("Div", vec![x, deviation], vec![]);
        match inputs.next() {
            None => self.last("Mul", vec![quotient, scale], vec![]),
            Some(offset) => {
                let product = self.step("Mul", vec![quotient, scale], vec![]);
                self.last("Add", vec![product, offset], vec![]);
            }
        }
    }

    /// Groups as the channels of an InstanceNormalization, then scale and offset of the channels. `None` where the shape cannot be written.
    fn in_groups(&mut self, inputs: Vec<String>, groups: usize, epsilon: f32, x: &Shape) -> Option<()> {
        let [x_name, scale, offset] = <[String; 3]>::try_from(inputs).ok()?;
        let back = shape_of(x)?;
        let there = self.w.integers(&format!("{}.groups", self.name), &[0, groups as i64, -1]);
        let back = self.w.integers(&format!("{}.shape", self.name), &back);
        let own = [("ones", 1.0), ("zeros", 0.0)].map(|(what, value)| {
            let wish = format!("quantrain.{groups}.{what}");
            self.w.shared(&wish, |w, wish| w.floats(wish, &[groups], &vec![value; groups]))
        });
        let grouped = self.step("Reshape", vec![x_name, there], vec![]);
        let [ones, zeros] = own;
        let normalised = self.step("InstanceNormalization", vec![grouped, ones, zeros], vec![float("epsilon", epsilon)]);
        let whole = self.step("Reshape", vec![normalised, back], vec![]);
        let along = [-1].into_iter().chain(std::iter::repeat_n(1, x.rank().saturating_sub(2))).collect::<Vec<i64>>();
        let [scale, offset] = [("scale", scale), ("offset", offset)].map(|(what, of)| {
            let along = self.w.integers(&format!("{}.{what}.shape", self.name), &along);
            self.step("Reshape", vec![of, along], vec![])
        });
        let product = self.step("Mul", vec![whole, scale], vec![]);
        self.last("Add", vec![product, offset], vec![]);
        Some(())
    }
}
