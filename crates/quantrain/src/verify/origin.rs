//! Where ONNX Runtime's codes begin to differ, and why.

use std::collections::HashMap;

use quantrain_graph::{QuantGraph, Quantizer, Rounding, TensorId};
use quantrain_integer::{CodeMonitor, IntegerProgram};
use quantrain_onnx::Maker;
use serde::Serialize;

use crate::RunError;
use crate::onnxruntime::OnnxRuntime;

/// Codes of one inner tensor in ONNX Runtime and in the integer program.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct InnerComparison {
    /// Name of the tensor.
    pub tensor: String,
    /// The operator that makes it, or `input`.
    pub operator: &'static str,
    /// Codes compared.
    pub codes: usize,
    /// Codes that differ.
    pub differ: usize,
    /// Those of them in images in which all that the operator reads is the same: the difference begins here.
    pub begins: usize,
    /// The largest difference that begins here, in codes.
    pub largest: u32,
    /// What ONNX Runtime's optimizer made of the operator.
    pub runs_as: Option<String>,
    /// Why codes may differ there.
    pub reason: String,
}

/// What is counted of the inner tensors of a network.
pub(super) struct Origins {
    images: usize,
    /// Values of outputs that are others once inner tensors are handed out.
    fused_otherwise: usize,
    /// The network's inputs, then each unit.
    tensors: Vec<Counted>,
}

struct Counted {
    comparison: InnerComparison,
    tensor: TensorId,
    reads: Vec<TensorId>,
    quantizer: Option<Quantizer>,
}

/// Keeps every code.
#[derive(Default)]
struct Codes(HashMap<TensorId, Vec<i32>>);

impl CodeMonitor for Codes {
    fn codes(&mut self, tensor: TensorId, _: &Quantizer, codes: &[i32]) {
        self.0.insert(tensor, codes.to_vec());
    }
}

impl Origins {
    pub fn new(net: &QuantGraph) -> Self {
        let graph = net.graph();
        let inputs = graph.inputs().iter().map(|&t| (t, "input", Vec::new()));
        let units = net.units().iter().map(|u| (u.output(graph), graph.node(u.core).op.name(), u.inputs(graph).collect()));
        let counted = |(tensor, operator, reads): (TensorId, &'static str, Vec<TensorId>)| {
            let (name, reason) = (graph.tensor(tensor).name.clone(), String::new());
            let comparison = InnerComparison { tensor: name, operator, codes: 0, differ: 0, begins: 0, largest: 0, runs_as: None, reason };
            let quantizer = net.quantizer_of(tensor).and_then(|q| net.quantizers()[q.0].quantizer().ok().flatten());
            Counted { comparison, tensor, reads, quantizer }
        };
        Origins { images: 0, fused_otherwise: 0, tensors: inputs.chain(units).map(counted).collect() }
    }

    /// Images compared so far.
    pub fn images(&self) -> usize {
        self.images
    }

    /// Values of outputs that are others once inner tensors are handed out: 0 where the optimizer made the same of both.
    pub fn fused_otherwise(&self) -> usize {
        self.fused_otherwise
    }

    /// Runs a batch of `[N, H, W, C]`, whose outputs are known, both ways and takes up every inner tensor.
    pub fn compare(
        &mut self,
        program: &IntegerProgram,
        runtime: &mut OnnxRuntime,
        x: &[f32],
        shape: &[usize; 4],
        outputs: &[Vec<f32>],
    ) -> Result<(), RunError> {
        let size = shape[0];
        let mut ours = Codes::default();
        program.run(size, &[x], &mut ours)?;
        let (opener, inner) = runtime.inner()?;
        let (theirs, again) = inner.run(opener, x, shape)?;
        let pairs = outputs.iter().flatten().zip(again.iter().flatten());
        self.fused_otherwise += pairs.filter(|(a, b)| a != b).count();
        // Of each tensor, the images in which it is the same; one that cannot be compared is where all that it is made of is.
        let mut same: HashMap<TensorId, Vec<bool>> = HashMap::new();
        for counted in &mut self.tensors {
            let reads_same = |image: usize| counted.reads.iter().all(|t| same.get(t).is_none_or(|same| same[image]));
            let reads: Vec<bool> = (0..size).map(reads_same).collect();
            let found = inner.output_of(&counted.comparison.tensor).and_then(|output| theirs.get(output));
            let pair = ours.0.get(&counted.tensor).zip(found).filter(|(a, b)| a.len() == b.len());
            let is_same = match pair {
                Some((ours, theirs)) => counted.comparison.take(size, &reads, ours, theirs),
                None => reads,
            };
            same.insert(counted.tensor, is_same);
        }
        self.images += size;
        Ok(())
    }

    /// The tensors that differ, in the order they are computed.
    pub fn finish(self, runtime: Option<&mut OnnxRuntime>) -> Vec<InnerComparison> {
        let Some((options, inner)) = runtime.and_then(|r| Some((r.options(), r.opened_inner()?))) else { return Vec::new() };
        let explained = |counted: Counted| {
            let maker = inner.maker(&counted.comparison.tensor);
            let rounding = counted.quantizer.map(|q| q.rounding());
            let runs_as = maker.as_ref().map(|(Maker::Integer(op) | Maker::Float(op))| op.clone());
            InnerComparison { runs_as, reason: reason(maker.as_ref(), rounding, options.exact), ..counted.comparison }
        };
        self.tensors.into_iter().filter(|t| t.comparison.differ > 0).map(explained).collect()
    }
}

impl InnerComparison {
    /// Counts a batch; gives the images in which all codes are the same.
    fn take(&mut self, images: usize, reads_same: &[bool], ours: &[i32], theirs: &[i32]) -> Vec<bool> {
        let image = (ours.len() / images.max(1)).max(1);
        let mut same = Vec::with_capacity(images);
        for ((ours, theirs), &reads_same) in ours.chunks(image).zip(theirs.chunks(image)).zip(reads_same) {
            let differences = ours.iter().zip(theirs).map(|(a, b)| a.abs_diff(*b)).filter(|d| *d > 0);
            let (differ, largest) = differences.fold((0, 0), |(count, largest), d| (count + 1, d.max(largest)));
            self.codes += ours.len();
            self.differ += differ;
            if reads_same {
                self.begins += differ;
                self.largest = self.largest.max(largest);
            }
            same.push(differ == 0);
        }
        same
    }
}

/// Why the codes of a tensor may differ.
fn reason(maker: Option<&Maker>, rounding: Option<Rounding>, exact: bool) -> String {
    let sums_products = |op: &str| ["Conv", "Gemm", "MatMul"].iter().any(|product| op.contains(product));
    match maker {
        _ if rounding.is_some_and(|r| r != Rounding::HalfToEven) => "a QDQ file rounds half to even, the target does not".to_owned(),
        Some(Maker::Float(op)) => format!("{op} runs in float, between DequantizeLinear and QuantizeLinear"),
        Some(Maker::Integer(op)) if sums_products(op) && saturates() && !exact => {
            format!("{op} saturates pairs of products at 16 bits on this machine; --exact-session does not")
        }
        Some(Maker::Integer(op)) => format!("{op} computes by another formula on this machine"),
        None => "what ONNX Runtime makes of the operator is not known".to_owned(),
    }
}

/// Whether ONNX Runtime's default session adds pairs of products of bytes in 16 bits on this machine.
fn saturates() -> bool {
    #[cfg(target_arch = "x86_64")]
    return !is_x86_feature_detected!("avx512vnni") && !is_x86_feature_detected!("avxvnni");
    #[cfg(not(target_arch = "x86_64"))]
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_difference_begins_where_what_is_read_is_the_same() {
        let mut tensor = InnerComparison {
            tensor: "y".into(),
            operator: "Add",
            codes: 0,
            differ: 0,
            begins: 0,
            largest: 0,
            runs_as: None,
            reason: String::new(),
        };
        // Three images of two codes; the last one reads what differs already.
        let same = tensor.take(3, &[true, true, false], &[1, 2, 3, 4, 5, 6], &[1, 2, 3, 6, 9, 9]);
        assert_eq!(same, [true, false, false]);
        assert_eq!((tensor.codes, tensor.differ, tensor.begins, tensor.largest), (6, 3, 1, 2));
    }

    #[test]
    fn reasons_tell_float_from_rounding_from_saturation() {
        let even = Some(Rounding::HalfToEven);
        assert!(reason(Some(&Maker::Float("Conv".into())), even, false).starts_with("Conv runs in float"));
        assert!(reason(Some(&Maker::Float("Conv".into())), Some(Rounding::HalfUp), false).contains("half to even"));
        assert!(reason(Some(&Maker::Integer("QLinearConv".into())), Some(Rounding::HalfUp), false).contains("half to even"));
        assert!(reason(Some(&Maker::Integer("QLinearConv".into())), even, true).contains("another formula"));
    }
}
