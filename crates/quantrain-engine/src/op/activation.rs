//! Functions of each element, on real values.

use quantrain_graph::op::Activation;
use quantrain_kernels::activation as kernels;
use quantrain_lowering::activation::function;

use super::{Kernel, Replays, Scaled, with_real};

pub(super) struct Element {
    function: kernels::Activation,
}

pub(super) fn build(op: &Activation) -> Element {
    Element { function: function(op) }
}

impl Kernel for Element {
    /// `y = f(x·s) / out_scale`
    fn forward(&self, x: &[Scaled], out_scale: f32, y: &mut [f32]) {
        with_real(x[0], |real| kernels::forward(self.function, real, y));
        if out_scale != 1.0 {
            y.iter_mut().for_each(|v| *v /= out_scale);
        }
    }

    /// `dx = dy·f'(x·s)`
    fn backward(&self, _: usize, x: &[Scaled], _: Scaled, dy: &[f32], dx: &mut [f32], accumulate: bool) {
        with_real(x[0], |real| kernels::backward(self.function, real, dy, dx, accumulate));
    }

    fn replays(&self) -> Replays {
        Replays { inputs: true, output: false }
    }
}
