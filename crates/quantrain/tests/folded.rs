//! A network whose BatchNormalization was folded away trains as well as the one it was made from.

use std::path::{Path, PathBuf};

use quantrain::Job;
use quantrain::metric::Score;
use quantrain::recipe::{Recipe, RecipeFile};
use quantrain_graph::QuantGraph;

/// Images of an evaluation: one is a tenth of a point.
const IMAGES: usize = 1000;

/// Points that the two may differ by here; `docs/folded-networks.md` has all images.
const TOLERANCE: f64 = 1.0;

fn shared(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared").join(name)
}

fn recipe(model: &Path) -> Recipe {
    let data = |name: &str| shared("data").join(name).display().to_string();
    let text = format!(
        "model = '{}'\ntarget = 'tidl-pow2'\n[data]\ntrain = '{}'\neval = '{}'\nmean = [0.485, 0.456, 0.406]\nstd = [0.229, 0.224, 0.225]\n\
         train-images = 1024\neval-images = {IMAGES}\n[train]\nepochs = 2\nbatch-size = 64\nlearning-rate = 0.004\nloss = 'distillation'\n\
         temperature = 4.0\nfreeze-batch-norm-epoch = 1\n",
        model.display(),
        data("cifar10_train.parquet"),
        data("cifar10_test.parquet"),
    );
    Recipe::try_from(toml::from_str::<RecipeFile>(&text).unwrap()).unwrap()
}

/// Percent right after calibration and after training, and the layers that got a BatchNormalization.
fn train(model: &Path) -> (f64, f64, usize) {
    let mut job = Job::for_training(recipe(model)).unwrap();
    job.calibrate(&mut ()).unwrap();
    let calibrated = job.simulated_score(&mut ()).unwrap();
    let trained = job.train(None, &mut (), &mut ()).unwrap().course.epochs.pop().unwrap().score;
    let value = |score: Option<Score>| score.unwrap().value();
    (value(calibrated), value(trained), job.restored_layers())
}

#[test]
fn a_folded_resnet20_trains_as_well_as_the_unfolded() {
    let model = shared("models/resnet20_cifar10.onnx");
    for needed in [&model, &shared("data/cifar10_train.parquet"), &shared("data/cifar10_test.parquet")] {
        if !needed.exists() {
            println!("skipped: a_folded_resnet20_trains_as_well_as_the_unfolded: {}", needed.display());
            return;
        }
    }
    let folder = tempfile::tempdir().unwrap();
    let folded = folder.path().join("folded.onnx");
    quantrain_onnx::write_float_folded(&QuantGraph::float(quantrain_onnx::read(&model).unwrap()), &folded).unwrap();
    let (unfolded, folded) = (train(&model), train(&folded));
    assert_eq!((unfolded.2, folded.2), (0, 19));
    assert!((unfolded.0 - folded.0).abs() <= TOLERANCE, "calibrated: {unfolded:?} {folded:?}");
    assert!((unfolded.1 - folded.1).abs() <= TOLERANCE, "trained: {unfolded:?} {folded:?}");
}
