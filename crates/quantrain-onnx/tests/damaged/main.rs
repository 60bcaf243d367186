//! Damaged files: networks with bytes flipped, cut and spliced, and with extents, types, names, edges and attributes that make no sense.
//!
//! None of them may make reading, placing quantizers, planning, inspecting or running panic, hang, or take much memory. `cargo test` runs a
//! share; `quantrain-damage` says how to run more.

mod grow;
mod large;
mod structure;
mod walk;

#[path = "../../src/proto.rs"]
#[allow(dead_code, reason = "the tests change some messages only")]
mod proto;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use prost::Message;
use proto::{ModelProto, StringStringEntryProto};
use quantrain_damage::{Generator, Trials, alone, bytes, memory};
use quantrain_engine::{EngineError, Plan, Purpose};
use quantrain_graph::{QuantGraph, Range, Settings, Target};
use walk::Step;

#[global_allocator]
static MEMORY: memory::Counting = memory::Counting;

/// What a file may take. The largest network here has 22 MiB.
const ALLOWANCE: usize = 384 << 20;
/// Networks beyond this size take most of the time; few files are made of them.
const LARGE: usize = 4 << 20;

#[test]
fn a_thousand_damaged_files_do_no_harm() {
    check(Trials::few().with_allowance(ALLOWANCE));
}

#[test]
fn a_thousand_models_with_damaged_external_data_do_no_harm() {
    check_external(Trials::few());
}

#[test]
#[ignore = "takes minutes; the command is at the head of quantrain-damage"]
fn many_damaged_files_do_no_harm() {
    check(Trials::many().with_allowance(ALLOWANCE));
    check_external(Trials::many());
}

#[test]
fn a_network_of_many_nodes_takes_time_in_proportion() {
    // Were anything quadratic, ten times the nodes would take a hundred times as long.
    let _alone = alone();
    let time = |nodes| {
        let bytes = large::network(nodes);
        let started = Instant::now();
        assert!(matches!(walk::walk(&bytes), Step::Planned | Step::Run));
        started.elapsed()
    };
    let (few, many) = (time(5_000), time(50_000));
    assert!(many < 40 * few.max(Duration::from_millis(1)), "{few:?}, {many:?}");
}

#[test]
fn what_takes_too_much_memory_is_refused_before_it_is_taken() {
    let _alone = alone();
    for (bytes, tensor) in [(large::padded(1 << 30), "padded"), (large::resized(), "tall"), (large::multiplied(), "many")] {
        let before = memory::start();
        let graph = quantrain_onnx::read_bytes("large.onnx", &bytes).unwrap();
        let net = QuantGraph::prepare(graph, Target::onnxruntime(), &Settings::default()).unwrap();
        match Plan::new(&net, 1, Purpose::Inference).map(|_| ()) {
            Err(EngineError::Memory(error)) => assert_eq!(error.tensor, tensor),
            other => panic!("{tensor}: {other:?}"),
        }
        assert!(memory::peak() - before < 64 << 20, "{tensor}: {} bytes", memory::peak() - before);
    }
}

#[test]
fn shapes_whose_products_leave_64_bits_are_refused() {
    let error = quantrain_onnx::read_bytes("large.onnx", &large::tiled_thrice(1 << 30)).unwrap_err();
    assert!(error.to_string().contains("more elements than any memory holds"), "{error}");
}

fn check(trials: Trials) {
    let networks = networks();
    trials.run("ONNX", &walk::STEPS, |generator| damaged(&networks, generator), |bytes| walk::walk(bytes) as usize);
}

/// The networks in the repository, and those beside it.
fn networks() -> Vec<Vec<u8>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let shared = root.join("../shared/models");
    let mut found: Vec<PathBuf> = vec![root.join("examples/fashion-mnist/fashion_mobilenet.onnx")];
    match fs::read_dir(&shared) {
        Ok(entries) => found.extend(entries.filter_map(|e| Some(e.ok()?.path())).filter(|p| p.extension().is_some_and(|e| e == "onnx"))),
        Err(_) => println!("skipped: the networks of {} are missing", shared.display()),
    }
    found.sort();
    let mut networks: Vec<Vec<u8>> = found.iter().map(|path| fs::read(path).expect("networks can be read")).collect();
    let smallest = networks.iter().min_by_key(|network| network.len()).map(|network| quantized(network));
    networks.extend(smallest);
    networks
}

/// A damaged file.
fn damaged(networks: &[Vec<u8>], generator: &mut Generator) -> Vec<u8> {
    let small: Vec<&Vec<u8>> = networks.iter().filter(|n| n.len() <= LARGE).collect();
    let network = if generator.below(50) == 0 { generator.pick(networks) } else { *generator.pick(&small) };
    if generator.below(2) == 0 {
        let other = *generator.pick(&small);
        bytes::damage(network.clone(), other, generator)
    } else {
        structure::damage(network, generator)
    }
}

/// A network of quantizers, as this project writes it.
fn quantized(file: &[u8]) -> Vec<u8> {
    let graph = quantrain_onnx::read_bytes("whole.onnx", file).expect("the networks are whole");
    let mut net = QuantGraph::prepare(graph, Target::onnxruntime(), &Settings::default()).expect("the target takes it");
    net.quantizers_mut().iter_mut().for_each(|q| q.range = Some(Range::new(-1.0, 1.0)));
    let path = tempfile::tempdir().expect("a temporary folder");
    let path = path.path().join("model.onnx");
    quantrain_onnx::write_qdq(&net, &path, &quantrain_onnx::QdqOptions::default()).expect("a file");
    fs::read(path).expect("a file")
}

/// A model and the file of its weights, damaged: a model whose tensors say where they lie, or bytes that are cut.
fn external(file: &[u8], generator: &mut Generator) -> (Vec<u8>, Vec<u8>) {
    let mut model = ModelProto::decode(file).expect("the networks are whole");
    let mut data = Vec::new();
    let entry = |key: &str, value: String| StringStringEntryProto { key: Some(key.into()), value: Some(value) };
    let tensors = model.graph.as_ref().map_or(0, |graph| graph.initializer.len());
    // One tensor says what is wrong; seldom none.
    let wrong = generator.below(tensors + tensors / 4);
    for (at, tensor) in model.graph.iter_mut().flat_map(|graph| &mut graph.initializer).enumerate() {
        let Some(raw) = tensor.raw_data.take() else { continue };
        let mut entries = [("location", "weights".to_owned()), ("offset", data.len().to_string()), ("length", raw.len().to_string())];
        if at == wrong {
            let places = ["../weights", "/dev/zero", "", ".", "missing", "a\u{0}b", "weights/", "./weights"];
            let numbers = ["", "-1", "1e3", "18446744073709551616", "18446744073709551615", " 4", "\u{1b}[31m"];
            match generator.below(4) {
                0 => entries[0].1 = (*generator.pick(&places)).to_owned(),
                1 => entries[1 + generator.below(2)].1 = (*generator.pick(&numbers)).to_owned(),
                _ => entries[1 + generator.below(2)].1 = generator.integer().to_string(),
            }
        }
        tensor.external_data = entries.map(|(key, value)| entry(key, value)).into();
        tensor.data_location = Some(1);
        data.extend(raw);
    }
    if generator.below(4) == 0 {
        data.truncate(generator.below(data.len()));
    }
    (model.encode_to_vec(), data)
}

fn check_external(trials: Trials) {
    let networks = networks();
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (model, weights) = (folder.path().join("model.onnx"), folder.path().join("weights"));
    let small = networks.iter().min_by_key(|network| network.len()).expect("there is one");
    trials.run(
        "external data",
        &["refused", "read"],
        |generator| external(small, generator),
        |(bytes, data)| {
            fs::write(&model, bytes).and_then(|()| fs::write(&weights, data)).expect("files");
            usize::from(quantrain_onnx::read(&model).map_err(|error| assert!(!error.to_string().is_empty())).is_ok())
        },
    );
}
