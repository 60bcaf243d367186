//! Changing an image's size: Pillow's antialiased bilinear filter, and nearest for masks

use crate::Image;

/// Fraction bits of the weights, as in Pillow's `Resample.c` (`PRECISION_BITS`).
const BITS: u32 = 32 - 8 - 2;

/// The weights of one axis: output `i` is `Σ_k weights[i][k] · input[start[i] + k]`.
struct Weights {
    starts: Vec<usize>,
    /// A row for each output, in units of 2^-BITS.
    rows: Vec<Vec<i32>>,
}

/// Pillow's `precompute_coeffs` with the triangle filter: its support grows with the scale when
/// shrinking, and rows sum to one.
fn weights(from: usize, to: usize) -> Weights {
    let scale = from as f64 / to as f64;
    let support = scale.max(1.0);
    let (mut starts, mut rows) = (Vec::with_capacity(to), Vec::with_capacity(to));
    for i in 0..to {
        let centre = (i as f64 + 0.5) * scale;
        let start = (centre - support + 0.5).max(0.0) as usize;
        let end = ((centre + support + 0.5) as usize).min(from);
        let taps = (start..end).map(|x| (x as f64 - centre + 0.5) / support);
        let row: Vec<f64> = taps.map(|t| (1.0 - t.abs()).max(0.0)).collect();
        let sum: f64 = row.iter().sum();
        let fixed = |w: &f64| (0.5 + w / sum * f64::from(1 << BITS)) as i32;
        starts.push(start);
        rows.push(row.iter().map(fixed).collect());
    }
    Weights { starts, rows }
}

/// `image` at `height` x `width` (both > 0), as Pillow's `resize(..., BILINEAR)` to the bit:
/// rows first, rounded to bytes, then columns.
pub(crate) fn bilinear(image: Image, height: usize, width: usize) -> Image {
    let narrowed = if width == image.width {
        image
    } else if image.channels == 3 {
        horizontal::<3>(&image, width)
    } else {
        horizontal::<1>(&image, width)
    };
    if height == narrowed.height { narrowed } else { vertical(&narrowed, height) }
}

fn horizontal<const C: usize>(image: &Image, width: usize) -> Image {
    let weights = weights(image.width, width);
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

fn vertical(image: &Image, height: usize) -> Image {
    let weights = weights(image.height, height);
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
