//! Runs a network in simulated integers on raw values, and exports it: `run_quantized MODEL INPUT OUTPUT BATCH TARGET QDQ`.
//!
//! INPUT and OUTPUT are as in `run_float`; ranges are those of INPUT itself. TARGET is a name or a file. QDQ gets the exported file. The
//! integer program must give what the simulation gives. The cross-check against ONNX Runtime uses it.

use std::error::Error;
use std::fs;
use std::path::Path;

use quantrain_engine::{Mode, Monitor, Network, Plan, Purpose, Want, Workspace};
use quantrain_graph::{QuantGraph, QuantizerId, Range, Settings, Target};
use quantrain_integer::IntegerProgram;
use quantrain_kernels::permute::permute;
use quantrain_onnx::{QdqOptions, write_qdq};

/// The extrema of every quantizer's tensors.
struct Extrema(Vec<Range>);

impl Monitor for Extrema {
    fn want(&self, _: QuantizerId) -> Want {
        Want::Extrema
    }

    fn extrema(&mut self, quantizer: QuantizerId, min: f32, max: f32) {
        let seen = &mut self.0[quantizer.0];
        *seen = seen.union(Range::new(min, max));
    }

    fn values(&mut self, _: QuantizerId, _: &[f32]) {}
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [model, input, output, batch, target, qdq] = &arguments[..] else {
        return Err("usage: run_quantized MODEL INPUT OUTPUT BATCH TARGET QDQ".into());
    };
    let graph = quantrain::read(Path::new(model))?;
    let target = if Path::new(target).is_file() { Target::parse(target, &fs::read_to_string(target)?)? } else { Target::named(target)? };
    let net = QuantGraph::prepare(graph, target, &Settings::default())?;
    let plan = Plan::new(&net, batch.parse()?, Purpose::Inference)?;
    let inputs = in_memory_order(&net, plan.batch(), &fs::read(input)?);
    let inputs: Vec<&[f32]> = inputs.iter().map(Vec::as_slice).collect();
    let mut workspace = Workspace::new(&plan);

    let mut seen = Extrema(vec![Range::new(0.0, 0.0); net.quantizers().len()]);
    let mut network = Network::new(net);
    network.forward(&plan, &mut workspace, Mode::FLOAT, &inputs, &mut seen)?;
    network.quant_graph_mut().quantizers_mut().iter_mut().zip(seen.0).for_each(|(q, range)| q.range = Some(range));
    network.forward(&plan, &mut workspace, Mode::SIMULATE, &inputs, &mut ())?;

    let net = network.quant_graph();
    let outputs = 0..net.graph().outputs().len();
    let program = IntegerProgram::lower(net)?;
    for (i, found) in program.run(plan.batch(), &inputs, &mut ())?.iter().enumerate() {
        let simulated = network.output(&plan, &workspace, i);
        if found.iter().zip(&simulated).any(|(a, b)| a != b && !(a.is_nan() && b.is_nan())) {
            let name = &net.graph().tensor(net.graph().outputs()[i]).name;
            return Err(format!("output `{name}`: the integer program differs from the simulation").into());
        }
    }
    write_qdq(net, qdq, &QdqOptions::default())?;
    let results = outputs.flat_map(|i| network.output_in_onnx_order(&plan, &workspace, i));
    fs::write(output, results.flat_map(f32::to_le_bytes).collect::<Vec<u8>>())?;
    Ok(())
}

/// The inputs as they lie in the engine's memory.
fn in_memory_order(net: &QuantGraph, batch: usize, bytes: &[u8]) -> Vec<Vec<f32>> {
    let mut values = bytes.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]));
    let graph = net.graph();
    let shapes = graph.inputs().iter().map(|&t| &graph.tensor(t).shape);
    let read = |shape: &quantrain_graph::Shape| {
        let logical: Vec<f32> = values.by_ref().take(shape.elements(batch)).collect();
        if shape.rank() != 4 {
            return logical;
        }
        let mut physical = vec![0.0; logical.len()];
        permute(&logical, &shape.at(batch), &[0, 2, 3, 1], &mut physical);
        physical
    };
    shapes.map(read).collect()
}
