//! The simulation, the integer program and ONNX Runtime side by side, code for code.

mod cause;
mod compare;
mod origin;

pub use cause::{Cause, CauseCount};
pub use origin::InnerComparison;

use quantrain_data::{Batch, DataError};
use quantrain_engine::{Network, Purpose};
use quantrain_graph::{Graph, QuantGraph, Target, TensorId};
use quantrain_integer::IntegerProgram;
use serde::Serialize;

use self::cause::Hypotheses;
use self::compare::{Outputs, Tensors};
use self::origin::Origins;
use crate::feeds::{fed, part};
use crate::images::fixed_batch;
use crate::metric::{Tally, first_of};
use crate::onnxruntime::OnnxRuntime;
use crate::progress::Progress;
use crate::runner::Runner;
use crate::{RunError, check_images};

/// Images that are run at once, at most.
const BATCH: usize = 8;

/// Codes that ONNX Runtime hands out at once; of larger images there are fewer in a batch.
const CODES: usize = 32 << 20;

/// Images, of those whose outputs ONNX Runtime gives differently, for which the causes are computed.
const EXPLAINED_IMAGES: usize = 32;

/// Images, of those whose outputs ONNX Runtime gives differently, in which its inner tensors are compared.
const INNER_IMAGES: usize = 256;

/// Codes of one tensor, over all images.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TensorComparison {
    /// Name of the tensor.
    pub tensor: String,
    /// The operator that makes it, or `input`.
    pub operator: &'static str,
    /// Codes compared.
    pub codes: usize,
    /// Codes of the integer program that are not those of the simulation.
    pub differ: usize,
    /// The largest difference, in codes.
    pub largest: u32,
}

/// One output in ONNX Runtime and in the integer program, over all images.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct OutputComparison {
    /// Name of the output.
    pub output: String,
    /// Whether the output has a quantizer: codes are compared then, else values.
    pub quantized: bool,
    /// Codes or values compared.
    pub values: usize,
    /// Codes or values that differ.
    pub differ: usize,
    /// The largest difference: in codes, or of values.
    pub largest: f64,
    /// Why, of the codes in the first images that differ: what each cause would give, computed for the whole network.
    pub causes: Vec<CauseCount>,
}

/// What three ways to run one network have in common.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Verification {
    /// Images that were run.
    pub images: usize,
    /// Codes compared between simulation and integer program.
    pub codes: usize,
    /// Codes of the integer program that are not those of the simulation.
    pub differ_integer: usize,
    /// Codes of quantized outputs that ONNX Runtime gives differently than the integer program; `None` without ONNX Runtime or such outputs.
    pub differ_onnxruntime: Option<usize>,
    /// Percent of images that the simulation gets right; `None` without labels.
    pub top1_simulated: Option<f64>,
    /// Percent of images that the integer program gets right.
    pub top1_integer: Option<f64>,
    /// Percent of images that ONNX Runtime gets right.
    pub top1_onnxruntime: Option<f64>,
    /// Images whose first class is another in the integer program than in the simulation; `None` where the first output is no row of scores.
    pub predictions_differ_integer: Option<usize>,
    /// Images whose first class is another in ONNX Runtime than in the integer program.
    pub predictions_differ_onnxruntime: Option<usize>,
    /// Operators that run in float, as the file has no quantizer behind them.
    pub float_operators: Vec<String>,
    /// Every quantized tensor, those that differ most first.
    pub tensors: Vec<TensorComparison>,
    /// Every output, where ONNX Runtime ran.
    pub outputs: Vec<OutputComparison>,
    /// Images in which ONNX Runtime's inner tensors were compared: of the batches in which an output differs, the first few.
    pub inner_images: usize,
    /// Values of outputs that ONNX Runtime gives differently once inner tensors are handed out; 0 where its optimizer made the same of both.
    pub inner_fused_otherwise: usize,
    /// The inner tensors that differ there, in the order they are computed.
    pub inner: Vec<InnerComparison>,
    /// Why ONNX Runtime's inner tensors were not compared although outputs differ.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub without_inner: Option<String>,
}

impl Verification {
    /// Whether simulation and integer program agree in every code.
    pub fn is_exact(&self) -> bool {
        self.differ_integer == 0
    }

    /// The first operator that ONNX Runtime computes otherwise, of those that were looked at: it gives other codes of the same.
    pub fn first_difference(&self) -> Option<&InnerComparison> {
        self.inner.iter().find(|t| t.begins > 0)
    }

    /// The causes of differences, of outputs and of inner tensors, most frequent first.
    pub fn causes(&self) -> Vec<Cause> {
        let all = self.outputs.iter().map(|o| &o.causes).chain(self.inner.iter().map(|t| &t.causes)).flatten();
        let mut counts: Vec<CauseCount> = Vec::new();
        all.for_each(|found| match counts.iter_mut().find(|count| count.cause == found.cause) {
            Some(count) => count.codes += found.codes,
            None => counts.push(*found),
        });
        counts.sort_by_key(|count| (std::cmp::Reverse(count.codes), count.cause));
        counts.into_iter().map(|count| count.cause).collect()
    }
}

/// The target that a file was written for, as its metadata says; ONNX Runtime for the files of others.
pub fn target_of(graph: &Graph) -> Target {
    let named = graph.metadata.iter().find(|(key, _)| key == "quantrain.target");
    named.and_then(|(_, name)| Target::named(name).ok()).unwrap_or_else(Target::onnxruntime)
}

/// Runs a QDQ network all ways over `batches` and counts what differs. The network is the graph that [`quantrain_onnx::read`] gives.
///
/// # Errors
/// The graph has no quantizers, or holds what the integer program cannot run; a batch cannot be read or does not fit the network; ONNX
/// Runtime does not run the file; or a label is out of range.
pub fn verify(
    graph: Graph,
    target: Target,
    mut runtime: Option<&mut OnnxRuntime>,
    batches: impl Iterator<Item = Result<Batch, DataError>>,
    progress: &mut dyn Progress,
) -> Result<Verification, RunError> {
    let file = runtime.is_some().then(|| graph.clone());
    let net = QuantGraph::adopt(graph, target)?;
    if net.quantizers().is_empty() {
        return Err(RunError::NothingToVerify);
    }
    let mut runner = Runner::new(Purpose::Inference);
    let exact = runtime.as_ref().is_some_and(|runtime| runtime.options().exact);
    if let Some(runtime) = runtime.as_deref_mut() {
        let computed = net.graph().outputs().iter().map(|&t| net.graph().tensor(t).name.as_str());
        runtime.hand_out(&computed.collect::<Vec<_>>());
    }
    let float = net.float_nodes().iter().map(|(n, _)| net.graph().node(*n)).map(|n| format!("{} ({})", n.name, n.op.name())).collect();
    let mut network = Network::new(net);
    let at_once = runner.at_once(&network, images_at_once(network.quant_graph()))?;
    let program = IntegerProgram::lower(network.quant_graph())?;
    let hypotheses = file.map(|file| Hypotheses::new(file, network.quant_graph(), exact)).transpose()?;
    let mut tensors = Tensors::new(network.quant_graph());
    let mut outputs = Outputs::new(network.quant_graph());
    let mut origins = Origins::new(network.quant_graph());
    let mut tallies = [Tally::default(); 3];
    let mut predictions = [0; 2];
    let (mut images, mut labelled, mut explained, mut without_inner) = (0, true, 0, None);
    for batch in batches {
        let batch = batch?;
        check_images(&network, &batch)?;
        labelled &= batch.labels.len() == batch.size;
        let inputs = batch.inputs();
        for first in (0..batch.size).step_by(at_once) {
            let size = at_once.min(batch.size - first);
            let x: Vec<&[f32]> = inputs.iter().map(|x| part(x, batch.size, first, size)).collect();
            let plan = runner.plan(&network, size)?;
            let mut lockstep = tensors.beside(&mut network, plan, &x)?;
            let integer = program.run(size, &x, &mut lockstep)?;
            let mut logits = vec![lockstep.finish()?, integer[0].clone()];
            if let Some((runtime, hypotheses)) = runtime.as_deref_mut().zip(hypotheses.as_ref()) {
                let found = runtime.run(&fed(program.quant_graph().graph(), size, &x))?;
                let differs = outputs.compare(&integer, &found)? > 0;
                if differs && explained < EXPLAINED_IMAGES {
                    outputs.explain(&integer, &found, &hypotheses.predict(size, &x)?);
                    explained += size;
                }
                if differs && origins.images() < INNER_IMAGES && without_inner.is_none() {
                    match origins.compare(&program, hypotheses, runtime, (size, &x), &found) {
                        Err(RunError::OnnxRuntime(error)) => without_inner = Some(error.to_string()),
                        compared => compared?,
                    }
                }
                logits.extend(found.into_iter().next());
            }
            if labelled {
                let labels = &batch.labels[first..][..size];
                tallies.iter_mut().zip(&logits).try_for_each(|(tally, logits)| tally.add(logits, labels))?;
            }
            let first: Vec<Vec<usize>> = logits.iter().map(|l| first_of(l, size)).collect();
            for (count, pair) in predictions.iter_mut().zip(first.windows(2)) {
                *count += pair[0].iter().zip(&pair[1]).filter(|(a, b)| a != b).count();
            }
            images += size;
            progress.advance(size as u64, "");
            if progress.stop_requested() {
                return Err(RunError::Stopped { stage: "verification" });
            }
        }
    }
    if images == 0 {
        return Err(RunError::NoImages);
    }
    let graph = network.quant_graph().graph();
    let is_row = graph.tensor(graph.outputs()[0]).shape.rank() == 2;
    let [simulated, integer, found] = tallies.map(|tally| (labelled && is_row).then(|| tally.accuracy().top1));
    let tensors = tensors.finish();
    let outputs = if runtime.is_some() { outputs.finish() } else { Vec::new() };
    Ok(Verification {
        images,
        codes: tensors.iter().map(|t| t.codes).sum(),
        differ_integer: tensors.iter().map(|t| t.differ).sum(),
        differ_onnxruntime: outputs.iter().filter(|o| o.quantized).map(|o| o.differ).reduce(|a, b| a + b),
        top1_simulated: simulated,
        top1_integer: integer,
        top1_onnxruntime: found.filter(|_| runtime.is_some()),
        predictions_differ_integer: is_row.then_some(predictions[0]),
        predictions_differ_onnxruntime: (is_row && runtime.is_some()).then_some(predictions[1]),
        float_operators: float,
        tensors,
        outputs,
        inner_images: origins.images(),
        inner_fused_otherwise: origins.fused_otherwise(),
        inner: origins.finish(),
        without_inner,
    })
}

/// Images that are run at once.
fn images_at_once(net: &QuantGraph) -> usize {
    let graph = net.graph();
    let quantized = (0..graph.tensors().len()).map(TensorId).filter(|&t| net.quantizer_of(t).is_some());
    let codes = quantized.map(|t| graph.tensor(t).shape.elements(1)).fold(0, usize::saturating_add);
    fixed_batch(graph).unwrap_or_else(|| (CODES / codes.max(1)).clamp(1, BATCH))
}
