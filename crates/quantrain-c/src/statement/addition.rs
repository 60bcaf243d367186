//! The sum of two tensors of one shape.

use quantrain_graph::Rounding;
use quantrain_graph::op::Binary;
use quantrain_integer::instruction::{FloatFormula, Grid, InSteps, Operator};
use quantrain_integer::tidl::shift_of;

use super::{Over, Statement, limits_in_steps, no_form, rounding};
use crate::part::{Part, suffix};
use crate::text::{Constant, float};

/// An addition's function and numbers.
pub(crate) struct Addition {
    pub part: Part,
    /// The C function.
    pub function: String,
    fields: Vec<(&'static str, String)>,
    len: usize,
}

impl Addition {
    /// Of an operator that adds two tensors of bytes of one shape; `None` of any other.
    pub fn of(op: &Operator) -> Option<Self> {
        match op {
            Operator::Add(op) => {
                let (factors, constant) = op.add.sum.terms();
                let codes = Codes { offsets: op.add.offsets, limits: op.add.limits, factors, constant };
                Some(codes.addition(Rounding::HalfToEven, op.len))
            }
            Operator::Steps(steps) => Addition::in_steps(steps),
            Operator::Move(_) | Operator::Table(_) | Operator::Sum(_) | Operator::MatMul(_) | Operator::Integers(_) => None,
        }
    }

    fn in_steps(steps: &InSteps) -> Option<Self> {
        let FloatFormula::Broadcast(op) = &steps.formula else { return None };
        let (&[Some(a), Some(b)], Some(y)) = (steps.inputs.as_slice(), steps.output) else { return None };
        if op.op != Binary::Add || !op.is_elementwise {
            return None;
        }
        Some(by_shifts(&[a, b], &y, steps).unwrap_or_else(|| match &steps.bytes {
            Some(bytes) => {
                let (factors, constant) = op.code_sum(bytes).terms();
                let limits = (y.quantizer.qmin(), y.quantizer.qmax());
                Codes { offsets: [a, b, y].map(|g| g.offset()), limits, factors, constant }.addition(rounding(&y), steps.len)
            }
            None => of_reals(&[a, b], &y, steps),
        }))
    }

    /// Its numbers as a constant.
    pub fn constant(&self, name: String) -> Constant {
        Constant::record("addition", 13, name, self.fields.clone())
    }
}

/// The statement of an addition that is no block's last step.
pub(super) fn write(op: &Operator, n: usize) -> Result<Statement, String> {
    let addition = Addition::of(op).ok_or_else(no_form)?;
    Ok(Statement {
        parts: vec![addition.part],
        constants: vec![addition.constant(format!("addition_{n}"))],
        call: format!("{}(&addition_{n}, {{x0}}, {{x1}}, {{y}}, {});", addition.function, addition.len),
        over: Over::May(0),
        ..Statement::default()
    })
}

/// Numbers of ONNX Runtime's addition of codes.
struct Codes {
    offsets: [i32; 3],
    limits: (i32, i32),
    factors: [f32; 2],
    constant: f32,
}

impl Codes {
    fn addition(self, rounding: Rounding, len: usize) -> Addition {
        let Codes { offsets: [a, b, y], limits: (lo, hi), factors: [factor_a, factor_b], constant } = self;
        let mut fields = places([a, b, y]);
        fields.extend([("lo", lo.to_string()), ("hi", hi.to_string())]);
        fields.extend([("factor_a", float(factor_a)), ("factor_b", float(factor_b)), ("constant", float(constant))]);
        Addition { part: Part::AddFused(rounding), function: format!("add_{}", suffix(rounding)), fields, len }
    }
}

fn places([a, b, y]: [i32; 3]) -> Vec<(&'static str, String)> {
    vec![("offset_a", a.to_string()), ("offset_b", b.to_string()), ("offset", y.to_string())]
}

/// `(a·s_a + b·s_b) / s_y` in floats.
fn of_reals([a, b]: &[Grid; 2], y: &Grid, steps: &InSteps) -> Addition {
    let (lo, hi) = limits_in_steps(y, steps.clip);
    let mut fields = places([a.zero(), b.zero(), y.zero()]);
    fields.extend([("factor_a", float(a.scale())), ("factor_b", float(b.scale())), ("constant", float(y.scale()))]);
    fields.extend([("real_lo", float(lo)), ("real_hi", float(hi))]);
    let rounding = rounding(y);
    Addition { part: Part::AddReal(rounding), function: format!("add_real_{}", suffix(rounding)), fields, len: steps.len }
}

/// Powers of two that are added half up: every step of the float formula is exact below 2^24, so that shifts give its codes.
fn by_shifts([a, b]: &[Grid; 2], y: &Grid, steps: &InSteps) -> Option<Addition> {
    /// Whole numbers below it are floats.
    const EXACT: i64 = 1 << 24;
    if rounding(y) != Rounding::HalfUp || [a, b, y].iter().any(|g| g.quantizer.zero_point() != 0) {
        return None;
    }
    let [of_a, of_b, of_y] = [shift_of(a.scale())?, shift_of(b.scale())?, shift_of(y.scale())?];
    let (left_a, left_b) = (of_y - of_a, of_y - of_b);
    let right = -left_a.min(left_b).min(0);
    let (left_a, left_b) = (left_a + right, left_b + right);
    let largest = |g: &Grid, left: i32| i64::from(g.limits().1.max(-g.limits().0)) << left;
    if right > 24 || left_a > 24 || left_b > 24 || largest(a, left_a) + largest(b, left_b) + (1 << right) >= EXACT {
        return None;
    }
    let (lo, hi) = y.clipped_limits(steps.clip);
    let mut fields = places([a.zero(), b.zero(), y.zero()]);
    let numbers = [("lo", lo), ("hi", hi), ("left_a", left_a), ("left_b", left_b), ("right", right)];
    fields.extend(numbers.map(|(field, value)| (field, value.to_string())));
    Some(Addition { part: Part::AddShift, function: "add_shift".into(), fields, len: steps.len })
}
