//! Functions that a model defines are put in the place of their calls: nodes and names of each call are its own.

use std::collections::HashMap;

use prost::Message;

use super::live::graphs_mut;
use super::names::{self, Names, node_name};
use crate::proto::{AttributeProto, FunctionProto, GraphProto, ModelProto, NodeProto};

/// Functions call each other so deep at most; no function calls itself.
const DEEPEST: usize = 64;

/// What the nodes of all calls may take, beyond the size of the file.
const ALLOWANCE: usize = 32 << 20;

/// A call that cannot be put in place.
pub(in crate::read) struct TooMuch {
    pub node: String,
}

/// Domain, name and overload.
type Key = [String; 3];

/// Puts the functions of a model of `size` bytes in the place of their calls.
pub(in crate::read) fn inline(model: &mut ModelProto, size: usize) -> Result<(), TooMuch> {
    let functions: HashMap<Key, FunctionProto> = std::mem::take(&mut model.functions)
        .into_iter()
        .map(|f| ([domain(&f.domain), f.name.clone().unwrap_or_default(), f.overload.clone().unwrap_or_default()], f))
        .collect();
    let Some(graph) = model.graph.as_mut().filter(|_| !functions.is_empty()) else { return Ok(()) };
    let names = Names::of(names::all(graph).into_iter());
    let mut inliner = Inliner { functions: &functions, names, room: size.saturating_add(ALLOWANCE) };
    inliner.graph(graph, 0)
}

fn domain(domain: &Option<String>) -> String {
    domain.as_deref().filter(|d| *d != "ai.onnx").unwrap_or_default().into()
}

struct Inliner<'f> {
    functions: &'f HashMap<Key, FunctionProto>,
    names: Names,
    /// Bytes that nodes may still take.
    room: usize,
}

impl Inliner<'_> {
    fn graph(&mut self, graph: &mut GraphProto, depth: usize) -> Result<(), TooMuch> {
        let nodes = std::mem::take(&mut graph.node);
        self.nodes(nodes, depth, &mut graph.node)
    }

    fn nodes(&mut self, nodes: Vec<NodeProto>, depth: usize, inlined: &mut Vec<NodeProto>) -> Result<(), TooMuch> {
        for mut node in nodes {
            for inner in graphs_mut(&mut node) {
                self.graph(inner, depth)?;
            }
            let overload = node.overload.clone().unwrap_or_default();
            let key = [domain(&node.domain), node.op_type.clone().unwrap_or_default(), overload];
            match self.functions.get(&key) {
                None => inlined.push(node),
                Some(function) => {
                    let body = self.body(&node, function, depth)?;
                    self.nodes(body, depth + 1, inlined)?;
                }
            }
        }
        Ok(())
    }

    /// The nodes of a function as one call needs them.
    fn body(&mut self, call: &NodeProto, function: &FunctionProto, depth: usize) -> Result<Vec<NodeProto>, TooMuch> {
        let nodes: usize = function.node.iter().map(|node| size_of::<NodeProto>() + node.encoded_len()).sum();
        let largest = call.attribute.iter().chain(&function.attribute_proto).map(Message::encoded_len).max().unwrap_or(0);
        let size = nodes.saturating_add(largest.saturating_mul(function.node.iter().map(references).sum()));
        let room = self.room.checked_sub(size).filter(|_| depth < DEEPEST);
        self.room = room.ok_or_else(|| TooMuch { node: node_name(call).into() })?;
        let owner = node_name(call).to_owned();
        let attributes = function.attribute_proto.iter().chain(&call.attribute);
        let attributes: HashMap<&str, &AttributeProto> = attributes.map(|a| (a.name.as_deref().unwrap_or_default(), a)).collect();
        let actual = |names: &[String], i: usize| names.get(i).cloned().unwrap_or_default();
        let mut renamed: HashMap<String, String> = HashMap::new();
        for (i, formal) in function.input.iter().enumerate() {
            renamed.insert(formal.clone(), actual(&call.input, i));
        }
        let mut body = GraphProto { node: function.node.clone(), ..GraphProto::default() };
        for (i, formal) in function.output.iter().enumerate() {
            let outer = actual(&call.output, i);
            // An output that is an input, or another output again, is handed on.
            if renamed.contains_key(formal) {
                let (input, output) = (vec![formal.clone()], vec![format!("{formal}|{i}")]);
                renamed.insert(output[0].clone(), outer);
                body.node.push(NodeProto { input, output, op_type: Some("Identity".into()), ..NodeProto::default() });
            } else if !outer.is_empty() {
                renamed.insert(formal.clone(), outer);
            }
        }
        for node in &mut body.node {
            bind(node, &attributes);
            let name = node_name(node).to_owned();
            node.name = Some(format!("{owner}/{name}"));
        }
        for output in body.node.iter().flat_map(|node| &node.output).filter(|o| !o.is_empty()) {
            if !renamed.contains_key(output) {
                renamed.insert(output.clone(), self.names.fresh(&format!("{owner}/{output}")));
            }
        }
        names::substitute(&mut body, &renamed);
        Ok(body.node)
    }
}

/// How many attributes of a node stand for those of its function.
fn references(node: &NodeProto) -> usize {
    let own = node.attribute.iter().filter(|a| a.ref_attr_name.is_some()).count();
    own + super::live::graphs(node).flat_map(|inner| &inner.node).map(references).sum::<usize>()
}

/// Gives attributes that stand for the function's the values of the call; those of which the call says nothing are left out.
fn bind(node: &mut NodeProto, attributes: &HashMap<&str, &AttributeProto>) {
    let bound = |mut own: AttributeProto| {
        let Some(name) = own.ref_attr_name.take().filter(|name| !name.is_empty()) else { return Some(own) };
        let given = attributes.get(name.as_str())?;
        Some(AttributeProto { name: own.name, ..(*given).clone() })
    };
    node.attribute = std::mem::take(&mut node.attribute).into_iter().filter_map(bound).collect();
    for inner in graphs_mut(node) {
        inner.node.iter_mut().for_each(|node| bind(node, attributes));
    }
}
