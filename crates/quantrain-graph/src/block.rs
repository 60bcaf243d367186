//! Groups nodes into units: what is computed in one go and quantized once, at its output.

use crate::graph::{Graph, NodeId, TensorId};
use crate::op::Gemm;
use crate::{Op, Target};

/// A node with what is fused into it. Where the node has weights, the unit is a *block*.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unit {
    /// The node that computes.
    pub core: NodeId,
    /// The BatchNormalization folded into the weights.
    pub batch_norm: Option<NodeId>,
    /// The clip fused into the output (Relu, Clip).
    pub activation: Option<NodeId>,
}

/// Where the parameters of a block are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Block {
    /// The weights.
    pub weight: TensorId,
    /// The bias.
    pub bias: Option<TensorId>,
    /// Number of output channels.
    pub channels: usize,
    /// The order of the stored weights.
    pub layout: WeightLayout,
}

/// The order of the weights that a graph holds; everything that folds and quantizes sees channels first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WeightLayout {
    /// `[channels, inputs of a group, kh, kw]`, or `[channels, inputs]`.
    ChannelsFirst,
    /// `[inputs, channels of a group, kh, kw]` of a transposed convolution, or `[inputs, channels]` of a product.
    InputsFirst {
        /// Number of groups.
        groups: usize,
        /// Elements of the kernel.
        pixels: usize,
    },
}

impl WeightLayout {
    /// The axis of output channels.
    pub fn channel_axis(self) -> usize {
        usize::from(self != WeightLayout::ChannelsFirst)
    }

    /// Stored weights of `channels` output channels, as channels first.
    pub fn channels_first<T: Copy>(self, stored: &[T], channels: usize) -> Vec<T> {
        match self {
            WeightLayout::ChannelsFirst => stored.to_vec(),
            WeightLayout::InputsFirst { groups, pixels } => {
                let inputs = stored.len() / (channels * pixels);
                exchanged(stored, inputs, channels / groups, pixels)
            }
        }
    }

    /// Weights given channels first, as they are stored.
    pub fn stored<T: Copy>(self, channels_first: &[T], channels: usize) -> Vec<T> {
        match self {
            WeightLayout::ChannelsFirst => channels_first.to_vec(),
            WeightLayout::InputsFirst { groups, pixels } => {
                let inputs = channels_first.len() / (channels * pixels);
                exchanged(channels_first, channels / groups, inputs, pixels)
            }
        }
    }
}

/// Blocks of `[rows, columns, pixels]` as `[columns, rows, pixels]`.
fn exchanged<T: Copy>(values: &[T], rows: usize, columns: usize, pixels: usize) -> Vec<T> {
    let block = rows * columns * pixels;
    let from = |i: usize| {
        let (at, pixel) = (i % block / pixels, i % pixels);
        i / block * block + (at % rows * columns + at / rows) * pixels + pixel
    };
    (0..values.len()).map(|i| values[from(i)]).collect()
}

impl Unit {
    /// The nodes of the unit, in the order they run.
    pub fn nodes(&self) -> impl Iterator<Item = NodeId> {
        [Some(self.core), self.batch_norm, self.activation].into_iter().flatten()
    }

    /// The tensor that leaves the unit.
    pub fn output(&self, graph: &Graph) -> TensorId {
        graph.node(self.activation.or(self.batch_norm).unwrap_or(self.core)).output
    }

    /// The tensors that enter the unit and are no constants.
    pub fn inputs<'g>(&self, graph: &'g Graph) -> impl Iterator<Item = TensorId> + use<'g> {
        graph.node(self.core).inputs.iter().copied().filter(|&t| graph.constant(t).is_none())
    }

    /// The parameters, where the unit is a block: a convolution, or a product with constant weights.
    pub fn block(&self, graph: &Graph) -> Option<Block> {
        block_of(graph, self.core)
    }

    /// The interval that the fused activation clips to; without one, everything.
    pub fn clip(&self, graph: &Graph) -> (f32, f32) {
        let clip = self.activation.and_then(|n| match &graph.node(n).op {
            Op::Activation(a) => a.clip(),
            _ => None,
        });
        clip.unwrap_or((f32::NEG_INFINITY, f32::INFINITY))
    }
}

fn block_of(graph: &Graph, core: NodeId) -> Option<Block> {
    let node = graph.node(core);
    let (weight, bias) = (*node.inputs.get(1)?, node.inputs.get(2).copied());
    let (x, shape) = (*node.inputs.first()?, &graph.tensor(weight).shape);
    if graph.constant(weight).is_none() || graph.constant(x).is_some() {
        return None;
    }
    let matrix = WeightLayout::InputsFirst { groups: 1, pixels: 1 };
    let (channels, layout) = match node.op {
        Op::Convolution(_) => (shape.0[0].fixed()?, WeightLayout::ChannelsFirst),
        Op::ConvTranspose(op) => {
            let [rows, columns] = op.window.kernel;
            (shape.0[1].fixed()? * op.groups, WeightLayout::InputsFirst { groups: op.groups, pixels: rows * columns })
        }
        Op::Gemm(Gemm { alpha: 1.0, beta: 1.0, transpose_a: false, transpose_b: true }) => {
            (shape.0[0].fixed()?, WeightLayout::ChannelsFirst)
        }
        Op::Gemm(Gemm { alpha: 1.0, beta: 1.0, transpose_a: false, transpose_b: false }) => (shape.0[1].fixed()?, matrix),
        Op::MatMul(_) if shape.rank() == 2 => (shape.0[1].fixed()?, matrix),
        _ => return None,
    };
    // A Gemm may add a whole matrix; only a bias over channels folds.
    let bias_fits = bias.is_none_or(|b| graph.tensor(b).shape.elements(1) == channels);
    bias_fits.then_some(Block { weight, bias, channels, layout })
}

/// Groups all nodes of a graph into units, in the order they run.
///
/// BatchNormalization joins the convolution or product before it, and a clip that the target fuses joins what is before it, where
/// nothing else reads the tensor between them.
pub(crate) fn units(graph: &Graph, target: &Target) -> Vec<Unit> {
    units_between(graph, target, |_| false)
}

/// As [`units`], with nothing fused over a tensor that must be seen.
pub(crate) fn units_between(graph: &Graph, target: &Target, is_seen: impl Fn(TensorId) -> bool) -> Vec<Unit> {
    let mut taken = vec![false; graph.nodes().len()];
    let single_readers = graph.single_readers();
    let mut units = Vec::new();
    for n in 0..graph.nodes().len() {
        if taken[n] {
            continue;
        }
        let mut unit = Unit { core: NodeId(n), batch_norm: None, activation: None };
        let mut last = NodeId(n);
        let next = |last: NodeId| single_readers[graph.node(last).output.0].filter(|_| !is_seen(graph.node(last).output));
        let is_norm = |n: &NodeId| matches!(graph.node(*n).op, Op::BatchNormalization(_));
        // Integers of a file are what they are; there is nothing to fold into.
        let trained = |block: Block| graph.stored_codes(block.weight).is_none();
        let has_bias = matches!(graph.node(unit.core).op, Op::Convolution(_) | Op::ConvTranspose(_) | Op::Gemm(_));
        let folds = has_bias && block_of(graph, unit.core).is_some_and(trained);
        if let Some(norm) = next(last).filter(is_norm).filter(|_| folds) {
            unit.batch_norm = Some(norm);
            taken[norm.0] = true;
            last = norm;
        }
        let is_clip = |n: &NodeId| matches!(&graph.node(*n).op, Op::Activation(a) if target.fuses(a));
        if let Some(clip) = next(last).filter(is_clip).filter(|_| takes_clip(&graph.node(unit.core).op)) {
            unit.activation = Some(clip);
            taken[clip.0] = true;
        }
        units.push(unit);
    }
    units
}

/// The operators that clamp their output codes for free.
fn takes_clip(op: &Op) -> bool {
    matches!(op, Op::Convolution(_) | Op::ConvTranspose(_) | Op::Gemm(_) | Op::MatMul(_) | Op::Binary(_))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::GraphBuilder;

    fn residual(read_twice: bool) -> (Graph, Vec<Unit>) {
        let mut b = GraphBuilder::new("g");
        let x = b.input("x", &[3, 8, 8]);
        let y = b.convolution("conv", x, 3, [1, 1]).done().unwrap();
        let z = b.batch_norm("bn", y).unwrap();
        let z = b.relu("relu", z).unwrap();
        let z = b.add("add", z, if read_twice { y } else { x }).unwrap();
        let z = b.relu("out", z).unwrap();
        b.output(z);
        let g = b.finish().unwrap();
        let u = units(&g, &Target::onnxruntime());
        (g, u)
    }

    #[test]
    fn a_block_takes_its_batch_norm_and_its_clip() {
        let (g, u) = residual(false);
        assert_eq!(u.len(), 2);
        assert_eq!(u[0].nodes().count(), 3);
        assert_eq!(u[1].clip(&g), (0.0, f32::INFINITY));
        assert_eq!(u[0].block(&g).unwrap().channels, 3);
        assert!(u[1].block(&g).is_none());
    }

    #[test]
    fn weights_go_to_channels_first_and_back() {
        let stored: Vec<usize> = (0..4 * 3 * 2).collect();
        // Two groups of two inputs and three channels each, two pixels.
        let layout = WeightLayout::InputsFirst { groups: 2, pixels: 2 };
        let first = layout.channels_first(&stored, 6);
        assert_eq!(first[..12], [0, 1, 6, 7, 2, 3, 8, 9, 4, 5, 10, 11]);
        assert_eq!(layout.stored(&first, 6), stored);
    }

    #[test]
    fn nothing_is_fused_over_a_tensor_that_is_read_twice() {
        let (_, u) = residual(true);
        assert_eq!(u.len(), 4);
        assert_eq!(u[0].batch_norm, None);
    }
}
