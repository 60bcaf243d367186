//! Functions of each element.

use quantrain_graph::op::Activation;
use quantrain_kernels::activation as kernels;

/// The kernels' function that an operator is.
pub fn function(op: &Activation) -> kernels::Activation {
    match *op {
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
        Activation::Sin => kernels::Activation::Sin,
        Activation::Cos => kernels::Activation::Cos,
        Activation::Softsign => kernels::Activation::Softsign,
        Activation::ThresholdedRelu { alpha } => kernels::Activation::ThresholdedRelu { threshold: alpha },
        Activation::Shrink { bias, lambd } => kernels::Activation::Shrink { bias, limit: lambd },
        Activation::Pow { exponent } => kernels::Activation::Power { exponent },
        Activation::Floor => kernels::Activation::Floor,
        Activation::Ceil => kernels::Activation::Ceil,
        Activation::Round => kernels::Activation::Round,
        Activation::Trunc => kernels::Activation::Trunc,
        Activation::Sign => kernels::Activation::Sign,
        Activation::Not => kernels::Activation::Not,
        Activation::IsNaN => kernels::Activation::IsNaN,
        Activation::IsInf { negative, positive } => kernels::Activation::IsInf { negative, positive },
    }
}
