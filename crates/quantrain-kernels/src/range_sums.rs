//! What a gradient says of a quantizer's limits.

use rayon::prelude::*;

use crate::fake_quantize::{CodeRange, Quantize, with_quantize};
use crate::parallel::LANES;
use crate::simd::{simd, simd_kernel};

/// Sums over values t (in steps of the quantizer, before rounding) with the gradients dy of their quantized values. With
/// `ŷ = s·clamp(round(t), lo, hi)`, `t = x/s`, straight through the rounding: `∂L/∂s = inside + hi·above + lo·below`.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct RangeSums {
    /// `Σ dy·(round(t) − t)` where `lo ≤ t ≤ hi`.
    pub inside: f64,
    /// `Σ dy` where `t > hi`.
    pub above: f64,
    /// `Σ dy` where `t < lo`.
    pub below: f64,
}

impl RangeSums {
    /// Both sums together.
    pub fn plus(self, other: RangeSums) -> RangeSums {
        RangeSums { inside: self.inside + other.inside, above: self.above + other.above, below: self.below + other.below }
    }
}

/// Tasks, whatever the length: their sums stand on the stack.
const PARTS: usize = 64;

/// The sums over all values, joined in order.
pub fn range_sums(range: &CodeRange, t: &[f32], dy: &[f32]) -> RangeSums {
    assert_eq!(t.len(), dy.len(), "range_sums: one gradient a value");
    let simd = simd();
    let each = t.len().div_ceil(PARTS).max(1);
    let mut parts = [RangeSums::default(); PARTS];
    (t.par_chunks(each), dy.par_chunks(each), parts.par_iter_mut()).into_par_iter().for_each(|(t, dy, sums)| {
        with_quantize!(Some(*range), quantize => part(simd, quantize, range, t, dy, sums));
    });
    parts.into_iter().fold(RangeSums::default(), RangeSums::plus)
}

/// Values that are summed in single precision, a few in each lane, before they join the sums in double.
const BLOCK: usize = 16 * LANES;

simd_kernel! {
    fn part<Q: Quantize>(quantize: Q, range: &CodeRange, t: &[f32], dy: &[f32], sums: &mut RangeSums) {
        for (t, dy) in t.chunks(BLOCK).zip(dy.chunks(BLOCK)) {
            let (mut inside, mut above, mut below) = ([0.0f32; LANES], [0.0f32; LANES], [0.0f32; LANES]);
            let mut add = |l: usize, t: f32, dy: f32| {
                let (is_above, is_below) = (t > range.hi, t < range.lo);
                above[l] += if is_above { dy } else { 0.0 };
                below[l] += if is_below { dy } else { 0.0 };
                inside[l] += if is_above | is_below { 0.0 } else { dy * (quantize.quantize(t) - t) };
            };
            let whole = t.len() / LANES * LANES;
            for (t, dy) in t.chunks_exact(LANES).zip(dy.chunks_exact(LANES)) {
                for l in 0..LANES {
                    add(l, t[l], dy[l]);
                }
            }
            for (l, (t, dy)) in t[whole..].iter().zip(&dy[whole..]).enumerate() {
                add(l, *t, *dy);
            }
            let total = |lanes: [f32; LANES]| lanes.into_iter().map(f64::from).sum::<f64>();
            *sums = sums.plus(RangeSums { inside: total(inside), above: total(above), below: total(below) });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake_quantize::Rounding;
    use crate::fake_quantize::reference;
    use crate::simd::on_every_path;
    use crate::test_data::floats;

    #[test]
    fn sums_agree_with_a_plain_loop() {
        for rounding in [Rounding::HalfToEven, Rounding::HalfUp, Rounding::HalfAwayFromZero] {
            let range = CodeRange { lo: -1.0, hi: 2.0, rounding };
            for count in [0, 1, 63, 64, 65, 10_001] {
                let (t, dy) = (floats(1, count), floats(2, count));
                let mut plain = RangeSums::default();
                for (t, dy) in t.iter().zip(&dy) {
                    let dy = f64::from(*dy);
                    match *t {
                        t if t > 2.0 => plain.above += dy,
                        t if t < -1.0 => plain.below += dy,
                        t => plain.inside += dy * f64::from(reference::code(&range, t) - t),
                    }
                }
                let size: f64 = dy.iter().map(|dy| f64::from(dy.abs())).sum();
                on_every_path(|simd| {
                    let found = range_sums(&range, &t, &dy);
                    let near = |a: f64, b: f64| (a - b).abs() <= 1e-6 * size;
                    let all = near(found.inside, plain.inside) && near(found.above, plain.above) && near(found.below, plain.below);
                    assert!(all, "{simd:?} {count}: {found:?} {plain:?}");
                });
            }
        }
    }

    /// With the rounding replaced by a fixed offset per value, as its straight-through derivative takes it, ŷ is linear in s.
    #[test]
    fn the_derivative_by_the_step_is_that_of_the_surrogate() {
        let range = CodeRange { lo: -3.0, hi: 3.0, rounding: Rounding::HalfToEven };
        let (x, dy, s) = (floats(3, 500), floats(4, 500), 0.8f64);
        let offsets: Vec<f64> = x.iter().map(|&x| (f64::from(x) / s).round_ties_even() - f64::from(x) / s).collect();
        let loss = |s: f64| -> f64 {
            let value = |(i, &x): (usize, &f32)| {
                let t = f64::from(x) / s;
                let q = if t > 3.0 {
                    3.0
                } else if t < -3.0 {
                    -3.0
                } else {
                    t + offsets[i]
                };
                f64::from(dy[i]) * s * q
            };
            x.iter().enumerate().map(value).sum()
        };
        let numeric = (loss(s + 1e-6) - loss(s - 1e-6)) / 2e-6;
        let t: Vec<f32> = x.iter().map(|&x| (f64::from(x) / s) as f32).collect();
        let sums = range_sums(&range, &t, &dy);
        let found = sums.inside + 3.0 * sums.above - 3.0 * sums.below;
        assert!((found - numeric).abs() < 1e-3 * (1.0 + numeric.abs()), "{found} {numeric}");
    }
}
