//! What a forward leaves to be read.

use quantrain_graph::TensorId;

use super::{Network, Workspace};
use crate::plan::Plan;

impl Network {
    /// The real values of output `i` as they lie in memory.
    pub fn output(&self, plan: &Plan, workspace: &Workspace, i: usize) -> Vec<f32> {
        let mut values = Vec::new();
        self.read_output(plan, workspace, i, &mut values);
        values
    }

    /// As [`Network::output`], into memory that is there.
    pub fn read_output(&self, plan: &Plan, workspace: &Workspace, i: usize, to: &mut Vec<f32>) {
        let tensor = self.net.graph().outputs()[i];
        let scale = workspace.scales[tensor.0];
        to.clear();
        to.extend_from_slice(self.values(plan, workspace, tensor));
        // A product would quiet signalling NaNs.
        if scale != 1.0 {
            to.iter_mut().for_each(|v| *v *= scale);
        }
    }

    /// What the buffer of `tensor` holds, and its scale: centred codes of a quantized tensor in a simulated run, else real values. It is there
    /// once its unit has run, after a whole forward only by a plan for [`crate::Purpose::Inspection`]. `None` for a constant, and for a tensor
    /// inside a block.
    pub fn values_of<'w>(&self, plan: &Plan, workspace: &'w Workspace, tensor: TensorId) -> Option<(&'w [f32], f32)> {
        let buffer = plan.values[tensor.0]?;
        Some((workspace.memory.get(buffer), workspace.scales[tensor.0]))
    }

    /// The real values of output `i` in ONNX's axis order.
    pub fn output_in_onnx_order(&self, plan: &Plan, workspace: &Workspace, i: usize) -> Vec<f32> {
        let shape = &self.net.graph().tensor(self.net.graph().outputs()[i]).shape;
        let mut logical = Vec::new();
        crate::in_onnx_order(&shape.at(plan.batch), &self.output(plan, workspace, i), &mut logical);
        logical
    }
}
