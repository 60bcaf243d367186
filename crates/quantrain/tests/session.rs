//! A session against the trainer, against finite differences, and against itself after a break.

use std::path::Path;
use std::sync::Arc;

use quantrain::loss::{CrossEntropy, Loss};
use quantrain::metric::Output;
use quantrain::optimizer::Optimizer;
use quantrain::recipe::{Recipe, RecipeFile};
use quantrain::{Feed, Labels, Pass, RunError, Session, SessionError, Tensor, Trainer};
use quantrain_data::{Batch, BatchPlan, Loader, ReadOptions};
use quantrain_engine::Network;
use quantrain_graph::{GraphBuilder, QuantGraph};

const EXAMPLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/fashion-mnist");
const BATCH: usize = 16;
const STEPS: usize = 3;

fn recipe(text: &str) -> Recipe {
    let text = format!("model = '{EXAMPLE}/fashion_mobilenet.onnx'\n{text}");
    Recipe::try_from(toml::from_str::<RecipeFile>(&text).unwrap()).unwrap()
}

fn training(quantization: &str) -> Recipe {
    recipe(&format!(
        "target = 'tidl-pow2'\n[quantization]\n{quantization}\n[data]\ncalibration-images = {}\nmean = [0.2860]\nstd = [0.3530]\n[train]\nepochs = 3\nlearning-rate = 0.01\n\
         schedule = 'constant'\nbatch-size = {BATCH}\n",
        BATCH * STEPS
    ))
}

fn loader(recipe: &Recipe) -> Loader {
    let path = format!("{EXAMPLE}/train-images-idx3-ubyte.gz");
    let dataset = Arc::from(quantrain_data::open(Path::new(&path), &ReadOptions::default()).unwrap());
    let plan = BatchPlan { batch_size: BATCH, shuffle: true, drop_last: true, limit: Some(BATCH * STEPS), ..BatchPlan::default() };
    Loader::new(dataset, &recipe.data().preprocess(1), None, plan).unwrap()
}

/// The images and labels of an epoch, in the order of the loader; images of one channel lie alike in both orders.
fn epoch(loader: &Loader, epoch: u64) -> Vec<(Tensor, Vec<i64>)> {
    let tensor = |images| Tensor { shape: vec![BATCH, 1, 28, 28], values: images };
    loader.batches(epoch, 0, 1).map(|batch| batch.unwrap()).map(|batch| (tensor(batch.images), batch.labels)).collect()
}

fn calibrated(recipe: &Recipe, batches: &[(Tensor, Vec<i64>)]) -> Session {
    let mut session = Session::open(recipe.clone()).unwrap();
    let input = session.inputs()[0].name.clone();
    let report = session.calibrate(|| batches.iter().map(|(x, _)| vec![(input.as_str(), x.into())])).unwrap();
    assert_eq!((report.images, report.restored), (BATCH * STEPS, 0));
    session
}

fn step(session: &mut Session, optimizer: &mut Optimizer, rate: f32, (x, labels): &(Tensor, Vec<i64>)) -> f32 {
    let input = session.inputs()[0].name.clone();
    let outputs = session.forward(&[(&input, x.into())], Pass::Training).unwrap();
    let mut gradient = outputs[0].clone();
    let loss = CrossEntropy::default().loss_and_gradient(&outputs[0].values, labels, 10, &mut gradient.values).unwrap();
    session.backward(&[Some((&gradient).into())]).unwrap();
    session.step(optimizer, rate).unwrap();
    loss
}

/// A loop over a session gives the bits that the trainer gives for the same images in the same order, from the first epoch to the last, in
/// which BatchNormalization and ranges are frozen.
#[test]
fn a_loop_of_ones_own_gives_the_trainers_bits() {
    for quantization in ["", "weight-bits = 4\nactivation-bits = 4\nlearn-ranges = 'tqt'", "gradient-path = 'float'"] {
        let recipe = training(quantization);
        let loader = loader(&recipe);
        let graph = quantrain::read(recipe.model()).unwrap();
        let mut network = Network::new(QuantGraph::prepare(graph, recipe.target().clone(), &recipe.settings()).unwrap());
        let observer = recipe.quantization().observer;
        let found = quantrain::calibrate(&mut network, || loader.batches(0, 0, 1), &observer, &mut ()).unwrap();
        let mut trainer = Trainer::new(&recipe, network.into_quant_graph(), Some(found.ranges));
        trainer.fit(&loader, None, &mut (), &mut ()).unwrap();
        let trained = trainer.state();

        let mut session = calibrated(&recipe, &epoch(&loader, 0));
        let mut optimizer = recipe.train().optimizer();
        for e in 0..3 {
            session.epoch(e, 3).unwrap();
            for batch in &epoch(&loader, u64::from(e)) {
                step(&mut session, &mut optimizer, 0.01, batch);
            }
        }
        let state = session.state().unwrap();
        let mut compared = 0;
        for (name, values) in &state.tensors {
            let (_, expected) = trained.tensors.iter().find(|(n, _)| n == name).unwrap();
            assert_eq!(values, expected, "{name} with {quantization}");
            compared += values.len();
        }
        assert!(compared > 10_000, "{compared} values");
        let ranges: Vec<_> = session.ranges().unwrap().into_iter().map(|(tensor, range)| (tensor, range.unwrap())).collect();
        let expected: Vec<_> = trained.position.ranges.iter().map(|(tensor, min, max)| (tensor.clone(), [*min, *max])).collect();
        assert_eq!(ranges, expected);
    }
}

#[test]
fn a_session_goes_on_from_its_checkpoint_with_the_same_bits() {
    let folder = tempfile::tempdir().unwrap();
    let (recipe, file) = (training(""), folder.path().join("state.safetensors"));
    let batches = epoch(&loader(&recipe), 0);
    let mut session = calibrated(&recipe, &batches);
    // Without momentum, which is the optimizer's to keep.
    let plain = || Optimizer::new(quantrain::optimizer::Rule::Sgd(quantrain::optimizer::Sgd { momentum: 0.0, nesterov: false }), 0.0, None);
    step(&mut session, &mut plain(), 0.01, &batches[0]);
    session.save(&file).unwrap();
    let mut again = Session::open(recipe.clone()).unwrap();
    again.load(&file).unwrap();
    for batch in &batches[1..] {
        assert_eq!(step(&mut session, &mut plain(), 0.01, batch), step(&mut again, &mut plain(), 0.01, batch));
    }
    assert_eq!(session.state().unwrap(), again.state().unwrap());
    let mut other = Session::open(training("weight-bits = 4")).unwrap();
    assert!(matches!(other.load(&file), Err(RunError::Checkpoint(_))), "of other settings");
}

/// Gradients of inputs and weights of the float network, against finite differences.
#[test]
fn gradients_are_derivatives() {
    let mut session = Session::open(recipe("[quantization]\nenabled = false\nbatch-norm = 'frozen'\n")).unwrap();
    session.calibrate(|| -> Vec<Vec<(&str, Feed<'_>)>> { unreachable!("a float network wants no samples") }).unwrap();
    session.want_input_gradients(true);
    let input = session.inputs()[0].name.clone();
    let mut x = Tensor { shape: vec![2, 1, 28, 28], values: (0..1568).map(|i| ((i * 37) % 101) as f32 / 101.0).collect() };
    let dy = Tensor { shape: vec![2, 10], values: (0..20).map(|i| ((i * 7) % 5) as f32 - 2.0).collect() };
    let value = |session: &mut Session, x: &Tensor| -> f64 {
        let y = session.forward(&[(&input, x.into())], Pass::Training).unwrap();
        y[0].values.iter().zip(&dy.values).map(|(y, d)| f64::from(*y) * f64::from(*d)).sum()
    };
    value(&mut session, &x);
    let dx = session.backward(&[Some((&dy).into())]).unwrap();
    assert_eq!((dx.len(), &dx[0].shape), (1, &x.shape));
    const STEP: f32 = 1e-3;
    let close = |derivative: f64, gradient: f32, largest: f32, what: &str| {
        assert!(
            (derivative - f64::from(gradient)).abs() < 0.02 * f64::from(largest),
            "{what}: {derivative} against {gradient} of {largest}"
        );
    };
    let magnitude = |values: &[f32]| values.iter().fold(0.0f32, |m, v| m.max(v.abs()));
    for i in [0, 97, 411, 800, 1203, 1500] {
        let (at, mut differences) = (x.values[i], 0.0);
        for sign in [1.0, -1.0] {
            x.values[i] = at + sign * STEP;
            differences += f64::from(sign) * value(&mut session, &x);
        }
        x.values[i] = at;
        close(differences / f64::from(2.0 * STEP), dx[0].values[i], magnitude(&dx[0].values), "input");
    }
    value(&mut session, &x);
    session.backward(&[Some((&dy).into())]).unwrap();
    let gradients: Vec<(String, Tensor, Tensor)> =
        session.parameters().unwrap().iter().map(|p| (p.layout.name.clone(), p.tensor(), p.gradient_tensor())).collect();
    for (name, mut weight, gradient) in gradients.into_iter().filter(|(_, weight, _)| weight.shape.len() > 1) {
        let i = weight.values.len() / 2;
        let (at, mut differences) = (weight.values[i], 0.0);
        for sign in [1.0, -1.0] {
            weight.values[i] = at + sign * STEP;
            session.set_master(&name, &weight).unwrap();
            differences += f64::from(sign) * value(&mut session, &x);
        }
        weight.values[i] = at;
        session.set_master(&name, &weight).unwrap();
        close(differences / f64::from(2.0 * STEP), gradient.values[i], magnitude(&gradient.values), &name);
    }
}

#[test]
fn what_is_exported_computes_what_was_simulated() {
    let recipe = training("");
    let batches = epoch(&loader(&recipe), 0);
    let mut session = calibrated(&recipe, &batches);
    let input = session.inputs()[0].name.clone();
    step(&mut session, &mut recipe.train().optimizer(), 0.01, &batches[0]);
    let found = session.verify(batches.iter().map(|(x, _)| vec![(input.as_str(), x.into())]), None).unwrap();
    assert_eq!((found.images, found.differ_integer), (BATCH * STEPS, 0));
    let mut tally = quantrain::metric::Tally::default();
    for (x, labels) in &batches {
        session.judge(&[(&input, x.into())], Labels::Classes(labels), Pass::Simulated, &mut tally).unwrap();
    }
    assert!(tally.accuracy().images == BATCH * STEPS && tally.accuracy().top1 > 50.0, "{:?}", tally.accuracy());
}

/// A network of two inputs, with a convolution that has no BatchNormalization and is not the last.
fn two_inputs(folder: &Path) -> Session {
    let mut b = GraphBuilder::new("g");
    let (x, z) = (b.input("image", &[2, 3, 4]), b.input("offset", &[3, 3, 4]));
    let y = b.convolution("first", x, 3, [1, 1]).weights(vec![0.5, -1.0, 0.25, 1.0, -0.5, 0.75]).done().unwrap();
    let y = b.add("sum", y, z).unwrap();
    b.output(y);
    quantrain_onnx::write_float(&b.finish().unwrap(), folder.join("two.onnx")).unwrap();
    let file = RecipeFile { model: Some(folder.join("two.onnx")), ..RecipeFile::default() };
    Session::open(file.try_into().unwrap()).unwrap()
}

fn ramp(shape: &[usize]) -> Tensor {
    let count: usize = shape.iter().product();
    Tensor { shape: shape.to_vec(), values: (0..count).map(|i| i as f32 / count as f32 - 0.4).collect() }
}

#[test]
fn images_of_several_channels_and_several_inputs_are_fed_by_name_in_onnx_order() {
    let folder = tempfile::tempdir().unwrap();
    let mut session = two_inputs(folder.path());
    let (x, z) = (ramp(&[2, 2, 3, 4]), ramp(&[2, 3, 3, 4]));
    let y = session.forward(&[("offset", (&z).into()), ("image", (&x).into())], Pass::Float).unwrap().remove(0);
    let at = |t: &Tensor, n: usize, c: usize, p: usize| t.values[(n * t.shape[1] + c) * 12 + p];
    let weights = [[0.5, -1.0], [0.25, 1.0], [-0.5, 0.75]];
    for (n, c, p) in (0..2).flat_map(|n| (0..3).flat_map(move |c| (0..12).map(move |p| (n, c, p)))) {
        let expected = weights[c][0] * at(&x, n, 0, p) + weights[c][1] * at(&x, n, 1, p) + at(&z, n, c, p);
        assert!((at(&y, n, c, p) - expected).abs() < 1e-6);
    }
    let mut last = Vec::new();
    quantrain_engine::in_memory_order(&x.shape, &x.values, &mut last);
    let feed = Feed { shape: &x.shape, values: &last, channels_last: true };
    assert_eq!(session.forward(&[("image", feed), ("offset", (&z).into())], Pass::Float).unwrap().remove(0), y);
}

#[test]
fn what_does_not_fit_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let mut session = two_inputs(folder.path());
    let (x, z) = (ramp(&[2, 2, 3, 4]), ramp(&[2, 3, 3, 4]));
    let (image, offset) = (("image", Feed::from(&x)), ("offset", Feed::from(&z)));
    let message = |session: &mut Session, feeds: &[(&str, Feed<'_>)], pass| session.forward(feeds, pass).unwrap_err().to_string();
    let unknown = message(&mut session, &[("imgae", Feed::from(&x)), offset], Pass::Float);
    assert_eq!(unknown, "no input is named `imgae`, one of image, offset expected; did you mean `image`?");
    assert_eq!(message(&mut session, &[image], Pass::Float), "input `offset` is not fed; feed every input by its name");
    assert_eq!(message(&mut session, &[image, image], Pass::Float), "input `image` is fed twice; feed each input once");
    let other = ramp(&[3, 3, 3, 4]);
    let batches = message(&mut session, &[image, ("offset", Feed::from(&other))], Pass::Float);
    assert_eq!(batches, "input `offset`: shape [3, 3, 3, 4] found, [N, 3, 3, 4] expected", "batches that differ");
    let empty = Tensor { shape: vec![0, 2, 3, 4], values: Vec::new() };
    assert!(message(&mut session, &[("image", Feed::from(&empty)), offset], Pass::Float).contains("[0, 2, 3, 4] found"));
    assert!(message(&mut session, &[image, offset], Pass::Training).contains("calibrate"));

    session.calibrate(|| [vec![image, offset]]).unwrap();
    assert!(matches!(session.backward(&[None]), Err(RunError::Session(SessionError::NoForward))));
    let y = session.forward(&[image, offset], Pass::Training).unwrap().remove(0);
    session.forward(&[image, offset], Pass::Simulated).unwrap();
    assert!(matches!(session.backward(&[Some((&y).into())]), Err(RunError::Session(SessionError::NoForward))), "another pass between");
    session.forward(&[image, offset], Pass::Training).unwrap();
    let wrong = session.backward(&[Some((&x).into())]).unwrap_err().to_string();
    assert_eq!(wrong, "gradient of output `sum`: shape [2, 2, 3, 4] found, [2, 3, 3, 4] expected");
    session.forward(&[image, offset], Pass::Training).unwrap();
    let broken = Tensor { values: vec![f32::NAN; y.values.len()], ..y.clone() };
    let wrong = session.backward(&[Some((&broken).into())]).unwrap_err().to_string();
    assert_eq!(wrong, "the gradient of output `sum` holds NaN or an infinity; is the loss finite?");
    let mut optimizer = session.recipe().train().optimizer();
    assert!(matches!(session.step(&mut optimizer, 0.1), Err(RunError::Session(SessionError::NoBackward))));
    assert!(matches!(session.epoch(3, 3), Err(RunError::Session(SessionError::Epoch { epoch: 3, of: 3 }))));
    assert!(matches!(session.set_master("first/weight", &x), Err(RunError::Session(_))));
}

/// The mean of squares of the first output.
struct Squares;

impl Loss for Squares {
    fn loss(&mut self, _: &Batch, outputs: &[Output<'_>], gradients: &mut [Vec<f32>]) -> Result<f32, RunError> {
        let [output] = outputs else { return Err(RunError::Metric { message: format!("{} outputs found", outputs.len()) }) };
        assert_eq!(output.shape, [BATCH, 10]);
        assert!(gradients[0].iter().all(|g| *g == 0.0) && gradients[0].len() == output.values.len());
        let count = output.values.len() as f32;
        gradients[0].iter_mut().zip(output.values).for_each(|(g, y)| *g = 2.0 * y / count);
        Ok(output.values.iter().map(|y| y * y).sum::<f32>() / count)
    }
}

#[test]
fn the_trainer_minimises_a_loss_of_the_callers() {
    let recipe = training("");
    let loader = loader(&recipe);
    let net = calibrated(&recipe, &epoch(&loader, 0)).into_quant_graph();
    let mut squares = Squares;
    let mut trainer = Trainer::new(&recipe, net, None).minimizing(&mut squares);
    let report = trainer.fit(&loader, None, &mut (), &mut ()).unwrap();
    let losses: Vec<f32> = report.course.epochs.iter().map(|epoch| epoch.loss).collect();
    assert!(losses[2] < 0.5 * losses[0], "{losses:?}");
}
