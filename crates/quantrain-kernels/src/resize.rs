//! Resize of two spatial axes, NHWC: nearest, linear and cubic. The caller makes a table for each axis, so every coordinate
//! rule of ONNX is the same work here.

use crate::simd::{simd, simd_kernel};
use rayon::prelude::*;

/// For every output index of one axis, where it reads.
#[derive(Clone, Debug, PartialEq)]
pub struct AxisMap {
    /// The input index, or the lower one of two.
    pub low: Vec<u32>,
    /// The upper one of two input indices; unused by nearest.
    pub high: Vec<u32>,
    /// The share of the upper one, in [0, 1]; the lower one has the rest. Unused by nearest.
    pub weight_high: Vec<f32>,
}

/// For every output index of one axis, four input indices and their weights.
pub type CubicMap = Vec<[(u32, f32); 4]>;

/// The sizes that the tables do not hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ResizeShape {
    /// Images.
    pub batch: usize,
    /// Rows of the input.
    pub in_height: usize,
    /// Columns of the input.
    pub in_width: usize,
    /// Channels of input and output.
    pub channels: usize,
}

impl ResizeShape {
    fn in_image(&self) -> usize {
        self.in_height * self.in_width * self.channels
    }

    fn check(&self, linear: bool, rows: &AxisMap, columns: &AxisMap, x: usize, y: usize) {
        for (map, length) in [(rows, self.in_height), (columns, self.in_width)] {
            let inside = |indices: &[u32]| indices.iter().all(|i| (*i as usize) < length);
            assert!(inside(&map.low), "AxisMap: every lower index lies on the input");
            if linear {
                let outputs = map.low.len();
                assert!(
                    map.high.len() == outputs && map.weight_high.len() == outputs && inside(&map.high),
                    "AxisMap: an upper index on the input and a weight for every output"
                );
            }
        }
        assert_eq!(x, self.batch * self.in_image(), "ResizeShape: elements of the input");
        let out_image = rows.low.len() * columns.low.len() * self.channels;
        assert_eq!(y, self.batch * out_image, "ResizeShape: elements of the output");
    }

    fn check_cubic(&self, rows: &CubicMap, columns: &CubicMap, x: usize, y: usize) {
        for (map, length) in [(rows, self.in_height), (columns, self.in_width)] {
            assert!(map.iter().flatten().all(|tap| (tap.0 as usize) < length), "CubicMap: every index lies on the input");
        }
        assert_eq!(x, self.batch * self.in_image(), "ResizeShape: elements of the input");
        assert_eq!(y, self.batch * rows.len() * columns.len() * self.channels, "ResizeShape: elements of the output");
    }
}

/// `y[n,h,w,c] = x[n, rows.low[h], columns.low[w], c]`.
pub fn nearest_forward(shape: &ResizeShape, rows: &AxisMap, columns: &AxisMap, x: &[f32], y: &mut [f32]) {
    shape.check(false, rows, columns, x.len(), y.len());
    for_each_row(shape, rows, columns, x, y, |h, x, y| {
        for (w, y) in y.chunks_exact_mut(shape.channels).enumerate() {
            let place = (rows.low[h] as usize * shape.in_width + columns.low[w] as usize) * shape.channels;
            y.copy_from_slice(&x[place..][..shape.channels]);
        }
    });
}

/// The gradient of [`nearest_forward`]: `dx[…] = Σ dy` over the outputs that read it. Overwrites `dx`, or adds to it.
pub fn nearest_backward(shape: &ResizeShape, rows: &AxisMap, columns: &AxisMap, dy: &[f32], dx: &mut [f32], accumulate: bool) {
    shape.check(false, rows, columns, dx.len(), dy.len());
    let simd = simd();
    for_each_image(shape, dy, dx, accumulate, |dy, dx| {
        for (i, dy) in dy.chunks_exact(shape.channels).enumerate() {
            let (h, w) = (i / columns.low.len(), i % columns.low.len());
            let place = (rows.low[h] as usize * shape.in_width + columns.low[w] as usize) * shape.channels;
            add_scaled(simd, 1.0, dy, &mut dx[place..][..shape.channels]);
        }
    });
}

/// The four places that output `(h, w)` reads, with their weights.
fn corners(shape: &ResizeShape, rows: &AxisMap, columns: &AxisMap, h: usize, w: usize) -> [(usize, f32); 4] {
    let (row, column) = (rows.weight_high[h], columns.weight_high[w]);
    let place = |h: u32, w: u32| (h as usize * shape.in_width + w as usize) * shape.channels;
    [
        (place(rows.low[h], columns.low[w]), (1.0 - row) * (1.0 - column)),
        (place(rows.low[h], columns.high[w]), (1.0 - row) * column),
        (place(rows.high[h], columns.low[w]), row * (1.0 - column)),
        (place(rows.high[h], columns.high[w]), row * column),
    ]
}

/// `y = Σ weight·x` over the four neighbours, the weight of each being the product of its shares along both axes.
pub fn linear_forward(shape: &ResizeShape, rows: &AxisMap, columns: &AxisMap, x: &[f32], y: &mut [f32]) {
    shape.check(true, rows, columns, x.len(), y.len());
    let simd = simd();
    for_each_row(shape, rows, columns, x, y, |h, x, y| {
        for (w, y) in y.chunks_exact_mut(shape.channels).enumerate() {
            let corners = corners(shape, rows, columns, h, w);
            blend(simd, corners.map(|(place, weight)| (&x[place..][..shape.channels], weight)), y);
        }
    });
}

/// The gradient of [`linear_forward`]: each `dy` goes to its four neighbours by weight. Overwrites `dx`, or adds to it.
pub fn linear_backward(shape: &ResizeShape, rows: &AxisMap, columns: &AxisMap, dy: &[f32], dx: &mut [f32], accumulate: bool) {
    shape.check(true, rows, columns, dx.len(), dy.len());
    let simd = simd();
    for_each_image(shape, dy, dx, accumulate, |dy, dx| {
        for (i, dy) in dy.chunks_exact(shape.channels).enumerate() {
            let (h, w) = (i / columns.low.len(), i % columns.low.len());
            for (place, weight) in corners(shape, rows, columns, h, w) {
                add_scaled(simd, weight, dy, &mut dx[place..][..shape.channels]);
            }
        }
    });
}

/// `y = Σ weight·x` over sixteen neighbours, the weight of each being the product of its weights along both axes.
pub fn cubic_forward(shape: &ResizeShape, rows: &CubicMap, columns: &CubicMap, x: &[f32], y: &mut [f32]) {
    shape.check_cubic(rows, columns, x.len(), y.len());
    let simd = simd();
    let line = columns.len() * shape.channels;
    y.par_chunks_mut(line.max(1)).enumerate().for_each(|(i, y)| {
        let (n, h) = (i / rows.len(), i % rows.len());
        let x = &x[n * shape.in_image()..][..shape.in_image()];
        y.fill(0.0);
        for (y, column) in y.chunks_exact_mut(shape.channels).zip(columns) {
            for (place, weight) in neighbours(shape, &rows[h], column) {
                add_scaled(simd, weight, &x[place..][..shape.channels], y);
            }
        }
    });
}

/// The gradient of [`cubic_forward`]: each `dy` goes to its neighbours by weight. Overwrites `dx`, or adds to it.
pub fn cubic_backward(shape: &ResizeShape, rows: &CubicMap, columns: &CubicMap, dy: &[f32], dx: &mut [f32], accumulate: bool) {
    shape.check_cubic(rows, columns, dx.len(), dy.len());
    let simd = simd();
    for_each_image(shape, dy, dx, accumulate, |dy, dx| {
        for (i, dy) in dy.chunks_exact(shape.channels).enumerate() {
            for (place, weight) in neighbours(shape, &rows[i / columns.len()], &columns[i % columns.len()]) {
                add_scaled(simd, weight, dy, &mut dx[place..][..shape.channels]);
            }
        }
    });
}

fn neighbours(shape: &ResizeShape, row: &[(u32, f32); 4], column: &[(u32, f32); 4]) -> impl Iterator<Item = (usize, f32)> {
    let (width, channels) = (shape.in_width, shape.channels);
    let place = move |h: u32, w: u32| (h as usize * width + w as usize) * channels;
    row.iter().flat_map(move |&(h, a)| column.iter().map(move |&(w, b)| (place(h, w), a * b)))
}

simd_kernel! {
    fn blend(corners: [(&[f32], f32); 4], y: &mut [f32]) {
        let n = y.len();
        let [(a, ka), (b, kb), (c, kc), (d, kd)] = corners;
        let (a, b, c, d) = (&a[..n], &b[..n], &c[..n], &d[..n]);
        for i in 0..n {
            y[i] = a[i] * ka + b[i] * kb + c[i] * kc + d[i] * kd;
        }
    }
}

simd_kernel! {
    fn add_scaled(factor: f32, x: &[f32], y: &mut [f32]) {
        for (x, y) in x.iter().zip(y) {
            *y += *x * factor;
        }
    }
}

fn for_each_row(
    shape: &ResizeShape,
    rows: &AxisMap,
    columns: &AxisMap,
    x: &[f32],
    y: &mut [f32],
    work: impl Fn(usize, &[f32], &mut [f32]) + Sync,
) {
    if y.is_empty() {
        return;
    }
    y.par_chunks_mut(columns.low.len() * shape.channels).enumerate().for_each(|(i, y)| {
        let (n, h) = (i / rows.low.len(), i % rows.low.len());
        work(h, &x[n * shape.in_image()..][..shape.in_image()], y);
    });
}

/// Several outputs read one place, so an image is not split.
fn for_each_image(shape: &ResizeShape, dy: &[f32], dx: &mut [f32], accumulate: bool, add: impl Fn(&[f32], &mut [f32]) + Sync) {
    if dx.is_empty() {
        return;
    }
    let out_image = dy.len() / shape.batch;
    dx.par_chunks_mut(shape.in_image()).enumerate().for_each(|(n, dx)| {
        if !accumulate {
            dx.fill(0.0);
        }
        add(&dy[n * out_image..][..out_image], dx);
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simd::on_every_path;
    use crate::test_data::floats;

    /// Half-pixel coordinates, clamped to the edge.
    fn map(inputs: usize, outputs: usize) -> AxisMap {
        let at = |o: usize| ((o as f32 + 0.5) * inputs as f32 / outputs as f32 - 0.5).max(0.0);
        let low: Vec<u32> = (0..outputs).map(|o| at(o) as u32).collect();
        AxisMap {
            high: low.iter().map(|l| (l + 1).min(inputs as u32 - 1)).collect(),
            weight_high: (0..outputs).map(|o| at(o) - low[o] as f32).collect(),
            low,
        }
    }

    fn dot(a: &[f32], b: &[f32]) -> f64 {
        a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum()
    }

    #[test]
    fn cubic_backward_is_the_transpose_of_forward() {
        let shape = ResizeShape { batch: 2, in_height: 5, in_width: 4, channels: 19 };
        let taps = |length: u32, outputs: u32| -> CubicMap {
            (0..outputs).map(|o| [0, 1, 2, 3].map(|t| ((o + t) % length, (o + 2 * t) as f32 * 0.1 - 0.3))).collect()
        };
        let (rows, columns) = (taps(5, 7), taps(4, 3));
        let (x, dy) = (floats(1, 2 * 20 * 19), floats(2, 2 * 21 * 19));
        on_every_path(|simd| {
            let (mut y, mut dx) = (vec![f32::NAN; dy.len()], vec![1.0; x.len()]);
            cubic_forward(&shape, &rows, &columns, &x, &mut y);
            cubic_backward(&shape, &rows, &columns, &dy, &mut dx, true);
            for (i, y) in y.iter().enumerate() {
                let (n, h, w, c) = (i / (21 * 19), i / (3 * 19) % 7, i / 19 % 3, i % 19);
                let value = |h: u32, w: u32| x[((n * 5 + h as usize) * 4 + w as usize) * 19 + c];
                let expected: f32 = rows[h].iter().flat_map(|r| columns[w].iter().map(move |c| value(r.0, c.0) * r.1 * c.1)).sum();
                assert!((y - expected).abs() < 1e-4, "{simd:?}");
            }
            let added: Vec<f32> = dx.iter().map(|v| v - 1.0).collect();
            assert!((dot(&y, &dy) - dot(&x, &added)).abs() < 1e-2, "{simd:?}");
        });
    }

    #[test]
    fn forward_reads_the_neighbours_and_backward_is_its_transpose() {
        let shape = ResizeShape { batch: 2, in_height: 5, in_width: 3, channels: 19 };
        let (rows, columns) = (map(5, 8), map(3, 7));
        let x = floats(1, 2 * 15 * 19);
        let dy = floats(2, 2 * 56 * 19);
        let value = |n: usize, h: u32, w: u32, c: usize| x[((n * 5 + h as usize) * 3 + w as usize) * 19 + c];
        on_every_path(|simd| {
            for linear in [false, true] {
                let (mut y, mut dx) = (vec![0.0; dy.len()], vec![1.0; x.len()]);
                if linear {
                    linear_forward(&shape, &rows, &columns, &x, &mut y);
                    linear_backward(&shape, &rows, &columns, &dy, &mut dx, true);
                } else {
                    nearest_forward(&shape, &rows, &columns, &x, &mut y);
                    nearest_backward(&shape, &rows, &columns, &dy, &mut dx, true);
                }
                for (i, y) in y.iter().enumerate() {
                    let (n, h, w, c) = (i / (56 * 19), i / (7 * 19) % 8, i / 19 % 7, i % 19);
                    let along = |h: u32| {
                        let high = if linear { columns.weight_high[w] } else { 0.0 };
                        value(n, h, columns.low[w], c) * (1.0 - high) + value(n, h, columns.high[w], c) * high
                    };
                    let high = if linear { rows.weight_high[h] } else { 0.0 };
                    let expected = along(rows.low[h]) * (1.0 - high) + along(rows.high[h]) * high;
                    assert!((y - expected).abs() < 1e-5, "{simd:?}");
                }
                // ⟨y, dy⟩ = ⟨x, dx⟩ for a linear map; dx started at one.
                let added: Vec<f32> = dx.iter().map(|v| v - 1.0).collect();
                assert!((dot(&y, &dy) - dot(&x, &added)).abs() < 1e-2, "{simd:?}");
            }
        });
    }
}
