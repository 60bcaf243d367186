//! Additions that become the last step of the block that computes one of their operands: the sum lies where the other operand lay, and a
//! residual network needs no third tensor.

use quantrain_graph::TensorId;
use quantrain_integer::instruction::{Instruction, Work};

use crate::statement::{Addition, is_alias};

/// An instruction, and the addition that is its last step.
pub(crate) struct Unit {
    pub instruction: Instruction,
    pub sum: Option<Sum>,
}

/// An addition to what lies at the unit's second input.
pub(crate) struct Sum {
    pub addition: Addition,
    pub node: String,
    /// The block's result is the first operand.
    pub written_is_first: bool,
}

/// Units in the order they run. `border` are the network's inputs and outputs.
pub(crate) fn fuse(instructions: Vec<Instruction>, border: &[TensorId]) -> Vec<Unit> {
    let found: Vec<Found> = (0..instructions.len()).filter_map(|at| Found::at(&instructions, at, border)).collect();
    let mut units: Vec<Option<Unit>> = instructions.into_iter().map(|instruction| Some(Unit { instruction, sum: None })).collect();
    for Found { sum, block, other, written_is_first, addition } in found {
        let Some(removed) = units[sum].take() else { continue };
        if let Some(unit) = &mut units[block] {
            unit.instruction.inputs.push(other);
            unit.instruction.output = removed.instruction.output;
            unit.sum = Some(Sum { addition, node: removed.instruction.node, written_is_first });
        }
    }
    units.into_iter().flatten().collect()
}

/// An addition at `sum` that the block at `block` takes.
struct Found {
    sum: usize,
    block: usize,
    other: TensorId,
    written_is_first: bool,
    addition: Addition,
}

impl Found {
    fn at(instructions: &[Instruction], sum: usize, border: &[TensorId]) -> Option<Self> {
        let Work::Operator(op) = &instructions[sum].work else { return None };
        let addition = Addition::of(op)?;
        let &[a, b] = instructions[sum].inputs.as_slice() else { return None };
        let producer = |t: TensorId| instructions.iter().position(|i| i.output == t);
        let (pa, pb) = (producer(a)?, producer(b)?);
        let (block, written, other, other_producer) = if pa > pb { (pa, a, b, pb) } else { (pb, b, a, pa) };
        let reads = |t: TensorId| (0..instructions.len()).filter(move |&i| instructions[i].inputs.contains(&t));
        let fits = matches!(instructions[block].work, Work::Block(_))
            && a != b
            && !border.contains(&a)
            && !border.contains(&b)
            && reads(written).eq([sum])
            // What is overwritten must not be needed, under whatever name.
            && reads(other).all(|i| i == sum || i < block && !is_alias(&instructions[i].work))
            && !is_alias(&instructions[other_producer].work);
        fits.then_some(Found { sum, block, other, written_is_first: written == a, addition })
    }
}
