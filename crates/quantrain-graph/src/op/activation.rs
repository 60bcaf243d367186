//! Functions of each element.

/// An element-wise function in ONNX's words.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Activation {
    /// `max(x, 0)`
    Relu,
    /// `min(max(x, min), max)`; an open side is infinite.
    Clip {
        /// Lower limit.
        min: f32,
        /// Upper limit.
        max: f32,
    },
    /// `x` where positive, `alpha·x` elsewhere.
    LeakyRelu {
        /// Slope below zero.
        alpha: f32,
    },
    /// `1 / (1 + e^−x)`
    Sigmoid,
    /// `clamp(alpha·x + beta, 0, 1)`
    HardSigmoid {
        /// Slope.
        alpha: f32,
        /// Offset.
        beta: f32,
    },
    /// `x·clamp(x/6 + ½, 0, 1)`
    HardSwish,
    /// Hyperbolic tangent.
    Tanh,
    /// `x` where positive, `alpha·(e^x − 1)` elsewhere.
    Elu {
        /// Distance to the value at −∞.
        alpha: f32,
    },
    /// `gamma·x` where positive, `gamma·alpha·(e^x − 1)` elsewhere.
    Selu {
        /// As Elu's.
        alpha: f32,
        /// Factor of the whole.
        gamma: f32,
    },
    /// `max(x, 0) + min(0, alpha·(e^(x/alpha) − 1))`
    Celu {
        /// Distance to the value at −∞, positive.
        alpha: f32,
    },
    /// `x·Φ(x)`, Φ the normal distribution: exactly, or by ONNX's approximation with tanh.
    Gelu {
        /// `x/2·(1 + tanh(√(2/π)·(x + 0.044715·x³)))`
        tanh: bool,
    },
    /// `x·sigmoid(x)`, which ONNX writes as two operators.
    Silu,
    /// `ln(1 + e^x)`
    Softplus,
    /// `x·tanh(ln(1 + e^x))`
    Mish,
    /// `e^x`
    Exp,
    /// `ln(x)`
    Log,
    /// `√x`
    Sqrt,
    /// `1/x`
    Reciprocal,
    /// `−x`
    Neg,
    /// `|x|`
    Abs,
    /// The error function.
    Erf,
    /// Sine.
    Sin,
    /// Cosine.
    Cos,
    /// `x / (1 + |x|)`
    Softsign,
    /// `x` where greater than `alpha`, 0 elsewhere.
    ThresholdedRelu {
        /// The threshold.
        alpha: f32,
    },
    /// `x + bias` below `−lambd`, `x − bias` above `lambd`, 0 between.
    Shrink {
        /// What values lose.
        bias: f32,
        /// Up to which size they become 0.
        lambd: f32,
    },
    /// `x^exponent`
    Pow {
        /// The exponent, one for all elements.
        exponent: f32,
    },
    /// The greatest whole number up to x. Its derivative is 0, as those of the next four: nothing before them is trained through them.
    Floor,
    /// The least whole number from x.
    Ceil,
    /// The nearest whole number, halves to the even one.
    Round,
    /// The whole number between x and 0 that is nearest to x: what a Cast to integers gives.
    Trunc,
    /// −1, 0 or 1.
    Sign,
    /// 1 where x is 0, else 0. This and the next two give truths, and their derivative is 0.
    Not,
    /// 1 where x is NaN, else 0.
    IsNaN,
    /// 1 where x is infinite, else 0.
    IsInf {
        /// −∞ counts.
        negative: bool,
        /// ∞ counts.
        positive: bool,
    },
}

impl Activation {
    /// The name of the ONNX operator; `Silu` has none before operator set 24, `Trunc` is a Cast there and back.
    pub fn name(&self) -> &'static str {
        match self {
            Activation::Relu => "Relu",
            Activation::Clip { .. } => "Clip",
            Activation::LeakyRelu { .. } => "LeakyRelu",
            Activation::Sigmoid => "Sigmoid",
            Activation::HardSigmoid { .. } => "HardSigmoid",
            Activation::HardSwish => "HardSwish",
            Activation::Tanh => "Tanh",
            Activation::Elu { .. } => "Elu",
            Activation::Selu { .. } => "Selu",
            Activation::Celu { .. } => "Celu",
            Activation::Gelu { .. } => "Gelu",
            Activation::Silu => "Silu",
            Activation::Softplus => "Softplus",
            Activation::Mish => "Mish",
            Activation::Exp => "Exp",
            Activation::Log => "Log",
            Activation::Sqrt => "Sqrt",
            Activation::Reciprocal => "Reciprocal",
            Activation::Neg => "Neg",
            Activation::Abs => "Abs",
            Activation::Erf => "Erf",
            Activation::Sin => "Sin",
            Activation::Cos => "Cos",
            Activation::Softsign => "Softsign",
            Activation::ThresholdedRelu { .. } => "ThresholdedRelu",
            Activation::Shrink { .. } => "Shrink",
            Activation::Pow { .. } => "Pow",
            Activation::Floor => "Floor",
            Activation::Ceil => "Ceil",
            Activation::Round => "Round",
            Activation::Trunc => "Trunc",
            Activation::Sign => "Sign",
            Activation::Not => "Not",
            Activation::IsNaN => "IsNaN",
            Activation::IsInf { .. } => "IsInf",
        }
    }

    /// Whether the results are truths.
    pub fn is_truth(&self) -> bool {
        matches!(self, Activation::Not | Activation::IsNaN | Activation::IsInf { .. })
    }

    /// Whether the derivative is 0 wherever there is one: the results are whole numbers.
    pub fn is_step(&self) -> bool {
        self.is_truth() || matches!(self, Activation::Floor | Activation::Ceil | Activation::Round | Activation::Trunc | Activation::Sign)
    }

    /// The interval that the function clips to, for those that do nothing else: integer hardware clamps codes instead.
    pub fn clip(&self) -> Option<(f32, f32)> {
        match *self {
            Activation::Relu => Some((0.0, f32::INFINITY)),
            Activation::Clip { min, max } => Some((min, max)),
            _ => None,
        }
    }
}
