//! A network: tensors with names, nodes in the order they run.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use crate::{Dim, GraphError, Op, PassedOutput, Quantizer, Shape};

/// Position of a tensor in its graph.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TensorId(pub usize);

/// Position of a node in its graph.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NodeId(pub usize);

/// A named tensor: an activation, or a constant with its values.
#[derive(Clone, Debug, PartialEq)]
pub struct Tensor {
    /// The name it has in the file.
    pub name: String,
    /// Its shape, in ONNX's axis order.
    pub shape: Shape,
    /// Row-major values of a constant.
    pub constant: Option<Vec<f32>>,
}

/// The integers that a file holds for a constant; the constant's values are theirs, `f32(q − z)·s`.
#[derive(Clone, Debug, PartialEq)]
pub struct StoredCodes {
    /// Centred codes `q − z`, row-major.
    pub centred: Vec<i32>,
    /// One quantizer, or one for each element of an axis.
    pub quantizers: Vec<Quantizer>,
    /// The axis of the quantizers, where there are several.
    pub axis: usize,
}

/// The type that a file has for an input or an output; the graph computes in 32-bit floats all the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ElementType {
    /// 32-bit floats.
    Float,
    /// 64-bit floats.
    Double,
    /// 16-bit floats, 5 bits of them the exponent.
    Float16,
    /// 16-bit floats, 8 bits of them the exponent.
    BFloat16,
    /// 8-bit integers.
    Int8,
    /// 8-bit integers from 0.
    Uint8,
    /// 16-bit integers.
    Int16,
    /// 16-bit integers from 0.
    Uint16,
    /// 32-bit integers.
    Int32,
    /// 32-bit integers from 0.
    Uint32,
    /// 64-bit integers.
    Int64,
    /// 64-bit integers from 0.
    Uint64,
    /// Truths: 0.0 is false, everything else true.
    Bool,
}

impl ElementType {
    /// Whether values are whole numbers; truths are none.
    pub fn is_integer(self) -> bool {
        self.limits().is_some() && self != ElementType::Bool
    }

    /// The least and greatest value of integers and truths.
    pub fn limits(self) -> Option<(i128, i128)> {
        let signed = |bits: u32| Some((-(1 << (bits - 1)), (1 << (bits - 1)) - 1));
        let unsigned = |bits: u32| Some((0, (1 << bits) - 1));
        match self {
            ElementType::Float | ElementType::Double | ElementType::Float16 | ElementType::BFloat16 => None,
            ElementType::Int8 => signed(8),
            ElementType::Int16 => signed(16),
            ElementType::Int32 => signed(32),
            ElementType::Int64 => signed(64),
            ElementType::Uint8 => unsigned(8),
            ElementType::Uint16 => unsigned(16),
            ElementType::Uint32 => unsigned(32),
            ElementType::Uint64 => unsigned(64),
            ElementType::Bool => unsigned(1),
        }
    }

    /// The name, as NumPy has it.
    pub fn name(self) -> &'static str {
        match self {
            ElementType::Float => "float32",
            ElementType::Double => "float64",
            ElementType::Float16 => "float16",
            ElementType::BFloat16 => "bfloat16",
            ElementType::Int8 => "int8",
            ElementType::Uint8 => "uint8",
            ElementType::Int16 => "int16",
            ElementType::Uint16 => "uint16",
            ElementType::Int32 => "int32",
            ElementType::Uint32 => "uint32",
            ElementType::Int64 => "int64",
            ElementType::Uint64 => "uint64",
            ElementType::Bool => "bool",
        }
    }
}

/// An operator applied to tensors.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// The name it has in the file, or one made from its output.
    pub name: String,
    /// Operator and attributes.
    pub op: Op,
    /// Inputs in ONNX's order; trailing optional ones left out.
    pub inputs: Vec<TensorId>,
    /// The output.
    pub output: TensorId,
}

/// What became of a file while it was read, where that is not what it says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Note {
    /// No output depends on a node.
    NodeLeftOut {
        /// The node.
        node: String,
        /// Its operator.
        operator: String,
    },
    /// No output depends on an input.
    InputLeftOut {
        /// The input.
        input: String,
    },
    /// Weights have a scale for each block of an axis.
    BlocksAsFloats {
        /// The weights.
        tensor: String,
        /// Elements of a block.
        block: usize,
    },
    /// Another node has the name that a node has in the file.
    NodeRenamed {
        /// The name in the file.
        node: String,
        /// The first tensor that the node writes.
        output: String,
        /// Its name here.
        renamed: String,
    },
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Note::NodeLeftOut { node, operator } => write!(f, "node `{node}` ({operator}) is left out: no output depends on it"),
            Note::BlocksAsFloats { tensor, block } => {
                write!(f, "`{tensor}` has a scale for each block of {block}: it is read as floats, and quantized anew where its layer is")
            }
            Note::InputLeftOut { input } => write!(f, "input `{input}` is left out: no output depends on it"),
            Note::NodeRenamed { node, output, renamed } => {
                write!(f, "the node that writes `{output}` is called `{renamed}`: another one has its name `{node}`")
            }
        }
    }
}

/// A network in topological order, every shape known but for the batch size.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Graph {
    /// Name of the graph.
    pub name: String,
    pub(crate) tensors: Vec<Tensor>,
    pub(crate) nodes: Vec<Node>,
    pub(crate) inputs: Vec<TensorId>,
    pub(crate) outputs: Vec<TensorId>,
    pub(crate) codes: BTreeMap<TensorId, StoredCodes>,
    /// Of inputs and outputs that are no 32-bit floats in the file: what they are.
    pub element_types: BTreeMap<TensorId, ElementType>,
    /// The outputs that nothing computes, by position; those of [`Graph::outputs`] lie between them.
    pub passed: Vec<PassedOutput>,
    /// What became of the file while it was read.
    pub notes: Vec<Note>,
    /// Key and value pairs that travel with the file.
    pub metadata: Vec<(String, String)>,
    /// Version of the ONNX operator set that the file was written for.
    pub opset: i64,
}

impl Graph {
    /// All tensors, by id.
    pub fn tensors(&self) -> &[Tensor] {
        &self.tensors
    }

    /// All nodes, by id, each after the nodes it reads from.
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// The tensors fed from outside.
    pub fn inputs(&self) -> &[TensorId] {
        &self.inputs
    }

    /// The tensors handed out.
    pub fn outputs(&self) -> &[TensorId] {
        &self.outputs
    }

    /// The tensor of an id of this graph.
    pub fn tensor(&self, id: TensorId) -> &Tensor {
        &self.tensors[id.0]
    }

    /// The node of an id of this graph.
    pub fn node(&self, id: NodeId) -> &Node {
        &self.nodes[id.0]
    }

    /// The type that an input or output has in the file.
    pub fn element_type(&self, id: TensorId) -> ElementType {
        self.element_types.get(&id).copied().unwrap_or(ElementType::Float)
    }

    /// Of each input that is an index as it is fed, how many elements there are to choose among.
    pub fn indexed_extents(&self) -> BTreeMap<TensorId, usize> {
        let mut indexed: BTreeMap<TensorId, usize> = BTreeMap::new();
        for node in &self.nodes {
            let (Op::Lookup(op), Some(&x), Some(&indices)) = (&node.op, node.inputs.first(), node.inputs.get(1)) else { continue };
            let shape = &self.tensor(x).shape;
            let Some(extent) = shape.axis(op.axis).ok().and_then(|axis| shape.0[axis].fixed()) else { continue };
            let least = indexed.entry(self.moved_from(indices)).or_insert(extent);
            *least = extent.min(*least);
        }
        indexed.retain(|t, _| self.inputs.contains(t));
        indexed
    }

    /// The tensor whose elements lie in another behind operators that only move them.
    fn moved_from(&self, mut tensor: TensorId) -> TensorId {
        while let Some(node) = self.producer(tensor).map(|n| self.node(n)) {
            match (&node.op, node.inputs.first()) {
                (Op::Identity | Op::Reshape(_) | Op::Flatten(_) | Op::Transpose(_), Some(&from)) => tensor = from,
                _ => break,
            }
        }
        tensor
    }

    /// The tensor of a name.
    pub fn find(&self, name: &str) -> Option<TensorId> {
        self.tensors.iter().position(|t| t.name == name).map(TensorId)
    }

    /// The values of a constant.
    pub fn constant(&self, id: TensorId) -> Option<&[f32]> {
        self.tensor(id).constant.as_deref()
    }

    /// The integers that the file holds for a constant.
    pub fn stored_codes(&self, id: TensorId) -> Option<&StoredCodes> {
        self.codes.get(&id)
    }

    /// Replaces the values of a constant, as training does; integers that a file held for it are forgotten.
    ///
    /// # Errors
    /// The tensor is no constant or the count of values differs.
    pub fn set_constant(&mut self, id: TensorId, values: Vec<f32>) -> Result<(), GraphError> {
        let tensor = &mut self.tensors[id.0];
        let expected = tensor.constant.as_ref().map_or(0, Vec::len);
        if values.len() != expected {
            return Err(GraphError::ConstantLength { tensor: tensor.name.clone(), found: values.len(), expected });
        }
        tensor.constant = Some(values);
        self.codes.remove(&id);
        Ok(())
    }

    /// The nodes that read a tensor, a node twice where it reads it twice.
    pub fn readers(&self, id: TensorId) -> impl Iterator<Item = NodeId> + '_ {
        self.nodes.iter().enumerate().flat_map(move |(n, node)| node.inputs.iter().filter(move |&&t| t == id).map(move |_| NodeId(n)))
    }

    /// Of each tensor its only reader, where there is just one and the tensor is not an output.
    pub fn single_readers(&self) -> Vec<Option<NodeId>> {
        let mut readers = vec![(0, None); self.tensors.len()];
        for (n, node) in self.nodes.iter().enumerate() {
            for input in &node.inputs {
                let (count, _) = readers[input.0];
                readers[input.0] = (count + 1, Some(NodeId(n)));
            }
        }
        self.outputs.iter().for_each(|output| readers[output.0].1 = None);
        readers.into_iter().map(|(count, reader)| reader.filter(|_| count == 1)).collect()
    }

    /// The node that writes a tensor.
    pub fn producer(&self, id: TensorId) -> Option<NodeId> {
        self.nodes.iter().position(|n| n.output == id).map(NodeId)
    }

    /// Whether every tensor that is no constant is one sample after the other, and no function of a user's sees several: a batch may then be
    /// run in parts.
    pub fn splits_by_sample(&self) -> bool {
        let by_sample = |s: &Shape| s.0.first() == Some(&Dim::Batch(1)) && s.0[1..].iter().all(|d| d.fixed().is_some());
        let activations = self.tensors.iter().filter(|t| t.constant.is_none());
        activations.map(|t| &t.shape).all(by_sample) && !self.nodes.iter().any(|n| matches!(n.op, Op::StraightThrough(_)))
    }

    /// Number of values in constants that nodes read.
    pub fn parameter_count(&self) -> usize {
        let read: BTreeSet<TensorId> = self.nodes.iter().flat_map(|n| n.inputs.iter().copied()).collect();
        read.into_iter().filter_map(|t| self.constant(t)).map(<[f32]>::len).sum()
    }

    /// Multiplications and additions of convolutions and matrix products for one sample, each pair counted once.
    pub fn multiply_accumulates(&self, node: NodeId) -> usize {
        let node = self.node(node);
        let out = self.tensor(node.output).shape.elements(1);
        let (times, each) = match &node.op {
            Op::Convolution(_) => (out, self.tensor(node.inputs[1]).shape.0[1..].iter().map(|d| d.at(1)).product()),
            Op::ConvTranspose(_) => {
                let (x, w) = (&self.tensor(node.inputs[0]).shape, &self.tensor(node.inputs[1]).shape);
                (x.elements(1) / w.0[0].at(1).max(1), w.elements(1))
            }
            Op::Gemm(op) => (out, self.tensor(node.inputs[1]).shape.0[usize::from(op.transpose_b)].at(1)),
            Op::MatMul(_) => (out, self.tensor(node.inputs[0]).shape.0.last().map_or(1, |d| d.at(1))),
            _ => (0, 0),
        };
        times.saturating_mul(each)
    }
}
