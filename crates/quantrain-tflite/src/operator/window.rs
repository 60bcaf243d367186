//! Windows over images: which padding TensorFlow Lite can say, and what is padded before; pools.

use quantrain_graph::TensorId;
use quantrain_kernels::pooling::PoolShape;

use super::{At, Refused};
use crate::model::{Scales, Writer};
use crate::schema::{Fused, Operator, Padding, Window};

/// Along rows and columns: what a window reads.
#[derive(Clone, Copy)]
pub(super) struct Extent {
    pub input: [usize; 2],
    pub output: [usize; 2],
    pub kernel: [usize; 2],
    pub stride: [usize; 2],
    pub dilation: [usize; 2],
    /// Before the first row and column.
    pub before: [usize; 2],
}

/// What stands in the padding.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Fill {
    Zero,
    LowestCode,
}

impl Extent {
    /// Rows or columns that are read beyond the input, in front and behind.
    fn around(&self, axis: usize) -> (usize, usize) {
        let reach = (self.output[axis] - 1) * self.stride[axis] + (self.kernel[axis] - 1) * self.dilation[axis] + 1;
        (self.before[axis], reach.saturating_sub(self.input[axis] + self.before[axis]))
    }

    /// The padding by which TensorFlow Lite reads the same; `None` where it has none.
    pub fn padding(&self) -> Option<Padding> {
        let around = [self.around(0), self.around(1)];
        if around == [(0, 0); 2] {
            return Some(Padding::Valid);
        }
        // Padding SAME has half of what is missing in front, rounded down, and as many outputs as strides begin on the input.
        let is_same = |axis: usize| {
            let (before, after) = around[axis];
            self.output[axis] == self.input[axis].div_ceil(self.stride[axis]) && before == (before + after) / 2
        };
        (is_same(0) && is_same(1)).then_some(Padding::Same)
    }

    pub fn window(&self, padding: Padding, fused: Fused) -> Window {
        let pair = |values: [usize; 2]| values.map(|v| v as i32);
        Window { padding, stride: pair(self.stride), dilation: pair(self.dilation), kernel: pair(self.kernel), fused }
    }
}

/// The padding of a window over `x` and the tensor to read: `x`, or a padded one.
pub(super) fn padded(writer: &mut Writer, at: &At, x: TensorId, extent: &Extent, fill: Fill) -> Result<(Padding, i32), Refused> {
    let place = writer.tensor(x)?;
    if let Some(padding) = extent.padding() {
        return Ok((padding, place));
    }
    let (grid, mut shape) = (writer.grid(x)?, writer.shape(x));
    let (rows, columns) = (extent.around(0), extent.around(1));
    shape[1] += rows.0 + rows.1;
    shape[2] += columns.0 + columns.1;
    let around = [0, 0, rows.0, rows.1, columns.0, columns.1, 0, 0].map(|n| n as i32);
    let name = &at.instruction.node;
    let list = writer.integers(&format!("{name}/around"), &[4, 2], &around, None);
    let wider = writer.codes_of(&format!("{name}/padded"), &shape, &grid);
    match fill {
        Fill::Zero => writer.operator(&Operator::Pad, vec![place, list], wider),
        Fill::LowestCode => {
            let scales = Scales { values: vec![grid.scale()], zero: grid.quantizer.zero_point().into(), axis: 0 };
            let lowest = writer.bytes(&format!("{name}/lowest"), &[1], [grid.quantizer.qmin()], scales);
            writer.operator(&Operator::PadWith, vec![place, list, lowest], wider);
        }
    }
    Ok((Padding::Valid, wider))
}

fn extent(s: &PoolShape) -> Result<Extent, Refused> {
    if s.dilation != [1, 1] {
        return Err("TensorFlow Lite's pools have no dilation".into());
    }
    Ok(Extent {
        input: [s.in_height, s.in_width],
        output: [s.out_height, s.out_width],
        kernel: s.kernel,
        stride: s.stride,
        dilation: s.dilation,
        before: s.padding_begin,
    })
}

/// The greatest of each window.
pub(super) fn largest(writer: &mut Writer, at: &At, shape: &PoolShape) -> Result<(), Refused> {
    let extent = extent(shape)?;
    let (padding, x) = padded(writer, at, at.input()?, &extent, Fill::LowestCode)?;
    let y = writer.tensor(at.instruction.output)?;
    writer.operator(&Operator::MaxPool(extent.window(padding, Fused::Nothing)), vec![x], y);
    Ok(())
}

/// The mean of each window. TensorFlow Lite counts no padding.
pub(super) fn average(writer: &mut Writer, at: &At, shape: &PoolShape, fused: Fused) -> Result<(), Refused> {
    let extent = extent(shape)?;
    let whole = shape.kernel[0] * shape.kernel[1];
    let counts_all = (0..shape.out_height * shape.out_width).all(|i| shape.count(i / shape.out_width, i % shape.out_width) == whole);
    let (padding, x) = match extent.padding() {
        Some(Padding::Valid) => (Padding::Valid, writer.tensor(at.input()?)?),
        Some(Padding::Same) if !shape.count_padding => (Padding::Same, writer.tensor(at.input()?)?),
        // What counts zeros can read them.
        _ if counts_all => {
            let explicit = Extent { before: extent.before, ..extent };
            explicitly_padded(writer, at, &explicit)?
        }
        _ => {
            return Err(
                "TensorFlow Lite counts padding nowhere, and has it evenly around the image; pad with zeros that count, or evenly".into()
            );
        }
    };
    let y = writer.tensor(at.instruction.output)?;
    writer.operator(&Operator::AveragePool(extent.window(padding, fused)), vec![x], y);
    Ok(())
}

/// As [`padded`], even where TensorFlow Lite could pad by itself.
fn explicitly_padded(writer: &mut Writer, at: &At, extent: &Extent) -> Result<(Padding, i32), Refused> {
    match extent.padding() {
        Some(Padding::Same) => Err("zeros that count stand evenly around the image; pad it before, by a Pad".into()),
        _ => padded(writer, at, at.input()?, extent, Fill::Zero),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn extent(input: usize, kernel: usize, stride: usize, before: usize, output: usize) -> Extent {
        let both = |n| [n; 2];
        Extent {
            input: both(input),
            output: both(output),
            kernel: both(kernel),
            stride: both(stride),
            dilation: [1, 1],
            before: both(before),
        }
    }

    #[test]
    fn padding_is_said_where_tensorflow_pads_alike() {
        assert_eq!(extent(32, 3, 1, 1, 32).padding(), Some(Padding::Same));
        assert_eq!(extent(32, 1, 2, 0, 16).padding(), Some(Padding::Valid));
        // ONNX pads one row in front, TensorFlow one behind.
        let strided = extent(32, 3, 2, 1, 16);
        assert_eq!((strided.padding(), strided.around(0)), (None, (1, 0)));
        assert_eq!(extent(32, 3, 2, 0, 16).padding(), Some(Padding::Same));
        assert_eq!(extent(7, 3, 2, 1, 4).padding(), Some(Padding::Same));
        assert_eq!(extent(8, 5, 1, 1, 6).padding(), None);
    }
}
