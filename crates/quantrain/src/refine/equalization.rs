//! Cross-layer equalization: where a layer alone reads another's output, the channels between them are scaled so that the weights on both
//! sides have equal ranges.
//!
//! After Nagel et al. 2019, "Data-Free Quantization Through Weight Equalization and Bias Correction", section 4.1: with `r₁` and `r₂` the
//! largest weights of a channel before and behind, its outputs are divided by `s = √(r₁/r₂)` and what reads them multiplied by it. A ReLU
//! passes any factor. A clip at a limit L (ReLU6) does not: the paper replaces it by a ReLU, which changes the float function. Here L stays,
//! so a channel that reached L on the calibration images keeps its factor of 1, and any other stays below L by some room. Then
//! `s·clip(y/s, 0, L) = clip(y, 0, L)` for all values of which the images gave an example.

use quantrain_engine::{Mode, Network, Purpose};
use quantrain_graph::{Op, QuantGraph};

use super::channels::ChannelMonitor;
use super::{Refiner, step_done};
use crate::RunError;
use crate::progress::Progress;
use crate::runner::Runner;

/// Sweeps over all pairs: a depthwise layer is in two of them.
const SWEEPS: usize = 20;
/// A sweep that scales no channel by more than this ends them.
const SETTLED: f32 = 0.01;
/// What a channel's largest value is multiplied with, to stay below a clip on other images too.
const ROOM: f32 = 1.25;
/// A channel within this share of the clip has reached it.
const REACHED: f32 = 0.999;
/// The most that a channel is scaled by in one sweep, and its inverse the least.
const LARGEST_FACTOR: f32 = 64.0;

/// Two blocks with nothing but an activation between them.
struct Pair {
    before: usize,
    behind: usize,
    /// The upper limit of the clip between them.
    limit: f32,
    /// Of each channel, the largest value seen behind the clip.
    largest: Vec<f32>,
}

pub(super) fn step(refiner: &mut Refiner, progress: &mut dyn Progress) -> Result<String, RunError> {
    let mut pairs = pairs(refiner, progress)?;
    refiner.network.store();
    let mut nets = [refiner.float.quant_graph().clone(), refiner.network.quant_graph().clone()];
    for _ in 0..SWEEPS {
        let mut most = 0.0f32;
        for pair in &mut pairs {
            let factors = factors(&nets[0], pair);
            for net in &mut nets {
                scale_outputs(net, pair.before, &factors);
                scale_inputs(net, pair.behind, &factors);
            }
            pair.largest.iter_mut().zip(&factors).for_each(|(m, s)| *m /= s);
            most = factors.iter().fold(most, |most, s| most.max(s.ln().abs()));
        }
        if most < SETTLED {
            break;
        }
    }
    let [float, network] = nets;
    (refiner.float, refiner.network) = (Network::new(float), Network::new(network));
    refiner.calibrate(progress)?;
    let channels: usize = pairs.iter().map(|p| p.largest.len()).sum();
    let fixed: usize = pairs.iter().map(|p| p.largest.iter().filter(|m| p.is_fixed(**m)).count()).sum();
    Ok(format!("{} pairs of layers; {fixed} of {channels} channels reach their clip and stay", pairs.len()))
}

impl Pair {
    /// Whether a channel has reached the clip.
    fn is_fixed(&self, largest: f32) -> bool {
        largest >= self.limit * REACHED
    }
}

/// The pairs of a network, in order, with what the images show of the tensors between them.
fn pairs(refiner: &mut Refiner, progress: &mut dyn Progress) -> Result<Vec<Pair>, RunError> {
    let Refiner { float, images, .. } = refiner;
    let mut seen = ChannelMonitor::new(float);
    let mut runner = Runner::new(Purpose::Inference);
    progress.begin("equalization", images.count() as u64);
    for batch in images.batches() {
        runner.forward(float, Mode::FLOAT, batch.size, &batch.values, &mut seen, |_, _, _| ())?;
        step_done(progress, batch.size)?;
    }
    progress.end();
    let net = float.quant_graph();
    let (graph, units) = (net.graph(), net.units());
    let find = |before: usize| {
        let block = units[before].block(graph)?;
        let between = units[before].output(graph);
        let behind = units.iter().position(|v| v.inputs(graph).any(|t| t == between))?;
        let alone = graph.readers(between).count() == 1 && !graph.outputs().contains(&between);
        units[behind].block(graph).filter(|_| input_channels(net, behind) == Some(block.channels))?;
        let patches = |u: usize| !matches!(graph.node(units[u].core).op, Op::ConvTranspose(_));
        let (low, limit) = units[before].clip(graph);
        let scales = low == 0.0 || low == f32::NEG_INFINITY;
        if !(alone && scales && patches(before) && patches(behind)) {
            return None;
        }
        let largest = match net.quantizer_of(between).and_then(|q| seen.of(q)) {
            Some(seen) => seen.largest.clone(),
            None if limit == f32::INFINITY => vec![0.0; block.channels],
            None => return None,
        };
        Some(Pair { before, behind, limit, largest })
    };
    Ok((0..units.len()).filter_map(find).collect())
}

/// s of each channel.
fn factors(net: &QuantGraph, pair: &Pair) -> Vec<f32> {
    let (Some(before), Some(behind)) = (net.folded(pair.before), net.folded(pair.behind)) else { return vec![1.0; pair.largest.len()] };
    let channels = before.bias.len();
    let largest = |largest: f32, w: &f32| largest.max(w.abs());
    let mut second = vec![0.0; channels];
    let outputs = behind.bias.len();
    each_input(net, pair.behind, outputs, behind.weight.len(), |i, channel| second[channel] = largest(second[channel], &behind.weight[i]));
    let rows = before.weight.chunks_exact(before.weight.len() / channels);
    let of = |(c, row): (usize, &[f32])| {
        let first = row.iter().fold(0.0, largest);
        let factor = (first / second[c]).sqrt();
        if pair.is_fixed(pair.largest[c]) || !(factor.is_finite() && factor > 0.0) {
            return 1.0;
        }
        factor.max(ROOM * pair.largest[c].max(0.0) / pair.limit).clamp(1.0 / LARGEST_FACTOR, LARGEST_FACTOR)
    };
    rows.enumerate().map(of).collect()
}

/// Channels that a block reads.
fn input_channels(net: &QuantGraph, u: usize) -> Option<usize> {
    let (graph, block) = (net.graph(), net.units()[u].block(net.graph())?);
    let weights = graph.tensor(block.weight).shape.elements(1);
    Some(match &graph.node(net.units()[u].core).op {
        Op::Convolution(op) => weights / (block.channels * op.window.kernel.iter().product::<usize>()) * op.groups,
        _ => weights / block.channels,
    })
}

/// Calls `f` with the position of each of a block's weights, channels first, and the input channel that it multiplies.
fn each_input(net: &QuantGraph, u: usize, outputs: usize, weights: usize, mut f: impl FnMut(usize, usize)) {
    let (taps, groups) = match &net.graph().node(net.units()[u].core).op {
        Op::Convolution(op) => (op.window.kernel.iter().product::<usize>(), op.groups),
        _ => (1, 1),
    };
    let row = weights / outputs;
    for i in 0..weights {
        let group = i / row / (outputs / groups);
        f(i, group * (row / taps) + i % row / taps);
    }
}

/// Divides a block's outputs by `s`: γ and β of its BatchNormalization, or weights and bias.
fn scale_outputs(net: &mut QuantGraph, u: usize, s: &[f32]) {
    let unit = net.units()[u];
    let graph = net.graph();
    let bias = unit.block(graph).and_then(|b| b.bias);
    let scaled = |tensor| -> Option<(_, Vec<f32>)> { Some((tensor, graph.constant(tensor)?.iter().zip(s).map(|(v, s)| v / s).collect())) };
    let constants: Vec<_> = match unit.batch_norm {
        Some(node) => graph.node(node).inputs[1..3].iter().filter_map(|&t| scaled(t)).collect(),
        None => bias.into_iter().filter_map(scaled).collect(),
    };
    for (tensor, values) in constants {
        net.graph_mut().set_constant(tensor, values).expect("a scaled tensor keeps its size");
    }
    if unit.batch_norm.is_none() {
        let mut weights = net.weights_of(u).unwrap_or_default();
        let row = weights.len() / s.len();
        weights.iter_mut().enumerate().for_each(|(i, w)| *w /= s[i / row]);
        net.set_weights_of(u, weights);
    }
}

/// Multiplies what a block does with each input channel by `s`.
fn scale_inputs(net: &mut QuantGraph, u: usize, s: &[f32]) {
    let Some(block) = net.units()[u].block(net.graph()) else { return };
    let mut weights = net.weights_of(u).unwrap_or_default();
    each_input(net, u, block.channels, weights.len(), |i, channel| weights[i] *= s[channel]);
    net.set_weights_of(u, weights);
}
