//! Functions spelled out node by node, for the tests of passes.

use super::{Fusion, Pass, run};
use crate::graph::TensorId;
use crate::op::{Activation, Binary};
use crate::{Graph, GraphBuilder, Op};

/// Builds a function of x node by node; names are numbered.
pub struct Spelling {
    pub b: GraphBuilder,
    pub x: TensorId,
}

impl Spelling {
    /// x comes out of a node and has these extents behind the batch.
    pub fn new(extents: &[usize]) -> Self {
        let mut b = GraphBuilder::new("g");
        let image = b.input("image", extents);
        let x = b.node("x", Op::Activation(Activation::Neg), &[image], "x").unwrap();
        Spelling { b, x }
    }

    pub fn node(&mut self, op: Op, inputs: &[TensorId]) -> TensorId {
        let name = format!("n{}", self.b.graph().nodes().len());
        self.b.node(&name, op, inputs, &name).unwrap()
    }

    pub fn of(&mut self, f: Activation, x: TensorId) -> TensorId {
        self.node(Op::Activation(f), &[x])
    }

    pub fn two(&mut self, f: Binary, a: TensorId, b: TensorId) -> TensorId {
        self.node(Op::Binary(f), &[a, b])
    }

    pub fn constant(&mut self, shape: &[usize], values: Vec<f32>) -> TensorId {
        let name = format!("c{}", self.b.graph().tensors().len());
        self.b.constant(&name, shape, values).unwrap()
    }

    pub fn number(&mut self, value: f64) -> TensorId {
        self.constant(&[1], vec![value as f32])
    }

    pub fn with(&mut self, f: Binary, a: TensorId, n: f64) -> TensorId {
        let n = self.number(n);
        self.two(f, a, n)
    }

    pub fn run(mut self, y: TensorId, pass: &dyn Pass) -> (Graph, Vec<Fusion>) {
        self.b.output(y);
        run(self.b.finish().unwrap(), &[pass])
    }
}
