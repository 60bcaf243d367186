//! Quant, the quantizer of QONNX files (Brevitas, FINN, hls4ml): `(clamp(round(x/s + z)) − z)·s` with limits from a bit width and a rounding
//! by name. Where a [`Quantizer`] says the same it is one; any other rounding of activations is spelled out in operators.

use quantrain_graph::op::{Activation, Binary, FakeQuantize};
use quantrain_graph::{Op, Quantizer, Rounding, Shape, StoredCodes};

use super::array::{Array, Constant};
use super::node::{NodeReader, Operand};
use super::number;
use super::operators::Operator;
use super::quantize::by_axis;
use crate::NodeError;
use crate::error::listed;

/// The domains that the operators stand in.
pub(super) const DOMAINS: [&str; 3] = ["qonnx.custom_op.general", "finn.custom_op.general", "onnx.brevitas"];

/// The operators, by name.
pub(super) const OPERATORS: [Operator; 3] = [
    Operator { name: "BipolarQuant", opsets: (7, i64::MAX), notes: "refused: codes −1 and 1 without 0", read: bipolar },
    Operator { name: "IntQuant", opsets: (7, i64::MAX), notes: "as Quant", read: quant },
    Operator {
        name: "Quant",
        opsets: (7, i64::MAX),
        notes: "weights in every rounding mode; activations become FakeQuantize with ROUND and HALF_UP, float operators with the others",
        read: quant,
    },
];

/// Up to here integers are f32, and codes of activations 16 bits.
const MOST_BITS: f32 = 16.0;

/// Biases have codes of 32 bits.
const MOST_BITS_OF_CONSTANTS: f32 = 32.0;

fn bipolar(_: &mut NodeReader) -> Result<(), NodeError> {
    Err(NodeError::NoQuantizer { reason: ONE_BIT })
}

const ONE_BIT: &str =
    "codes of one bit, -1 and 1 without 0, are no integer grid that a target has; use 2 bits or more (Quant with ternary codes)";

/// How a Quant rounds, by qonnx's names.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Mode {
    HalfToEven,
    Up,
    Down,
    Ceil,
    Floor,
    HalfUp,
    HalfDown,
}

impl Mode {
    fn named(name: &str) -> Result<Self, NodeError> {
        match name.to_uppercase().as_str() {
            "ROUND" | "HALF_EVEN" => Ok(Mode::HalfToEven),
            "UP" => Ok(Mode::Up),
            "DOWN" => Ok(Mode::Down),
            "CEIL" => Ok(Mode::Ceil),
            "FLOOR" => Ok(Mode::Floor),
            "HALF_UP" => Ok(Mode::HalfUp),
            "HALF_DOWN" => Ok(Mode::HalfDown),
            _ => Err(NodeError::Value {
                what: "rounding_mode",
                found: name.into(),
                expected: "ROUND, HALF_EVEN, CEIL, FLOOR, UP, DOWN, HALF_UP or HALF_DOWN".into(),
            }),
        }
    }

    /// UP and DOWN are away from zero and towards it, halves too.
    fn round(self, t: f32) -> f32 {
        match self {
            Mode::HalfToEven => t.round_ties_even(),
            Mode::Up => t.abs().ceil().copysign(t),
            Mode::Down => t.trunc(),
            Mode::Ceil => t.ceil(),
            Mode::Floor => t.floor(),
            Mode::HalfUp => (t.abs() + 0.5).floor().copysign(t),
            Mode::HalfDown => (t.abs() - 0.5).ceil().copysign(t),
        }
    }

    /// The rounding that gives the same codes around a zero point, if there is one.
    fn around(self, zero: f32, low: f32) -> Option<Rounding> {
        match self {
            Mode::HalfToEven if zero % 2.0 == 0.0 => Some(Rounding::HalfToEven),
            Mode::HalfUp if zero == 0.0 => Some(Rounding::HalfAwayFromZero),
            // Numbers that are not clamped are then above zero, where both are one.
            Mode::HalfUp if low >= 0.0 => Some(Rounding::HalfUp),
            _ => None,
        }
    }
}

/// The numbers of a Quant.
struct Numbers {
    scales: Array<f32>,
    zeros: Array<f32>,
    /// The axis that scales or zero points belong to, where there are several.
    axis: usize,
    channels: usize,
    low: f32,
    high: f32,
    mode: Mode,
}

impl Numbers {
    fn read(node: &mut NodeReader, x: &Shape, most_bits: f32) -> Result<Self, NodeError> {
        let mut floats = |position| node.constant_floats(position)?.ok_or(NodeError::InputMissing { position });
        let (scales, zeros, bits) = (floats(1)?, floats(2)?, floats(3)?);
        let mode = Mode::named(&node.string("rounding_mode")?.unwrap_or_else(|| "ROUND".into()))?;
        let (signed, narrow) = (node.flag("signed", true)?, node.flag("narrow", true)?);
        let first = bits.values.first().copied().unwrap_or(f32::NAN);
        let whole = first.fract() == 0.0 && (1.0..=most_bits).contains(&first) && bits.values.iter().all(|&b| b == first);
        if !whole {
            let expected = format!("one whole number of bits for the whole tensor, at most {most_bits}");
            return Err(NodeError::Value { what: "bitwidth", found: listed(&bits.values), expected });
        }
        if signed && first == 1.0 {
            return Err(NodeError::NoQuantizer { reason: ONE_BIT });
        }
        let codes = first.exp2();
        let narrow = f32::from(u8::from(narrow));
        let (low, high) = if signed { (narrow - codes / 2.0, codes / 2.0 - 1.0) } else { (0.0, codes - 1.0 - narrow) };
        let (scale_axis, zero_axis) = (axis_of("scale", &scales, x)?, axis_of("zeropt", &zeros, x)?);
        let axis = scale_axis.or(zero_axis).unwrap_or(0);
        if scale_axis.is_some() && zero_axis.is_some_and(|zero| zero != axis) {
            let expected = "along the axis of the scales".into();
            return Err(NodeError::Value { what: "zeropt", found: format!("of shape {}", Shape::fixed(&zeros.shape)), expected });
        }
        let channels = scales.values.len().max(zeros.values.len());
        Ok(Numbers { scales, zeros, axis, channels, low, high, mode })
    }

    fn of_channel(&self, c: usize) -> (f32, f32) {
        let at = |values: &[f32]| values.get(c).or(values.first()).copied().unwrap_or(f32::NAN);
        (at(&self.scales.values), at(&self.zeros.values))
    }

    /// The quantizers of these numbers with a rounding; `None` where a zero point is no code.
    fn quantizers(&self, rounding: impl Fn(f32) -> Option<Rounding>) -> Result<Option<Vec<Quantizer>>, NodeError> {
        let mut quantizers = Vec::with_capacity(self.channels);
        for (scale, zero) in (0..self.channels).map(|c| self.of_channel(c)) {
            let Some(rounding) = rounding(zero).filter(|_| zero.fract() == 0.0) else { return Ok(None) };
            let [zero, low, high] = [zero, self.low, self.high].map(|n| i32::try_from(number::truncate(n)).unwrap_or(i32::MAX));
            quantizers.push(Quantizer::new(scale, zero, low, high, rounding)?);
        }
        Ok(Some(quantizers))
    }
}

/// The axis of x that a tensor of numbers changes along; `None` where it has but one.
fn axis_of(what: &'static str, numbers: &Array<f32>, x: &Shape) -> Result<Option<usize>, NodeError> {
    if numbers.values.len() == 1 {
        return Ok(None);
    }
    // As in NumPy, the last axes are the same.
    let axes = (0..x.rank()).rev().zip(numbers.shape.iter().rev());
    let mut varying = axes.filter(|(_, n)| **n != 1);
    match (varying.next(), varying.next()) {
        (Some((axis, &n)), None) if x.fixed_at(axis) == Ok(n) && numbers.shape.len() <= x.rank() => Ok(Some(axis)),
        _ => {
            let expected = format!("one value, or one for each element of an axis of {x}");
            Err(NodeError::Value { what, found: format!("of shape {}", Shape::fixed(&numbers.shape)), expected })
        }
    }
}

fn quant(node: &mut NodeReader) -> Result<(), NodeError> {
    let x = node.operand(0)?;
    let shape = node.shape(&x);
    match x {
        Operand::Constant { value: Constant::Floats(values), .. } => {
            let numbers = Numbers::read(node, &shape, MOST_BITS_OF_CONSTANTS)?;
            constant(node, &values, &numbers)
        }
        Operand::Constant { name, .. } => Err(NodeError::NotFloat { tensor: name }),
        x => {
            let numbers = Numbers::read(node, &shape, MOST_BITS)?;
            match numbers.quantizers(|zero| numbers.mode.around(zero, numbers.low))? {
                Some(quantizers) if quantizers.len() == 1 || numbers.axis == 1 => {
                    node.add(Op::FakeQuantize(FakeQuantize { quantizers }), vec![x])
                }
                _ => spelled_out(node, x, numbers),
            }
        }
    }
}

/// Weights and biases are rounded while reading, and keep their codes where these are integers.
fn constant(node: &mut NodeReader, x: &Array<f32>, numbers: &Numbers) -> Result<(), NodeError> {
    let centred = by_axis(x, numbers.axis, numbers.channels, |x, c| {
        let (scale, zero) = numbers.of_channel(c);
        numbers.mode.round((x / scale + zero).clamp(numbers.low, numbers.high)) - zero
    });
    let centred = Array { shape: x.shape.clone(), values: centred };
    let values = by_axis(&centred, numbers.axis, numbers.channels, |q, c| q * numbers.of_channel(c).0);
    if let Some(quantizers) = numbers.quantizers(|_| Some(Rounding::HalfToEven))? {
        let integers = centred.values.iter().map(|&q| i32::try_from(number::truncate(q)).ok());
        if let Some(centred) = integers.collect() {
            node.define_codes(StoredCodes { centred, quantizers, axis: numbers.axis })?;
        }
    }
    node.define_constant(Constant::Floats(Array { shape: x.shape.clone(), values }))
}

/// The formula in operators: no quantizer rounds so.
fn spelled_out(node: &mut NodeReader, x: Operand, numbers: Numbers) -> Result<(), NodeError> {
    let output = node.output()?;
    let named = |what: &str, array: Array<f32>| Operand::Constant { name: format!("{output}.{what}"), value: Constant::Floats(array) };
    let scale = named("scale", numbers.scales);
    let zero = Some(named("zeropt", numbers.zeros.clone())).filter(|_| numbers.zeros.values.iter().any(|&z| z != 0.0));
    let mut t = node.step(Op::Binary(Binary::Div), vec![x, scale.clone()])?;
    if let Some(zero) = &zero {
        t = node.step(Op::Binary(Binary::Add), vec![t, zero.clone()])?;
    }
    let function = |node: &mut NodeReader, f, t| node.step(Op::Activation(f), vec![t]);
    t = function(node, Activation::Clip { min: numbers.low, max: numbers.high }, t)?;
    let away = |node: &mut NodeReader, t: Operand, half: f32, f| {
        let sign = node.step(Op::Activation(Activation::Sign), vec![t.clone()])?;
        let mut size = node.step(Op::Activation(Activation::Abs), vec![t])?;
        if half != 0.0 {
            size = node.step(Op::Binary(Binary::Add), vec![size, named("half", Array::scalar(half))])?;
        }
        let size = node.step(Op::Activation(f), vec![size])?;
        node.step(Op::Binary(Binary::Mul), vec![sign, size])
    };
    t = match numbers.mode {
        Mode::HalfToEven => function(node, Activation::Round, t)?,
        Mode::Ceil => function(node, Activation::Ceil, t)?,
        Mode::Floor => function(node, Activation::Floor, t)?,
        Mode::Up => away(node, t, 0.0, Activation::Ceil)?,
        Mode::Down => away(node, t, 0.0, Activation::Floor)?,
        Mode::HalfUp => away(node, t, 0.5, Activation::Floor)?,
        Mode::HalfDown => away(node, t, -0.5, Activation::Ceil)?,
    };
    if let Some(zero) = zero {
        t = node.step(Op::Binary(Binary::Sub), vec![t, zero])?;
    }
    node.add(Op::Binary(Binary::Mul), vec![t, scale])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes_round_as_qonnx_says() {
        let t = [-2.5f32, -1.5, -1.2, -0.5, 0.0, 0.5, 1.2, 1.5, 2.5];
        // numpy: round, sign·ceil(abs), fix, ceil, floor, sign·floor(abs + 0.5), sign·ceil(abs − 0.5).
        for (name, expected) in [
            ("ROUND", [-2.0, -2.0, -1.0, 0.0, 0.0, 0.0, 1.0, 2.0, 2.0]),
            ("HALF_EVEN", [-2.0, -2.0, -1.0, 0.0, 0.0, 0.0, 1.0, 2.0, 2.0]),
            ("UP", [-3.0, -2.0, -2.0, -1.0, 0.0, 1.0, 2.0, 2.0, 3.0]),
            ("DOWN", [-2.0, -1.0, -1.0, 0.0, 0.0, 0.0, 1.0, 1.0, 2.0]),
            ("CEIL", [-2.0, -1.0, -1.0, 0.0, 0.0, 1.0, 2.0, 2.0, 3.0]),
            ("floor", [-3.0, -2.0, -2.0, -1.0, 0.0, 0.0, 1.0, 1.0, 2.0]),
            ("HALF_UP", [-3.0, -2.0, -1.0, -1.0, 0.0, 1.0, 1.0, 2.0, 3.0]),
            ("HALF_DOWN", [-2.0, -1.0, -1.0, 0.0, 0.0, 0.0, 1.0, 1.0, 2.0]),
        ] {
            let mode = Mode::named(name).unwrap();
            assert_eq!(t.map(|t| mode.round(t)), expected, "{name}");
        }
        assert!(Mode::named("NEAREST").is_err());
    }
}
