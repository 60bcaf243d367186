//! Why codes of ONNX Runtime are others: what each cause would give is computed, and compared code by code.

use quantrain_graph::{Graph, QuantGraph, Rounding, Target};
use quantrain_integer::{Arithmetic, Formula, IntegerProgram, Products};
use serde::Serialize;

use crate::RunError;

/// Why a code is another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Cause {
    /// A QDQ file rounds ties half to even, the target does not.
    TieRounding,
    /// Pairs of products saturate at 16 bits.
    Saturation,
    /// The layer is float in the file, and ONNX Runtime quantizes its weights while it loads the file.
    WeightsQuantized,
    /// The operator runs in float, and a sum that is nearly a tie falls to the other side.
    FloatSums,
    /// The operator runs in integers, and rounds a near tie otherwise.
    OtherFormula,
    /// None of these.
    Unknown,
}

impl Cause {
    /// The cause in a few words.
    pub fn name(self) -> &'static str {
        match self {
            Cause::TieRounding => "ties to even",
            Cause::Saturation => "saturated pairs",
            Cause::WeightsQuantized => "float weights quantized",
            Cause::FloatSums => "float sums",
            Cause::OtherFormula => "another formula",
            Cause::Unknown => "not explained",
        }
    }

    /// What it is, and what to do.
    pub fn text(self) -> &'static str {
        match self {
            Cause::TieRounding => "a QDQ file rounds half to even, the target does not; the integer program is the target's arithmetic",
            Cause::Saturation => {
                "ONNX Runtime saturates pairs of products at 16 bits on this machine, which has no VNNI; \
                 --exact-session does not, nor does it with weights for the target onnxruntime"
            }
            Cause::WeightsQuantized => {
                "a layer that is float in the file is not in ONNX Runtime, whose optimizer quantizes its weights, one scale a tensor, \
                 while it loads the file; a Sum of one operand before the layer, as quantrain's export has it, keeps it in float"
            }
            Cause::FloatSums => "the operator runs in float, between DequantizeLinear and QuantizeLinear; near ties fall to either side",
            Cause::OtherFormula => "the operator runs in integers, and rounds near ties by another formula on this machine",
            Cause::Unknown => "no cause that is known gives these codes; try --exact-session, and report the file",
        }
    }
}

/// Codes that have a cause.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct CauseCount {
    /// Why they are others.
    pub cause: Cause,
    /// How many they are.
    pub codes: usize,
}

impl CauseCount {
    /// Counts one more code of a cause.
    pub(super) fn add(counts: &mut Vec<CauseCount>, cause: Cause) {
        match counts.iter_mut().find(|count| count.cause == cause) {
            Some(count) => count.codes += 1,
            None => counts.push(CauseCount { cause, codes: 1 }),
        }
    }

    /// The cause of most codes.
    pub fn main(counts: &[CauseCount]) -> Option<Cause> {
        counts.iter().max_by_key(|count| (count.codes, std::cmp::Reverse(count.cause))).map(|count| count.cause)
    }
}

/// The network as ONNX Runtime would compute it, for each cause that may hold on this machine.
pub(super) struct Hypotheses(Vec<(Cause, IntegerProgram)>);

/// The outputs of each.
pub(super) struct Predictions(Vec<(Cause, Vec<Vec<f32>>)>);

impl Hypotheses {
    /// For the network of a file, adopted as `net`; in a session with exact products none saturates.
    pub fn new(graph: Graph, net: &QuantGraph, exact: bool) -> Result<Self, RunError> {
        Hypotheses::on(graph, net, saturates() && !exact)
    }

    fn on(graph: Graph, net: &QuantGraph, saturates: bool) -> Result<Self, RunError> {
        let rounds_otherwise = |q: &quantrain_graph::ActivationQuantizer| q.fixed.is_some_and(|q| q.rounding() != Rounding::HalfToEven);
        let theirs = QuantGraph::adopt(graph, Target::onnxruntime())?;
        let mut programs = Vec::new();
        if net.quantizers().iter().any(rounds_otherwise) {
            programs.push((Cause::TieRounding, IntegerProgram::lower(&theirs)?));
        }
        if saturates {
            let arithmetic = Arithmetic { formula: Formula::Multiply, products: Products::SaturatingPairs };
            let program = IntegerProgram::lower_with(&theirs, arithmetic)?;
            programs.extend(program.may_saturate().then_some((Cause::Saturation, program)));
        }
        Ok(Hypotheses(programs))
    }

    /// Runs a batch by each hypothesis.
    pub fn predict(&self, size: usize, x: &[&[f32]]) -> Result<Predictions, RunError> {
        let run = |(cause, program): &(Cause, IntegerProgram)| Ok((*cause, program.run(size, x, &mut ())?));
        self.0.iter().map(run).collect::<Result<_, RunError>>().map(Predictions)
    }

    /// What computes as each cause would have it.
    pub fn programs(&self) -> impl Iterator<Item = (Cause, &IntegerProgram)> {
        self.0.iter().map(|(cause, program)| (*cause, program))
    }
}

impl Predictions {
    /// The first cause whose outputs `agree`: the rounding alone before what has saturation as well.
    pub fn cause(&self, agree: impl Fn(&[Vec<f32>]) -> bool) -> Option<Cause> {
        self.0.iter().find(|(_, outputs)| agree(outputs)).map(|(cause, _)| *cause)
    }
}

/// Whether ONNX Runtime's default session adds pairs of products of bytes in 16 bits on this machine.
fn saturates() -> bool {
    #[cfg(target_arch = "x86_64")]
    return !is_x86_feature_detected!("avx512vnni") && !is_x86_feature_detected!("avxvnni");
    #[cfg(not(target_arch = "x86_64"))]
    false
}
