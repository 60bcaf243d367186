//! Quantizers on their way to tensors.

use std::collections::BTreeMap;

use super::paths::{Paths, has_weights, moves};
use crate::block::Unit;
use crate::graph::{Graph, TensorId};
use crate::levels::Levels;
use crate::op::PadMode;
use crate::quant_graph::{ActivationQuantizer, FloatReason, QuantizerId};
use crate::separation::{Remedy, Separation};
use crate::target::Placement;
use crate::{Op, Scheme, Target};

/// Width of codes that values of different ranges may share.
pub(super) const WIDE: u8 = 16;

/// Quantizers on their way; those that turn out to share are joined.
pub(super) struct Placer<'g> {
    graph: &'g Graph,
    target: &'g Target,
    paths: &'g Paths,
    levels: &'g Levels,
    /// Of each tensor, what measured ranges change.
    separations: Vec<Option<&'g Separation>>,
    /// Width of what no layer setting is about.
    bits_of_inputs: u8,
    of_tensor: Vec<Option<usize>>,
    /// Of each quantizer an earlier one that it was joined to, or itself.
    joined: Vec<usize>,
    bits: Vec<u8>,
    names: Vec<TensorId>,
}

impl<'g> Placer<'g> {
    pub fn new(
        graph: &'g Graph,
        target: &'g Target,
        (paths, levels): (&'g Paths, &'g Levels),
        separations: &'g [Separation],
        bits_of_inputs: u8,
    ) -> Self {
        let of_tensor = vec![None; graph.tensors().len()];
        let by_name: BTreeMap<&str, &Separation> = separations.iter().map(|s| (s.tensor.as_str(), s)).collect();
        let separations = graph.tensors().iter().map(|t| by_name.get(t.name.as_str()).copied()).collect();
        Placer {
            graph,
            target,
            paths,
            levels,
            separations,
            bits_of_inputs,
            of_tensor,
            joined: Vec::new(),
            bits: Vec::new(),
            names: Vec::new(),
        }
    }

    /// The quantizer of a tensor; of joined ones the first.
    fn find(&mut self, tensor: TensorId) -> Option<usize> {
        let mut q = self.of_tensor[tensor.0]?;
        while self.joined[q] != q {
            // Every other step is spared to whoever comes next.
            self.joined[q] = self.joined[self.joined[q]];
            q = self.joined[q];
        }
        self.of_tensor[tensor.0] = Some(q);
        Some(q)
    }

    pub fn place(&mut self, unit: &Unit, bits: u8) -> Result<(), FloatReason> {
        let output = unit.output(self.graph);
        let op = &self.graph.node(unit.core).op;
        let inputs: Vec<TensorId> = unit.inputs(self.graph).collect();
        let first = self.graph.node(unit.core).inputs.first();
        let separation = self.separations[output.0];
        let remedy = separation.map(|s| s.remedy);
        let saturates = matches!(remedy, Some(Remedy::Saturated { .. }));
        let placement = match op {
            // A pad with another value than 0 brings values that the input's quantizer may not have; one far below becomes its lowest code.
            Op::Pad(p) if p.mode != PadMode::Constant(0.0) && matches!(p.mode, PadMode::Constant(_)) && !saturates => Placement::Quantized,
            // Its input is compared as it is.
            Op::Identity if self.graph.gives_codes(unit.core) => Placement::Quantized,
            op => self.target.placement(op),
        };
        let is_index = |t: &TensorId| self.paths.leads_to_index(*t);
        if is_index(&output) || !matches!(op, Op::Lookup(_)) && inputs.iter().any(is_index) {
            return Err(FloatReason::Index);
        }
        if placement != Placement::Float && !has_weights(op) {
            self.stays_in_float(op, output, placement)?;
            // What is chosen by a comparison is an output with it.
            let is_compared = |t: &TensorId| self.is_compared(*t) && self.paths.leads_to_output(output);
            if placement != Placement::Carried && inputs.iter().any(is_compared) {
                return Err(FloatReason::Compared);
            }
        }
        match placement {
            Placement::Float => return Err(FloatReason::NotInTarget),
            Placement::Shared if remedy.is_none() || saturates => {
                inputs.iter().for_each(|&t| self.ensure(t));
                self.own(output, bits);
                inputs.iter().for_each(|&t| self.join(t, output));
            }
            Placement::Quantized if self.graph.gives_codes(unit.core) => self.own(output, bits),
            Placement::Quantized | Placement::Shared => {
                inputs.iter().for_each(|&t| self.ensure(t));
                if !has_weights(op) || !self.is_better_in_float(output) {
                    self.own(output, self.width(output, bits));
                }
            }
            // A constant has no quantizer to carry.
            Placement::Carried if first.is_some_and(|&t| self.graph.constant(t).is_some()) => self.own(output, bits),
            Placement::Carried => {
                let carried = inputs.first().and_then(|t| self.of_tensor[t.0]).ok_or(FloatReason::InputIsFloat)?;
                self.of_tensor[output.0] = Some(carried);
            }
        }
        Ok(())
    }

    /// Why an operator without weights is better off in float than by the target's rules.
    fn stays_in_float(&self, op: &Op, output: TensorId, placement: Placement) -> Result<(), FloatReason> {
        let leads_out = self.paths.leads_to_float(output) || self.paths.leads_to_output(output);
        match self.separations[output.0] {
            Some(s) if matches!(s.remedy, Remedy::Masked | Remedy::Float) || s.remedy == Remedy::Apart && (moves(op) || leads_out) => {
                Err(FloatReason::Apart(s.spread.clone()))
            }
            _ if self.levels.is_computed(output) => Err(FloatReason::FewValues),
            // Codes that are only carried lose nothing.
            _ if placement != Placement::Carried && self.is_compared(output) => Err(FloatReason::Compared),
            _ => Ok(()),
        }
    }

    /// Whether a layer's result is better off without codes: nothing in integers reads it, and they would lose what does.
    fn is_better_in_float(&self, tensor: TensorId) -> bool {
        let leads_out = self.paths.leads_to_output(tensor) || self.paths.leads_to_float(tensor);
        let apart = self.separations[tensor.0].is_some_and(|s| s.remedy == Remedy::Apart);
        apart && leads_out || self.is_compared(tensor)
    }

    /// Whether the values are only compared, or are compared with each other, and nothing in integers reads them.
    fn is_compared(&self, tensor: TensorId) -> bool {
        let leads_out = self.paths.leads_to_output(tensor) || self.paths.leads_to_float(tensor);
        self.paths.leads_to_truth(tensor) || leads_out && self.paths.leads_to_comparison(tensor)
    }

    /// Whether nothing but outputs lies behind the unit, and it is no layer itself.
    pub fn is_behind_layers(&self, unit: &Unit) -> bool {
        !has_weights(&self.graph.node(unit.core).op) && self.paths.leads_to_output(unit.output(self.graph))
    }

    /// Whether values of very different ranges leave the unit.
    pub fn is_apart(&self, unit: &Unit) -> bool {
        self.separations[unit.output(self.graph).0].is_some_and(|s| s.remedy == Remedy::Apart)
    }

    /// Values that are kept apart get as many bits as there are.
    fn width(&self, tensor: TensorId, bits: u8) -> u8 {
        let apart = self.separations[tensor.0].is_some_and(|s| matches!(s.remedy, Remedy::Apart | Remedy::Masked));
        if apart && self.target.check_activation_bits(WIDE).is_ok() { bits.max(WIDE) } else { bits }
    }

    pub fn own(&mut self, tensor: TensorId, bits: u8) {
        self.of_tensor[tensor.0] = Some(self.bits.len());
        self.joined.push(self.bits.len());
        self.bits.push(bits);
        self.names.push(tensor);
    }

    fn ensure(&mut self, tensor: TensorId) {
        if self.of_tensor[tensor.0].is_none() {
            self.own(tensor, self.width(tensor, self.bits_of_inputs));
        }
    }

    fn join(&mut self, a: TensorId, b: TensorId) {
        let (Some(a), Some(b)) = (self.find(a), self.find(b)) else { return };
        let (low, high) = (a.min(b), a.max(b));
        self.bits[low] = self.bits[low].max(self.bits[high]);
        self.joined[high] = low;
    }

    pub fn widen(&mut self, tensor: TensorId, bits: u8) {
        if let Some(q) = self.find(tensor) {
            self.bits[q] = self.bits[q].max(bits);
        }
    }

    pub fn widen_input(&mut self, unit: &Unit, bits: u8) {
        let inputs: Vec<TensorId> = unit.inputs(self.graph).collect();
        inputs.into_iter().for_each(|t| self.widen(t, bits));
    }

    /// Takes the quantizers from what leads to outputs only: nothing in integers reads it.
    pub fn release_outputs(&mut self) {
        for t in (0..self.of_tensor.len()).map(TensorId).filter(|t| !self.graph.inputs().contains(t)) {
            if self.paths.leads_to_output(t) {
                self.of_tensor[t.0] = None;
            }
        }
    }

    /// How many tensors each quantizer has, joined ones counted with the first.
    fn count(&mut self) -> Vec<usize> {
        let mut tensors = vec![0; self.bits.len()];
        for t in 0..self.of_tensor.len() {
            self.find(TensorId(t)).into_iter().for_each(|q| tensors[q] += 1);
        }
        tensors
    }

    /// Numbers the quantizers that are left in the order of their tensors.
    pub fn finish(mut self, scheme: Scheme) -> (Vec<ActivationQuantizer>, Vec<Option<QuantizerId>>) {
        let tensors = self.count();
        let (levels, below) = (self.levels_of_quantizers(), self.marks_of_quantizers());
        let mut number = vec![None; self.bits.len()];
        let mut quantizers = Vec::new();
        for (q, &tensor) in self.names.iter().enumerate() {
            if tensors[q] > 0 {
                number[q] = Some(QuantizerId(quantizers.len()));
                let scheme = scheme.with_bits(self.bits[q]);
                let tensor = self.graph.tensor(tensor).name.clone();
                quantizers.push(ActivationQuantizer {
                    tensor,
                    scheme,
                    range: None,
                    given: None,
                    fixed: None,
                    below: below[q],
                    levels: levels[q].clone(),
                });
            }
        }
        let of_tensor = self.of_tensor.iter().map(|q| q.and_then(|q| number[q])).collect();
        (quantizers, of_tensor)
    }

    /// Of each quantizer where the values begin that are no marks: the last of its tensors, which may join the others, knows of all.
    fn marks_of_quantizers(&mut self) -> Vec<Option<f32>> {
        let mut marks = vec![None; self.bits.len()];
        for t in (0..self.of_tensor.len()).map(TensorId) {
            let Some(Remedy::Saturated { below }) = self.separations[t.0].map(|s| s.remedy) else { continue };
            self.find(t).into_iter().for_each(|q| marks[q] = Some(below));
        }
        marks
    }

    /// Of each quantizer the values that all its tensors may have, where they are few.
    fn levels_of_quantizers(&mut self) -> Vec<Option<Vec<f32>>> {
        let mut levels = vec![Some(Vec::new()); self.bits.len()];
        for t in (0..self.of_tensor.len()).map(TensorId) {
            let Some(q) = self.find(t) else { continue };
            levels[q] = match (levels[q].take(), self.levels.get(t).filter(|_| self.levels.is_computed(t))) {
                (Some(all), Some(more)) => Some([&all, more].concat()),
                _ => None,
            };
        }
        levels
    }
}
