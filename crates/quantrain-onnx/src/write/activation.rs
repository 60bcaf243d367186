//! Functions of each element: one node, or a chain of nodes where the operator set has none.

use quantrain_graph::op::Activation;

use super::chain::Chain;
use super::model::{ModelWriter, float, int, text};
use crate::proto::{AttributeProto, data_type};

/// Adds an activation function; the last of its nodes has the name.
pub(super) fn write(w: &mut ModelWriter, name: &str, activation: &Activation, x: String, output: &str) {
    let mut chain = Chain { w, name, output };
    match *activation {
        Activation::Silu => {
            let gate = chain.step("Sigmoid", vec![x.clone()], vec![]);
            chain.last("Mul", vec![x, gate], vec![]);
        }
        Activation::HardSwish if chain.w.opset < 14 => {
            let gate = chain.step("HardSigmoid", vec![x.clone()], vec![float("alpha", 1.0 / 6.0), float("beta", 0.5)]);
            chain.last("Mul", vec![x, gate], vec![]);
        }
        Activation::Mish if chain.w.opset < 18 => {
            let soft = chain.step("Softplus", vec![x.clone()], vec![]);
            let gate = chain.step("Tanh", vec![soft], vec![]);
            chain.last("Mul", vec![x, gate], vec![]);
        }
        Activation::Gelu { tanh } if chain.w.opset < 20 => chain.gelu(tanh, x),
        Activation::Trunc => {
            let whole = chain.step("Cast", vec![x], vec![int("to", data_type::INT64.into())]);
            chain.last("Cast", vec![whole], vec![int("to", data_type::FLOAT.into())]);
        }
        Activation::Not => {
            let x = chain.w.truth(x);
            chain.w.truths("Not", name, vec![x], output, vec![]);
        }
        Activation::IsNaN => chain.w.truths("IsNaN", name, vec![x], output, vec![]),
        Activation::IsInf { negative, positive } => {
            let attributes = vec![int("detect_negative", negative.into()), int("detect_positive", positive.into())];
            chain.w.truths("IsInf", name, vec![x], output, attributes);
        }
        _ => {
            let mut inputs = vec![x];
            let attributes = attributes(chain.w, name, activation, &mut inputs);
            chain.last(activation.name(), inputs, attributes);
        }
    }
}

fn attributes(w: &mut ModelWriter, name: &str, activation: &Activation, inputs: &mut Vec<String>) -> Vec<AttributeProto> {
    match *activation {
        Activation::Clip { min, max } => {
            for (what, limit) in [("min", min), ("max", max)] {
                let open = limit.is_infinite();
                inputs.push(if open { String::new() } else { w.floats(&format!("{name}.{what}"), &[], &[limit]) });
            }
            while inputs.last().is_some_and(String::is_empty) {
                inputs.pop();
            }
            Vec::new()
        }
        Activation::Pow { exponent } => {
            inputs.push(w.floats(&format!("{name}.exponent"), &[], &[exponent]));
            Vec::new()
        }
        Activation::Shrink { bias, lambd } => vec![float("bias", bias), float("lambd", lambd)],
        Activation::ThresholdedRelu { alpha }
        | Activation::LeakyRelu { alpha }
        | Activation::Elu { alpha }
        | Activation::Celu { alpha } => vec![float("alpha", alpha)],
        Activation::Selu { alpha, gamma } => vec![float("alpha", alpha), float("gamma", gamma)],
        Activation::HardSigmoid { alpha, beta } => vec![float("alpha", alpha), float("beta", beta)],
        Activation::Gelu { tanh } => vec![text("approximate", if tanh { "tanh" } else { "none" })],
        _ => Vec::new(),
    }
}

impl Chain<'_, '_> {
    /// `x·(1 + f)/2` as exporters write it, f the error function or the approximation.
    fn gelu(&mut self, tanh: bool, x: String) {
        let f = if tanh {
            let cube = self.with("Pow", x.clone(), 3.0);
            let cube = self.with("Mul", cube, 0.044_715);
            let sum = self.step("Add", vec![x.clone(), cube], vec![]);
            let sum = self.with("Mul", sum, 0.797_884_6);
            self.step("Tanh", vec![sum], vec![])
        } else {
            let scaled = self.with("Div", x.clone(), std::f32::consts::SQRT_2);
            self.step("Erf", vec![scaled], vec![])
        };
        let gate = self.with("Add", f, 1.0);
        let product = self.step("Mul", vec![x, gate], vec![]);
        let half = self.number(0.5);
        self.last("Mul", vec![product, half], vec![]);
    }
}
