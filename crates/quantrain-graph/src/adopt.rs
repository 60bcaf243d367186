//! Takes over the quantizers and the integers of a QDQ file: FakeQuantize nodes disappear into the tensors they read.

mod clips;

use std::sync::Arc;

use crate::bias::bias_codes;
use crate::block::{self, Unit};
use crate::fold::{self, WeightCodes};
use crate::graph::{Graph, NodeId, StoredCodes, TensorId};
use crate::op::{Activation, FakeQuantize};
use crate::pass;
use crate::quant_graph::{ActivationQuantizer, BlockCodes, FloatReason, QuantGraph, QuantizerId, WeightQuantizer};
use crate::{
    BiasLimit, Granularity, GraphBuilder, Op, Passed, PassedOutput, PlacementError, Quantizer, Rounding, ScaleKind, Scheme, Sign, Target,
};

/// How far a bias' scale may be from s_x·s_w for its codes to be meant on that.
const SCALE_TOLERANCE: f32 = 1e-4;

pub(crate) fn adopt(graph: Graph, target: Target) -> Result<QuantGraph, PlacementError> {
    let rounding = target.activations().rounding;
    // Before pairs go: a group has none inside.
    let (graph, fusions) = pass::run(graph, pass::SPELLED_OUT);
    let (graph, of_name) = without_pairs(&graph, Clips::Narrow);
    let mut quantizers: Vec<ActivationQuantizer> = Vec::new();
    let mut of_tensor = vec![None; graph.tensors().len()];
    for (tensor, q) in of_name {
        // Another rounding than QuantizeLinear's is the file's own word.
        let rounding = if q.rounding() == Rounding::HalfToEven { rounding } else { q.rounding() };
        let q = Quantizer::new(q.scale(), q.zero_point(), q.qmin(), q.qmax(), rounding).expect("only the rounding is another");
        // Tensors of the same numbers share a quantizer: codes move between them as they are.
        let known = quantizers.iter().position(|known| known.fixed == Some(q));
        let id = known.unwrap_or_else(|| {
            let scheme = scheme(&target.activations(), &q, Granularity::PerTensor);
            let name = graph.tensor(tensor).name.clone();
            quantizers.push(ActivationQuantizer {
                tensor: name,
                scheme,
                range: Some(q.range()),
                given: None,
                fixed: Some(q),
                below: None,
                levels: None,
            });
            quantizers.len() - 1
        });
        of_tensor[tensor.0] = Some(QuantizerId(id));
    }
    let units = block::units_between(&graph, &target, |t| of_tensor[t.0].is_some());
    let (mut weights, mut codes, mut float) = (Vec::new(), Vec::new(), Vec::new());
    for unit in &units {
        let quantizer = |t: TensorId| of_tensor[t.0].and_then(|q| quantizers[q.0].fixed);
        let block = unit.inputs(&graph).next().and_then(quantizer).map(|input| block_codes(&graph, unit, &input)).transpose()?.flatten();
        if of_tensor[unit.output(&graph).0].is_none() && block.is_none() {
            let reason = FloatReason::of_file(&graph.node(unit.core).op);
            float.extend(unit.nodes().map(|n| (n, reason.clone())));
        }
        weights.push(block.as_ref().map(|b| {
            let several = b.weight.quantizers.len() > 1;
            let granularity = if several { Granularity::PerChannel } else { Granularity::PerTensor };
            let scheme = scheme(&target.weights(), &b.weight.quantizers[0], granularity);
            WeightQuantizer { scheme, bias_limit: BiasLimit::Off, pairs: None }
        }));
        codes.push(block.map(Arc::new));
    }
    Ok(QuantGraph {
        graph,
        target,
        units,
        quantizers,
        of_tensor,
        weights,
        float,
        fusions,
        codes,
        weight_limits: Vec::new(),
        settings: None,
        separations: Vec::new(),
    })
}

/// The scheme of a quantizer, as far as its numbers tell.
pub(crate) fn scheme(like: &Scheme, q: &Quantizer, granularity: Granularity) -> Scheme {
    let codes = (i64::from(q.qmax()) - i64::from(q.qmin())) as u64;
    let sign = if q.qmin() < 0 { Sign::Signed } else { Sign::Unsigned };
    let power = q.scale().to_bits() & 0x7f_ffff == 0;
    let scale = if power && like.scale == ScaleKind::PowerOfTwo { ScaleKind::PowerOfTwo } else { ScaleKind::Free };
    let symmetric = q.zero_point() == 0 && (sign == Sign::Signed || scale == ScaleKind::PowerOfTwo);
    Scheme { bits: (u64::BITS - codes.leading_zeros()) as u8, sign, symmetric, narrow: q.qmin() == -q.qmax(), scale, granularity, ..*like }
}

/// The codes of a block's weights and bias, where the file holds some that fit the block.
fn block_codes(graph: &Graph, unit: &Unit, input: &Quantizer) -> Result<Option<BlockCodes>, PlacementError> {
    let Some(place) = unit.block(graph) else { return Ok(None) };
    let Some(stored) = graph.stored_codes(place.weight) else { return Ok(None) };
    let scales = stored.quantizers.len();
    if scales > 1 && (scales, stored.axis) != (place.channels, place.layout.channel_axis()) {
        return Ok(None);
    }
    let codes: Vec<f32> = stored.centred.iter().map(|&c| c as f32).collect();
    let codes = place.layout.channels_first(&codes, place.channels);
    let weight = WeightCodes { codes, quantizers: stored.quantizers.clone() };
    let bias = match place.bias.map(|b| (graph.stored_codes(b), graph.constant(b).unwrap_or_default())) {
        None => vec![0; place.channels],
        Some((Some(stored), _)) if is_on_scale(stored, input, &weight, place.channels) => stored.centred.clone(),
        Some((_, values)) => {
            bias_codes(&graph.node(unit.core).name, values, input, &weight.quantizers, BiasLimit::Off).collect::<Result<_, _>>()?
        }
    };
    Ok(Some(BlockCodes { weight, bias }))
}

fn is_on_scale(bias: &StoredCodes, input: &Quantizer, weight: &WeightCodes, channels: usize) -> bool {
    let of = |c: usize| bias.quantizers[if bias.quantizers.len() == 1 { 0 } else { c }].scale();
    let fits = |c: usize| (of(c) / fold::accumulator_scale(input.scale(), weight.scale(c)) - 1.0).abs() < SCALE_TOLERANCE;
    (bias.quantizers.len() == 1 || bias.quantizers.len() == channels) && (0..channels).all(fits)
}

/// What becomes of clips, which say the same as the limits of codes where they stand before a quantizer.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Clips {
    /// The quantizer has fewer codes instead: what is computed is the same.
    Narrow,
    /// They stay operators, and those that the file left to the limits of codes are operators again: ranges that training moves do not move
    /// them, and without quantizers they are part of the network.
    Restore,
}

/// What a pair does with the tensor it reads.
struct Pairs<'g> {
    graph: &'g Graph,
    /// Of each tensor, the quantizer that all its readers see it through.
    whole: Vec<Option<Quantizer>>,
    /// Clips that only say which codes there are.
    narrowing: Vec<bool>,
    /// Of each tensor, the activation that the file left to its quantizer.
    left_out: Vec<Option<Activation>>,
}

impl<'g> Pairs<'g> {
    fn of(graph: &'g Graph, clips: Clips) -> Self {
        let tensors = graph.tensors().len();
        let mut pairs =
            Pairs { graph, whole: vec![None; tensors], narrowing: vec![false; graph.nodes().len()], left_out: vec![None; tensors] };
        for t in 0..graph.tensors().len() {
            pairs.whole[t] = pairs.seen_through(TensorId(t));
        }
        if clips == Clips::Restore {
            pairs.left_out = clips::left_out(graph, &pairs.whole);
            return pairs;
        }
        let single_readers = graph.single_readers();
        let mut is_rounded = vec![false; graph.tensors().len()];
        graph.nodes().iter().filter(|n| per_tensor(&n.op).is_some()).for_each(|n| is_rounded[n.output.0] = true);
        for (n, node) in graph.nodes().iter().enumerate() {
            let (Op::Activation(Activation::Clip { min, max }), Some(q)) = (&node.op, pairs.whole[node.output.0]) else { continue };
            // Behind another pair a clip is an operator on codes.
            let is_only = single_readers[node.inputs[0].0].is_some() && !is_rounded[node.inputs[0].0];
            if let Some(narrowed) = narrowed(&q, *min, *max).filter(|_| is_only) {
                pairs.whole[node.inputs[0].0] = Some(narrowed);
                pairs.narrowing[n] = true;
            }
        }
        pairs
    }

    fn seen_through(&self, tensor: TensorId) -> Option<Quantizer> {
        let mut quantizers = self.graph.readers(tensor).map(|n| per_tensor(&self.graph.node(n).op));
        let first = quantizers.next()??;
        (!self.graph.outputs().contains(&tensor) && quantizers.all(|q| q == Some(first))).then_some(first)
    }
}

fn per_tensor(op: &Op) -> Option<Quantizer> {
    match op {
        Op::FakeQuantize(FakeQuantize { quantizers }) if quantizers.len() == 1 => Some(quantizers[0]),
        _ => None,
    }
}

/// The quantizer without the codes that a clip before it leaves unused, where the clip's limits are values of codes.
fn narrowed(q: &Quantizer, min: f32, max: f32) -> Option<Quantizer> {
    let (low, high) = (q.code(min), q.code(max));
    let exact = |code: i32, limit: f32| q.value(code) == limit;
    let narrowed = Quantizer::new(q.scale(), q.zero_point(), low, high, q.rounding()).ok()?;
    (exact(low, min) && exact(high, max)).then_some(narrowed)
}

/// The graph without FakeQuantize nodes of one scale, and the quantizers of its tensors in their order.
///
/// Where a tensor is also read as it is, or through several quantizers, an Identity stands for each pair.
pub(crate) fn without_pairs(graph: &Graph, clips: Clips) -> (Graph, Vec<(TensorId, Quantizer)>) {
    let pairs = Pairs::of(graph, clips);
    let mut b = GraphBuilder::new(&graph.name);
    b.describe(graph.opset, graph.metadata.clone());
    b.note(graph.notes.clone());
    let mut new: Vec<Option<TensorId>> = vec![None; graph.tensors().len()];
    let mut quantizers: Vec<(TensorId, Quantizer)> = Vec::new();
    let distinct = "names and shapes are those of a valid graph";
    for (t, tensor) in graph.tensors().iter().enumerate() {
        if let Some(values) = &tensor.constant {
            let id = b.constant(&tensor.name, &tensor.shape.at(1), values.clone()).expect(distinct);
            graph.stored_codes(TensorId(t)).cloned().into_iter().for_each(|codes| b.stored_codes(id, codes));
            new[t] = Some(id);
        }
    }
    for &input in graph.inputs() {
        let id = b.input_shaped(&graph.tensor(input).name, graph.tensor(input).shape.clone()).expect(distinct);
        quantizers.extend(pairs.whole[input.0].map(|q| (id, q)));
        new[input.0] = Some(id);
    }
    for (n, node) in graph.nodes().iter().enumerate() {
        let inputs: Vec<TensorId> = node.inputs.iter().map(|t| new[t.0].expect("nodes come after what they read")).collect();
        let seen = per_tensor(&node.op);
        let has = |q: &Quantizer| quantizers.iter().any(|(t, known)| *t == inputs[0] && is_same_grid(known, q));
        if pairs.narrowing[n] || seen.as_ref().is_some_and(has) {
            new[node.output.0] = Some(inputs[0]);
            continue;
        }
        let own = seen.or(pairs.whole[node.output.0]);
        let (op, name) = (if seen.is_some() { Op::Identity } else { node.op.clone() }, final_name(graph, node.output, own.as_ref()));
        let id = match pairs.left_out[node.output.0] {
            None => b.node(&node.name, op, &inputs, name).expect(distinct),
            Some(activation) => {
                let before = (0..).map(|i| format!("{name}/before{i}")).find(|wish| graph.find(wish).is_none() && b.find(wish).is_none());
                let before = before.expect("numbers do not end");
                let x = b.node(&node.name, op, &inputs, &before).expect(distinct);
                b.node(&format!("{}/{}", node.name, activation.name()), Op::Activation(activation), &[x], name).expect(distinct)
            }
        };
        quantizers.extend(own.map(|q| (id, q)));
        new[node.output.0] = Some(id);
    }
    graph.outputs().iter().for_each(|t| b.output(new[t.0].expect("outputs are computed")));
    let moved = |t: TensorId| new[t.0].expect("inputs and outputs are there");
    graph.element_types.iter().for_each(|(&t, &kind)| b.element_type(moved(t), kind));
    for output in &graph.passed {
        let value = match &output.value {
            Passed::Input(t) => Passed::Input(moved(*t)),
            constant => constant.clone(),
        };
        b.pass(PassedOutput { value, ..output.clone() });
    }
    (b.finish().expect(distinct), quantizers)
}

/// Codes on both are the same numbers; one may have fewer.
fn is_same_grid(a: &Quantizer, b: &Quantizer) -> bool {
    (a.scale(), a.zero_point()) == (b.scale(), b.zero_point()) && b.qmin() <= a.qmin() && a.qmax() <= b.qmax()
}

/// The name of a tensor with its quantizer; one that is handed out behind pairs that go has the name it is handed out by.
fn final_name<'g>(graph: &'g Graph, tensor: TensorId, own: Option<&Quantizer>) -> &'g str {
    let goes = |op: &Op| per_tensor(op).zip(own).is_some_and(|(q, own)| is_same_grid(own, &q));
    let mut behind = vec![tensor];
    while let Some(t) = behind.pop() {
        if graph.outputs().contains(&t) {
            return &graph.tensor(t).name;
        }
        behind.extend(graph.readers(t).map(|n: NodeId| graph.node(n)).filter(|node| goes(&node.op)).map(|node| node.output));
    }
    &graph.tensor(tensor).name
}

#[cfg(test)]
mod tests;
