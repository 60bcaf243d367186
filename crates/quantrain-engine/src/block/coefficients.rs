//! The numbers per channel that turn accumulators into outputs, and gradients of outputs into gradients of accumulators.

use quantrain_graph::BiasLimit;
use quantrain_graph::fold::accumulator_scale;
use quantrain_kernels::block_pass::BlockPass;
use quantrain_kernels::fake_quantize::CodeRange;
use quantrain_kernels::fixed_point::Factor;
use quantrain_kernels::weights::{self, Back};

use super::{BatchNormMode, BlockParameters, Pass, scale};

/// Which statistics a forward normalised with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Statistics {
    Running,
    Batch,
}

/// `t = (acc + before)·multiplier + after`, in steps of the output.
#[derive(Clone, Debug)]
pub(crate) struct Line {
    pub before: Vec<f32>,
    pub multiplier: Vec<f32>,
    pub after: Vec<f32>,
}

impl Line {
    fn new(channels: usize) -> Self {
        Line { before: vec![0.0; channels], multiplier: vec![0.0; channels], after: vec![0.0; channels] }
    }

    pub fn pass(&self, clip: (f32, f32), quantize: Option<CodeRange>) -> BlockPass<'_> {
        BlockPass { before: &self.before, multiplier: &self.multiplier, after: &self.after, clip, quantize }
    }

    fn set(&mut self, c: usize, before: f32, multiplier: f32, after: f32) {
        (self.before[c], self.multiplier[c], self.after[c]) = (before, multiplier, after);
    }
}

/// One value a channel each.
#[derive(Clone, Debug)]
pub(crate) struct Coefficients {
    /// From the value path's accumulators to the output.
    pub value: Line,
    /// From sums to codes, where the target's formula is one of integers.
    pub fixed: Vec<Factor>,
    /// From the gradient path's accumulators to its (float) output.
    pub gradient: Line,
    /// Mean and variance of the gradient path's accumulators over the batch.
    pub mean: Vec<f32>,
    pub variance: Vec<f32>,
    /// What accumulators are measured from in `sum_g_acc`.
    pub center: Vec<f32>,
    pub sum_g: Vec<f32>,
    pub sum_g_acc: Vec<f32>,
    /// `dacc = k_g·g + k_acc·acc + k_1`.
    pub k_g: Vec<f32>,
    pub k_acc: Vec<f32>,
    pub k_1: Vec<f32>,
    /// What the gradient of each channel's weights is multiplied with, and `Σ dw̃·w`.
    pub back: Vec<Back>,
    pub through_factor: Vec<f32>,
    /// `∂L/∂s` of each channel's weights, where their limits are learned.
    pub step_sums: Vec<f64>,
}

impl Coefficients {
    pub fn new(channels: usize) -> Self {
        let zeros = || vec![0.0; channels];
        Coefficients {
            value: Line::new(channels),
            fixed: Vec::with_capacity(channels),
            gradient: Line::new(channels),
            mean: zeros(),
            variance: zeros(),
            center: zeros(),
            sum_g: zeros(),
            sum_g_acc: zeros(),
            k_g: zeros(),
            k_acc: zeros(),
            k_1: zeros(),
            back: Vec::with_capacity(channels),
            through_factor: zeros(),
            step_sums: Vec::new(),
        }
    }
}

/// What a BatchNorm does to one channel of the float convolution v: `(v − mean)/deviation·γ + β`.
struct Normalised {
    mean: f32,
    deviation: f32,
    gamma: f32,
    beta: f32,
}

/// The normalisation of channel `c`; the identity without BatchNorm. `simulated` tells which accumulators the batch statistics are of.
fn normalised(p: &BlockParameters, pass: &Pass, c: usize, simulated: bool) -> Normalised {
    let Some(norm) = &p.norm else { return Normalised { mean: 0.0, deviation: 1.0, gamma: 1.0, beta: 0.0 } };
    let a = p.accumulator_unit(c, pass.input_scale, simulated);
    // A dead channel (a = 0) has no batch statistics.
    let (mean, deviation) = match p.statistics {
        Statistics::Batch if a != 0.0 => {
            let variance = p.coefficients.variance[c] * a * a;
            (p.coefficients.mean[c] * a + p.bias_of(c), (variance + norm.epsilon).sqrt())
        }
        _ => (p.running.0[c], p.running.1[c]),
    };
    Normalised { mean, deviation, gamma: norm.gamma.value[c], beta: norm.beta.value[c] }
}

/// Fills `value` and `gradient`. `two_paths`: the gradient path has float accumulators of its own; `has_bias`: accumulators hold the bias.
pub(super) fn of_forward(p: &mut BlockParameters, pass: &Pass, two_paths: bool, has_bias: bool) {
    let s_y = pass.output_scale();
    let corrected = matches!(pass.training, Some((_, BatchNormMode::Corrected))) && p.statistics == Statistics::Batch;
    for c in 0..p.channels {
        // The float line: normalise v = acc·s_x + b.
        let float = |p: &BlockParameters| {
            let n = normalised(p, pass, c, false);
            let k = n.gamma / n.deviation;
            (0.0, pass.input_scale * k / s_y, ((p.bias_of(c) - n.mean) * k + n.beta) / s_y)
        };
        let value = match &p.simulated {
            None => float(p),
            Some(_) if corrected => {
                let n = normalised(p, pass, c, !two_paths);
                let correction = p.running.1[c] / n.deviation;
                let unit = accumulator_scale(pass.input_scale, p.weight_scale(c));
                (0.0, unit * correction / s_y, ((p.bias_of(c) - n.mean) * n.gamma / n.deviation + n.beta) / s_y)
            }
            // The device's own formula: integer bias, then one multiplication.
            Some(_) if has_bias => (0.0, accumulator_scale(pass.input_scale, p.weight_scale(c)) / s_y, 0.0),
            Some(s) => (s.bias[c] as f32, accumulator_scale(pass.input_scale, p.weight_scale(c)) / s_y, 0.0),
        };
        let gradient = if two_paths { float(p) } else { value };
        p.coefficients.value.set(c, value.0, value.1, value.2);
        p.coefficients.gradient.set(c, gradient.0, gradient.1, gradient.2);
    }
}

/// Fills `center`: where `v` equals the mean that it is normalised with.
pub(super) fn centre(p: &mut BlockParameters, pass: &Pass, simulated: bool) {
    for c in 0..p.channels {
        let a = p.accumulator_unit(c, pass.input_scale, simulated);
        p.coefficients.center[c] = match (p.statistics, &p.norm) {
            (Statistics::Batch, _) => p.coefficients.mean[c],
            (Statistics::Running, Some(_)) if a != 0.0 => (p.running.0[c] - p.bias_of(c)) / a,
            _ => 0.0,
        };
    }
}

/// Whether no gradient reaches what is folded into the bias: the devkit truncates it last, which has no derivative there.
fn without_shifts(p: &BlockParameters, pass: &Pass) -> bool {
    let splits = p.quantizer.is_some_and(|weights| weights.bias_limit == BiasLimit::DevkitSplit);
    pass.is_unmasked() && p.is_simulated() && splits && p.statistics == Statistics::Running
}

/// Parameter gradients from the sums, and the coefficients of `dacc`.
///
/// With `ṽ = (v − mean)/deviation` and g the gradient where the output is not clipped: `dβ = Σg`, `dγ = Σg·ṽ`, and
/// `δ = γ/deviation·(g − [mean(g) + ṽ·mean(g·ṽ)])`, the bracket only with batch statistics (Ioffe and Szegedy 2015).
/// What is written is `δ·a/s_x`, so that a product with W gives the gradient of x̂.
pub(super) fn of_backward(p: &mut BlockParameters, pass: &Pass, simulated: bool, rows: usize) {
    let n = rows as f32;
    let shifts = !without_shifts(p, pass);
    for c in 0..p.channels {
        let a = p.accumulator_unit(c, pass.input_scale, simulated);
        let Normalised { deviation, gamma, .. } = normalised(p, pass, c, simulated);
        let batch = p.statistics == Statistics::Batch;
        // γ/deviation·a/s_x, without dividing by a factor that may be 0.
        let k_g = if simulated { p.weight_scale(c) * if batch { p.running.1[c] / deviation } else { 1.0 } } else { gamma / deviation };
        let k = &mut p.coefficients;
        let (sum_g, sum_gv) = (k.sum_g[c], k.sum_g_acc[c] * a / deviation);
        let k_acc = if batch { -k_g * sum_gv / n * a / deviation } else { 0.0 };
        let k_1 = if batch { -k_g * sum_g / n - k_acc * k.center[c] } else { 0.0 };
        (k.k_g[c], k.k_acc[c], k.k_1[c]) = (k_g, k_acc, k_1);
        if let Some(norm) = &mut p.norm {
            norm.beta.gradient[c] = if shifts { sum_g } else { 0.0 };
            norm.gamma.gradient[c] = sum_gv;
        }
        if let Some(bias) = &mut p.bias {
            // Batch statistics subtract the bias again.
            bias.gradient[c] = if batch || !shifts { 0.0 } else { sum_g * gamma / deviation };
        }
    }
}

/// From `x ⋆ (δ·a/s_x)` to `dw = s_x·(x ⋆ δ)`, zero where ŵ was clipped.
///
/// With folded running statistics γ acts through `w̃ = w·γ/σ` and `b̃`: `dγ = Σ dw̃·w/σ + (b−μ)/σ·Σg`.
pub(super) fn finish_weight_gradient(p: &mut BlockParameters, pass: &Pass, simulated: bool) {
    let Some(codes) = p.simulated.as_ref().filter(|_| simulated) else {
        scale(&mut p.weight.gradient, pass.input_scale);
        return;
    };
    let of_channel = |c: usize| {
        let mut grid = codes.grid(c);
        let to_folded = pass.input_scale / grid.scale;
        if pass.is_unmasked() {
            (grid.range.lo, grid.range.hi) = (f32::NEG_INFINITY, f32::INFINITY);
        }
        Back { grid, to_folded, factor: p.factors[c] }
    };
    let k = &mut p.coefficients;
    k.back.clear();
    k.back.extend((0..p.channels).map(of_channel));
    if let Some(limits) = &mut p.limits {
        k.step_sums.resize(p.channels, 0.0);
        weights::step_sums(&codes.folded, &codes.codes, &k.back, &p.weight.gradient, &mut k.step_sums);
        limits.set_gradients(&k.step_sums);
    }
    weights::backward(&p.weight.value, &codes.folded, &k.back, &mut p.weight.gradient, &mut k.through_factor);
    if p.statistics != Statistics::Running {
        return;
    }
    for c in 0..p.channels {
        let sum_g = if without_shifts(p, pass) { 0.0 } else { p.coefficients.sum_g[c] };
        let offset = (p.bias_of(c) - p.running.0[c]) * sum_g;
        if let Some(norm) = &mut p.norm {
            norm.gamma.gradient[c] = (p.coefficients.through_factor[c] + offset) / p.running.1[c];
        }
    }
}
