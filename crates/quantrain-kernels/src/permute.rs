//! Transpose: any order of axes, and so NCHW to NHWC and back.

use crate::parallel::{Shared, TASK};
use rayon::prelude::*;

/// More axes than any network's tensors have.
pub const MOST_AXES: usize = 8;
/// Both sides of a square copied at a time, so that reads and writes share cache lines.
const SQUARE: usize = 16;

/// `y[i_perm[0], i_perm[1], …] = x[i_0, i_1, …]`: axis `k` of `y` is axis `perm[k]` of `x`, which has `shape`.
///
/// # Panics
/// If there are more than eight axes, or `perm` is not an order of them.
pub fn permute(x: &[f32], shape: &[usize], perm: &[usize], y: &mut [f32]) {
    let axes = shape.len();
    assert!(axes <= MOST_AXES && perm.len() == axes, "permute: an order of at most eight axes");
    assert!((0..axes).all(|axis| perm.contains(&axis)), "permute: every axis once");
    assert!(x.len() == shape.iter().product::<usize>() && x.len() == y.len(), "permute: one output an element of the shape");
    if x.is_empty() {
        return;
    }
    let order = Order::new(shape, perm);
    let tasks = order.length[0] * order.length[1];
    let inner = y.len() / tasks;
    let shared = Shared::new(y);
    let work = |task: usize| {
        let (outer, middle) = (task / order.length[1], task % order.length[1]);
        // SAFETY: tasks are the two outermost axes of y, each of them `inner` elements of its own.
        let y = unsafe { shared.range(task * inner, inner) };
        order.copy(2, &x[outer * order.stride[0] + middle * order.stride[1]..], y);
    };
    // Tiny inner parts are grouped, so that a task is worth its cost.
    (0..tasks).into_par_iter().with_min_len((TASK / inner).max(1)).for_each(work);
}

/// The axes of `y`, outermost first, at least four of them, with their strides in `x`.
struct Order {
    axes: usize,
    length: [usize; MOST_AXES],
    stride: [usize; MOST_AXES],
}

impl Order {
    /// Neighbours in `y` that are neighbours in `x` too become one axis.
    fn new(shape: &[usize], perm: &[usize]) -> Self {
        let stride_of = |axis: usize| shape[axis + 1..].iter().product::<usize>();
        let mut merged: [(usize, usize); MOST_AXES] = [(1, 1); MOST_AXES];
        let mut count = 0;
        for axis in perm.iter().copied().filter(|axis| shape[*axis] != 1) {
            let (length, stride) = (shape[axis], stride_of(axis));
            if count > 0 && merged[count - 1].1 == length * stride {
                merged[count - 1] = (merged[count - 1].0 * length, stride);
            } else {
                merged[count] = (length, stride);
                count += 1;
            }
        }
        // Ones in front, so that two axes are always left to split and two to copy.
        let axes = count.max(4);
        let mut order = Self { axes, length: [1; MOST_AXES], stride: [0; MOST_AXES] };
        for (i, (length, stride)) in merged[..count].iter().enumerate() {
            order.length[axes - count + i] = *length;
            order.stride[axes - count + i] = *stride;
        }
        order
    }

    /// Fills `y` with the axes from `axis` on.
    fn copy(&self, axis: usize, x: &[f32], y: &mut [f32]) {
        if axis + 2 < self.axes {
            let inner = y.len() / self.length[axis];
            for (i, y) in y.chunks_exact_mut(inner).enumerate() {
                self.copy(axis + 1, &x[i * self.stride[axis]..], y);
            }
            return;
        }
        let columns = self.length[axis + 1];
        let (row_stride, column_stride) = (self.stride[axis], self.stride[axis + 1]);
        if column_stride == 1 {
            for (i, y) in y.chunks_exact_mut(columns).enumerate() {
                y.copy_from_slice(&x[i * row_stride..][..columns]);
            }
            return;
        }
        for (band, y) in y.chunks_mut(SQUARE * columns).enumerate() {
            for first in (0..columns).step_by(SQUARE) {
                let last = (first + SQUARE).min(columns);
                for (i, y) in y.chunks_exact_mut(columns).enumerate() {
                    let x = &x[(band * SQUARE + i) * row_stride..];
                    for (j, y) in (first..last).zip(&mut y[first..last]) {
                        *y = x[j * column_stride];
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(shape: &[usize], perm: &[usize]) {
        let count: usize = shape.iter().product();
        let x: Vec<f32> = (0..count).map(|i| i as f32).collect();
        let mut y = vec![-1.0; count];
        permute(&x, shape, perm, &mut y);
        for (i, found) in y.iter().enumerate() {
            // The index along each axis of y, innermost first, is an index along an axis of x.
            let (mut rest, mut place) = (i, 0);
            for axis in perm.iter().rev() {
                place += rest % shape[*axis] * shape[axis + 1..].iter().product::<usize>();
                rest /= shape[*axis];
            }
            assert_eq!(*found, x[place], "{shape:?} by {perm:?} at {i}");
        }
    }

    #[test]
    fn images_change_layout_both_ways() {
        check(&[2, 3, 33, 17], &[0, 2, 3, 1]);
        check(&[2, 33, 17, 3], &[0, 3, 1, 2]);
        check(&[1, 40, 5, 5], &[0, 2, 3, 1]);
    }

    #[test]
    fn every_order_of_four_odd_axes_is_right() {
        let axes = [0, 1, 2, 3];
        for a in axes {
            for b in axes {
                for c in axes {
                    for d in axes {
                        let perm = [a, b, c, d];
                        if axes.iter().all(|axis| perm.contains(axis)) {
                            check(&[3, 5, 2, 7], &perm);
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn few_and_many_axes_are_right() {
        check(&[], &[]);
        check(&[5], &[0]);
        check(&[35, 50], &[1, 0]);
        check(&[2, 1, 3, 1, 2, 2, 3, 2], &[7, 1, 5, 3, 0, 2, 6, 4]);
        check(&[0, 3], &[1, 0]);
    }
}
