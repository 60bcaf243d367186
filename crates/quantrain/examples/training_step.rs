//! Times a training step (forward, cross entropy, backward), as ../shared/bench/pytorch_step.py does for PyTorch:
//! `training_step MODEL BATCH MODE STEPS THREADS`, with MODE `float`, `quantized` or `float-path`.
//!
//! `quantized` and `float-path` are quantization-aware steps along either gradient path, with BatchNorm `corrected` and moving-average
//! ranges, which is what PyTorch's pt2e computes. Prints one line. `cargo xtask compare` runs it.

use std::error::Error;
use std::path::Path;
use std::time::Instant;

use quantrain::loss::CrossEntropy;
use quantrain::observe::{ObserverKind, ObserverSettings};
use quantrain::{Ranges, Runner};
use quantrain_engine::{BatchNormMode, GradientPath, Mode, Network, Purpose, Training};
use quantrain_graph::{QuantGraph, Settings, Target};

/// Steps before the clock starts: pages are fresh, and ranges come from the first.
const WARM_UP: usize = 3;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [model, batch, mode, steps, threads] = &arguments[..] else {
        return Err("usage: training_step MODEL BATCH float|quantized|float-path STEPS THREADS".into());
    };
    let (batch, steps, threads): (usize, usize, usize) = (batch.parse()?, steps.parse()?, threads.parse()?);
    let gradient_path = match mode.as_str() {
        "float" | "quantized" => GradientPath::Quantized,
        "float-path" => GradientPath::Float,
        other => return Err(format!("mode `{other}`: expected float, quantized or float-path").into()),
    };
    rayon::ThreadPoolBuilder::new().num_threads(threads).build_global()?;

    let graph = quantrain::read(Path::new(model))?;
    let simulate = mode != "float";
    let net = if simulate { QuantGraph::prepare(graph, Target::onnxruntime(), &Settings::default())? } else { QuantGraph::float(graph) };
    let mut network = Network::new(net);
    let moving_average = ObserverSettings { kind: ObserverKind::MovingAverage, percentile: 99.99, moving_average_rate: 0.01 };
    let mut ranges = Ranges::new(&network, &moving_average);
    let mut runner = Runner::new(Purpose::Training(gradient_path));
    let training = Training { gradient_path, batch_norm: BatchNormMode::Corrected };
    let mode_of_step = Mode { simulate, training: Some(training) };

    let inputs = network.quant_graph().graph().inputs();
    let images = noise(network.quant_graph().graph().tensor(inputs[0]).shape.elements(batch));
    let mut gradient = Vec::new();
    let mut labels = Vec::new();
    // Ranges of the first step come from a float one, as a calibration would give them.
    let (plan, workspace) = runner.plan(&network, batch)?;
    network.forward(plan, workspace, Mode { simulate: false, ..mode_of_step }, &[&images], &mut ranges)?;
    ranges.apply(&mut network)?;

    let (mut totals, mut forwards) = (Vec::new(), Vec::new());
    for step in 0..steps + WARM_UP {
        let started = Instant::now();
        let (plan, workspace) = runner.plan(&network, batch)?;
        network.forward(plan, workspace, mode_of_step, &[&images], &mut ranges)?;
        let output = network.output(plan, workspace, 0);
        let classes = output.len() / batch;
        gradient.resize(output.len(), 0.0);
        labels.resize(batch, 0);
        labels.iter_mut().enumerate().for_each(|(i, label)| *label = (i % classes) as i64);
        CrossEntropy::default().loss_and_gradient(&output, &labels, classes, &mut gradient)?;
        let forward = started.elapsed();
        network.backward(plan, workspace, mode_of_step, &[&gradient]);
        ranges.apply(&mut network)?;
        if step >= WARM_UP {
            forwards.push(forward.as_secs_f64() * 1e3);
            totals.push(started.elapsed().as_secs_f64() * 1e3);
        }
    }
    let name = Path::new(model).file_stem().unwrap_or_default().to_string_lossy();
    let (total, forward) = (median(&mut totals), median(&mut forwards));
    println!(
        "{name} {mode} quantrain: step median {total:.1} min {:.1} max {:.1} ms, forward median {forward:.1} ms, n={steps}",
        totals[0],
        totals[totals.len() - 1]
    );
    Ok(())
}

/// Sorts, and gives the value in the middle.
fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// About normal values: sums of four uniform ones from a linear congruential generator.
fn noise(len: usize) -> Vec<f32> {
    let mut state = 1u64;
    let mut uniform = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f32 / (1u64 << 24) as f32 - 0.5
    };
    (0..len).map(|_| (0..4).map(|_| uniform()).sum::<f32>() * 1.73).collect()
}
