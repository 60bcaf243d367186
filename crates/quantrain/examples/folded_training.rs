//! Does a network whose BatchNormalization was folded away train as well as the one it was made from? `folded_training RECIPE`
//!
//! Trains the recipe's network three times: as it is, folded with BatchNormalization restored, and folded without. docs/folded-networks.md
//! has the figures of `folded_training examples/resnet20/folded.toml`.

use std::error::Error;
use std::path::Path;

use quantrain::Job;
use quantrain::recipe::{Overrides, Recipe, RecipeFile};
use quantrain_graph::QuantGraph;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [path] = &arguments[..] else { return Err("usage: folded_training RECIPE".into()) };
    let recipe = Recipe::load(Some(Path::new(path)), Overrides::default())?;
    let folded = std::env::temp_dir().join(format!("folded-{}.onnx", std::process::id()));
    quantrain_onnx::write_float_folded(&QuantGraph::float(quantrain::read(recipe.model())?), &folded)?;
    let with = |model: &Path, restore: bool| -> Result<Recipe, Box<dyn Error>> {
        let mut file: RecipeFile = toml::from_str(&recipe.to_toml())?;
        file.model = Some(model.into());
        file.quantization.restore_batch_norm = Some(restore);
        Ok(Recipe::try_from(file)?)
    };
    println!("{:<28}  {:>10}  {:>10}  {:>10}", "network", "float", "calibrated", "trained");
    for (name, recipe) in
        [("as it is", with(recipe.model(), true)?), ("folded, restored", with(&folded, true)?), ("folded", with(&folded, false)?)]
    {
        let mut job = Job::for_training(recipe)?;
        let float = job.float_score(&mut ())?;
        job.calibrate(&mut ())?;
        let calibrated = job.simulated_score(&mut ())?;
        let trained = job.train(None, &mut (), &mut ());
        let value = |score: Option<quantrain::metric::Score>| score.map_or("no labels".into(), |s| format!("{:.2} %", s.value()));
        let (trained, restored) =
            (trained.map_or_else(|error| error.to_string(), |report| value(report.score().cloned())), job.restored_layers());
        let name = if restored > 0 { format!("{name} ({restored} layers)") } else { name.into() };
        println!("{name:<28}  {:>10}  {:>10}  {trained:>10}", value(float), value(calibrated));
    }
    std::fs::remove_file(&folded)?;
    Ok(())
}
