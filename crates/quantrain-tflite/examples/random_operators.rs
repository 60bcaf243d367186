//! Single operators for a runtime to run: `random_operators TARGET FOLDER NETWORKS SAMPLES` draws so many networks of each operator, of random
//! shapes and scales, and writes of each `NAME.tflite`, the codes of its inputs (`NAME.in`, sample after sample, of each the inputs one after
//! the other) and those of its output by the integer program (`NAME.out`).

use std::collections::HashMap;
use std::error::Error;
use std::path::Path;

use quantrain_graph::op::{
    Activation, AveragePool, Concat, Coordinates, DepthOrder, DepthToSpace, Interpolation, MaxPool, NearestMode, Pad, PadMode, Resize,
    ResizeTo, Slice, Transpose, Window,
};
use quantrain_graph::{GraphBuilder, Op, QuantGraph, Quantizer, Range, Settings, Target, TensorId};
use quantrain_integer::{CodeMonitor, IntegerProgram};

type Outcome<T> = Result<T, Box<dyn Error>>;

const KINDS: [&str; 16] = [
    "convolution",
    "strided",
    "depthwise",
    "grouped",
    "product",
    "sum",
    "sum_of_channels",
    "largest",
    "average",
    "average_same",
    "mean",
    "join",
    "pad",
    "slice",
    "resize",
    "turn",
];

fn main() -> Outcome<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [target, folder, networks, samples] = &arguments[..] else {
        return Err("usage: random_operators TARGET FOLDER NETWORKS SAMPLES".into());
    };
    let (networks, samples) = (networks.parse::<u64>()?, samples.parse::<usize>()?);
    for (k, kind) in KINDS.iter().enumerate() {
        for n in 0..networks {
            let mut random = Random(1 + 1000 * k as u64 + n);
            let name = format!("{kind}-{n}");
            write(Path::new(folder), &name, network(kind, target, &mut random)?, samples, &mut random)
                .map_err(|e| format!("{name}: {e}"))?;
        }
    }
    Ok(())
}

/// A linear congruential generator, its bits mixed.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_mul(0x9E37_79B9_7F4A_7C15).wrapping_add(0x1234_5678_9ABC_DEF1);
        let x = (self.0 ^ (self.0 >> 31)).wrapping_mul(0xD6E8_FEB8_6659_FD93);
        x ^ (x >> 32)
    }

    fn from(&mut self, low: usize, high: usize) -> usize {
        low + (self.next() % (high - low + 1) as u64) as usize
    }

    fn real(&mut self, low: f32, high: f32) -> f32 {
        low + (high - low) * (self.next() >> 40) as f32 / (1u32 << 24) as f32
    }

    fn reals(&mut self, count: usize, low: f32, high: f32) -> Vec<f32> {
        (0..count).map(|_| self.real(low, high)).collect()
    }
}

/// A convolution with random weights; an activation behind it at times.
fn convolution(b: &mut GraphBuilder, random: &mut Random, x: TensorId, [out, groups, stride]: [usize; 3]) -> Outcome<TensorId> {
    let inputs = b.graph().tensor(x).shape.at(1)[1] / groups;
    let kernel = [random.from(1, 4), random.from(1, 4)];
    let dilation = if stride == 1 { random.from(1, 2) } else { 1 };
    let pads = [kernel[0] / 2, kernel[1] / 2, random.from(0, kernel[0] / 2), kernel[1] / 2];
    let count = inputs * kernel[0] * kernel[1];
    let weights = (0..out).flat_map(|_| {
        let size = random.real(0.02, 1.0);
        random.reals(count, -size, size)
    });
    let weights = weights.collect();
    let bias = random.reals(out, -1.0, 1.0);
    let y = b.convolution("block", x, out, kernel).strides([stride; 2]).padding(pads).dilations([dilation; 2]).groups(groups);
    let y = y.weights(weights).bias(bias).done()?;
    activation(b, random, y)
}

fn activation(b: &mut GraphBuilder, random: &mut Random, y: TensorId) -> Outcome<TensorId> {
    Ok(match random.from(0, 2) {
        0 => y,
        1 => b.relu("relu", y)?,
        _ => b.node("relu6", Op::Activation(Activation::Clip { min: 0.0, max: 6.0 }), &[y], "relu6")?,
    })
}

/// A pool that reads an image which nothing else reads.
fn beside(b: &mut GraphBuilder, x: TensorId) -> Outcome<()> {
    let pool = b.node("pool", Op::MaxPool(MaxPool { window: Window::new([2, 2]) }), &[x], "pool")?;
    b.output(pool);
    Ok(())
}

fn network(kind: &str, target: &str, random: &mut Random) -> Outcome<QuantGraph> {
    let mut b = GraphBuilder::new(kind);
    let channels = random.from(1, 17);
    let (height, width) = (random.from(5, 12), random.from(5, 12));
    let x = b.input("x", &[channels, height, width]);
    let node = |b: &mut GraphBuilder, op: Op, inputs: &[TensorId]| b.node("node", op, inputs, "y");
    let window = |random: &mut Random| Window {
        strides: [random.from(1, 2), random.from(1, 2)],
        ..Window::new([random.from(1, 3), random.from(1, 4)])
    };
    let y = match kind {
        "convolution" => {
            let out = random.from(1, 20);
            convolution(&mut b, random, x, [out, 1, 1])?
        }
        "strided" => {
            let out = random.from(1, 20);
            convolution(&mut b, random, x, [out, 1, 2])?
        }
        "depthwise" => {
            let stride = random.from(1, 2);
            let out = channels * random.from(1, 2);
            convolution(&mut b, random, x, [out, channels, stride])?
        }
        "grouped" => {
            let z = b.input("z", &[8, height, width]);
            let y = convolution(&mut b, random, z, [12, 4, 1])?;
            beside(&mut b, x)?;
            y
        }
        "product" => {
            let (inputs, out) = (random.from(1, 300), random.from(2, 40));
            let v = b.input("v", &[inputs]);
            let (weights, bias) = (random.reals(inputs * out, -1.0, 1.0), random.reals(out, -1.0, 1.0));
            let y = b.gemm("product", v, out, weights, bias)?;
            beside(&mut b, x)?;
            activation(&mut b, random, y)?
        }
        "sum" => {
            let z = b.input("z", &[channels, height, width]);
            let y = b.add("sum", x, z)?;
            activation(&mut b, random, y)?
        }
        "sum_of_channels" => {
            let z = b.input("z", &[channels, 1, 1]);
            b.add("sum", x, z)?
        }
        "largest" => {
            let w = window(random);
            let pads = [w.kernel[0] / 2, w.kernel[1] / 2, w.kernel[0] / 2, 0];
            node(&mut b, Op::MaxPool(MaxPool { window: Window { pads, ..w } }), &[x])?
        }
        "average" => node(&mut b, Op::AveragePool(AveragePool { window: window(random), count_include_pad: false }), &[x])?,
        "average_same" => {
            let window = Window { pads: [1, 1, 1, 1], ..Window::new([3, 3]) };
            node(&mut b, Op::AveragePool(AveragePool { window, count_include_pad: false }), &[x])?
        }
        "mean" => b.global_average_pool("mean", x)?,
        "join" => {
            let z = b.input("z", &[3, height, width]);
            node(&mut b, Op::Concat(Concat { axis: 1 }), &[x, z])?
        }
        "pad" => {
            let pads = [0, 0, 1, 2, 0, random.from(0, 2), 0, 1].to_vec();
            node(&mut b, Op::Pad(Pad { pads, mode: PadMode::Constant(0.0) }), &[x])?
        }
        "slice" => {
            let slice = Slice { starts: vec![1, 0], ends: vec![height as i64 - 1, width as i64], axes: vec![2, 3], steps: vec![1, 2] };
            node(&mut b, Op::Slice(slice), &[x])?
        }
        "resize" => {
            let scales = [2.0, 2.0];
            let (to, coordinates) = (ResizeTo::Scales(scales), Coordinates::Asymmetric);
            node(&mut b, Op::Resize(Resize { to, coordinates, interpolation: Interpolation::Nearest(NearestMode::Floor) }), &[x])?
        }
        "turn" => {
            let z = b.input("z", &[8, height, width]);
            let z = b.node("depth", Op::DepthToSpace(DepthToSpace { block: 2, order: DepthOrder::BlockFirst }), &[z], "depth")?;
            let turned = b.node("turn", Op::Transpose(Transpose { permutation: vec![0, 3, 1, 2] }), &[x], "turned")?;
            b.output(z);
            b.flatten("flat", turned)?
        }
        _ => return Err("unknown kind".into()),
    };
    b.output(y);
    let mut net = QuantGraph::prepare(b.finish()?, Target::named(target)?, &Settings::default())?;
    for q in net.quantizers_mut() {
        let size = random.real(-2.0, 3.0).exp2();
        let low = if random.from(0, 2) == 0 { 0.0 } else { -size * random.real(0.1, 1.5) };
        q.range = Some(Range::new(low, size));
    }
    Ok(net)
}

/// Keeps the codes of some tensors.
struct Codes(HashMap<TensorId, Vec<i32>>);

impl CodeMonitor for Codes {
    fn codes(&mut self, tensor: TensorId, _: &Quantizer, codes: &[i32]) {
        self.0.insert(tensor, codes.to_vec());
    }
}

fn write(folder: &Path, name: &str, net: QuantGraph, samples: usize, random: &mut Random) -> Outcome<()> {
    let program = IntegerProgram::lower(&net)?;
    let graph = net.graph();
    let mut values = Vec::new();
    for &input in graph.inputs() {
        let grid = program.grid(input).ok_or("an input is not quantized")?;
        let count = graph.tensor(input).shape.elements(samples);
        values.push((0..count).map(|_| grid.quantizer.value(random.from(0, 255) as i32 - 128)).collect::<Vec<f32>>());
    }
    let mut codes = Codes(HashMap::new());
    program.run(samples, &values.iter().map(Vec::as_slice).collect::<Vec<_>>(), &mut codes)?;
    let sample_after_sample = |tensors: &[TensorId]| -> Vec<u8> {
        let part = |tensor: &TensorId, i: usize| {
            let all = &codes.0[tensor];
            all[i * all.len() / samples..(i + 1) * all.len() / samples].iter().map(|&code| code as i8 as u8).collect::<Vec<u8>>()
        };
        (0..samples).flat_map(|i| tensors.iter().flat_map(move |t| part(t, i))).collect()
    };
    let file = |extension: &str| folder.join(format!("{name}.{extension}"));
    std::fs::write(file("tflite"), quantrain_tflite::write(&program)?)?;
    std::fs::write(file("in"), sample_after_sample(graph.inputs()))?;
    std::fs::write(file("out"), sample_after_sample(graph.outputs()))?;
    Ok(())
}
