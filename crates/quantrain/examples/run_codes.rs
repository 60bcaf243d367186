//! Runs a QDQ or QOperator file in its own integers on raw values: `run_codes MODEL INPUT OUTPUT BATCH`.
//!
//! INPUT and OUTPUT are as in `run_float`. The integer program must give what the simulation gives.

use std::error::Error;
use std::fs;
use std::path::Path;

use quantrain_engine::{Mode, Network, Plan, Purpose, Workspace};
use quantrain_graph::{QuantGraph, Target};
use quantrain_integer::IntegerProgram;
use quantrain_kernels::permute::permute;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [model, input, output, batch] = &arguments[..] else { return Err("usage: run_codes MODEL INPUT OUTPUT BATCH".into()) };
    let net = QuantGraph::adopt(quantrain::read(Path::new(model))?, Target::onnxruntime())?;
    let plan = Plan::new(&net, batch.parse()?, Purpose::Inference)?;
    let inputs = in_memory_order(&net, plan.batch(), &fs::read(input)?);
    let inputs: Vec<&[f32]> = inputs.iter().map(Vec::as_slice).collect();
    let program = IntegerProgram::lower(&net)?;
    let (mut workspace, mut network) = (Workspace::new(&plan), Network::new(net));
    network.forward(&plan, &mut workspace, Mode::SIMULATE, &inputs, &mut ())?;
    for (i, found) in program.run(plan.batch(), &inputs, &mut ())?.iter().enumerate() {
        if *found != network.output(&plan, &workspace, i) {
            return Err(format!("output {i}: the integer program differs from the simulation").into());
        }
    }
    let outputs = 0..network.quant_graph().graph().outputs().len();
    let results = outputs.flat_map(|i| network.output_in_onnx_order(&plan, &workspace, i));
    fs::write(output, results.flat_map(f32::to_le_bytes).collect::<Vec<u8>>())?;
    Ok(())
}

/// The values of every input, images NHWC.
fn in_memory_order(net: &QuantGraph, batch: usize, bytes: &[u8]) -> Vec<Vec<f32>> {
    let mut values = bytes.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]));
    let physical = |&t: &_| {
        let shape = &net.graph().tensor(t).shape;
        let logical: Vec<f32> = values.by_ref().take(shape.elements(batch)).collect();
        if shape.rank() != 4 {
            return logical;
        }
        let mut physical = vec![0.0; logical.len()];
        permute(&logical, &shape.at(batch), &[0, 2, 3, 1], &mut physical);
        physical
    };
    net.graph().inputs().iter().map(physical).collect()
}
