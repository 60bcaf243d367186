//! Passes over a graph: each proposes patches, the runner checks them, applies them and records what happened.
//!
//! Tensors keep their ids, so whoever holds one of a graph may use it after a pass; those inside a replaced group are left without a producer.

mod arithmetic;
mod fuse_activations;
mod linked;

pub use fuse_activations::FuseActivations;
pub use linked::Linked;

use std::fmt;

use crate::graph::{Graph, NodeId, TensorId};
use crate::{Op, Shape};

/// Looks at one node after the other.
pub trait Pass {
    /// Its name, in reports.
    fn name(&self) -> &'static str;

    /// What it would do with the group of nodes that ends at `at`.
    fn find(&self, graph: &Linked, at: NodeId) -> Outcome;
}

/// What a pass makes of a node.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// Nothing to do.
    Absent,
    /// A group of the right form that must stay as it is.
    Declined(Reason),
    /// A group to replace.
    Proposed(Patch),
}

/// Why a group of the right form stays as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reason {
    /// A tensor inside is read by another node too.
    ReadElsewhere {
        /// The tensor.
        tensor: String,
        /// The other node.
        node: String,
    },
    /// A tensor inside is an output of the network.
    IsOutput {
        /// The tensor.
        tensor: String,
    },
    /// The operator that would stand for the group gives another shape.
    OtherShape {
        /// The last node of the group.
        node: String,
    },
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Reason::ReadElsewhere { tensor, node } => write!(f, "`{tensor}` inside is also read by `{node}`"),
            Reason::IsOutput { tensor } => write!(f, "`{tensor}` inside is an output of the network"),
            Reason::OtherShape { node } => write!(f, "`{node}` gives another shape than the function alone"),
        }
    }
}

/// One node instead of several: it has the name and the output of the last of them.
#[derive(Clone, Debug, PartialEq)]
pub struct Patch {
    /// The nodes that go, in the order they run and each once; the last of them stays in name.
    pub nodes: Vec<NodeId>,
    /// The operator that stands for them.
    pub op: Op,
    /// What it reads.
    pub inputs: Vec<TensorId>,
}

impl Patch {
    /// Whether the group can go: nothing else reads what is inside, and the new node gives what the last one gave.
    ///
    /// # Errors
    /// The first reason why not.
    pub fn check(&self, graph: &Linked) -> Result<(), Reason> {
        let Some(last) = self.nodes.iter().max() else { return Ok(()) };
        for inside in self.nodes.iter().filter(|n| *n != last) {
            let output = graph.node(*inside).output;
            let tensor = || graph.tensor(output).name.clone();
            if graph.is_output(output) {
                return Err(Reason::IsOutput { tensor: tensor() });
            }
            if let Some(other) = graph.readers(output).iter().find(|n| !self.nodes.contains(n)) {
                return Err(Reason::ReadElsewhere { tensor: tensor(), node: graph.node(*other).name.clone() });
            }
        }
        let shapes: Vec<&Shape> = self.inputs.iter().map(|&t| &graph.tensor(t).shape).collect();
        let fits = self.op.output_shape(&shapes).is_ok_and(|shape| shape == graph.tensor(graph.node(*last).output).shape);
        if fits { Ok(()) } else { Err(Reason::OtherShape { node: graph.node(*last).name.clone() }) }
    }
}

/// What a pass did, or did not do, at a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fusion {
    /// The pass.
    pub pass: &'static str,
    /// The last node of the group; the node that stands for it has its name.
    pub node: String,
    /// Operators of the group, in the order they run.
    pub operators: Vec<&'static str>,
    /// The operator that stands for them, or why they stay.
    pub outcome: Result<&'static str, Reason>,
}

/// Runs passes over a graph, once each over all nodes in their order; what a patch leaves behind is looked at again.
pub fn run(graph: Graph, passes: &[&dyn Pass]) -> (Graph, Vec<Fusion>) {
    let mut graph = Linked::new(graph);
    let mut record: Vec<(NodeId, Fusion)> = Vec::new();
    for pass in passes {
        for at in graph.ids() {
            let outcome = match pass.find(&graph, at) {
                Outcome::Proposed(patch) => patch.check(&graph).map_or_else(Outcome::Declined, |()| Outcome::Proposed(patch)),
                other => other,
            };
            let node = graph.node(at).name.clone();
            match outcome {
                Outcome::Absent => {}
                Outcome::Declined(reason) => {
                    let operators = vec![graph.node(at).op.name()];
                    record.push((at, Fusion { pass: pass.name(), node, operators, outcome: Err(reason) }));
                }
                Outcome::Proposed(patch) => {
                    let operators = patch.nodes.iter().map(|&n| graph.node(n).op.name()).collect();
                    record.push((at, Fusion { pass: pass.name(), node, operators, outcome: Ok(patch.op.name()) }));
                    graph.apply(patch);
                }
            }
        }
    }
    // What became part of a larger group has no name any more.
    record.retain(|(at, _)| !graph.is_gone(*at));
    (graph.finish(), record.into_iter().map(|(_, fusion)| fusion).collect())
}
