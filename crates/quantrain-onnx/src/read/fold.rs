//! What functions of elements make of float constants.

use quantrain_graph::op::{Activation, Binary};

use super::number::narrow;

/// The function of one value, computed in f64; `None` for those that no file applies to constants.
pub(super) fn function(f: &Activation, x: f32) -> Option<f32> {
    let at = f64::from(x);
    Some(narrow(match *f {
        Activation::Relu => at.max(0.0),
        Activation::Clip { min, max } => at.clamp(min.into(), max.into()),
        Activation::Exp => at.exp(),
        Activation::Log => at.ln(),
        Activation::Sqrt => at.sqrt(),
        Activation::Reciprocal => 1.0 / at,
        Activation::Neg => -at,
        Activation::Abs => at.abs(),
        Activation::Pow { exponent } => at.powf(exponent.into()),
        Activation::Floor => at.floor(),
        Activation::Ceil => at.ceil(),
        Activation::Round => at.round_ties_even(),
        Activation::Trunc => at.trunc(),
        Activation::Sign if at == 0.0 => 0.0,
        Activation::Sign => at.signum(),
        Activation::Tanh => at.tanh(),
        Activation::Sin => at.sin(),
        Activation::Cos => at.cos(),
        Activation::Softsign => at / (1.0 + at.abs()),
        Activation::Softplus => at.exp().ln_1p(),
        _ => return None,
    }))
}

/// The function of two values.
pub(super) fn operands(f: Binary, a: f32, b: f32) -> f32 {
    match f {
        Binary::Add => a + b,
        Binary::Sub => a - b,
        Binary::Mul => a * b,
        Binary::Div => a / b,
        Binary::Relation(relation) => f32::from(u8::from(relation.holds(a, b))),
        Binary::Min => a.min(b),
        Binary::Max => a.max(b),
        Binary::Pow => narrow(f64::from(a).powf(b.into())),
        Binary::PRelu => {
            if a > 0.0 {
                a
            } else {
                a * b
            }
        }
    }
}
