//! What a run has done, but its user should know.

use std::fmt;

use quantrain_graph::bias::SaturatedBias;
use serde::{Serialize, Serializer};

use crate::metric::{Fall, Sqnr};

/// Fewer images of a calibration than this are few.
pub(crate) const FEW_IMAGES: usize = 32;

/// Output SQNR in dB below which most of an output is noise.
const LEAST_SQNR: f64 = 3.0;

/// SQNR in dB below which one of several outputs, or a part of one, is lost though all together are not.
const LEAST_OF_PART: f64 = 10.0;

/// Tensors that a warning names.
const NAMED: usize = 3;

/// A result that is likely to be worse than it could be, and what to do.
#[derive(Clone, Debug, PartialEq)]
pub enum Warning {
    /// The float network guesses.
    NearChance {
        /// Its accuracy in percent.
        top1: f64,
        /// What guessing gives, in percent.
        chance: f64,
    },
    /// Ranges are from few images.
    FewImages {
        /// How many.
        images: usize,
    },
    /// Channels of the input have one value in all images of the calibration.
    ConstantChannels {
        /// The input.
        input: String,
        /// The channels, from 0.
        channels: Vec<usize>,
    },
    /// Tensors have one value in all images of the calibration.
    ConstantTensors {
        /// Their names.
        tensors: Vec<String>,
    },
    /// The exported network's outputs are mostly noise.
    Noise {
        /// Output SQNR in dB.
        sqnr: f64,
    },
    /// One of several outputs, or a part of one, is mostly noise.
    Lost {
        /// Its name.
        part: String,
        /// Its SQNR in dB.
        sqnr: f64,
    },
    /// Biases lose more than rounding.
    SaturatedBiases {
        /// The layers.
        layers: Vec<SaturatedBias>,
    },
    /// Refinement made the network worse.
    RefinedWorse {
        /// By how much.
        fall: Fall,
        /// Whether it was undone.
        undone: bool,
    },
    /// No epoch was better than the network before training, which is exported.
    TrainingInVain {
        /// By how much the last epoch was worse, where it was.
        fall: Option<Fall>,
        /// What to change.
        advice: String,
    },
    /// Values ceased to be finite in training, which ended.
    Diverged {
        /// The step, from 1.
        step: u64,
        /// What was not finite.
        cause: String,
        /// What to change, where the learning rate may be to blame.
        advice: Option<String>,
        /// Epochs done by the network that is exported.
        epoch: u32,
    },
    /// What is exported is worse than what was calibrated.
    ExportedWorse {
        /// By how much.
        fall: Fall,
        /// What to change.
        advice: String,
    },
}

impl Warning {
    /// Where the output SQNR of an exported network, in dB, is next to nothing.
    pub fn of_noise(sqnr: f64) -> Option<Self> {
        // NaN is next to nothing too.
        (sqnr < LEAST_SQNR || sqnr.is_nan()).then_some(Warning::Noise { sqnr })
    }

    /// Where outputs of an exported network, or parts of them, are next to nothing: all of them together, or single ones.
    pub fn of_outputs(sqnr: &Sqnr) -> Vec<Self> {
        if let Some(noise) = Warning::of_noise(sqnr.of_all()) {
            return vec![noise];
        }
        let figures = sqnr.figures();
        let several = figures.len() > 1;
        let lost = figures.into_iter().filter_map(|(part, decibels)| Some((part, decibels.filter(|d| *d < LEAST_OF_PART)?)));
        lost.filter(|_| several).map(|(part, sqnr)| Warning::Lost { part: part.to_owned(), sqnr }).collect()
    }
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Warning::NearChance { top1, chance } => write!(
                f,
                "the float network's accuracy, {top1:.2} %, is near that of guessing, {chance:.2} %: check range, mean, std, channel order, \
                 size and labels against how it was trained"
            ),
            Warning::FewImages { images } => write!(
                f,
                "ranges are from {images} images: give data.calibration-images and the data set {FEW_IMAGES} or more, better 100, such as the \
                 network will see"
            ),
            Warning::ConstantChannels { input, channels } => {
                let channels: Vec<String> = channels.iter().map(usize::to_string).collect();
                write!(
                    f,
                    "input `{input}` has one value in channel {} of all calibration images: are the images what the network will see?",
                    channels.join(", ")
                )
            }
            Warning::ConstantTensors { tensors } => {
                let named: Vec<String> = tensors.iter().take(NAMED).map(|name| format!("`{name}`")).collect();
                let more = tensors.len().saturating_sub(NAMED);
                let more = if more > 0 { format!(" and {more} more") } else { String::new() };
                write!(
                    f,
                    "{}{more} had one value in all calibration images, and other values are lost: are the images and their preprocessing what \
                     the network will see?",
                    named.join(", ")
                )
            }
            Warning::Noise { sqnr } => write!(
                f,
                "the exported network's outputs have little in common with the float network's ({sqnr:.2} dB): calibrate with other images or \
                 another quantization.observer, or give more bits; `quantrain sensitivity` shows which layers cost most"
            ),
            Warning::Lost { part, sqnr } => write!(
                f,
                "`{part}` is mostly noise ({sqnr:.2} dB) though the outputs as a whole are not: keep what makes it in float, or give it 16 bits, \
                 by a rule of the recipe's layers, or set quantization.quantize-output = false; `quantrain sensitivity` shows which layers cost most"
            ),
            Warning::SaturatedBiases { layers } => {
                let layer = |l: &SaturatedBias| format!("`{}` (channels: {}, {} becomes {})", l.node, l.channels, l.bias, l.becomes);
                let named: Vec<String> = layers.iter().take(NAMED).map(layer).collect();
                let more = layers.len().saturating_sub(NAMED);
                let more = if more > 0 { format!(" and {more} more") } else { String::new() };
                write!(
                    f,
                    "biases saturate at 16 bits in {}{more}: set quantization.bias-limit to \"reduce-weight-scale\", or to \"off\" for a device \
                     whose biases have 32 bits",
                    named.join(", ")
                )
            }
            Warning::RefinedWorse { fall, undone: true } => {
                write!(f, "refinement made the network worse ({fall}) and was undone; leave out refine.steps, or choose others")
            }
            Warning::RefinedWorse { fall, undone: false } => {
                write!(f, "refinement made the network worse ({fall}); leave out refine.steps, or choose others")
            }
            Warning::TrainingInVain { fall: Some(fall), advice } => {
                write!(f, "training made the network worse (the last epoch: {fall}): exported is the one before training; {advice}")
            }
            Warning::TrainingInVain { fall: None, advice } => {
                write!(f, "no epoch was better than the network before training, which is exported; {advice}")
            }
            Warning::Diverged { step, cause, advice, epoch } => {
                let advice = advice.as_ref().map_or_else(String::new, |advice| format!("{advice}; "));
                let exported = if *epoch == 0 { "the one before training".to_owned() } else { format!("that of epoch {epoch}") };
                write!(f, "training diverged at step {step} and ended: {advice}{cause}; exported is {exported}")
            }
            Warning::ExportedWorse { fall, advice } => {
                write!(f, "what is exported is worse than what was calibrated ({fall}); {advice}")
            }
        }
    }
}

/// As its text.
impl Serialize for Warning {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metric::OutputSqnr;

    #[test]
    fn a_lost_output_is_told_though_the_others_are_well() {
        let output = |output: &str, decibels| OutputSqnr { output: output.into(), decibels: Some(decibels), parts: Vec::new() };
        let of = |outputs: Vec<OutputSqnr>| Warning::of_outputs(&Sqnr { sqnr: outputs, images: 1 });
        assert_eq!(of(vec![output("boxes", 40.0), output("scores", 3.6)]), [Warning::Lost { part: "scores".into(), sqnr: 3.6 }]);
        assert_eq!(of(vec![output("boxes", 40.0), output("scores", 30.0)]), []);
        assert_eq!(of(vec![output("logits", 8.0)]), [], "a single one has its figure in the report");
        assert!(matches!(of(vec![output("boxes", 1.0), output("scores", 2.0)])[..], [Warning::Noise { .. }]));
    }
}
