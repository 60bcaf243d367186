//! The integer program beside ONNX Runtime's session of the same QDQ file, in one run, two threads each.
//!
//! `cargo bench -p quantrain --bench integer_program [-- --rounds N]` takes turns, so that a machine's weak minutes meet both, and prints
//! the fastest runs: what the machine does when nothing else runs on it. Networks are read from `../shared/models` beside the repository and
//! calibrated on one synthetic image: ranges change codes, not the work. ONNX Runtime is found as `quantrain verify` finds it from the
//! repository's root; its images lie channels first already.

use std::path::Path;
use std::time::{Duration, Instant};

use quantrain::onnxruntime::{Fed, Library, OnnxRuntime, SessionOptions};
use quantrain_engine::{Mode, Monitor, Network, Plan, Purpose, Want, Workspace};
use quantrain_graph::{QuantGraph, QuantizerId, Range, Settings, Target};
use quantrain_integer::IntegerProgram;

type Failure = Box<dyn std::error::Error>;

const THREADS: usize = 2;
/// Name and image size of a network.
const NETWORKS: [(&str, usize); 2] = [("resnet20_cifar10", 32), ("efficientnet_lite0", 224)];
const BATCHES: [usize; 2] = [1, 32];
/// What a turn takes at least.
const TURN: Duration = Duration::from_millis(300);

fn main() -> Result<(), Failure> {
    // cargo adds a flag of its own.
    let arguments: Vec<String> = std::env::args().skip(1).filter(|a| a != "--bench").collect();
    let rounds = match &arguments[..] {
        [] => 5,
        [flag, count] if flag == "--rounds" => count.parse()?,
        _ => return Err("usage: cargo bench -p quantrain --bench integer_program [-- --rounds N]".into()),
    };
    // cargo starts benches in their crate's folder.
    std::env::set_current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("../.."))?;
    rayon::ThreadPoolBuilder::new().num_threads(THREADS).build_global()?;
    println!("path {}, {THREADS} threads each, {rounds} rounds, images a second (fastest run)", quantrain_kernels::simd().name());
    println!("{:20} {:>5} {:>12} {:>12} {:>6}", "network", "batch", "integers", "ONNX Runtime", "ratio");
    for (name, size) in NETWORKS {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/models").join(name).with_extension("onnx");
        if path.exists() { compare(name, &path, size, rounds)? } else { println!("skipped: {name}: no {}", path.display()) }
    }
    Ok(())
}

fn compare(name: &str, path: &Path, size: usize, rounds: usize) -> Result<(), Failure> {
    let image: Vec<f32> = (0..3 * size * size).map(|i| (i * 7919 % 1000) as f32 / 250.0 - 2.0).collect();
    let net = QuantGraph::prepare(quantrain::read(path)?, Target::onnxruntime(), &Settings::default())?;
    let net = calibrated(net, &image)?;
    let file = std::env::temp_dir().join(format!("quantrain-bench-{}-{name}.onnx", std::process::id()));
    quantrain_onnx::write_qdq(&net, &file, &Default::default())?;
    let library = Library::find(None)?.ok_or("no ONNX Runtime found: set VIRTUAL_ENV or ORT_DYLIB_PATH")?;
    let opened = OnnxRuntime::open(&library, &file, SessionOptions { threads: THREADS, exact: false });
    std::fs::remove_file(&file)?;
    let (mut runtime, program) = (opened?, IntegerProgram::lower(&net)?);
    let graph = net.graph();
    let input = graph.inputs().first().map_or("", |&t| graph.tensor(t).name.as_str());
    for batch in BATCHES {
        let images = image.repeat(batch);
        let planes = runtime.planes(&[Fed { name: input, shape: vec![batch, 3, size, size], values: &images }])?;
        let mut seconds = [Vec::new(), Vec::new()];
        for _ in 0..rounds {
            seconds[0].extend(turn(|| Ok(program.run(batch, &[&images], &mut ()).map(drop)?))?);
            seconds[1].extend(turn(|| Ok(runtime.run_planes(&planes).map(drop)?))?);
        }
        let [ours, theirs] = seconds.map(|s| batch as f64 / s.into_iter().fold(f64::INFINITY, f64::min));
        println!("{name:20} {batch:>5} {ours:>12.1} {theirs:>12.1} {:>6.2}", ours / theirs);
    }
    Ok(())
}

/// The seconds of single runs, the first two left out.
fn turn(mut run: impl FnMut() -> Result<(), Failure>) -> Result<Vec<f64>, Failure> {
    (0..2).try_for_each(|_| run())?;
    let (started, mut seconds) = (Instant::now(), Vec::new());
    while started.elapsed() < TURN || seconds.len() < 3 {
        let before = Instant::now();
        run()?;
        seconds.push(before.elapsed().as_secs_f64());
    }
    Ok(seconds)
}

struct Extrema(Vec<Range>);

impl Monitor for Extrema {
    fn want(&self, _: QuantizerId) -> Want {
        Want::Extrema
    }

    fn extrema(&mut self, quantizer: QuantizerId, min: f32, max: f32) {
        self.0[quantizer.0] = self.0[quantizer.0].union(Range::new(min, max));
    }

    fn values(&mut self, _: QuantizerId, _: &[f32]) {}
}

/// Ranges from one image.
fn calibrated(net: QuantGraph, image: &[f32]) -> Result<QuantGraph, Failure> {
    let plan = Plan::new(&net, 1, Purpose::Inference)?;
    let mut extrema = Extrema(vec![Range::new(0.0, 0.0); net.quantizers().len()]);
    let (mut workspace, mut network) = (Workspace::new(&plan), Network::new(net));
    network.forward(&plan, &mut workspace, Mode::FLOAT, &[image], &mut extrema)?;
    let mut net = network.into_quant_graph();
    net.quantizers_mut().iter_mut().zip(extrema.0).for_each(|(q, range)| q.range = Some(range));
    Ok(net)
}
