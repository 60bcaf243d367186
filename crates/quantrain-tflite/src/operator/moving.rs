//! Operators that move codes.

use quantrain_graph::Op;
use quantrain_integer::instruction::{Mover, Nearest};
use quantrain_lowering::memory_order::{Permuted, axis_from_front, physical_axis, to_physical};

use super::{At, Refused, window};
use crate::model::Writer;
use crate::schema::Operator;

/// Axes of a TRANSPOSE in TensorFlow Lite for microcontrollers.
const MOST_AXES: usize = 5;

pub(super) fn write(writer: &mut Writer, at: &At, mover: &Mover) -> Result<(), Refused> {
    match mover {
        Mover::Identity => reshape(writer, at),
        Mover::Reorder(reorder) => {
            let grid = writer.grid(at.instruction.output)?;
            let mut x = writer.tensor(at.input()?)?;
            for (i, step) in reorder.0.iter().enumerate() {
                let name = format!("{}/{i}", at.instruction.node);
                let step = merged(step);
                if step.extents.len() > MOST_AXES {
                    return Err("it takes a TRANSPOSE of more than five axes".into());
                }
                let order: Vec<i32> = step.permutation.iter().map(|&axis| axis as i32).collect();
                let moved: Vec<usize> = step.permutation.iter().map(|&axis| step.extents[axis]).collect();
                let (split, turned) = (
                    writer.codes_of(&format!("{name}/split"), &step.extents, &grid),
                    writer.codes_of(&format!("{name}/turned"), &moved, &grid),
                );
                to_shape(writer, &name, x, &step.extents, split);
                let list = writer.integers(&format!("{name}/order"), &[order.len()], &order, None);
                writer.operator(&Operator::Transpose, vec![split, list], turned);
                x = turned;
            }
            let (shape, y) = (writer.shape(at.instruction.output), writer.tensor(at.instruction.output)?);
            to_shape(writer, &at.instruction.node, x, &shape, y);
            Ok(())
        }
        Mover::Join(_) => join(writer, at),
        Mover::Gather(_) => gather(writer, at),
        Mover::Nearest(nearest) => resize(writer, at, nearest),
        Mover::Largest(pool) => window::largest(writer, at, &pool.0),
        Mover::Extreme(_) => Err("it is not written yet".into()),
    }
}

/// The same move by fewer axes: those that go together are one.
fn merged(step: &Permuted) -> Permuted {
    let rank = step.extents.len();
    // Axes whose right neighbour follows them in the result too.
    let goes_on = |axis: usize| step.permutation.windows(2).any(|pair| pair == [axis, axis + 1]);
    let (mut extents, mut number) = (Vec::<usize>::new(), vec![0; rank]);
    for axis in 0..rank {
        match extents.last_mut() {
            Some(last) if goes_on(axis - 1) => *last *= step.extents[axis],
            _ => extents.push(step.extents[axis]),
        }
        number[axis] = extents.len() - 1;
    }
    let mut permutation: Vec<usize> = step.permutation.iter().map(|&axis| number[axis]).collect();
    permutation.dedup();
    Permuted { extents, permutation }
}

/// A Reshape of a tensor to another's place.
fn to_shape(writer: &mut Writer, name: &str, x: i32, shape: &[usize], y: i32) {
    let extents: Vec<i32> = shape.iter().map(|&n| n as i32).collect();
    let list = writer.integers(&format!("{name}/shape"), &[extents.len()], &extents, None);
    writer.operator(&Operator::Reshape(extents), vec![x, list], y);
}

fn reshape(writer: &mut Writer, at: &At) -> Result<(), Refused> {
    let (x, y) = (writer.tensor(at.input()?)?, writer.tensor(at.instruction.output)?);
    let shape = writer.shape(at.instruction.output);
    to_shape(writer, &at.instruction.node, x, &shape, y);
    Ok(())
}

fn join(writer: &mut Writer, at: &At) -> Result<(), Refused> {
    let Op::Concat(op) = at.op else { return Err("it is no Concat".into()) };
    let x = at.instruction.inputs.iter().map(|&t| writer.tensor(t)).collect::<Result<Vec<_>, _>>()?;
    let y = writer.tensor(at.instruction.output)?;
    let rank = writer.shape(at.instruction.output).len();
    let axis = physical_axis(rank, axis_from_front(op.axis, rank)) as i32;
    writer.operator(&Operator::Concatenation { axis }, x, y);
    Ok(())
}

fn gather(writer: &mut Writer, at: &At) -> Result<(), Refused> {
    let (input, name) = (at.input()?, &at.instruction.node);
    let rank = writer.shape(input).len();
    match at.op {
        Op::Pad(op) if matches!(op.mode, quantrain_graph::op::PadMode::Constant(0.0)) => {
            let sides = |from: usize| to_physical(&op.pads[from..from + rank]);
            let around: Vec<i32> = sides(0).into_iter().zip(sides(rank)).flat_map(|(a, b)| [a as i32, b as i32]).collect();
            let (x, y) = (writer.tensor(input)?, writer.tensor(at.instruction.output)?);
            let list = writer.integers(&format!("{name}/around"), &[rank, 2], &around, None);
            writer.operator(&Operator::Pad, vec![x, list], y);
            Ok(())
        }
        Op::Slice(op) => {
            let shape = writer.program.quant_graph().graph().tensor(input).shape.clone();
            let walks = op.walks(&shape).map_err(|_| Refused::from("its attributes do not fit the input"))?;
            let extents = shape.at(1);
            // Begin, end and step of each axis in ONNX's order; an axis that is left out is taken whole.
            let mut of_axes = vec![[0i32; 3]; rank];
            for (axis, walk) in walks.iter().enumerate() {
                let whole = [0, extents[axis] as i32, 1];
                of_axes[physical_axis(rank, axis)] = match walk {
                    None => whole,
                    Some(walk) if walk.step > 0 => {
                        [walk.start as i32, walk.start as i32 + (walk.count as i32 - 1) * walk.step as i32 + 1, walk.step as i32]
                    }
                    Some(_) => return Err("it walks backwards".into()),
                };
            }
            let mut inputs = vec![writer.tensor(input)?];
            for (part, word) in ["begin", "end", "step"].into_iter().enumerate() {
                let values: Vec<i32> = of_axes.iter().map(|of| of[part]).collect();
                inputs.push(writer.integers(&format!("{name}/{word}"), &[rank], &values, None));
            }
            let y = writer.tensor(at.instruction.output)?;
            writer.operator(&Operator::StridedSlice, inputs, y);
            Ok(())
        }
        _ => Err("this form of it is not written yet".into()),
    }
}

/// The pixel that TensorFlow Lite reads for pixel `to` of `output`.
fn nearest(to: usize, input: usize, output: usize, align_corners: bool, half_pixel: bool) -> usize {
    let scale = if align_corners && output > 1 { (input - 1) as f32 / (output - 1) as f32 } else { input as f32 / output as f32 };
    let at = (to as f32 + if half_pixel { 0.5 } else { 0.0 }) * scale;
    let at = if align_corners { at.round() } else { at.floor() };
    (at as usize).min(input - 1)
}

fn resize(writer: &mut Writer, at: &At, nearest_of: &Nearest) -> Result<(), Refused> {
    let (s, rows, columns) = (&nearest_of.shape, &nearest_of.rows, &nearest_of.columns);
    let reads = |map: &[u32], input: usize, (corners, half): (bool, bool)| {
        map.iter().enumerate().all(|(to, from)| nearest(to, input, map.len(), corners, half) == *from as usize)
    };
    let rules = [(false, true), (false, false), (true, false)];
    let found = rules.into_iter().find(|&rule| reads(rows, s.in_height, rule) && reads(columns, s.in_width, rule));
    let (align_corners, half_pixel) = found.ok_or_else(|| Refused::from("TensorFlow Lite picks other pixels for it"))?;
    let (x, y) = (writer.tensor(at.input()?)?, writer.tensor(at.instruction.output)?);
    let size = [rows.len() as i32, columns.len() as i32];
    let list = writer.integers(&format!("{}/size", at.instruction.node), &[2], &size, None);
    writer.operator(&Operator::Resize { align_corners, half_pixel }, vec![x, list], y);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn axes_that_go_together_are_one() {
        let merge =
            |extents: &[usize], permutation: &[usize]| merged(&Permuted { extents: extents.to_vec(), permutation: permutation.to_vec() });
        // DepthToSpace, blocks first and channels first.
        let blocks = merge(&[1, 4, 5, 2, 2, 3], &[0, 1, 3, 2, 4, 5]);
        assert_eq!((&blocks.extents[..], &blocks.permutation[..]), (&[4, 5, 2, 6][..], &[0, 2, 1, 3][..]));
        let channels = merge(&[1, 4, 5, 3, 2, 2], &[0, 1, 4, 2, 5, 3]);
        assert_eq!((&channels.extents[..], &channels.permutation[..]), (&[4, 5, 3, 2, 2][..], &[0, 3, 1, 4, 2][..]));
        let none = merge(&[2, 3, 4], &[2, 1, 0]);
        assert_eq!((&none.extents[..], &none.permutation[..]), (&[2, 3, 4][..], &[2, 1, 0][..]));
    }
}
