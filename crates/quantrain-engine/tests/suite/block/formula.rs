//! The gradients of design section 5, written out. g is the gradient where output and activation do not clip.
//!
//! | step | formulas |
//! |---|---|
//! | float, or path Float | `dβ = Σg`, `dγ = Σg·ṽ`, `δ = γ/σ·(g − [mean g + ṽ·mean g·ṽ])`, `dw = x̂ ⋆ δ`, `dx̂ = δ ⋆ᵀ w`, `db = Σδ` |
//! | path Quantized, folded | `dw̃ = x̂ ⋆ g` where ŵ is not clipped, `db̃ = Σg`, `dx̂ = g ⋆ᵀ ŵ`; `dw = dw̃·γ/σ`, `db = db̃·γ/σ`, `dβ = db̃`, `dγ = Σdw̃·w/σ + db̃·(b−μ)/σ` |
//! | path QuantizedUnmasked | as path Quantized, nothing clips |
//! | path Quantized, corrected | as the float path, of `v = (x̂ ⋆ ŵ)/f + b`; `dx̂ = δ ⋆ᵀ ŵ/f`, `dw` where ŵ is not clipped |

use super::case::EPSILON;
use super::surrogate::{Batch, Kind, Point, Surrogate};

pub fn gradients(s: &Surrogate) -> Point {
    match s.kind {
        Kind::Folded => folded(s),
        Kind::FloatBatch | Kind::FloatRunning | Kind::Corrected => normalised(s),
    }
}

/// `Σ` over the places of each channel.
fn by_channel(s: &Surrogate, v: impl Iterator<Item = f64>) -> Vec<f64> {
    let mut sums = vec![0.0; s.case.channels()];
    v.enumerate().for_each(|(i, v)| sums[s.case.channel_of(i)] += v);
    sums
}

/// `x ⋆ δ` and `δ ⋆ᵀ w`
fn through_convolution(s: &Surrogate, delta: &[f64], weights: &[f64]) -> (Vec<f64>, Vec<f64>) {
    let (mut dw, mut dx) = (vec![0.0; s.here.w.len()], vec![0.0; s.here.x.len()]);
    for &[to, from, by] in &s.case.products {
        dw[by] += s.here.x[from] * delta[to];
        dx[from] += weights[by] * delta[to];
    }
    (dw, dx)
}

fn is_clipped(s: &Surrogate, w: usize) -> bool {
    let folded = s.here.w[w] * s.factor[s.channel_of_weight(w)];
    s.clip_weight(w, folded) != folded
}

fn folded(s: &Surrogate) -> Point {
    let g = s.passed();
    let (mut of_folded, x) = through_convolution(s, &g, &s.rounded_weights());
    (0..of_folded.len()).filter(|&i| is_clipped(s, i)).for_each(|i| of_folded[i] = 0.0);
    let of_bias = by_channel(s, g.into_iter());
    let w = of_folded.iter().enumerate().map(|(i, d)| d * s.factor[s.channel_of_weight(i)]).collect();
    let mut gamma: Vec<f64> = (0..of_bias.len()).map(|c| of_bias[c] * (s.here.b[c] - s.mean[c]) / s.deviation[c]).collect();
    for (i, d) in of_folded.iter().enumerate() {
        let c = s.channel_of_weight(i);
        gamma[c] += d * s.here.w[i] / s.deviation[c];
    }
    let b = of_bias.iter().zip(&s.factor).map(|(d, f)| d * f).collect();
    Point { x, w, b, gamma, beta: of_bias }
}

fn normalised(s: &Surrogate) -> Point {
    let g = s.passed();
    let v = s.convolution(&s.here);
    let uses_batch = s.kind != Kind::FloatRunning;
    let Batch { mean, variance, count } = s.statistics(&v);
    let (mean, deviation): (&[f64], Vec<f64>) = if uses_batch {
        (&mean, variance.iter().map(|v| (v + f64::from(EPSILON)).sqrt()).collect())
    } else {
        (&s.mean, s.deviation.clone())
    };
    let channel = |i: usize| s.case.channel_of(i);
    let unit: Vec<f64> = v.iter().enumerate().map(|(i, v)| (v - mean[channel(i)]) / deviation[channel(i)]).collect();
    let beta = by_channel(s, g.iter().copied());
    let gamma = by_channel(s, g.iter().zip(&unit).map(|(g, u)| g * u));
    let delta: Vec<f64> = (0..g.len())
        .map(|i| {
            let c = channel(i);
            let through_statistics = if uses_batch { beta[c] / count + unit[i] * gamma[c] / count } else { 0.0 };
            s.here.gamma[c] / deviation[c] * (g[i] - through_statistics)
        })
        .collect();
    let weights = match s.kind {
        Kind::Corrected => s.rounded_weights().iter().enumerate().map(|(i, w)| w / s.factor[s.channel_of_weight(i)]).collect(),
        _ => s.here.w.clone(),
    };
    let (mut w, x) = through_convolution(s, &delta, &weights);
    if s.kind == Kind::Corrected {
        (0..w.len()).filter(|&i| is_clipped(s, i)).for_each(|i| w[i] = 0.0);
    }
    Point { x, w, b: by_channel(s, delta.iter().copied()), gamma, beta }
}
