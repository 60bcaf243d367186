//! What a training does beside a step: batches in parts, against whole ones; averages of the parameters, against their formula; early ends; and
//! each against itself after a break.

use std::path::Path;
use std::sync::Arc;

use quantrain::metric::{Figure, Measured, Metric, Output, Score};
use quantrain::recipe::{Recipe, RecipeFile};
use quantrain::{Keeper, LogLine, RunError, TrainState, Trainer};
use quantrain_data::{Batch, BatchPlan, Loader, ReadOptions};
use quantrain_engine::Network;
use quantrain_graph::QuantGraph;

const EXAMPLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/fashion-mnist");
/// Two steps of 16 and one of 10.
const IMAGES: usize = 42;

/// Statistics of a batch would be those of its parts.
fn recipe(epochs: u32, quantization: &str, train: &str) -> Recipe {
    let text = format!(
        "model = '{EXAMPLE}/fashion_mobilenet.onnx'\ntarget = 'tidl-pow2'\n[quantization]\nbatch-norm = 'frozen'\n{quantization}\n\
         [data]\ncalibration-images = {IMAGES}\nmean = [0.2860]\nstd = [0.3530]\n\
         [train]\nepochs = {epochs}\nlearning-rate = 0.01\nschedule = 'constant'\nlast-batch = 'keep'\nbatch-size = 16\n{train}\n"
    );
    Recipe::try_from(toml::from_str::<RecipeFile>(&text).unwrap()).unwrap()
}

fn loader(recipe: &Recipe) -> Loader {
    let path = format!("{EXAMPLE}/train-images-idx3-ubyte.gz");
    let dataset = Arc::from(quantrain_data::open(Path::new(&path), &ReadOptions::default()).unwrap());
    let train = recipe.train();
    let plan = BatchPlan {
        batch_size: train.micro_batch,
        batches_per_step: train.parts(),
        shuffle: true,
        limit: Some(IMAGES),
        ..BatchPlan::default()
    };
    Loader::new(dataset, &recipe.data().preprocess(1), None, plan).unwrap()
}

fn trainer<'r>(recipe: &'r Recipe, loader: &Loader) -> Trainer<'r> {
    let graph = quantrain::read(recipe.model()).unwrap();
    let mut network = Network::new(QuantGraph::prepare(graph, recipe.target().clone(), &recipe.settings()).unwrap());
    let found = quantrain::calibrate(&mut network, || loader.batches(0, 0, 1), &recipe.quantization().observer, &mut ()).unwrap();
    Trainer::new(recipe, network.into_quant_graph(), Some(found.ranges))
}

/// Keeps every state.
#[derive(Default)]
struct All(Vec<TrainState>);

impl Keeper for All {
    fn log(&mut self, _: &LogLine) -> Result<(), RunError> {
        Ok(())
    }

    fn keep(&mut self, state: &TrainState, _: bool) -> Result<(), RunError> {
        self.0.push(state.clone());
        Ok(())
    }
}

/// What of values moved by `from` is apart: the largest difference in shares of the largest movement.
fn apart(a: &TrainState, b: &TrainState, start: &TrainState) -> f32 {
    let (mut difference, mut movement) = (0.0f32, 0.0f32);
    for ((name, a), (_, start)) in a.tensors.iter().zip(&start.tensors) {
        let (_, b) = b.tensors.iter().find(|(n, _)| n == name).unwrap();
        for ((a, b), start) in a.iter().zip(b).zip(start) {
            difference = difference.max((a - b).abs());
            movement = movement.max((a - start).abs());
        }
    }
    difference / movement
}

#[test]
fn parts_of_a_step_have_its_gradient() {
    // In float over three steps, one of which is not full; with integers over the first, after which a last bit may turn a code.
    for (epochs, steps, quantization) in [
        (1, 3, "enabled = false"),
        (1, 1, "gradient-path = 'float'"),
        (1, 1, "weight-bits = 4\nlearn-ranges = 'tqt'\nlearn-weight-ranges = true"),
    ] {
        let run = |micro: &str| {
            let recipe = recipe(epochs, quantization, &format!("checkpoint-every = 1\n{micro}"));
            let (loader, mut kept) = (loader(&recipe), All::default());
            let mut trainer = trainer(&recipe, &loader);
            let report = trainer.fit(&loader, None, &mut kept, &mut ()).unwrap();
            assert_eq!(report.steps, 3);
            (kept.0, report.course.epochs[0].loss)
        };
        let (whole, loss) = run("");
        for micro in [4, 1] {
            let (parts, loss_of_parts) = run(&format!("micro-batch = {micro}"));
            let found = apart(&whole[steps], &parts[steps], &whole[0]);
            assert!(found < 1e-4, "{quantization}, parts of {micro}: {found}");
            assert!((loss - loss_of_parts).abs() < 1e-2 * loss, "{loss} {loss_of_parts}");
            for ((tensor, min, max), (_, a, b)) in whole[steps].position.ranges.iter().zip(&parts[steps].position.ranges) {
                assert!((min - a).abs() + (max - b).abs() < 1e-4 * (max - min), "{tensor}: [{min}, {max}] and [{a}, {b}]");
            }
        }
    }
}

/// Of the parameters of a state: name and values, averages with the first prefix, last values with the second.
fn parameters<'s>(state: &'s TrainState, prefix: &str) -> Vec<(&'s str, &'s [f32])> {
    state.tensors.iter().filter_map(|(name, values)| Some((name.strip_prefix(prefix)?, values.as_slice()))).collect()
}

#[test]
fn the_average_is_that_of_its_formula() {
    let recipe = recipe(2, "", "checkpoint-every = 1\nema-decay = 0.3\n[export]\ncheckpoint = 'last'");
    let (loader, mut kept) = (loader(&recipe), All::default());
    let mut trainer = trainer(&recipe, &loader);
    trainer.fit(&loader, None, &mut kept, &mut ()).unwrap();
    let mut expected: Vec<Vec<f64>> =
        parameters(&kept.0[0], "last/").iter().map(|(_, values)| values.iter().map(|v| f64::from(*v)).collect()).collect();
    let mut step = 0;
    for state in kept.0.iter().filter(|state| state.position.step > 0) {
        let (averages, last) = (parameters(state, "parameter/"), parameters(state, "last/"));
        assert!(averages.len() > 20 && averages.len() == last.len());
        // The state after an epoch is that of its last step.
        if state.position.step > step {
            step = state.position.step;
            let kept = f64::min(0.3, (1.0 + step as f64) / (10.0 + step as f64));
            for (average, (_, last)) in expected.iter_mut().zip(&last) {
                average.iter_mut().zip(*last).for_each(|(average, value)| *average = kept * *average + (1.0 - kept) * f64::from(*value));
            }
        }
        for (((name, found), expected), (_, last)) in averages.iter().zip(&expected).zip(&last) {
            assert!(found.iter().zip(expected).all(|(a, b)| (f64::from(*a) - b).abs() < 1e-6 * b.abs().max(1.0)), "{name}");
            assert!(step == 0 || found != last || found.iter().all(|v| *v == 0.0) || found.len() < 100, "{name}");
        }
    }
    assert_eq!(step, 6);
    let exported = trainer.state();
    assert_eq!(parameters(&exported, "parameter/"), parameters(kept.0.last().unwrap(), "parameter/"));
    assert!(parameters(&exported, "last/").is_empty());
}

/// Scores that are given, one for each time that it is asked.
struct Given {
    scores: Vec<f64>,
    asked: usize,
}

impl Metric for Given {
    fn start(&mut self) {
        self.asked += 1;
    }

    fn add(&mut self, _: &Batch, _: &[Output<'_>]) -> Result<(), RunError> {
        Ok(())
    }

    fn score(&self) -> Option<Score> {
        let value = *self.scores.get(self.asked - 1)?;
        Some(Score::Measured(Measured { figures: vec![Figure { name: "given".into(), value }], images: IMAGES }))
    }
}

#[test]
fn a_training_that_helps_no_more_ends_early() {
    // Before the first step, and after each epoch.
    for (scores, epochs, exported) in [(vec![1.0, 3.0, 2.0, 2.5, 9.0, 9.0], 3, 1), (vec![1.0, 2.0, 3.0, 4.0, 5.0, 6.0], 5, 5)] {
        let recipe = recipe(5, "", "patience = 2");
        let (loader, mut metric) = (loader(&recipe), Given { scores, asked: 0 });
        let mut trainer = trainer(&recipe, &loader);
        let report = trainer.fit(&loader, Some((&loader, &mut metric)), &mut (), &mut ()).unwrap();
        assert_eq!((report.course.epochs.len(), report.exported, report.stopped), (epochs, exported, false));
    }
}

#[test]
fn trainings_in_parts_and_with_averages_go_on_with_the_same_bits() {
    let recipe = recipe(2, "", "checkpoint-every = 1\nmicro-batch = 4\nema-decay = 0.5");
    let (loader, mut kept) = (loader(&recipe), All::default());
    let mut whole = trainer(&recipe, &loader);
    whole.fit(&loader, None, &mut kept, &mut ()).unwrap();
    let end = whole.state();
    for state in kept.0.iter().filter(|state| [1, 2, 4].contains(&state.position.step)) {
        let mut again = trainer(&recipe, &loader);
        again.restore(state.clone()).unwrap();
        again.fit(&loader, None, &mut (), &mut ()).unwrap();
        assert_eq!(again.state(), end, "from step {}", state.position.step);
    }
}

#[test]
fn a_part_divides_the_step() {
    for (micro, text) in [(5, "5"), (0, "0"), (32, "32")] {
        let file = toml::from_str::<RecipeFile>(&format!("model = 'm.onnx'\n[train]\nbatch-size = 16\nmicro-batch = {micro}\n")).unwrap();
        let error = Recipe::try_from(file).unwrap_err().to_string();
        assert!(error.contains("train.micro-batch") && error.contains(text) && error.contains("a divisor of train.batch-size"), "{error}");
    }
}
