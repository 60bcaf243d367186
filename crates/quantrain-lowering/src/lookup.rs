//! Elements picked by computed indices: where each run of the output lies in what is picked from.

use quantrain_graph::op::Lookup;

use crate::Site;
use crate::memory_order::{axis_from_front, physical_axis, to_physical, walk};

/// Places of a [`Lookup`].
pub struct Places {
    /// Extents of the output in memory order, without the axes of a run.
    extents: Vec<usize>,
    /// Strides of x and of the indices along them.
    strides: [Vec<usize>; 2],
    /// Elements that lie together in x and in the output.
    run: usize,
    /// Elements from one index of the axis to the next.
    step: usize,
    /// Extent of the axis.
    extent: usize,
}

impl Places {
    /// Of a node. A constant lies in ONNX's order of axes, all else as in memory.
    pub fn new(op: &Lookup, site: &Site) -> Self {
        let (x, indices, output) = (site.input(0), site.input(1), site.output());
        let axis = axis_from_front(op.axis, x.len());
        let (of_x, of_indices) = (strides(&x, site.constant(0).is_some()), strides(&indices, site.constant(1).is_some()));
        let none = |count: usize| vec![0; count];
        let along_x = [&of_x[..axis], &none(indices.len()), &of_x[axis + 1..]].concat();
        let along_indices = [none(axis), of_indices, none(x.len() - axis - 1)].concat();
        let (mut extents, mut strides) = (to_physical(&output), [to_physical(&along_x), to_physical(&along_indices)]);
        let mut run = 1;
        while extents.last().is_some_and(|&n| strides[1].last() == Some(&0) && (n == 1 || strides[0].last() == Some(&run))) {
            run *= extents.pop().unwrap_or(1);
            for s in &mut strides {
                s.pop();
            }
        }
        Places { extents, strides, run, step: of_x[axis], extent: x[axis] }
    }

    /// Elements of a run.
    pub fn run(&self) -> usize {
        self.run
    }

    /// Calls `f(first output element, first element of x)` for each run, in order; no element for an index that x does not have.
    pub fn walk(&self, indices: &[f32], mut f: impl FnMut(usize, Option<usize>)) {
        walk(&self.extents, [&self.strides[0], &self.strides[1]], |i, [at, k]| {
            f(i * self.run, place(indices[k], self.extent).map(|index| at + index * self.step));
        });
    }
}

/// The element that an index means, negative ones counted from the end.
fn place(index: f32, extent: usize) -> Option<usize> {
    let whole = index.trunc();
    let from_front = if whole < 0.0 { whole + extent as f32 } else { whole };
    // NaN is in no range.
    (0.0..extent as f32).contains(&from_front).then_some(from_front as usize)
}

fn strides(shape: &[usize], in_onnx_order: bool) -> Vec<usize> {
    let stored = if in_onnx_order { shape.to_vec() } else { to_physical(shape) };
    let at = |axis: usize| if in_onnx_order { axis } else { physical_axis(shape.len(), axis) };
    (0..shape.len()).map(|axis| stored[at(axis) + 1..].iter().product()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn negative_indices_count_from_the_end_and_others_are_none() {
        assert_eq!([0.0, 4.0, -1.0, -5.0].map(|i| place(i, 5)), [Some(0), Some(4), Some(4), Some(0)]);
        assert_eq!([5.0, -6.0, f32::NAN, f32::INFINITY].map(|i| place(i, 5)), [None; 4]);
    }
}
