//! The order of nodes: each behind those it reads from, which some exporters leave to their readers.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};

use super::live::inputs_of;
use crate::proto::{GraphProto, NodeProto};

/// Moves nodes behind what they read, and leaves them where they are otherwise. Nodes on a cycle stay last, to be refused where they are read.
pub(in crate::read) fn sort(graph: &mut GraphProto) {
    let mut makers: HashMap<&str, usize> = HashMap::new();
    for (n, node) in graph.node.iter().enumerate() {
        for name in node.output.iter().filter(|name| !name.is_empty()) {
            makers.entry(name).or_insert(n);
        }
    }
    let reads = |node: &NodeProto| -> Vec<usize> {
        let mut names = Vec::new();
        inputs_of(node, &mut names);
        names.iter().filter_map(|name| makers.get(name.as_str()).copied()).collect()
    };
    if graph.node.iter().enumerate().all(|(n, node)| reads(node).into_iter().all(|maker| maker < n)) {
        return;
    }
    let mut missing = vec![0usize; graph.node.len()];
    let mut readers = vec![Vec::new(); graph.node.len()];
    for (n, node) in graph.node.iter().enumerate() {
        for maker in reads(node) {
            missing[n] += 1;
            readers[maker].push(n);
        }
    }
    let mut order = Vec::with_capacity(graph.node.len());
    let mut ready: BinaryHeap<Reverse<usize>> = (0..missing.len()).filter(|&n| missing[n] == 0).map(Reverse).collect();
    while let Some(Reverse(n)) = ready.pop() {
        order.push(n);
        for &reader in &readers[n] {
            missing[reader] -= 1;
            if missing[reader] == 0 {
                ready.push(Reverse(reader));
            }
        }
    }
    order.extend((0..missing.len()).filter(|&n| missing[n] > 0));
    let mut nodes: Vec<Option<NodeProto>> = std::mem::take(&mut graph.node).into_iter().map(Some).collect();
    graph.node = order.into_iter().filter_map(|n| nodes.get_mut(n).and_then(Option::take)).collect();
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sorted(nodes: &[(&[&str], &str)]) -> Vec<String> {
        let node = |(inputs, output): &(&[&str], &str)| NodeProto {
            input: inputs.iter().map(|&i| i.into()).collect(),
            output: vec![(*output).into()],
            ..NodeProto::default()
        };
        let mut graph = GraphProto { node: nodes.iter().map(node).collect(), ..GraphProto::default() };
        sort(&mut graph);
        graph.node.into_iter().flat_map(|n| n.output).collect()
    }

    #[test]
    fn nodes_move_behind_what_they_read_and_stay_otherwise() {
        assert_eq!(sorted(&[(&["x"], "a"), (&["a", ""], "b"), (&["x"], "c")]), ["a", "b", "c"]);
        assert_eq!(sorted(&[(&["b", "c"], "d"), (&["a"], "b"), (&["x"], "c"), (&["x"], "a")]), ["c", "a", "b", "d"]);
        assert_eq!(sorted(&[(&["a", "a"], "b"), (&["x"], "a")]), ["a", "b"], "read twice");
    }

    #[test]
    fn nodes_on_a_cycle_stay() {
        assert_eq!(sorted(&[(&["b"], "a"), (&["a"], "b"), (&["x"], "c")]), ["c", "a", "b"]);
    }
}
