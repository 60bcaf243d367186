//! A graph with its quantizers: what calibration and training change, and what is exported.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use crate::block::Unit;
use crate::fold::{self, BatchNorm, Folded, WeightCodes};
use crate::graph::{Graph, NodeId, TensorId};
use crate::pairs::Pairs;
use crate::pass::Fusion;
use crate::placement;
use crate::separation::{self, AxisExtents, Separation, Spread};
use crate::{BiasLimit, FileQuantizers, Op, PlacementError, Quantizer, Range, Scheme, Settings, Target};

/// Position of an activation quantizer in its graph.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct QuantizerId(pub usize);

/// A quantizer of activations: one tensor, or several that share it.
#[derive(Clone, Debug, PartialEq)]
pub struct ActivationQuantizer {
    /// Name of the first tensor that has it.
    pub tensor: String,
    /// The kind of integers.
    pub scheme: Scheme,
    /// The range, once calibrated.
    pub range: Option<Range>,
    /// A range given by hand, which goes before the one found.
    pub given: Option<Range>,
    /// The very numbers, where a file has them; they go before scheme and range.
    pub fixed: Option<Quantizer>,
    /// Values below this one only mark places: the range leaves them out.
    pub below: Option<f32>,
    /// All values that its tensors can have, where these are few and known: truths, for one.
    pub levels: Option<Vec<f32>>,
}

impl ActivationQuantizer {
    /// The range to take where `observed` was seen: wide enough to give every one of the [`ActivationQuantizer::levels`] a code of exactly its
    /// value, where some range does. A power of two has none of 1 in a range up to 1, and 1 − 127/128 is no 0.
    pub fn range_for(&self, observed: Range) -> Range {
        let Some(levels) = &self.levels else { return observed };
        let hull = levels.iter().fold(Range::new(0.0, 0.0), |r, &v| r.union(Range::new(v, v)));
        let wider = |by: f32| Range::new(hull.min * by, hull.max * by);
        let is_exact = |r: &Range| Quantizer::from_range(&self.scheme, *r).is_ok_and(|q| levels.iter().all(|&v| q.fake_quantize(v) == v));
        [hull, wider(1.5)].into_iter().find(is_exact).unwrap_or(observed)
    }

    /// Scale and zero point, once calibrated.
    ///
    /// # Errors
    /// The range does not fit the scheme.
    pub fn quantizer(&self) -> Result<Option<Quantizer>, PlacementError> {
        self.quantizer_of_width(self.scheme.bits)
    }

    /// As [`ActivationQuantizer::quantizer`], with another number of bits; numbers of a file stay as they are.
    ///
    /// # Errors
    /// The range does not fit the scheme, or the width is not supported.
    pub fn quantizer_of_width(&self, bits: u8) -> Result<Option<Quantizer>, PlacementError> {
        if self.fixed.is_some() {
            return Ok(self.fixed);
        }
        let scheme = self.scheme.with_bits(bits);
        let make = |range| Quantizer::from_range(&scheme, range);
        // Before a calibration there is none, given or not: what else is known is not either.
        self.range
            .map(|found| self.given.unwrap_or(found))
            .map(make)
            .transpose()
            .map_err(|source| PlacementError::Quantizer { tensor: self.tensor.clone(), source })
    }
}

/// How the weights of a block are quantized. Their range is that of the weights as they are, at every step, unless it is learned
/// ([`QuantGraph::set_weight_limits`]).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct WeightQuantizer {
    /// The kind of integers.
    pub scheme: Scheme,
    /// What is done with a bias of more than 16 bits.
    pub bias_limit: BiasLimit,
    /// The products that the target adds in pairs which saturate: scales are so large that none does. `None` where sums are exact.
    pub pairs: Option<Pairs>,
}

/// Why a node runs in float.
#[derive(Clone, Debug, PartialEq)]
pub enum FloatReason {
    /// The target has no integer form of the operator.
    NotInTarget,
    /// A layer setting says so.
    Pinned,
    /// It only carries values, and those it reads are float.
    InputIsFloat,
    /// Only outputs lie behind it, and they are wanted in float.
    LeadsToOutput,
    /// Its values cannot share a quantizer: this part of them would lose too much, or what it reads is kept apart already.
    Apart(Option<Spread>),
    /// Its values are few and known: truths, or a mask, of which codes might make others.
    FewValues,
    /// Its values are compared or asked for truths, and reach no operator in integers.
    Compared,
    /// Elements are picked by its values, or by those that it reads.
    Index,
    /// Quantization is off.
    Off,
    /// The file that the quantizers are from has none there.
    NotInFile,
    /// It has weights that are float in the file that the quantizers are from, or reads what is.
    FloatInFile,
    /// It is a quantizer of the file's with a scale for each channel of an activation, which no integer operator takes.
    ScalesOfChannels,
}

impl FloatReason {
    /// Why an operator of a quantized file is float.
    pub(crate) fn of_file(op: &Op) -> Self {
        match op {
            Op::FakeQuantize(_) => FloatReason::ScalesOfChannels,
            _ => FloatReason::NotInFile,
        }
    }
}

impl fmt::Display for FloatReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words = match self {
            FloatReason::Apart(Some(spread)) => return write!(f, "{spread}"),
            FloatReason::Apart(None) => "it carries values that cannot share a quantizer",
            FloatReason::LeadsToOutput => "it leads to outputs only, and outputs stay in float",
            FloatReason::NotInTarget => "the target has no integer form of it",
            FloatReason::Pinned => "the recipe keeps it in float",
            FloatReason::InputIsFloat => "it carries values that are float",
            FloatReason::FewValues => "its values are few and known, as those of a mask",
            FloatReason::Compared => "its values are compared, and codes make equal what is not",
            FloatReason::Index => "elements are picked by its values, or by those that it reads",
            FloatReason::Off => "quantization is off",
            FloatReason::NotInFile => "the file has no quantizer behind it",
            FloatReason::FloatInFile => "its weights, or what it reads, are float in the file",
            FloatReason::ScalesOfChannels => "the file rounds there with a scale for each channel",
        };
        f.write_str(words)
    }
}

/// A float network with master weights, and where its integers go.
#[derive(Clone, Debug, PartialEq)]
pub struct QuantGraph {
    pub(crate) graph: Graph,
    pub(crate) target: Target,
    pub(crate) units: Vec<Unit>,
    pub(crate) quantizers: Vec<ActivationQuantizer>,
    pub(crate) of_tensor: Vec<Option<QuantizerId>>,
    pub(crate) weights: Vec<Option<WeightQuantizer>>,
    pub(crate) float: Vec<(NodeId, FloatReason)>,
    /// What became one activation, and what did not.
    pub(crate) fusions: Vec<Fusion>,
    /// Of each unit, the integers that a file holds for it; empty where there was no such file.
    pub(crate) codes: Vec<Option<Arc<BlockCodes>>>,
    /// Of each unit, the learned limits of its folded weights; empty where none are learned.
    pub(crate) weight_limits: Vec<Option<Vec<f32>>>,
    /// What the quantizers were placed by; `None` where a file has them, or there are none.
    pub(crate) settings: Option<Settings>,
    pub(crate) separations: Vec<Separation>,
}

impl QuantGraph {
    /// Recognises functions that are spelled out ([`crate::pass`]), groups the graph into units and places quantizers by the rules of a
    /// target. Tensors keep their ids.
    ///
    /// # Errors
    /// A width that the target does not have, or a layer pattern that matches nothing.
    pub fn prepare(graph: Graph, target: Target, settings: &Settings) -> Result<Self, PlacementError> {
        crate::placement::place(graph, target, settings)
    }

    /// Takes the quantizers, weights and biases of a QDQ file as they are, whoever wrote it.
    ///
    /// A [`crate::op::FakeQuantize`] becomes the quantizer of the tensor it reads, with the file's scale and zero point; constants with
    /// [`Graph::stored_codes`] keep their codes. Nothing is rounded again. What the file leaves in float stays in float. The target says
    /// how sums become codes, and how activations are rounded.
    ///
    /// # Errors
    /// A bias does not fit 32 bits.
    pub fn adopt(graph: Graph, target: Target) -> Result<Self, PlacementError> {
        crate::adopt::adopt(graph, target)
    }

    /// Goes on from the quantizers of a file, whoever wrote it: they stand where the file has them, with its kinds of integers and its ranges,
    /// and training moves them like any other. `graph` is what [`Graph::split_quantizers`] left of the file, whatever was added since.
    ///
    /// Scales are those of the file; weights have the file's as limits ([`QuantGraph::set_weight_limits`]).
    ///
    /// # Errors
    /// A kind of quantizer that the target does not have.
    pub fn take_over(graph: Graph, target: Target, file: &FileQuantizers, bias_limit: BiasLimit) -> Result<Self, PlacementError> {
        crate::take_over::take_over(graph, target, file, bias_limit)
    }

    /// The same units without any quantizer: the float network.
    pub fn float(graph: Graph) -> Self {
        crate::placement::place_nothing(graph)
    }

    /// What ranges change of the rules that quantizers were placed by: where values cannot share one. `extents` has the least and greatest
    /// value of each tensor that leaves a unit, by its id, as a calibration of the float network measures them; `along_axes` the same for
    /// each index of an axis, of those that are [`QuantGraph::measured_along_axes`]. Quantizers of a file stay.
    pub fn separations_by(&self, extents: &[Option<Range>], along_axes: &BTreeMap<TensorId, Vec<AxisExtents>>) -> Vec<Separation> {
        self.settings.as_ref().map_or_else(Vec::new, |settings| separation::find(self, settings, extents, along_axes))
    }

    /// The tensors whose extents may differ so much along these axes that one quantizer is not enough, though no Concat says so: one layer
    /// makes boxes and scores, or a constant scales channels.
    pub fn measured_along_axes(&self) -> Vec<(TensorId, Vec<usize>)> {
        self.settings.as_ref().map_or_else(Vec::new, |settings| separation::measured_along_axes(self, settings))
    }

    /// The quantized tensors that [`QuantGraph::separations_by`] looks at, each with what it is made of: before ranges are known, nobody can
    /// say whether these can share a quantizer.
    pub fn undecided(&self) -> Vec<(TensorId, Vec<TensorId>)> {
        self.settings.as_ref().filter(|_| !self.is_calibrated()).map_or_else(Vec::new, |settings| separation::candidates(self, settings))
    }

    /// Places the quantizers anew, apart where `separations` say so; all ranges are forgotten. Quantizers of a file stay.
    ///
    /// # Errors
    /// As [`QuantGraph::prepare`].
    pub fn place_by(&mut self, separations: Vec<Separation>) -> Result<(), PlacementError> {
        let Some(settings) = &self.settings else { return Ok(()) };
        let placed = placement::assign(&self.graph, &self.units, &self.target, settings, &separations)?;
        (self.quantizers, self.of_tensor, self.weights, self.float) = (placed.quantizers, placed.of_tensor, placed.weights, placed.float);
        self.separations = separations;
        Ok(())
    }

    /// Where the quantizers are placed apart from the rules of the target, see [`QuantGraph::separations_by`].
    pub fn separations(&self) -> &[Separation] {
        &self.separations
    }

    /// The network with float master weights.
    pub fn graph(&self) -> &Graph {
        &self.graph
    }

    /// The network, to write trained weights into.
    pub fn graph_mut(&mut self) -> &mut Graph {
        &mut self.graph
    }

    /// The runtime that the quantizers were placed for.
    pub fn target(&self) -> &Target {
        &self.target
    }

    /// The units in the order they run.
    pub fn units(&self) -> &[Unit] {
        &self.units
    }

    /// The quantizers of activations.
    pub fn quantizers(&self) -> &[ActivationQuantizer] {
        &self.quantizers
    }

    /// The quantizers of activations, to set ranges.
    pub fn quantizers_mut(&mut self) -> &mut [ActivationQuantizer] {
        &mut self.quantizers
    }

    /// Takes the activation quantizers away that `keep` does not want; the others are numbered anew, in order.
    pub fn retain_quantizers(&mut self, keep: impl Fn(QuantizerId) -> bool) {
        let mut kept = 0;
        let mut number = Vec::with_capacity(self.quantizers.len());
        for q in 0..self.quantizers.len() {
            number.push(keep(QuantizerId(q)).then_some(QuantizerId(kept)));
            kept += usize::from(number[q].is_some());
        }
        let mut old = 0..;
        self.quantizers.retain(|_| old.next().is_some_and(|q: usize| number[q].is_some()));
        self.of_tensor.iter_mut().for_each(|q| *q = q.and_then(|q| number[q.0]));
    }

    /// Takes the quantizers of all weights away.
    pub fn release_weights(&mut self) {
        self.weights.iter_mut().for_each(|w| *w = None);
    }

    /// Replaces the weights of a block by their quantized values, in float, at a width. False where its weights have no quantizer.
    ///
    /// # Errors
    /// A weight is not finite.
    pub fn round_weights(&mut self, unit: usize, bits: u8) -> Result<bool, PlacementError> {
        let Some((weights, folded)) = self.weights[unit].zip(self.folded(unit)) else { return Ok(false) };
        let node = || format!("weights of {}", self.graph.node(self.units[unit].core).name);
        let weights = WeightQuantizer { scheme: weights.scheme.with_bits(bits), ..weights };
        let codes = fold::quantize_weights(&weights, &folded, self.weight_limits(unit))
            .map_err(|source| PlacementError::Quantizer { tensor: node(), source })?;
        let channels = folded.bias.len();
        let row = folded.weight.len() / channels;
        let factors = self.batch_norm_of(unit).map_or_else(|| vec![1.0; channels], |norm| norm.factors());
        let mut masters = self.weights_of(unit).unwrap_or_default();
        for (i, w) in masters.iter_mut().enumerate().filter(|(i, _)| factors[i / row] != 0.0) {
            *w = codes.codes[i] * codes.scale(i / row) / factors[i / row];
        }
        self.set_weights_of(unit, masters);
        Ok(true)
    }

    /// The quantizer of a tensor.
    pub fn quantizer_of(&self, tensor: TensorId) -> Option<QuantizerId> {
        self.of_tensor[tensor.0]
    }

    /// How the weights of a unit are quantized; `None` where it has none or runs in float.
    pub fn weight_quantizer(&self, unit: usize) -> Option<WeightQuantizer> {
        self.weights[unit]
    }

    /// The largest magnitude that the folded weights of a unit are quantized for, where it is learned: one, or one for each channel.
    pub fn weight_limits(&self, unit: usize) -> Option<&[f32]> {
        self.weight_limits.get(unit)?.as_deref()
    }

    /// Fixes the range of a unit's folded weights, `[−limit, limit]`, whatever the weights are; `None` makes it theirs again.
    ///
    /// # Panics
    /// The unit's weights have no quantizer, or there is neither one limit nor one for each channel as its scheme says.
    pub fn set_weight_limits(&mut self, unit: usize, limits: Option<Vec<f32>>) {
        if let Some(limits) = &limits {
            let weights = self.weights[unit].expect("only quantized weights have limits");
            let block = self.units[unit].block(&self.graph).expect("only blocks have weights");
            assert_eq!(limits.len(), weights.scheme.grids(block.channels), "a limit for each scale");
        } else if self.weight_limits.is_empty() {
            return;
        }
        self.weight_limits.resize(self.units.len(), None);
        self.weight_limits[unit] = limits;
    }

    /// The integers that a file holds for a unit: they are used as they are.
    pub fn codes_of(&self, unit: usize) -> Option<&BlockCodes> {
        self.codes.get(unit)?.as_deref()
    }

    /// The nodes that run in float, and why.
    pub fn float_nodes(&self) -> &[(NodeId, FloatReason)] {
        &self.float
    }

    /// The groups of nodes that became one activation, and those of the right form that did not, with the reason.
    pub fn fusions(&self) -> &[Fusion] {
        &self.fusions
    }

    /// Whether every quantizer has a range.
    pub fn is_calibrated(&self) -> bool {
        self.quantizers.iter().all(|q| q.range.is_some())
    }

    /// The weights of a block, channels first, as trained.
    pub fn weights_of(&self, unit: usize) -> Option<Vec<f32>> {
        let block = self.units[unit].block(&self.graph)?;
        let values = self.graph.constant(block.weight)?;
        Some(block.layout.channels_first(values, block.channels))
    }

    /// Writes the weights of a block, given channels first.
    ///
    /// # Panics
    /// The unit is no block, or the count of values differs.
    pub fn set_weights_of(&mut self, unit: usize, values: Vec<f32>) {
        let block = self.units[unit].block(&self.graph).expect("only blocks have weights");
        self.graph.set_constant(block.weight, block.layout.stored(&values, block.channels)).expect("a trained weight keeps its count");
    }

    /// The BatchNormalization of a unit.
    pub fn batch_norm_of(&self, unit: usize) -> Option<BatchNorm<'_>> {
        let node = self.graph.node(self.units[unit].batch_norm?);
        let Op::BatchNormalization(op) = &node.op else { return None };
        let values = |i: usize| node.inputs.get(i).and_then(|&t| self.graph.constant(t));
        Some(BatchNorm { gamma: values(1)?, beta: values(2)?, mean: values(3)?, variance: values(4)?, epsilon: op.epsilon })
    }

    /// Weights (channels first) and bias of a block with its BatchNormalization folded in, in float.
    pub fn folded(&self, unit: usize) -> Option<Folded> {
        let block = self.units[unit].block(&self.graph)?;
        let bias = block.bias.and_then(|b| self.graph.constant(b));
        Some(fold::fold(self.weights_of(unit)?, bias, block.channels, self.batch_norm_of(unit).as_ref()))
    }

    /// The codes of a quantized block's weights and bias, as a device holds them.
    ///
    /// `None` where the unit is no block, runs in float or is not calibrated.
    ///
    /// # Errors
    /// Weights without a valid range.
    pub fn quantized_block(&self, unit: usize) -> Result<Option<QuantizedBlock>, PlacementError> {
        let (Some(folded), Some(weights)) = (self.folded(unit), self.weights[unit]) else { return Ok(None) };
        let input = self.units[unit].inputs(&self.graph).next().and_then(|t| self.of_tensor[t.0]);
        let Some(input) = input.map(|q| self.quantizers[q.0].quantizer()).transpose()?.flatten() else { return Ok(None) };
        if let Some(BlockCodes { weight, bias }) = self.codes_of(unit).cloned() {
            return Ok(Some(QuantizedBlock { weight, bias, input }));
        }
        let node = &self.graph.node(self.units[unit].core).name;
        let (weight, bias) = fold::quantize_block(node, &weights, &folded, self.weight_limits(unit), &input)?;
        Ok(Some(QuantizedBlock { weight, bias, input }))
    }
}

/// The integers of a block's weights and bias.
#[derive(Clone, Debug, PartialEq)]
pub struct BlockCodes {
    /// Weights, channels first.
    pub weight: WeightCodes,
    /// Bias codes on scale s_x·s_w.
    pub bias: Vec<i32>,
}

/// The integers of a block.
#[derive(Clone, Debug, PartialEq)]
pub struct QuantizedBlock {
    /// Weights, channels first.
    pub weight: WeightCodes,
    /// Bias codes on scale s_x·s_w.
    pub bias: Vec<i32>,
    /// The quantizer of the input.
    pub input: Quantizer,
}
