//! Groups nodes into units: what is computed in one go and quantized once, at its output.

use crate::graph::{Graph, NodeId, TensorId};
use crate::op::Gemm;
use crate::{Op, Target};

/// A node with what is fused into it. Where the node has weights, the unit is a *block* (design section 4).
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
    /// The weights are stored `[inputs, channels]`, not channels first.
    pub channels_last: bool,
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
    let (channels, channels_last) = match node.op {
        Op::Convolution(_) => (shape.0[0], false),
        Op::Gemm(Gemm { alpha: 1.0, beta: 1.0, transpose_a: false, transpose_b }) => (shape.0[usize::from(!transpose_b)], !transpose_b),
        Op::MatMul(_) if shape.rank() == 2 => (shape.0[1], true),
        _ => return None,
    };
    let channels = channels.fixed()?;
    // A Gemm may add a whole matrix; only a bias over channels folds.
    let bias_fits = bias.is_none_or(|b| graph.tensor(b).shape.elements(1) == channels);
    bias_fits.then_some(Block { weight, bias, channels, channels_last })
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
    let mut units = Vec::new();
    for n in 0..graph.nodes().len() {
        if taken[n] {
            continue;
        }
        let mut unit = Unit { core: NodeId(n), batch_norm: None, activation: None };
        let mut last = NodeId(n);
        let next = |last: NodeId| graph.single_reader(graph.node(last).output).filter(|_| !is_seen(graph.node(last).output));
        let is_norm = |n: &NodeId| matches!(graph.node(*n).op, Op::BatchNormalization(_));
        // Integers of a file are what they are; there is nothing to fold into.
        let trained = |block: Block| graph.stored_codes(block.weight).is_none();
        let folds = block_of(graph, unit.core).is_some_and(trained) && matches!(graph.node(unit.core).op, Op::Convolution(_) | Op::Gemm(_));
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
    matches!(op, Op::Convolution(_) | Op::Gemm(_) | Op::MatMul(_) | Op::Binary(_))
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
    fn nothing_is_fused_over_a_tensor_that_is_read_twice() {
        let (_, u) = residual(true);
        assert_eq!(u.len(), 4);
        assert_eq!(u[0].batch_norm, None);
    }
}
