//! From the float network to the calibrated and refined one, each measured.

use quantrain_data::Loader;
use quantrain_engine::memory::Budget;
use quantrain_engine::{EngineError, Network};
use quantrain_graph::QuantGraph;
use serde::{Deserialize, Serialize};

use super::Job;
use crate::RunError;
use crate::calibrate::{Calibrated, calibrate};
use crate::clip_weights::{ClippedWeights, clip_weights};
use crate::datasets::Purpose;
use crate::execution::Execution;
use crate::metric::{Score, Sqnr};
use crate::progress::Progress;
use crate::ranges::Ranges;
use crate::recipe::Which;
use crate::refine::{CalibrationImages, StepReport, refine};
use crate::warning::Warning;

/// What is known of a network before it is exported or trained.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Prepared {
    /// Images that ranges are from; `None` without quantization.
    pub calibration_images: Option<usize>,
    /// Percent of the values that ranges keep, where that was chosen by measurement.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub percentile: Option<f32>,
    /// The layers whose weights were clipped before calibration.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub clipped_weights: Vec<ClippedWeights>,
    /// What the steps of the refinement did.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub refinement: Vec<StepReport>,
    /// Of the float network.
    pub float: Option<Score>,
    /// After calibration, where a refinement followed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub calibrated: Option<Score>,
    /// After the refinement, where there was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refined: Option<Score>,
    /// Of the network that is exported without training, or trained: after the last of these.
    pub ptq: Option<Score>,
    /// What ran the quantized network; `None` where none was judged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub execution: Option<Execution>,
    /// What the user should know.
    #[serde(default)]
    pub warnings: Vec<String>,
}

impl Prepared {
    /// What the network was worth after calibration alone.
    pub fn after_calibration(&self) -> &Option<Score> {
        if self.calibrated.is_some() { &self.calibrated } else { &self.ptq }
    }

    /// Whether the network is the refined one now: not where there was no refinement, or it was undone.
    pub fn is_refined(&self) -> bool {
        !self.refinement.is_empty() && self.ptq == self.refined
    }
}

impl Job {
    /// Measures the float network, calibrates and refines it as the recipe says, and measures it after each. A refinement that makes the network
    /// much worse is undone, unless the recipe exports the last network.
    ///
    /// # Errors
    /// Images cannot be read or do not fit, the images of the calibration say nothing, or values are not finite.
    pub fn prepare(&mut self, progress: &mut dyn Progress) -> Result<Prepared, RunError> {
        let float = self.float_score(progress)?;
        let mut warnings: Vec<Warning> = float.as_ref().and_then(|score| self.near_chance(score)).into_iter().collect();
        let mut prepared = Prepared { float, ..Prepared::default() };
        if self.recipe().quantization().enabled {
            prepared.calibration_images = Some(self.calibrate(progress)?);
            prepared.percentile = self.chosen_percentile();
            warnings.append(&mut self.calibration_warnings);
            prepared.clipped_weights.clone_from(&self.clipped);
            prepared.ptq = self.simulated_score(progress)?;
        } else {
            self.worth.clone_from(&prepared.float);
        }
        if prepared.calibration_images.is_some() && !self.recipe().refine().steps.is_empty() {
            prepared.calibrated = prepared.ptq.take();
            let before = (self.net().clone(), self.sqnr.clone());
            prepared.refinement = self.refine(progress)?;
            prepared.refined = self.simulated_score(progress)?;
            prepared.ptq.clone_from(&prepared.refined);
            warnings.extend(self.undo_if_worse(before, &mut prepared));
        }
        prepared.execution = self.execution().filter(|_| prepared.ptq.is_some());
        if !self.trains && self.recipe().quantization().enabled {
            warnings.extend(self.saturated_biases()?);
        }
        prepared.warnings = warnings.iter().map(Warning::to_string).collect();
        Ok(prepared)
    }

    /// Clips weights as the recipe says, and finds the range of every quantizer. Returns the number of images used: 0 where the recipe's file is quantized, and its ranges stay.
    ///
    /// # Errors
    /// There are no images, they cannot be read or do not fit, or values are not finite.
    pub fn calibrate(&mut self, progress: &mut dyn Progress) -> Result<usize, RunError> {
        if !self.file_quantizers.is_empty() {
            return Ok(0);
        }
        self.is_untouched = false;
        self.clip_weights()?;
        let loader = self.calibration_images()?;
        let (threads, observer) = (self.recipe.data().loader_threads, self.recipe.quantization().observer);
        progress.begin("calibrating", loader.samples() as u64);
        let Calibrated { images, ranges, observer, warnings } =
            calibrate(self.network_mut(), || loader.batches(0, 0, threads), &observer, progress)?;
        progress.end();
        (self.ranges, self.observer, self.calibration_warnings, self.worth) = (Some(ranges), observer, warnings, None);
        Ok(images)
    }

    fn clip_weights(&mut self) -> Result<(), RunError> {
        let mut net = self.net().clone();
        self.clipped = clip_weights(&mut net, self.recipe.quantization().clip_weights)?;
        if !self.clipped.is_empty() {
            self.network = Some(Network::new(net));
        }
        Ok(())
    }

    /// Percent of the values that ranges keep, where the recipe left that to be measured in calibration.
    pub fn chosen_percentile(&self) -> Option<f32> {
        (self.observer != self.recipe.quantization().observer).then_some(self.observer.percentile)
    }

    /// Refines the calibrated network by the recipe's steps; returns what each did, nothing where there are none.
    ///
    /// # Errors
    /// There are fewer than two calibration images, or see [`refine()`].
    pub fn refine(&mut self, progress: &mut dyn Progress) -> Result<Vec<StepReport>, RunError> {
        if self.recipe.refine().steps.is_empty() {
            return Ok(Vec::new());
        }
        self.is_untouched = false;
        let settings = self.recipe.refine();
        let loader = self.datasets.needed(Purpose::Calibration)?;
        let graph = self.graph();
        let input =
            graph.inputs().iter().map(|&t| graph.tensor(t).shape.elements(loader.samples())).fold(size_of::<f32>(), usize::saturating_mul);
        let memory = Budget::new(graph, 1, loader.samples()).map_err(EngineError::from)?;
        memory.finish(&format!("refinement over {} images", loader.samples()), input).map_err(EngineError::from)?;
        let batches = loader.batches(0, 0, self.recipe.data().loader_threads);
        let images = CalibrationImages::read(batches, settings.held_out)?;
        let observer = self.observer;
        let net = self.network.take().expect("a trainer gives the network back").into_quant_graph();
        let refined = refine(net.clone(), &images, observer, settings, progress);
        let (net, reports) = refined.map_or_else(|error| (net, Err(error)), |(net, reports)| (net, Ok(reports)));
        self.go_back_to(net, images.count() as u64);
        reports
    }

    /// Takes a network whose ranges are from so many images: observers that go on start from these, as they have seen others.
    fn go_back_to(&mut self, net: QuantGraph, images: u64) {
        let network = Network::new(net);
        self.ranges = Some(Ranges::continuing(&network, &self.observer, images));
        (self.network, self.worth) = (Some(network), None);
    }

    /// The images of a calibration; where a refinement follows, without those that it holds out.
    fn calibration_images(&self) -> Result<Loader, RunError> {
        let (all, refine) = (self.datasets.needed(Purpose::Calibration)?, self.recipe.refine());
        match refine.steps.is_empty() || all.samples() < 2 {
            true => Ok(all),
            false => {
                let seen = CalibrationImages::seen_of(all.samples(), refine.held_out);
                self.datasets.calibration(seen)
            }
        }
    }

    fn undo_if_worse(&mut self, before: (QuantGraph, Option<Sqnr>), prepared: &mut Prepared) -> Option<Warning> {
        let (refined, calibrated) = prepared.ptq.as_ref().zip(prepared.calibrated.as_ref())?;
        let fall = refined.fall_from(calibrated).filter(|fall| fall.is_much())?;
        let undone = self.recipe().export().checkpoint == Which::Best;
        if undone {
            prepared.ptq.clone_from(&prepared.calibrated);
            self.go_back_to(before.0, prepared.calibration_images.unwrap_or(0) as u64);
            (self.worth, self.sqnr) = (prepared.ptq.clone(), before.1);
        }
        Some(Warning::RefinedWorse { fall, undone })
    }
}
