//! What a backward says of the network's inputs.

use quantrain_kernels::fake_quantize;

use super::{Network, Workspace};
use crate::block;
use crate::plan::{Plan, Purpose};

impl Network {
    /// Writes the gradient of input `i` after a backward by a plan of [`Plan::with_input_gradients`], as it lies in memory. `x` are the values
    /// that were fed: where the input's quantizer clipped them, the gradient is 0, but along the path without masks. Zeros where no gradient
    /// reaches the input, or the plan has none.
    pub fn read_input_gradient(&self, plan: &Plan, workspace: &Workspace, i: usize, x: &[f32], to: &mut Vec<f32>) {
        let tensor = self.net.graph().inputs()[i];
        to.clear();
        to.resize(x.len(), 0.0);
        let Some(buffer) = plan.gradients[tensor.0] else { return };
        let path = match plan.purpose {
            Purpose::Training(path) => Some(path),
            Purpose::Inference | Purpose::Inspection => None,
        };
        let mask = block::mask((f32::NEG_INFINITY, f32::INFINITY), self.quantizer(tensor).as_ref(), path);
        fake_quantize::backward(self.scale(tensor), mask, x, workspace.memory.get(buffer), to, false);
    }
}
