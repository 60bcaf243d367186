//! Operators that move elements and keep their values.

use crate::{Dim, Shape, ShapeError};

/// Joins tensors along an axis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Concat {
    /// The axis, negative ones counted from the back.
    pub axis: i64,
}

impl Concat {
    pub(super) fn output_shape(&self, inputs: &[&Shape]) -> Result<Shape, ShapeError> {
        let first = inputs[0];
        let axis = first.axis(self.axis)?;
        let mut extent = 0;
        for x in inputs {
            let extent_here = x.fixed_at(axis)?;
            if x.rank() != first.rank() || x.with(axis, 0) != first.with(axis, 0) {
                return Err(ShapeError::ConcatMismatch { left: first.clone(), right: (*x).clone(), axis });
            }
            extent += extent_here;
        }
        Ok(first.with(axis, extent))
    }
}

/// Every step-th element from start to end, along some axes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Slice {
    /// First index of each axis; negative ones count from the back.
    pub starts: Vec<i64>,
    /// End of each axis, exclusive; negative ones count from the back.
    pub ends: Vec<i64>,
    /// The axes.
    pub axes: Vec<i64>,
    /// Steps, not zero; negative ones walk backwards.
    pub steps: Vec<i64>,
}

/// The elements that a Slice takes of one axis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Walk {
    /// First index.
    pub start: usize,
    /// Distance between indices, not zero.
    pub step: isize,
    /// Number of indices.
    pub count: usize,
}

impl Slice {
    /// For every axis of `x` how it is walked; `None` where it is not sliced.
    ///
    /// # Errors
    /// An axis lies outside the rank or depends on the batch, a step is zero, or nothing is left.
    pub fn walks(&self, x: &Shape) -> Result<Vec<Option<Walk>>, ShapeError> {
        let mut walks = vec![None; x.rank()];
        let n = self.axes.len();
        for (what, found) in [("starts", self.starts.len()), ("ends", self.ends.len()), ("steps", self.steps.len())] {
            if found != n {
                return Err(ShapeError::Count { what, found, expected: n });
            }
        }
        for i in 0..n {
            let axis = x.axis(self.axes[i])?;
            let (start, end, step) = (self.starts[i], self.ends[i], self.steps[i]);
            if matches!(x.0[axis], Dim::Batch(_)) && (start, step) == (0, 1) && end >= i64::from(i32::MAX) {
                continue;
            }
            let extent = x.fixed_at(axis)? as i64;
            if step == 0 {
                return Err(ShapeError::Value { what: "steps", value: 0 });
            }
            let from_front = |v: i64| if v < 0 { v.saturating_add(extent) } else { v };
            let (low, high) = if step > 0 { (0, extent) } else { (-1, extent - 1) };
            let start = from_front(start).clamp(low.max(0), high);
            let end = from_front(end).clamp(low, high);
            let distance = if step > 0 { end - start } else { start - end };
            if distance <= 0 {
                return Err(ShapeError::Empty { shape: x.with(axis, 0) });
            }
            let count = distance.unsigned_abs().div_ceil(step.unsigned_abs());
            walks[axis] = Some(Walk { start: start as usize, step: step as isize, count: count as usize });
        }
        Ok(walks)
    }

    pub(super) fn output_shape(&self, x: &Shape) -> Result<Shape, ShapeError> {
        let walks = self.walks(x)?;
        Ok(walks.iter().enumerate().fold(x.clone(), |y, (axis, walk)| match walk {
            Some(walk) => y.with(axis, walk.count),
            None => y,
        }))
    }
}

/// What a Pad surrounds its input with.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum PadMode {
    /// This value.
    Constant(f32),
    /// The mirrored input, edge not repeated.
    Reflect,
    /// The edge value.
    Edge,
    /// The input again, as if it went round.
    Wrap,
}

/// Adds elements before and after each axis.
#[derive(Clone, Debug, PartialEq)]
pub struct Pad {
    /// Elements before each axis, then after each axis (ONNX's order); none negative.
    pub pads: Vec<usize>,
    /// What is added.
    pub mode: PadMode,
}

impl Pad {
    pub(super) fn output_shape(&self, x: &Shape) -> Result<Shape, ShapeError> {
        let rank = x.rank();
        if self.pads.len() != 2 * rank {
            return Err(ShapeError::Count { what: "pads", found: self.pads.len(), expected: 2 * rank });
        }
        let mut y = x.clone();
        for axis in 0..rank {
            let added = self.pads[axis].saturating_add(self.pads[axis + rank]);
            if added > 0 {
                y = y.with(axis, x.fixed_at(axis)?.saturating_add(added));
            }
        }
        Ok(y)
    }
}

/// One extent of a Reshape's target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    /// The input's extent at the same place.
    Copy,
    /// Whatever keeps the number of elements.
    Infer,
    /// This extent.
    Is(Dim),
}

/// The same elements in another shape.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reshape {
    /// The target, at most one extent inferred.
    pub extents: Vec<Extent>,
}

impl Reshape {
    /// The target for messages: what is copied as it is in `x`, what is inferred as −1.
    fn target(&self, x: &Shape) -> String {
        let extent = |(i, extent): (usize, &Extent)| match *extent {
            Extent::Is(dim) => dim.to_string(),
            Extent::Copy => x.0.get(i).map_or_else(|| "0".into(), Dim::to_string),
            Extent::Infer => "-1".into(),
        };
        format!("[{}]", self.extents.iter().enumerate().map(extent).collect::<Vec<_>>().join(", "))
    }

    pub(super) fn output_shape(&self, x: &Shape) -> Result<Shape, ShapeError> {
        let failed = || ShapeError::Reshape { from: x.clone(), to: self.target(x) };
        let mut inferred = None;
        let mut dims = Vec::with_capacity(self.extents.len());
        for (i, extent) in self.extents.iter().enumerate() {
            dims.push(match *extent {
                Extent::Is(dim) => dim,
                Extent::Copy => *x.0.get(i).ok_or_else(failed)?,
                Extent::Infer if inferred.is_none() => {
                    inferred = Some(i);
                    Dim::Fixed(1)
                }
                Extent::Infer => return Err(failed()),
            });
        }
        let (from, from_batch) = product(&x.0);
        let (to, to_batch) = product(&dims);
        if let Some(i) = inferred {
            if to == 0 || from % to != 0 {
                return Err(failed());
            }
            dims[i] = match (from_batch, to_batch) {
                (a, b) if a == b => Dim::Fixed(from / to),
                (1, 0) => Dim::Batch(from / to),
                _ => return Err(failed()),
            };
        } else if (from, from_batch) != (to, to_batch) {
            return Err(failed());
        }
        Ok(Shape(dims))
    }
}

/// Product of the factors, and how many extents depend on the batch.
fn product(dims: &[Dim]) -> (usize, usize) {
    dims.iter().fold((1usize, 0), |(p, batch), d| match *d {
        Dim::Fixed(n) => (p.saturating_mul(n), batch),
        Dim::Batch(k) => (p.saturating_mul(k), batch + 1),
    })
}

/// Two axes: the product of those before `axis`, and the product of the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flatten {
    /// The first axis of the second part, negative ones counted from the back.
    pub axis: i64,
}

impl Flatten {
    pub(super) fn output_shape(&self, x: &Shape) -> Result<Shape, ShapeError> {
        let axis = if self.axis == x.rank() as i64 { x.rank() } else { x.axis(self.axis)? };
        let joined = |dims: &[Dim]| match product(dims) {
            (n, 0) => Ok(Dim::Fixed(n)),
            (n, 1) => Ok(Dim::Batch(n)),
            _ => Err(ShapeError::Reshape { from: x.clone(), to: "two axes".into() }),
        };
        Ok(Shape(vec![joined(&x.0[..axis])?, joined(&x.0[axis..])?]))
    }
}

/// Reordered axes: axis i of the output is axis `permutation[i]` of the input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transpose {
    /// Every axis once.
    pub permutation: Vec<usize>,
}

impl Transpose {
    pub(super) fn output_shape(&self, x: &Shape) -> Result<Shape, ShapeError> {
        let mut seen = self.permutation.clone();
        seen.sort_unstable();
        if seen != (0..x.rank()).collect::<Vec<_>>() {
            return Err(ShapeError::Count { what: "perm", found: self.permutation.len(), expected: x.rank() });
        }
        Ok(Shape(self.permutation.iter().map(|&axis| x.0[axis]).collect()))
    }
}

/// How a DepthToSpace takes channels apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DepthOrder {
    /// Row, column, channel (ONNX's DCR).
    BlockFirst,
    /// Channel, row, column (ONNX's CRD).
    ChannelFirst,
}

/// `[N, C·b², H, W]` to `[N, C, H·b, W·b]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DepthToSpace {
    /// b, the edge of a block of pixels.
    pub block: usize,
    /// The order of channels.
    pub order: DepthOrder,
}

impl DepthToSpace {
    pub(super) fn output_shape(&self, x: &Shape) -> Result<Shape, ShapeError> {
        let (channels, height, width) = x.image()?;
        let square = self.block.saturating_mul(self.block);
        if square == 0 || channels % square != 0 {
            return Err(ShapeError::Value { what: "blocksize", value: self.block as i64 });
        }
        Ok(x.with(1, channels / square).with(2, height.saturating_mul(self.block)).with(3, width.saturating_mul(self.block)))
    }
}

/// `[N, C, H·b, W·b]` to `[N, C·b², H, W]`, channels ordered by row, column, channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SpaceToDepth {
    /// b, the edge of a block of pixels.
    pub block: usize,
}

impl SpaceToDepth {
    pub(super) fn output_shape(&self, x: &Shape) -> Result<Shape, ShapeError> {
        let (channels, height, width) = x.image()?;
        let block = self.block;
        if block == 0 || height % block != 0 || width % block != 0 {
            return Err(ShapeError::Value { what: "blocksize", value: block as i64 });
        }
        Ok(x.with(1, channels.saturating_mul(block.saturating_mul(block))).with(2, height / block).with(3, width / block))
    }
}

/// Elements picked along an axis, any of them any number of times.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gather {
    /// The axis, negative ones counted from the back.
    pub axis: i64,
    /// Which elements, in the order of the result.
    pub indices: Vec<usize>,
}

impl Gather {
    pub(super) fn output_shape(&self, x: &Shape) -> Result<Shape, ShapeError> {
        let axis = x.axis(self.axis)?;
        let extent = x.fixed_at(axis)?;
        match self.indices.iter().find(|&&i| i >= extent) {
            Some(&index) => Err(ShapeError::Value { what: "indices", value: index as i64 }),
            None if self.indices.is_empty() => Err(ShapeError::Empty { shape: x.with(axis, 0) }),
            None => Ok(x.with(axis, self.indices.len())),
        }
    }
}

/// The input again and again along each axis.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tile {
    /// How often, for each axis.
    pub repeats: Vec<usize>,
}

impl Tile {
    pub(super) fn output_shape(&self, x: &Shape) -> Result<Shape, ShapeError> {
        if self.repeats.len() != x.rank() {
            return Err(ShapeError::Count { what: "repeats", found: self.repeats.len(), expected: x.rank() });
        }
        let mut y = x.clone();
        for (axis, &times) in self.repeats.iter().enumerate().filter(|(_, times)| **times != 1) {
            y = y.with(axis, x.fixed_at(axis)?.saturating_mul(times));
        }
        if self.repeats.contains(&0) { Err(ShapeError::Empty { shape: y }) } else { Ok(y) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_inferred_extent_may_be_the_batch() {
        let x = Shape::batched(&[64, 2, 2]);
        let flat = Reshape { extents: vec![Extent::Infer, Extent::Is(Dim::Fixed(256))] };
        assert_eq!(flat.output_shape(&x).unwrap(), Shape::batched(&[256]));
        let kept = Reshape { extents: vec![Extent::Copy, Extent::Infer] };
        assert_eq!(kept.output_shape(&x).unwrap(), Shape::batched(&[256]));
        assert!(Reshape { extents: vec![Extent::Is(Dim::Fixed(7)), Extent::Infer] }.output_shape(&x).is_err());
    }

    #[test]
    fn slices_step_and_count_from_the_back() {
        let x = Shape::batched(&[16, 32, 32]);
        let slice = |start, end, step| Slice { starts: vec![start], ends: vec![end], axes: vec![2], steps: vec![step] }.output_shape(&x);
        assert_eq!(slice(0, i64::MAX, 2).unwrap(), Shape::batched(&[16, 16, 32]));
        assert_eq!(slice(-3, 32, 2).unwrap(), Shape::batched(&[16, 2, 32]));
        assert_eq!(slice(-1, i64::MIN, -1).unwrap(), x);
        assert!(slice(5, 5, 1).is_err() && slice(0, 5, 0).is_err());
    }

    #[test]
    fn concat_adds_extents_of_its_axis_only() {
        let (a, b) = (Shape::batched(&[3, 4, 4]), Shape::batched(&[5, 4, 4]));
        assert_eq!(Concat { axis: 1 }.output_shape(&[&a, &b]).unwrap(), Shape::batched(&[8, 4, 4]));
        assert!(Concat { axis: 2 }.output_shape(&[&a, &b]).is_err());
    }

    #[test]
    fn flatten_joins_axes() {
        let x = Shape::batched(&[8, 2, 2]);
        assert_eq!(Flatten { axis: 1 }.output_shape(&x).unwrap(), Shape::batched(&[32]));
        assert_eq!(Flatten { axis: -4 }.output_shape(&x).unwrap(), Shape(vec![Dim::Fixed(1), Dim::Batch(32)]));
    }

    #[test]
    fn depth_and_space_change_places() {
        let deep = Shape::batched(&[12, 3, 5]);
        let wide = DepthToSpace { block: 2, order: DepthOrder::BlockFirst }.output_shape(&deep).unwrap();
        assert_eq!(wide, Shape::batched(&[3, 6, 10]));
        assert_eq!(SpaceToDepth { block: 2 }.output_shape(&wide).unwrap(), deep);
        assert!(SpaceToDepth { block: 2 }.output_shape(&deep).is_err());
        assert!(DepthToSpace { block: 0, order: DepthOrder::BlockFirst }.output_shape(&deep).is_err());
    }

    #[test]
    fn gathers_and_tiles_leave_the_batch_alone() {
        let x = Shape::batched(&[3, 4]);
        assert_eq!(Gather { axis: -1, indices: vec![3, 0, 3, 1, 2] }.output_shape(&x).unwrap(), Shape::batched(&[3, 5]));
        assert!(Gather { axis: 1, indices: vec![3] }.output_shape(&x).is_err());
        assert!(Gather { axis: 0, indices: vec![0] }.output_shape(&x).is_err());
        assert_eq!(Tile { repeats: vec![1, 2, 3] }.output_shape(&x).unwrap(), Shape::batched(&[6, 12]));
        assert!(Tile { repeats: vec![2, 1, 1] }.output_shape(&x).is_err());
        assert!(Tile { repeats: vec![1, 0, 1] }.output_shape(&x).is_err());
    }

    #[test]
    fn padding_counts_on_both_sides() {
        let pad = Pad { pads: vec![0, 2, 0, 0, 0, 3, 1, 0], mode: PadMode::Constant(0.0) };
        assert_eq!(pad.output_shape(&Shape::batched(&[8, 2, 2])).unwrap(), Shape::batched(&[13, 3, 2]));
    }
}
