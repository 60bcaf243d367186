//! Codes by a formula of integers alone, where the target names one: they take the place of those that the block's float pass rounds.

use quantrain_graph::Requantize;
use quantrain_kernels::Scratch;
use quantrain_kernels::convolution::{self, SumRounding};
use quantrain_kernels::fixed_point::{self, Factor, Sums};

use super::coefficients::Statistics;
use super::sums::Held;
use super::{BatchNormMode, BlockParameters, Pass};

/// The codes of sums that are bits of integers; the sums become floats.
pub(super) fn of_integers(p: &mut BlockParameters, pass: &Pass, held: Held, sums: &mut [f32]) -> Option<Scratch> {
    if held != Held::Bits {
        return None;
    }
    let limits = limits(pass)?;
    let mut codes = Scratch::take(sums.len());
    set_factors(p, pass)?;
    fixed_point::block_codes(&p.coefficients.fixed, Sums::Bits, limits, sums, &mut codes.as_mut_slice()[..sums.len()]);
    convolution::round_sums(SumRounding::ToNearest, sums);
    Some(codes)
}

/// Writes the codes of sums of products, where the formula is one of integers. Not where a training step corrects sums by the batch's statistics,
/// which a device does not.
pub(super) fn of_products(p: &mut BlockParameters, pass: &Pass, held: Held, sums: &[f32], y: &mut [f32]) {
    let is_corrected = matches!(pass.training, Some((_, BatchNormMode::Corrected))) && p.statistics == Statistics::Batch;
    if pass.formula != Requantize::FixedPointDouble || held != Held::Products || is_corrected {
        return;
    }
    if let (Some(limits), Some(())) = (limits(pass), set_factors(p, pass))
        && let Some(codes) = &p.simulated
    {
        fixed_point::block_codes(&p.coefficients.fixed, Sums::Floats(&codes.bias), limits, sums, y);
    }
}

/// The factors `s_x·s_w / s_y`; `None` of a float step.
fn set_factors(p: &mut BlockParameters, pass: &Pass) -> Option<()> {
    let (codes, output) = (p.simulated.as_ref()?, pass.output?);
    let factor = |c: usize| f64::from(pass.input_scale) * f64::from(codes.grid(c).scale) / f64::from(output.scale());
    p.coefficients.fixed.clear();
    p.coefficients.fixed.extend((0..p.channels).map(|c| Factor::new(factor(c))));
    Some(())
}

/// Least and greatest centred code, the activation included.
fn limits(pass: &Pass) -> Option<(i32, i32)> {
    let q = pass.output?;
    let ((lo, hi), (low, high)) = (q.centred_limits(), pass.clip_steps());
    let limit = |t: f32| q.rounding().round(t.clamp(lo, hi)) as i32;
    Some((limit(low), limit(high)))
}
