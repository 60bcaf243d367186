//! Changing an image's size: Pillow's filters for images, the nearest pixel for masks
//!
//! Bytes are those of Pillow 12 and before. Pillow 13 makes some images columns first, those whose height shrinks far more than their width,
//! and then single values differ by one.

use std::f64::consts::PI;

use crate::Image;

/// What an image's new pixels are made of.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Filter {
    /// The pixel under the new pixel's centre.
    Nearest,
    /// The mean of the pixels that the new one covers.
    Box,
    /// A triangle.
    #[default]
    Bilinear,
    /// A cosine that is sharper than the triangle.
    Hamming,
    /// Cubic polynomials, a = −1/2.
    Bicubic,
    /// A windowed sine of three lobes.
    Lanczos,
}

impl Filter {
    /// How far from the centre it reaches, in pixels.
    fn support(self) -> f64 {
        match self {
            Self::Nearest | Self::Box => 0.5,
            Self::Bilinear | Self::Hamming => 1.0,
            Self::Bicubic => 2.0,
            Self::Lanczos => 3.0,
        }
    }

    /// Its weight at a distance from the centre.
    fn weight(self, x: f64) -> f64 {
        let sinc = |x: f64| if x == 0.0 { 1.0 } else { (x * PI).sin() / (x * PI) };
        let distance = x.abs();
        match self {
            Self::Nearest | Self::Box if x > -0.5 && x <= 0.5 => 1.0,
            Self::Bilinear if distance < 1.0 => 1.0 - distance,
            Self::Hamming if distance < 1.0 => sinc(distance) * (0.54 + 0.46 * (distance * PI).cos()),
            Self::Bicubic if distance < 1.0 => (1.5 * distance - 2.5) * distance * distance + 1.0,
            Self::Bicubic if distance < 2.0 => (((distance - 5.0) * distance + 8.0) * distance - 4.0) * -0.5,
            Self::Lanczos if (-3.0..3.0).contains(&x) => sinc(x) * sinc(x / 3.0),
            _ => 0.0,
        }
    }
}

/// How images are resized.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Scaling {
    /// The filter.
    pub filter: Filter,
    /// Whether it widens when an image shrinks, so that every pixel counts.
    pub antialias: bool,
}

impl Default for Scaling {
    fn default() -> Self {
        Self { filter: Filter::default(), antialias: true }
    }
}

/// Fraction bits of the weights, as in Pillow's `Resample.c` (`PRECISION_BITS`).
const BITS: u32 = 32 - 8 - 2;

/// The weights of one axis: output `i` is `Σ_k weights[i][k] · input[start[i] + k]`.
struct Weights {
    starts: Vec<usize>,
    /// A row for each output, in units of 2^-BITS.
    rows: Vec<Vec<i32>>,
}

/// Pillow's `precompute_coeffs`: rows sum to one.
fn weights(from: usize, to: usize, scaling: Scaling) -> Weights {
    let scale = from as f64 / to as f64;
    let stretch = if scaling.antialias { scale.max(1.0) } else { 1.0 };
    let support = scaling.filter.support() * stretch;
    let (mut starts, mut rows) = (Vec::with_capacity(to), Vec::with_capacity(to));
    for i in 0..to {
        let centre = (i as f64 + 0.5) * scale;
        let start = (centre - support + 0.5).max(0.0) as usize;
        let end = ((centre + support + 0.5) as usize).min(from);
        let row: Vec<f64> = (start..end).map(|x| scaling.filter.weight((x as f64 - centre + 0.5) * (1.0 / stretch))).collect();
        let sum: f64 = row.iter().sum();
        let fixed = |w: &f64| {
            let scaled = if sum == 0.0 { *w } else { w / sum } * f64::from(1 << BITS);
            (scaled + 0.5_f64.copysign(scaled)) as i32
        };
        starts.push(start);
        rows.push(row.iter().map(fixed).collect());
    }
    Weights { starts, rows }
}

/// `image` at `height` x `width` (both > 0), as Pillow's `resize` to the bit: rows first, rounded to bytes, then columns.
pub(crate) fn resize(image: Image, height: usize, width: usize, scaling: Scaling) -> Image {
    if scaling.filter == Filter::Nearest {
        return nearest(&image, height, width);
    }
    let narrowed = if width == image.width {
        image
    } else if image.channels == 3 {
        horizontal::<3>(&image, width, scaling)
    } else {
        horizontal::<1>(&image, width, scaling)
    };
    if height == narrowed.height { narrowed } else { vertical(&narrowed, height, scaling) }
}

fn horizontal<const C: usize>(image: &Image, width: usize, scaling: Scaling) -> Image {
    let weights = weights(image.width, width, scaling);
    let mut out = Image::black(image.height, width, C);
    for (y, row) in out.pixels.chunks_exact_mut(width * C).enumerate() {
        let input = image.row(y);
        for (x, pixel) in row.chunks_exact_mut(C).enumerate() {
            let mut sums = [1 << (BITS - 1); C];
            let taps = input[weights.starts[x] * C..].chunks_exact(C);
            for (weight, tap) in weights.rows[x].iter().zip(taps) {
                for c in 0..C {
                    sums[c] += weight * i32::from(tap[c]);
                }
            }
            for c in 0..C {
                pixel[c] = byte(sums[c]);
            }
        }
    }
    out
}

fn vertical(image: &Image, height: usize, scaling: Scaling) -> Image {
    let weights = weights(image.height, height, scaling);
    let mut out = Image::black(height, image.width, image.channels);
    let mut sums = vec![0; image.stride()];
    for (y, row) in out.pixels.chunks_exact_mut(image.stride()).enumerate() {
        sums.fill(1 << (BITS - 1));
        for (k, weight) in weights.rows[y].iter().enumerate() {
            for (sum, pixel) in sums.iter_mut().zip(image.row(weights.starts[y] + k)) {
                *sum += weight * i32::from(*pixel);
            }
        }
        for (pixel, sum) in row.iter_mut().zip(&sums) {
            *pixel = byte(*sum);
        }
    }
    out
}

fn byte(sum: i32) -> u8 {
    (sum >> BITS).clamp(0, 255) as u8
}

/// `mask` at `height` x `width`: the pixel under each new pixel's centre, so no class is invented.
pub(crate) fn nearest(mask: &Image, height: usize, width: usize) -> Image {
    let source = |i: usize, from: usize, to: usize| (2 * i + 1) * from / (2 * to);
    let mut out = Image::black(height, width, mask.channels);
    for (y, row) in out.pixels.chunks_exact_mut(width * mask.channels).enumerate() {
        let input = mask.row(source(y, mask.height, height));
        for (x, pixel) in row.chunks_exact_mut(mask.channels).enumerate() {
            let from = source(x, mask.width, width) * mask.channels;
            pixel.copy_from_slice(&input[from..from + mask.channels]);
        }
    }
    out
}

#[cfg(test)]
mod tests;
