//! BatchNormalization for networks whose own was folded away: measured, and so that the network computes the same.

use quantrain_data::{Batch, DataError};
use quantrain_engine::{Mode, Network, Purpose};
use quantrain_graph::{ChannelStatistics, Graph, NodeId, QuantGraph};

use crate::runner::{Runner, read_outputs};
use crate::{RunError, check_images};

/// Puts a BatchNormalization behind every layer that [`Graph::not_normalized`] names, with the statistics of the float network on
/// `batches` and an affine map that undoes it.
///
/// # Errors
/// A batch cannot be read or does not fit the network, or there is none.
pub fn restore_batch_norm(graph: Graph, batches: impl Iterator<Item = Result<Batch, DataError>>) -> Result<Graph, RunError> {
    let mut statistics = LayerStatistics::new(graph);
    for batch in batches {
        let batch = batch?;
        check_images(&statistics.network, &batch)?;
        statistics.add(batch.size, &batch.inputs())?;
    }
    statistics.restored()
}

/// The statistics of layers without BatchNormalization, as samples come in.
pub(crate) struct LayerStatistics {
    graph: Graph,
    nodes: Vec<NodeId>,
    network: Network,
    runner: Runner,
    sums: Vec<Vec<Moments>>,
    outputs: Vec<Vec<f32>>,
}

impl LayerStatistics {
    /// Of the float network; nothing seen yet.
    pub fn new(graph: Graph) -> Self {
        let nodes = graph.not_normalized();
        let network = Network::new(QuantGraph::float(graph.clone().with_outputs(&nodes)));
        let sums = vec![Vec::new(); nodes.len()];
        LayerStatistics { graph, nodes, network, runner: Runner::new(Purpose::Inference), sums, outputs: Vec::new() }
    }

    /// Runs `size` samples, whose values are given for each input as they lie in memory.
    ///
    /// # Errors
    /// See [`Network::forward`].
    pub fn add(&mut self, size: usize, inputs: &[&[f32]]) -> Result<(), RunError> {
        let (plan, workspace) = self.runner.plan(&self.network, size)?;
        self.network.forward(plan, workspace, Mode::FLOAT, inputs, &mut ())?;
        read_outputs(&self.network, plan, workspace, &mut self.outputs);
        for ((sums, values), &node) in self.sums.iter_mut().zip(&self.outputs).zip(&self.nodes) {
            sums.resize(channels(&self.graph, node), Moments::default());
            add(sums, values);
        }
        Ok(())
    }

    /// The network with a BatchNormalization behind each of these layers.
    ///
    /// # Errors
    /// There was no sample, or a name is taken.
    pub fn restored(self) -> Result<Graph, RunError> {
        if self.sums.first().is_some_and(Vec::is_empty) {
            return Err(RunError::NoImages);
        }
        let statistics: Vec<_> = self.nodes.into_iter().zip(self.sums.iter().map(|sums| statistics(sums))).collect();
        Ok(self.graph.restore_batch_norm(&statistics)?)
    }
}

/// As [`restore_batch_norm`] with made-up statistics, for a network that gets its numbers from a checkpoint.
///
/// # Errors
/// A name is taken.
pub(crate) fn restore_structure(graph: Graph) -> Result<Graph, RunError> {
    let unit = |node: NodeId| {
        let channels = channels(&graph, node);
        (node, ChannelStatistics { mean: vec![0.0; channels], variance: vec![1.0; channels] })
    };
    let statistics: Vec<_> = graph.not_normalized().into_iter().map(unit).collect();
    Ok(graph.restore_batch_norm(&statistics)?)
}

fn channels(graph: &Graph, node: NodeId) -> usize {
    graph.tensor(graph.node(node).output).shape.0.get(1).and_then(|d| d.fixed()).unwrap_or(1)
}

/// Of one channel.
#[derive(Clone, Copy, Debug, Default)]
struct Moments {
    values: f64,
    sum: f64,
    squares: f64,
}

/// Adds values whose channels are innermost.
fn add(sums: &mut [Moments], values: &[f32]) {
    for pixel in values.chunks_exact(sums.len().max(1)) {
        for (sum, &value) in sums.iter_mut().zip(pixel) {
            let value = f64::from(value);
            sum.values += 1.0;
            sum.sum += value;
            sum.squares += value * value;
        }
    }
}

fn statistics(sums: &[Moments]) -> ChannelStatistics {
    let mean = |m: &Moments| m.sum / m.values;
    // One value has no variance; 1 is what normalisation starts with.
    let variance = |m: &Moments| if m.values > 1.0 { (m.squares / m.values - mean(m) * mean(m)).max(0.0) } else { 1.0 };
    ChannelStatistics { mean: sums.iter().map(|m| mean(m) as f32).collect(), variance: sums.iter().map(|m| variance(m) as f32).collect() }
}

#[cfg(test)]
mod tests {
    use quantrain_graph::GraphBuilder;

    use super::*;

    fn network() -> Graph {
        let mut b = GraphBuilder::new("g");
        let x = b.input("x", &[1, 2, 2]);
        let y = b.convolution("conv", x, 2, [1, 1]).weights(vec![2.0, -1.0]).bias(vec![0.5, 0.0]).done().unwrap();
        let y = b.relu("relu", y).unwrap();
        let y = b.convolution("last", y, 1, [1, 1]).weights(vec![1.0, 3.0]).done().unwrap();
        b.output(y);
        b.finish().unwrap()
    }

    fn batch() -> Batch {
        Batch { size: 1, height: 2, width: 2, channels: 1, images: vec![1.0, 2.0, -3.0, 0.25], ..Batch::default() }
    }

    #[test]
    fn the_network_computes_the_same_and_knows_its_statistics() {
        let restored = restore_batch_norm(network(), [Ok(batch())].into_iter()).unwrap();
        let run = |graph: &Graph| {
            let mut network = Network::new(QuantGraph::float(graph.clone()));
            Runner::new(Purpose::Inference).output(&mut network, Mode::FLOAT, 1, &batch().images, 0, &mut ()).unwrap()
        };
        let (before, after) = (run(&network()), run(&restored));
        assert!(before.iter().zip(&after).all(|(b, a)| (b - a).abs() < 1e-5), "{before:?} {after:?}");
        // Of the pixels: mean 1/16, mean of squares 3.515625. A channel of one weight is scaled to √2, and its bias is gone.
        let norm = &restored.nodes()[1];
        let (mean, variance) = (restored.constant(norm.inputs[3]).unwrap(), restored.constant(norm.inputs[4]).unwrap());
        let expected = 3.515625 - 0.0625f32 * 0.0625;
        assert!((mean[0] - 0.125 / 2f32.sqrt()).abs() < 1e-6 && (mean[1] + 0.0625 * 2f32.sqrt()).abs() < 1e-6, "{mean:?}");
        assert!(variance.iter().all(|v| (v - 2.0 * expected).abs() < 1e-5), "{variance:?}");
    }

    #[test]
    fn without_images_there_is_nothing_to_measure() {
        assert!(matches!(restore_batch_norm(network(), std::iter::empty()), Err(RunError::NoImages)));
    }
}
