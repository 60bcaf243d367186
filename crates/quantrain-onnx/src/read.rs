//! From a file to a graph: checks the model, then reads its nodes in order through the table of operators.
#![deny(clippy::as_conversions)]

mod activation;
mod array;
mod attention;
mod blocks;
mod cast;
mod codes;
mod constant;
mod control;
mod convolution;
mod einsum;
mod elementwise;
mod expand;
mod fold;
mod fused;
mod identity;
mod layout;
mod logic;
mod matmul;
mod message;
mod microsoft;
mod node;
mod normalization;
mod number;
mod operators;
mod options;
mod outputs;
mod pooling;
mod qonnx;
mod quantize;
mod quantized;
mod recurrent;
mod reduction;
mod resize;
mod shape;
mod signal;
mod split;
mod tensor;

pub use operators::{Operator, operators, operators_page};
pub use options::{Evaluate, InputShape, ReadOptions};

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use prost::Message;
use quantrain_graph::{Dim, Graph, GraphBuilder, GraphError, Note, Shape};

use self::message::names::node_name;
use self::message::{external, functions, live, memory, names, order};
use self::node::{Model, NodeReader, Value};
use crate::ReadError;
use crate::proto::{DimensionProto, GraphProto, ModelProto, NodeProto, TypeProto, ValueInfoProto, data_type};

/// The operator sets that are read.
const OPSETS: std::ops::RangeInclusive<i64> = 7..=25;

/// Reads a float network from an ONNX file of operator set 7 to 25.
///
/// Shape arithmetic is folded with the batch size unknown: the first extent of an input is the batch unless it is a positive number.
/// QuantizeLinear and DequantizeLinear pairs become [`quantrain_graph::Op::FakeQuantize`]. Weights of other float types become float32;
/// weights in a file beside the model are fetched.
///
/// # Errors
/// The file cannot be opened, is no ONNX model, or holds what a [`Graph`] cannot: see [`ReadError`].
pub fn read(path: impl AsRef<Path>) -> Result<Graph, ReadError> {
    read_with(path, &ReadOptions::default())
}

/// As [`read`], with shapes that go before those of the file.
///
/// # Errors
/// As [`read`]; or a shape is of an input that the file does not have, or has another number of axes.
pub fn read_with(path: impl AsRef<Path>, options: &ReadOptions) -> Result<Graph, ReadError> {
    let path = path.as_ref();
    let bytes = bytes_of(path)?;
    let (mut model, notes) = decode(path, &bytes)?;
    let size = bytes.len();
    drop(bytes);
    external::load(&mut model, path)?;
    graph_of(path, &model, notes, size, options)
}

/// The bytes of a regular file: pipes and devices may have no end.
pub(crate) fn bytes_of(path: &Path) -> Result<Vec<u8>, ReadError> {
    let failed = |source| ReadError::Io { file: path.into(), source };
    if !std::fs::metadata(path).map_err(failed)?.is_file() {
        return Err(failed(std::io::Error::other("no regular file")));
    }
    std::fs::read(path).map_err(failed)
}

/// Reads a network from the bytes of an ONNX file, all weights among them; `name` stands for the file in errors.
///
/// # Errors
/// As [`read`].
pub fn read_bytes(name: impl AsRef<Path>, bytes: &[u8]) -> Result<Graph, ReadError> {
    read_bytes_with(name, bytes, &ReadOptions::default())
}

/// As [`read_bytes`], with shapes that go before those of the file.
///
/// # Errors
/// As [`read_with`].
pub fn read_bytes_with(name: impl AsRef<Path>, bytes: &[u8], options: &ReadOptions) -> Result<Graph, ReadError> {
    let (model, notes) = decode(name.as_ref(), bytes)?;
    graph_of(name.as_ref(), &model, notes, bytes.len(), options)
}

/// The message of a file: without functions and without what no output depends on, every name distinct.
fn decode(file: &Path, bytes: &[u8]) -> Result<(ModelProto, Vec<Note>), ReadError> {
    let not_onnx = |reason| ReadError::NotOnnx { file: file.into(), reason };
    if let Some(taken) = memory::disproportion(bytes) {
        return Err(not_onnx(format!("{} bytes that would take {taken} bytes of memory", bytes.len())));
    }
    let mut model = ModelProto::decode(bytes).map_err(|e| not_onnx(e.to_string()))?;
    functions::inline(&mut model, bytes.len()).map_err(|functions::TooMuch { node }| ReadError::Functions { file: file.into(), node })?;
    let mut notes = Vec::new();
    if let Some(graph) = &mut model.graph {
        order::sort(graph);
        notes.extend(live::prune(graph));
        quantized::expand(graph);
        fused::expand(graph);
        notes.extend(names::distinguish(graph));
    }
    Ok((model, notes))
}

/// The graph of a decoded model; the size of its file bounds what folding may make.
fn graph_of(file: &Path, model: &ModelProto, notes: Vec<Note>, size: usize, options: &ReadOptions) -> Result<Graph, ReadError> {
    let not_onnx = |reason: String| ReadError::NotOnnx { file: file.into(), reason };
    let proto = model.graph.as_ref().filter(|_| model.ir_version.is_some()).ok_or_else(|| not_onnx("it has no graph".into()))?;
    let opset = default_opset(model).ok_or_else(|| not_onnx("it names no operator set of ONNX's own".into()))?;
    if !OPSETS.contains(&opset) {
        return Err(ReadError::Opset { file: file.into(), found: opset });
    }
    let text = |t: &Option<String>| t.clone().unwrap_or_default();
    let metadata: Vec<(String, String)> = model.metadata_props.iter().map(|p| (text(&p.key), text(&p.value))).collect();
    let attempt = |options: &ReadOptions| {
        let mut builder = GraphBuilder::new(proto.name.as_deref().unwrap_or_default());
        builder.describe(opset, metadata.clone());
        builder.note(notes.iter().cloned());
        let mut reader = Reader { file: file.into(), model: Model::new(builder, proto, size, options) };
        let read = reader.graph(proto, options);
        (reader, read)
    };
    let (reader, read) = attempt(options);
    match read {
        Ok(()) => reader.model.builder.finish().map_err(|source| ReadError::Graph { file: file.into(), source: Box::new(source) }),
        Err(source) => match reader.single_image(options).filter(|single| attempt(single).1.is_ok()) {
            Some(single) => {
                let shapes = single.input_shapes.iter().map(|shape| format!("--input-shape {shape}")).collect::<Vec<_>>().join(" ");
                Err(ReadError::FixedBatch { shapes, source: Box::new(source) })
            }
            None => Err(source),
        },
    }
}

fn default_opset(model: &ModelProto) -> Option<i64> {
    model.opset_import.iter().find(|o| is_default_domain(o.domain.as_deref())).and_then(|o| o.version)
}

fn is_default_domain(domain: Option<&str>) -> bool {
    matches!(domain, None | Some("" | "ai.onnx"))
}

struct Reader<'m> {
    file: PathBuf,
    model: Model<'m>,
}

impl<'m> Reader<'m> {
    fn graph(&mut self, proto: &'m GraphProto, options: &ReadOptions) -> Result<(), ReadError> {
        self.initializers(proto)?;
        self.inputs(proto, options)?;
        self.nodes(proto)?;
        self.outputs(proto)
    }

    /// The same with a batch of 1 for every input whose batch is free; `None` where none is.
    fn single_image(&self, options: &ReadOptions) -> Option<ReadOptions> {
        let graph = self.model.builder.graph();
        let inputs = graph.inputs().iter().map(|&input| graph.tensor(input));
        let free = inputs.filter(|input| input.shape.0.iter().any(|d| matches!(d, Dim::Batch(_))));
        let single = free.map(|input| InputShape { name: Some(input.name.clone()), shape: Shape::fixed(&input.shape.at(1)) });
        let input_shapes: Vec<InputShape> = single.collect();
        (!input_shapes.is_empty()).then(|| ReadOptions { input_shapes, ..options.clone() })
    }

    fn initializers(&mut self, proto: &'m GraphProto) -> Result<(), ReadError> {
        for stored in &proto.initializer {
            let name = stored.name.as_deref().unwrap_or_default();
            tensor::check(stored).map_err(|source| ReadError::Initializer { file: self.file.clone(), tensor: name.into(), source })?;
            self.define(name, Value::Stored(stored))?;
        }
        Ok(())
    }

    /// Network inputs are those that have no initializer (older files list both).
    fn inputs(&mut self, proto: &'m GraphProto, options: &ReadOptions) -> Result<(), ReadError> {
        let initialized: HashSet<&str> = proto.initializer.iter().filter_map(|t| t.name.as_deref()).collect();
        let name_of = |input: &'m ValueInfoProto| input.name.as_deref().unwrap_or_default();
        let inputs: Vec<&ValueInfoProto> = proto.input.iter().filter(|i| !initialized.contains(name_of(i))).collect();
        let stands_for = |given: &InputShape, input| given.name.as_deref().map_or(inputs.len() == 1, |name| name == name_of(input));
        if let Some(given) = options.input_shapes.iter().find(|given| !inputs.iter().any(|i| stands_for(given, i))) {
            let inputs = inputs.iter().map(|i| format!("`{}`", name_of(i))).collect::<Vec<_>>().join(", ");
            return Err(ReadError::InputUnknown { file: self.file.clone(), given: given.to_string(), inputs });
        }
        for &input in &inputs {
            let name = name_of(input);
            let given = options.input_shapes.iter().rev().find(|given| stands_for(given, input));
            let shape = match given {
                Some(given) => self.given_shape(input, &given.shape)?,
                None => self.input_shape(input)?,
            };
            let id = self.model.builder.input_shaped(name, shape).map_err(|e| self.graph_error(e))?;
            let kind = input.r#type.as_ref().and_then(|t| t.tensor_type.as_ref()).and_then(|t| t.elem_type);
            if let Some(kind) = kind.and_then(tensor::element_type_of) {
                self.model.builder.element_type(id, kind);
                if kind.is_integer() {
                    self.model.integers.insert(id, true);
                }
            }
            self.define(name, Value::Activation(id))?;
        }
        Ok(())
    }

    fn define(&mut self, name: &'m str, value: Value<'m>) -> Result<(), ReadError> {
        self.model.define(name, value).map_err(|e| self.graph_error(e))
    }

    fn graph_error(&self, source: GraphError) -> ReadError {
        ReadError::Graph { file: self.file.clone(), source: Box::new(source) }
    }

    /// A shape that goes before the file's.
    fn given_shape(&mut self, input: &ValueInfoProto, given: &Shape) -> Result<Shape, ReadError> {
        if let Ok(dims) = self.input_extents(input) {
            if dims.len() != given.rank() {
                let (file, name) = (self.file.clone(), input.name.clone().unwrap_or_default());
                return Err(ReadError::InputRank { file, input: name, given: given.to_string(), found: dims.len() });
            }
            let batch = dims.first().and_then(|d| d.dim_value).filter(|&n| n > 0);
            self.model.batch = batch.zip(given.0.first().copied()).or(self.model.batch);
        }
        Ok(given.clone())
    }

    fn input_extents<'i>(&self, input: &'i ValueInfoProto) -> Result<&'i [DimensionProto], ReadError> {
        let (file, name) = (self.file.clone(), input.name.clone().unwrap_or_default());
        let tensor = input.r#type.as_ref().and_then(|TypeProto { tensor_type }| tensor_type.as_ref());
        let kind = tensor.and_then(|t| t.elem_type).unwrap_or(0);
        match tensor.and_then(|t| t.shape.as_ref()) {
            Some(shape) if tensor::element_type_of(kind).is_some() => Ok(&shape.dim),
            Some(_) => Err(ReadError::InputType { file, input: name, found: data_type::name(kind) }),
            None => Err(ReadError::InputType { file, input: name, found: "no shape".into() }),
        }
    }

    fn input_shape(&self, input: &ValueInfoProto) -> Result<Shape, ReadError> {
        let (file, name) = (self.file.clone(), input.name.clone().unwrap_or_default());
        let dims = self.input_extents(input)?;
        let mut shape = Vec::with_capacity(dims.len());
        for (axis, dim) in dims.iter().enumerate() {
            let fixed = dim.dim_value.filter(|n| (1..=tensor::LARGEST_EXTENT).contains(n)).and_then(|n| usize::try_from(n).ok());
            shape.push(match (axis, fixed) {
                (_, Some(n)) => Dim::Fixed(n),
                (0, None) if dim.dim_value.is_none_or(|n| n <= 0) => Dim::Batch(1),
                _ => {
                    let value = dim.dim_value.map(|n| n.to_string());
                    let found = value.or_else(|| dim.dim_param.clone()).unwrap_or_else(|| "unknown".into());
                    return Err(ReadError::InputExtent { file, input: name, axis, found });
                }
            });
        }
        Ok(Shape(shape))
    }

    fn nodes(&mut self, proto: &'m GraphProto) -> Result<(), ReadError> {
        proto.node.iter().try_for_each(|node| self.node(node))
    }

    fn node(&mut self, proto: &'m NodeProto) -> Result<(), ReadError> {
        let operator = self.operator(proto)?;
        let mut node = NodeReader::new(&mut self.model, proto);
        (operator.read)(&mut node).and_then(|()| node.finish()).map_err(|source| ReadError::Node {
            file: self.file.clone(),
            node: node_name(proto).into(),
            operator: operator.name,
            source: Box::new(source),
        })?;
        self.model.chosen.take().map_or(Ok(()), |graph| self.branch(proto, graph))
    }

    /// The nodes of a graph stand for the node that it lies in. Most of its outputs have the names of the node's already.
    fn branch(&mut self, owner: &'m NodeProto, graph: &'m GraphProto) -> Result<(), ReadError> {
        self.initializers(graph)?;
        self.nodes(graph)?;
        for (inner, outer) in graph.output.iter().zip(owner.output.iter().filter(|name| !name.is_empty())) {
            let inner = inner.name.as_deref().unwrap_or_default();
            if inner != outer {
                let value = self.model.values.get(inner).cloned();
                let value = value.ok_or_else(|| ReadError::Output {
                    file: self.file.clone(),
                    output: inner.into(),
                    reason: outputs::NOT_COMPUTED.into(),
                })?;
                self.define(outer, value)?;
            }
        }
        Ok(())
    }

    fn operator(&self, proto: &NodeProto) -> Result<&'static Operator, ReadError> {
        let (file, node, opset) = (self.file.clone(), node_name(proto).to_owned(), self.model.opset);
        let name = proto.op_type.as_deref().unwrap_or_default();
        let own = is_default_domain(proto.domain.as_deref());
        let quantizers = qonnx::OPERATORS.iter().filter(|_| proto.domain.as_deref().is_some_and(|d| qonnx::DOMAINS.contains(&d)));
        let joined = microsoft::OPERATORS.iter().filter(|_| proto.domain.as_deref() == Some(microsoft::DOMAIN));
        let Some(operator) = operators().iter().filter(|_| own).chain(quantizers).chain(joined).find(|o| o.name == name) else {
            let domain = proto.domain.as_deref().filter(|_| !own).map(|d| format!("{d}.")).unwrap_or_default();
            let nearest = operators::nearest(name).map_or_else(String::new, |name| format!(" (ONNX has {name})"));
            return Err(ReadError::UnknownOperator { file, node, operator: format!("{domain}{name}"), opset, nearest });
        };
        let (first, last) = operator.opsets;
        if opset < first || opset > last {
            return Err(ReadError::OperatorOpset { file, node, operator: operator.name, opset, first, last });
        }
        Ok(operator)
    }
}

#[cfg(test)]
mod tests;
