//! Quantizers of values of which the largest decide: the winner among thousands of classes is one value in thousands, and so is the one
//! anchor with an object. What leaves such values out of a range as rare ones changes the answer.

use crate::placement::{is_function, moves};
use crate::{Op, QuantGraph, QuantizerId};

impl QuantGraph {
    /// Of each activation quantizer, whether its tensor is an output, is read by a Softmax or ArgMax, or leads to nothing but such, by
    /// functions of elements and by moves.
    pub fn decisive(&self) -> Vec<bool> {
        let graph = self.graph();
        let count = graph.tensors().len();
        let (mut decides, mut only_leads, mut is_read) = (vec![false; count], vec![true; count], vec![false; count]);
        graph.outputs().iter().for_each(|t| decides[t.0] = true);
        for node in graph.nodes().iter().rev() {
            let output = node.output.0;
            let decisive = decides[output] || is_read[output] && only_leads[output];
            for t in &node.inputs {
                is_read[t.0] = true;
                decides[t.0] |= matches!(node.op, Op::Softmax(_) | Op::ArgMax(_));
                only_leads[t.0] &= decisive && leads(&node.op);
            }
        }
        let mut of_quantizer = vec![false; self.quantizers().len()];
        for (t, tensor) in self.of_tensor.iter().enumerate() {
            if let Some(QuantizerId(q)) = tensor {
                of_quantizer[*q] |= decides[t] || is_read[t] && only_leads[t];
            }
        }
        of_quantizer
    }
}

/// Operators that hand single values on, changed or not.
fn leads(op: &Op) -> bool {
    moves(op) || is_function(op) || matches!(op, Op::Softmax(_) | Op::ArgMax(_))
}

#[cfg(test)]
mod tests {
    use crate::op::{Activation, Softmax};
    use crate::{GraphBuilder, Op, QuantGraph, Settings, Target};

    #[test]
    fn what_leads_to_outputs_and_softmaxes_decides_and_what_layers_read_does_not() {
        let mut b = GraphBuilder::new("g");
        let x = b.input("x", &[3, 8, 8]);
        let body = b.convolution("body", x, 4, [1, 1]).done().unwrap();
        let body = b.relu("relu", body).unwrap();
        let skip = b.add("skip", body, body).unwrap();
        let flat = b.flatten("flat", skip).unwrap();
        let logits = b.gemm("logits", flat, 5, vec![0.1; 5 * 256], vec![0.0; 5]).unwrap();
        let probabilities = b.node("softmax", Op::Softmax(Softmax::along(1)), &[logits], "softmax").unwrap();
        let scores = b.gemm("scores", flat, 5, vec![0.1; 5 * 256], vec![0.0; 5]).unwrap();
        let scores = b.node("sigmoid", Op::Activation(Activation::Sigmoid), &[scores], "sigmoid").unwrap();
        b.output(probabilities);
        b.output(scores);
        let net = QuantGraph::prepare(b.finish().unwrap(), Target::onnxruntime(), &Settings::default()).unwrap();
        let found: Vec<(&str, bool)> = net.quantizers().iter().map(|q| q.tensor.as_str()).zip(net.decisive()).collect();
        let expected = [("x", false), ("relu", false), ("skip", false), ("logits", true), ("scores", true), ("sigmoid", true)];
        assert_eq!(found, expected);
    }
}
