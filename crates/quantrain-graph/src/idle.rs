//! Nodes that hand on what they read: Identity (Cast between floats, Dropout), `x + 0`, `x·1`. They stand between a layer and the activation,
//! the addend or the factor that belongs to it.

use crate::Op;
use crate::graph::{Graph, NodeId, TensorId};
use crate::op::Binary;

impl Graph {
    /// The graph without nodes that hand on what they read, but for those that write an output. Computes the same.
    #[must_use]
    pub fn without_idle_nodes(mut self) -> Self {
        // Of each tensor the one that stands for it.
        let mut stands: Vec<TensorId> = (0..self.tensors.len()).map(TensorId).collect();
        let mut idle = vec![false; self.nodes.len()];
        for n in 0..self.nodes.len() {
            let node = &mut self.nodes[n];
            node.inputs.iter_mut().for_each(|t| *t = stands[t.0]);
            let output = node.output;
            if let Some(read) = self.handed_on(NodeId(n)).filter(|_| !self.outputs.contains(&output)) {
                stands[output.0] = read;
                idle[n] = true;
            }
        }
        let mut idle = idle.into_iter();
        self.nodes.retain(|_| !idle.next().unwrap_or(false));
        self
    }

    /// The tensor that a node hands on.
    fn handed_on(&self, node: NodeId) -> Option<TensorId> {
        let node = self.node(node);
        let everywhere = |t: TensorId, value: f32| self.constant(t).is_some_and(|c| c.iter().all(|&v| v == value));
        let read = match (&node.op, &node.inputs[..]) {
            (Op::Identity, &[x]) => x,
            (Op::Binary(Binary::Add | Binary::Sub), &[x, c]) if everywhere(c, 0.0) => x,
            (Op::Binary(Binary::Add), &[c, x]) if everywhere(c, 0.0) => x,
            (Op::Binary(Binary::Mul | Binary::Div), &[x, c]) if everywhere(c, 1.0) => x,
            (Op::Binary(Binary::Mul), &[c, x]) if everywhere(c, 1.0) => x,
            _ => return None,
        };
        (self.constant(read).is_none() && self.tensor(read).shape == self.tensor(node.output).shape).then_some(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::GraphBuilder;

    #[test]
    fn what_hands_on_its_input_is_read_through_unless_it_is_an_output() {
        let mut b = GraphBuilder::new("g");
        let x = b.input("x", &[3, 8, 8]);
        let y = b.convolution("conv", x, 3, [1, 1]).done().unwrap();
        let y = b.node("cast", Op::Identity, &[y], "cast").unwrap();
        let (zero, one) = (b.constant("zero", &[1], vec![0.0]).unwrap(), b.constant("one", &[3, 1, 1], vec![1.0; 3]).unwrap());
        let y = b.node("plus", Op::Binary(Binary::Add), &[zero, y], "plus").unwrap();
        let y = b.node("times", Op::Binary(Binary::Mul), &[y, one], "times").unwrap();
        let y = b.relu("relu", y).unwrap();
        let z = b.node("out", Op::Identity, &[y], "out").unwrap();
        b.output(z);
        let graph = b.finish().unwrap().without_idle_nodes();
        assert_eq!(graph.nodes().iter().map(|n| n.name.as_str()).collect::<Vec<_>>(), ["conv", "relu", "out"]);
        assert_eq!(graph.nodes()[1].inputs, [graph.nodes()[0].output]);
        assert_eq!(graph.clone().without_idle_nodes(), graph);
    }

    #[test]
    fn what_adds_axes_or_computes_stays() {
        let mut b = GraphBuilder::new("g");
        let x = b.input("x", &[3, 1]);
        let zeros = b.constant("zeros", &[1, 3, 4], vec![0.0; 12]).unwrap();
        let y = b.node("wider", Op::Binary(Binary::Add), &[x, zeros], "wider").unwrap();
        let one = b.constant("one", &[1], vec![1.0]).unwrap();
        let y = b.node("from", Op::Binary(Binary::Sub), &[one, y], "from").unwrap();
        let y = b.node("over", Op::Binary(Binary::Div), &[one, y], "over").unwrap();
        b.output(y);
        let graph = b.finish().unwrap();
        assert_eq!(graph.clone().without_idle_nodes(), graph);
    }
}
