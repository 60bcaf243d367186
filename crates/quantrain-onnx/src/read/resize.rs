//! Resize, and Upsample before it: of images and of signals.

use std::fmt;

use quantrain_graph::op::{Coordinates, Interpolation, NearestMode, Pad, PadMode, Resize, ResizeTo, Slice};
use quantrain_graph::{Dim, Op, Shape};

use super::node::{NodeReader, Operand, extent};
use super::number::{self, Number};
use super::pooling;
use crate::NodeError;
use crate::error::listed;

/// Before operator set 11 there are scales only (before 9 an attribute), and coordinates are `i / scale`.
pub(super) fn upsample(node: &mut NodeReader) -> Result<(), NodeError> {
    let x = node.operand(0)?;
    let mode = node.string("mode")?;
    let scales = if node.opset() < 9 {
        node.floats("scales")?.ok_or(NodeError::AttributeMissing { attribute: "scales" })?
    } else {
        node.constant_floats(1)?.ok_or(NodeError::InputMissing { position: 1 })?.values
    };
    let scales = spatial_scales(&scales, &[], &node.shape(&x))?;
    if scales.iter().any(|&s| s < 1.0) {
        let expected = "at least 1 (before operator set 11 shrinking is not defined exactly)".into();
        return Err(NodeError::Value { what: "scales", found: listed(&scales), expected });
    }
    let interpolation = match mode.as_deref().unwrap_or("nearest") {
        "nearest" => Interpolation::Nearest(NearestMode::Floor),
        "linear" | "bilinear" => Interpolation::Linear,
        other => return Err(NodeError::Value { what: "mode", found: other.into(), expected: "nearest or linear".into() }),
    };
    add(node, x, Resize { to: ResizeTo::Scales(scales), coordinates: Coordinates::Asymmetric, interpolation })
}

pub(super) fn resize(node: &mut NodeReader) -> Result<(), NodeError> {
    if node.opset() < 11 {
        return upsample(node);
    }
    let x = node.operand(0)?;
    let shape = node.shape(&x);
    let transformation = node.string("coordinate_transformation_mode")?.unwrap_or_else(|| "half_pixel".into());
    let coordinates = match transformation.as_str() {
        "half_pixel" => Coordinates::HalfPixel,
        "pytorch_half_pixel" => Coordinates::PytorchHalfPixel,
        "asymmetric" => Coordinates::Asymmetric,
        "align_corners" => Coordinates::AlignCorners,
        "half_pixel_symmetric" => Coordinates::HalfPixelSymmetric,
        "tf_half_pixel_for_nn" => Coordinates::HalfPixel,
        other => {
            let expected = "half_pixel, half_pixel_symmetric, pytorch_half_pixel, asymmetric, align_corners or tf_half_pixel_for_nn".into();
            return Err(NodeError::Value { what: "coordinate_transformation_mode", found: other.into(), expected });
        }
    };
    let nearest = match node.string("nearest_mode")?.as_deref().unwrap_or("round_prefer_floor") {
        "round_prefer_floor" => NearestMode::RoundPreferFloor,
        "round_prefer_ceil" => NearestMode::RoundPreferCeil,
        "floor" => NearestMode::Floor,
        "ceil" => NearestMode::Ceil,
        other => {
            let expected = "round_prefer_floor, round_prefer_ceil, floor or ceil".into();
            return Err(NodeError::Value { what: "nearest_mode", found: other.into(), expected });
        }
    };
    // TensorFlow's coordinates `(i + ½)/scale` lie half a pixel further than those of half pixels.
    let nearest = match (transformation.as_str(), nearest) {
        ("tf_half_pixel_for_nn", NearestMode::Floor) => NearestMode::RoundPreferCeil,
        ("tf_half_pixel_for_nn", NearestMode::RoundPreferFloor) => NearestMode::Ceil,
        ("tf_half_pixel_for_nn", nearest) => {
            let expected = "floor or round_prefer_floor with tf_half_pixel_for_nn".into();
            let found = if nearest == NearestMode::Ceil { "ceil" } else { "round_prefer_ceil" };
            return Err(NodeError::Value { what: "nearest_mode", found: found.into(), expected });
        }
        (_, nearest) => nearest,
    };
    let a = node.float("cubic_coeff_a")?.unwrap_or(-0.75);
    let exclude_outside = node.flag("exclude_outside", false)?;
    let interpolation = match node.string("mode")?.as_deref().unwrap_or("nearest") {
        "nearest" => Interpolation::Nearest(nearest),
        mode if transformation == "tf_half_pixel_for_nn" => {
            return Err(NodeError::Value { what: "mode", found: mode.into(), expected: "nearest with tf_half_pixel_for_nn".into() });
        }
        "linear" => Interpolation::Linear,
        "cubic" if a.is_finite() => Interpolation::Cubic { a, exclude_outside },
        other => return Err(NodeError::Value { what: "mode", found: other.into(), expected: "nearest, linear or cubic".into() }),
    };
    node.only("antialias", 0)?;
    // Of cropping, which is refused.
    node.float("extrapolation_value")?;
    node.optional(1)?;
    let covers = match node.string("keep_aspect_ratio_policy")?.as_deref().unwrap_or("stretch") {
        "stretch" => None,
        "not_larger" => Some(false),
        "not_smaller" => Some(true),
        other => {
            let expected = "stretch, not_larger or not_smaller".into();
            return Err(NodeError::Value { what: "keep_aspect_ratio_policy", found: other.into(), expected });
        }
    };
    let axes = node.ints("axes")?.unwrap_or_default();
    let scales = node.constant_floats(2)?.filter(|s| !s.values.is_empty());
    let sizes = node.constant_numbers(3)?.filter(|s| !s.values.is_empty());
    let to = match (scales, sizes) {
        (Some(scales), None) => ResizeTo::Scales(spatial_scales(&scales.values, &axes, &shape)?),
        (None, Some(sizes)) => {
            let sizes = spatial_sizes(&sizes.values, &axes, &shape, node.model.batch)?;
            match (covers, axes.len(), shape.rank()) {
                // One axis alone has its own factor.
                (None, ..) | (_, 1, _) => exactly(sizes, &shape),
                (Some(covers), 2, 4) => {
                    let to = ResizeTo::Sizes(sizes);
                    return fit(node, x, sizes, covers, Resize { to, coordinates, interpolation });
                }
                _ => {
                    let (what, found) = ("keep_aspect_ratio_policy", "sizes of batch and channels".into());
                    return Err(NodeError::Value { what, found, expected: "stretch, or the attribute axes with spatial axes".into() });
                }
            }
        }
        _ => {
            return Err(NodeError::Value {
                what: "scales",
                found: "both or neither of scales and sizes".into(),
                expected: "one of them".into(),
            });
        }
    };
    add(node, x, Resize { to, coordinates, interpolation })
}

fn add(node: &mut NodeReader, x: Operand, op: Resize) -> Result<(), NodeError> {
    let signal = node.shape(&x).rank() == 3;
    let x = node.image(x)?;
    pooling::add(node, signal, Op::Resize(op), vec![x])
}

/// One factor for both axes: the largest with which the output fits into the sizes, or the smallest with which it covers them. An axis then
/// has `round(in·factor)` positions, where factors give `floor(in·factor)`: for one more the input's edge is repeated, and what is too much is
/// cut off behind.
fn fit(node: &mut NodeReader, x: Operand, sizes: [usize; 2], covers: bool, op: Resize) -> Result<(), NodeError> {
    let shape = node.shape(&x);
    let float = |n: usize| i64::try_from(n).map_or(f32::INFINITY, number::to_f32);
    let input = [2, 3].map(|axis| float(shape.fixed_at(axis).unwrap_or(1)));
    let [h, w] = [0, 1].map(|axis| float(sizes[axis]) / input[axis]);
    let factor = if covers { h.max(w) } else { h.min(w) };
    let [height, width] = input.map(|n| extent("sizes", number::truncate((n * factor + 0.5).floor())));
    let output = [height?, width?];
    let short = [0, 1].map(|axis| (input[axis] * factor).floor() < float(output[axis]));
    let by_factor = Resize { to: ResizeTo::Scales([factor; 2]), ..op };
    if short == [false; 2] {
        return add(node, x, by_factor);
    }
    match (op.coordinates, op.interpolation) {
        // The factor has no part in them.
        (Coordinates::AlignCorners, _) => return add(node, x, Resize { to: exactly(output, &shape), ..op }),
        (Coordinates::HalfPixelSymmetric, _) | (_, Interpolation::Cubic { exclude_outside: true, .. }) => {
            let expected = "stretch with these coordinates and weights, where an extent is rounded up".into();
            let found = if covers { "not_smaller" } else { "not_larger" };
            return Err(NodeError::Value { what: "keep_aspect_ratio_policy", found: found.into(), expected });
        }
        _ => {}
    }
    let mut pads = vec![0; 8];
    (pads[6], pads[7]) = (short[0].into(), short[1].into());
    let x = node.step(Op::Pad(Pad { pads, mode: PadMode::Edge }), vec![x])?;
    let x = node.step(Op::Resize(by_factor), vec![x])?;
    let ends = output.iter().map(|&n| i64::try_from(n).unwrap_or(i64::MAX)).collect();
    node.add(Op::Slice(Slice { starts: vec![0, 0], ends, axes: vec![2, 3], steps: vec![1, 1] }), vec![x])
}

/// The entries of the spatial axes among those of `axes` (all where none are named); the others must satisfy `unchanged`. A signal has one
/// row.
fn spatial<T: Copy + fmt::Display>(
    what: &'static str,
    values: &[T],
    axes: &[i64],
    rank: usize,
    unchanged: impl Fn(usize, T) -> bool,
    default: [Option<T>; 2],
) -> Result<[T; 2], NodeError> {
    let refused = || {
        let expected = "an entry for each axis of [N, C, H, W] or [N, C, L], batch and channels kept".into();
        NodeError::Value { what, found: listed(values), expected }
    };
    let all = [0, 1, 2, 3];
    let axes = if axes.is_empty() { all.get(..rank).unwrap_or(&all) } else { axes };
    if values.len() != axes.len() {
        return Err(refused());
    }
    let own_rank = i64::try_from(rank).unwrap_or(i64::MAX);
    let mut found = default;
    for (&axis, &value) in axes.iter().zip(values) {
        match (if axis < 0 { axis + own_rank } else { axis }, rank) {
            (2, 4) => found[0] = Some(value),
            (3, 4) | (2, 3) => found[1] = Some(value),
            (0, _) if unchanged(0, value) => {}
            (1, _) if unchanged(1, value) => {}
            _ => return Err(refused()),
        }
    }
    match found {
        [Some(h), Some(w)] => Ok([h, w]),
        _ => Err(refused()),
    }
}

fn spatial_scales(values: &[f32], axes: &[i64], x: &Shape) -> Result<[f32; 2], NodeError> {
    spatial("scales", values, axes, x.rank(), |_, s| s == 1.0, [Some(1.0), Some(1.0)])
}

/// Sizes as factors where these give the same in f32 and in f64 (runtimes differ), sizes elsewhere: factors need no operator set 18 when they are
/// written, and ONNX Runtime's sessions fail to optimise sizes of some axes.
fn exactly(sizes: [usize; 2], x: &Shape) -> ResizeTo {
    let float = |n: usize| i64::try_from(n).ok().map(number::to_f32);
    let first = x.rank().saturating_sub(2);
    let factor = |axis: usize| {
        let (from, to) = (float(x.fixed_at(first + axis).ok()?)?, float(sizes[axis])?);
        let wide = |factor: f32| (f64::from(from) * f64::from(factor)).floor() == f64::from(to);
        Some(to / from).filter(|factor| (from * factor).floor() == to && wide(*factor))
    };
    // The one row of a signal is no axis of its own.
    match (factor(0).filter(|_| x.rank() == 4), factor(1)) {
        (Some(height), Some(width)) => ResizeTo::Scales([height, width]),
        _ => ResizeTo::Sizes(sizes),
    }
}

/// `batch` is the file's and what a user gave in its place.
fn spatial_sizes(values: &[Number], axes: &[i64], x: &Shape, batch: Option<(i64, Dim)>) -> Result<[usize; 2], NodeError> {
    let follows =
        |axis: usize, n: Number| batch.is_some_and(|(file, given)| axis == 0 && n == Number::Fixed(file) && x.0.first() == Some(&given));
    let kept = |axis: usize, n: Number| x.0.get(axis).is_some_and(|&d| Number::from(d) == n) || follows(axis, n);
    let own = |axis: usize| x.0.get(axis).map(|&d: &Dim| Number::from(d));
    let default = if x.rank() == 3 { [Some(Number::Fixed(1)), own(2)] } else { [own(2), own(3)] };
    let [h, w] = spatial("sizes", values, axes, x.rank(), kept, default)?;
    Ok([extent("sizes", h.fixed()?)?, extent("sizes", w.fixed()?)?])
}
