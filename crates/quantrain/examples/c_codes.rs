//! What a C file must give: `c_codes MODEL TARGET CODES OUTPUTS < VALUES` runs a QDQ file in integers.
//!
//! VALUES are 32-bit floats, sample after sample, of each the inputs one after the other, images NHWC. CODES gets the codes of the inputs and
//! OUTPUTS those of the outputs in the same order, as a caller of the C function holds them: a byte each, floats where an output is float.

use std::collections::HashMap;
use std::error::Error;
use std::fs::File;
use std::io::{BufWriter, Read, Write};
use std::path::Path;

use quantrain_graph::{QuantGraph, Quantizer, Target, TensorId};
use quantrain_integer::{CodeMonitor, IntegerProgram};

/// Samples that are run at once.
const BATCH: usize = 4;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [model, target, codes, outputs] = &arguments[..] else { return Err("usage: c_codes MODEL TARGET CODES OUTPUTS < VALUES".into()) };
    let net = QuantGraph::adopt(quantrain::read(Path::new(model))?, Target::named(target)?)?;
    let program = IntegerProgram::lower(&net)?;
    let graph = net.graph();
    let (mut codes, mut outputs) = (BufWriter::new(File::create(codes)?), BufWriter::new(File::create(outputs)?));
    let elements = |t: &TensorId| graph.tensor(*t).shape.elements(1);
    let (mut stdin, mut sample) = (std::io::stdin().lock(), vec![0; 4 * graph.inputs().iter().map(elements).sum::<usize>()]);
    loop {
        let mut inputs = vec![Vec::new(); graph.inputs().len()];
        let mut size = 0;
        while size < BATCH && stdin.read_exact(&mut sample).is_ok() {
            let mut values = sample.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]));
            graph.inputs().iter().zip(&mut inputs).for_each(|(t, x)| x.extend(values.by_ref().take(elements(t))));
            size += 1;
        }
        if size == 0 {
            return Ok(());
        }
        let mut seen = Border { tensors: graph.inputs().iter().chain(graph.outputs()).copied().collect(), codes: HashMap::new() };
        let reals = program.run(size, &inputs.iter().map(Vec::as_slice).collect::<Vec<_>>(), &mut seen)?;
        for i in 0..size {
            for t in graph.inputs() {
                codes.write_all(seen.sample(*t, i, size).ok_or("an input is not quantized")?)?;
            }
            for (t, values) in graph.outputs().iter().zip(&reals) {
                match seen.sample(*t, i, size) {
                    Some(bytes) => outputs.write_all(bytes)?,
                    None => values[i * elements(t)..][..elements(t)].iter().try_for_each(|v| outputs.write_all(&v.to_le_bytes()))?,
                }
            }
        }
    }
}

/// Keeps the codes of inputs and outputs.
struct Border {
    tensors: Vec<TensorId>,
    codes: HashMap<TensorId, Vec<u8>>,
}

impl Border {
    fn sample(&self, tensor: TensorId, i: usize, samples: usize) -> Option<&[u8]> {
        self.codes.get(&tensor).map(|codes| &codes[i * codes.len() / samples..(i + 1) * codes.len() / samples])
    }
}

impl CodeMonitor for Border {
    fn wants(&self, tensor: TensorId) -> bool {
        self.tensors.contains(&tensor)
    }

    fn codes(&mut self, tensor: TensorId, _: &Quantizer, codes: &[i32]) {
        // The low byte is the code, signed or not.
        self.codes.insert(tensor, codes.iter().map(|&c| c as u8).collect());
    }
}
