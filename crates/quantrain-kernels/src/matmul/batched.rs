//! Many products at once: NumPy's `matmul`, whose outer axes broadcast.

use super::matmul;

/// Products `A·B` over the last two axes, row-major; a factor whose outer axis is 1 serves every product along it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batched {
    /// Rows of A.
    pub m: usize,
    /// Columns of B.
    pub n: usize,
    /// Columns of A, which are rows of B.
    pub k: usize,
    /// Of each product in the order of the result: where its factors start.
    pub places: Vec<[usize; 2]>,
}

impl Batched {
    /// The products of `a` `[…, m, k]` and `b` `[…, k, n]`, shapes that broadcast.
    ///
    /// # Panics
    /// If they do not, or have less than two axes.
    pub fn new(a: &[usize], b: &[usize]) -> Self {
        let ([outer_a @ .., m, k], [outer_b @ .., k_of_b, n]) = (a, b) else { panic!("Batched: at least two axes") };
        assert_eq!(k, k_of_b, "Batched: inner extents");
        let rank = outer_a.len().max(outer_b.len());
        let at = |outer: &[usize], axis: usize| (axis + outer.len()).checked_sub(rank).map_or(1, |i| outer[i]);
        let mut places = vec![[0, 0]];
        for axis in 0..rank {
            let extents = [at(outer_a, axis), at(outer_b, axis)];
            let count = extents[0].max(extents[1]);
            assert!(extents.iter().all(|n| *n == 1 || *n == count), "Batched: outer axes broadcast");
            let place = |start: usize, extent: usize, i: usize| start * extent + if extent == 1 { 0 } else { i };
            let next =
                |&[a, b]: &[usize; 2]| (0..count).map(move |i| [place(a, extents[0], i), place(b, extents[1], i)]).collect::<Vec<_>>();
            places = places.iter().flat_map(next).collect();
        }
        places.iter_mut().for_each(|[a, b]| (*a, *b) = (*a * m * k, *b * k * n));
        Batched { m: *m, n: *n, k: *k, places }
    }

    /// `y = A·B`.
    pub fn forward(&self, a: &[f32], b: &[f32], y: &mut [f32]) {
        let Batched { m, n, k, .. } = *self;
        for (&[at_a, at_b], y) in self.places.iter().zip(y.chunks_exact_mut(m * n)) {
            matmul(m, n, k, &a[at_a..][..m * k], false, &b[at_b..][..k * n], false, y, false);
        }
    }

    /// `dA = dY·Bᵀ`, summed where A repeats. Overwrites `da`, or adds to it.
    pub fn left_gradient(&self, b: &[f32], dy: &[f32], da: &mut [f32], accumulate: bool) {
        let Batched { m, n, k, .. } = *self;
        if !accumulate {
            da.fill(0.0);
        }
        for (&[at_a, at_b], dy) in self.places.iter().zip(dy.chunks_exact(m * n)) {
            matmul(m, k, n, dy, false, &b[at_b..][..k * n], true, &mut da[at_a..][..m * k], true);
        }
    }

    /// `dB = Aᵀ·dY`, summed where B repeats. Overwrites `db`, or adds to it.
    pub fn right_gradient(&self, a: &[f32], dy: &[f32], db: &mut [f32], accumulate: bool) {
        let Batched { m, n, k, .. } = *self;
        if !accumulate {
            db.fill(0.0);
        }
        for (&[at_a, at_b], dy) in self.places.iter().zip(dy.chunks_exact(m * n)) {
            matmul(k, n, m, &a[at_a..][..m * k], true, dy, false, &mut db[at_b..][..k * n], true);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_data::integers;

    #[test]
    fn outer_axes_broadcast_and_gradients_sum_over_what_repeats() {
        let batched = Batched::new(&[2, 1, 3, 4], &[5, 4, 2]);
        assert_eq!((batched.places.len(), batched.places[4], batched.places[9]), (10, [0, 32], [12, 32]));
        let (a, b, dy) = (integers(1, 24, 9), integers(2, 40, 9), integers(3, 60, 9));
        let (mut y, mut da, mut db) = (vec![0.0; 60], vec![1.0; 24], vec![1.0; 40]);
        batched.forward(&a, &b, &mut y);
        batched.left_gradient(&b, &dy, &mut da, true);
        batched.right_gradient(&a, &dy, &mut db, false);
        let (mut expected_y, mut expected_da, mut expected_db) = (vec![0.0; 60], vec![1.0; 24], vec![0.0; 40]);
        for (i, j, row, column, l) in (0..240).map(|x| (x / 120, x / 24 % 5, x / 8 % 3, x / 4 % 2, x % 4)) {
            let (at_a, at_b, at_y) = ((i * 3 + row) * 4 + l, (j * 4 + l) * 2 + column, ((i * 5 + j) * 3 + row) * 2 + column);
            expected_y[at_y] += a[at_a] * b[at_b];
            expected_da[at_a] += dy[at_y] * b[at_b];
            expected_db[at_b] += dy[at_y] * a[at_a];
        }
        assert_eq!((y, da, db), (expected_y, expected_da, expected_db));
    }
}
