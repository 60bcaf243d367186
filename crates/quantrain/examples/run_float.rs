//! Runs a float network on raw values: `run_float MODEL INPUT OUTPUT BATCH`.
//!
//! INPUT and OUTPUT hold little-endian f32 in ONNX's axis order; OUTPUT gets every output of the network, one after the other.
//! The cross-check against ONNX Runtime uses it.

use std::error::Error;
use std::fs;
use std::path::Path;

use quantrain_engine::{Mode, Network, Plan, Purpose, Workspace};
use quantrain_graph::QuantGraph;
use quantrain_kernels::permute::permute;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [model, input, output, batch] = &arguments[..] else { return Err("usage: run_float MODEL INPUT OUTPUT BATCH".into()) };
    let net = QuantGraph::float(quantrain::read(Path::new(model))?);
    let plan = Plan::new(&net, batch.parse()?, Purpose::Inference)?;
    let mut workspace = Workspace::new(&plan);
    let bytes = fs::read(input)?;
    let mut values = bytes.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]));
    let inputs: Vec<Vec<f32>> = net
        .graph()
        .inputs()
        .iter()
        .map(|&t| {
            let shape = &net.graph().tensor(t).shape;
            let logical: Vec<f32> = values.by_ref().take(shape.elements(plan.batch())).collect();
            if shape.rank() != 4 {
                return logical;
            }
            let mut physical = vec![0.0; logical.len()];
            permute(&logical, &shape.at(plan.batch()), &[0, 2, 3, 1], &mut physical);
            physical
        })
        .collect();
    let outputs = net.graph().outputs().len();
    let mut network = Network::new(net);
    let inputs: Vec<&[f32]> = inputs.iter().map(Vec::as_slice).collect();
    network.forward(&plan, &mut workspace, Mode::FLOAT, &inputs, &mut ())?;
    let results = (0..outputs).flat_map(|i| network.output_in_onnx_order(&plan, &workspace, i));
    fs::write(output, results.flat_map(f32::to_le_bytes).collect::<Vec<u8>>())?;
    Ok(())
}
