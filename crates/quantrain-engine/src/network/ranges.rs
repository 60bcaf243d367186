//! What gradients say of the ranges of activations: learned quantizers refine the quantized path.

use quantrain_kernels::block_pass;
use quantrain_kernels::elementwise::{self, AddPass};
use quantrain_kernels::range_sums::{RangeSums, range_sums};

use super::{Mode, Network, Workspace};
use crate::block::code_range;
use crate::plan::{Plan, Work};

impl Network {
    /// Whether a backward along the quantized path also fills [`Network::range_sums`].
    pub fn learn_ranges(&mut self, learn: bool) {
        self.range_sums.clear();
        self.range_sums.resize(if learn { self.net.quantizers().len() } else { 0 }, RangeSums::default());
    }

    /// Of each activation quantizer, what the last backward's gradients say of its range; empty where ranges are not learned. A quantizer that
    /// no gradient reaches, such as the input's, has zeros.
    pub fn range_sums(&self) -> &[RangeSums] {
        &self.range_sums
    }

    /// Adds what the gradient of a unit's output says of its quantizer's range.
    pub(super) fn add_range_sums(&mut self, u: usize, plan: &Plan, workspace: &Workspace, mode: Mode, dy: &[f32]) {
        let unit = &plan.units[u];
        let Some(id) = self.net.quantizer_of(unit.output).filter(|id| mode.simulate && id.0 < self.range_sums.len()) else { return };
        let Some(range) = self.quantizers[id.0].as_ref().map(code_range) else { return };
        let sums = match &unit.work {
            Work::Block { shape, accumulator, float_accumulator: None } => {
                let mut t = self.take_observed(dy.len());
                let pass = self.pass(u, unit, *shape, mode);
                let Some(p) = &self.blocks[u] else { return };
                block_pass::forward(&p.coefficients.value.pass(pass.clip_steps(), None), workspace.memory.get(*accumulator), &mut t);
                let sums = range_sums(&range, &t, dy);
                self.observed = t;
                sums
            }
            // The value path's accumulators are gone.
            Work::Block { .. } => return,
            Work::Add => {
                let mut t = self.take_observed(dy.len());
                let (pass, _) = self.add_pass(u, unit, mode);
                let (a, b) = (self.values(plan, workspace, unit.inputs[0]), self.values(plan, workspace, unit.inputs[1]));
                elementwise::add(&AddPass { quantize: None, ..pass }, a, b, &mut t);
                let sums = range_sums(&range, &t, dy);
                self.observed = t;
                sums
            }
            Work::Kernel(_) => match unit.before_quantization {
                Some(buffer) => range_sums(&range, workspace.memory.get(buffer), dy),
                // Carried codes are another unit's.
                None => return,
            },
        };
        self.range_sums[id.0] = self.range_sums[id.0].plus(sums);
    }
}
