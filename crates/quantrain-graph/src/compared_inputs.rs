//! Inputs of the network that are compared, beside layers that read their codes.
//!
//! Pixels of 0 to 255 that become −2 to 2 lie between the codes, as 0 has one: half a step is enough for a threshold to fall on the other side.
//! Comparisons then read the input as it is, and all others an Identity of it, which has the codes.

use crate::graph::{Graph, Node, NodeId, TensorId};
use crate::placement::{Paths, asks, has_weights};
use crate::{Op, Target, Tensor, Unit, block};

impl Graph {
    /// Puts an Identity between each such input and its readers in integers. Computes the same.
    #[must_use]
    pub(crate) fn split_compared_inputs(mut self, target: &Target) -> Self {
        if !target.quantizes_input() {
            return self;
        }
        for input in self.inputs.clone() {
            let units = block::units(&self, target);
            let paths = Paths::of(&self, &units, |_| false);
            let is_compared = |&n: &NodeId| self.is_compared_by(input, n, &units, &paths);
            let (compared, others): (Vec<NodeId>, Vec<NodeId>) = self.readers(input).partition(is_compared);
            if compared.is_empty() || others.is_empty() || self.outputs.contains(&input) {
                continue;
            }
            let wish = codes_of(&self.tensors[input.0].name);
            let numbered = std::iter::once(wish.clone()).chain((2..).map(|k| format!("{wish}_{k}")));
            let Some(name) = numbered.into_iter().find(|name| self.find(name).is_none()) else { continue };
            let codes = TensorId(self.tensors.len());
            self.tensors.push(Tensor { name: name.clone(), ..self.tensors[input.0].clone() });
            for n in others {
                self.nodes[n.0].inputs.iter_mut().filter(|t| **t == input).for_each(|t| *t = codes);
            }
            self.nodes.insert(0, Node { name, op: Op::Identity, inputs: vec![input], output: codes });
        }
        self
    }

    /// Whether a node is an Identity that [`Graph::split_compared_inputs`] has put behind an input, and not one of the file's.
    pub(crate) fn gives_codes(&self, node: NodeId) -> bool {
        let Node { op, inputs, output, .. } = self.node(node);
        let of_input = |t: &TensorId| self.inputs.contains(t) && self.tensor(*output).name.starts_with(&codes_of(&self.tensor(*t).name));
        *op == Op::Identity && inputs.first().is_some_and(of_input)
    }

    /// Whether a node only asks for truths of the input, or computes what is only asked for such.
    fn is_compared_by(&self, input: TensorId, node: NodeId, units: &[Unit], paths: &Paths) -> bool {
        let Some(unit) = units.iter().find(|unit| unit.core == node) else { return false };
        let Node { op, inputs, .. } = self.node(node);
        let is_condition = !matches!(op, Op::Where(_)) || inputs.iter().skip(1).all(|t| *t != input);
        let is_index = matches!(op, Op::Lookup(_)) && inputs.get(1) == Some(&input);
        is_index || asks(op) && is_condition || !has_weights(op) && paths.leads_to_truth(unit.output(self))
    }
}

/// How the codes of an input are named.
fn codes_of(input: &str) -> String {
    format!("{input}.codes")
}

#[cfg(test)]
mod tests {
    use crate::op::{Binary, Relation, Where};
    use crate::{GraphBuilder, Op, QuantGraph, Settings, Target};

    #[test]
    fn a_comparison_reads_an_input_as_it_is_and_a_layer_its_codes() {
        let mut b = GraphBuilder::new("g");
        let x = b.input("x", &[2, 4, 4]);
        let zero = b.constant("zero", &[1], vec![0.0]).unwrap();
        let layer = b.convolution("layer", x, 2, [1, 1]).done().unwrap();
        let truth = b.node("truth", Op::Binary(Binary::Relation(Relation::Less)), &[x, zero], "truth").unwrap();
        let y = b.node("y", Op::Where(Where), &[truth, layer, zero], "y").unwrap();
        let y = b.convolution("behind", y, 2, [1, 1]).done().unwrap();
        b.output(y);
        let net = QuantGraph::prepare(b.finish().unwrap(), Target::onnxruntime(), &Settings::default()).unwrap();
        let quantized = |name: &str| net.graph().find(name).is_some_and(|t| net.quantizer_of(t).is_some());
        assert_eq!(["x", "x.codes", "layer"].map(quantized), [false, true, true]);
        let inputs = |name: &str| {
            let node = net.graph().nodes().iter().find(|n| n.name == name).unwrap();
            net.graph().tensor(node.inputs[0]).name.clone()
        };
        assert_eq!(["layer", "truth"].map(inputs), ["x.codes", "x"]);
    }

    #[test]
    fn an_identity_of_the_file_takes_no_quantizer_from_the_input() {
        let mut b = GraphBuilder::new("g");
        let x = b.input("x", &[2, 4, 4]);
        let same = b.node("same", Op::Identity, &[x], "same").unwrap();
        let y = b.convolution("layer", x, 2, [1, 1]).done().unwrap();
        b.output(same);
        b.output(y);
        let net = QuantGraph::prepare(b.finish().unwrap(), Target::onnxruntime(), &Settings::default()).unwrap();
        assert!(net.quantizer_of(x).is_some(), "the layer reads codes");
    }

    #[test]
    fn an_input_that_is_not_compared_keeps_its_quantizer() {
        let mut b = GraphBuilder::new("g");
        let x = b.input("x", &[2, 4, 4]);
        let y = b.convolution("layer", x, 2, [1, 1]).done().unwrap();
        b.output(y);
        let net = QuantGraph::prepare(b.finish().unwrap(), Target::onnxruntime(), &Settings::default()).unwrap();
        assert!(net.quantizer_of(x).is_some() && net.graph().find("x.codes").is_none());
    }
}
