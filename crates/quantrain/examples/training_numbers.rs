//! Training steps on raw values, and every number that they make: `training_numbers RECIPE IMAGES GRADIENT RANGES OUT`.
//!
//! IMAGES holds little-endian f32 in ONNX's axis order, as many batches of the recipe's batch size as there are steps; GRADIENT that of the only
//! output in the last step. RANGES is JSON, `{"tensor": [min, max]}`, held still; `{}` observes them as the recipe trains, from nothing. No step
//! changes weights. OUT gets JSON: of every layer the codes it begins with, and of the last step output, ranges, gradients and statistics; beside it
//! lies the file with Clip nodes.
//! `tests-python/devkit.py` compares them with the devkit's.

use std::collections::BTreeMap;
use std::error::Error;
use std::fs;
use std::path::Path;
use std::process::ExitCode;

use quantrain::recipe::{Overrides, Recipe};
use quantrain::{Model, Ranges, Runner};
use quantrain_engine::{Mode, Network, Purpose, Training};
use quantrain_graph::{QuantGraph, Range};
use quantrain_kernels::permute::permute;
use quantrain_onnx::ClipOptions;
use serde_json::{Value, json};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &[String]) -> Result<(), Box<dyn Error>> {
    let [recipe, images, gradient, ranges, out] = arguments else {
        return Err("usage: training_numbers RECIPE IMAGES GRADIENT RANGES OUT".into());
    };
    let recipe = Recipe::load(Some(Path::new(recipe)), Overrides::default())?;
    let model = Model::read(&recipe)?;
    let mut net = model.place(&recipe, model.graph.clone())?;
    quantrain::clip_weights(&mut net, recipe.quantization().clip_weights)?;
    let given: BTreeMap<String, (f32, f32)> = serde_json::from_slice(&fs::read(ranges)?)?;
    for q in net.quantizers_mut() {
        q.range = given.get(&q.tensor).map(|&(min, max)| Range::new(min, max));
    }
    let gradient_path = recipe.quantization().gradient_path.into();
    let batch_norm = recipe.quantization().batch_norm.into();
    let mode = Mode { simulate: true, training: Some(Training { gradient_path, batch_norm }) };
    let batch = recipe.train().batch_size;
    let steps = batches(&net, &fs::read(images)?, batch)?;
    let mut network = Network::new(net);
    let mut runner = Runner::new(Purpose::Training(gradient_path));
    let settings = recipe.quantization().train_observer.filter(|_| given.is_empty());
    let mut observers = settings.map(|settings| Ranges::new(&network, &settings));
    let mut blocks = Value::Null;
    for (step, x) in steps.iter().enumerate() {
        let (plan, workspace) = runner.plan(&network, batch)?;
        if let Some(observers) = observers.as_mut() {
            // Nothing can be simulated before there is a range.
            let mode = if step == 0 { Mode { simulate: false, ..mode } } else { mode };
            network.forward(plan, workspace, mode, &[x], observers)?;
            observers.apply(&mut network)?;
        } else {
            if step == 0 {
                blocks = blocks_of(&mut network)?;
            }
            network.forward(plan, workspace, mode, &[x], &mut ())?;
        }
    }
    let (plan, workspace) = runner.plan(&network, batch)?;
    let output = network.output_in_onnx_order(plan, workspace, 0);
    let gradient = floats(&fs::read(gradient)?);
    if gradient.len() != output.len() {
        return Err(format!("{} gradients given, the output has {} values", gradient.len(), output.len()).into());
    }
    network.backward(plan, workspace, mode, &[&gradient]);
    let gradients: BTreeMap<String, Vec<f32>> = network.parameters().iter().map(|p| (p.name.to_owned(), p.gradient.to_vec())).collect();
    let statistics: BTreeMap<String, Vec<f32>> = network.statistics().into_iter().map(|(name, v)| (name.to_owned(), v.to_vec())).collect();
    let mut quantizers = BTreeMap::new();
    for q in network.quant_graph().quantizers() {
        let found = q.quantizer()?.ok_or("a quantizer without a range")?;
        let range = q.range.unwrap_or(found.range());
        quantizers.insert(q.tensor.clone(), json!({ "range": [range.min, range.max], "scale": found.scale(), "lowest": found.qmin() }));
    }
    let all = json!({
        "blocks": blocks, "output": output, "quantizers": quantizers, "gradients": gradients, "statistics": statistics,
    });
    fs::write(out, serde_json::to_vec(&all)?)?;
    network.store();
    quantrain_onnx::write_clip(network.quant_graph(), Path::new(out).with_extension("clip.onnx"), &ClipOptions::default())?;
    Ok(())
}

/// The integers of every layer, by the name of its node.
fn blocks_of(network: &mut Network) -> Result<Value, Box<dyn Error>> {
    network.store();
    let net = network.quant_graph();
    let mut all = serde_json::Map::new();
    for (u, unit) in net.units().iter().enumerate() {
        let (Some(block), Some(folded)) = (net.quantized_block(u)?, net.folded(u)) else { continue };
        let scales: Vec<f32> = block.weight.quantizers.iter().map(|q| q.scale()).collect();
        let of_block = json!({
            "weights": block.weight.codes, "scales": scales, "bias": block.bias, "input_scale": block.input.scale(), "folded_bias": folded.bias,
        });
        all.insert(net.graph().node(unit.core).name.clone(), of_block);
    }
    Ok(Value::Object(all))
}

/// Batches as they lie in the engine's memory: images NHWC.
fn batches(net: &QuantGraph, bytes: &[u8], batch: usize) -> Result<Vec<Vec<f32>>, Box<dyn Error>> {
    let [tensor] = net.graph().inputs() else { return Err("a network of one input is needed".into()) };
    let shape = net.graph().tensor(*tensor).shape.at(batch);
    let (values, len) = (floats(bytes), shape.iter().product::<usize>());
    if len == 0 || values.is_empty() || values.len() % len != 0 {
        return Err(format!("{} values found, whole batches of {shape:?} expected", values.len()).into());
    }
    let physical = |images: &[f32]| {
        let mut moved = vec![0.0; len];
        permute(images, &shape, &[0, 2, 3, 1], &mut moved);
        moved
    };
    Ok(values.chunks_exact(len).map(physical).collect())
}

fn floats(bytes: &[u8]) -> Vec<f32> {
    bytes.as_chunks().0.iter().map(|&b| f32::from_le_bytes(b)).collect()
}
