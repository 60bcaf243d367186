//! Passes over a graph: each proposes patches, the runner checks them, applies them and records what happened.
//!
//! Tensors keep their ids, so whoever holds one of a graph may use it after a pass; those inside a replaced group are left without a producer.

mod aligned;
mod arithmetic;
mod fuse_activations;
mod fuse_bias;
mod fuse_normalizations;
mod linked;
#[cfg(test)]
mod spelling;

pub use fuse_activations::FuseActivations;
pub use fuse_bias::FuseBias;
pub use fuse_normalizations::FuseNormalizations;
pub use linked::Linked;

use std::collections::BTreeMap;
use std::fmt;

use crate::graph::{Graph, NodeId, TensorId};
use crate::{Op, Shape};

/// Looks at one node after the other.
pub trait Pass {
    /// Its name, in reports.
    fn name(&self) -> &'static str;

    /// What it would put in the place of a group of nodes that ends at `at`.
    fn find(&self, graph: &Linked, at: NodeId) -> Option<Patch>;
}

/// The passes that recognise functions which are spelled out.
pub const SPELLED_OUT: &[&dyn Pass] = &[&FuseActivations, &FuseNormalizations];

/// Those and the one that changes a bias: of a file whose blocks have integers they stay as they are.
pub const ALL: &[&dyn Pass] = &[&FuseBias, &FuseActivations, &FuseNormalizations];

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

/// One node instead of several, or a few: the last has the output of the last of them, and the name of one.
#[derive(Clone, Debug, PartialEq)]
pub struct Patch {
    /// The nodes that go, in the order they run and each once; all of them run after what the steps read.
    pub nodes: Vec<NodeId>,
    /// What stands for them, in the order it runs; no more than there are nodes.
    pub steps: Vec<Step>,
    /// The one of them whose name the last step has.
    pub named: NodeId,
}

/// A node that a patch makes.
#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    /// Its operator.
    pub op: Op,
    /// What it reads.
    pub inputs: Vec<Input>,
}

/// What a node that a patch makes reads.
#[derive(Clone, Debug, PartialEq)]
pub enum Input {
    /// A tensor of the graph.
    Tensor(TensorId),
    /// The result of the step before.
    Before,
    /// A constant of its own.
    Constant {
        /// Its name, unless it is taken.
        wish: String,
        /// Its shape.
        shape: Vec<usize>,
        /// Its values.
        values: Vec<f32>,
    },
}

impl Patch {
    /// Steps instead of nodes that end at `at`, the others in any order and some of them twice.
    pub fn ending_at(at: NodeId, mut nodes: Vec<NodeId>, steps: Vec<Step>) -> Self {
        nodes.push(at);
        nodes.sort_unstable();
        nodes.dedup();
        Patch { nodes, steps, named: at }
    }

    /// The name of the operator that the patch is about: the last that is more than an order of axes.
    fn main(&self) -> &'static str {
        let moves = |op: &Op| matches!(op, Op::Transpose(_) | Op::Reshape(_));
        let step = self.steps.iter().rev().find(|step| !moves(&step.op)).or(self.steps.last());
        step.map_or("", |step| step.op.name())
    }

    /// Whether the group can go: nothing else reads what is inside, and the last step gives what the last node gave.
    ///
    /// # Errors
    /// The first reason why not.
    pub fn check(&self, graph: &Linked) -> Result<(), Reason> {
        let Some((last, inside)) = self.nodes.split_last() else { return Ok(()) };
        for &inside in inside {
            let output = graph.node(inside).output;
            let tensor = || graph.tensor(output).name.clone();
            if graph.is_output(output) {
                return Err(Reason::IsOutput { tensor: tensor() });
            }
            if let Some(other) = graph.readers(output).iter().find(|n| !self.nodes.contains(n)) {
                return Err(Reason::ReadElsewhere { tensor: tensor(), node: graph.node(*other).name.clone() });
            }
        }
        let fits = self.shapes(graph).is_some_and(|shapes| shapes.last() == Some(&graph.tensor(graph.node(*last).output).shape));
        if fits { Ok(()) } else { Err(Reason::OtherShape { node: graph.node(*last).name.clone() }) }
    }

    /// The shapes that the steps give; `None` where one does not fit its operator.
    fn shapes(&self, graph: &Linked) -> Option<Vec<Shape>> {
        let mut shapes: Vec<Shape> = Vec::with_capacity(self.steps.len());
        for step in &self.steps {
            let of = |input: &Input| match input {
                Input::Tensor(t) => Some(graph.tensor(*t).shape.clone()),
                Input::Before => shapes.last().cloned(),
                Input::Constant { shape, .. } => Some(Shape::fixed(shape)),
            };
            let inputs = step.inputs.iter().map(of).collect::<Option<Vec<_>>>()?;
            let shape = step.op.output_shape(&inputs.iter().collect::<Vec<_>>()).ok()?;
            shapes.push(shape);
        }
        Some(shapes).filter(|shapes| !shapes.is_empty() && shapes.len() <= self.nodes.len())
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
    /// The operator that stands for them, its name, or why they stay.
    pub outcome: Result<&'static str, Reason>,
}

/// Runs passes over a graph, once each over all nodes in their order; what a patch leaves behind is looked at again.
pub fn run(graph: Graph, passes: &[&dyn Pass]) -> (Graph, Vec<Fusion>) {
    let mut graph = Linked::new(graph);
    let mut record: Vec<(Vec<NodeId>, Fusion)> = Vec::new();
    // Of nodes that patches made, the operators of the file that they stand for.
    let mut made: BTreeMap<NodeId, Vec<&'static str>> = BTreeMap::new();
    for pass in passes {
        for at in graph.ids() {
            let Some(patch) = pass.find(&graph, at) else { continue };
            let of_node = |n: &NodeId| made.get(n).cloned().unwrap_or_else(|| vec![graph.node(*n).op.name()]);
            let operators: Vec<&str> = patch.nodes.iter().flat_map(of_node).collect();
            let outcome = patch.check(&graph).map(|()| patch.main());
            let fusion = Fusion { pass: pass.name(), node: graph.node(patch.named).name.clone(), operators: operators.clone(), outcome };
            let fits = fusion.outcome.is_ok();
            record.push((patch.nodes.clone(), fusion));
            if fits {
                patch.nodes.iter().for_each(|&n| drop(made.insert(n, Vec::new())));
                made.insert(at, operators);
                graph.apply(patch);
            }
        }
    }
    (graph.finish(), of_whole_groups(record))
}

/// What was done or not done with groups that are no part of a larger one.
fn of_whole_groups(record: Vec<(Vec<NodeId>, Fusion)>) -> Vec<Fusion> {
    let ends: Vec<Option<NodeId>> = record.iter().map(|(nodes, _)| nodes.last().copied()).collect();
    let mut largest: Vec<bool> = vec![true; record.len()];
    for (later, (nodes, _)) in record.iter().enumerate() {
        (0..later).filter(|&at| ends[at].is_some_and(|end| nodes.contains(&end))).for_each(|at| largest[at] = false);
    }
    record.into_iter().zip(largest).filter_map(|((_, fusion), largest)| largest.then_some(fusion)).collect()
}
