//! Pools over height and width.

use quantrain_integer::instruction::{Average, InSteps, PoolShape, Sum, Windows};

use super::{Statement, grids, limits_in_steps, no_form, rounding};
use crate::part::{Part, suffix};
use crate::text::{Constant, float};

fn fixed_batch(images: usize) -> Result<(), String> {
    if images == 1 { Ok(()) } else { Err(format!("it has a fixed batch of {images} images; make the batch 1 or free")) }
}

fn geometry(s: &PoolShape) -> Vec<(&'static str, String)> {
    let pair = |[a, b]: [usize; 2]| format!("{{{a}, {b}}}");
    vec![
        ("in_height", s.in_height.to_string()),
        ("in_width", s.in_width.to_string()),
        ("channels", s.channels.to_string()),
        ("out_height", s.out_height.to_string()),
        ("out_width", s.out_width.to_string()),
        ("kernel", pair(s.kernel)),
        ("stride", pair(s.stride)),
        ("padding", pair(s.padding_begin)),
        ("dilation", pair(s.dilation)),
    ]
}

pub(super) fn largest(Windows(shape): &Windows, n: usize) -> Result<Statement, String> {
    fixed_batch(shape.batch)?;
    Ok(Statement {
        parts: vec![Part::Largest],
        constants: vec![Constant::record("pool", 21, format!("pool_{n}"), geometry(shape))],
        call: format!("largest(&pool_{n}, {{x0}}, {{y}});"),
        ..Statement::default()
    })
}

/// A mean of windows. ONNX Runtime's integer kernel rounds with the zero point on top.
pub(super) fn average(Average { shape, integer }: &Average, steps: &InSteps, n: usize) -> Result<Statement, String> {
    fixed_batch(shape.batch)?;
    let (x, y) = grids(steps)?;
    let on_top = if *integer && steps.bytes.is_some() { y.quantizer.zero_point() } else { 0 };
    let (lo, hi) = limits_in_steps(&y, steps.clip);
    let mut fields = geometry(shape);
    fields.push(("counts", format!("counts_{n}")));
    fields.extend([("in_zero", x.zero()), ("zero", y.zero() - on_top)].map(|(field, value)| (field, value.to_string())));
    let top = on_top as f32;
    let floats = [("in_scale", x.scale()), ("scale", y.scale()), ("lo", lo + top), ("hi", hi + top), ("on_top", top)];
    fields.extend(floats.map(|(field, value)| (field, float(value))));
    let counts = (0..shape.out_height * shape.out_width).map(|i| shape.count(i / shape.out_width, i % shape.out_width));
    let constants = vec![Constant::places(format!("counts_{n}"), counts)?, Constant::record("pool", 21, format!("pool_{n}"), fields)];
    let call = format!("average_pool_{}(&pool_{n}, {{x0}}, {{y}});", suffix(rounding(&y)));
    Ok(Statement { parts: vec![Part::Average(rounding(&y))], constants, call, ..Statement::default() })
}

/// A mean or a sum over whole images.
pub(super) fn global(op: &Sum, n: usize) -> Result<Statement, String> {
    let (Some([images, pixels, channels]), Some(x), Some(y)) = (op.image, op.input, op.output) else { return Err(no_form()) };
    fixed_batch(images)?;
    if pixels >= 1 << 22 {
        return Err("the sum over its pixels may leave 32 bits".into());
    }
    let (lo, hi) = limits_in_steps(&y, op.clip);
    let numbers = [("pixels", pixels.to_string()), ("channels", channels.to_string())];
    let codes = [("in_zero", x.zero()), ("zero", y.zero())].map(|(field, value)| (field, value.to_string()));
    let floats = [("factor", op.factor()), ("lo", lo), ("hi", hi)].map(|(field, value)| (field, float(value)));
    let fields: Vec<_> = numbers.into_iter().chain(codes).chain(floats).collect();
    Ok(Statement {
        parts: vec![Part::GlobalAverage(rounding(&y))],
        constants: vec![Constant::record("average", 7, format!("average_{n}"), fields)],
        call: format!("average_{}(&average_{n}, {{x0}}, {{y}});", suffix(rounding(&y))),
        ..Statement::default()
    })
}
