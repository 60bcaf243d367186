//! Refinement after calibration, without labels (PTQ): steps that change float parameters and ranges so that the quantized network's outputs
//! come nearer to the float network's. Each tells the output SQNR before and after it, on images that no step has seen.
//!
//! Two copies of the network go side by side: `float` changes only where its function does not (equalization) and says what is right;
//! `network` takes every change and is what is trained on or exported.

mod ada_round;
mod bias_calibration;
mod bias_correction;
mod channels;
mod equalization;
mod images;
mod walk;
mod weight_clipping;

pub use images::CalibrationImages;

use quantrain_engine::{AdaRound, Mode, Network, Purpose};
use quantrain_graph::QuantGraph;
use serde::{Deserialize, Serialize};

use crate::RunError;
use crate::observe::{ObserverKind, ObserverSettings};
use crate::progress::Progress;
use crate::ranges::Ranges;
use crate::recipe::RefineStep;
use crate::runner::Runner;
use crate::sqnr::OutputNoise;

/// What a refinement does.
#[derive(Clone, Debug, PartialEq)]
pub struct Refinement {
    /// The steps, in order.
    pub steps: Vec<RefineStep>,
    /// Share of the calibration images that no step sees, to measure on.
    pub held_out: f32,
    /// Passes of the bias calibration.
    pub bias_epochs: u32,
    /// Its rate in the first pass, halved in each that follows.
    pub bias_rate: f32,
    /// How rounding is learned.
    pub rounding: AdaRound,
}

/// What a step did.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StepReport {
    /// The step; `calibration` for what was there before the first.
    pub step: String,
    /// Output SQNR after it, in dB, on the images held out; of several outputs that of their mean relative noise.
    pub sqnr: f64,
    /// What it changed, in words.
    pub changed: String,
}

/// The networks of a refinement under way.
struct Refiner<'a> {
    float: Network,
    network: Network,
    images: &'a CalibrationImages,
    observer: ObserverSettings,
    settings: &'a Refinement,
}

/// Refines a calibrated network by `settings`; gives it back with a report for the state before and each step. Ranges are found anew by
/// `observer` where a step changes what they are of; a step for ranges chooses another observer from there on.
///
/// # Errors
/// The network cannot be run, or values are not finite.
pub fn refine(
    net: QuantGraph,
    images: &CalibrationImages,
    observer: ObserverSettings,
    settings: &Refinement,
    progress: &mut dyn Progress,
) -> Result<(QuantGraph, Vec<StepReport>), RunError> {
    let mut refiner = Refiner { float: Network::new(net.clone()), network: Network::new(net), images, observer, settings };
    let mut reports = vec![refiner.report("calibration", format!("ranges by {}", observer.kind))?];
    for step in &settings.steps {
        let changed = refiner.step(*step, progress)?;
        reports.push(refiner.report(step.name(), changed)?);
    }
    Ok((refiner.network.into_quant_graph(), reports))
}

impl Refiner<'_> {
    /// Does a step; says what it changed.
    fn step(&mut self, step: RefineStep, progress: &mut dyn Progress) -> Result<String, RunError> {
        match step {
            RefineStep::MeanSquaredErrorRanges => self.ranges(ObserverKind::MeanSquaredError, progress),
            RefineStep::EntropyRanges => self.ranges(ObserverKind::Entropy, progress),
            RefineStep::Equalization => equalization::step(self, progress),
            RefineStep::WeightClipping => weight_clipping::step(self, progress),
            RefineStep::BiasCorrection => bias_correction::step(self, progress),
            RefineStep::BiasCalibration => bias_calibration::step(self, progress),
            RefineStep::AdaRound => ada_round::step(self, progress),
        }
    }

    fn ranges(&mut self, kind: ObserverKind, progress: &mut dyn Progress) -> Result<String, RunError> {
        self.observer = ObserverSettings { kind, ..self.observer };
        self.calibrate(progress)?;
        Ok(format!("{} ranges", self.network.quant_graph().quantizers().len()))
    }

    /// Finds the ranges of the float network anew.
    fn calibrate(&mut self, progress: &mut dyn Progress) -> Result<(), RunError> {
        let mut ranges = Ranges::new(&self.network, &self.observer);
        let mut runner = Runner::new(Purpose::Inference);
        progress.begin("ranges", self.images.count() as u64);
        for batch in self.images.batches() {
            runner.forward(&mut self.float, Mode::FLOAT, batch.size, &batch.values, &mut ranges, |_, _, _| ())?;
            step_done(progress, batch.size)?;
        }
        progress.end();
        ranges.apply(&mut self.network)
    }

    fn report(&mut self, step: &str, changed: String) -> Result<StepReport, RunError> {
        let mut sqnr = OutputNoise::of(self.float.quant_graph().graph());
        let (mut float, mut quantized) = (Runner::new(Purpose::Inference), Runner::new(Purpose::Inference));
        let (mut expected, mut simulated) = (Vec::new(), Vec::new());
        for batch in self.images.held_out() {
            float.outputs(&mut self.float, Mode::FLOAT, batch.size, &batch.values, &mut expected)?;
            quantized.outputs(&mut self.network, Mode::SIMULATE, batch.size, &batch.values, &mut simulated)?;
            sqnr.add(batch.size, &expected, simulated.iter());
        }
        Ok(StepReport { step: step.to_owned(), sqnr: sqnr.decibels(), changed })
    }
}

/// Tells of an advance, and stops where the user wants it.
fn step_done(progress: &mut dyn Progress, steps: usize) -> Result<(), RunError> {
    progress.advance(steps as u64, "");
    if progress.stop_requested() { Err(RunError::Stopped { stage: "refinement" }) } else { Ok(()) }
}

#[cfg(test)]
mod tests;
