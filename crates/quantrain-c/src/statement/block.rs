//! Convolutions and products with weights.

use quantrain_integer::instruction::{IntegerBlock, Output, Requantizer};

use super::{Over, Statement};
use crate::fuse::Sum;
use crate::part::{Part, suffix};
use crate::text::{Constant, float};

/// The largest stored code of a byte.
const LARGEST: i64 = u8::MAX as i64;

pub(super) fn write(block: &IntegerBlock, sum: Option<&Sum>, n: usize) -> Result<Statement, String> {
    let shape = &block.shape;
    let pixels = shape.in_height * shape.in_width;
    if shape.batch != 1 && pixels != 1 {
        return Err(format!("it has a fixed batch of {} images; make the batch 1 or free", shape.batch));
    }
    if !block.is_narrow() {
        return Err("codes or weights have more than 8 bits, or sums may leave 32 bits; C files hold bytes and 32-bit sums".into());
    }
    let layout = Layout::of(block)?;
    let finish = Finish::of(&block.output, n)?;
    let mut fields = vec![("weights", format!("weights_{n}")), ("bias", format!("bias_{n}"))];
    fields.extend(finish.fields);
    let is_depthwise = layout.is_depthwise;
    let mut constants = layout.constants(n);
    constants.extend(finish.constants);
    let mut parts = vec![finish.part];
    if let Some(sum) = sum {
        constants.push(sum.addition.constant(format!("addition_{n}")));
        parts.insert(0, sum.addition.part);
        fields.push(("add", sum.addition.function.clone()));
        fields.push(("addition", format!("&addition_{n}")));
        fields.push(("written_is_first", i32::from(sum.written_is_first).to_string()));
    }
    // Rows of a product are a column of pixels.
    let rows =
        if pixels == 1 { [shape.batch * shape.in_height, shape.batch * shape.out_height] } else { [shape.in_height, shape.out_height] };
    fields.extend([("rows", axis(block, 0, rows)), ("columns", axis(block, 1, [shape.in_width, shape.out_width]))]);
    let numbers = [
        ("in_channels", shape.in_channels),
        ("out_channels", shape.out_channels),
        ("groups", shape.groups),
        ("transposed", usize::from(shape.transposed)),
        ("element", finish.element),
    ];
    fields.extend(numbers.map(|(field, value)| (field, value.to_string())));
    fields.push(("in_zero", block.codes.input.zero().to_string()));
    constants.push(Constant::record("block", 31, format!("block_{n}"), fields));
    let (part, call, scratch) = if is_depthwise {
        (Part::Depthwise, format!("depthwise(&block_{n}, {{x0}}, {{y}});"), 0)
    } else {
        (Part::Dense, format!("dense(&block_{n}, {{x0}}, {{scratch}}, {{y}});"), patch(block))
    };
    parts.push(part);
    Ok(Statement { parts, constants, call, scratch, over: if sum.is_some() { Over::Must(1) } else { Over::Nothing } })
}

/// Bytes of what one place of the output reads, where that is not read as it lies.
fn patch(block: &IntegerBlock) -> usize {
    let s = &block.shape;
    let in_place = s.kernel == [1, 1] && s.groups == 1 && s.padding_begin == [0, 0] && !s.transposed;
    // Padding behind the image shows in the extents.
    let inside = (0..2).all(|axis| ([s.out_height, s.out_width][axis] - 1) * s.stride[axis] < [s.in_height, s.in_width][axis]);
    if in_place && inside { 0 } else { s.kernel[0] * s.kernel[1] * (s.in_channels / s.groups) }
}

fn axis(block: &IntegerBlock, axis: usize, [input, output]: [usize; 2]) -> String {
    let s = &block.shape;
    format!(
        "{{.input = {input}, .output = {output}, .kernel = {}, .stride = {}, .dilation = {}, .padding = {}}}",
        s.kernel[axis], s.stride[axis], s.dilation[axis], s.padding_begin[axis]
    )
}

/// Weights and biases in the order that the C functions read them.
struct Layout {
    weights: Vec<i32>,
    bias: Vec<i32>,
    is_depthwise: bool,
}

impl Layout {
    fn of(block: &IntegerBlock) -> Result<Self, String> {
        let (s, codes) = (&block.shape, &block.codes);
        let taps = s.kernel[0] * s.kernel[1];
        if s.groups > 1 && s.groups == s.in_channels && s.groups == s.out_channels {
            let weights = (0..taps * s.groups).map(|i| codes.weights[i % s.groups * taps + i / s.groups]).collect();
            return Ok(Layout { weights, bias: codes.bias.clone(), is_depthwise: true });
        }
        // The function sums products of stored codes: what their code of 0 adds is taken off the biases.
        let rows = codes.weights.chunks_exact(codes.weights.len() / s.out_channels);
        let zero = i64::from(codes.input.zero());
        let bias = rows.zip(&codes.bias).map(|(row, &bias)| {
            let (sum, size) = row.iter().fold((0, 0), |(sum, size), &w| (sum + i64::from(w), size + i64::from(w.abs())));
            let bias = i64::from(bias) - zero * sum;
            let fits = size * LARGEST + bias.abs() <= i64::from(i32::MAX);
            i32::try_from(bias).ok().filter(|_| fits).ok_or_else(|| "its sums may leave 32 bits".to_owned())
        });
        Ok(Layout { weights: codes.weights.clone(), bias: bias.collect::<Result<_, _>>()?, is_depthwise: false })
    }

    fn constants(self, n: usize) -> Vec<Constant> {
        let weights = Constant::integers("int8_t", 1, format!("weights_{n}"), self.weights);
        let bias = Constant::integers("int32_t", 4, format!("bias_{n}"), self.bias);
        vec![weights.of_weights(), bias]
    }
}

/// What turns sums into what is written.
struct Finish {
    part: Part,
    constants: Vec<Constant>,
    fields: Vec<(&'static str, String)>,
    /// Bytes of an element of the output.
    element: usize,
}

impl Finish {
    fn of(output: &Output, n: usize) -> Result<Self, String> {
        let factors = |values: &[f32]| Constant::floats(format!("factors_{n}"), values.to_vec());
        match output {
            Output::Reals { factors: values, clip: (lo, hi) } => {
                let mut fields = vec![("factors", format!("factors_{n}")), ("finish", "scale".into())];
                fields.extend([("real_lo", float(*lo)), ("real_hi", float(*hi))]);
                Ok(Finish { part: Part::Scale, constants: vec![factors(values)], fields, element: 4 })
            }
            Output::Codes { requantizer, grid, limits: (lo, hi) } => {
                let (part, constant, mut fields) = match requantizer {
                    Requantizer::Multiply { factors: values, rounding } => {
                        let fields = vec![("factors", format!("factors_{n}")), ("finish", format!("multiply_{}", suffix(*rounding)))];
                        (Part::Multiply(*rounding), factors(values), fields)
                    }
                    Requantizer::Shift(shifts) => {
                        let constant = Constant::integers("int8_t", 1, format!("shifts_{n}"), shifts.clone());
                        (Part::ShiftSums, constant, vec![("shifts", format!("shifts_{n}")), ("finish", "shift_up".into())])
                    }
                    Requantizer::FixedPoint(_) => return Err("the fixed-point formula has no C form yet".into()),
                };
                fields.extend([("lo", lo.to_string()), ("hi", hi.to_string()), ("zero", grid.zero().to_string())]);
                Ok(Finish { part, constants: vec![constant], fields, element: 1 })
            }
        }
    }
}
