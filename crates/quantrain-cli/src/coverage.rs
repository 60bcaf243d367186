//! What of a network is quantized, what is not, and why.

use std::collections::BTreeMap;
use std::fmt;

use quantrain_graph::{FileQuantizers, QuantGraph, Remedy, Separation, Spread, TensorId};
use serde::Serialize;

use crate::scheme;

/// What is quantized.
#[derive(Clone, Debug, Serialize)]
pub struct Coverage {
    /// Name of the target.
    pub target: String,
    /// Operators in all.
    pub operators: usize,
    /// Layers with weights, by the kind of their integers.
    pub weights: BTreeMap<String, usize>,
    /// Activation quantizers, by the kind of their integers.
    pub activations: BTreeMap<String, usize>,
    /// What runs in float.
    pub float: Vec<FloatNode>,
    /// What became of the file while it was read.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
    /// Where ranges do not let values share a quantizer as the target's rules would have it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub separated: Vec<Separated>,
    /// Before ranges are known, where that may happen.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub undecided: Vec<Undecided>,
}

/// A tensor whose values do not share a quantizer.
#[derive(Clone, Debug, Serialize)]
pub struct Separated {
    /// The operator's name.
    pub node: String,
    /// The operator.
    pub operator: &'static str,
    /// Which values would lose too much, and to what.
    pub spread: Spread,
    /// What is done instead.
    pub remedy: String,
}

/// A tensor whose values may turn out not to share a quantizer.
#[derive(Clone, Debug, Serialize)]
pub struct Undecided {
    /// The operator's name.
    pub node: String,
    /// The operator.
    pub operator: &'static str,
    /// What the tensor is made of.
    pub parts: Vec<String>,
}

/// An operator that runs in float.
#[derive(Clone, Debug, Serialize)]
pub struct FloatNode {
    /// Its name.
    pub node: String,
    /// The operator.
    pub operator: &'static str,
    /// Why.
    pub reason: String,
}

impl Coverage {
    /// Of a network.
    pub fn of(net: &QuantGraph) -> Self {
        let graph = net.graph();
        let mut coverage = Coverage {
            target: net.target().name().to_owned(),
            operators: graph.nodes().len(),
            weights: BTreeMap::new(),
            activations: BTreeMap::new(),
            float: Vec::new(),
            notes: graph.notes.iter().map(ToString::to_string).collect(),
            separated: net.separations().iter().filter_map(|s| separated(net, s)).collect(),
            undecided: net.undecided().into_iter().filter_map(|(tensor, parts)| undecided(net, tensor, &parts)).collect(),
        };
        for weights in (0..net.units().len()).filter_map(|u| net.weight_quantizer(u)) {
            *coverage.weights.entry(scheme::words(&weights.scheme)).or_default() += 1;
        }
        for quantizer in net.quantizers() {
            *coverage.activations.entry(scheme::words(&quantizer.scheme)).or_default() += 1;
        }
        for (id, reason) in net.float_nodes() {
            let node = graph.node(*id);
            coverage.float.push(FloatNode { node: node.name.clone(), operator: node.op.name(), reason: reason.to_string() });
        }
        coverage
    }
}

/// The quantizers of a file that is quantized already, which go on as they are.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct TakenOver {
    /// Activations that have one.
    pub activations: usize,
    /// Weights and biases that are integers.
    pub constants: usize,
}

impl TakenOver {
    /// `None` where the file is a float network.
    pub fn of(file: &FileQuantizers) -> Option<Self> {
        (!file.is_empty()).then(|| TakenOver { activations: file.activations(), constants: file.weights() })
    }
}

impl fmt::Display for TakenOver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the file is quantized: its own quantizers of {} activations, and {} integer constants", self.activations, self.constants)
    }
}

/// What the rows of a table of scores are called before refinement and training.
pub fn names_before(taken_over: Option<&TakenOver>) -> (&'static str, &'static str) {
    match taken_over {
        None => ("float", "calibrated"),
        Some(_) => ("without its quantizers", "with the file's quantizers"),
    }
}

/// Where ranges come from: images, of whose values so many percent were chosen to be kept, or the file.
pub fn ranges_from(images: usize, percentile: Option<f32>) -> String {
    match (images, percentile) {
        (0, _) => "ranges as the file has them".into(),
        (_, None) => format!("ranges from {images} images"),
        (_, Some(percentile)) => format!("ranges from {images} images, of {percentile} % of the values, as measured"),
    }
}

fn separated(net: &QuantGraph, separation: &Separation) -> Option<Separated> {
    let (tensor, spread) = (net.graph().find(&separation.tensor)?, separation.spread.clone()?);
    let (node, operator) = writer(net, tensor)?;
    let bits = net.quantizer_of(tensor).map(|q| net.quantizers()[q.0].scheme.bits);
    let remedy = match (separation.remedy, bits) {
        (Remedy::Saturated { below }, _) => format!("values below {below} are the lowest code"),
        (Remedy::Requantized, _) => "its result has a quantizer of its own".to_owned(),
        (Remedy::Apart | Remedy::Masked | Remedy::Float, None)
            if net.float_nodes().iter().any(|(id, _)| net.graph().node(*id).name == node) =>
        {
            IN_FLOAT.to_owned()
        }
        (Remedy::Float, _) | (Remedy::Apart | Remedy::Masked, None) => "its result is float".to_owned(),
        (Remedy::Apart | Remedy::Masked, Some(16)) => "16 bits".to_owned(),
        (Remedy::Apart | Remedy::Masked, Some(bits)) => format!("none: {bits} bits, the target has no 16"),
    };
    Some(Separated { node, operator, spread, remedy })
}

const IN_FLOAT: &str = "float";

fn undecided(net: &QuantGraph, tensor: TensorId, parts: &[TensorId]) -> Option<Undecided> {
    let (node, operator) = writer(net, tensor)?;
    Some(Undecided { node, operator, parts: parts.iter().map(|&t| net.graph().tensor(t).name.clone()).collect() })
}

/// The node that writes a tensor; of a unit its core.
fn writer(net: &QuantGraph, tensor: TensorId) -> Option<(String, &'static str)> {
    let unit = net.units().iter().find(|unit| unit.output(net.graph()) == tensor)?;
    let node = net.graph().node(unit.core);
    Some((node.name.clone(), node.op.name()))
}

/// Reasons that are shared by more nodes than this are told once.
const LISTED: usize = 8;

impl fmt::Display for Coverage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let quantized = self.operators - self.float.len();
        writeln!(f, "target {}: {quantized} of {} operators quantized", self.target, self.operators)?;
        for (what, kinds) in [("layers with weights of", &self.weights), ("activations of", &self.activations)] {
            for (kind, count) in kinds {
                writeln!(f, "  {count} {what} {kind}")?;
            }
        }
        let mut by_reason: BTreeMap<&str, Vec<&FloatNode>> = BTreeMap::new();
        self.float.iter().for_each(|node| by_reason.entry(&node.reason).or_default().push(node));
        for (reason, nodes) in by_reason {
            let mut names: Vec<String> = nodes.iter().take(LISTED).map(|n| format!("{} ({})", n.node, n.operator)).collect();
            if nodes.len() > LISTED {
                names.push(format!("{} more", nodes.len() - LISTED));
            }
            writeln!(f, "  in float, as {reason}: {}", names.join(", "))?;
        }
        self.notes.iter().try_for_each(|note| writeln!(f, "  {note}"))?;
        // What is in float stands above.
        for Separated { node, operator, spread, remedy } in self.separated.iter().filter(|s| s.remedy != IN_FLOAT) {
            writeln!(f, "  {node} ({operator}): {remedy}, as {spread}")?;
        }
        for Undecided { node, operator, parts } in self.undecided.iter().take(LISTED) {
            writeln!(f, "  {node} ({operator}): calibration decides whether `{}` share a quantizer", parts.join("`, `"))?;
        }
        if let more @ 1.. = self.undecided.len().saturating_sub(LISTED) {
            writeln!(f, "  and so for {more} more")?;
        }
        Ok(())
    }
}
