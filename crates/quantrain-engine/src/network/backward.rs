//! One step backward, unit by unit.

use quantrain_kernels::range_sums::RangeSums;
use quantrain_kernels::{elementwise, fake_quantize};

use super::{Inputs, Mode, Network, Workspace};
use crate::block;
use crate::op::Scaled;
use crate::plan::{Plan, Work};

impl Network {
    /// Runs backward from the gradients of the outputs (as they lie in memory), after a forward with the same mode. Parameter gradients
    /// are overwritten.
    pub fn backward(&mut self, plan: &Plan, workspace: &mut Workspace, mode: Mode, gradients: &[&[f32]]) {
        let outputs = self.net.graph().outputs();
        for (i, (tensor, gradient)) in outputs.iter().zip(gradients).enumerate() {
            if let Some(buffer) = plan.gradients[tensor.0] {
                let mut dy = workspace.memory.take(buffer);
                // One tensor may be handed out twice.
                if outputs[..i].contains(tensor) {
                    elementwise::add_assign(gradient, &mut dy)
                } else {
                    dy.copy_from_slice(gradient)
                }
                workspace.memory.put(dy);
            }
        }
        self.range_sums.fill(RangeSums::default());
        rayon::scope(|_| {
            for u in (0..plan.units.len()).rev() {
                self.backward_unit(u, plan, workspace, mode);
            }
        });
    }

    fn backward_unit(&mut self, u: usize, plan: &Plan, workspace: &mut Workspace, mode: Mode) {
        let unit = &plan.units[u];
        let Some(backward) = &unit.backward else { return };
        let dy = workspace.memory.take(plan.gradients[unit.output.0].expect("a unit that runs backward receives a gradient"));
        self.add_range_sums(u, plan, workspace, mode, &dy);
        let target = |i: usize| backward.inputs[i].and_then(|accumulate| Some((plan.gradients[unit.inputs[i].0]?, accumulate)));
        match &unit.work {
            Work::Block { shape, accumulator, float_accumulator } => {
                let pass = self.pass(u, unit, *shape, mode);
                let mut delta = workspace.memory.take(backward.delta.expect("a block has a delta"));
                let mut dx = target(0).map(|(buffer, accumulate)| (workspace.memory.take(buffer), accumulate));
                let x = Scaled { values: self.values(plan, workspace, unit.inputs[0]), scale: pass.input_scale };
                let p = self.blocks[u].as_mut().expect("a block has parameters");
                let accumulator = workspace.memory.get(float_accumulator.unwrap_or(*accumulator));
                block::backward(p, &pass, x, accumulator, &dy, &mut delta, dx.as_mut().map(|(d, a)| (&mut **d, *a)));
                workspace.memory.put(delta);
                dx.into_iter().for_each(|(d, _)| workspace.memory.put(d));
            }
            Work::Add => {
                let (pass, mask) = self.add_pass(u, unit, mode);
                let (a, b) = (unit.inputs[0], unit.inputs[1]);
                // x + x hands the gradient to one buffer twice.
                let rounds: &[[bool; 2]] = if a == b { &[[true, false], [false, true]] } else { &[[true, true]] };
                for wanted in rounds {
                    let take =
                        |w: &mut Workspace, i: usize| target(i).filter(|_| wanted[i]).map(|(buffer, add)| (w.memory.take(buffer), add));
                    let (mut da, mut db) = (take(workspace, 0), take(workspace, 1));
                    let (a, b) = (self.values(plan, workspace, a), self.values(plan, workspace, b));
                    let da_ref = da.as_mut().map(|(d, add)| (&mut **d, *add));
                    let db_ref = db.as_mut().map(|(d, add)| (&mut **d, *add));
                    elementwise::add_backward(&pass, mask, a, b, &dy, da_ref, db_ref);
                    [da, db].into_iter().flatten().for_each(|(d, _)| workspace.memory.put(d));
                }
            }
            Work::Kernel(kernel) => {
                let s_y = self.scale(unit.output);
                let delta = unit.before_quantization.zip(backward.delta).map(|(before, delta)| {
                    let mut delta = workspace.memory.take(delta);
                    let mask = self.mask(u, unit, mode);
                    fake_quantize::backward(1.0, mask, workspace.memory.get(before), &dy, &mut delta, false);
                    delta
                });
                let mut state = unit.state.map(|buffer| workspace.memory.take(buffer));
                if let Some(state) = &mut state {
                    kernel.begin_backward(&self.scaled(plan, workspace, u, unit), delta.as_deref().unwrap_or(&dy), state);
                }
                for i in 0..unit.inputs.len() {
                    let Some((buffer, accumulate)) = target(i) else { continue };
                    let mut dx = workspace.memory.take(buffer);
                    // Only what is replayed is still there.
                    let replays = kernel.replays();
                    let x = if replays.inputs { self.scaled(plan, workspace, u, unit) } else { Inputs::new() };
                    let result = unit.before_quantization.or(plan.values[unit.output.0]).filter(|_| replays.output);
                    let y = Scaled { values: result.map_or(&[], |buffer| workspace.memory.get(buffer)), scale: s_y };
                    match &mut state {
                        Some(state) => kernel.backward_from(i, &x, state, &mut dx, accumulate),
                        None => kernel.backward(i, &x, y, delta.as_deref().unwrap_or(&dy), &mut dx, accumulate),
                    }
                    drop(x);
                    workspace.memory.put(dx);
                }
                for i in 0..self.own[u].len() {
                    let mut gradient = std::mem::take(&mut self.own[u][i].1.gradient);
                    let (x, y) = (self.scaled(plan, workspace, u, unit), Scaled { values: &[], scale: s_y });
                    let which = unit.inputs.len() + i;
                    match &mut state {
                        Some(state) => kernel.backward_from(which, &x, state, &mut gradient, false),
                        None => kernel.backward(which, &x, y, delta.as_deref().unwrap_or(&dy), &mut gradient, false),
                    }
                    drop(x);
                    self.own[u][i].1.gradient = gradient;
                }
                state.into_iter().for_each(|s| workspace.memory.put(s));
                delta.into_iter().for_each(|d| workspace.memory.put(d));
            }
        }
        workspace.memory.put(dy);
    }
}
