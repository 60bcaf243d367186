//! Resize of height and width: which pixels an output reads, along rows and along columns.

use quantrain_graph::op::{Interpolation, Resize};
use quantrain_kernels::resize::{AxisMap, CubicMap, ResizeShape};

use crate::Site;

/// The maps of rows and of columns.
pub enum Maps {
    /// One neighbour, the low one.
    Nearest([AxisMap; 2]),
    /// Two neighbours by their weights.
    Linear([AxisMap; 2]),
    /// Four neighbours by their weights.
    Cubic([CubicMap; 2]),
}

/// What a Resize reads, and from where.
pub fn maps(op: &Resize, site: &Site) -> (ResizeShape, Maps) {
    let (x, y) = (site.input(0), site.output());
    let size = [x[2], x[3]];
    let index = |i: usize| u32::try_from(i).expect("an extent below 2^32");
    let at = |axis: usize| op.axis_map(axis, size, y[axis + 2]);
    // Tables are counted before they are made ([`crate::memory`]), so nothing else grows with them.
    let nearest = |axis: usize| AxisMap { low: at(axis).map(|m| index(m.0)).collect(), high: Vec::new(), weight_high: Vec::new() };
    let linear = |axis: usize| AxisMap {
        low: at(axis).map(|m| index(m.0)).collect(),
        high: at(axis).map(|m| index(m.1)).collect(),
        weight_high: at(axis).map(|m| m.2).collect(),
    };
    let cubic = |axis: usize| op.cubic_map(axis, size, y[axis + 2]).map(|taps| taps.map(|(i, w)| (index(i), w))).collect();
    let maps = match op.interpolation {
        Interpolation::Nearest(_) => Maps::Nearest([nearest(0), nearest(1)]),
        Interpolation::Linear => Maps::Linear([linear(0), linear(1)]),
        Interpolation::Cubic { .. } => Maps::Cubic([cubic(0), cubic(1)]),
    };
    (ResizeShape { batch: x[0], in_height: x[2], in_width: x[3], channels: x[1] }, maps)
}
