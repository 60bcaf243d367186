//! Writes every form of a network, for tests-python/check_models.py:
//! `export NETWORK FOLDER TARGET ACTIVATION_BITS WEIGHT_BITS [RANGES.json]`.
//!
//! Ranges come from a JSON object `{"tensor": [min, max]}`; without one every range is [-4, 4].

use std::path::Path;

use quantrain_graph::{QuantGraph, Range, Settings, Target};
use quantrain_onnx::{
    ClipOptions, QdqOptions, read, write_clip, write_encodings, write_float, write_float_folded, write_qdq, write_tidl_settings,
};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [network, folder, target, activation_bits, weight_bits, rest @ ..] = &arguments[..] else {
        return Err("export NETWORK FOLDER TARGET ACTIVATION_BITS WEIGHT_BITS [RANGES.json]".into());
    };
    let ranges: serde_json::Value = match rest.first() {
        Some(path) => serde_json::from_slice(&std::fs::read(path)?)?,
        None => serde_json::Value::Null,
    };
    let graph = read(network)?;
    let stem = Path::new(network).file_stem().unwrap_or_default().to_string_lossy();
    let path = |form: &str| Path::new(folder).join(format!("{stem}.{form}"));
    write_float(&graph, path("float.onnx"))?;
    write_float_folded(&QuantGraph::float(graph.clone()), path("folded.onnx"))?;

    let bits = |text: &str| text.parse().map(Some);
    let settings = Settings { activation_bits: bits(activation_bits)?, weight_bits: bits(weight_bits)?, ..Settings::default() };
    let mut net = QuantGraph::prepare(graph, Target::named(target)?, &settings)?;
    for quantizer in net.quantizers_mut() {
        let limit = |i: usize, default: f64| ranges[&quantizer.tensor][i].as_f64().unwrap_or(default) as f32;
        quantizer.range = Some(Range::new(limit(0, -4.0), limit(1, 4.0)));
    }
    write_qdq(&net, path("qdq.onnx"), &QdqOptions::default())?;
    write_qdq(&net, path("qdq-int4.onnx"), &QdqOptions { int4_weights: true, ..QdqOptions::default() })?;
    write_clip(&net, path("clip.onnx"), &ClipOptions::default())?;
    write_clip(&net, path("clip-quantized.onnx"), &ClipOptions { quantized_weights: true, ..ClipOptions::default() })?;
    write_tidl_settings(&net, path("tidl.txt"))?;
    write_encodings(&net, path("encodings.json"))?;
    Ok(())
}
