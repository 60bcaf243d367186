//! First and second moments of the patches that a block multiplies with.
//!
//! Let x and x̂ (K values each) be the patches under one output pixel in the float and in the quantized network. For weights w and ŵ of a
//! channel the mean of `w·x − ŵ·x̂` is `w·E[x] − ŵ·E[x̂]`, and about that mean
//!
//! ```text
//! E[(ŵ·x̂ − w·x)²] = ŵᵀ·A·ŵ − 2·ŵᵀ·B·w + constant,   A = cov(x̂, x̂),  B = cov(x̂, x)
//! ```
//!
//! so that the error of any weights, and its gradient, need no image once A and B are known.

use quantrain_kernels::convolution::{self, ConvolutionShape};
use rayon::prelude::*;

use crate::network::BlockInput;

/// Patches taken from a batch: a dense block's product is fast, groups run in plain loops.
const DENSE_ROWS: usize = 2048;
const GROUPED_ROWS: usize = 512;

/// Which moments are gathered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// Means alone.
    Means,
    /// Means and covariances.
    Covariances,
}

/// The moments of one block's patches.
#[derive(Clone, Debug)]
pub struct Moments {
    groups: usize,
    channels: usize,
    /// Values of a group's patch: K.
    patch: usize,
    rows: f64,
    /// Σx and Σx̂, of each group.
    float: Vec<f64>,
    quantized: Vec<f64>,
    /// Σx̂·x̂ᵀ and Σx̂·xᵀ, `[groups, K, K]`; empty where only means are wanted.
    second: Vec<f64>,
    cross: Vec<f64>,
}

impl Moments {
    /// Nothing gathered yet, for blocks of a shape (of any batch).
    pub fn new(shape: &ConvolutionShape, wanted: Wanted) -> Self {
        let patch = shape.kernel[0] * shape.kernel[1] * (shape.in_channels / shape.groups);
        let squares = if wanted == Wanted::Covariances { shape.groups * patch * patch } else { 0 };
        Moments {
            groups: shape.groups,
            channels: shape.out_channels,
            patch,
            rows: 0.0,
            float: vec![0.0; shape.groups * patch],
            quantized: vec![0.0; shape.groups * patch],
            second: vec![0.0; squares],
            cross: vec![0.0; squares],
        }
    }

    /// Values of a patch of one group.
    pub fn patch(&self) -> usize {
        self.patch
    }

    /// Takes up a batch: what the block reads in the float and in the quantized network. Covariances take some thousand patches of a batch,
    /// evenly spread.
    pub fn add(&mut self, float: &BlockInput, quantized: &BlockInput) {
        let pixels = float.shape.batch * float.shape.out_height * float.shape.out_width;
        let most = match (self.second.is_empty(), self.groups) {
            (true, _) => 4 * DENSE_ROWS,
            (false, 1) => DENSE_ROWS,
            (false, _) => GROUPED_ROWS,
        };
        // An odd step does not run down the columns of an image whose width is even.
        let every = pixels.div_ceil(most) | 1;
        let (x, xq) = (patches(float, every), patches(quantized, every));
        let width = self.groups * self.patch;
        let rows = x.len() / width;
        self.rows += rows as f64;
        for (sums, x) in [(&mut self.float, &x), (&mut self.quantized, &xq)] {
            x.chunks_exact(width).for_each(|row| sums.iter_mut().zip(row).for_each(|(s, &v)| *s += f64::from(v)));
        }
        if !self.second.is_empty() {
            add_products(&mut self.second, self.groups, self.patch, &xq, &xq);
            add_products(&mut self.cross, self.groups, self.patch, &xq, &x);
        }
    }

    /// `w·E[x] − ŵ·E[x̂]` of each channel: what the quantized sums lack on average.
    pub fn mean_difference(&self, float: &[f32], quantized: &[f32]) -> Vec<f32> {
        let dot = |w: &[f32], x: &[f64]| w.iter().zip(x).map(|(&w, &x)| f64::from(w) * x).sum::<f64>();
        let of = |c: usize| {
            let (row, group) = (c * self.patch..(c + 1) * self.patch, self.group(c) * self.patch);
            let x = group..group + self.patch;
            let difference = dot(&float[row.clone()], &self.float[x.clone()]) - dot(&quantized[row], &self.quantized[x]);
            (difference / self.rows.max(1.0)) as f32
        };
        (0..self.channels).map(of).collect()
    }

    /// What the error of weights is measured by, where `float` are the float network's.
    pub(super) fn objective(&self, float: &[f32]) -> Objective<'_> {
        let (a, b) = self.covariances();
        let mut wanted = vec![0.0; float.len()];
        self.multiply(&b, float, &mut wanted);
        Objective { moments: self, a, wanted }
    }

    /// The group of a channel.
    fn group(&self, channel: usize) -> usize {
        channel / (self.channels / self.groups)
    }

    /// A and B, `[groups, K, K]`.
    fn covariances(&self) -> (Vec<f32>, Vec<f32>) {
        let (k, n) = (self.patch, self.rows.max(1.0));
        let centred = |products: &[f64], right: &[f64]| {
            let value = |(i, &p): (usize, &f64)| {
                let (group, row, column) = (i / (k * k), i / k % k, i % k);
                (p / n - self.quantized[group * k + row] / n * (right[group * k + column] / n)) as f32
            };
            products.par_iter().enumerate().map(value).collect()
        };
        (centred(&self.second, &self.quantized), centred(&self.cross, &self.float))
    }

    /// `M·w` of each channel, with the matrix M of its group.
    fn multiply(&self, matrices: &[f32], weights: &[f32], to: &mut [f32]) {
        let patch = self.patch;
        if self.groups == 1 {
            convolution::forward(&ConvolutionShape::product(weights.len() / patch, patch, patch), weights, matrices, to);
            return;
        }
        to.par_chunks_exact_mut(patch).zip(weights.par_chunks_exact(patch)).enumerate().for_each(|(c, (to, w))| {
            let matrix = &matrices[self.group(c) * patch * patch..][..patch * patch];
            for (to, row) in to.iter_mut().zip(matrix.chunks_exact(patch)) {
                *to = row.iter().zip(w).map(|(m, w)| m * w).sum();
            }
        });
    }
}

/// `ŵᵀAŵ − 2·ŵᵀBw` of each channel, for fixed float weights w.
pub(super) struct Objective<'m> {
    moments: &'m Moments,
    /// `[groups, K, K]`.
    a: Vec<f32>,
    /// `Bw` of each channel.
    wanted: Vec<f32>,
}

impl Objective<'_> {
    /// The error of weights; `work` is working memory of their size.
    pub fn error(&self, weights: &[f32], work: &mut [f32]) -> Vec<f64> {
        let patch = self.moments.patch;
        self.moments.multiply(&self.a, weights, work);
        let rows = weights.chunks_exact(patch).zip(work.chunks_exact(patch)).zip(self.wanted.chunks_exact(patch));
        let term = |w: f32, aw: f32, bw: f32| f64::from(w) * (f64::from(aw) - 2.0 * f64::from(bw));
        rows.map(|((w, aw), bw)| (0..patch).map(|k| term(w[k], aw[k], bw[k])).sum()).collect()
    }

    /// Half of the error's gradient, `Aŵ − Bw`.
    pub fn half_gradient(&self, weights: &[f32], to: &mut [f32]) {
        self.moments.multiply(&self.a, weights, to);
        to.par_iter_mut().zip(&self.wanted).for_each(|(aw, bw)| *aw -= bw);
    }

    /// The mean of A's diagonal for a channel: the variance of what it reads.
    pub fn mean_variance(&self, channel: usize) -> f32 {
        let patch = self.moments.patch;
        let group = self.moments.group(channel) * patch * patch;
        (0..patch).map(|k| self.a[group + k * (patch + 1)]).sum::<f32>() / patch as f32
    }
}

/// The patches under every so-many-th output pixel, in real units: `[pixels][groups][kernel height][width][inputs of a group]`.
fn patches(input: &BlockInput, every: usize) -> Vec<f32> {
    let BlockInput { shape: s, values, scale } = input;
    let inputs = s.in_channels / s.groups;
    let patch = s.kernel[0] * s.kernel[1] * inputs;
    let pixels: Vec<usize> = (0..s.batch * s.out_height * s.out_width).step_by(every).collect();
    let mut rows = vec![0.0; pixels.len() * s.groups * patch];
    rows.par_chunks_exact_mut(s.groups * patch).zip(&pixels).for_each(|(row, &pixel)| {
        let (n, y, x) = (pixel / (s.out_height * s.out_width), pixel / s.out_width % s.out_height, pixel % s.out_width);
        for i in 0..s.kernel[0] {
            for j in 0..s.kernel[1] {
                let inside = |at: usize, step: usize, padding: usize, size: usize| (at + step).checked_sub(padding).filter(|&p| p < size);
                let row_in = inside(y * s.stride[0], i * s.dilation[0], s.padding_begin[0], s.in_height);
                let column_in = inside(x * s.stride[1], j * s.dilation[1], s.padding_begin[1], s.in_width);
                let Some((row_in, column_in)) = row_in.zip(column_in) else { continue };
                let from = ((n * s.in_height + row_in) * s.in_width + column_in) * s.in_channels;
                for (group, taps) in values[from..from + s.in_channels].chunks_exact(inputs).enumerate() {
                    let to = group * patch + (i * s.kernel[1] + j) * inputs;
                    row[to..to + inputs].iter_mut().zip(taps).for_each(|(to, v)| *to = v * scale);
                }
            }
        }
    });
    rows
}

/// Adds `Σ left·rightᵀ` over rows to each group's matrix.
fn add_products(to: &mut [f64], groups: usize, patch: usize, left: &[f32], right: &[f32]) {
    let width = groups * patch;
    if groups == 1 {
        let mut products = vec![0.0; patch * patch];
        convolution::weight_gradient(&ConvolutionShape::product(left.len() / patch, patch, patch), right, left, &mut products);
        to.iter_mut().zip(&products).for_each(|(sum, &p)| *sum += f64::from(p));
        return;
    }
    to.par_chunks_exact_mut(patch * patch).enumerate().for_each(|(group, to)| {
        let mut sums = vec![0.0f32; patch * patch];
        for (left, right) in left.chunks_exact(width).zip(right.chunks_exact(width)) {
            let (left, right) = (&left[group * patch..][..patch], &right[group * patch..][..patch]);
            for (sums, l) in sums.chunks_exact_mut(patch).zip(left) {
                sums.iter_mut().zip(right).for_each(|(s, r)| *s += l * r);
            }
        }
        to.iter_mut().zip(&sums).for_each(|(t, &s)| *t += f64::from(s));
    });
}
