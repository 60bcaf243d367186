//! Restoring BatchNormalization where it was folded into weights: conv → conv with weights of a standard size, BatchNormalization.
//!
//! Each channel's weights w̃ are divided by s, so that they have the norm √2 that He et al. start from, and its bias b becomes 0. With μ and σ²
//! of the channel's values, `γ = s·√(σ²/s² + ε)`, `β = μ` and statistics (μ − b)/s and σ²/s² give back what was: the network computes the
//! same, but trains in the parametrisation that batches normalise, where a step turns weights by an angle that does not depend on how large w̃
//! was. A channel that is almost dead (w̃ near 0) keeps a small γ and stays quiet, as in the network it came from; its bias, divided by so
//! small an s, would drown its values in single precision.

use std::collections::BTreeMap;

use crate::block::{Block, units};
use crate::graph::{Graph, Node, NodeId, Tensor, TensorId};
use crate::op::BatchNormalization;
use crate::{GraphError, Op, Shape, Target};

/// ε and momentum of what is restored: those that exporters write by default.
const RESTORED: BatchNormalization = BatchNormalization { epsilon: 1e-5, momentum: 0.9 };

/// Whether BatchNormalization behind an operator is folded into its weights.
fn folds(op: &Op) -> bool {
    matches!(op, Op::Convolution(_) | Op::ConvTranspose(_) | Op::Gemm(_))
}

/// Mean and variance of each channel of a node's output.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ChannelStatistics {
    /// μ.
    pub mean: Vec<f32>,
    /// σ².
    pub variance: Vec<f32>,
}

impl Graph {
    /// The convolutions, transposed ones too, and Gemms with weights whose outputs are not normalised. A last layer, from which an output is reached without
    /// joining another tensor, is left out: networks have no BatchNormalization there.
    pub fn not_normalized(&self) -> Vec<NodeId> {
        let last = self.last_layers();
        let has_none = |unit: &crate::Unit| unit.batch_norm.is_none() && folds(&self.node(unit.core).op);
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
            let computes = folds(&node.op) || matches!(node.op, Op::MatMul(_));
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

    /// Puts a BatchNormalization behind each of these nodes, given the statistics of their outputs, and rescales their weights to norm √2; the
    /// network computes the same.
    ///
    /// # Errors
    /// Statistics that do not have the channels of their node, or a name that is taken.
    pub fn restore_batch_norm(mut self, statistics: &[(NodeId, ChannelStatistics)]) -> Result<Graph, GraphError> {
        self = self.own_parameters();
        let blocks: BTreeMap<usize, Block> =
            units(&self, &Target::onnxruntime()).iter().filter_map(|u| Some((u.core.0, u.block(&self)?))).collect();
        let statistics: BTreeMap<usize, &ChannelStatistics> = statistics.iter().map(|(n, s)| (n.0, s)).collect();
        let mut nodes = Vec::with_capacity(self.nodes.len() + statistics.len());
        for (n, mut node) in self.nodes.clone().into_iter().enumerate() {
            let (Some(statistics), Some(block)) = (statistics.get(&n), blocks.get(&n)) else {
                nodes.push(node);
                continue;
            };
            let (name, output) = (format!("{}.batch_norm", node.name), node.output);
            for values in [&statistics.mean, &statistics.variance] {
                if values.len() != block.channels {
                    let (tensor, found, expected) = (format!("{name}.mean"), values.len(), block.channels);
                    return Err(GraphError::ConstantLength { tensor, found, expected });
                }
            }
            let Rescaled { scales, bias } = self.rescale(block);
            let mean = statistics.mean.iter().zip(&bias).zip(&scales).map(|((m, b), s)| (m - b) / s).collect();
            // Not by s²: it may be too small for single precision.
            let variance: Vec<f32> = statistics.variance.iter().zip(&scales).map(|(v, s)| v / s / s).collect();
            let gamma = variance.iter().zip(&scales).map(|(v, s)| s * (v + RESTORED.epsilon).sqrt()).collect();
            let shape = self.tensors[output.0].shape.clone();
            node.output = self.new_tensor(format!("{name}.input"), shape, None)?;
            let mut inputs = vec![node.output];
            for (parameter, values) in [("gamma", gamma), ("beta", statistics.mean.clone()), ("mean", mean), ("variance", variance)] {
                inputs.push(self.new_tensor(format!("{name}.{parameter}"), Shape::fixed(&[block.channels]), Some(values))?);
            }
            nodes.push(node);
            nodes.push(Node { name, op: Op::BatchNormalization(RESTORED), inputs, output });
        }
        self.nodes = nodes;
        Ok(self)
    }

    /// Divides the weights of each channel by its scale, and takes its bias away.
    fn rescale(&mut self, block: &Block) -> Rescaled {
        let stored = self.constant(block.weight).map_or_else(Vec::new, <[f32]>::to_vec);
        let mut weights = block.layout.channels_first(&stored, block.channels);
        let per_channel = (weights.len() / block.channels.max(1)).max(1);
        // 1 where the weights are all 0.
        let of_channel = |row: &[f32]| {
            let square: f64 = row.iter().map(|w| f64::from(*w).powi(2)).sum();
            if square > f64::from(f32::MIN_POSITIVE) { (square / 2.0).sqrt() as f32 } else { 1.0 }
        };
        let scales: Vec<f32> = weights.chunks(per_channel).map(of_channel).collect();
        for (row, scale) in weights.chunks_mut(per_channel).zip(&scales) {
            row.iter_mut().for_each(|w| *w /= scale);
        }
        self.tensors[block.weight.0].constant = Some(block.layout.stored(&weights, block.channels));
        let none = vec![0.0; block.channels];
        let bias = block.bias.and_then(|t| self.tensors[t.0].constant.as_mut());
        Rescaled { scales, bias: bias.map_or_else(|| none.clone(), |values| std::mem::replace(values, none.clone())) }
    }

    fn new_tensor(&mut self, name: String, shape: Shape, constant: Option<Vec<f32>>) -> Result<TensorId, GraphError> {
        if self.find(&name).is_some() {
            return Err(GraphError::DefinedTwice { tensor: name });
        }
        self.tensors.push(Tensor { name, shape, constant });
        Ok(TensorId(self.tensors.len() - 1))
    }
}

/// What was taken out of each channel of a block.
struct Rescaled {
    scales: Vec<f32>,
    bias: Vec<f32>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::GraphBuilder;

    /// Two convolutions, the second of which may be normalised, a pool and a classifier.
    fn network(normalized: bool) -> Graph {
        let mut b = GraphBuilder::new("g");
        let x = b.input("x", &[3, 8, 8]);
        let y = b.convolution("first", x, 4, [1, 1]).weights(vec![1.0; 12]).done().unwrap();
        let y = b.relu("relu", y).unwrap();
        // Of the channels' weights, the norms are 2, 1, 0 and 4.
        let weights = vec![1.0, 1.0, 1.0, 1.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, -4.0, 0.0];
        let mut z = b.convolution("second", y, 4, [1, 1]).weights(weights).bias(vec![4.0, 3.0, 2.0, 1.0]).done().unwrap();
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
        let (weight, bias) = (graph.constant(before.inputs[1]).unwrap(), graph.constant(before.inputs[2]).unwrap());
        let norms: Vec<f32> = weight.chunks(4).map(|w| w.iter().map(|w| w * w).sum::<f32>()).collect();
        assert!(norms.iter().zip([2.0, 2.0, 0.0, 2.0]).all(|(found, expected)| (found - expected).abs() < 1e-5), "{norms:?}");
        let folded = crate::fold::fold(weight.to_vec(), Some(bias), 4, Some(&norm));
        let original = network(false);
        let constant = |i: usize| original.constant(original.node(original.not_normalized()[1]).inputs[i]).unwrap();
        assert!(folded.weight.iter().zip(constant(1)).all(|(f, w)| (f - w).abs() < 1e-5), "{folded:?}");
        assert!(folded.bias.iter().zip(constant(2)).all(|(f, b)| (f - b).abs() < 1e-4), "{folded:?}");
    }

    #[test]
    fn statistics_of_other_channels_are_refused() {
        let graph = network(false);
        let node = graph.not_normalized()[0];
        let found = graph.restore_batch_norm(&[(node, ChannelStatistics::default())]);
        assert!(matches!(found, Err(GraphError::ConstantLength { found: 0, expected: 4, .. })));
    }
}
