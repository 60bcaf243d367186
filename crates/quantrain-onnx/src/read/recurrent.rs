//! LSTM, GRU and RNN: one operator each, what their outputs hand out taken apart behind it.

use quantrain_graph::op::{Activation, Cell, Direction, Expand, Extent, Optional, Recurrent, Reshape, Results, Slice, Transpose};
use quantrain_graph::{Dim, Op, Shape};

use super::array::Constant;
use super::expand::{repeated, with_batch};
use super::layout::wrong;
use super::node::{NodeReader, Operand, extent};
use crate::NodeError;
use crate::error::listed;

pub(super) fn lstm(node: &mut NodeReader) -> Result<(), NodeError> {
    node.only("input_forget", 0)?;
    recurrent(node, Cell::Lstm)
}

pub(super) fn gru(node: &mut NodeReader) -> Result<(), NodeError> {
    let linear_before_reset = node.flag("linear_before_reset", false)?;
    recurrent(node, Cell::Gru { linear_before_reset })
}

pub(super) fn rnn(node: &mut NodeReader) -> Result<(), NodeError> {
    recurrent(node, Cell::Plain)
}

/// Where the results of a node are among its outputs: Y, Y_h, Y_c.
const SEQUENCE: usize = 0;
const HIDDEN: usize = 1;
const CELL: usize = 2;

fn recurrent(node: &mut NodeReader, cell: Cell) -> Result<(), NodeError> {
    let direction = match node.string("direction")?.as_deref() {
        None | Some("forward") => Direction::Forward,
        Some("reverse") => Direction::Reverse,
        Some("bidirectional") => Direction::Bidirectional,
        Some(other) => return Err(wrong("direction", other.into(), "forward, reverse or bidirectional")),
    };
    if let Some(clip) = node.float("clip")? {
        return Err(wrong("clip", clip.to_string(), "none: gates that are clipped are not supported; train without"));
    }
    let functions = functions(node, cell, direction)?;
    let samples_first = node.flag("layout", false)?;
    let x = node.operand(0)?.into_floats()?;
    let x = if samples_first { exchange(node, x)? } else { x };
    let (w, r) = (node.operand(1)?, node.operand(2)?);
    let hidden = node.shape(&r).0.last().and_then(|d| d.fixed()).unwrap_or(0);
    if let Some(said) = node.int("hidden_size")?.filter(|&said| extent("hidden_size", said) != Ok(hidden)) {
        return Err(wrong("hidden_size", said.to_string(), &format!("{hidden}, the last extent of R")));
    }
    let bias = node.optional(3)?;
    let lengths = lengths(node, &x)?;
    let state = Shape(vec![Dim::Fixed(direction.count()), samples(node, &x), Dim::Fixed(hidden)]);
    let start = start(node, 5, &state, samples_first)?;
    let is_lstm = cell == Cell::Lstm;
    let start_cell = if is_lstm { self::start(node, 6, &state, samples_first)? } else { None };
    let peepholes = if is_lstm { node.optional(7)? } else { None };
    let is_wanted = |node: &NodeReader, position: usize| node.output_name(position).is_some() && (is_lstm || position != CELL);
    let results = Results { sequence: is_wanted(node, SEQUENCE), hidden: is_wanted(node, HIDDEN), cell: is_wanted(node, CELL) };
    let optional = Optional { bias: bias.is_some(), peepholes: peepholes.is_some(), hidden: start.is_some(), cell: start_cell.is_some() };
    let operands = [Some(x), Some(w), Some(r), bias, peepholes, start, start_cell].into_iter().flatten().collect();
    let op = Recurrent { cell, direction, hidden, functions, optional, lengths, results };
    hand_out(node, op, operands, samples_first)
}

/// The number of samples.
fn samples(node: &NodeReader, x: &Operand) -> Dim {
    node.shape(x).0.get(1).copied().unwrap_or(Dim::Fixed(1))
}

/// The first two axes exchanged: ONNX's layout 1 has the samples first.
fn exchange(node: &mut NodeReader, x: Operand) -> Result<Operand, NodeError> {
    node.step(Op::Transpose(Transpose { permutation: vec![1, 0, 2] }), vec![x])
}

/// The lengths of the sequences, where some are shorter than the longest.
fn lengths(node: &mut NodeReader, x: &Operand) -> Result<Option<Vec<usize>>, NodeError> {
    let Some(found) = node.constant_ints(4)? else { return Ok(None) };
    let steps = node.shape(x).0.first().and_then(|d| d.fixed()).unwrap_or(0);
    let lengths: Option<Vec<usize>> = found.iter().map(|&n| usize::try_from(n).ok().filter(|&n| n <= steps)).collect();
    let lengths = lengths.ok_or_else(|| wrong("sequence_lens", listed(&found), &format!("numbers from 0 to {steps}")))?;
    Ok(Some(lengths).filter(|lengths| lengths.iter().any(|&n| n != steps)))
}

/// What the steps start from; nothing where it is 0. A constant for one sample serves every sample of a free batch.
fn start(node: &mut NodeReader, position: usize, state: &Shape, samples_first: bool) -> Result<Option<Operand>, NodeError> {
    let Some(given) = node.optional(position)? else { return Ok(None) };
    let is_zero = |o: &Operand| matches!(o, Operand::Constant { value: Constant::Floats(a), .. } if a.values.iter().all(|&v| v == 0.0));
    let repeats_zero = repeated(node, &given)?.is_some_and(|constant| is_zero(&constant));
    if is_zero(&given) || repeats_zero {
        return Ok(None);
    }
    let given = given.into_floats()?;
    let given = if samples_first { exchange(node, given)? } else { given };
    let serves_all = matches!(given, Operand::Constant { .. }) && node.shape(&given).0.get(1) == Some(&Dim::Fixed(1));
    if !serves_all || node.shape(&given) == *state {
        return Ok(Some(given));
    }
    let operands = with_batch(node, given)?;
    node.step(Op::Expand(Expand { to: state.clone() }), operands).map(Some)
}

/// Adds the operator and, where it has several results, what takes them apart.
fn hand_out(node: &mut NodeReader, op: Recurrent, operands: Vec<Operand>, samples_first: bool) -> Result<(), NodeError> {
    let Results { sequence, hidden, cell } = op.results;
    let wanted: Vec<usize> =
        [(SEQUENCE, sequence), (HIDDEN, hidden), (CELL, cell)].into_iter().filter(|(_, w)| *w).map(|(k, _)| k).collect();
    let back =
        |position: usize| Op::Transpose(Transpose { permutation: if position == SEQUENCE { vec![2, 0, 1, 3] } else { vec![1, 0, 2] } });
    if let [position] = wanted[..] {
        if !samples_first {
            return node.add_output_named(position, node.name(), Op::Recurrent(op), operands);
        }
        let y = node.step(Op::Recurrent(op), operands)?;
        return node.add_output(position, back(position), vec![y]);
    }
    if wanted.is_empty() {
        return Err(NodeError::OutputMissing);
    }
    let state = [Dim::Fixed(op.direction.count()), operands.first().map_or(Dim::Fixed(1), |x| samples(node, x)), Dim::Fixed(op.hidden)];
    let steps = operands.first().and_then(|x| node.shape(x).0.first()?.fixed()).unwrap_or(0);
    let joined = node.model.fresh(&format!("{}.joined", node.name()));
    let joined = node.apply(Op::Recurrent(op), operands, node.name(), &joined)?;
    let mut first = 0;
    for position in wanted {
        let next = first + if position == SEQUENCE { steps } else { 1 };
        let [from, to] = [first, next].map(|n| i64::try_from(n).unwrap_or(i64::MAX));
        first = next;
        let slice = Op::Slice(Slice { starts: vec![from], ends: vec![to], axes: vec![0], steps: vec![1] });
        let without_steps = Op::Reshape(Reshape { extents: state.iter().map(|&d| Extent::Is(d)).collect() });
        let mut parts = vec![slice];
        parts.extend((position != SEQUENCE).then_some(without_steps));
        parts.extend(samples_first.then(|| back(position)));
        let last = parts.pop().ok_or(NodeError::OutputMissing)?;
        let part = parts.into_iter().try_fold(joined.clone(), |part, op| node.step(op, vec![part]))?;
        node.add_output(position, last, vec![part])?;
    }
    Ok(())
}

/// The functions of each direction; those that have numbers take them from the lists in turn.
fn functions(node: &mut NodeReader, cell: Cell, direction: Direction) -> Result<Vec<Activation>, NodeError> {
    let count = cell.functions() * direction.count();
    let usual: &[&str] = match cell {
        Cell::Lstm => &["Sigmoid", "Tanh", "Tanh"],
        Cell::Gru { .. } => &["Sigmoid", "Tanh"],
        Cell::Plain => &["Tanh"],
    };
    let names = match node.strings("activations")? {
        Some(names) => names,
        None => usual.iter().map(|&name| name.to_owned()).cycle().take(count).collect(),
    };
    let (mut alphas, mut betas) =
        (node.floats("activation_alpha")?.unwrap_or_default().into_iter(), node.floats("activation_beta")?.unwrap_or_default().into_iter());
    if names.len() != count {
        return Err(wrong("activations", names.join(", "), &format!("{count} functions")));
    }
    let number = |numbers: &mut std::vec::IntoIter<f32>, default: f32| Some(numbers.next().unwrap_or(default)).filter(|v| v.is_finite());
    let mut function = |name: &String| {
        let function = match name.to_lowercase().as_str() {
            "sigmoid" => Some(Activation::Sigmoid),
            "tanh" => Some(Activation::Tanh),
            "relu" => Some(Activation::Relu),
            "softsign" => Some(Activation::Softsign),
            "softplus" => Some(Activation::Softplus),
            "leakyrelu" => number(&mut alphas, 0.01).map(|alpha| Activation::LeakyRelu { alpha }),
            "thresholdedrelu" => number(&mut alphas, 1.0).map(|alpha| Activation::ThresholdedRelu { alpha }),
            "elu" => number(&mut alphas, 1.0).map(|alpha| Activation::Elu { alpha }),
            "hardsigmoid" => {
                number(&mut alphas, 0.2).zip(number(&mut betas, 0.5)).map(|(alpha, beta)| Activation::HardSigmoid { alpha, beta })
            }
            _ => None,
        };
        let expected = "Sigmoid, Tanh, Relu, Softsign, Softplus, LeakyRelu, ThresholdedRelu, Elu or HardSigmoid with finite numbers";
        function.ok_or_else(|| wrong("activations", name.clone(), expected))
    };
    names.iter().map(&mut function).collect()
}
