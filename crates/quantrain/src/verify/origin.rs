//! Where ONNX Runtime's codes begin to differ, and why.

use std::collections::HashMap;

use quantrain_graph::{QuantGraph, Quantizer, TensorId};
use quantrain_integer::{CodeMonitor, IntegerProgram};
use quantrain_onnx::Maker;
use serde::Serialize;

use super::cause::{Cause, CauseCount, Hypotheses};
use crate::RunError;
use crate::feeds::fed;
use crate::onnxruntime::{InnerRun, InnerSession, OnnxRuntime};

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
    /// Why, of those codes that begin to differ here and were looked at: the first few of each batch.
    pub causes: Vec<CauseCount>,
}

/// Codes of a tensor and batch whose cause is looked for.
const LOOKED_AT: usize = 4096;

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
    /// Whether the file has weights of the operator in float.
    has_float_weights: bool,
    /// Differences of this batch that begin here.
    found: Vec<Difference>,
}

/// A code that is another.
struct Difference {
    /// Where in the tensor, as it lies in memory.
    at: usize,
    ours: i32,
    theirs: i32,
    cause: Option<Cause>,
}

impl Origins {
    pub fn new(net: &QuantGraph) -> Self {
        let graph = net.graph();
        let inputs = graph.inputs().iter().map(|&t| (t, "input", Vec::new(), false));
        let units = net.units().iter().enumerate().map(|(u, unit)| {
            let has_float_weights = unit.block(graph).is_some() && net.weight_quantizer(u).is_none();
            (unit.output(graph), graph.node(unit.core).op.name(), unit.inputs(graph).collect(), has_float_weights)
        });
        let counted = |(tensor, operator, reads, has_float_weights): (TensorId, &'static str, Vec<TensorId>, bool)| {
            let name = graph.tensor(tensor).name.clone();
            let comparison =
                InnerComparison { tensor: name, operator, codes: 0, differ: 0, begins: 0, largest: 0, runs_as: None, causes: Vec::new() };
            Counted { comparison, tensor, reads, has_float_weights, found: Vec::new() }
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

    /// Runs a batch of so many samples, whose outputs are known, both ways and takes up every inner tensor.
    pub fn compare(
        &mut self,
        program: &IntegerProgram,
        hypotheses: &Hypotheses,
        runtime: &mut OnnxRuntime,
        (size, x): (usize, &[&[f32]]),
        outputs: &[Vec<f32>],
    ) -> Result<(), RunError> {
        let (opener, session) = runtime.inner()?;
        let theirs = session.run(opener, &fed(program.quant_graph().graph(), size, x))?;
        let again = theirs.reals();
        self.fused_otherwise += outputs.iter().flatten().zip(again.iter().flatten()).filter(|(a, b)| a != b).count();
        program.run(size, x, &mut Walk { tensors: &mut self.tensors, theirs: &theirs, size, same: HashMap::new(), next: 0 })?;
        drop(theirs);
        let mut open: HashMap<TensorId, &mut Vec<Difference>> =
            self.tensors.iter_mut().filter(|t| !t.found.is_empty()).map(|t| (t.tensor, &mut t.found)).collect();
        if !open.is_empty() {
            for (cause, program) in hypotheses.programs() {
                program.run(size, x, &mut Suspect { cause, open: &mut open })?;
            }
        }
        self.tensors.iter_mut().for_each(|counted| counted.explain(session));
        self.images += size;
        Ok(())
    }

    /// The tensors that differ, in the order they are computed.
    pub fn finish(self) -> Vec<InnerComparison> {
        self.tensors.into_iter().map(|t| t.comparison).filter(|t| t.differ > 0).collect()
    }
}

/// Compares tensor by tensor, as the integer program makes them.
struct Walk<'w, 'r> {
    tensors: &'w mut [Counted],
    theirs: &'w InnerRun<'r>,
    /// Images of the batch.
    size: usize,
    /// Of each tensor so far, the images in which it is the same; one that cannot be compared is where all that it is made of is.
    same: HashMap<TensorId, Vec<bool>>,
    next: usize,
}

impl CodeMonitor for Walk<'_, '_> {
    fn codes(&mut self, tensor: TensorId, _: &Quantizer, ours: &[i32]) {
        while let Some(counted) = self.tensors.get_mut(self.next) {
            self.next += 1;
            let is_same = |t: &TensorId, image: usize| self.same.get(t).is_none_or(|same| same[image]);
            let reads: Vec<bool> = (0..self.size).map(|image| counted.reads.iter().all(|t| is_same(t, image))).collect();
            let is_shown = counted.tensor == tensor;
            let theirs = if is_shown { self.theirs.codes(&counted.comparison.tensor) } else { None };
            let same = match theirs.filter(|theirs| theirs.len() == ours.len()) {
                Some(theirs) => counted.take(self.size, &reads, ours, &theirs),
                None => reads,
            };
            self.same.insert(counted.tensor, same);
            if is_shown {
                return;
            }
        }
    }
}

/// Marks the differences that a cause would give.
struct Suspect<'s, 'd> {
    cause: Cause,
    open: &'s mut HashMap<TensorId, &'d mut Vec<Difference>>,
}

impl CodeMonitor for Suspect<'_, '_> {
    fn wants(&self, tensor: TensorId) -> bool {
        self.open.contains_key(&tensor)
    }

    fn codes(&mut self, tensor: TensorId, _: &Quantizer, codes: &[i32]) {
        for difference in self.open.get_mut(&tensor).into_iter().flat_map(|found| found.iter_mut()) {
            if codes.get(difference.at) == Some(&difference.theirs) {
                difference.cause.get_or_insert(self.cause);
            }
        }
    }
}

impl Counted {
    /// Counts a batch; gives the images in which all codes are the same.
    fn take(&mut self, images: usize, reads_same: &[bool], ours: &[i32], theirs: &[i32]) -> Vec<bool> {
        let image = (ours.len() / images.max(1)).max(1);
        let mut same = vec![true; images];
        self.comparison.codes += ours.len();
        for (at, (&ours, &theirs)) in ours.iter().zip(theirs).enumerate().filter(|(_, (a, b))| a != b) {
            same[at / image] = false;
            self.comparison.differ += 1;
            if reads_same[at / image] {
                self.comparison.begins += 1;
                self.comparison.largest = self.comparison.largest.max(ours.abs_diff(theirs));
                if self.found.len() < LOOKED_AT {
                    self.found.push(Difference { at, ours, theirs, cause: None });
                }
            }
        }
        same
    }

    /// Counts the causes of this batch's differences.
    fn explain(&mut self, session: &InnerSession) {
        let tensor = &self.comparison.tensor;
        if self.comparison.differ > 0 && self.comparison.runs_as.is_none() {
            self.comparison.runs_as = session.maker(tensor).map(|(Maker::Integer(op) | Maker::Float(op))| op);
        }
        let (maker, is_requantized) = (session.maker(tensor), self.has_float_weights && session.has_integer_weights(tensor));
        for difference in self.found.drain(..) {
            let by_one = difference.ours.abs_diff(difference.theirs) == 1;
            let cause =
                if is_requantized { Cause::WeightsQuantized } else { difference.cause.unwrap_or_else(|| by_maker(maker.as_ref(), by_one)) };
            CauseCount::add(&mut self.comparison.causes, cause);
        }
    }
}

/// The cause where no hypothesis gives the code: near ties move a code by one, and no further.
fn by_maker(maker: Option<&Maker>, by_one: bool) -> Cause {
    match maker {
        Some(Maker::Float(_)) if by_one => Cause::FloatSums,
        Some(Maker::Integer(_)) if by_one => Cause::OtherFormula,
        _ => Cause::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counted() -> Counted {
        let comparison = InnerComparison {
            tensor: "y".into(),
            operator: "Add",
            codes: 0,
            differ: 0,
            begins: 0,
            largest: 0,
            runs_as: None,
            causes: Vec::new(),
        };
        Counted { comparison, tensor: TensorId(0), reads: Vec::new(), has_float_weights: false, found: Vec::new() }
    }

    #[test]
    fn a_difference_begins_where_what_is_read_is_the_same() {
        let mut tensor = counted();
        // Three images of two codes; the last one reads what differs already.
        let same = tensor.take(3, &[true, true, false], &[1, 2, 3, 4, 5, 6], &[1, 2, 3, 6, 9, 9]);
        assert_eq!(same, [true, false, false]);
        let found = &tensor.comparison;
        assert_eq!((found.codes, found.differ, found.begins, found.largest), (6, 3, 1, 2));
        assert_eq!(tensor.found.iter().map(|d| (d.at, d.ours, d.theirs)).collect::<Vec<_>>(), [(3, 4, 6)]);
    }

    #[test]
    fn a_near_tie_moves_a_code_by_one_only() {
        let (float, integer) = (Maker::Float("Conv".into()), Maker::Integer("QLinearConv".into()));
        assert_eq!([by_maker(Some(&float), true), by_maker(Some(&integer), true)], [Cause::FloatSums, Cause::OtherFormula]);
        assert!([Some(&float), Some(&integer), None].into_iter().all(|maker| by_maker(maker, false) == Cause::Unknown));
    }
}
