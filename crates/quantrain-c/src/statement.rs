//! What each instruction is in C. [`of`] is the one place that says which instruction has which form.

mod addition;
mod block;
mod moving;
mod pooling;
mod resize;

use quantrain_graph::Rounding;
use quantrain_integer::instruction::{FloatFormula, Grid, InSteps, Operator, Table, Work};

use crate::fuse::Unit;
use crate::part::Part;
use crate::text::Constant;

pub(crate) use addition::Addition;
pub(crate) use moving::is_alias;

/// An instruction as C.
#[derive(Default)]
pub(crate) struct Statement {
    /// Functions that it calls.
    pub parts: Vec<Part>,
    /// Constants that it reads.
    pub constants: Vec<Constant>,
    /// The call, with `{x0}`, `{x1}`, …, `{y}` and `{scratch}` where places of memory go.
    pub call: String,
    /// Bytes that it needs while it runs.
    pub scratch: usize,
    pub over: Over,
}

/// Whether the output may lie where an input lies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Over {
    #[default]
    Nothing,
    /// It may, if nothing reads that input later.
    May(usize),
    /// It must: what is there is added to.
    Must(usize),
    /// They are the same bytes: where both lie together, there is nothing to do.
    Same,
}

/// The statement of a unit, whose constants carry the number `n`.
///
/// # Errors
/// What has no C form, and what to do.
pub(crate) fn of(unit: &Unit, n: usize) -> Result<Statement, String> {
    match &unit.instruction.work {
        Work::Block(block) => block::write(block, unit.sum.as_ref(), n),
        Work::FloatBlock => Err("its weights or its input stay in float; quantize them, or end the network before it".into()),
        Work::Operator(Operator::Move(op)) => moving::write(&op.mover, op.fill, op.len, n),
        Work::Operator(Operator::Table(op)) => Ok(table(op, n)),
        Work::Operator(op @ Operator::Add(_)) => addition::write(op, n),
        Work::Operator(Operator::Sum(op)) => pooling::global(op, n),
        Work::Operator(Operator::MatMul(_)) => Err(no_form()),
        Work::Operator(Operator::Integers(_)) => Err("the target's integer kernel for it has no C form yet".into()),
        Work::Operator(op @ Operator::Steps(steps)) => match &steps.formula {
            FloatFormula::Broadcast(_) => addition::write(op, n),
            FloatFormula::Move(mover) => moving::requantized(mover, steps, n),
            FloatFormula::Average(op) => pooling::average(op, steps, n),
            FloatFormula::Linear(op) => resize::linear(op, steps, n),
            FloatFormula::Affine(_)
            | FloatFormula::Recurrent(_)
            | FloatFormula::OfSamples(_)
            | FloatFormula::Function(_)
            | FloatFormula::Choose(_)
            | FloatFormula::Expand(_)
            | FloatFormula::Norm(_)
            | FloatFormula::Index(_)
            | FloatFormula::Lookup(_)
            | FloatFormula::Softmax(_)
            | FloatFormula::Cubic(_)
            | FloatFormula::FakeQuantize(_)
            | FloatFormula::StraightThrough(_)
            | FloatFormula::Propagate(_)
            | FloatFormula::Product(_)
            | FloatFormula::MatMul(_) => Err(no_form()),
        },
    }
}

fn no_form() -> String {
    "this operator has no C form yet; end the network before it, or run it in your own code".into()
}

fn table(op: &Table, n: usize) -> Statement {
    Statement {
        parts: vec![Part::LookUp],
        constants: vec![table_of(format!("table_{n}"), &op.table)],
        call: format!("look_up(table_{n}, {{x0}}, {{y}}, {});", op.len),
        over: Over::May(0),
        ..Statement::default()
    }
}

/// What each stored code becomes.
fn table_of(name: String, table: &[u8; 256]) -> Constant {
    Constant::integers("uint8_t", 1, name, table.iter().map(|&code| code.into()).collect())
}

/// Grids of the only input and of the output of a formula.
fn grids(steps: &InSteps) -> Result<(Grid, Grid), String> {
    match (steps.inputs.as_slice(), steps.output) {
        (&[Some(x)], Some(y)) => Ok((x, y)),
        _ => Err(no_form()),
    }
}

/// The limits of values in steps of `grid` before they are rounded, a clip included.
fn limits_in_steps(grid: &Grid, clip: (f32, f32)) -> (f32, f32) {
    let (lo, hi) = grid.limits();
    (clip.0.clamp(lo as f32, hi as f32), clip.1.clamp(lo as f32, hi as f32))
}

fn rounding(grid: &Grid) -> Rounding {
    grid.quantizer.rounding()
}
