//! A copy for each reader of a constant that layers share: each is then quantized for its own input, trained and written by itself.
//!
//! A detector's head may run on several maps with one set of weights. Folded BatchNormalization, ranges and rounding differ from map to map,
//! so what a device holds are several sets; trained as several but stored as one, only the last would reach the file.

use std::collections::BTreeSet;

use crate::Op;
use crate::graph::{Graph, TensorId};

/// Whether an operator's constants are its parameters: folded, quantized or trained.
fn has_parameters(op: &Op) -> bool {
    !op.trained_inputs().is_empty() || !op.parameter_inputs().is_empty() || matches!(op, Op::MatMul(_))
}

impl Graph {
    /// Gives every reader but the first of a constant that is some node's parameter a copy, named for the node. Computes the same.
    #[must_use]
    pub fn own_parameters(mut self) -> Self {
        let mut parameters = BTreeSet::new();
        for node in self.nodes.iter().filter(|n| has_parameters(&n.op)) {
            parameters.extend(node.inputs.iter().copied().filter(|&t| self.constant(t).is_some()));
        }
        let mut read = BTreeSet::new();
        let mut names: BTreeSet<String> = self.tensors.iter().map(|t| t.name.clone()).collect();
        for n in 0..self.nodes.len() {
            for i in 0..self.nodes[n].inputs.len() {
                let shared = self.nodes[n].inputs[i];
                if !parameters.contains(&shared) || read.insert(shared) {
                    continue;
                }
                let wish = format!("{}/{}", self.tensors[shared.0].name, self.nodes[n].name);
                let numbered = std::iter::once(wish.clone()).chain((2..).map(|k| format!("{wish}_{k}")));
                let name = numbered.into_iter().find(|name| names.insert(name.clone())).unwrap_or(wish);
                let copy = TensorId(self.tensors.len());
                self.tensors.push(crate::Tensor { name, ..self.tensors[shared.0].clone() });
                if let Some(codes) = self.codes.get(&shared).cloned() {
                    self.codes.insert(copy, codes);
                }
                self.nodes[n].inputs[i] = copy;
            }
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use crate::GraphBuilder;

    #[test]
    fn every_reader_of_shared_weights_gets_its_own() {
        let mut b = GraphBuilder::new("g");
        let x = b.input("x", &[2, 3, 3]);
        let first = b.convolution("first", x, 2, [1, 1]).weights(vec![1.0; 4]).done().unwrap();
        let second = b.convolution("second", first, 2, [1, 1]).weights(vec![2.0; 4]).done().unwrap();
        b.output(second);
        let mut graph = b.finish().unwrap();
        let shared = graph.nodes[0].inputs[1];
        graph.nodes[1].inputs[1] = shared;
        let owned = graph.own_parameters();
        let weights = [0, 1].map(|n| owned.nodes()[n].inputs[1]);
        assert_ne!(weights[0], weights[1]);
        assert_eq!(weights.map(|w| owned.constant(w)), [Some(&[1.0; 4][..]); 2]);
        assert_eq!(owned.tensor(weights[1]).name, format!("{}/second", owned.tensor(weights[0]).name));
        assert_eq!(owned.clone().own_parameters(), owned, "nothing is shared any more");
    }
}
