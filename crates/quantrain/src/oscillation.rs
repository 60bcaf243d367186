//! Weights that jump between two codes: damped, and frozen where they keep on.
//!
//! After Nagel et al. 2022, "Overcoming Oscillations in Quantization-Aware Training". A weight oscillates in a step when its code changes in
//! the direction opposite to its last change; `f ← m·o + (1 − m)·f` is how often. Damping pulls weights towards the middle of their code
//! (section 4.2), here beside the optimizer, as AdamW does with decay: `w̃ ← w̃ − 2·rate·λ·(w̃ − ŵ)`. Freezing (section 4.3) fixes a weight whose
//! f exceeds a threshold at the code it had on average. The threshold may fall by half a cosine: early in a training weights still have
//! somewhere to go.
//!
//! What is fixed is the master, put where its folded value is that of the code. Fixing the folded value instead would move masters whenever
//! BatchNorm's factors move, and these follow the masters: a channel of frozen weights would grow or shrink without end.

use quantrain_engine::{Network, Weight};

use crate::RunError;
use crate::schedule::half_cosine;

/// What is done about oscillating weights.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct OscillationSettings {
    /// λ, 0 for none.
    pub damping: f32,
    /// Which weights are frozen; `None` freezes none.
    pub freezing: Option<Freezing>,
    /// m, the share of a step in the frequency.
    pub momentum: f32,
}

/// A weight that oscillates in a larger share of the steps than this is frozen.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Freezing {
    /// The share at the first step.
    pub first: f32,
    /// The share at the end.
    pub last: f32,
}

impl Freezing {
    /// The share when `done` of the training's steps, 0 to 1, are done.
    pub fn at(&self, done: f64) -> f32 {
        half_cosine(f64::from(self.first), f64::from(self.last), done) as f32
    }
}

/// A weight that oscillates in a larger share of the steps is counted as oscillating.
const COUNTED: f32 = 0.005;

/// What is remembered of each weight of a block.
#[derive(Clone, Debug)]
struct Layer {
    unit: usize,
    /// Of the last step; NaN before the first.
    code: Vec<f32>,
    /// −1, 0 or 1: where the last change went.
    direction: Vec<f32>,
    frequency: Vec<f32>,
    average: Vec<f32>,
    /// The master of a weight that is frozen; NaN where it is free.
    frozen: Vec<f32>,
}

/// The oscillations of a network's weights.
#[derive(Clone, Debug)]
pub struct Oscillations {
    settings: OscillationSettings,
    layers: Vec<Layer>,
}

/// Names of what is remembered, as checkpoints have them.
const PARTS: [&str; 5] = ["code", "direction", "frequency", "average", "frozen-master"];

impl Layer {
    fn parts(&self) -> [&Vec<f32>; 5] {
        [&self.code, &self.direction, &self.frequency, &self.average, &self.frozen]
    }

    fn parts_mut(&mut self) -> [&mut Vec<f32>; 5] {
        [&mut self.code, &mut self.direction, &mut self.frequency, &mut self.average, &mut self.frozen]
    }

    /// Takes up a weight's code of this step; gives the master it is frozen at, if it is. A frequency above `most` freezes it; m is the share
    /// of a step in the frequency.
    fn observe(&mut self, i: usize, weight: Weight, m: f32, most: Option<f32>) -> Option<f32> {
        if !self.frozen[i].is_nan() {
            return Some(self.frozen[i]);
        }
        let code = weight.code;
        if self.code[i].is_nan() {
            (self.code[i], self.average[i]) = (code, code);
            return None;
        }
        let change = if code == self.code[i] { 0.0 } else { (code - self.code[i]).signum() };
        let oscillates = change != 0.0 && change == -self.direction[i];
        self.frequency[i] = m * f32::from(u8::from(oscillates)) + (1.0 - m) * self.frequency[i];
        self.average[i] = m * code + (1.0 - m) * self.average[i];
        self.code[i] = code;
        if change != 0.0 {
            self.direction[i] = change;
        }
        if most.is_some_and(|most| self.frequency[i] > most) {
            self.frozen[i] = self.average[i].round_ties_even() * weight.scale / weight.factor;
            return Some(self.frozen[i]);
        }
        None
    }
}

impl Oscillations {
    /// Nothing seen yet of the quantized weights of `network`.
    pub fn new(network: &mut Network, settings: OscillationSettings) -> Self {
        let quantized: Vec<usize> = (0..network.quant_graph().units().len()).collect();
        let of = |unit: usize| {
            network.quant_graph().weight_quantizer(unit)?;
            let count = network.block_mut(unit)?.weights();
            let all = |value: f32| vec![value; count];
            Some(Layer { unit, code: all(f32::NAN), direction: all(0.0), frequency: all(0.0), average: all(0.0), frozen: all(f32::NAN) })
        };
        Oscillations { layers: quantized.into_iter().filter_map(of).collect(), settings }
    }

    /// After the optimizer's step at `rate`, when `done` of the training's steps, 0 to 1, are done: takes up the codes of the step's
    /// forward, damps, and puts frozen weights back.
    pub fn after_step(&mut self, network: &mut Network, rate: f32, done: f64) {
        let OscillationSettings { damping, freezing, momentum } = self.settings;
        let (pull, most) = ((2.0 * rate * damping).min(1.0), freezing.map(|f| f.at(done)));
        for layer in &mut self.layers {
            let Some(mut block) = network.block_mut(layer.unit) else { continue };
            block.update_weights(|i, weight| {
                let Weight { master, factor, scale, .. } = weight;
                match layer.observe(i, weight, momentum, most) {
                    Some(frozen) => frozen,
                    None if pull > 0.0 => {
                        let folded = master * factor;
                        master - pull * (folded - (folded / scale).round_ties_even() * scale) / factor
                    }
                    None => master,
                }
            });
        }
    }

    /// Shares of the weights that oscillate, and that are frozen.
    pub fn shares(&self) -> (f32, f32) {
        let all: usize = self.layers.iter().map(|l| l.code.len()).sum();
        let count = |holds: fn(&Layer, usize) -> bool| {
            let found: usize = self.layers.iter().map(|l| (0..l.code.len()).filter(|&i| holds(l, i)).count()).sum();
            found as f32 / all.max(1) as f32
        };
        (count(|l, i| l.frozen[i].is_nan() && l.frequency[i] > COUNTED), count(|l, i| !l.frozen[i].is_nan()))
    }

    /// All that a checkpoint holds of it.
    pub fn state(&self) -> Vec<(String, Vec<f32>)> {
        let named =
            |layer: &Layer| PARTS.iter().zip(layer.parts()).map(|(part, v)| (format!("{}/{part}", layer.unit), v.clone())).collect();
        self.layers.iter().flat_map::<Vec<_>, _>(named).collect()
    }

    /// Goes on from a state.
    ///
    /// # Errors
    /// It is of another network.
    pub fn restore(&mut self, state: &[(String, Vec<f32>)]) -> Result<(), RunError> {
        for layer in &mut self.layers {
            let unit = layer.unit;
            for (part, values) in PARTS.iter().zip(layer.parts_mut()) {
                let found = state.iter().find(|(name, v)| *name == format!("{unit}/{part}") && v.len() == values.len());
                values.clone_from(&found.ok_or(RunError::OtherNetwork { what: "oscillations" })?.1);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layer() -> Layer {
        let all = |value: f32| vec![value; 1];
        Layer { unit: 0, code: all(f32::NAN), direction: all(0.0), frequency: all(0.0), average: all(0.0), frozen: all(f32::NAN) }
    }

    const MOMENTUM: f32 = 0.1;

    fn weight(code: f32) -> Weight {
        Weight { master: 0.0, factor: 0.5, code, scale: 0.25 }
    }

    #[test]
    fn a_weight_that_jumps_to_and_fro_is_frozen_where_it_was_most() {
        let mut layer = layer();
        let mut frozen = None;
        // Two steps of three at 3, one at 4.
        for step in 0..60 {
            frozen = layer.observe(0, weight(if step % 3 == 2 { 4.0 } else { 3.0 }), MOMENTUM, Some(0.2));
        }
        assert_eq!(frozen, Some(3.0 * 0.25 / 0.5));
        assert_eq!(
            layer.observe(0, Weight { factor: 8.0, ..weight(9.0) }, MOMENTUM, Some(0.2)),
            frozen,
            "for good, whatever BatchNorm does"
        );
    }

    #[test]
    fn a_weight_that_goes_one_way_does_not_oscillate() {
        let mut layer = layer();
        for step in 0..60 {
            assert_eq!(layer.observe(0, weight(step as f32), MOMENTUM, Some(0.2)), None);
        }
        assert_eq!(layer.frequency, [0.0]);
    }

    #[test]
    fn without_a_threshold_nothing_freezes_but_all_is_counted() {
        let mut layer = layer();
        for step in 0..60 {
            assert_eq!(layer.observe(0, weight((step % 2) as f32), MOMENTUM, None), None);
        }
        assert!(layer.frequency[0] > 0.9);
    }
}
