//! Resize, and Upsample before it.

use quantrain_graph::op::{Coordinates, Interpolation, NearestMode, Resize, ResizeTo};
use quantrain_graph::{Dim, Op, Shape};

use super::node::{NodeReader, Operand, extent};
use super::number::Number;
use crate::NodeError;

/// Before operator set 11 there are scales only, and coordinates are `i / scale`.
pub(super) fn upsample(node: &mut NodeReader) -> Result<(), NodeError> {
    let x = node.operand(0)?;
    let mode = node.string("mode")?;
    let scales = node.constant_floats(1)?.ok_or(NodeError::InputMissing { position: 1 })?;
    let scales = spatial_scales(&scales.values, &[])?;
    if scales.iter().any(|&s| s < 1.0) {
        let expected = "at least 1 (before operator set 11 shrinking is not defined exactly)".into();
        return Err(NodeError::Value { what: "scales", found: format!("{scales:?}"), expected });
    }
    add(node, x, ResizeTo::Scales(scales), Coordinates::Asymmetric, mode, NearestMode::Floor)
}

pub(super) fn resize(node: &mut NodeReader) -> Result<(), NodeError> {
    if node.opset() < 11 {
        return upsample(node);
    }
    let x = node.operand(0)?;
    let shape = node.shape(&x);
    let coordinates = match node.string("coordinate_transformation_mode")?.as_deref().unwrap_or("half_pixel") {
        "half_pixel" => Coordinates::HalfPixel,
        "pytorch_half_pixel" => Coordinates::PytorchHalfPixel,
        "asymmetric" => Coordinates::Asymmetric,
        "align_corners" => Coordinates::AlignCorners,
        other => {
            let expected = "half_pixel, pytorch_half_pixel, asymmetric or align_corners".into();
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
    let mode = node.string("mode")?;
    node.only("antialias", 0)?;
    let policy = node.string("keep_aspect_ratio_policy")?;
    if let Some(other) = policy.filter(|p| p != "stretch") {
        return Err(NodeError::Value { what: "keep_aspect_ratio_policy", found: other, expected: "stretch".into() });
    }
    // Of cubic interpolation and cropping only; neither is supported, so their values change nothing.
    node.float("cubic_coeff_a")?;
    node.only("exclude_outside", 0)?;
    node.float("extrapolation_value")?;
    node.optional(1)?;
    let axes = node.ints("axes")?.unwrap_or_default();
    let scales = node.constant_floats(2)?.filter(|s| !s.values.is_empty());
    let sizes = node.constant_numbers(3)?.filter(|s| !s.values.is_empty());
    let to = match (scales, sizes) {
        (Some(scales), None) => ResizeTo::Scales(spatial_scales(&scales.values, &axes)?),
        (None, Some(sizes)) => ResizeTo::Sizes(spatial_sizes(&sizes.values, &axes, &shape)?),
        _ => {
            return Err(NodeError::Value {
                what: "scales",
                found: "both or neither of scales and sizes".into(),
                expected: "one of them".into(),
            });
        }
    };
    add(node, x, to, coordinates, mode, nearest)
}

fn add(
    node: &mut NodeReader,
    x: Operand,
    to: ResizeTo,
    coordinates: Coordinates,
    mode: Option<String>,
    nearest: NearestMode,
) -> Result<(), NodeError> {
    let interpolation = match mode.as_deref().unwrap_or("nearest") {
        "nearest" => Interpolation::Nearest(nearest),
        "linear" => Interpolation::Linear,
        other => return Err(NodeError::Value { what: "mode", found: other.into(), expected: "nearest or linear".into() }),
    };
    node.add(Op::Resize(Resize { to, coordinates, interpolation }), vec![x])
}

/// The entries of height and width among those of `axes` (all four where none are named); the others must satisfy `unchanged`.
fn spatial<T: Copy + std::fmt::Debug>(
    what: &'static str,
    values: &[T],
    axes: &[i64],
    unchanged: impl Fn(usize, T) -> bool,
    default: [Option<T>; 2],
) -> Result<[T; 2], NodeError> {
    let refused = || {
        let expected = "an entry for each axis of [N, C, H, W], batch and channels kept".into();
        NodeError::Value { what, found: format!("{values:?}"), expected }
    };
    let all = [0, 1, 2, 3];
    let axes = if axes.is_empty() { &all } else { axes };
    if values.len() != axes.len() {
        return Err(refused());
    }
    let mut found = default;
    for (&axis, &value) in axes.iter().zip(values) {
        match if axis < 0 { axis + 4 } else { axis } {
            2 => found[0] = Some(value),
            3 => found[1] = Some(value),
            0 if unchanged(0, value) => {}
            1 if unchanged(1, value) => {}
            _ => return Err(refused()),
        }
    }
    match found {
        [Some(h), Some(w)] => Ok([h, w]),
        _ => Err(refused()),
    }
}

fn spatial_scales(values: &[f32], axes: &[i64]) -> Result<[f32; 2], NodeError> {
    spatial("scales", values, axes, |_, s| s == 1.0, [Some(1.0), Some(1.0)])
}

fn spatial_sizes(values: &[Number], axes: &[i64], x: &Shape) -> Result<[usize; 2], NodeError> {
    let kept = |axis: usize, n: Number| x.0.get(axis).is_some_and(|&d| Number::from(d) == n);
    let own = |axis: usize| x.0.get(axis).map(|&d: &Dim| Number::from(d));
    let [h, w] = spatial("sizes", values, axes, kept, [own(2), own(3)])?;
    Ok([extent("sizes", h.fixed()?)?, extent("sizes", w.fixed()?)?])
}
