//! Functions of each element, on real values.

use quantrain_graph::op::Activation;
use quantrain_kernels::activation as kernels;
use quantrain_kernels::elementwise::scale_into;

use super::{Kernel, Replays, Scaled, write};

pub(super) struct Element {
    function: kernels::Activation,
}

pub(super) fn build(op: &Activation) -> Element {
    let function = match *op {
        Activation::Relu => kernels::Activation::Relu,
        Activation::Clip { min, max } => kernels::Activation::Clip { lo: min, hi: max },
        Activation::LeakyRelu { alpha } => kernels::Activation::LeakyRelu { slope: alpha },
        Activation::Sigmoid => kernels::Activation::Sigmoid,
        Activation::HardSigmoid { alpha, beta } => kernels::Activation::HardSigmoid { alpha, beta },
        Activation::HardSwish => kernels::Activation::HardSwish,
        Activation::Tanh => kernels::Activation::Tanh,
    };
    Element { function }
}

impl Kernel for Element {
    /// `y = f(x·s) / out_scale`
    fn forward(&self, x: &[Scaled], out_scale: f32, y: &mut [f32]) {
        let x = x[0];
        if x.scale == 1.0 {
            kernels::forward(self.function, x.values, y);
        } else {
            let mut real = vec![0.0; x.values.len()];
            scale_into(x.scale, x.values, &mut real);
            kernels::forward(self.function, &real, y);
        }
        if out_scale != 1.0 {
            y.iter_mut().for_each(|v| *v /= out_scale);
        }
    }

    /// `dx = dy·f'(x·s)`
    fn backward(&self, _: usize, x: &[Scaled], _: Scaled, dy: &[f32], dx: &mut [f32], accumulate: bool) {
        let mut real = vec![0.0; x[0].values.len()];
        write(&mut real, false, |i| x[0].values[i] * x[0].scale);
        kernels::backward(self.function, &real, dy, dx, accumulate);
    }

    fn replays(&self) -> Replays {
        Replays { inputs: true, output: false }
    }
}
