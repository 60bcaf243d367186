//! Restoring BatchNormalization where it was folded into weights: conv → conv, BatchNormalization that undoes itself.
//!
//! With μ and σ² of the channel's values and γ = √(σ²+ε), β = μ, `γ·(v − μ)/√(σ²+ε) + β` is v: the network computes the same, but trains in
//! the parametrisation that batches normalise.

use std::collections::BTreeMap;

use crate::block::units;
use crate::graph::{Graph, Node, NodeId, Tensor, TensorId};
use crate::op::BatchNormalization;
use crate::{GraphError, Op, Shape, Target};

/// ε and momentum of what is restored: those that exporters write by default.
const RESTORED: BatchNormalization = BatchNormalization { epsilon: 1e-5, momentum: 0.9 };

/// Mean and variance of each channel of a node's output.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ChannelStatistics {
    /// μ.
    pub mean: Vec<f32>,
    /// σ².
    pub variance: Vec<f32>,
}

impl Graph {
    /// The convolutions and Gemms with weights whose outputs are not normalised. A last layer, from which an output is reached without
    /// joining another tensor, is left out: networks have no BatchNormalization there.
    pub fn not_normalized(&self) -> Vec<NodeId> {
        let last = self.last_layers();
        let has_none =
            |unit: &crate::Unit| unit.batch_norm.is_none() && matches!(self.node(unit.core).op, Op::Convolution(_) | Op::Gemm(_));
        let trained = |block: crate::Block| self.stored_codes(block.weight).is_none();
        let found = units(self, &Target::onnxruntime()).into_iter();
        found.filter(|u| has_none(u) && u.block(self).is_some_and(trained) && !last[u.core.0]).map(|u| u.core).collect()
    }

    /// Of each node, whether an output is reached from it through nodes of one input.
    fn last_layers(&self) -> Vec<bool> {
        let mut reaches = vec![false; self.tensors.len()];
        self.outputs.iter().for_each(|t| reaches[t.0] = true);
        let mut last = vec![false; self.nodes.len()];
        for (n, node) in self.nodes.iter().enumerate().rev() {
            if !reaches[node.output.0] {
                continue;
            }
            last[n] = true;
            let mut varying = node.inputs.iter().filter(|t| self.constant(**t).is_none());
            let computes = matches!(node.op, Op::Convolution(_) | Op::Gemm(_) | Op::MatMul(_));
            if let (Some(only), None, false) = (varying.next(), varying.next(), computes) {
                reaches[only.0] = true;
            }
        }
        last
    }

    /// The same network with the outputs of these nodes as its outputs, in their order.
    pub fn with_outputs(mut self, nodes: &[NodeId]) -> Graph {
        self.outputs = nodes.iter().map(|n| self.node(*n).output).collect();
        self
    }

    /// Puts a BatchNormalization that undoes itself behind each of these nodes.
    ///
    /// # Errors
    /// Statistics that do not have the channels of their node, or a name that is taken.
    pub fn restore_batch_norm(mut self, statistics: &[(NodeId, ChannelStatistics)]) -> Result<Graph, GraphError> {
        let statistics: BTreeMap<usize, &ChannelStatistics> = statistics.iter().map(|(n, s)| (n.0, s)).collect();
        let mut nodes = Vec::with_capacity(self.nodes.len() + statistics.len());
        for (n, mut node) in std::mem::take(&mut self.nodes).into_iter().enumerate() {
            let Some(statistics) = statistics.get(&n) else {
                nodes.push(node);
                continue;
            };
            let (name, output) = (format!("{}.batch_norm", node.name), node.output);
            let shape = self.tensors[output.0].shape.clone();
            let channels = shape.0.get(1).and_then(|d| d.fixed()).unwrap_or(0);
            node.output = self.new_tensor(format!("{name}.input"), shape, None)?;
            let deviation = statistics.variance.iter().map(|v| (v + RESTORED.epsilon).sqrt()).collect();
            let parameters = [
                ("gamma", deviation),
                ("beta", statistics.mean.clone()),
                ("mean", statistics.mean.clone()),
                ("variance", statistics.variance.clone()),
            ];
            let mut inputs = vec![node.output];
            for (parameter, values) in parameters {
                let tensor = format!("{name}.{parameter}");
                if values.len() != channels {
                    return Err(GraphError::ConstantLength { tensor, found: values.len(), expected: channels });
                }
                inputs.push(self.new_tensor(tensor, Shape::fixed(&[channels]), Some(values))?);
            }
            nodes.push(node);
            nodes.push(Node { name, op: Op::BatchNormalization(RESTORED), inputs, output });
        }
        self.nodes = nodes;
        Ok(self)
    }

    fn new_tensor(&mut self, name: String, shape: Shape, constant: Option<Vec<f32>>) -> Result<TensorId, GraphError> {
        if self.find(&name).is_some() {
            return Err(GraphError::DefinedTwice { tensor: name });
        }
        self.tensors.push(Tensor { name, shape, constant });
        Ok(TensorId(self.tensors.len() - 1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::GraphBuilder;

    /// Two convolutions, the second of which may be normalised, a pool and a classifier.
    fn network(normalized: bool) -> Graph {
        let mut b = GraphBuilder::new("g");
        let x = b.input("x", &[3, 8, 8]);
        let y = b.convolution("first", x, 4, [1, 1]).done().unwrap();
        let y = b.relu("relu", y).unwrap();
        let mut z = b.convolution("second", y, 4, [1, 1]).done().unwrap();
        if normalized {
            z = b.batch_norm("bn", z).unwrap();
        }
        let z = b.add("add", z, y).unwrap();
        let z = b.global_average_pool("pool", z).unwrap();
        let z = b.flatten("flat", z).unwrap();
        let z = b.gemm("classifier", z, 2, vec![0.0; 8], vec![0.0; 2]).unwrap();
        let z = b.relu("clip", z).unwrap();
        b.output(z);
        b.finish().unwrap()
    }

    fn names(graph: &Graph) -> Vec<&str> {
        graph.not_normalized().into_iter().map(|n| graph.node(n).name.as_str()).collect()
    }

    #[test]
    fn layers_without_normalisation_are_found_but_not_the_last() {
        assert_eq!(names(&network(false)), ["first", "second"]);
        assert_eq!(names(&network(true)), ["first"]);
    }

    #[test]
    fn what_is_restored_undoes_itself_and_is_found_no_more() {
        let graph = network(false);
        let statistics = ChannelStatistics { mean: vec![1.0, 2.0, 0.0, -1.0], variance: vec![4.0, 0.0, 1.0, 9.0] };
        let statistics = [(graph.not_normalized()[1], statistics)];
        let graph = graph.restore_batch_norm(&statistics).unwrap();
        assert_eq!(names(&graph), ["first"]);
        let at = graph.nodes().iter().position(|n| matches!(n.op, Op::BatchNormalization(_))).unwrap();
        let (before, node) = (&graph.nodes()[at - 1], &graph.nodes()[at]);
        assert_eq!((before.name.as_str(), node.inputs[0]), ("second", before.output));
        assert_eq!(graph.tensor(node.output).name, "second");
        let values = |i: usize| graph.constant(node.inputs[i]).unwrap();
        let norm = crate::fold::BatchNorm { gamma: values(1), beta: values(2), mean: values(3), variance: values(4), epsilon: 1e-5 };
        assert_eq!(norm.factors(), [1.0; 4]);
        assert_eq!(norm.mean, norm.beta);
    }

    #[test]
    fn statistics_of_other_channels_are_refused() {
        let graph = network(false);
        let node = graph.not_normalized()[0];
        let found = graph.restore_batch_norm(&[(node, ChannelStatistics::default())]);
        assert!(matches!(found, Err(GraphError::ConstantLength { found: 0, expected: 4, .. })));
    }
}
