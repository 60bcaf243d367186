//! Functions of each element, on real values.

use quantrain_graph::op::Activation;
use quantrain_kernels::activation as kernels;

use super::{Kernel, Replays, Scaled, with_real};

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
        Activation::Elu { alpha } => kernels::Activation::Elu { gain: 1.0, alpha, rate: 1.0 },
        Activation::Selu { alpha, gamma } => kernels::Activation::Elu { gain: gamma, alpha: gamma * alpha, rate: 1.0 },
        Activation::Celu { alpha } => kernels::Activation::Elu { gain: 1.0, alpha, rate: 1.0 / alpha },
        Activation::Gelu { tanh: false } => kernels::Activation::Gelu,
        Activation::Gelu { tanh: true } => kernels::Activation::GeluTanh,
        Activation::Silu => kernels::Activation::Silu,
        Activation::Softplus => kernels::Activation::Softplus,
        Activation::Mish => kernels::Activation::Mish,
        Activation::Exp => kernels::Activation::Exp,
        Activation::Log => kernels::Activation::Log,
        Activation::Sqrt => kernels::Activation::Sqrt,
        Activation::Reciprocal => kernels::Activation::Reciprocal,
        Activation::Neg => kernels::Activation::Neg,
        Activation::Abs => kernels::Activation::Abs,
        Activation::Erf => kernels::Activation::Erf,
        Activation::Pow { exponent } => kernels::Activation::Power { exponent },
        Activation::Floor => kernels::Activation::Floor,
        Activation::Ceil => kernels::Activation::Ceil,
        Activation::Round => kernels::Activation::Round,
        Activation::Sign => kernels::Activation::Sign,
    };
    Element { function }
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
