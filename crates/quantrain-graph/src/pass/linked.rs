//! A graph with a list of who writes and who reads each tensor, kept while nodes are replaced.

use crate::graph::{Graph, Node, NodeId, Tensor, TensorId};

use super::Patch;

/// The graph that passes look at. Nodes keep their ids until the last patch is applied.
#[derive(Debug)]
pub struct Linked {
    graph: Graph,
    producers: Vec<Option<NodeId>>,
    /// A node stands there twice where it reads the tensor twice.
    readers: Vec<Vec<NodeId>>,
    is_output: Vec<bool>,
    /// Nodes that patches took away.
    gone: Vec<bool>,
}

impl Linked {
    pub(super) fn new(graph: Graph) -> Self {
        let tensors = graph.tensors.len();
        let mut linked = Linked {
            producers: vec![None; tensors],
            readers: vec![Vec::new(); tensors],
            is_output: vec![false; tensors],
            gone: vec![false; graph.nodes.len()],
            graph,
        };
        linked.graph.outputs.iter().for_each(|t| linked.is_output[t.0] = true);
        for (n, node) in linked.graph.nodes.iter().enumerate() {
            linked.producers[node.output.0] = Some(NodeId(n));
            node.inputs.iter().for_each(|t| linked.readers[t.0].push(NodeId(n)));
        }
        linked
    }

    /// The nodes that are left, in their order.
    pub fn ids(&self) -> impl Iterator<Item = NodeId> + use<> {
        let left: Vec<NodeId> = (0..self.gone.len()).filter(|&n| !self.gone[n]).map(NodeId).collect();
        left.into_iter()
    }

    /// As [`Graph::node`].
    pub fn node(&self, id: NodeId) -> &Node {
        self.graph.node(id)
    }

    /// As [`Graph::tensor`].
    pub fn tensor(&self, id: TensorId) -> &Tensor {
        self.graph.tensor(id)
    }

    /// As [`Graph::constant`].
    pub fn constant(&self, id: TensorId) -> Option<&[f32]> {
        self.graph.constant(id)
    }

    /// Whether the tensor is handed out.
    pub fn is_output(&self, id: TensorId) -> bool {
        self.is_output[id.0]
    }

    /// The node that writes a tensor.
    pub fn producer(&self, id: TensorId) -> Option<NodeId> {
        self.producers[id.0]
    }

    /// The nodes that read a tensor, a node twice where it reads it twice.
    pub fn readers(&self, id: TensorId) -> &[NodeId] {
        &self.readers[id.0]
    }

    /// The only reader of a tensor, where there is just one and the tensor is not an output.
    pub fn single_reader(&self, id: TensorId) -> Option<NodeId> {
        match self.readers(id) {
            &[reader] if !self.is_output(id) => Some(reader),
            _ => None,
        }
    }

    /// Whether a patch took the node away.
    pub fn is_gone(&self, id: NodeId) -> bool {
        self.gone[id.0]
    }

    /// Replaces the nodes of a patch by one in the place of the last.
    pub(super) fn apply(&mut self, patch: Patch) {
        let last = patch.nodes.iter().max().copied().expect("a patch replaces something");
        for &id in &patch.nodes {
            let node = &self.graph.nodes[id.0];
            node.inputs.iter().for_each(|t| self.readers[t.0].retain(|reader| *reader != id));
            if id != last {
                self.producers[node.output.0] = None;
                self.gone[id.0] = true;
            }
        }
        patch.inputs.iter().for_each(|t| self.readers[t.0].push(last));
        let node = &mut self.graph.nodes[last.0];
        (node.op, node.inputs) = (patch.op, patch.inputs);
    }

    /// The graph without the nodes that are gone.
    pub(super) fn finish(mut self) -> Graph {
        let mut gone = self.gone.into_iter();
        self.graph.nodes.retain(|_| !gone.next().unwrap_or(false));
        self.graph
    }
}
