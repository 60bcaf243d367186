//! The function whose derivative a step takes, in f64; the value path; finite differences.
//!
//! | step | surrogate, before the clip |
//! |---|---|
//! | float, or path Float | `BN(x̂ ⋆ w + b)`, with the batch's statistics unless frozen |
//! | path Quantized, no BatchNorm, running, frozen | `x̂ ⋆ (ŵ₀ + w̃ − w̃₀) + b̂₀ + b̃ − b̃₀` |
//! | path QuantizedUnmasked | as path Quantized, nothing clipped |
//! | path Quantized, corrected | `BN_batch(x̂ ⋆ (ŵ₀ + w̃ − w̃₀)/f₀ + b)`, `w̃ = w·f₀` |
//!
//! `w̃` is clipped to the codes of weights, the whole to the activation and to the codes of the output, each widened by half a step.

use quantrain_engine::{BatchNormMode, GradientPath};
use quantrain_graph::{QuantGraph, QuantizedBlock, Quantizer};

use super::Setting;
use super::case::{Case, EPSILON, Values};
use crate::random::Random;

/// Parameters and input, in f64.
#[derive(Clone, Debug)]
pub struct Point {
    pub x: Vec<f64>,
    pub w: Vec<f64>,
    pub b: Vec<f64>,
    pub gamma: Vec<f64>,
    pub beta: Vec<f64>,
}

impl Point {
    fn of_mut(&mut self, name: &str) -> &mut Vec<f64> {
        match name {
            "x" => &mut self.x,
            "w" => &mut self.w,
            "b" => &mut self.b,
            "gamma" => &mut self.gamma,
            "beta" => &mut self.beta,
            _ => unreachable!("no parameter has the name {name}"),
        }
    }

    pub fn of(&self, name: &str) -> Vec<f64> {
        self.clone().of_mut(name).clone()
    }
}

/// Which function a step is the derivative of.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Kind {
    FloatBatch,
    FloatRunning,
    Folded,
    Corrected,
}

/// Statistics of a batch.
pub struct Batch {
    pub mean: Vec<f64>,
    pub variance: Vec<f64>,
    /// Values of a channel.
    pub count: f64,
}

pub struct Surrogate<'c> {
    pub case: &'c Case,
    pub setting: Setting,
    pub kind: Kind,
    pub values: Values,
    pub here: Point,
    /// The gradient of the output: zero where it stands at an end of its range.
    pub given: Vec<f64>,
    /// Of each channel: μ, √(σ²+ε), γ/√(σ²+ε) at the start.
    pub mean: Vec<f64>,
    pub deviation: Vec<f64>,
    pub factor: Vec<f64>,
    codes: Option<QuantizedBlock>,
    output: Option<Quantizer>,
}

fn to_f64(values: &[f32]) -> Vec<f64> {
    values.iter().map(|&v| f64::from(v)).collect()
}

/// `x ⋆ w`
pub fn convolve(case: &Case, x: &[f64], w: &[f64]) -> Vec<f64> {
    let mut y = vec![0.0; case.outputs()];
    case.products.iter().for_each(|&[to, from, by]| y[to] += x[from] * w[by]);
    y
}

/// The float network's output before its activation, with running statistics.
pub fn float_output(case: &Case, values: &Values) -> Vec<f64> {
    let y = convolve(case, &to_f64(&values.x), &to_f64(&values.w));
    let per_channel = |c: usize, v: f64| {
        let v = v + values.b.as_ref().map_or(0.0, |b| f64::from(b[c]));
        values.norm.as_ref().map_or(v, |n| {
            let of = |v: &[f32]| f64::from(v[c]);
            of(&n.gamma) * (v - of(&n.mean)) / (of(&n.variance) + f64::from(EPSILON)).sqrt() + of(&n.beta)
        })
    };
    y.into_iter().enumerate().map(|(i, v)| per_channel(case.channel_of(i), v)).collect()
}

impl<'c> Surrogate<'c> {
    pub fn new(case: &'c Case, setting: Setting, net: &QuantGraph, values: &Values, random: &mut Random) -> Self {
        let channels = case.channels();
        let simulates = setting.executor.simulates();
        let unit = net.units().len() - 1;
        let codes = simulates.then(|| net.quantized_block(unit).unwrap().expect("the block is quantized"));
        let quantizer = |name: &str| {
            let id = net.quantizer_of(net.graph().find(name)?)?;
            net.quantizers()[id.0].quantizer().unwrap().filter(|_| simulates)
        };
        let output = quantizer(&net.graph().tensor(net.graph().outputs()[0]).name);
        let input = quantizer("x");
        let x: Vec<f32> = values.x.iter().map(|&x| input.map_or(x, |q| q.fake_quantize(x))).collect();
        let norm = values.norm.as_ref();
        let of = |v: Option<&Vec<f32>>, default: f64| v.map_or_else(|| vec![default; channels], |v| to_f64(v));
        let here = Point {
            x: to_f64(&x),
            w: to_f64(&values.w),
            b: of(values.b.as_ref(), 0.0),
            gamma: of(norm.map(|n| &n.gamma), 1.0),
            beta: of(norm.map(|n| &n.beta), 0.0),
        };
        let deviation = match norm {
            Some(n) => n.variance.iter().map(|&v| (f64::from(v) + f64::from(EPSILON)).sqrt()).collect(),
            None => vec![1.0; channels],
        };
        let batch = matches!(setting.norm, Some(BatchNormMode::Running | BatchNormMode::Corrected));
        let kind = match (simulates, setting.path, setting.norm) {
            (true, GradientPath::Quantized | GradientPath::QuantizedUnmasked, Some(BatchNormMode::Corrected)) => Kind::Corrected,
            (true, GradientPath::Quantized | GradientPath::QuantizedUnmasked, _) => Kind::Folded,
            _ if batch => Kind::FloatBatch,
            _ => Kind::FloatRunning,
        };
        let mean = of(norm.map(|n| &n.mean), 0.0);
        let factor = here.gamma.iter().zip(&deviation).map(|(g, d)| g / d).collect();
        let values = values.clone();
        let mut made = Surrogate { case, setting, kind, values, here, given: Vec::new(), mean, deviation, factor, codes, output };
        let (low, high) = made.limits();
        let near = |v: f64| (v - low).abs().min((v - high).abs()) < 1e-3 * made.step();
        made.given =
            made.normalised(&made.here).iter().map(|&v| if near(v) { 0.0 } else { f64::from(random.uniform(-1.0, 1.0)) }).collect();
        made
    }

    /// A step of the output's quantizer; 1 without one.
    pub fn step(&self) -> f64 {
        self.output.map_or(1.0, |q| f64::from(q.scale()))
    }

    /// Where gradients pass.
    pub fn limits(&self) -> (f64, f64) {
        let (low, high) = self.setting.activation.limits();
        match self.output {
            None => (low, high),
            Some(_) if self.setting.path == GradientPath::QuantizedUnmasked => (f64::NEG_INFINITY, f64::INFINITY),
            Some(q) => {
                let (least, most) = q.centred_limits();
                (low.max((f64::from(least) - 0.5) * self.step()), high.min((f64::from(most) + 0.5) * self.step()))
            }
        }
    }

    pub fn channel_of_weight(&self, w: usize) -> usize {
        w / (self.here.w.len() / self.case.channels())
    }

    /// ŵ₀, or w in a float step.
    pub fn rounded_weights(&self) -> Vec<f64> {
        match &self.codes {
            None => self.here.w.clone(),
            Some(block) => {
                let value = |(i, &code): (usize, &f32)| f64::from(code) * f64::from(block.weight.scale(self.channel_of_weight(i)));
                block.weight.codes.iter().enumerate().map(value).collect()
            }
        }
    }

    /// b̂₀ on the scale s_x·s_w.
    pub fn rounded_bias(&self) -> Vec<f64> {
        let block = self.codes.as_ref().expect("only quantized blocks have codes");
        let scale = |c: usize| f64::from(block.input.scale()) * f64::from(block.weight.scale(c));
        block.bias.iter().enumerate().map(|(c, &code)| f64::from(code) * scale(c)).collect()
    }

    /// Whether folded weight `i` of value `folded` rounds to a code without being clipped; and what it is clipped to.
    pub fn clip_weight(&self, i: usize, folded: f64) -> f64 {
        if self.setting.path == GradientPath::QuantizedUnmasked {
            return folded;
        }
        let block = self.codes.as_ref().expect("only quantized blocks have codes");
        let quantizers = &block.weight.quantizers;
        let q = &quantizers[if quantizers.len() == 1 { 0 } else { self.channel_of_weight(i) }];
        let ((low, high), step) = (q.centred_limits(), f64::from(q.scale()));
        folded.clamp((f64::from(low) - 0.5) * step, (f64::from(high) + 0.5) * step)
    }

    pub fn clipped_weights(&self) -> usize {
        if matches!(self.kind, Kind::FloatBatch | Kind::FloatRunning) {
            return 0;
        }
        let folded = |i: usize| self.here.w[i] * self.factor[self.channel_of_weight(i)];
        (0..self.here.w.len()).filter(|&i| self.clip_weight(i, folded(i)) != folded(i)).count()
    }

    /// The convolution that BatchNorm sees (or, folded, that already holds it).
    pub fn convolution(&self, p: &Point) -> Vec<f64> {
        let channel = |i: usize| self.channel_of_weight(i);
        let (weights, bias): (Vec<f64>, Vec<f64>) = match self.kind {
            Kind::FloatBatch | Kind::FloatRunning => (p.w.clone(), p.b.clone()),
            Kind::Folded => {
                let factor = |p: &Point, c: usize| p.gamma[c] / self.deviation[c];
                let folded = |p: &Point, i: usize| self.clip_weight(i, p.w[i] * factor(p, channel(i)));
                let rounded = self.rounded_weights();
                let weights = (0..p.w.len()).map(|i| rounded[i] + folded(p, i) - folded(&self.here, i)).collect();
                let bias_of = |p: &Point, c: usize| (p.b[c] - self.mean[c]) * factor(p, c) + p.beta[c];
                let rounded = self.rounded_bias();
                (weights, (0..p.b.len()).map(|c| rounded[c] + bias_of(p, c) - bias_of(&self.here, c)).collect())
            }
            Kind::Corrected => {
                let folded = |p: &Point, i: usize| self.clip_weight(i, p.w[i] * self.factor[channel(i)]);
                let rounded = self.rounded_weights();
                let weight = |i: usize| (rounded[i] + folded(p, i) - folded(&self.here, i)) / self.factor[channel(i)];
                ((0..p.w.len()).map(weight).collect(), p.b.clone())
            }
        };
        let y = convolve(self.case, &p.x, &weights);
        y.into_iter().enumerate().map(|(i, v)| v + bias[self.case.channel_of(i)]).collect()
    }

    pub fn statistics(&self, v: &[f64]) -> Batch {
        let channels = self.case.channels();
        let count = (v.len() / channels) as f64;
        let (mut mean, mut variance) = (vec![0.0; channels], vec![0.0; channels]);
        v.iter().enumerate().for_each(|(i, v)| mean[self.case.channel_of(i)] += v / count);
        v.iter().enumerate().for_each(|(i, v)| variance[self.case.channel_of(i)] += (v - mean[self.case.channel_of(i)]).powi(2) / count);
        Batch { mean, variance, count }
    }

    /// Statistics of the convolution before BatchNorm in the gradient path.
    pub fn batch(&self) -> Batch {
        let v = match self.kind {
            Kind::FloatBatch | Kind::FloatRunning | Kind::Corrected => self.convolution(&self.here),
            Kind::Folded => {
                let rounded = self.rounded_weights();
                let weights: Vec<f64> = (0..rounded.len()).map(|i| rounded[i] / self.factor[self.channel_of_weight(i)]).collect();
                let y = convolve(self.case, &self.here.x, &weights);
                y.into_iter().enumerate().map(|(i, v)| v + self.here.b[self.case.channel_of(i)]).collect()
            }
        };
        self.statistics(&v)
    }

    /// The surrogate before its clip.
    pub fn normalised(&self, p: &Point) -> Vec<f64> {
        let v = self.convolution(p);
        let (mean, deviation) = match self.kind {
            Kind::Folded => return v,
            Kind::FloatRunning => (self.mean.clone(), self.deviation.clone()),
            Kind::FloatBatch | Kind::Corrected => {
                let Batch { mean, variance, .. } = self.statistics(&v);
                (mean, variance.iter().map(|v| (v + f64::from(EPSILON)).sqrt()).collect())
            }
        };
        let norm = |(i, v): (usize, f64)| {
            let c = self.case.channel_of(i);
            p.gamma[c] * (v - mean[c]) / deviation[c] + p.beta[c]
        };
        v.into_iter().enumerate().map(norm).collect()
    }

    /// The values that a step must give, before they are rounded to the output's codes.
    pub fn value(&self) -> Vec<f64> {
        let (low, high) = self.setting.activation.limits();
        let (least, most) =
            self.output.map_or((f64::NEG_INFINITY, f64::INFINITY), |q| (f64::from(q.range().min), f64::from(q.range().max)));
        let unclipped = if self.codes.is_none() {
            self.normalised(&self.here)
        } else {
            let acc = convolve(self.case, &self.here.x, &self.rounded_weights());
            let bias = self.rounded_bias();
            let corrected = self.setting.norm == Some(BatchNormMode::Corrected);
            let Batch { mean, variance, .. } = self.batch();
            let value = |(i, acc): (usize, f64)| {
                let c = self.case.channel_of(i);
                let deviation = (variance[c] + f64::from(EPSILON)).sqrt();
                let shift = (self.here.b[c] - mean[c]) * self.here.gamma[c] / deviation + self.here.beta[c];
                if corrected { acc * self.deviation[c] / deviation + shift } else { acc + bias[c] }
            };
            acc.into_iter().enumerate().map(value).collect()
        };
        unclipped.into_iter().map(|v: f64| v.clamp(low, high).clamp(least, most)).collect()
    }

    fn inside(&self, v: f64) -> bool {
        let (low, high) = self.limits();
        low < v && v < high
    }

    pub fn masked(&self, p: &Point) -> usize {
        self.normalised(p).iter().filter(|v| !self.inside(**v)).count()
    }

    /// `g`: the gradient where it passes.
    pub fn passed(&self) -> Vec<f64> {
        self.normalised(&self.here).iter().zip(&self.given).map(|(&v, &r)| if self.inside(v) { r } else { 0.0 }).collect()
    }

    /// The loss, and on which side of its limits each output lies.
    fn loss(&self, p: &Point) -> (f64, Vec<bool>) {
        let (low, high) = self.limits();
        let v = self.normalised(p);
        (v.iter().zip(&self.given).map(|(v, r)| v.clamp(low, high) * r).sum(), v.iter().map(|v| self.inside(*v)).collect())
    }

    /// The central difference in place `i` of a parameter; `None` where an output or a weight moves over a limit.
    pub fn difference(&self, name: &str, i: usize) -> Option<f64> {
        const STEP: f64 = 1e-6;
        let mut p = self.here.clone();
        let here = p.of(name)[i];
        let mut at = |v: f64| {
            p.of_mut(name)[i] = v;
            self.loss(&p)
        };
        let ((above, sides_above), (below, sides_below)) = (at(here + STEP), at(here - STEP));
        (sides_above == sides_below).then_some((above - below) / (2.0 * STEP))
    }
}
