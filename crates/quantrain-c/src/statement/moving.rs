//! Elements that move.

use quantrain_integer::instruction::{Gather, InSteps, Mover, Nearest, Operator, Reorder, Work};

use super::{Over, Statement, no_form, table_of};
use crate::part::Part;
use crate::text::Constant;

/// Whether an instruction leaves all bytes where they are.
pub(crate) fn is_alias(work: &Work) -> bool {
    let Work::Operator(Operator::Move(op)) = work else { return false };
    match &op.mover {
        Mover::Identity => true,
        Mover::Reorder(Reorder(steps)) => steps.is_empty(),
        Mover::Join(_) | Mover::Gather(_) | Mover::Nearest(_) | Mover::Largest(_) | Mover::Extreme(_) => false,
    }
}

/// Codes moved as they are; `fill` is what stands where there is no input.
pub(super) fn write(mover: &Mover, fill: i32, len: usize, n: usize) -> Result<Statement, String> {
    match mover {
        Mover::Identity => Ok(copy(len)),
        Mover::Reorder(Reorder(steps)) if steps.is_empty() => Ok(copy(len)),
        Mover::Reorder(op) => reorder(op, len, n),
        Mover::Join(op) => Ok(join(&op.runs, len)),
        Mover::Gather(op) => gather(op, fill, n),
        Mover::Nearest(op) => nearest(op, n),
        Mover::Largest(op) => super::pooling::largest(op, n),
        Mover::Extreme(_) => Err(no_form()),
    }
}

/// Codes of another unit: moved, then looked up. Tables rise, so that the largest code stays it.
pub(super) fn requantized(mover: &Mover, steps: &InSteps, n: usize) -> Result<Statement, String> {
    let tables = steps.tables().ok_or_else(no_form)?;
    let names: Vec<String> = (0..tables.len()).map(|i| format!("table_{n}_{i}")).collect();
    let constants = |tables: Vec<[u8; 256]>| tables.into_iter().zip(&names).map(|(t, name)| table_of(name.clone(), &t));
    match (mover, tables.len()) {
        // Each input by its own table, once it has moved.
        (Mover::Join(op), _) => {
            let total: usize = op.runs.iter().sum();
            let mut at = 0;
            let calls = op.runs.iter().zip(&names).enumerate().map(|(i, (run, table))| {
                let place = format!("{{y}} + {at}");
                at += run;
                let rows = steps.len / total;
                format!(
                    "for (int32_t i = 0; i < {rows}; i++) {{{{ look_up({table}, {{x{i}}} + i * {run}, {place} + i * {total}, {run}); }}}}"
                )
            });
            let call = calls.collect::<Vec<_>>().join("\n    ").replace("{{", "{").replace("}}", "}");
            Ok(Statement { parts: vec![Part::LookUp], constants: constants(tables).collect(), call, ..Statement::default() })
        }
        (Mover::Gather(op), 1) if op.has_holes() => Err("what it puts around its input has no code of the input's quantizer".into()),
        (_, 1) => {
            let mut moved = write(mover, 0, steps.len, n)?;
            moved.parts.push(Part::LookUp);
            moved.constants.extend(constants(tables));
            moved.call += &format!("\n    look_up({}, {{y}}, {{y}}, {});", names[0], steps.len);
            // A copy that is left out would change the input.
            moved.over = Over::Nothing;
            Ok(moved)
        }
        _ => Err(no_form()),
    }
}

fn copy(len: usize) -> Statement {
    Statement { call: format!("memcpy({{y}}, {{x0}}, {len});"), over: Over::Same, ..Statement::default() }
}

fn join(runs: &[usize], len: usize) -> Statement {
    let step: usize = runs.iter().sum();
    let mut at = 0;
    let calls = runs.iter().enumerate().map(|(i, run)| {
        let call = format!("join({{x{i}}}, {{y}} + {at}, {run}, {step}, {});", len / step);
        at += run;
        call
    });
    Statement { call: calls.collect::<Vec<_>>().join("\n    "), parts: vec![Part::Join], ..Statement::default() }
}

fn gather(op: &Gather, fill: i32, n: usize) -> Result<Statement, String> {
    let count = |n: usize| i32::try_from(n).map_err(|_| "it has more elements than 32 bits count".to_owned());
    let index = |i: &Option<usize>| i.map_or(Ok(-1), count);
    // An axis of one element that is read as it lies changes nothing.
    let axes: Vec<_> = op.outer.iter().filter(|(_, map)| map[..] != [Some(0)]).collect();
    let mut constants: Vec<Constant> = Vec::new();
    let mut taken = Vec::new();
    for (i, (stride, map)) in axes.iter().enumerate() {
        let indices = map.iter().map(index).collect::<Result<_, _>>()?;
        constants.push(Constant::integers("int32_t", 4, format!("indices_{n}_{i}"), indices));
        taken.push(format!("{{{}, {stride}, indices_{n}_{i}}}", map.len()));
    }
    let pairs = op.runs.iter().flat_map(|(from, length)| [index(from), count(*length)]).collect::<Result<_, _>>()?;
    constants.push(Constant::integers("int32_t", 4, format!("runs_{n}"), pairs));
    taken.push(format!("{{{}, 1, runs_{n}}}", op.runs.len()));
    constants.push(Constant::words("struct taken", 12, format!("axes_{n}"), taken));
    let rank = axes.len();
    let call = format!("gather(axes_{n}, {rank}, axes_{n} + {rank}, {{x0}}, {fill}, {{y}});");
    Ok(Statement { parts: vec![Part::Gather], constants, call, ..Statement::default() })
}

/// Permutations, through memory of their own where there is more than one.
fn reorder(Reorder(steps): &Reorder, len: usize, n: usize) -> Result<Statement, String> {
    let (mut constants, mut calls) = (Vec::new(), Vec::new());
    for (i, step) in steps.iter().enumerate() {
        let mut strides = vec![1; step.extents.len()];
        for axis in (1..strides.len()).rev() {
            strides[axis - 1] = strides[axis] * step.extents[axis];
        }
        let kept: Vec<usize> = step.permutation.iter().copied().filter(|&axis| step.extents[axis] != 1).collect();
        constants.push(Constant::places(format!("extents_{n}_{i}"), kept.iter().map(|&axis| step.extents[axis]))?);
        constants.push(Constant::places(format!("steps_{n}_{i}"), kept.iter().map(|&axis| strides[axis]))?);
        let (from, to) = match (i, steps.len()) {
            (_, 1) => ("{x0}", "{y}"),
            (0, 2) => ("{x0}", "{scratch}"),
            (1, 2) => ("{scratch}", "{y}"),
            _ => return Err(no_form()),
        };
        calls.push(format!("permute(extents_{n}_{i}, steps_{n}_{i}, {}, {from}, {to});", kept.len()));
    }
    let scratch = if steps.len() > 1 { len } else { 0 };
    Ok(Statement { parts: vec![Part::Permute], constants, call: calls.join("\n    "), scratch, over: Over::Nothing })
}

fn nearest(op: &Nearest, n: usize) -> Result<Statement, String> {
    let indices = |name: &str, map: &[u32]| Constant::places(format!("{name}_{n}"), map.iter().map(|&i| i as usize));
    let constants = vec![indices("rows", &op.rows)?, indices("columns", &op.columns)?];
    let (height, width) = (op.rows.len(), op.columns.len());
    let call = format!("nearest(rows_{n}, {height}, columns_{n}, {width}, {}, {}, {{x0}}, {{y}});", op.shape.in_width, op.shape.channels);
    Ok(Statement { parts: vec![Part::Nearest], constants, call, ..Statement::default() })
}
