//! Calibrates a network on raw values and writes it as QDQ:
//! `quantize_raw MODEL INPUT SAMPLES CALIBRATION FOLDER OBSERVER TARGET [NAME=Nx3x224x224]`.
//!
//! INPUT holds SAMPLES samples of the network's only input, little-endian f32 in ONNX's axis order; CALIBRATION of them (`16` from the first,
//! or `16..32`) give the ranges, by OBSERVER (`measured`, `min-max`, `percentile`, `percentile=99.999`, …) for TARGET. FOLDER gets
//! `model.qdq.onnx`, and of each sample every output, one after the other: `float.bin` of the float network, `simulated.bin` of the simulated
//! integers. The checks of other exporters' files against ONNX Runtime, and of observers, use it.

use std::error::Error;
use std::fs;
use std::path::Path;
use std::process::ExitCode;

use quantrain::observe::{ObserverKind, ObserverSettings};
use quantrain_data::Batch;
use quantrain_engine::{Mode, Network, Plan, Purpose, Workspace};
use quantrain_graph::{QuantGraph, Settings, Target};
use quantrain_kernels::permute::permute;
use quantrain_onnx::{QdqOptions, ReadOptions};

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
    let [model, input, samples, calibration, folder, observer, target, shapes @ ..] = arguments else {
        return Err("usage: quantize_raw MODEL INPUT SAMPLES CALIBRATION FOLDER OBSERVER TARGET [NAME=Nx3x224x224]".into());
    };
    let input_shapes = shapes.iter().map(|s| s.parse()).collect::<Result<_, _>>()?;
    let graph = quantrain_onnx::read_with(Path::new(model), &ReadOptions { input_shapes, evaluate: Some(quantrain::EVALUATE) })?;
    let net = QuantGraph::prepare(graph, Target::named(target)?, &Settings::default())?;
    let samples = samples_of(&net, input, samples.parse()?)?;
    let mut network = Network::new(net);
    let folder = Path::new(folder);
    let (first, end) = calibration.split_once("..").unwrap_or(("0", calibration));
    let seen = samples.get(first.parse()?..end.parse()?).ok_or("more samples to calibrate on than there are")?;
    let size = quantrain::image_size(network.quant_graph().graph())?;
    let batch = |sample: &Vec<f32>| {
        Ok(Batch { images: sample.clone(), size: 1, height: size[0], width: size[1], channels: size[2], ..Batch::default() })
    };
    quantrain::calibrate(&mut network, || seen.iter().map(batch), &observer_of(observer)?, &mut ())?;
    let plan = Plan::new(network.quant_graph(), 1, Purpose::Inference)?;
    let mut runner = Runner { workspace: Workspace::new(&plan), plan, network };
    fs::write(folder.join("float.bin"), runner.run(&samples, Mode::FLOAT)?)?;
    fs::write(folder.join("simulated.bin"), runner.run(&samples, Mode::SIMULATE)?)?;
    quantrain_onnx::write_qdq(runner.network.quant_graph(), folder.join("model.qdq.onnx"), &QdqOptions::default())?;
    Ok(())
}

/// An observer by its name, behind which a percentile may stand.
fn observer_of(name: &str) -> Result<ObserverSettings, Box<dyn Error>> {
    let (name, percentile) = name.split_once('=').map_or((name, None), |(name, percentile)| (name, Some(percentile)));
    let settings = ObserverSettings::new(name.parse::<ObserverKind>()?);
    Ok(ObserverSettings { percentile: percentile.map_or(Ok(settings.percentile), str::parse)?, ..settings })
}

/// The samples as they lie in the engine's memory: images NHWC.
fn samples_of(net: &QuantGraph, input: &str, samples: usize) -> Result<Vec<Vec<f32>>, Box<dyn Error>> {
    let [tensor] = net.graph().inputs() else { return Err("a network of one input is needed".into()) };
    let shape = net.graph().tensor(*tensor).shape.at(1);
    let values: Vec<f32> = fs::read(input)?.as_chunks().0.iter().map(|&b| f32::from_le_bytes(b)).collect();
    let len: usize = shape.iter().product();
    if values.len() != samples * len {
        return Err(format!("{} values found, {samples} samples of {shape:?} expected", values.len()).into());
    }
    let physical = |sample: &[f32]| match shape[..] {
        [_, _, _, _] => {
            let mut moved = vec![0.0; len];
            permute(sample, &shape, &[0, 2, 3, 1], &mut moved);
            moved
        }
        _ => sample.to_vec(),
    };
    Ok(values.chunks_exact(len).map(physical).collect())
}

struct Runner {
    network: Network,
    plan: Plan,
    workspace: Workspace,
}

impl Runner {
    /// All outputs of each sample, as bytes.
    fn run(&mut self, samples: &[Vec<f32>], mode: Mode) -> Result<Vec<u8>, Box<dyn Error>> {
        let mut bytes = Vec::new();
        for sample in samples {
            self.network.forward(&self.plan, &mut self.workspace, mode, &[sample], &mut ())?;
            for i in 0..self.network.quant_graph().graph().outputs().len() {
                bytes.extend(self.network.output_in_onnx_order(&self.plan, &self.workspace, i).into_iter().flat_map(f32::to_le_bytes));
            }
        }
        Ok(bytes)
    }
}
