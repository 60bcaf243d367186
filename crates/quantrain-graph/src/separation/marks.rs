//! Values that only mark places: masks of −10⁴ to −∞, and what pads far below all others.
//!
//! A mark vanishes in an exponential, in another function that is flat there, or because it is not the greatest. Up to that operator the
//! tensor is float; where the greatest of several values is taken, the lowest code does as well.

use super::{COARSEST, Finder, Remedy, Spread, State};
use crate::block::Unit;
use crate::graph::TensorId;
use crate::op::{Activation, Binary, PadMode};
use crate::placement;
use crate::{Op, Range};

/// From here on, below zero, what is added before a function that is flat there makes its place vanish: e^−16 is less than a step of 16 bits.
const VANISHES: f32 = -16.0;

/// From here on, below zero, a constant only marks places, whatever reads it.
const MARKS: f32 = -1000.0;

impl Finder<'_> {
    /// A unit that reads marks: whether all about it is said by that.
    pub(super) fn look_behind_marks(&mut self, unit: &Unit) -> bool {
        let states: Vec<State> = unit.inputs(self.graph).map(|t| self.states[t.0]).collect();
        if states.contains(&State::Masked) {
            self.look_behind_mask(unit);
            return true;
        }
        let marks = states.iter().filter_map(|s| if let State::Saturated(marks) = s { Some(*marks) } else { None }).reduce(f32::max);
        marks.is_some_and(|marks| self.look_behind_saturated(unit, marks))
    }

    /// The unit is float up to and with the one in which marks vanish.
    fn look_behind_mask(&mut self, unit: &Unit) {
        let (op, output) = (&self.graph.node(unit.core).op, unit.output(self.graph));
        let (vanish, reads) = (placement::is_flat(op) || placement::takes_greatest(op), placement::moves(op) || placement::is_function(op));
        if vanish || reads {
            let reach = self.extents[output.0].map_or(0.0, |e| e.max.max(-e.min));
            let is_masked = !vanish && reach >= -VANISHES;
            self.states[output.0] = if is_masked { State::Masked } else { State::Plain };
            self.add(output, if is_masked { Remedy::Masked } else { Remedy::Float }, None);
        }
    }

    /// Codes go on with their quantizer, whose range knows nothing of the marks up to `marks`; all other values reach as far as before.
    fn look_behind_saturated(&mut self, unit: &Unit, marks: f32) -> bool {
        let (op, output) = (&self.graph.node(unit.core).op, unit.output(self.graph));
        let inputs = || unit.inputs(self.graph).filter_map(|t| self.extents[t.0]);
        let Some(rest) = inputs().reduce(Range::union) else { return false };
        match op {
            Op::Pad(pad) => {
                let fill = if let PadMode::Constant(fill) = pad.mode { fill } else { rest.min };
                if fill > rest.max {
                    self.states[output.0] = State::Masked;
                    self.add(output, Remedy::Masked, None);
                    return true;
                }
                let marks = if fill < rest.min { marks.max(fill) } else { marks };
                self.saturate(output, marks, rest, None);
            }
            Op::Activation(Activation::Clip { max, .. }) if !placement::takes_greatest(op) && !placement::is_flat(op) => {
                let clipped = Range::new(rest.min.min(*max), rest.max.min(*max));
                self.saturate(output, marks, clipped, None);
            }
            _ if placement::takes_greatest(op) && placement::moves(op) => self.extents[output.0] = Some(rest),
            Op::Concat(_) => match self.joined(output) {
                Some(spread) => {
                    self.states[output.0] = State::Apart;
                    self.add(output, Remedy::Apart, Some(spread));
                }
                None => self.saturate(output, marks, rest, None),
            },
            _ if placement::moves(op) => (self.states[output.0], self.extents[output.0]) = (State::Saturated(marks), Some(rest)),
            _ => return false,
        }
        true
    }

    fn saturate(&mut self, tensor: TensorId, marks: f32, rest: Range, spread: Option<Spread>) {
        let below = (marks.max(f32::MIN) / 2.0 + rest.min / 2.0).max(f32::MIN / 2.0);
        (self.states[tensor.0], self.extents[tensor.0]) = (State::Saturated(marks), Some(rest));
        self.add(tensor, Remedy::Saturated { below }, spread);
    }

    /// A pad with a value far from all others.
    pub(super) fn padded(&mut self, unit: &Unit, fill: f32) -> Option<(Remedy, Option<Spread>)> {
        let (input, output) = (unit.inputs(self.graph).next()?, unit.output(self.graph));
        let own = self.extents[input.0]?;
        let spread = self.coarsest([input].into_iter(), own.union(Range::new(fill, fill)), self.limit(output));
        if fill < own.min.min(0.0) && self.paths.leads_to_greatest(output) {
            self.saturate(output, fill, own, spread);
            return None;
        }
        let vanishes = fill <= self.vanishes(output) && fill < own.min;
        spread.map(|spread| (if vanishes { Remedy::Masked } else { Remedy::Apart }, Some(spread)))
    }

    /// A mask: one operand of a sum is at some places far below what the other is.
    pub(super) fn masked(&self, unit: &Unit, op: Binary) -> Option<Spread> {
        let &[a, b] = &self.graph.node(unit.core).inputs[..] else { return None };
        let output = unit.output(self.graph);
        let shared = self.extents[output.0]?;
        [(a, b, op == Binary::Sub), (b, a, false)].into_iter().find_map(|(kept, mask, negated)| {
            let (own, extent) = (self.extents[kept.0]?, self.extents[mask.0]?);
            let low = if negated { -extent.max } else { extent.min };
            let measured = self.paths.leads_to_exponential(output) && low <= VANISHES;
            let is_mask =
                self.graph.constant(kept).is_none() && low < own.min && (measured || self.low_values(output, mask, negated).is_some());
            self.coarsest([kept].into_iter(), shared, COARSEST.in_float).filter(|_| is_mask)
        })
    }

    /// A choice between values and marks, or between values of very different ranges.
    pub(super) fn chosen(&self, unit: &Unit) -> Option<(Remedy, Option<Spread>)> {
        let &[_, a, b] = &self.graph.node(unit.core).inputs[..] else { return None };
        let output = unit.output(self.graph);
        let shared = self.extents[output.0]?;
        let marked = [(a, b), (b, a)].into_iter().find_map(|(kept, mark)| {
            let (own, low) = (self.extents[kept.0]?, self.extents[mark.0]?.max);
            let is_mark = low < own.min && (self.paths.leads_to_greatest(output) || low <= self.vanishes(output));
            self.coarsest([kept].into_iter(), shared, COARSEST.in_float).filter(|_| is_mark)
        });
        let apart = || self.coarsest([a, b].into_iter(), shared, self.limit(output)).map(|spread| (Remedy::Apart, Some(spread)));
        marked.map(|spread| (Remedy::Masked, Some(spread))).or_else(apart)
    }

    /// The greatest of the values of `mask` that only mark places of a sum `output`, where it has such, and others too.
    pub(super) fn low_values(&self, output: TensorId, mask: TensorId, negated: bool) -> Option<f32> {
        let values = self.graph.constant(mask).or_else(|| self.levels.get(mask))?;
        let far = self.vanishes(output);
        let values = || values.iter().map(|&v| if negated { -v } else { v });
        values().filter(|v| *v <= far).reduce(f32::max).filter(|_| values().any(|v| v > far))
    }

    /// From where on a value of the tensor, below zero, is a mark.
    fn vanishes(&self, tensor: TensorId) -> f32 {
        let is_near = self.paths.leads_to_exponential(tensor) || self.paths.leads_to_limit(tensor);
        if is_near { VANISHES } else { MARKS }
    }
}
