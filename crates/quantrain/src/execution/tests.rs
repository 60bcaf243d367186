use std::path::{Path, PathBuf};

use quantrain_data::Batch;
use quantrain_engine::Plan;
use quantrain_graph::{Graph, Settings, Target};

use super::*;
use crate::calibrate::calibrate;
use crate::image_size;
use crate::observe::{ObserverKind, ObserverSettings};
use crate::test_data::noise;

/// The networks of ../shared/models that are here; a fixed text is told for those that are not.
fn networks() -> Vec<(String, Graph)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/models");
    let files = std::fs::read_dir(&folder).into_iter().flatten().flatten().map(|entry| entry.path());
    let mut files: Vec<PathBuf> = files.filter(|file| file.extension().is_some_and(|e| e == "onnx")).collect();
    files.sort();
    if files.is_empty() {
        println!("skipped: no networks in {}", folder.display());
    }
    files.iter().map(|file| (file.file_stem().unwrap_or_default().to_string_lossy().into_owned(), crate::read(file).unwrap())).collect()
}

fn batch(graph: &Graph, size: usize) -> Batch {
    let [height, width, channels] = image_size(graph).unwrap();
    Batch { images: noise(7, size * height * width * channels), size, height, width, channels, ..Batch::default() }
}

#[test]
fn the_integer_program_gives_the_figures_of_the_simulation() {
    let settings = ObserverSettings::new(ObserverKind::MinMax);
    for (name, graph) in networks() {
        for target in ["onnxruntime", "tidl-pow2"] {
            let net = QuantGraph::prepare(graph.clone(), Target::named(target).unwrap(), &Settings::default()).unwrap();
            let batch = batch(&graph, 2);
            let mut network = Network::new(net);
            calibrate(&mut network, || [Ok(batch.clone())].into_iter(), &settings, &mut ()).unwrap();
            let (mut found, mut expected) = (Vec::new(), Vec::new());
            let mut executor = Executor::new(&mut network, Mode::SIMULATE);
            let is_whole = executor.execution() == Execution::IntegerProgram;
            // Of one network for TIDL some blocks need sums of 64 bits, or stay in float.
            assert!(is_whole || target == "tidl-pow2", "{name} for {target}: {:?}", executor.execution());
            executor.outputs(batch.size, &[&batch.images], &mut found).unwrap();
            Runner::new(Purpose::Inference).outputs(&mut network, Mode::SIMULATE, batch.size, &[&batch.images], &mut expected).unwrap();
            assert_eq!(found, expected, "{name} for {target}");
        }
    }
}

#[test]
fn what_a_batch_is_cut_into_changes_no_bit() {
    for (name, graph) in networks() {
        let batch = batch(&graph, 3);
        let mut network = Network::new(QuantGraph::float(graph));
        let mut runner = Runner::new(Purpose::Inference);
        let mut one_by_one = Vec::new();
        for image in batch.images.chunks(batch.images.len() / batch.size) {
            let at = runner.output(&mut network, Mode::FLOAT, 1, image, 0, &mut ()).unwrap();
            one_by_one.extend(at.into_iter().map(f32::to_bits));
        }
        let plan = Plan::new(network.quant_graph(), batch.size, Purpose::Inference).unwrap();
        let mut workspace = quantrain_engine::Workspace::new(&plan);
        network.forward(&plan, &mut workspace, Mode::FLOAT, &[&batch.images], &mut ()).unwrap();
        let whole: Vec<u32> = network.output(&plan, &workspace, 0).into_iter().map(f32::to_bits).collect();
        assert_eq!(one_by_one, whole, "{name}");
    }
}

#[test]
fn what_does_not_lower_whole_is_simulated() {
    let mut b = quantrain_graph::GraphBuilder::new("g");
    let x = b.input("x", &[2, 3, 3]);
    let y = b.convolution("y", x, 2, [1, 1]).weights(vec![0.5, -0.25, 1.0, 0.75]).done().unwrap();
    b.output(y);
    let graph = b.finish().unwrap();
    for (bits, expected) in [(8, Execution::IntegerProgram), (16, Execution::Simulation)] {
        let settings = Settings { weight_bits: Some(bits), activation_bits: Some(bits), ..Settings::default() };
        let mut net = QuantGraph::prepare(graph.clone(), Target::tidl_pow2(), &settings).unwrap();
        net.quantizers_mut().iter_mut().for_each(|q| q.range = Some(quantrain_graph::Range::new(-1.0, 1.0)));
        assert_eq!(Executor::new(&mut Network::new(net), Mode::SIMULATE).execution(), expected, "{bits} bits");
    }
    let mut float = Network::new(QuantGraph::float(graph));
    assert_eq!(Executor::new(&mut float, Mode::FLOAT).execution(), Execution::Float);
}
