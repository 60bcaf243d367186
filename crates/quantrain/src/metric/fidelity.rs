//! Without labels: how far outputs are from another network's, as a signal-to-quantization-noise ratio.

use quantrain_data::Batch;
use quantrain_engine::{Mode, Network, Purpose};
use quantrain_graph::QuantGraph;
use serde::{Deserialize, Serialize};

use super::{KeptOutputs, Metric, Output, Score};
use crate::RunError;
use crate::runner::Runner;
use crate::sqnr::{self, JoinedNoise, Noise, OutputNoise};

/// How near outputs are to another network's.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Sqnr {
    /// Of each output.
    pub sqnr: Vec<OutputSqnr>,
    /// Number of images.
    pub images: usize,
}

/// `10·log10(Σt²/Σ(t − y)²)` of an output y and the other network's t, over all values of all images.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OutputSqnr {
    /// Name of the output.
    pub output: String,
    /// In dB; `None` where the outputs are equal.
    pub decibels: Option<f64>,
    /// Of each part, where the output is joined of several.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub parts: Vec<PartSqnr>,
}

/// As [`OutputSqnr`], of the values of one tensor that is joined with others to the output, or of channels that differ much from the others.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PartSqnr {
    /// Name of the tensor, or the output's with the indices of the channels.
    pub part: String,
    /// In dB; `None` where the values are equal.
    pub decibels: Option<f64>,
}

impl Sqnr {
    /// Of all outputs, in dB: that of their mean relative noise, a joined one counted by its parts.
    pub fn of_all(&self) -> f64 {
        sqnr::of_all(self.figures().into_iter().map(|(_, decibels)| decibels))
    }

    /// Name and dB of each output, of a joined one those of its parts.
    pub fn figures(&self) -> Vec<(&str, Option<f64>)> {
        self.sqnr.iter().flat_map(OutputSqnr::each).collect()
    }
}

impl OutputSqnr {
    fn each(&self) -> Vec<(&str, Option<f64>)> {
        match &self.parts[..] {
            [] => vec![(self.output.as_str(), self.decibels)],
            parts => parts.iter().map(|p| (p.part.as_str(), p.decibels)).collect(),
        }
    }

    /// As people read it: of the output, and of each part.
    pub fn figures(&self) -> Vec<(String, String)> {
        let whole = (format!("SQNR of {}", self.output), text(self.decibels));
        let parts = self.parts.iter().map(|p| (format!("its part {}", p.part), text(p.decibels)));
        std::iter::once(whole).chain(parts).collect()
    }
}

fn text(decibels: Option<f64>) -> String {
    decibels.map_or("equal".into(), |d| format!("{d:.2} dB"))
}

/// Compares all outputs with those of a float network on the same images.
pub struct Fidelity {
    reference: QuantGraph,
    /// The reference with what runs it, once a batch asks for that.
    running: Option<(Network, Runner)>,
    /// Its outputs, as far as they are known.
    kept: KeptOutputs,
    expected: Vec<Vec<f32>>,
    /// Of the outputs; empty before the first batch.
    noise: OutputNoise,
    images: usize,
}

impl Fidelity {
    /// Compares with `reference`, which runs in float.
    pub fn new(reference: QuantGraph) -> Self {
        let (kept, noise) = (KeptOutputs::default(), OutputNoise::default());
        Fidelity { reference, running: None, kept, expected: Vec::new(), noise, images: 0 }
    }

    /// Takes the outputs of `reference` from those kept, where they are.
    pub(crate) fn knowing(self, kept: KeptOutputs) -> Self {
        Fidelity { kept, ..self }
    }

    /// What was seen; `None` before the first batch.
    pub fn sqnr(&self) -> Option<Sqnr> {
        let part = |(part, noise): &(String, Noise)| PartSqnr { part: part.clone(), decibels: noise.decibels() };
        let of = |joined: &JoinedNoise| OutputSqnr {
            output: joined.output.clone(),
            decibels: joined.whole.decibels(),
            parts: joined.parts().iter().map(part).collect(),
        };
        let sqnr: Vec<OutputSqnr> = self.noise.outputs().iter().map(of).collect();
        (!sqnr.is_empty()).then_some(Sqnr { sqnr, images: self.images })
    }
}

impl Metric for Fidelity {
    fn start(&mut self) {
        self.noise = OutputNoise::default();
        self.images = 0;
    }

    fn add(&mut self, batch: &Batch, outputs: &[Output<'_>]) -> Result<(), RunError> {
        if !self.kept.read(batch, &mut self.expected) {
            let running = || (Network::new(self.reference.clone()), Runner::new(Purpose::Inference));
            let (network, runner) = self.running.get_or_insert_with(running);
            runner.outputs(network, Mode::FLOAT, batch.size, &batch.inputs(), &mut self.expected)?;
        }
        let lengths = |values: &[f32]| values.len();
        let expected: Vec<usize> = self.expected.iter().map(|t| lengths(t)).collect();
        let found: Vec<usize> = outputs.iter().map(|y| lengths(y.values)).collect();
        if found != expected {
            return Err(RunError::OtherOutputs { found, expected });
        }
        if self.images == 0 {
            self.noise = OutputNoise::of(self.reference.graph());
        }
        self.noise.add(batch.size, &self.expected, outputs.iter().map(|y| y.values));
        self.images += batch.size;
        Ok(())
    }

    fn score(&self) -> Option<Score> {
        self.sqnr().map(Score::Sqnr)
    }
}

#[cfg(test)]
mod tests {
    use quantrain_graph::GraphBuilder;

    use super::*;

    /// A network that hands its image out.
    fn identity() -> QuantGraph {
        let mut b = GraphBuilder::new("g");
        let x = b.input("x", &[1, 1, 2]);
        let y = b.relu("y", x).unwrap();
        b.output(y);
        QuantGraph::float(b.finish().unwrap())
    }

    #[test]
    fn a_tenth_of_noise_is_twenty_decibels() {
        let mut fidelity = Fidelity::new(identity());
        let batch = Batch { size: 1, height: 1, width: 2, channels: 1, images: vec![10.0, 0.0], ..Batch::default() };
        let mut add = |values: &[f32]| {
            let output = Output { name: "y", shape: &[1, 1, 2, 1], values };
            fidelity.add(&batch, &[output]).map(|()| fidelity.score())
        };
        let decibels = |score: Option<Score>| match score {
            Some(Score::Sqnr(s)) => s.sqnr[0].decibels,
            other => panic!("{other:?}"),
        };
        assert_eq!(decibels(add(&[10.0, 0.0]).unwrap()), None);
        assert_eq!(decibels(add(&[9.0, 1.0]).unwrap()), Some(20.0));
        assert!(matches!(add(&[9.0]), Err(RunError::OtherOutputs { .. })));
    }
}
