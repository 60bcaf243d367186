//! Formulas over floats: codes in as centred numbers, the result in steps of the output, rounded and stored at the end.

use quantrain_graph::Quantizer;
use quantrain_lowering::normalization::Affine;
use quantrain_lowering::quantize::FakeQuantizer;

use super::activation::Function;
use super::elementwise::Broadcast;
use super::expand::Expand;
use super::logic::Choose;
use super::lookup::Lookups;
use super::matmul::OfReals;
use super::moving::Mover;
use super::normalization::OfSamples;
use super::pooling::Average;
use super::recurrent::Layers;
use super::reduction::{Index, Norm, Normalized, Product};
use super::resize::{Cubic, Linear};
use super::straight_through::{Propagate, Wrapped};
use super::{Operator, Site};
use crate::buffer::{Buffer, Kind, View};
use crate::grid::{Grid, centred, scale};

/// Centred codes, or plain values, and their unit.
pub(super) struct Scaled {
    pub values: Vec<f32>,
    pub scale: f32,
}

impl Scaled {
    /// The real values.
    pub fn real(&self) -> Vec<f32> {
        self.values.iter().map(|v| v * self.scale).collect()
    }
}

/// From one unit to another, by way of real values.
pub(super) fn change_unit(values: &mut [f32], from: f32, to: f32) {
    if from != to {
        values.iter_mut().for_each(|v| *v = *v * from / to);
    }
}

/// Writes `f(x) / out_scale`, in the order of the simulation.
pub(super) trait Steps: Send + Sync {
    fn forward(&self, x: &[Scaled], out_scale: f32, y: &mut [f32]);

    /// Writes centred codes from codes; `false` where the target computes what [`Steps::forward`] does: the function of real values.
    fn forward_codes(&self, _x: &[Scaled], _codes: &Bytes, _y: &mut [f32]) -> bool {
        false
    }
}

/// The quantizers of a unit that ONNX Runtime has an integer kernel for: bytes of one sign, and no activation left behind it.
pub struct Bytes {
    /// Of the inputs that are no constants.
    pub inputs: Vec<Quantizer>,
    /// Of the output.
    pub output: Quantizer,
}

impl Bytes {
    pub(super) fn of(site: &Site) -> Option<Self> {
        let inputs: Vec<Quantizer> = site.inputs.iter().map(|grid| Some((*grid)?.quantizer)).collect::<Option<_>>()?;
        let output = site.output?.quantizer;
        let fits = output.fills_byte() && output.reaches(site.clip) && inputs.iter().all(|x| x.shares_byte(&output));
        fits.then_some(Bytes { inputs, output })
    }
}

/// A formula over floats: one value for each element of the output.
pub enum FloatFormula {
    /// A BatchNormalization that no block took.
    Affine(Affine),
    /// A normalisation by each sample's own statistics.
    OfSamples(OfSamples),
    /// A recurrent layer.
    Recurrent(Layers),
    /// A function of each element.
    Function(Function),
    /// A function of two operands that broadcast.
    Broadcast(Broadcast),
    /// A choice between two operands.
    Choose(Choose),
    /// Elements of inputs of another unit.
    Move(Mover),
    /// An operand repeated along axes.
    Expand(Expand),
    /// Elements picked by computed indices.
    Lookup(Lookups),
    /// The mean of each window.
    Average(Average),
    /// The length of a vector.
    Norm(Norm),
    /// The index of the greatest.
    Index(Index),
    /// Softmax or its logarithm.
    Softmax(Normalized),
    /// A Resize from four neighbours.
    Linear(Linear),
    /// A Resize from sixteen neighbours.
    Cubic(Cubic),
    /// A quantizer that is an operator of its own.
    FakeQuantize(FakeQuantizer),
    /// A user's function.
    StraightThrough(Wrapped),
    /// The value of one path.
    Propagate(Propagate),
    /// A product over axes.
    Product(Product),
    /// A matrix product of which a factor is real.
    MatMul(OfReals),
}

impl FloatFormula {
    fn steps(&self) -> &dyn Steps {
        match self {
            FloatFormula::Affine(f) => f,
            FloatFormula::OfSamples(f) => f,
            FloatFormula::Recurrent(f) => f,
            FloatFormula::Function(f) => f,
            FloatFormula::Broadcast(f) => f,
            FloatFormula::Choose(f) => f,
            FloatFormula::Move(f) => f,
            FloatFormula::Expand(f) => f,
            FloatFormula::Lookup(f) => f,
            FloatFormula::Average(f) => f,
            FloatFormula::Norm(f) => f,
            FloatFormula::Index(f) => f,
            FloatFormula::Softmax(f) => f,
            FloatFormula::Linear(f) => f,
            FloatFormula::Cubic(f) => f,
            FloatFormula::FakeQuantize(f) => f,
            FloatFormula::StraightThrough(f) => f,
            FloatFormula::Propagate(f) => f,
            FloatFormula::Product(f) => f,
            FloatFormula::MatMul(f) => f,
        }
    }
}

/// A formula over floats, and what its numbers are codes of.
pub struct InSteps {
    /// The formula.
    pub formula: FloatFormula,
    /// The quantizers, where ONNX Runtime may have an integer kernel for it.
    pub bytes: Option<Bytes>,
    /// Of the inputs that are no constants.
    pub inputs: Vec<Option<Grid>>,
    /// Of the output; `None` where it stays real.
    pub output: Option<Grid>,
    /// The fused activation, in steps of the output.
    pub clip: (f32, f32),
    /// Elements of the output.
    pub len: usize,
}

/// A formula as an operator.
pub(super) fn in_steps(site: &Site, formula: FloatFormula) -> Operator {
    let (clip, len) = (site.clip_steps(), site.output_len());
    Operator::Steps(InSteps { formula, bytes: Bytes::of(site), inputs: site.inputs.clone(), output: site.output, clip, len })
}

impl InSteps {
    /// Of elements that only move, between bytes: for each input what each stored code becomes.
    pub fn tables(&self) -> Option<Vec<[u8; 256]>> {
        let (FloatFormula::Move(_), Some(y)) = (&self.formula, self.output) else { return None };
        let table = |x: &Option<Grid>| {
            let x = x.filter(|x| [x.kind, y.kind] == [Kind::Bytes; 2])?;
            let mut steps: Vec<f32> = (0..256).map(|stored| (stored - x.zero()) as f32).collect();
            change_unit(&mut steps, x.scale(), y.scale());
            let mut table = Buffer::new(Kind::Bytes, steps.len());
            put(Some(y), self.clip, &mut steps, &mut table);
            if let Buffer::Bytes(table) = table { <[u8; 256]>::try_from(table).ok() } else { None }
        };
        self.inputs.iter().map(table).collect()
    }

    pub(super) fn run(&self, x: &[View], y: &mut Buffer) {
        let x: Vec<Scaled> =
            x.iter().zip(&self.inputs).map(|(&x, &grid)| Scaled { values: centred(grid, x), scale: scale(grid) }).collect();
        let (mut steps, formula) = (vec![0.0; self.len], self.formula.steps());
        if !self.bytes.as_ref().is_some_and(|bytes| formula.forward_codes(&x, bytes, &mut steps)) {
            formula.forward(&x, scale(self.output), &mut steps);
        }
        put(self.output, self.clip, &mut steps, y);
    }
}

/// Clips results in steps of the output and stores them.
pub(super) fn put(output: Option<Grid>, (low, high): (f32, f32), steps: &mut [f32], y: &mut Buffer) {
    // Not `max` and `min`: they would hide NaN.
    steps.iter_mut().filter(|v| **v < low).for_each(|v| *v = low);
    steps.iter_mut().filter(|v| **v > high).for_each(|v| *v = high);
    match (output, y) {
        (None, Buffer::Reals(y)) => y[..steps.len()].copy_from_slice(steps),
        (None, _) => unreachable!("a tensor without a grid holds reals"),
        (Some(grid), y) => grid.store(1.0, steps, y),
    }
}
