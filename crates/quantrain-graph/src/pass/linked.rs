//! A graph with a list of who writes and who reads each tensor, kept while nodes are replaced.

use std::collections::HashSet;

use crate::Shape;
use crate::graph::{Graph, Node, NodeId, Tensor, TensorId};

use super::{Input, Patch};

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
    /// Names of tensors.
    names: HashSet<String>,
}

impl Linked {
    pub(super) fn new(graph: Graph) -> Self {
        let tensors = graph.tensors.len();
        let mut linked = Linked {
            producers: vec![None; tensors],
            readers: vec![Vec::new(); tensors],
            is_output: vec![false; tensors],
            gone: vec![false; graph.nodes.len()],
            names: graph.tensors.iter().map(|t| t.name.clone()).collect(),
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

    /// Replaces the nodes of a patch by its steps, in the places of the last of them.
    pub(super) fn apply(&mut self, patch: Patch) {
        let Patch { nodes, steps, named } = patch;
        let kept = nodes.len() - steps.len();
        let last = self.graph.nodes[nodes[nodes.len() - 1].0].output;
        let name = self.graph.nodes[named.0].name.clone();
        for (k, &id) in nodes.iter().enumerate() {
            let node = &self.graph.nodes[id.0];
            node.inputs.iter().for_each(|t| self.readers[t.0].retain(|reader| *reader != id));
            self.producers[node.output.0] = None;
            self.gone[id.0] = k < kept;
        }
        let mut before = None;
        let count = steps.len();
        for (k, (step, &id)) in steps.into_iter().zip(&nodes[kept..]).enumerate() {
            let inputs: Vec<TensorId> = step.inputs.into_iter().filter_map(|input| self.input(input, before)).collect();
            let (name, output) = if k + 1 == count {
                (name.clone(), last)
            } else {
                let shapes: Vec<&Shape> = inputs.iter().map(|t| &self.graph.tensor(*t).shape).collect();
                let shape = step.op.output_shape(&shapes).expect("the patch was checked");
                let output = self.add(&format!("{}.{}", self.graph.tensor(last).name, k + 1), shape, None);
                (format!("{name}.{}", k + 1), output)
            };
            inputs.iter().for_each(|t| self.readers[t.0].push(id));
            self.producers[output.0] = Some(id);
            self.graph.nodes[id.0] = Node { name, op: step.op, inputs, output };
            before = Some(output);
        }
    }

    /// The tensor that a step reads.
    fn input(&mut self, input: Input, before: Option<TensorId>) -> Option<TensorId> {
        match input {
            Input::Tensor(t) => Some(t),
            Input::Before => before,
            Input::Constant { wish, shape, values } => Some(self.add(&wish, Shape::fixed(&shape), Some(values))),
        }
    }

    /// A new tensor, under the wished name or that with a number.
    fn add(&mut self, wish: &str, shape: Shape, constant: Option<Vec<f32>>) -> TensorId {
        let numbered = (1..).map(|i| format!("{wish}_{i}"));
        let name = std::iter::once(wish.to_owned()).chain(numbered).find(|name| !self.names.contains(name)).unwrap_or_default();
        self.names.insert(name.clone());
        let id = TensorId(self.graph.tensors.len());
        self.graph.tensors.push(Tensor { name, shape, constant });
        self.producers.push(None);
        self.readers.push(Vec::new());
        self.is_output.push(false);
        id
    }

    /// The graph without the nodes that are gone.
    pub(super) fn finish(mut self) -> Graph {
        let mut gone = self.gone.into_iter();
        self.graph.nodes.retain(|_| !gone.next().unwrap_or(false));
        self.graph
    }
}
