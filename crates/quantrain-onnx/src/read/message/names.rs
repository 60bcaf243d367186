//! Names are made distinct before anything is read, so that a node or tensor of any graph in the file is known by its name alone.

use std::collections::{HashMap, HashSet};

use quantrain_graph::Note;

use super::live::{graphs, graphs_mut};
use crate::proto::{GraphProto, NodeProto};

/// The node's name; unnamed nodes have their output's.
pub(in crate::read) fn node_name(node: &NodeProto) -> &str {
    let named = node.name.as_deref().filter(|name| !name.is_empty());
    named.or_else(|| node.output.first().map(String::as_str)).unwrap_or_default()
}

/// Gives every node a name of its own, and every tensor inside the graph of a node one that is nowhere else; says which nodes of the file
/// are called otherwise now.
pub(in crate::read) fn distinguish(graph: &mut GraphProto) -> Vec<Note> {
    let mut taken = Names::of(defined(graph));
    for node in &mut graph.node {
        let outputs = node.output.clone();
        graphs_mut(node).for_each(|inner| take_in(inner, &outputs, &mut taken));
    }
    let mut given = HashSet::new();
    visit(graph, &mut |node| given.extend(has_name(node).then(|| node_name(node).to_owned())));
    let mut names = Names::of(given.iter().map(String::as_str));
    let mut notes = Vec::new();
    visit(graph, &mut |node| {
        let name = node_name(node).to_owned();
        // The first node that the file gives a name keeps it.
        if has_name(node) && given.remove(&name) {
            return;
        }
        let renamed = names.fresh(&name);
        if has_name(node) {
            let output = node.output.first().cloned().unwrap_or_default();
            notes.push(Note::NodeRenamed { node: name, output, renamed: renamed.clone() });
        }
        node.name = Some(renamed);
    });
    notes
}

fn has_name(node: &NodeProto) -> bool {
    node.name.as_deref().is_some_and(|name| !name.is_empty())
}

/// Every node of a graph, those of the graphs inside nodes after their own.
fn visit(graph: &mut GraphProto, f: &mut impl FnMut(&mut NodeProto)) {
    graph.node.iter_mut().for_each(&mut *f);
    graph.node.iter_mut().flat_map(graphs_mut).for_each(|inner| visit(inner, f));
}

/// The tensors that a graph defines itself.
pub(super) fn defined(graph: &GraphProto) -> impl Iterator<Item = &str> {
    let inputs = graph.input.iter().filter_map(|input| input.name.as_deref());
    let initializers = graph.initializer.iter().filter_map(|tensor| tensor.name.as_deref());
    let outputs = graph.node.iter().flat_map(|node| &node.output).map(String::as_str).filter(|name| !name.is_empty());
    inputs.chain(initializers).chain(outputs)
}

/// The names of all tensors and nodes, those of the graphs inside nodes included.
pub(in crate::read) fn all(graph: &GraphProto) -> HashSet<&str> {
    let mut names = HashSet::new();
    collect(graph, &mut names);
    names
}

fn collect<'m>(graph: &'m GraphProto, names: &mut HashSet<&'m str>) {
    names.extend(defined(graph));
    names.extend(graph.node.iter().map(node_name));
    graph.node.iter().flat_map(graphs).for_each(|inner| collect(inner, names));
}

/// Renames what a graph inside a node defines: its outputs get the names of the node's, whatever else has a name that is taken another one.
fn take_in(graph: &mut GraphProto, outputs: &[String], taken: &mut Names) {
    let computed: HashSet<&str> = graph.node.iter().flat_map(|node| &node.output).map(String::as_str).collect();
    let mut names: HashMap<String, String> = HashMap::new();
    for (own, outer) in graph.output.iter().filter_map(|o| o.name.as_deref()).zip(outputs) {
        if computed.contains(own) && !outer.is_empty() {
            names.entry(own.into()).or_insert_with(|| outer.clone());
        }
    }
    let defined: Vec<String> = defined(graph).map(str::to_owned).collect();
    for name in defined {
        names.entry(name).or_insert_with_key(|name| taken.fresh(name));
    }
    names.retain(|old, new| old != new);
    substitute(graph, &names);
    for node in &mut graph.node {
        let outputs = node.output.clone();
        graphs_mut(node).for_each(|inner| take_in(inner, &outputs, taken));
    }
}

/// Puts other names in the place of some; a graph further inside that defines such a name itself keeps it.
pub(super) fn substitute(graph: &mut GraphProto, names: &HashMap<String, String>) {
    if names.is_empty() {
        return;
    }
    let put = |name: &mut String| {
        if let Some(new) = names.get(name) {
            name.clone_from(new);
        }
    };
    graph.initializer.iter_mut().filter_map(|tensor| tensor.name.as_mut()).for_each(put);
    graph.output.iter_mut().filter_map(|output| output.name.as_mut()).for_each(put);
    for node in &mut graph.node {
        node.input.iter_mut().chain(&mut node.output).for_each(put);
        for inner in graphs_mut(node) {
            let own: HashSet<&str> = defined(inner).collect();
            let outer = names.iter().filter(|(name, _)| !own.contains(name.as_str())).map(|(a, b)| (a.clone(), b.clone())).collect();
            substitute(inner, &outer);
        }
    }
}

/// Names that are taken.
#[derive(Default)]
pub(super) struct Names {
    taken: HashSet<String>,
    /// Of wished names, the number that is tried next.
    next: HashMap<String, u64>,
}

impl Names {
    pub fn of<'n>(taken: impl Iterator<Item = &'n str>) -> Self {
        Names { taken: taken.map(str::to_owned).collect(), next: HashMap::new() }
    }

    /// Takes the wished name, or the first with a number behind it that is free.
    pub fn fresh(&mut self, wish: &str) -> String {
        if self.taken.insert(wish.to_owned()) {
            return wish.to_owned();
        }
        let next = self.next.entry(wish.to_owned()).or_insert(1);
        loop {
            let name = format!("{wish}_{next}");
            *next += 1;
            if self.taken.insert(name.clone()) {
                return name;
            }
        }
    }
}
