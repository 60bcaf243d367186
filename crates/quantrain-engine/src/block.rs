//! Convolutions and products with weights: BatchNorm, activation and quantization in one pass each way.
//!
//! Everything is written over accumulators `acc = x ⋆ W` of centred codes (or plain values, scale 1). With `a` such that the float
//! convolution is `v = acc·a + b`:
//!
//! | W | a |
//! |---|---|
//! | master weights w | `s_x` |
//! | codes of ŵ, `w̃ = w·f`, `f = γ/√(σ²+ε)` (1 without BatchNorm) | `s_x·s_w/f` |
//!
//! one formula serves both gradient paths: a gradient δ of v gives `dacc = δ·a`, `dx̂ = (δ·a/s_x) ⋆ᵀ W` and `dw = s_x·(x ⋆ δ)`.

mod coefficients;
mod device;
mod limits;
mod parameters;
mod sums;

use quantrain_graph::{Quantizer, Requantize};
use quantrain_kernels::block_pass::{self, BlockPass};
use quantrain_kernels::convolution::{self, ConvolutionShape};
use quantrain_kernels::fake_quantize::{CodeRange, Rounding};
use quantrain_kernels::{batch_norm, fake_quantize};
use rayon::prelude::*;

pub(crate) use coefficients::Statistics;
pub(crate) use limits::Limits;
pub(crate) use parameters::{BlockParameters, NormParameters, Trained};
use sums::Held;
pub use sums::Sums;

use crate::op::Scaled;

/// Which path's derivative the backward takes; the value is always the quantized path's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum GradientPath {
    /// Derivative of `clip(BN_batch(x̂ ⋆ w))`: the devkit's "ste", but for the edges: docs/gradient-paths.md.
    Float,
    /// Derivative of `clip(x̂ ⋆ ŵ + b̂)`, straight through every rounding and zero where a code saturates: formula 16 of Krishnamoorthi 2018
    /// (arXiv:1806.08342).
    Quantized,
    /// As [`GradientPath::Quantized`] without any in-range mask, of activations too: the devkit's "qte". Under its bias model
    /// ([`quantrain_graph::BiasLimit::DevkitSplit`]), whose last rounding has no derivative there, shifts and biases get none.
    QuantizedUnmasked,
}

/// How BatchNormalization behaves in a training step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum BatchNormMode {
    /// Values use the running statistics; they are updated from the batch.
    Running,
    /// Weights are quantized with the running statistics, the result is corrected to the batch's (Krishnamoorthi 2018, section 3.2.2).
    Corrected,
    /// Running statistics, not updated.
    Frozen,
}

/// What one pass of a block depends on beside its parameters.
#[derive(Clone, Copy)]
pub(crate) struct Pass {
    pub shape: ConvolutionShape,
    /// Scale of the input.
    pub input_scale: f32,
    /// The output's quantizer; `None` gives plain values.
    pub output: Option<Quantizer>,
    /// The fused activation, in real units.
    pub clip: (f32, f32),
    /// How the target's sums become codes.
    pub formula: Requantize,
    /// `None` outside training.
    pub training: Option<(GradientPath, BatchNormMode)>,
}

impl Pass {
    fn output_scale(&self) -> f32 {
        self.output.map_or(1.0, |q| q.scale())
    }

    /// The activation's limits in steps of the output.
    pub fn clip_steps(&self) -> (f32, f32) {
        let s = self.output_scale();
        (self.clip.0 / s, self.clip.1 / s)
    }

    fn mask(&self) -> (f32, f32) {
        mask(self.clip_steps(), self.output.as_ref(), self.training.map(|(path, _)| path))
    }

    /// Whether gradients pass where codes saturate.
    fn is_unmasked(&self) -> bool {
        matches!(self.training, Some((GradientPath::QuantizedUnmasked, _)))
    }
}

/// Where gradients pass, in steps of the output: strictly inside the activation's limits, and where rounding stays among the codes, so up to
/// half a step beyond the outermost. Everywhere along the path without masks.
pub(crate) fn mask(clip: (f32, f32), output: Option<&Quantizer>, path: Option<GradientPath>) -> (f32, f32) {
    match output.map(|q| q.centred_limits()) {
        Some(_) if path == Some(GradientPath::QuantizedUnmasked) => (f32::NEG_INFINITY, f32::INFINITY),
        Some((qmin, qmax)) => (clip.0.max(qmin - 0.5), clip.1.min(qmax + 0.5)),
        None => clip,
    }
}

/// Multiplies all values by a factor.
pub(crate) fn scale(values: &mut [f32], factor: f32) {
    if factor != 1.0 {
        values.par_chunks_mut(1 << 14).for_each(|chunk| chunk.iter_mut().for_each(|v| *v *= factor));
    }
}

/// The grid of a quantizer as the kernels take it.
pub(crate) fn code_range(q: &Quantizer) -> CodeRange {
    let (lo, hi) = q.centred_limits();
    let rounding = match q.rounding() {
        quantrain_graph::Rounding::HalfToEven => Rounding::HalfToEven,
        quantrain_graph::Rounding::HalfUp => Rounding::HalfUp,
        quantrain_graph::Rounding::HalfAwayFromZero => Rounding::HalfAwayFromZero,
    };
    CodeRange { lo, hi, rounding }
}

/// Runs a block forward. `accumulator` and `float_accumulator` are kept for the backward; `y` gets the output. Without BatchNorm and
/// without a gradient coming back, a plan for the float path has no `float_accumulator`.
/// `unquantized`, where wanted, gets the real values before quantization. Returns their least and greatest.
pub(crate) fn forward(
    p: &mut BlockParameters,
    pass: &Pass,
    x: &[f32],
    accumulator: &mut [f32],
    float_accumulator: Option<&mut [f32]>,
    unquantized: Option<&mut [f32]>,
    y: &mut [f32],
) -> (f32, f32) {
    let held = match p.simulated.as_mut().filter(|_| pass.training.is_none()) {
        Some(codes) => sums::sum(codes, &pass.shape, x, pass.output.map(|_| pass.formula), accumulator),
        None => {
            convolution::forward(&pass.shape, x, p.used_weights(), accumulator);
            Held::Products
        }
    };
    let integer_codes = device::of_integers(p, pass, held, accumulator);
    let on_float_path = p.is_simulated() && matches!(pass.training, Some((GradientPath::Float, _)));
    let float_accumulator = float_accumulator.filter(|_| on_float_path);
    let two_paths = float_accumulator.is_some();
    let mut of_gradient: &[f32] = accumulator;
    if let Some(float) = float_accumulator {
        convolution::forward(&pass.shape, x, &p.weight.value, float);
        of_gradient = float;
    }
    let measures = pass.training.filter(|(_, mode)| p.norm.is_some() && *mode != BatchNormMode::Frozen);
    if measures.is_some() {
        let c = &mut p.coefficients;
        batch_norm::statistics(p.channels, of_gradient, &mut c.mean, &mut c.variance);
    }
    // Folded weights normalise with the running statistics: in mode `running` the batch's only update those.
    let folded_only = p.is_simulated() && !two_paths;
    let rows = accumulator.len() / p.channels;
    p.statistics = match measures {
        // One value has no variance to be normalised with.
        Some(_) if rows < 2 => Statistics::Running,
        Some((_, BatchNormMode::Running)) if folded_only => Statistics::Running,
        Some(_) => Statistics::Batch,
        None => Statistics::Running,
    };
    coefficients::of_forward(p, pass, two_paths, held != Held::Products);
    if measures.is_some() {
        p.update_running_statistics(pass.input_scale, two_paths, rows);
    }
    let value = p.coefficients.value.pass(pass.clip_steps(), pass.output.as_ref().map(code_range));
    let (min, max) = match unquantized {
        None => block_pass::forward(&value, accumulator, y),
        Some(real) => {
            let limits = block_pass::forward(&BlockPass { quantize: None, ..value }, accumulator, real);
            match value.quantize {
                Some(range) => drop(fake_quantize::codes(&range, 1.0, real, y)),
                None => y.copy_from_slice(real),
            }
            scale(real, pass.output_scale());
            limits
        }
    };
    match integer_codes {
        Some(mut codes) => y.copy_from_slice(&codes.as_mut_slice()[..y.len()]),
        None => device::of_products(p, pass, held, accumulator, y),
    }
    (min * pass.output_scale(), max * pass.output_scale())
}

/// Runs a block backward: parameter gradients, and that of the input where wanted. `accumulator` is the gradient path's, `delta` is
/// working memory of its size.
pub(crate) fn backward(
    p: &mut BlockParameters,
    pass: &Pass,
    x: Scaled,
    accumulator: &[f32],
    dy: &[f32],
    delta: &mut [f32],
    dx: Option<(&mut [f32], bool)>,
) {
    let two_paths = p.is_simulated() && matches!(pass.training, Some((GradientPath::Float, _)));
    let simulated = p.is_simulated() && !two_paths;
    coefficients::centre(p, pass, simulated);
    let c = &mut p.coefficients;
    let gradient = c.gradient.pass(pass.clip_steps(), None);
    block_pass::backward_sums(&gradient, pass.mask(), &c.center, accumulator, dy, &mut c.sum_g, &mut c.sum_g_acc);
    coefficients::of_backward(p, pass, simulated, accumulator.len() / p.channels);
    let c = &p.coefficients;
    let gradient = c.gradient.pass(pass.clip_steps(), None);
    block_pass::backward(&gradient, pass.mask(), accumulator, dy, &c.k_g, &c.k_acc, &c.k_1, delta);
    let weights = if simulated { p.used_weights() } else { &p.weight.value };
    if let Some((dx, accumulate)) = dx {
        convolution::input_gradient(&pass.shape, delta, weights, dx, accumulate);
    }
    convolution::weight_gradient(&pass.shape, x.values, delta, &mut p.weight.gradient);
    coefficients::finish_weight_gradient(p, pass, simulated);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The devkit's `ste` passes gradients on [0, 2^k], both ends included: 256 steps of 8 bits here. Ours stop short of zero, as the derivative of
    /// Relu does, and where rounding would leave the codes. The kernels compare strictly.
    #[test]
    fn gradients_pass_strictly_inside_and_half_a_step_beyond_the_last_code() {
        let q = |lo, hi| Quantizer::new(0.5, 0, lo, hi, quantrain_graph::Rounding::HalfUp).unwrap();
        let (unsigned, signed, free) = (q(0, 255), q(-128, 127), (f32::NEG_INFINITY, f32::INFINITY));
        for path in [None, Some(GradientPath::Float), Some(GradientPath::Quantized)] {
            assert_eq!(mask((0.0, f32::INFINITY), Some(&unsigned), path), (0.0, 255.5), "Relu");
            assert_eq!(mask((0.0, 12.0), Some(&unsigned), path), (0.0, 12.0), "Relu6 in steps of a half");
            assert_eq!(mask(free, Some(&signed), path), (-128.5, 127.5));
        }
        assert_eq!(mask((0.0, 12.0), Some(&unsigned), Some(GradientPath::QuantizedUnmasked)), free);
        assert_eq!(mask((0.0, 12.0), None, Some(GradientPath::QuantizedUnmasked)), (0.0, 12.0), "nothing is quantized");
        let passes = |t: f32| {
            let (acc, dy, ones, zeros) = ([t], [1.0], [1.0], [0.0]);
            let pass = BlockPass { before: &zeros, multiplier: &ones, after: &zeros, clip: (0.0, f32::INFINITY), quantize: None };
            let mut dacc = [9.0];
            block_pass::backward(&pass, mask(pass.clip, Some(&unsigned), None), &acc, &dy, &ones, &zeros, &zeros, &mut dacc);
            dacc[0] == 1.0
        };
        assert_eq!([0.0, 1e-3, 255.49, 255.5, 256.0].map(passes), [false, true, true, false, false]);
    }
}
