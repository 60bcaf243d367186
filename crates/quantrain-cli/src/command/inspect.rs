//! `quantrain inspect`: what a network is made of, and what of it will be quantized.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::path::PathBuf;

use clap::Args;
use quantrain::recipe::{GradientPath, Overrides, Recipe, Which};
use quantrain::{Footprint, Model, RunDirectory, c_footprint, dry_run};
use quantrain_engine::{Plan, Purpose};
use quantrain_graph::{
    Dim, ElementType, FloatReason, Fusion, Graph, NodeId, Op, Passed, PassedOutput, QuantGraph, QuantizerId, Shape, TensorId, Unit,
};
use quantrain_integer::{Accumulator, BlockReport, IntegerProgram};
use serde::{Serialize, Serializer};
use serde_json::json;

use crate::coverage::{Coverage, TakenOver};
use crate::error::CliError;
use crate::flags::{NetworkFlags, QuantizationFlags, SetFlags, one_of};
use crate::report;
use crate::scheme;
use crate::stored::Stored;
use crate::subject::Subject;
use crate::table::{Align, Table, grouped};

/// Show what a network is made of, what will be quantized, what not and why
#[derive(Debug, Args)]
pub struct Inspect {
    /// The network, an ONNX file; or a run directory, whose ranges are then shown, or a recipe
    #[arg(value_name = "MODEL|RUN|RECIPE")]
    subject: PathBuf,
    /// Take targets, widths and layers from this recipe or run directory, where no flag says otherwise
    #[arg(long, value_name = "FILE")]
    recipe: Option<PathBuf>,
    #[command(flatten)]
    network: NetworkFlags,
    #[command(flatten)]
    quantization: QuantizationFlags,
    /// Show how a training step runs: what backward replays and what it skips
    #[arg(long)]
    plan: bool,
    /// The plan's gradient path [default: quantized]
    #[arg(long, value_name = "PATH", value_parser = one_of::<GradientPath>())]
    gradient_path: Option<GradientPath>,
    /// Images of the plan's step [default: 64]
    #[arg(long, value_name = "N")]
    batch: Option<usize>,
    #[command(flatten)]
    set: SetFlags,
}

/// A network, unit by unit.
#[derive(Debug, Serialize)]
pub struct InspectReport {
    model: PathBuf,
    opset: i64,
    inputs: Vec<TensorReport>,
    outputs: Vec<TensorReport>,
    /// What the file says of the images that it takes.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    images: BTreeMap<String, String>,
    /// Outputs that nothing computes.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    passed: Vec<PassedReport>,
    units: Vec<UnitReport>,
    parameters: usize,
    multiply_accumulates: usize,
    batch_norms: BatchNorms,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    fused: Vec<FusionReport>,
    quantized: Coverage,
    /// The quantizers of a file that is quantized already.
    #[serde(skip_serializing_if = "Option::is_none")]
    taken_over: Option<TakenOver>,
    /// Why `verify` cannot run it in integers, where it cannot.
    #[serde(skip_serializing_if = "Option::is_none")]
    without_integers: Option<String>,
    /// What it takes as C.
    #[serde(skip_serializing_if = "Option::is_none")]
    c: Option<Footprint>,
    /// Why it cannot be written as C.
    #[serde(skip_serializing_if = "Option::is_none")]
    without_c: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    plan: Option<String>,
}

/// An output that is handed out as it is in the file.
#[derive(Debug, Serialize)]
struct PassedReport {
    name: String,
    /// A constant, or the input that it is.
    value: String,
}

/// An input or an output.
#[derive(Debug, Serialize)]
struct TensorReport {
    name: String,
    #[serde(serialize_with = "extents")]
    shape: Shape,
    /// Its type in the file, where that is another than float32.
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    kind: Option<&'static str>,
    quantizer: Option<String>,
}

/// A shape as an array, the batch in words: `["N", 3, 224, 224]`.
fn extents<S: Serializer>(shape: &Shape, serializer: S) -> Result<S::Ok, S::Error> {
    let extent = |dim: &Dim| dim.fixed().map_or_else(|| json!(dim.to_string()), |extent| json!(extent));
    serializer.collect_seq(shape.0.iter().map(extent))
}

/// What is computed in one go and quantized once.
#[derive(Debug, Serialize)]
struct UnitReport {
    node: String,
    operators: Vec<&'static str>,
    #[serde(serialize_with = "extents")]
    shape: Shape,
    parameters: usize,
    multiply_accumulates: usize,
    /// `folded` into the weights, or `kept` as an operator of its own.
    batch_norm: Option<&'static str>,
    /// The kind of integers of the weights.
    weights: Option<String>,
    /// The kind of integers of the output, or whose it carries.
    output: Option<String>,
    /// The range of the output, where it is known: in a run that was trained, and where the file has quantizers of its own.
    range: Option<(f32, f32)>,
    /// Why it runs in float.
    float: Option<String>,
    /// What its sums may reach, where ranges are known.
    #[serde(skip_serializing_if = "Option::is_none")]
    sums: Option<Sums>,
}

/// The sums of a block, before any image.
#[derive(Clone, Debug, Serialize)]
struct Sums {
    /// The largest sum of products and bias, in codes.
    largest: i64,
    /// The largest bias, in codes.
    bias: i64,
    /// Bits of the integers that sums are made in.
    bits: u8,
    /// What the simulation makes them in, exactly: `f32`, with the bias added behind the products, `i32` or `f64`.
    simulated: String,
}

impl Sums {
    /// Of every block of a network whose ranges are known, by the name of its node.
    fn of(net: &QuantGraph) -> HashMap<String, Sums> {
        let program = net.is_calibrated().then(|| IntegerProgram::lower(net).ok()).flatten();
        let sums = |b: &BlockReport| {
            let bits = if b.accumulator == Accumulator::I32 { 32 } else { 64 };
            let simulated = quantrain_engine::Sums::of(b.products as f64, b.bound as f64, b.are_bytes).to_string();
            Sums { largest: b.bound, bias: b.bias, bits, simulated }
        };
        program.iter().flat_map(|p| p.blocks()).map(|b| (b.node.clone(), sums(b))).collect()
    }
}

impl fmt::Display for Sums {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let power = |n: i64| if n == 0 { "0".to_owned() } else { format!("2^{:.1}", (n as f64).log2()) };
        write!(f, "{} (bias {}), i{}, simulated {}", power(self.largest), power(self.bias), self.bits, self.simulated)
    }
}

/// Nodes that are one operator, or might have been.
#[derive(Debug, Serialize)]
struct FusionReport {
    /// The last of them, whose name the operator has.
    node: String,
    operators: Vec<&'static str>,
    /// The operator.
    #[serde(skip_serializing_if = "Option::is_none")]
    becomes: Option<&'static str>,
    /// Why they stay what they are.
    #[serde(skip_serializing_if = "Option::is_none")]
    declined: Option<String>,
}

/// How many there are.
#[derive(Debug, Serialize)]
struct BatchNorms {
    folded: usize,
    kept: usize,
}

impl Inspect {
    /// Reads the network, places quantizers and does all else of a quantization that needs no images; runs nothing.
    pub fn run(self) -> Result<InspectReport, CliError> {
        let mut flags = Overrides { gradient_path: self.gradient_path, batch_size: self.batch, ..Overrides::default() };
        self.network.over(&mut flags);
        self.quantization.over(&mut flags);
        let ((recipe, net, taken_over), without_integers) = match Subject::of(&self.subject)? {
            Subject::Run(run) => {
                let recipe = self.recipe.as_deref().map_or_else(|| Ok(run.recipe()), Subject::recipe)?;
                (of_run(&run, Recipe::load(Some(&recipe), self.set.over(flags)?)?)?, None)
            }
            _ => {
                let shown = of_model(super::of_subject(&self.subject, self.recipe.as_deref(), flags, &self.set)?)?;
                let without_integers = dry_run(&shown.1, &shown.0)?.map(|error| error.to_string());
                (shown, without_integers)
            }
        };
        let plan = self.plan.then(|| plan(&net, &recipe)).transpose()?;
        let (c, without_c) = match recipe.quantization().enabled.then(|| c_footprint(&net)).transpose() {
            Ok(c) => (c, None),
            Err(error) => (None, Some(error.to_string())),
        };
        Ok(InspectReport { taken_over, without_integers, c, without_c, ..report(&net, &recipe, plan) })
    }
}

/// A network, the recipe it is shown by, and the quantizers that its file has.
type Shown = (Recipe, QuantGraph, Option<TakenOver>);

fn of_model(recipe: Recipe) -> Result<Shown, CliError> {
    let model = Model::read(&recipe)?;
    let net = model.place(&recipe, model.graph.clone())?;
    Ok((recipe, net, TakenOver::of(&model.quantizers)))
}

/// The network of a run as its last checkpoint has it, if there is one.
fn of_run(run: &RunDirectory, recipe: Recipe) -> Result<Shown, CliError> {
    let mut job = Stored::open(run, recipe.clone(), Some(Which::Last))?.job;
    let taken_over = TakenOver::of(job.file_quantizers());
    Ok((recipe, job.net().clone(), taken_over))
}

fn plan(net: &QuantGraph, recipe: &Recipe) -> Result<String, CliError> {
    let purpose = Purpose::Training(recipe.quantization().gradient_path.into());
    Ok(Plan::new(net, recipe.train().micro_batch, purpose)?.to_string())
}

fn report(net: &QuantGraph, recipe: &Recipe, plan: Option<String>) -> InspectReport {
    let graph = net.graph();
    let tensors = |ids: &[TensorId]| {
        ids.iter()
            .map(|&t| TensorReport {
                name: graph.tensor(t).name.clone(),
                shape: graph.tensor(t).shape.clone(),
                kind: Some(graph.element_type(t)).filter(|&kind| kind != ElementType::Float).map(ElementType::name),
                quantizer: net.quantizer_of(t).map(|q| scheme::words(&net.quantizers()[q.0].scheme)),
            })
            .collect()
    };
    let mut sums = Sums::of(net);
    let units: Vec<UnitReport> =
        (0..net.units().len()).map(|u| unit_report(net, u)).map(|unit| UnitReport { sums: sums.remove(&unit.node), ..unit }).collect();
    let count = |how: &str| units.iter().filter(|u| u.batch_norm == Some(how)).count();
    InspectReport {
        model: recipe.model().into(),
        opset: graph.opset,
        inputs: tensors(graph.inputs()),
        outputs: tensors(graph.outputs()),
        images: quantrain::stated(&graph.metadata).into_iter().collect(),
        passed: graph.passed.iter().map(|output| passed(graph, output)).collect(),
        parameters: graph.parameter_count(),
        multiply_accumulates: units.iter().map(|u| u.multiply_accumulates).sum(),
        batch_norms: BatchNorms { folded: count(FOLDED), kept: count(KEPT) },
        fused: net.fusions().iter().map(fusion_report).collect(),
        quantized: Coverage::of(net),
        taken_over: None,
        without_integers: None,
        c: None,
        without_c: None,
        units,
        plan,
    }
}

fn passed(graph: &Graph, output: &PassedOutput) -> PassedReport {
    let value = match &output.value {
        Passed::Input(input) => format!("the input `{}` as it comes", graph.tensor(*input).name),
        Passed::Constant { .. } => "a constant, as it is in the file".into(),
    };
    PassedReport { name: output.name.clone(), value }
}

const FOLDED: &str = "folded";
const KEPT: &str = "kept";

fn unit_report(net: &QuantGraph, u: usize) -> UnitReport {
    let (graph, unit) = (net.graph(), net.units()[u]);
    let core = graph.node(unit.core);
    let output = unit.output(graph);
    UnitReport {
        node: core.name.clone(),
        operators: unit.nodes().map(|n| graph.node(n).op.name()).collect(),
        shape: graph.tensor(output).shape.clone(),
        parameters: unit.nodes().map(|n| parameters(graph, n)).sum(),
        multiply_accumulates: graph.multiply_accumulates(unit.core),
        batch_norm: match (unit.batch_norm, &core.op) {
            (Some(_), _) => Some(FOLDED),
            (None, Op::BatchNormalization(_)) => Some(KEPT),
            _ => None,
        },
        weights: net.weight_quantizer(u).map(|w| scheme::words(&w.scheme)),
        output: net.quantizer_of(output).map(|q| activation(net, &unit, q)),
        range: range(net, &unit),
        float: net.float_nodes().iter().find(|(n, _)| *n == unit.core).map(|(_, reason): &(_, FloatReason)| reason.to_string()),
        sums: None,
    }
}

fn fusion_report(fusion: &Fusion) -> FusionReport {
    let (becomes, declined) = match &fusion.outcome {
        Ok(name) => (Some(*name), None),
        Err(reason) => (None, Some(reason.to_string())),
    };
    FusionReport { node: fusion.node.clone(), operators: fusion.operators.clone(), becomes, declined }
}

/// Values in the constants that a node reads.
fn parameters(graph: &Graph, node: NodeId) -> usize {
    graph.node(node).inputs.iter().filter_map(|&t| graph.constant(t)).map(<[f32]>::len).sum()
}

/// The kind of integers of a unit's output, or of whom it has its quantizer.
fn activation(net: &QuantGraph, unit: &Unit, id: QuantizerId) -> String {
    let quantizer = &net.quantizers()[id.0];
    let own = net.graph().tensor(unit.output(net.graph())).name == quantizer.tensor;
    if own { scheme::words(&quantizer.scheme) } else { format!("as `{}`", quantizer.tensor) }
}

/// The range of a quantizer that was trained, or that the file has.
fn range(net: &QuantGraph, unit: &Unit) -> Option<(f32, f32)> {
    let quantizer = net.quantizer_of(unit.output(net.graph())).and_then(|q| net.quantizers()[q.0].quantizer().ok().flatten())?;
    let range = quantizer.range();
    Some((range.min, range.max))
}

impl fmt::Display for InspectReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} (operator set {})", self.model.display(), self.opset)?;
        for (what, tensors) in [("input", &self.inputs), ("output", &self.outputs)] {
            for t in tensors {
                let kind = t.kind.map_or_else(String::new, |kind| format!("{kind} "));
                writeln!(f, "{what} `{}` {kind}{}: {}", t.name, t.shape, t.quantizer.as_deref().unwrap_or("float"))?;
            }
        }
        self.images.iter().try_for_each(|(key, value)| writeln!(f, "the file says of its images: {key} = {value}"))?;
        for PassedReport { name, value } in &self.passed {
            writeln!(f, "output `{name}`: {value}")?;
        }
        writeln!(f, "\n{}", self.table().fitted_without(f.width(), &["BatchNorm", "parameters", "MACs", "largest sum"]))?;
        let BatchNorms { folded, kept } = self.batch_norms;
        let norms = match (folded, kept) {
            (0, 0) => "none; folded in the file already, or never there".to_owned(),
            _ => format!("{folded} folded into weights, {kept} kept as operators"),
        };
        writeln!(f, "{} parameters, {} multiply-accumulates an image", grouped(self.parameters), grouped(self.multiply_accumulates))?;
        writeln!(f, "BatchNormalization: {norms}")?;
        for fused in &self.fused {
            let operators = fused.operators.join("+");
            match (&fused.becomes, &fused.declined) {
                (Some(becomes), _) => writeln!(f, "`{}`: {operators} is one {becomes}", fused.node)?,
                (None, reason) => writeln!(f, "`{}`: {operators} stays, {}", fused.node, reason.as_deref().unwrap_or_default())?,
            }
        }
        if let Some(taken_over) = &self.taken_over {
            writeln!(f, "{taken_over}")?;
        }
        write!(f, "{}", self.quantized)?;
        if let Some(reason) = &self.without_integers {
            writeln!(f, "`quantrain verify` cannot run it in integers: {reason}")?;
        }
        match (&self.c, &self.without_c) {
            (Some(footprint), _) => report::wrapped(f, "as C:", " ", &footprint.to_string())?,
            (None, Some(reason)) => report::wrapped(f, "not as C:", " ", reason)?,
            (None, None) => {}
        }
        self.plan.as_ref().map_or(Ok(()), |plan| write!(f, "\n{plan}"))
    }
}

impl InspectReport {
    fn table(&self) -> Table {
        let (left, right) = (Align::Left, Align::Right);
        let mut columns = vec![
            ("node", left),
            ("operators", left),
            ("output", left),
            ("parameters", right),
            ("MACs", right),
            ("BatchNorm", left),
            ("weights", left),
            ("activations", left),
        ];
        let has_sums = self.units.iter().any(|u| u.sums.is_some());
        columns.extend(has_sums.then_some(("largest sum", left)));
        let mut table = Table::new(&columns);
        for u in &self.units {
            let range = u.range.map_or(String::new(), |(min, max)| format!(" [{min:.4}, {max:.4}]"));
            let output = match (&u.output, &u.float) {
                (Some(output), _) => output.clone() + &range,
                (None, Some(reason)) => format!("float{range}: {reason}"),
                (None, None) => format!("float{range}"),
            };
            let mut row = vec![
                u.node.clone(),
                u.operators.join("+"),
                u.shape.to_string(),
                grouped(u.parameters),
                grouped(u.multiply_accumulates),
                u.batch_norm.unwrap_or_default().to_owned(),
                u.weights.clone().unwrap_or_default(),
                output,
            ];
            row.extend(has_sums.then(|| u.sums.as_ref().map(Sums::to_string).unwrap_or_default()));
            table.row(row);
        }
        table
    }
}
