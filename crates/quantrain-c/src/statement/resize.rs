//! A Resize from four neighbours.

use quantrain_integer::instruction::{InSteps, Linear};

use super::{Statement, grids, limits_in_steps, rounding};
use crate::part::{Part, suffix};
use crate::text::{Constant, float};

pub(super) fn linear(op: &Linear, steps: &InSteps, n: usize) -> Result<Statement, String> {
    if op.shape.batch != 1 {
        return Err(format!("it has a fixed batch of {} images; make the batch 1 or free", op.shape.batch));
    }
    let (x, y) = grids(steps)?;
    let (lo, hi) = limits_in_steps(&y, steps.clip);
    let (mut constants, mut fields) = (Vec::new(), Vec::new());
    for (map, [low, high, weight]) in
        [(&op.rows, ["low_row", "high_row", "row_weight"]), (&op.columns, ["low_column", "high_column", "column_weight"])]
    {
        for (field, values) in [(low, &map.low), (high, &map.high)] {
            constants.push(Constant::places(format!("{field}_{n}"), values.iter().map(|&i| i as usize))?);
            fields.push((field, format!("{field}_{n}")));
        }
        constants.push(Constant::floats(format!("{weight}_{n}"), map.weight_high.clone()));
        fields.push((weight, format!("{weight}_{n}")));
    }
    let sizes = [
        ("out_height", op.rows.low.len()),
        ("out_width", op.columns.low.len()),
        ("in_width", op.shape.in_width),
        ("channels", op.shape.channels),
    ];
    fields.extend(sizes.map(|(field, value)| (field, value.to_string())));
    fields.extend([("in_zero", x.zero()), ("zero", y.zero())].map(|(field, value)| (field, value.to_string())));
    let floats = [("in_scale", x.scale()), ("scale", y.scale()), ("lo", lo), ("hi", hi)];
    fields.extend(floats.map(|(field, value)| (field, float(value))));
    constants.push(Constant::record("linear", 16, format!("linear_{n}"), fields));
    let call = format!("linear_{}(&linear_{n}, {{x0}}, {{y}});", suffix(rounding(&y)));
    Ok(Statement { parts: vec![Part::Linear(rounding(&y))], constants, call, ..Statement::default() })
}
