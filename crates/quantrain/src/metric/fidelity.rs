//! Without labels: how far outputs are from another network's, as a signal-to-quantization-noise ratio.

use quantrain_data::Batch;
use quantrain_engine::{Mode, Network, Purpose};
use quantrain_graph::QuantGraph;
use serde::{Deserialize, Serialize};

use super::{Metric, Output, Score};
use crate::RunError;
use crate::runner::Runner;
use crate::sqnr::{self, Noise};

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
}

impl Sqnr {
    /// Of all outputs, in dB: that of their mean relative noise.
    pub fn of_all(&self) -> f64 {
        sqnr::of_all(self.sqnr.iter().map(|o| o.decibels))
    }
}

impl OutputSqnr {
    /// As people read it.
    pub fn text(&self) -> String {
        self.decibels.map_or("equal".into(), |d| format!("{d:.2} dB"))
    }
}

/// Compares all outputs with those of a float network on the same images.
pub struct Fidelity {
    reference: Network,
    runner: Runner,
    expected: Vec<Vec<f32>>,
    /// Of each output, by name.
    outputs: Vec<(String, Noise)>,
    images: usize,
}

impl Fidelity {
    /// Compares with `reference`, which runs in float.
    pub fn new(reference: QuantGraph) -> Self {
        let runner = Runner::new(Purpose::Inference);
        Fidelity { reference: Network::new(reference), runner, expected: Vec::new(), outputs: Vec::new(), images: 0 }
    }

    /// What was seen; `None` before the first batch.
    pub fn sqnr(&self) -> Option<Sqnr> {
        let of = |(output, noise): &(String, Noise)| OutputSqnr { output: output.clone(), decibels: noise.decibels() };
        let sqnr: Vec<OutputSqnr> = self.outputs.iter().map(of).collect();
        (!sqnr.is_empty()).then_some(Sqnr { sqnr, images: self.images })
    }
}

impl Metric for Fidelity {
    fn start(&mut self) {
        self.outputs.clear();
        self.images = 0;
    }

    fn add(&mut self, batch: &Batch, outputs: &[Output<'_>]) -> Result<(), RunError> {
        self.runner.outputs(&mut self.reference, Mode::FLOAT, batch.size, &batch.images, &mut self.expected)?;
        let lengths = |values: &[f32]| values.len();
        let expected: Vec<usize> = self.expected.iter().map(|t| lengths(t)).collect();
        let found: Vec<usize> = outputs.iter().map(|y| lengths(y.values)).collect();
        if found != expected {
            return Err(RunError::OtherOutputs { found, expected });
        }
        self.outputs.resize_with(outputs.len(), Default::default);
        for (((name, noise), y), t) in self.outputs.iter_mut().zip(outputs).zip(&self.expected) {
            name.replace_range(.., y.name);
            noise.add(t, y.values);
        }
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
