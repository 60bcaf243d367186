//! What each instruction is in TensorFlow Lite. [`write`] is the one place that says which instruction has which form.

mod block;
mod moving;
mod window;

use quantrain_graph::op::Reduction;
use quantrain_graph::{Op, TensorId};
use quantrain_integer::instruction::{Grid, Instruction, IntegerFormula, OfIntegers, Operator as Instructed, Work};
use quantrain_lowering::memory_order::physical_axis;

use crate::TfliteError;
use crate::model::Writer;
use crate::schema::{Fused, Operator};

/// Why an instruction has no form.
pub(crate) enum Refused {
    /// The reason, without the node's name.
    Reason(String),
    Error(TfliteError),
}

impl From<TfliteError> for Refused {
    fn from(error: TfliteError) -> Self {
        Refused::Error(error)
    }
}

impl From<&str> for Refused {
    fn from(reason: &str) -> Self {
        Refused::Reason(reason.into())
    }
}

/// An instruction and where it stands.
pub(crate) struct At<'i> {
    /// The number of its unit.
    pub unit: usize,
    pub instruction: &'i Instruction,
    /// Its node's operator.
    pub op: &'i Op,
}

impl At<'_> {
    /// The only input.
    fn input(&self) -> Result<TensorId, Refused> {
        self.instruction.inputs.first().copied().ok_or_else(|| "it reads no computed tensor".into())
    }
}

/// Writes the operators of an instruction.
///
/// # Errors
/// It has no form.
pub(crate) fn write(writer: &mut Writer, unit: usize, instruction: &Instruction) -> Result<(), TfliteError> {
    let net = writer.program.quant_graph();
    let op = &net.graph().node(net.units()[unit].core).op;
    let at = At { unit, instruction, op };
    let written = match &instruction.work {
        Work::Block(block) => block::write(writer, &at, block),
        Work::FloatBlock => Err("its weights or its input stay in float; quantize them".into()),
        Work::Operator(Instructed::Move(moved)) => moving::write(writer, &at, &moved.mover),
        Work::Operator(Instructed::Integers(op)) => of_integers(writer, &at, op),
        Work::Operator(Instructed::Sum(op)) => match op.output {
            Some(grid) => fused(&grid, grid.clipped_limits(op.clip)).and_then(|fused| mean(writer, &at, fused)),
            None => Err("its result stays in float; let the target quantize it, outputs too".into()),
        },
        Work::Operator(
            Instructed::Table(_) | Instructed::Add(_) | Instructed::MatMul(_) | Instructed::Steps(_),
        ) => Err("its arithmetic is not TensorFlow Lite's here, or its operands are constants or have several quantizers; end the network before it".into()),
    };
    written.map_err(|refused| match refused {
        Refused::Error(error) => error,
        Refused::Reason(reason) => TfliteError::Node { node: instruction.node.clone(), operator: instruction.operator, reason },
    })
}

/// The activation whose limits these are: TensorFlow Lite knows four.
fn fused(grid: &Grid, limits: (i32, i32)) -> Result<Fused, Refused> {
    let clips = [
        (Fused::Nothing, (f32::NEG_INFINITY, f32::INFINITY)),
        (Fused::Relu, (0.0, f32::INFINITY)),
        (Fused::Relu6, (0.0, 6.0)),
        (Fused::ReluN1To1, (-1.0, 1.0)),
    ];
    let of = |(low, high): (f32, f32)| grid.clipped_limits((low / grid.scale(), high / grid.scale()));
    let found = clips.iter().find(|(_, clip)| of(*clip) == limits).map(|(fused, _)| *fused);
    found.ok_or_else(|| "its clip is none of Relu, Relu6 and a clip to [-1, 1]; make the range of the output that of the clip".into())
}

fn of_integers(writer: &mut Writer, at: &At, op: &OfIntegers) -> Result<(), Refused> {
    let (inputs, output) = (at.instruction.inputs.clone(), at.instruction.output);
    let fused = fused(&op.output, op.limits)?;
    let places = inputs.iter().map(|&t| writer.tensor(t)).collect::<Result<Vec<i32>, _>>()?;
    match &op.formula {
        IntegerFormula::Sum(..) => {
            let y = writer.tensor(output)?;
            writer.operator(&Operator::Add(fused), places, y);
        }
        IntegerFormula::Average(shape) => window::average(writer, at, shape, fused)?,
        IntegerFormula::Mean(..) => mean(writer, at, fused)?,
    }
    Ok(())
}

fn mean(writer: &mut Writer, at: &At, fused: Fused) -> Result<(), Refused> {
    let rank = writer.shape(at.input()?).len();
    let axes: Vec<i32> = reduced(writer, at)?.into_iter().map(|axis| physical_axis(rank, axis) as i32).collect();
    if fused != Fused::Nothing {
        return Err("a mean has no activation in TensorFlow Lite; let the activation have a quantizer of its own".into());
    }
    let list = writer.integers(&format!("{}/axes", at.instruction.node), &[axes.len()], &axes, None);
    let (x, output) = (writer.tensor(at.input()?)?, at.instruction.output);
    let (y, keeps_axes) = (writer.tensor(output)?, writer.shape(output).len() == rank);
    writer.operator(&Operator::Mean { keeps_axes }, vec![x, list], y);
    Ok(())
}

/// The axes that a mean gathers, in ONNX's order.
fn reduced(writer: &Writer, at: &At) -> Result<Vec<usize>, Refused> {
    match at.op {
        Op::GlobalAveragePool(_) => Ok(vec![2, 3]),
        Op::Reduce(op) if op.function == Reduction::Mean => {
            let reduced = op.reduced(&writer.program.quant_graph().graph().tensor(at.input()?).shape);
            let reduced = reduced.map_err(|_| Refused::from("an axis lies outside the rank"))?;
            // Lower ranks lie in memory order, which is ONNX's only where no image loses axes.
            if reduced.len() == 4 && !op.keep_dims && reduced[1..] != [false, true, true] {
                return Err("it takes axes from an image that are not its rows and columns; keep them".into());
            }
            Ok((0..reduced.len()).filter(|&axis| reduced[axis]).collect())
        }
        _ => Err("it is no mean".into()),
    }
}
