//! The next steps that the figures of a run suggest.

use quantrain::statistics::{LayerStatistics, NetworkStatistics};
use serde::Serialize;
use serde_json::Value;

use crate::Run;

/// A step, with what to write into the recipe.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Advice {
    /// What the figures say, and what may help.
    pub text: String,
    /// Lines to paste.
    pub recipe: String,
}

/// Steps that are told at most.
const MOST: usize = 3;

/// Points of accuracy, in percent, whose loss is worth a step.
const WORTH: f64 = 0.5;

/// SQNR in dB of a layer's output above which nobody would notice that it is quantized.
const FINE: f64 = 40.0;

/// Share of values beyond a range that is much.
const CUT: f64 = 0.005;

/// What to try next, the most promising first; nothing where the exported network is as good as the float one.
pub fn advice(run: &Run) -> Vec<Advice> {
    let exported = run.summary.get("exported").and_then(|exported| exported.get("score"));
    if exported.and_then(|score| lost(&run.summary, score)).is_some_and(|points| points <= WORTH) {
        return Vec::new();
    }
    let mut found = Vec::new();
    found.extend(refinement(&run.summary));
    if let Some(statistics) = &run.statistics {
        found.extend(layer(statistics));
        found.extend(cut_off(statistics));
    }
    found.extend(training(&run.summary));
    found.truncate(MOST);
    found
}

/// How much the float network is better than another one of the summary, in points of its first figure.
fn lost(summary: &Value, network: &Value) -> Option<f64> {
    let value = |score: &Value| ["top1", "mean_iou"].iter().find_map(|key| score.get(key)).and_then(Value::as_f64);
    Some(value(summary.get("float")?)? - value(network)?)
}

/// Where calibration loses, refinement needs neither labels nor a training.
fn refinement(summary: &Value) -> Option<Advice> {
    if summary.get("refinement").is_some() {
        return None;
    }
    let points = lost(summary, summary.get("ptq")?).filter(|points| *points > WORTH)?;
    let text = format!("Calibration loses {points:.2} points. Refinement needs no labels and takes minutes.");
    let recipe = "[refine]\nsteps = [\"equalization\", \"weight-clipping\", \"bias-correction\", \"adaround\"]".to_owned();
    Some(Advice { text, recipe })
}

/// Where a run without training loses.
fn training(summary: &Value) -> Option<Advice> {
    if summary.get("epochs").is_some() {
        return None;
    }
    let network = summary.get("exported").and_then(|exported| exported.get("score"))?;
    let points = lost(summary, network).filter(|points| *points > WORTH)?;
    let text = format!("The exported network is {points:.2} points below float. `quantrain train` with this recipe may win that back.");
    Some(Advice { text, recipe: "[train]\nepochs = 2".to_owned() })
}

/// The layer that adds most noise to what it reads.
fn layer(statistics: &NetworkStatistics) -> Option<Advice> {
    let added = |layer: &LayerStatistics| {
        noise(statistics, layer) - layer.inputs.iter().map(|&i| noise(statistics, &statistics.layers[i])).fold(0.0, f64::max)
    };
    let worst = statistics.layers.iter().filter(|layer| layer.tensor.is_some()).max_by(|a, b| added(a).total_cmp(&added(b)))?;
    let tensor = statistics.tensors.get(worst.tensor?)?;
    let sqnr = tensor.sqnr.filter(|sqnr| *sqnr < FINE)?;
    let (what, key) = match &worst.weights {
        Some(weights) if weights.bits < 8 && weights.sqnr.is_some_and(|own| own < 30.0) => {
            (format!("its weights have {} bits", weights.bits), "weight-bits = 8")
        }
        _ if tensor.bits < 8 => (format!("its output has {} bits", tensor.bits), "activation-bits = 8"),
        _ => ("it may stay in float".to_owned(), "float = true"),
    };
    let text = format!("{} adds most noise: {sqnr:.1} dB are left of its output, and {what}.", worst.node);
    let recipe = format!("[[quantization.layer]]\nname = {}\n{key}", toml::Value::String(worst.node.clone()));
    Some(Advice { text, recipe })
}

/// Noise over signal of a layer's output; 0 where it is float, or equal.
fn noise(statistics: &NetworkStatistics, layer: &LayerStatistics) -> f64 {
    let sqnr = layer.tensor.and_then(|t| statistics.tensors.get(t)).and_then(|tensor| tensor.sqnr);
    sqnr.map_or(0.0, |decibels| 10f64.powf(-decibels / 10.0))
}

/// A range that cuts much of what it is for.
fn cut_off(statistics: &NetworkStatistics) -> Option<Advice> {
    let share = |t: &&quantrain::statistics::TensorStatistics| t.below + t.above;
    let worst = statistics.tensors.iter().max_by(|a, b| share(a).total_cmp(&share(b))).filter(|t| share(t) > CUT)?;
    let text =
        format!("{:.1} % of `{}` lie beyond its range. Another observer may choose a wider one.", 100.0 * share(&worst), worst.tensor);
    Some(Advice { text, recipe: "[quantization]\nobserver = \"min-max\"".to_owned() })
}
