//! A node where it stands, for one batch size.

use quantrain_graph::{Graph, Node, Op};
use quantrain_kernels::permute::MOST_AXES;
use thiserror::Error;

/// A form of an operator that is readable but that nothing here can run.
#[derive(Clone, Debug, Error, PartialEq)]
#[error("node `{node}` ({op}): {problem}")]
pub struct Unsupported {
    /// The node.
    pub node: String,
    /// Its operator.
    pub op: &'static str,
    /// What is not supported, and what to do.
    pub problem: &'static str,
}

/// A node where it stands.
#[derive(Clone, Copy)]
pub struct Site<'g> {
    /// Its graph.
    pub graph: &'g Graph,
    /// The node.
    pub node: &'g Node,
    /// Number of samples of a batch.
    pub batch: usize,
}

impl<'g> Site<'g> {
    /// A node that is no block, for a batch of `batch`.
    ///
    /// # Errors
    /// It reads constants that its operator cannot, or has tensors of too many axes.
    pub fn new(graph: &'g Graph, node: &'g Node, batch: usize) -> Result<Self, Unsupported> {
        let site = Site { graph, node, batch };
        if node.inputs.iter().chain([&node.output]).any(|&t| graph.tensor(t).shape.rank() > MOST_AXES) {
            return Err(site.unsupported("tensors of more than eight axes are not supported"));
        }
        match node.op {
            Op::Binary(_)
            | Op::Where(_)
            | Op::Expand(_)
            | Op::Lookup(_)
            | Op::BatchNormalization(_)
            | Op::LayerNormalization(_)
            | Op::RmsNormalization(_)
            | Op::InstanceNormalization(_)
            | Op::GroupNormalization(_)
            | Op::Recurrent(_)
            | Op::MatMul(_)
            | Op::Convolution(_)
            | Op::ConvTranspose(_)
            | Op::Gemm(_) => Ok(site),
            _ if (0..node.inputs.len()).any(|i| site.constant(i).is_some()) => {
                Err(site.unsupported("constants among its inputs are not supported; fold them, or pass them in as network inputs"))
            }
            _ => Ok(site),
        }
    }

    /// The extents of input `i` in ONNX's order.
    pub fn input(&self, i: usize) -> Vec<usize> {
        self.graph.tensor(self.node.inputs[i]).shape.at(self.batch)
    }

    /// The extents of the output in ONNX's order.
    pub fn output(&self) -> Vec<usize> {
        self.graph.tensor(self.node.output).shape.at(self.batch)
    }

    /// The values of input `i`, where there is one and it is constant.
    pub fn constant(&self, i: usize) -> Option<&'g [f32]> {
        self.node.inputs.get(i).and_then(|&t| self.graph.constant(t))
    }

    /// The error for a node whose weights no block could take.
    pub fn no_block(&self) -> Unsupported {
        self.unsupported("its weights must be constants, alpha and beta 1, and a not transposed")
    }

    /// The error that says so.
    pub fn unsupported(&self, problem: &'static str) -> Unsupported {
        Unsupported { node: self.node.name.clone(), op: self.node.op.name(), problem }
    }
}
