//! Goes on from the quantizers of a QDQ file: the float network between them, and their numbers as where training starts.

use crate::adopt::{Clips, scheme, without_pairs};
use crate::block;
use crate::graph::{Graph, StoredCodes};
use crate::pass::{self, FuseActivations, Fusion};
use crate::quant_graph::{ActivationQuantizer, FloatReason, QuantGraph, QuantizerId, WeightQuantizer};
use crate::{BiasLimit, Granularity, Op, PlacementError, Quantizer, Range, ScaleKind, Scheme, Sign, Target};

/// The quantizers of a file, by the names of the tensors in the network between them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct FileQuantizers {
    activations: Vec<(String, Quantizer)>,
    weights: Vec<(String, StoredCodes)>,
    fusions: Vec<Fusion>,
}

impl FileQuantizers {
    /// Whether there are none: the file is a float network.
    pub fn is_empty(&self) -> bool {
        self.activations.is_empty() && self.weights.is_empty()
    }

    /// The number of activations that have one.
    pub fn activations(&self) -> usize {
        self.activations.len()
    }

    /// The number of constants that are integers.
    pub fn weights(&self) -> usize {
        self.weights.len()
    }
}

impl Graph {
    /// Whether its file holds quantizers: pairs of QuantizeLinear and DequantizeLinear, or constants that are integers.
    pub fn is_quantized(&self) -> bool {
        !self.codes.is_empty() || self.nodes().iter().any(|n| matches!(n.op, Op::FakeQuantize(_)))
    }

    /// Takes a network apart from the quantizers that its file holds: pairs of one scale go, constants are the values of their codes. Relu and
    /// Relu6 are operators again where a quantizer took their place. Pairs with a scale for each channel stay as operators.
    pub fn split_quantizers(self) -> (Graph, FileQuantizers) {
        if !self.is_quantized() {
            return (self, FileQuantizers::default());
        }
        // Before pairs go: a group has none inside.
        let (graph, fusions) = pass::run(self.own_parameters(), &[&FuseActivations]);
        let (mut graph, pairs) = without_pairs(&graph, Clips::Restore);
        let weights = std::mem::take(&mut graph.codes).into_iter().map(|(t, codes)| (graph.tensor(t).name.clone(), codes)).collect();
        let activations = pairs.into_iter().map(|(t, q)| (graph.tensor(t).name.clone(), q)).collect();
        (graph, FileQuantizers { activations, weights, fusions })
    }
}

pub(crate) fn take_over(graph: Graph, target: Target, file: &FileQuantizers, bias_limit: BiasLimit) -> Result<QuantGraph, PlacementError> {
    let mut quantizers: Vec<ActivationQuantizer> = Vec::new();
    let mut numbers: Vec<Quantizer> = Vec::new();
    let mut of_tensor = vec![None; graph.tensors().len()];
    for (name, q) in &file.activations {
        let Some(tensor) = graph.find(name) else { continue };
        check(&target, name, &scheme(&target.activations(), q, Granularity::PerTensor), &target.activations())?;
        // Tensors of the same numbers share a quantizer, as codes move between them.
        let known = numbers.iter().position(|known| known == q).unwrap_or_else(|| {
            let (scheme, range) = trained(scheme(&target.activations(), q, Granularity::PerTensor), q);
            quantizers.push(ActivationQuantizer {
                tensor: name.clone(),
                scheme,
                range: Some(range),
                given: None,
                fixed: None,
                below: None,
                levels: None,
            });
            numbers.push(*q);
            numbers.len() - 1
        });
        of_tensor[tensor.0] = Some(QuantizerId(known));
    }
    let units = block::units_between(&graph, &target, |t| of_tensor[t.0].is_some());
    let (mut weights, mut float, mut limits) = (Vec::new(), Vec::new(), Vec::new());
    for unit in &units {
        let input = unit.inputs(&graph).next().and_then(|t| of_tensor[t.0]);
        let block = unit.block(&graph);
        let codes =
            block.filter(|_| input.is_some()).and_then(|b| file.weights.iter().find(|(name, _)| *name == graph.tensor(b.weight).name));
        let own = block.zip(codes).and_then(|(block, (_, codes))| of_weights(&target, codes, block.channels, block.layout.channel_axis()));
        let (quantizer, limit) = own.unzip();
        if quantizer.is_none() && (of_tensor[unit.output(&graph).0].is_none() || block.is_some()) {
            let reason = if block.is_some() { FloatReason::FloatInFile } else { FloatReason::of_file(&graph.node(unit.core).op) };
            float.extend(unit.nodes().map(|n| (n, reason.clone())));
        }
        if let Some((scheme, block)) = quantizer.zip(block) {
            check(&target, &graph.tensor(block.weight).name, &scheme, &target.weights())?;
        }
        weights.push(quantizer.map(|scheme| WeightQuantizer { scheme, bias_limit, pairs: None }));
        limits.push(limit.flatten());
    }
    let fusions = file.fusions.clone();
    Ok(QuantGraph {
        graph,
        target,
        units,
        quantizers,
        of_tensor,
        weights,
        float,
        fusions,
        codes: Vec::new(),
        weight_limits: limits,
        settings: None,
        separations: Vec::new(),
    })
}

/// Refuses what the target's schemes do not allow.
fn check(target: &Target, tensor: &str, scheme: &Scheme, allowed: &Scheme) -> Result<(), PlacementError> {
    let found = if allowed.scale == ScaleKind::PowerOfTwo && scheme.scale == ScaleKind::Free {
        "a scale that is no power of two"
    } else if allowed.symmetric && !scheme.symmetric {
        "a zero point"
    } else if allowed.granularity == Granularity::PerTensor && scheme.granularity == Granularity::PerChannel {
        "a scale for each channel"
    } else {
        return Ok(());
    };
    Err(PlacementError::NotInTarget { tensor: tensor.into(), found, target: target.name().into() })
}

/// The scheme that training goes on with, and the range that gives the numbers of the file.
fn trained(scheme: Scheme, q: &Quantizer) -> (Scheme, Range) {
    // Widths between those that are trained have codes enough in the next.
    let bits = match scheme.bits {
        0..=2 => 2,
        bits @ 3..=8 => bits,
        _ => 16,
    };
    let scheme = Scheme { bits, ..scheme };
    let range = match (scheme.symmetric, scheme.scale) {
        (true, ScaleKind::Free) => Range::new(-(q.qmax() as f32 * q.scale()), q.qmax() as f32 * q.scale()),
        _ => q.range(),
    };
    let gives = |range: &Range| {
        Quantizer::from_range(&scheme, *range).is_ok_and(|made| (made.scale(), made.zero_point()) == (q.scale(), q.zero_point()))
    };
    let near = |x: f32| [x, x.next_up(), x.next_down(), x.next_up().next_up(), x.next_down().next_down()];
    let around = near(range.max).into_iter().flat_map(|max| {
        let mins = if scheme.symmetric { [-max; 5] } else { near(range.min) };
        mins.map(|min| Range::new(if q.qmin() == q.zero_point() { 0.0 } else { min }, max))
    });
    let exact = around.into_iter().find(gives);
    (scheme, exact.unwrap_or(range))
}

/// The scheme of weights, and the limits that give the scales of the file; without limits where a zero point is not in the middle.
fn of_weights(target: &Target, codes: &StoredCodes, channels: usize, axis: usize) -> Option<(Scheme, Option<Vec<f32>>)> {
    let several = codes.quantizers.len() > 1;
    if several && (codes.quantizers.len(), codes.axis) != (channels, axis) {
        return None;
    }
    let granularity = if several { Granularity::PerChannel } else { Granularity::PerTensor };
    let first = codes.quantizers.first()?;
    let own = scheme(&target.weights(), first, granularity);
    let centred = |q: &Quantizer| {
        let (low, high) = q.centred_limits();
        Quantizer::new(q.scale(), 0, low as i32, high as i32, q.rounding()).ok().filter(|_| low == -high || low == -high - 1.0)
    };
    let symmetric = codes.quantizers.iter().map(centred).collect::<Option<Vec<_>>>();
    let narrow = symmetric.as_ref().is_some_and(|all| all.iter().all(|q| q.qmin() == -q.qmax()));
    let scheme = Scheme { symmetric: true, sign: Sign::Signed, narrow, ..own };
    let limits = symmetric.map(|all| all.iter().map(|q| trained(scheme, q).1.max).collect());
    Some((Scheme { bits: trained(scheme, first).0.bits, ..scheme }, limits))
}

#[cfg(test)]
mod tests;
