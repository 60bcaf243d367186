//! Operators without weights, a file for each family: how they run forward and backward.
//!
//! A kernel reads its inputs as values times a scale (centred codes, or plain values with scale 1) and writes `y / out_scale`, so that the
//! same code serves float runs and simulated integers. [`build`] is the only registration.

mod activation;
mod elementwise;
mod expand;
mod layout;
mod logic;
mod lookup;
mod matmul;
mod normalization;
mod operands;
mod pooling;
mod quantize;
mod recurrent;
mod reduction;
mod resize;
mod straight_through;

pub(crate) use elementwise::addition;

use quantrain_graph::{Graph, Node, Op, OperatorKernels, Quantizer};
use quantrain_kernels::Scratch;
use quantrain_kernels::elementwise::scale_into;
use quantrain_kernels::fixed_point::Factor;
use quantrain_lowering::normalization::{Affine, rows};
use quantrain_lowering::quantize::FakeQuantizer;
use quantrain_lowering::{Site, layout as lowered};
use smallvec::SmallVec;

use crate::EngineError;

/// Values and the scale that makes them real.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scaled<'a> {
    /// Centred codes, or plain values.
    pub values: &'a [f32],
    /// Their unit.
    pub scale: f32,
}

/// The quantizers of a unit whose inputs are all quantized.
#[derive(Clone, Debug)]
pub(crate) struct Codes {
    pub inputs: SmallVec<[Quantizer; 8]>,
    pub output: Option<Quantizer>,
    /// The fused activation leaves some of the output's codes unused.
    pub clips: bool,
    /// Whose arithmetic the target names.
    pub kernels: OperatorKernels,
}

impl Codes {
    /// The output's quantizer where ONNX Runtime has an integer kernel: bytes of one sign, and no activation left behind it.
    pub fn of_bytes(&self) -> Option<Quantizer> {
        self.output.filter(|y| !self.clips && y.fills_byte() && self.inputs.iter().all(|x| x.shares_byte(y)))
    }

    /// The output's quantizer where all codes lie in bytes of one sign: what devices that compute in integers have kernels for.
    pub fn all_bytes(&self) -> Option<Quantizer> {
        self.output.filter(|y| y.shares_byte(y) && self.inputs.iter().all(|x| x.shares_byte(y)))
    }

    /// What TensorFlow Lite multiplies a sum of `count` codes of the first input with to give their mean.
    fn factor_of_mean(&self, count: usize) -> Option<Factor> {
        let (to, from) = (self.all_bytes()?, self.inputs.first()?);
        Some(Factor::new(f64::from(from.scale()) / f64::from(to.scale())).over(count))
    }

    /// Whether sums of `terms` codes of input `which` are beyond what f32 holds.
    fn exceed_f32(&self, which: &[usize], terms: usize) -> bool {
        let largest = |q: &Quantizer| q.centred_limits().1.max(-q.centred_limits().0);
        which.iter().map(|&i| f64::from(largest(&self.inputs[i]))).product::<f64>() * terms as f64 > LARGEST_F32_SUM
    }
}

/// Up to here every integer is a f32.
pub(crate) const LARGEST_F32_SUM: f64 = (1 << 24) as f64;

/// What the backward pass must still have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Replays {
    /// The inputs' values.
    pub inputs: bool,
    /// The output, before quantization.
    pub output: bool,
}

/// An operator of one batch size.
pub(crate) trait Kernel: Send + Sync {
    /// Writes `f(x) / out_scale`.
    fn forward(&self, x: &[Scaled], out_scale: f32, y: &mut [f32]);

    /// Writes the centred codes of the output, or real values where it has none, from codes; `false` where the target computes what
    /// [`Kernel::forward`] does: the function of real values.
    fn forward_codes(&self, _x: &[Scaled], _codes: &Codes, _y: &mut [f32]) -> bool {
        false
    }

    /// Writes or adds the gradient of input `which`, in real units, given that of the output. `y` is what forward wrote. Behind the inputs that
    /// are no constants come the unit's own parameters ([`Op::trained_inputs`]), whose gradients are never added to.
    fn backward(&self, which: usize, x: &[Scaled], y: Scaled, dy: &[f32], dx: &mut [f32], accumulate: bool);

    /// Values that [`Kernel::forward_keeping`] leaves for the backward. Where there are any, the two methods below take the place of
    /// [`Kernel::forward`] and [`Kernel::backward`].
    fn state_len(&self) -> usize {
        0
    }

    /// As [`Kernel::forward`], leaving the state.
    fn forward_keeping(&self, x: &[Scaled], out_scale: f32, y: &mut [f32], _state: &mut [f32]) {
        self.forward(x, out_scale, y);
    }

    /// What all gradients have in common, made once of that of the output.
    fn begin_backward(&self, _x: &[Scaled], _dy: &[f32], _state: &mut [f32]) {}

    /// As [`Kernel::backward`], of what [`Kernel::begin_backward`] made.
    fn backward_from(&self, _which: usize, _x: &[Scaled], _state: &mut [f32], _dx: &mut [f32], _accumulate: bool) {}

    /// What [`Kernel::backward`] reads.
    fn replays(&self) -> Replays {
        Replays::default()
    }

    /// The output's values are the inputs' own, moved: with equal scales, codes pass through.
    fn moves(&self) -> bool {
        false
    }
}

/// The kernel of a node for a batch of `batch`.
pub(crate) fn build(graph: &Graph, node: &Node, batch: usize) -> Result<Box<dyn Kernel>, EngineError> {
    let site = Site::new(graph, node, batch)?;
    Ok(match &node.op {
        Op::Convolution(_) | Op::ConvTranspose(_) | Op::Gemm(_) => return Err(site.no_block().into()),
        Op::MatMul(op) => Box::new(matmul::build(op, &site)),
        Op::BatchNormalization(op) => Box::new(Affine::new(op, &site)?),
        op @ (Op::LayerNormalization(_) | Op::RmsNormalization(_) | Op::InstanceNormalization(_) | Op::GroupNormalization(_)) => {
            Box::new(normalization::OfSamples::new(rows(op, &site)?, &site))
        }
        Op::Recurrent(op) => Box::new(recurrent::build(op, &site)?),
        Op::Activation(op) => Box::new(activation::build(op)),
        Op::Binary(op) => Box::new(elementwise::build(*op, &site)),
        Op::Where(_) => Box::new(logic::choose(&site)),
        Op::Concat(op) => Box::new(layout::concat(op, &site)),
        Op::Slice(op) => Box::new(layout::Gather(lowered::slice(op, &site)?)),
        Op::Pad(op) => Box::new(layout::Gather(lowered::pad(op, &site)?)),
        Op::Reshape(_) | Op::Flatten(_) => Box::new(layout::Reorder::new(lowered::reshape(&site))),
        Op::Transpose(op) => Box::new(layout::Reorder::new(lowered::transpose(op, &site))),
        Op::DepthToSpace(op) => Box::new(layout::Reorder::new(lowered::depth_to_space(op, &site))),
        Op::SpaceToDepth(op) => Box::new(layout::Reorder::new(lowered::space_to_depth(op, &site))),
        Op::Gather(op) => Box::new(layout::Gather(lowered::gather(op, &site))),
        Op::Lookup(op) => Box::new(lookup::build(op, &site)),
        Op::Tile(op) => Box::new(layout::Gather(lowered::tile(op, &site))),
        Op::Expand(_) => Box::new(expand::build(&site)),
        Op::Identity => Box::new(layout::Identity),
        Op::MaxPool(op) => Box::new(pooling::max(op, &site)),
        Op::AveragePool(op) => Box::new(pooling::average(op, &site)),
        Op::GlobalAveragePool(_) => Box::new(pooling::global_average(&site)),
        Op::Reduce(op) if reduction::is_image_mean(op, &site) => Box::new(pooling::global_average(&site)),
        Op::Reduce(op) => reduction::reduce(op, &site)?,
        Op::ArgMax(op) => Box::new(reduction::arg_max(op, &site)?),
        Op::Softmax(op) => Box::new(reduction::softmax(op, &site)?),
        Op::Resize(op) => Box::new(resize::build(op, &site)),
        Op::FakeQuantize(op) => Box::new(FakeQuantizer::new(op, &site)),
        Op::StraightThrough(op) => Box::new(straight_through::function(op, &site)),
        Op::Propagate(_) => Box::new(straight_through::Propagate),
    })
}

/// Calls `f` with `values · scale`, in working memory that is kept; without a copy where the scale is 1.
fn with_real<R>(x: Scaled, f: impl FnOnce(&[f32]) -> R) -> R {
    if x.scale == 1.0 {
        return f(x.values);
    }
    let mut scratch = Scratch::take(x.values.len());
    let real = &mut scratch.as_mut_slice()[..x.values.len()];
    scale_into(x.scale, x.values, real);
    f(real)
}

/// From one unit to another, by way of real values.
fn change_unit(values: &mut [f32], from: f32, to: f32) {
    if from != to {
        values.iter_mut().for_each(|v| *v = *v * from / to);
    }
}

/// Writes or adds `value(i)` to every element.
fn write(dx: &mut [f32], accumulate: bool, value: impl Fn(usize) -> f32) {
    for (i, d) in dx.iter_mut().enumerate() {
        *d = if accumulate { *d + value(i) } else { value(i) };
    }
}
