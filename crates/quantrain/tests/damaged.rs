//! Damaged recipes, targets and checkpoints: none may make reading them, or what is made of them, panic, hang or take much memory.

use std::collections::HashMap;
use std::fs;

use quantrain::checkpoint::{self, Fingerprint, Identity, network_fingerprint};
use quantrain::recipe::{Overrides, Recipe};
use quantrain::{Position, Runner, restore_network};
use quantrain_damage::{Generator, Trials, bytes, extremes, memory};
use quantrain_engine::{Mode, Network, Purpose};
use quantrain_graph::{GraphBuilder, QuantGraph, Range, Settings, Target};
use safetensors::tensor::{Dtype, TensorView};
use safetensors::{SafeTensors, serialize};
use tempfile::tempdir;

#[global_allocator]
static MEMORY: memory::Counting = memory::Counting;

/// A network of every kind of parameter, calibrated.
fn network(target: Target) -> Option<QuantGraph> {
    let mut b = GraphBuilder::new("tiny");
    let x = b.input("image", &[1, 4, 4]);
    let y = b.convolution("conv", x, 4, [3, 3]).padding([1, 1, 1, 1]).weights(vec![0.25; 36]).bias(vec![0.5; 4]).done().unwrap();
    let y = b.batch_norm("norm", y).unwrap();
    let y = b.relu("relu", y).unwrap();
    let z = b.convolution("depthwise", y, 4, [3, 3]).padding([1, 1, 1, 1]).groups(4).weights(vec![-0.5; 36]).done().unwrap();
    let y = b.add("sum", y, z).unwrap();
    let y = b.global_average_pool("pool", y).unwrap();
    let y = b.flatten("flat", y).unwrap();
    let y = b.gemm("classifier", y, 3, vec![0.1; 12], vec![0.1; 3]).unwrap();
    b.output(y);
    let mut net = QuantGraph::prepare(b.finish().unwrap(), target, &Settings::default()).ok()?;
    net.quantizers_mut().iter_mut().for_each(|q| q.range = Some(Range::new(0.0, 2.0)));
    Some(net)
}

/// Runs a network once, in the target's integers.
fn runs(net: QuantGraph) -> bool {
    let mut network = Network::new(net);
    Runner::new(Purpose::Inference).outputs(&mut network, Mode::SIMULATE, 1, &[&[0.5; 16]], &mut Vec::new()).is_ok()
}

fn recipes(trials: Trials) {
    let folder = tempdir().unwrap();
    let path = folder.path().join("recipe.toml");
    let written = |more: &str| {
        fs::write(&path, format!("model = 'net.onnx'\n{more}")).unwrap();
        Recipe::load(Some(&path), Overrides::default()).unwrap().to_toml()
    };
    let whole = [
        written("[data]\ntrain = 'a.npz'\nresize = [8, 8]\nmean = [0.1, 0.2, 0.3]\nclasses = ['a', 'b']"),
        written(
            "[quantization]\nlearn-ranges = 'lsq'\n[[quantization.layer]]\nname = '*'\nweight-bits = 4\n[refine]\nsteps = ['adaround']",
        ),
    ];
    let make = |generator: &mut Generator| {
        let (text, other) = (generator.pick(&whole), generator.pick(&whole));
        match generator.below(2) {
            0 => bytes::damage(text.clone().into_bytes(), other.as_bytes(), generator),
            _ => extremes(text, '=', generator).into_bytes(),
        }
    };
    trials.run("recipe.toml", &["refused", "loaded"], make, |text| {
        fs::write(&path, text).unwrap();
        let Ok(recipe) = Recipe::load(Some(&path), Overrides::default()).map_err(|error| assert!(!error.to_string().is_empty())) else {
            return 0;
        };
        // What is accepted can be used and written.
        let rates = recipe.train().rate_schedule(10);
        assert!([0, 1, rates.total_steps / 2, rates.total_steps].iter().all(|&step| rates.rate_at(step).is_finite()));
        let _ = (recipe.fingerprint(), recipe.train().optimizer(), recipe.data().preprocess(3), recipe.settings());
        fs::write(&path, recipe.to_toml()).unwrap();
        assert!(Recipe::load(Some(&path), Overrides::default()).is_ok(), "{}", recipe.to_toml());
        1
    });
}

fn targets(trials: Trials) {
    let whole =
        [include_str!("../../quantrain-graph/targets/tidl-pow2.toml"), include_str!("../../quantrain-graph/targets/onnxruntime.toml")];
    let make = |generator: &mut Generator| {
        let (text, other) = (*generator.pick(&whole), *generator.pick(&whole));
        match generator.below(2) {
            0 => String::from_utf8_lossy(&bytes::damage(text.as_bytes().to_vec(), other.as_bytes(), generator)).into_owned(),
            _ => extremes(text, '=', generator),
        }
    };
    trials.run("target.toml", &["refused", "parsed", "placed", "run"], make, |text| {
        let Ok(target) = Target::parse("target.toml", text).map_err(|error| assert!(!error.to_string().is_empty())) else { return 0 };
        let Some(net) = network(target) else { return 1 };
        2 + usize::from(runs(net))
    });
}

fn checkpoints(trials: Trials) {
    let folder = tempdir().unwrap();
    let path = folder.path().join("last.safetensors");
    let net = network(Target::onnxruntime()).unwrap();
    let identity = Identity { network: network_fingerprint(&net), recipe: Fingerprint::of("recipe") };
    let mut position = Position::default();
    (position.step, position.epoch) = (5, 1);
    position.ranges = net.quantizers().iter().map(|q| (q.tensor.clone(), 0.0, 2.0)).collect();
    let mut network = Network::new(net.clone());
    let parameters: Vec<(String, Vec<f32>)> = network.parameters().iter().map(|p| (p.name.to_owned(), p.value.to_vec())).collect();
    let statistics = network.statistics().into_iter().map(|(name, values)| (name.to_owned(), values.to_vec()));
    let tensors: Vec<(String, Vec<f32>)> = parameters.into_iter().chain(statistics).collect();
    checkpoint::write(&path, &identity, &position, &tensors).unwrap();
    let whole = fs::read(&path).unwrap();
    let make = |generator: &mut Generator| match generator.below(2) {
        0 => bytes::damage(whole.clone(), &whole, generator),
        _ => with_hash(&whole, generator),
    };
    trials.run("checkpoint", &["refused", "read", "restored", "run"], make, |file| {
        fs::write(&path, file).unwrap();
        let read = checkpoint::read::<Position>(&path, &identity).map_err(|error| assert!(!error.to_string().is_empty()));
        let Ok((position, tensors)) = read else { return 0 };
        let mut network = Network::new(net.clone());
        if restore_network(&mut network, &position, &tensors).is_err() {
            return 1;
        }
        2 + usize::from(runs(network.into_quant_graph()))
    });
}

/// The checkpoint with other words, and the hash of these: what a hash does not tell.
fn with_hash(whole: &[u8], generator: &mut Generator) -> Vec<u8> {
    let (_, header) = SafeTensors::read_metadata(whole).unwrap();
    let (key, entry) = header.metadata().as_ref().unwrap().iter().next().unwrap();
    let (_, text) = entry.split_once('\n').unwrap();
    let value: serde_json::Value = serde_json::from_str(text).unwrap();
    let text = extremes(&serde_json::to_string_pretty(&value).unwrap(), ':', generator);
    let stored = SafeTensors::deserialize(whole).unwrap();
    let names: Vec<String> = serde_json::from_value(value["tensors"].clone()).unwrap();
    let hash = names.iter().fold(Fingerprint::of(&text), |hash, name| hash.and(name.as_bytes()).and(stored.tensor(name).unwrap().data()));
    let view = |name: &String| {
        let tensor = stored.tensor(name).unwrap();
        (name.clone(), TensorView::new(Dtype::F32, tensor.shape().to_vec(), tensor.data()).unwrap())
    };
    serialize(names.iter().map(view), Some(HashMap::from([(key.clone(), format!("{hash}\n{text}"))]))).unwrap()
}

#[test]
fn a_thousand_damaged_files_of_each_kind_do_no_harm() {
    recipes(Trials::few());
    targets(Trials::few());
    checkpoints(Trials::few());
}

#[test]
#[ignore = "takes minutes"]
fn many_damaged_files_of_each_kind_do_no_harm() {
    recipes(Trials::many());
    targets(Trials::many());
    checkpoints(Trials::many());
}
