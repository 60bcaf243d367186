//! What a reader of one operator works with: attributes and inputs, each marked once read, and the graph that grows.

use std::collections::{HashMap, HashSet};

use quantrain_graph::{Dim, GraphBuilder, GraphError, Op, Quantizer, Shape, StoredCodes, Tensor, TensorId};

use super::array::{Array, Constant};
use super::codes::moved;
use super::message::names::{self, node_name};
use super::number::{self, Number, Real};
use super::tensor;
use crate::proto::{AttributeProto, GraphProto, NodeProto, TensorProto, attribute_type};
use crate::read::options::{Evaluate, ReadOptions};
use crate::{NodeError, TensorError};

/// Elements that folding may make whatever the file's size: scalars grow by broadcasting.
const SMALL_BUDGET: usize = 1 << 20;

/// How often all constants together may be read; a constant is decoded at each of its readers.
const READS_OF_ALL: usize = 64;

/// Products that cost as much as reading a constant's element.
const PRODUCTS: usize = 256;

/// What a name of the file stands for.
#[derive(Clone, Debug)]
pub(super) enum Value<'m> {
    /// A float tensor of the graph.
    Activation(TensorId),
    /// A constant as the file has it, decoded where it is read.
    Stored(&'m TensorProto),
    /// A constant that was computed.
    Constant(Constant),
    /// What a QuantizeLinear made.
    Codes(Codes),
}

impl Value<'_> {
    /// Elements that a reader of the value copies.
    fn elements(&self) -> usize {
        match self {
            Value::Activation(_) | Value::Codes(Codes { source: Operand::Activation(_), .. }) => 0,
            Value::Stored(stored) => tensor::elements(stored),
            Value::Constant(value) | Value::Codes(Codes { source: Operand::Constant { value, .. }, .. }) => value.elements(),
        }
    }
}

/// The result of a QuantizeLinear, waiting for its DequantizeLinear.
#[derive(Clone, Debug)]
pub(super) struct Codes {
    pub source: Operand,
    pub quantizers: Vec<Quantizer>,
    /// The axis of the quantizers, where there are several.
    pub axis: usize,
}

/// An input of a node.
#[derive(Clone, Debug)]
pub(super) enum Operand {
    Activation(TensorId),
    Constant { name: String, value: Constant },
}

impl Operand {
    /// Integers as the floats that an activation has: it holds whole numbers and truths as floats too.
    pub fn into_floats(self) -> Result<Self, NodeError> {
        let (name, (shape, values)) = match self {
            Operand::Constant { name, value: Constant::Integers(a) } => {
                (name, (a.shape, a.values.iter().map(|n| n.fixed().map(number::to_f32)).collect::<Result<_, _>>()?))
            }
            Operand::Constant { name, value: Constant::Reals(a) } => {
                (name, (a.shape, a.values.iter().map(|x| x.fixed()).collect::<Result<_, _>>()?))
            }
            other => return Ok(other),
        };
        Ok(Operand::Constant { name, value: Constant::Floats(Array { shape, values }) })
    }
}

/// The graph on its way, and what its names stand for.
#[derive(Debug)]
pub(super) struct Model<'m> {
    pub builder: GraphBuilder,
    pub values: HashMap<&'m str, Value<'m>>,
    /// The integers behind float constants.
    pub codes: HashMap<String, StoredCodes>,
    /// Lowest and highest code of constants that a Clip gave some.
    pub clipped: HashMap<String, (i64, i64)>,
    /// Of activations behind casts and ArgMax, whether the file has them as integers.
    pub integers: HashMap<TensorId, bool>,
    pub opset: i64,
    /// The file's batch, and what goes in its place where a user says so.
    pub batch: Option<(i64, Dim)>,
    /// How many elements folding may still make; files justify no more than a few times their size.
    pub budget: usize,
    /// Of signals `[N, C, L]` that an operator on images of one row made: the image.
    pub images: HashMap<TensorId, TensorId>,
    /// How many elements of constants may still be read.
    pub work: usize,
    /// The graph inside the node just read that stands for it.
    pub chosen: Option<&'m GraphProto>,
    /// Every name in the file: others are invented.
    names: HashSet<&'m str>,
    /// What runs operators between constants that are not folded here.
    evaluate: Option<Evaluate>,
}

impl<'m> Model<'m> {
    /// Nothing read yet of a graph that lies in a file of `size` bytes.
    pub fn new(builder: GraphBuilder, proto: &'m GraphProto, size: usize, options: &ReadOptions) -> Self {
        let budget = size.saturating_add(SMALL_BUDGET);
        Model {
            opset: builder.graph().opset,
            builder,
            values: HashMap::new(),
            codes: HashMap::new(),
            clipped: HashMap::new(),
            integers: HashMap::new(),
            batch: None,
            budget,
            work: budget.saturating_mul(READS_OF_ALL),
            images: HashMap::new(),
            chosen: None,
            names: names::all(proto),
            evaluate: options.evaluate,
        }
    }

    /// A name that neither the file nor the graph has: the wished one, or one with a number behind it.
    pub fn fresh(&self, wish: &str) -> String {
        self.unused(wish, |name| self.builder.find(name).is_none())
    }

    fn unused(&self, wish: &str, is_free: impl Fn(&str) -> bool) -> String {
        let numbered = (1u32..).map(|i| format!("{wish}_{i}"));
        let mut names = std::iter::once(wish.to_owned()).chain(numbered);
        names.find(|name| !self.names.contains(name.as_str()) && is_free(name)).unwrap_or_default()
    }

    /// Says what a name stands for.
    pub fn define(&mut self, name: &'m str, value: Value<'m>) -> Result<(), GraphError> {
        match self.values.insert(name, value) {
            None => Ok(()),
            Some(_) => Err(GraphError::DefinedTwice { tensor: name.into() }),
        }
    }
}

/// One node, its attributes and inputs counted as they are read.
pub(super) struct NodeReader<'r, 'm> {
    pub model: &'r mut Model<'m>,
    proto: &'m NodeProto,
    attributes_read: Vec<bool>,
    inputs_read: Vec<bool>,
    /// The last number that a result inside the node has in its name.
    steps: usize,
}

impl<'r, 'm> NodeReader<'r, 'm> {
    pub fn new(model: &'r mut Model<'m>, proto: &'m NodeProto) -> Self {
        NodeReader {
            model,
            proto,
            attributes_read: vec![false; proto.attribute.len()],
            inputs_read: vec![false; proto.input.len()],
            steps: 0,
        }
    }

    /// The node's name; unnamed nodes have their output's.
    pub fn name(&self) -> &'m str {
        node_name(self.proto)
    }

    /// A name for what the reader makes itself: the wished one, or one with a number behind it where the file has that.
    pub fn invented(&self, wish: &str) -> String {
        self.model.unused(wish, |_| true)
    }

    pub fn opset(&self) -> i64 {
        self.model.opset
    }

    /// Checks that nothing of the node was overlooked.
    pub fn finish(&self) -> Result<(), NodeError> {
        if let Some(a) = self.attributes_read.iter().position(|read| !read) {
            let attribute = self.proto.attribute.get(a).and_then(|a| a.name.clone()).unwrap_or_default();
            return Err(NodeError::AttributeUnread { attribute });
        }
        let unread = |(position, (name, read)): (usize, (&String, &bool))| {
            (!read && !name.is_empty()).then(|| NodeError::InputUnread { position, tensor: name.clone() })
        };
        self.proto.input.iter().zip(&self.inputs_read).enumerate().find_map(unread).map_or(Ok(()), Err)
    }

    fn attribute<T>(
        &mut self,
        name: &'static str,
        kind: i32,
        expected: &'static str,
        get: impl Fn(&'m AttributeProto) -> T,
    ) -> Result<Option<T>, NodeError> {
        let Some(at) = self.proto.attribute.iter().position(|a| a.name.as_deref() == Some(name)) else { return Ok(None) };
        self.attributes_read[at] = true;
        let attribute = &self.proto.attribute[at];
        // Files before IR version 2 have no types.
        match attribute.r#type {
            Some(found) if found != kind && found != 0 => Err(NodeError::AttributeType { attribute: name, expected }),
            _ => Ok(Some(get(attribute))),
        }
    }

    pub fn int(&mut self, name: &'static str) -> Result<Option<i64>, NodeError> {
        self.attribute(name, attribute_type::INT, "an integer", |a| a.i.unwrap_or(0))
    }

    pub fn float(&mut self, name: &'static str) -> Result<Option<f32>, NodeError> {
        self.attribute(name, attribute_type::FLOAT, "a float", |a| a.f.unwrap_or(0.0))
    }

    pub fn ints(&mut self, name: &'static str) -> Result<Option<Vec<i64>>, NodeError> {
        self.attribute(name, attribute_type::INTS, "integers", |a| a.ints.clone())
    }

    pub fn floats(&mut self, name: &'static str) -> Result<Option<Vec<f32>>, NodeError> {
        self.attribute(name, attribute_type::FLOATS, "floats", |a| a.floats.clone())
    }

    pub fn string(&mut self, name: &'static str) -> Result<Option<String>, NodeError> {
        self.attribute(name, attribute_type::STRING, "text", |a| String::from_utf8_lossy(a.s.as_deref().unwrap_or_default()).into_owned())
    }

    pub fn strings(&mut self, name: &'static str) -> Result<Option<Vec<String>>, NodeError> {
        let text = |s: &Vec<u8>| String::from_utf8_lossy(s).into_owned();
        self.attribute(name, attribute_type::STRINGS, "texts", |a| a.strings.iter().map(text).collect())
    }

    pub fn tensor(&mut self, name: &'static str) -> Result<Option<&'m TensorProto>, NodeError> {
        Ok(self.attribute(name, attribute_type::TENSOR, "a tensor", |a| a.t.as_ref())?.flatten())
    }

    pub fn graph(&mut self, name: &'static str) -> Result<&'m GraphProto, NodeError> {
        let graph = self.attribute(name, attribute_type::GRAPH, "a graph", |a| a.g.as_deref())?.flatten();
        graph.ok_or(NodeError::AttributeMissing { attribute: name })
    }

    /// An attribute that is 0 or 1.
    pub fn flag(&mut self, name: &'static str, default: bool) -> Result<bool, NodeError> {
        match self.int(name)? {
            None => Ok(default),
            Some(0) => Ok(false),
            Some(1) => Ok(true),
            Some(other) => Err(NodeError::Value { what: name, found: other.to_string(), expected: "0 or 1".into() }),
        }
    }

    /// Refuses any value but the one that changes nothing.
    pub fn only(&mut self, name: &'static str, neutral: i64) -> Result<(), NodeError> {
        match self.int(name)? {
            Some(found) if found != neutral => {
                Err(NodeError::Value { what: name, found: found.to_string(), expected: format!("{neutral}") })
            }
            _ => Ok(()),
        }
    }

    /// Number of inputs, empty ones at the end left out.
    pub fn input_count(&self) -> usize {
        self.proto.input.iter().rposition(|name| !name.is_empty()).map_or(0, |last| last + 1)
    }

    /// The name of an input that is there.
    pub fn input_name(&self, position: usize) -> Option<&'m str> {
        self.proto.input.get(position).map(String::as_str).filter(|name| !name.is_empty())
    }

    /// What an optional input stands for.
    pub fn value(&mut self, position: usize) -> Result<Option<Value<'m>>, NodeError> {
        let Some(name) = self.input_name(position) else { return Ok(None) };
        self.inputs_read[position] = true;
        let value = self.model.values.get(name).ok_or_else(|| NodeError::NotDefined { tensor: name.into() })?;
        let value = value.clone();
        self.charge(value.elements(), name)?;
        Ok(Some(value))
    }

    /// Counts elements that are read against what a file may ask for.
    pub fn charge(&mut self, elements: usize, tensor: &str) -> Result<(), NodeError> {
        self.model.work = self.model.work.checked_sub(elements).ok_or_else(|| NodeError::ReadTooOften { tensor: tensor.into() })?;
        Ok(())
    }

    /// An optional input.
    pub fn optional(&mut self, position: usize) -> Result<Option<Operand>, NodeError> {
        let Some(value) = self.value(position)? else { return Ok(None) };
        let name = self.input_name(position).unwrap_or_default().to_owned();
        match value {
            Value::Activation(id) => Ok(Some(Operand::Activation(id))),
            Value::Constant(value) => Ok(Some(Operand::Constant { name, value })),
            Value::Codes(_) => Err(NodeError::NotFloat { tensor: name }),
            Value::Stored(stored) => {
                let value = constant(stored).map_err(|source| NodeError::Tensor { tensor: name.clone(), source })?;
                Ok(Some(Operand::Constant { name, value }))
            }
        }
    }

    /// An input that must be there.
    pub fn operand(&mut self, position: usize) -> Result<Operand, NodeError> {
        self.optional(position)?.ok_or(NodeError::InputMissing { position })
    }

    /// All inputs from `first` on.
    pub fn operands(&mut self, first: usize) -> Result<Vec<Operand>, NodeError> {
        (first..self.input_count()).map(|i| self.operand(i)).collect()
    }

    /// An optional input that must be a constant.
    pub fn constant(&mut self, position: usize) -> Result<Option<Constant>, NodeError> {
        match self.optional(position)? {
            None => Ok(None),
            Some(Operand::Constant { value, .. }) => Ok(Some(value)),
            Some(Operand::Activation(_)) => Err(NodeError::NotConstant { tensor: self.tensor_name(position) }),
        }
    }

    /// An optional input that must be constant floats.
    pub fn constant_floats(&mut self, position: usize) -> Result<Option<Array<f32>>, NodeError> {
        match self.constant(position)? {
            None => Ok(None),
            Some(Constant::Floats(array)) => Ok(Some(array)),
            Some(Constant::Integers(_)) => Err(NodeError::NotFloat { tensor: self.tensor_name(position) }),
            Some(Constant::Reals(array)) => Err(on_the_batch(&array)),
        }
    }

    /// An optional input that must be constant integers.
    pub fn constant_numbers(&mut self, position: usize) -> Result<Option<Array<Number>>, NodeError> {
        match self.constant(position)? {
            None => Ok(None),
            Some(Constant::Integers(array)) => Ok(Some(array)),
            Some(Constant::Floats(_) | Constant::Reals(_)) => Err(NodeError::NotInteger { tensor: self.tensor_name(position) }),
        }
    }

    /// An optional input that must be constant integers which do not depend on the batch.
    pub fn constant_ints(&mut self, position: usize) -> Result<Option<Vec<i64>>, NodeError> {
        let numbers = self.constant_numbers(position)?;
        numbers.map(|a| a.values.iter().map(|n| n.fixed()).collect()).transpose()
    }

    fn tensor_name(&self, position: usize) -> String {
        self.input_name(position).unwrap_or_default().to_owned()
    }

    /// The shape of an operand.
    pub fn shape(&self, operand: &Operand) -> Shape {
        match operand {
            Operand::Activation(id) => self.model.builder.graph().tensor(*id).shape.clone(),
            Operand::Constant { value, .. } => Shape::fixed(value.shape()),
        }
    }

    /// Says what the node's output stands for.
    pub fn define(&mut self, value: Value<'m>) -> Result<(), NodeError> {
        let output = self.output()?;
        Ok(self.model.define(output, value)?)
    }

    /// Says that the output is a constant, and counts it against the budget of folding.
    pub fn define_constant(&mut self, value: Constant) -> Result<(), NodeError> {
        // An integer takes four times the memory of a float.
        let size = if matches!(value, Constant::Integers(_)) { 4 } else { 1 };
        let elements = value.shape().iter().product::<usize>().saturating_mul(size);
        let too_large = || NodeError::TooLarge { shape: Shape::fixed(value.shape()).to_string() };
        self.model.budget = self.model.budget.checked_sub(elements).ok_or_else(too_large)?;
        self.define(Value::Constant(value))
    }

    /// Says which integers the output's constant is made of.
    pub fn define_codes(&mut self, codes: StoredCodes) -> Result<(), NodeError> {
        let output = self.output()?;
        self.model.codes.insert(output.into(), codes);
        Ok(())
    }

    /// Number of outputs, those without a name counted.
    pub fn output_count(&self) -> usize {
        self.proto.output.len()
    }

    /// Counts constants that are made against the budget of folding.
    pub fn spend(&mut self, elements: usize) -> Result<(), NodeError> {
        let left = self.model.budget.checked_sub(elements);
        self.model.budget = left.ok_or_else(|| NodeError::TooLarge { shape: format!("[{elements}]") })?;
        Ok(())
    }

    /// Adds the operator that makes output `position`; its node has the output's name. An output without a name is not made.
    pub fn add_output(&mut self, position: usize, op: Op, operands: Vec<Operand>) -> Result<(), NodeError> {
        let name = self.output_name(position).unwrap_or_default();
        self.add_output_named(position, name, op, operands)
    }

    /// As [`NodeReader::add_output`], with a name for the node.
    pub fn add_output_named(&mut self, position: usize, name: &str, op: Op, operands: Vec<Operand>) -> Result<(), NodeError> {
        let Some(output) = self.output_name(position) else { return Ok(()) };
        match self.apply(op, operands, name, output)? {
            Operand::Activation(id) => Ok(self.model.define(output, Value::Activation(id))?),
            Operand::Constant { value, .. } => {
                self.spend(value.shape().iter().product())?;
                Ok(self.model.define(output, Value::Constant(value))?)
            }
        }
    }

    /// The name of an output that is there.
    pub fn output_name(&self, position: usize) -> Option<&'m str> {
        self.proto.output.get(position).map(String::as_str).filter(|name| !name.is_empty())
    }

    pub fn output(&self) -> Result<&'m str, NodeError> {
        self.proto.output.first().map(String::as_str).filter(|o| !o.is_empty()).ok_or(NodeError::OutputMissing)
    }

    /// Adds the operator to the graph; where all inputs are constants, computes it at once.
    pub fn add(&mut self, op: Op, operands: Vec<Operand>) -> Result<(), NodeError> {
        if let Some(images) = self.images_of(&op, &operands) {
            return self.add_signal(op, images);
        }
        match self.apply(op, operands, self.name(), self.output()?)? {
            Operand::Activation(id) => self.define(Value::Activation(id)),
            Operand::Constant { value, .. } => self.define_constant(value),
        }
    }

    /// As [`NodeReader::add`], for an operator whose result goes on to another of the same node.
    pub fn step(&mut self, op: Op, operands: Vec<Operand>) -> Result<Operand, NodeError> {
        let first = self.proto.output.iter().find(|output| !output.is_empty());
        let (name, output) = (self.name(), first.ok_or(NodeError::OutputMissing)?.as_str());
        let is_free = |name: &str| !self.model.names.contains(name) && self.model.builder.find(name).is_none();
        let k = (self.steps + 1..).find(|k| is_free(&format!("{output}.{k}")) && is_free(&format!("{name}.{k}"))).unwrap_or(0);
        self.steps = k;
        self.apply(op, operands, &format!("{name}.{k}"), &format!("{output}.{k}"))
    }

    pub fn apply(&mut self, op: Op, operands: Vec<Operand>, name: &str, output: &str) -> Result<Operand, NodeError> {
        let (fewest, most) = op.input_count();
        if operands.len() < fewest {
            return Err(NodeError::InputMissing { position: operands.len() });
        }
        if operands.len() > most {
            return Err(NodeError::InputUnread { position: most, tensor: self.tensor_name(most) });
        }
        let constants: Option<Vec<Constant>> =
            operands.iter().map(|o| if let Operand::Constant { value, .. } = o { Some(value.clone()) } else { None }).collect();
        if let Some(constants) = constants {
            self.charge(constants.iter().map(Constant::elements).fold(0, usize::saturating_add), name)?;
            let value = match Constant::evaluate(name, &op, &constants, self.model.budget) {
                Err(NodeError::NotFolded) => self.evaluated(name, &op, &constants)?,
                folded => folded?,
            };
            if let [Operand::Constant { name: from, value: before }] = &operands[..] {
                self.move_codes(&op, from, before.shape(), output);
            }
            return Ok(Operand::Constant { name: output.into(), value });
        }
        // Beside integers of the network constants are such too.
        let integers = operands.iter().any(|o| matches!(o, Operand::Activation(id) if super::cast::is_integer(self.model, *id)));
        let operands = operands.into_iter().map(|o| if integers { o.into_floats() } else { Ok(o) });
        let inputs = operands.map(|o| self.place(o?)).collect::<Result<Vec<_>, _>>()?;
        let id = self.model.builder.node(name, op, &inputs, output)?;
        let shape = &self.model.builder.graph().tensor(id).shape;
        let elements = shape.0.iter().try_fold(1usize, |p, d| p.checked_mul(d.at(1)));
        if elements.is_none_or(|n| n > tensor::MOST_ELEMENTS) || shape.rank() > tensor::MOST_AXES {
            return Err(NodeError::TooLarge { shape: shape.to_string() });
        }
        if elements == Some(0) {
            return Err(NodeError::Empty { shape: shape.to_string() });
        }
        Ok(Operand::Activation(id))
    }

    /// Where an operator moves the elements of a constant, the integers behind them move with them.
    fn move_codes(&mut self, op: &Op, from: &str, shape: &[usize], to: &str) {
        let placed = || self.model.builder.find(from).and_then(|id| self.model.builder.graph().stored_codes(id));
        let Some(codes) = self.model.codes.get(from).or_else(placed) else { return };
        if let Some(codes) = moved(codes, op, shape, self.model.budget) {
            self.model.codes.insert(to.into(), codes);
        }
    }

    /// What an operator that is not folded here makes of constants, where the caller brought something that runs it.
    fn evaluated(&mut self, name: &str, op: &Op, constants: &[Constant]) -> Result<Constant, NodeError> {
        let tensor = |c: &Constant| match c {
            Constant::Floats(a) => Some(Tensor { name: name.into(), shape: Shape::fixed(&a.shape), constant: Some(a.values.clone()) }),
            Constant::Integers(_) | Constant::Reals(_) => None,
        };
        let inputs: Vec<Tensor> = constants.iter().map(tensor).collect::<Option<_>>().ok_or(NodeError::NotFolded)?;
        let shape = op.output_shape(&inputs.iter().map(|input| &input.shape).collect::<Vec<_>>());
        let shape = shape.map_err(|source| GraphError::Shape { node: name.into(), op: op.name(), source })?;
        let elements = shape.0.iter().try_fold(1usize, |p, d| p.checked_mul(d.at(1))).filter(|&n| n <= self.model.budget);
        let elements = elements.ok_or_else(|| NodeError::TooLarge { shape: shape.to_string() })?;
        let largest = constants.iter().map(Constant::elements).max().unwrap_or(0);
        self.charge(elements.saturating_mul(largest) / PRODUCTS, name)?;
        let evaluate = self.model.evaluate.filter(|_| elements > 0 && constants.iter().all(|c| c.elements() > 0));
        let values = evaluate.and_then(|Evaluate(run)| run(op, &inputs)).filter(|values| values.len() == elements);
        Ok(Constant::Floats(Array { shape: shape.at(1), values: values.ok_or(NodeError::NotFolded)? }))
    }

    /// The operand's tensor in the graph; float constants enter it where they are first read.
    fn place(&mut self, operand: Operand) -> Result<TensorId, NodeError> {
        match operand {
            Operand::Activation(id) => Ok(id),
            Operand::Constant { name, value: Constant::Integers(_) } => Err(NodeError::NotFloat { tensor: name }),
            Operand::Constant { value: Constant::Reals(array), .. } => Err(on_the_batch(&array)),
            Operand::Constant { name, value: Constant::Floats(array) } => match self.model.builder.find(&name) {
                Some(id) if self.model.builder.graph().tensor(id).shape == Shape::fixed(&array.shape) => Ok(id),
                found => {
                    // The same weights in other extents, of a signal and of its image.
                    let name = if found.is_some() { self.model.fresh(&name) } else { name };
                    let id = self.model.builder.constant(&name, &array.shape, array.values)?;
                    self.model.codes.remove(&name).into_iter().for_each(|codes| self.model.builder.stored_codes(id, codes));
                    Ok(id)
                }
            },
        }
    }
}

/// Floats that depend on the batch where numbers are needed.
fn on_the_batch(array: &Array<Real>) -> NodeError {
    let found = array.values.iter().find_map(|x| x.fixed().err());
    found.unwrap_or(NodeError::NotFolded)
}

/// Decodes a stored constant.
pub(super) fn constant(stored: &TensorProto) -> Result<Constant, TensorError> {
    if tensor::is_float(stored) {
        tensor::floats(stored).map(Constant::Floats)
    } else {
        Ok(Constant::Integers(tensor::integers(stored)?.map(Number::Fixed)))
    }
}

/// A positive extent from a file.
pub(super) fn extent(what: &'static str, value: i64) -> Result<usize, NodeError> {
    let found = usize::try_from(value).ok().filter(|_| (1..=tensor::LARGEST_EXTENT).contains(&value));
    found.ok_or_else(|| NodeError::Value { what, found: value.to_string(), expected: "a number from 1 to 2147483647".into() })
}

/// An extent that may be a multiple of the batch size.
pub(super) fn dimension(what: &'static str, number: Number) -> Result<Dim, NodeError> {
    match number {
        Number::Fixed(n) => extent(what, n).map(Dim::Fixed),
        Number::Batch(k) => extent(what, k).map(Dim::Batch),
    }
}
