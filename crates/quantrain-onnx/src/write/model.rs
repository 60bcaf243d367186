//! A model on its way into a file: nodes, initializers, names that stay distinct.

use std::collections::{HashMap, HashSet};

use prost::Message;
use quantrain_graph::{Dim, Graph, Shape, TensorId};

use super::error::WriteError;
use super::{border, check};
use crate::proto::{
    AttributeProto, DimensionProto, GraphProto, ModelProto, NodeProto, OperatorSetIdProto, StringStringEntryProto, TensorProto,
    TensorShapeProto, TensorTypeProto, TypeProto, ValueInfoProto, attribute_type, data_type,
};

/// Grows a model node by node.
pub(super) struct ModelWriter {
    pub opset: i64,
    pub(super) proto: GraphProto,
    taken: HashSet<String>,
    /// Constants of the graph that are initializers already.
    constants: HashMap<TensorId, String>,
    /// Initializers that several nodes share, by their wished name.
    shared: HashMap<String, String>,
    /// Of tensors that are truths, floats in the graph, the same in BOOL.
    truths: HashMap<String, String>,
}

impl ModelWriter {
    /// A model of `opset`, in which the names of the graph's tensors are taken.
    pub fn new(graph: &Graph, opset: i64) -> Self {
        ModelWriter {
            opset,
            proto: GraphProto { name: Some(graph.name.clone()), ..GraphProto::default() },
            taken: graph.tensors().iter().map(|t| &t.name).chain(graph.passed.iter().map(|o| &o.name)).cloned().collect(),
            constants: HashMap::new(),
            shared: HashMap::new(),
            truths: HashMap::new(),
        }
    }

    /// A name that no tensor has: the wished one, with a number where it is taken.
    pub fn fresh(&mut self, wish: &str) -> String {
        let numbered = (1..).map(|i| format!("{wish}_{i}"));
        let name = std::iter::once(wish.to_owned()).chain(numbered).find(|name| !self.taken.contains(name));
        let name = name.unwrap_or_default();
        self.taken.insert(name.clone());
        name
    }

    /// A node.
    pub fn node(&mut self, op: &str, name: &str, inputs: Vec<String>, output: &str, attribute: Vec<AttributeProto>) {
        self.node_of(op, name, inputs, vec![output.to_owned()], attribute);
    }

    /// A node of several outputs; those without a name are not made.
    pub fn node_of(&mut self, op: &str, name: &str, inputs: Vec<String>, output: Vec<String>, attribute: Vec<AttributeProto>) {
        let named = |text: &str| Some(text.to_owned());
        self.proto.node.push(NodeProto { input: inputs, output, name: named(name), op_type: named(op), attribute, ..NodeProto::default() });
    }

    /// A node that makes truths; `output` has them as floats, for those that read them so.
    pub fn truths(&mut self, op: &str, name: &str, inputs: Vec<String>, output: &str, attribute: Vec<AttributeProto>) {
        let truth = self.fresh(&format!("{output}_truth"));
        self.node(op, name, inputs, &truth, attribute);
        let cast = self.fresh(&format!("{name}_Cast"));
        self.node("Cast", &cast, vec![truth.clone()], output, vec![int("to", data_type::FLOAT.into())]);
        self.truths.insert(output.to_owned(), truth);
    }

    /// The truths of a tensor in BOOL.
    pub fn truth(&mut self, name: String) -> String {
        if let Some(truth) = self.truths.get(&name) {
            return truth.clone();
        }
        let truth = self.fresh(&format!("{name}_truth"));
        match self.proto.initializer.iter().find(|t| t.name.as_ref() == Some(&name)) {
            Some(floats) => {
                let values = floats.raw_data.as_deref().unwrap_or_default().as_chunks().0;
                let raw = values.iter().map(|&v| u8::from(f32::from_le_bytes(v) != 0.0)).collect();
                let tensor =
                    TensorProto { name: Some(truth.clone()), data_type: Some(data_type::BOOL), raw_data: Some(raw), ..floats.clone() };
                self.proto.initializer.push(tensor);
            }
            None => {
                let attribute = vec![int("to", data_type::BOOL.into())];
                let cast = self.fresh(&format!("{truth}_Cast"));
                self.node("Cast", &cast, vec![name.clone()], &truth, attribute);
            }
        }
        self.truths.insert(name, truth.clone());
        truth
    }

    /// A tensor of whole numbers in INT64, as indices are.
    pub fn integer(&mut self, name: String) -> String {
        self.shared(&format!("{name}_index"), |w, wish| {
            let index = w.fresh(wish);
            let cast = w.fresh(&format!("{index}_Cast"));
            w.node("Cast", &cast, vec![name], &index, vec![int("to", data_type::INT64.into())]);
            index
        })
    }

    /// Leaves out truths as floats that nobody reads.
    fn drop_unread_truths(&mut self, outputs: &[TensorId], graph: &Graph) {
        let mut read: HashSet<&str> = self.proto.node.iter().flat_map(|n| n.input.iter().map(String::as_str)).collect();
        read.extend(outputs.iter().map(|&t| graph.tensor(t).name.as_str()));
        let unread: HashSet<String> = self.truths.keys().filter(|name| !read.contains(name.as_str())).cloned().collect();
        self.proto.node.retain(|n| !n.output.iter().any(|output| unread.contains(output)));
        self.proto.initializer.retain(|t| !t.name.as_ref().is_some_and(|name| unread.contains(name)));
    }

    /// A constant of the graph under its own name, once.
    pub fn constant(&mut self, graph: &Graph, id: TensorId) -> String {
        if let Some(name) = self.constants.get(&id) {
            return name.clone();
        }
        let tensor = graph.tensor(id);
        let values = tensor.constant.as_deref().unwrap_or_default();
        self.initializer(&tensor.name, &tensor.shape.at(1), data_type::FLOAT, float_bytes(values));
        self.constants.insert(id, tensor.name.clone());
        tensor.name.clone()
    }

    /// Lets what has a name stand for a constant of the graph.
    pub fn stand_for(&mut self, id: TensorId, name: String) {
        self.constants.insert(id, name);
    }

    /// Floats under a fresh name.
    pub fn floats(&mut self, wish: &str, shape: &[usize], values: &[f32]) -> String {
        let name = self.fresh(wish);
        self.initializer(&name, shape, data_type::FLOAT, float_bytes(values));
        name
    }

    /// A list of 64-bit integers under a fresh name.
    pub fn integers(&mut self, wish: &str, values: &[i64]) -> String {
        let name = self.fresh(wish);
        let bytes = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        self.initializer(&name, &[values.len()], data_type::INT64, bytes);
        name
    }

    /// Codes of an integer type that holds them, under a fresh name.
    pub fn codes(&mut self, wish: &str, shape: &[usize], kind: i32, values: &[i32]) -> String {
        let name = self.fresh(wish);
        self.initializer(&name, shape, kind, code_bytes(kind, values));
        name
    }

    /// What `make` adds, once for each wished name.
    pub fn shared(&mut self, wish: &str, make: impl FnOnce(&mut Self, &str) -> String) -> String {
        if let Some(name) = self.shared.get(wish) {
            return name.clone();
        }
        let name = make(self, wish);
        self.shared.insert(wish.to_owned(), name.clone());
        name
    }

    fn initializer(&mut self, name: &str, shape: &[usize], kind: i32, raw: Vec<u8>) {
        let dims = shape.iter().map(|&n| n as i64).collect();
        let tensor =
            TensorProto { name: Some(name.to_owned()), dims, data_type: Some(kind), raw_data: Some(raw), ..TensorProto::default() };
        self.proto.initializer.push(tensor);
    }

    /// Gives nodes that were added here other names where the graph's own have them.
    fn name_nodes(&mut self) {
        let mut taken: HashSet<String> = HashSet::new();
        for node in &mut self.proto.node {
            let wish = node.name.clone().unwrap_or_default();
            let numbered = (1u32..).map(|i| format!("{wish}_{i}"));
            let name = std::iter::once(wish.clone()).chain(numbered).find(|name| !taken.contains(name)).unwrap_or_default();
            taken.insert(name.clone());
            node.name = Some(name);
        }
    }

    /// The bytes of the file: inputs, outputs and metadata of the graph, with more metadata that wins over the same keys.
    ///
    /// # Errors
    /// The file would be refused.
    pub fn finish(mut self, graph: &Graph, more: &[(&str, &str)]) -> Result<Vec<u8>, WriteError> {
        self.drop_unread_truths(graph.outputs(), graph);
        border::complete(&mut self, graph);
        self.name_nodes();
        check::check(&self.proto)?;
        let kept = graph.metadata.iter().filter(|(key, _)| more.iter().all(|(k, _)| k != key)).cloned();
        let added = more.iter().map(|&(key, value)| (key.to_owned(), value.to_owned()));
        let entry = |(key, value)| StringStringEntryProto { key: Some(key), value: Some(value) };
        let model = ModelProto {
            ir_version: Some(ir_version(self.opset)),
            producer_name: Some("quantrain".into()),
            producer_version: Some(env!("CARGO_PKG_VERSION").into()),
            graph: Some(self.proto),
            opset_import: vec![OperatorSetIdProto { domain: None, version: Some(self.opset) }],
            metadata_props: kept.chain(added).map(entry).collect(),
            functions: Vec::new(),
        };
        Ok(model.encode_to_vec())
    }
}

/// The first version of the file format that knows an operator set.
fn ir_version(opset: i64) -> i64 {
    match opset {
        ..=14 => 7,
        15..=18 => 8,
        19..=20 => 9,
        21..=22 => 10,
        23 => 11,
        24 => 12,
        _ => 13,
    }
}

/// An input or output of a type.
pub(super) fn value_info(name: &str, kind: i32, shape: &Shape) -> ValueInfoProto {
    let shape = TensorShapeProto { dim: shape.0.iter().map(|&d| dimension(d)).collect() };
    let tensor_type = TensorTypeProto { elem_type: Some(kind), shape: Some(shape) };
    ValueInfoProto { name: Some(name.to_owned()), r#type: Some(TypeProto { tensor_type: Some(tensor_type) }) }
}

/// Multiples of the batch have no name of their own in ONNX; each gets its text.
fn dimension(dim: Dim) -> DimensionProto {
    match dim {
        Dim::Fixed(n) => DimensionProto { dim_value: Some(n as i64), dim_param: None },
        Dim::Batch(1) => DimensionProto { dim_value: None, dim_param: Some("batch".into()) },
        Dim::Batch(k) => DimensionProto { dim_value: None, dim_param: Some(format!("{k}*batch")) },
    }
}

fn float_bytes(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|v| v.to_le_bytes()).collect()
}

fn code_bytes(kind: i32, values: &[i32]) -> Vec<u8> {
    match kind {
        data_type::INT8 | data_type::UINT8 => values.iter().map(|v| v.to_le_bytes()[0]).collect(),
        data_type::INT16 | data_type::UINT16 => values.iter().flat_map(|v| [v.to_le_bytes()[0], v.to_le_bytes()[1]]).collect(),
        data_type::INT4 | data_type::UINT4 => {
            let nibble = |v: Option<&i32>| v.map_or(0, |v| v.to_le_bytes()[0] & 15);
            values.chunks(2).map(|pair| nibble(pair.first()) | nibble(pair.get(1)) << 4).collect()
        }
        _ => values.iter().flat_map(|v| v.to_le_bytes()).collect(),
    }
}

pub(super) fn int(name: &str, value: i64) -> AttributeProto {
    AttributeProto { i: Some(value), ..attribute(name, attribute_type::INT) }
}

pub(super) fn float(name: &str, value: f32) -> AttributeProto {
    AttributeProto { f: Some(value), ..attribute(name, attribute_type::FLOAT) }
}

pub(super) fn text(name: &str, value: &str) -> AttributeProto {
    AttributeProto { s: Some(value.into()), ..attribute(name, attribute_type::STRING) }
}

pub(super) fn ints(name: &str, values: impl IntoIterator<Item = i64>) -> AttributeProto {
    AttributeProto { ints: values.into_iter().collect(), ..attribute(name, attribute_type::INTS) }
}

pub(super) fn floats(name: &str, values: Vec<f32>) -> AttributeProto {
    AttributeProto { floats: values, ..attribute(name, attribute_type::FLOATS) }
}

pub(super) fn texts(name: &str, values: &[&str]) -> AttributeProto {
    AttributeProto { strings: values.iter().map(|v| v.as_bytes().to_vec()).collect(), ..attribute(name, attribute_type::STRINGS) }
}

pub(super) fn sizes(name: &str, values: &[usize]) -> AttributeProto {
    ints(name, values.iter().map(|&v| v as i64))
}

fn attribute(name: &str, kind: i32) -> AttributeProto {
    AttributeProto { name: Some(name.into()), r#type: Some(kind), ..AttributeProto::default() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn four_bit_codes_are_packed_low_nibble_first() {
        assert_eq!(code_bytes(data_type::INT4, &[1, -1, 7]), [0xf1, 0x07]);
        assert_eq!(code_bytes(data_type::UINT16, &[65535, 1]), [255, 255, 1, 0]);
        assert_eq!(code_bytes(data_type::INT32, &[-2]), (-2i32).to_le_bytes());
    }
}
