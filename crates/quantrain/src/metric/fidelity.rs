//! Without labels: how far outputs are from another network's, as a signal-to-quantization-noise ratio.

use quantrain_data::Batch;
use quantrain_engine::{Mode, Network, Purpose};
use quantrain_graph::QuantGraph;
use serde::{Deserialize, Serialize};

use super::{Metric, Output, Score};
use crate::RunError;
use crate::runner::Runner;

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

/// What equal outputs count in a mean of decibels: more than f32 can tell apart.
const EQUAL: f64 = 200.0;

impl Sqnr {
    /// The mean over the outputs, in dB.
    pub fn mean(&self) -> f64 {
        self.sqnr.iter().map(|o| o.decibels.unwrap_or(EQUAL)).sum::<f64>() / self.sqnr.len().max(1) as f64
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
    /// `Σt²` and `Σ(t − y)²` of each output, by name.
    sums: Vec<(String, f64, f64)>,
    images: usize,
}

impl Fidelity {
    /// Compares with `reference`, which runs in float.
    pub fn new(reference: QuantGraph) -> Self {
        let runner = Runner::new(Purpose::Inference);
        Fidelity { reference: Network::new(reference), runner, expected: Vec::new(), sums: Vec::new(), images: 0 }
    }
}

impl Metric for Fidelity {
    fn start(&mut self) {
        self.sums.clear();
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
        self.sums.resize(outputs.len(), Default::default());
        for ((sum, y), t) in self.sums.iter_mut().zip(outputs).zip(&self.expected) {
            let (name, signal, noise) = sum;
            name.replace_range(.., y.name);
            *signal += t.iter().map(|t| f64::from(*t).powi(2)).sum::<f64>();
            *noise += t.iter().zip(y.values).map(|(t, y)| (f64::from(*t) - f64::from(*y)).powi(2)).sum::<f64>();
        }
        self.images += batch.size;
        Ok(())
    }

    fn score(&self) -> Option<Score> {
        let sqnr = |(output, signal, noise): &(String, f64, f64)| OutputSqnr {
            output: output.clone(),
            decibels: (*noise > 0.0).then(|| 10.0 * (signal.max(f64::MIN_POSITIVE) / noise).log10()),
        };
        let sqnr: Vec<OutputSqnr> = self.sums.iter().map(sqnr).collect();
        (!sqnr.is_empty()).then_some(Score::Sqnr(Sqnr { sqnr, images: self.images }))
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
