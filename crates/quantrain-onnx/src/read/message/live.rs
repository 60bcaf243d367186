//! What no output depends on is left out before any of it is looked at: nodes, constants, and inputs that only such nodes read.

use std::collections::{HashMap, HashSet};

use quantrain_graph::Note;

use super::names::node_name;
use crate::proto::{GraphProto, NodeProto};

/// Operators that need not make each of their outputs.
const WITH_STATES: [&str; 3] = ["LSTM", "GRU", "RNN"];

/// Leaves out what no output depends on, in the graphs inside nodes as well, and says what is gone.
pub(in crate::read) fn prune(graph: &mut GraphProto) -> Vec<Note> {
    for inner in graph.node.iter_mut().flat_map(graphs_mut) {
        prune(inner);
    }
    let read = read_names(graph);
    let is_read = |name: &Option<String>| read.contains(name.as_deref().unwrap_or_default());
    let live: Vec<bool> = graph.node.iter().map(|node| node.output.iter().any(|o| read.contains(o.as_str()))).collect();
    let inputs: Vec<bool> = graph.input.iter().map(|input| is_read(&input.name)).collect();
    let initializers: Vec<bool> = graph.initializer.iter().map(|tensor| is_read(&tensor.name)).collect();
    graph.node.iter_mut().filter(|node| node.op_type.as_deref().is_some_and(|op| WITH_STATES.contains(&op))).for_each(|node| {
        node.name.get_or_insert_default();
        if let (Some(name), Some(first)) = (node.name.as_mut().filter(|name| name.is_empty()), node.output.first()) {
            name.clone_from(first);
        }
        node.output.iter_mut().filter(|output| !read.contains(output.as_str())).for_each(String::clear);
    });
    let mut notes = Vec::new();
    for (node, _) in graph.node.iter().zip(&live).filter(|(_, live)| !**live) {
        notes.push(Note::NodeLeftOut { node: node_name(node).into(), operator: node.op_type.clone().unwrap_or_default() });
    }
    // A network of constants alone keeps its inputs: that is another failure.
    let keeps_inputs = !inputs.contains(&true);
    if !keeps_inputs {
        let initialized: HashSet<&Option<String>> = graph.initializer.iter().map(|t| &t.name).collect();
        let fed = graph.input.iter().zip(&inputs).filter(|(input, read)| !**read && !initialized.contains(&input.name));
        notes.extend(fed.map(|(input, _)| Note::InputLeftOut { input: input.name.clone().unwrap_or_default() }));
    }
    keep(&mut graph.node, &live);
    keep(&mut graph.initializer, &initializers);
    if !keeps_inputs {
        keep(&mut graph.input, &inputs);
    }
    notes
}

fn keep<T>(list: &mut Vec<T>, kept: &[bool]) {
    let mut kept = kept.iter();
    list.retain(|_| kept.next().is_none_or(|kept| *kept));
}

/// The names that the outputs depend on, their own included.
fn read_names(graph: &GraphProto) -> HashSet<String> {
    let mut producers: HashMap<&str, Vec<usize>> = HashMap::new();
    for (n, node) in graph.node.iter().enumerate() {
        node.output.iter().filter(|o| !o.is_empty()).for_each(|o| producers.entry(o).or_default().push(n));
    }
    let mut reached = vec![false; graph.node.len()];
    let mut read: HashSet<String> = HashSet::new();
    let mut waiting: Vec<String> = graph.output.iter().filter_map(|output| output.name.clone()).collect();
    while let Some(name) = waiting.pop() {
        for &n in producers.get(name.as_str()).into_iter().flatten() {
            if !std::mem::replace(&mut reached[n], true) {
                inputs_of(&graph.node[n], &mut waiting);
            }
        }
        read.insert(name);
    }
    read
}

/// Every name that a node reads, the graphs inside it included.
pub(super) fn inputs_of(node: &NodeProto, names: &mut Vec<String>) {
    names.extend(node.input.iter().filter(|name| !name.is_empty()).cloned());
    for inner in graphs(node) {
        names.extend(inner.output.iter().filter_map(|output| output.name.clone()));
        inner.node.iter().for_each(|node| inputs_of(node, names));
    }
}

/// The graphs inside a node, as If has them.
pub(in crate::read) fn graphs(node: &NodeProto) -> impl Iterator<Item = &GraphProto> {
    node.attribute.iter().filter_map(|a| a.g.as_deref())
}

/// As [`graphs`].
pub(in crate::read) fn graphs_mut(node: &mut NodeProto) -> impl Iterator<Item = &mut GraphProto> {
    node.attribute.iter_mut().filter_map(|a| a.g.as_deref_mut())
}
