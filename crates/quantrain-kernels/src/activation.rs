//! Activations in float, value and derivative.

use crate::exponential::{erf, exp, log, power, sigmoid, softplus, tanh};
use crate::fake_quantize::limit;
use crate::parallel::{OneByOne, TASK, put};
use crate::simd::{simd, simd_kernel};
use rayon::prelude::*;

/// An element-wise activation, in ONNX's words.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Activation {
    /// `max(x, 0)`; derivative 0 at 0.
    Relu,
    /// `clamp(x, lo, hi)`; derivative 1 strictly inside.
    Clip {
        /// The lower limit, or −∞.
        lo: f32,
        /// The upper limit, or ∞.
        hi: f32,
    },
    /// `x` where `x > 0`, else `slope·x`.
    LeakyRelu {
        /// ONNX's `alpha`.
        slope: f32,
    },
    /// `1 / (1 + exp(−x))`.
    Sigmoid,
    /// `clamp(alpha·x + beta, 0, 1)`.
    HardSigmoid {
        /// The slope; ONNX's default is 0.2.
        alpha: f32,
        /// The value at 0; ONNX's default is 0.5.
        beta: f32,
    },
    /// `x·clamp(x/6 + 1/2, 0, 1)`.
    HardSwish,
    /// `tanh(x)`.
    Tanh,
    /// `x·sigmoid(x)`, also called swish.
    Silu,
    /// `gain·x` where `x > 0`, else `alpha·(exp(rate·x) − 1)`: ONNX's Elu, Selu and Celu.
    Elu {
        /// The slope above zero.
        gain: f32,
        /// The distance to the value at −∞.
        alpha: f32,
        /// How fast that is reached.
        rate: f32,
    },
    /// `x/2·(1 + erf(x/√2))`.
    Gelu,
    /// `x/2·(1 + tanh(√(2/π)·(x + 0.044715·x³)))`.
    GeluTanh,
    /// `ln(1 + exp(x))`.
    Softplus,
    /// `x·tanh(ln(1 + exp(x)))`.
    Mish,
    /// `exp(x)`.
    Exp,
    /// `ln(x)`.
    Log,
    /// `√x`.
    Sqrt,
    /// `1/x`.
    Reciprocal,
    /// `−x`.
    Neg,
    /// `|x|`; derivative 0 at 0.
    Abs,
    /// The error function.
    Erf,
    /// `sin(x)`.
    Sin,
    /// `cos(x)`.
    Cos,
    /// `x / (1 + |x|)`.
    Softsign,
    /// `x` where `x > threshold`, else 0; derivative 0 at the threshold.
    ThresholdedRelu {
        /// ONNX's `alpha`.
        threshold: f32,
    },
    /// `x + bias` where `x < −limit`, `x − bias` where `x > limit`, else 0.
    Shrink {
        /// What values lose.
        bias: f32,
        /// ONNX's `lambd`.
        limit: f32,
    },
    /// `x^exponent`, see [`crate::elementwise::power`].
    Power {
        /// The exponent.
        exponent: f32,
    },
    /// The greatest whole number up to x; derivative 0.
    Floor,
    /// The least whole number from x; derivative 0.
    Ceil,
    /// The nearest whole number, halves to the even one; derivative 0.
    Round,
    /// The whole number between x and 0 that is nearest to x; derivative 0.
    Trunc,
    /// −1, 0 or 1; derivative 0.
    Sign,
    /// 1 where x is 0, else 0; derivative 0.
    Not,
    /// 1 where x is NaN, else 0; derivative 0.
    IsNaN,
    /// 1 where x is infinite, else 0; derivative 0.
    IsInf {
        /// −∞ counts.
        negative: bool,
        /// ∞ counts.
        positive: bool,
    },
}

/// One activation as a type, so that a loop over it holds no branch.
trait Function: Copy + Send + Sync {
    fn value(self, x: f32) -> f32;
    fn slope(self, x: f32) -> f32;
}

macro_rules! function {
    ($name:ident { $($field:ident),* }, $x:ident, value $value:expr, slope $slope:expr) => {
        #[derive(Clone, Copy)]
        struct $name { $($field: f32),* }

        impl Function for $name {
            #[inline(always)]
            fn value(self, $x: f32) -> f32 {
                let Self { $($field),* } = self;
                $value
            }

            #[inline(always)]
            fn slope(self, $x: f32) -> f32 {
                let Self { $($field),* } = self;
                $slope
            }
        }
    };
}

function!(Clip { lo, hi }, x, value limit(x, lo, hi), slope if (lo < x) & (x < hi) { 1.0 } else { 0.0 });
function!(LeakyRelu { slope }, x, value if x > 0.0 { x } else { slope * x }, slope if x > 0.0 { 1.0 } else { slope });
function!(Sigmoid {}, x, value sigmoid(x), slope {
    let y = sigmoid(x);
    y * (1.0 - y)
});
function!(HardSigmoid { alpha, beta }, x, value limit(alpha * x + beta, 0.0, 1.0), slope {
    let t = alpha * x + beta;
    if (0.0 < t) & (t < 1.0) { alpha } else { 0.0 }
});
function!(HardSwish {}, x, value x * limit(x / 6.0 + 0.5, 0.0, 1.0), slope {
    let inside = x / 3.0 + 0.5;
    let t = x / 6.0 + 0.5;
    if t >= 1.0 { 1.0 } else if t <= 0.0 { 0.0 } else { inside }
});
function!(Tanh {}, x, value tanh(x), slope {
    let y = tanh(x);
    1.0 - y * y
});
function!(Silu {}, x, value x * sigmoid(x), slope {
    let s = sigmoid(x);
    s + x * s * (1.0 - s)
});

function!(Elu { gain, alpha, rate }, x, value if x > 0.0 { gain * x } else { alpha * (exp(rate * x) - 1.0) },
    slope if x > 0.0 { gain } else { alpha * rate * exp(rate * x) });
function!(Gelu {}, x, value 0.5 * x * (1.0 + erf(x * std::f32::consts::FRAC_1_SQRT_2)), slope {
    // The density of the normal distribution.
    let density = exp(-0.5 * x * x) * (0.5 * std::f32::consts::FRAC_2_SQRT_PI * std::f32::consts::FRAC_1_SQRT_2);
    0.5 * (1.0 + erf(x * std::f32::consts::FRAC_1_SQRT_2)) + x * density
});
/// `√(2/π)`
const GELU_RATE: f32 = 0.797_884_6;
function!(GeluTanh {}, x, value 0.5 * x * (1.0 + tanh(GELU_RATE * (x + 0.044_715 * x * x * x))), slope {
    let t = tanh(GELU_RATE * (x + 0.044_715 * x * x * x));
    0.5 * (1.0 + t) + 0.5 * x * (1.0 - t * t) * GELU_RATE * (1.0 + 3.0 * 0.044_715 * x * x)
});
function!(Softplus {}, x, value softplus(x), slope sigmoid(x));
function!(Mish {}, x, value x * tanh(softplus(x)), slope {
    let t = tanh(softplus(x));
    t + x * (1.0 - t * t) * sigmoid(x)
});
function!(Exp {}, x, value exp(x), slope exp(x));
function!(Log {}, x, value log(x), slope 1.0 / x);
function!(Sqrt {}, x, value x.sqrt(), slope 0.5 / x.sqrt());
function!(Reciprocal {}, x, value 1.0 / x, slope -1.0 / (x * x));
function!(Abs {}, x, value x.abs(), slope if x > 0.0 { 1.0 } else if x < 0.0 { -1.0 } else { 0.0 });
function!(Erf {}, x, value erf(x), slope std::f32::consts::FRAC_2_SQRT_PI * exp(-x * x));
function!(Sin {}, x, value x.sin(), slope x.cos());
function!(Cos {}, x, value x.cos(), slope -x.sin());
function!(Softsign {}, x, value x / (1.0 + x.abs()), slope {
    let t = 1.0 + x.abs();
    1.0 / (t * t)
});
function!(ThresholdedRelu { threshold }, x, value if x > threshold { x } else { x * 0.0 }, slope if x > threshold { 1.0 } else { 0.0 });
function!(Shrink { bias, limit }, x,
value if x > limit { x - bias } else if x < -limit { x + bias } else { x * 0.0 },
slope {
    let _ = bias;
    if (x > limit) | (x < -limit) { 1.0 } else { 0.0 }
});
function!(Power { exponent }, x, value power(x, exponent), slope exponent * power(x, exponent - 1.0));

/// A function whose derivative is one number wherever it has one.
macro_rules! sloped {
    ($name:ident, $x:ident, value: $value:expr, slope: $slope:expr) => {
        #[derive(Clone, Copy)]
        struct $name {}

        impl Function for $name {
            #[inline(always)]
            fn value(self, $x: f32) -> f32 {
                $value
            }

            #[inline(always)]
            fn slope(self, _: f32) -> f32 {
                $slope
            }
        }
    };
}

sloped!(Neg, x, value: -x, slope: -1.0);
sloped!(Floor, x, value: x.floor(), slope: 0.0);
sloped!(Ceil, x, value: x.ceil(), slope: 0.0);
sloped!(Round, x, value: x.round_ties_even(), slope: 0.0);
sloped!(Trunc, x, value: x.trunc(), slope: 0.0);
sloped!(Sign, x, value: if x > 0.0 { 1.0 } else if x < 0.0 { -1.0 } else { x * 0.0 }, slope: 0.0);

sloped!(Not, x, value: truth(x == 0.0), slope: 0.0);
sloped!(IsNaN, x, value: truth(x.is_nan()), slope: 0.0);
/// A limit that does not count is NaN, which nothing equals.
#[derive(Clone, Copy)]
struct IsInf {
    low: f32,
    high: f32,
}

impl Function for IsInf {
    #[inline(always)]
    fn value(self, x: f32) -> f32 {
        truth((x == self.low) | (x == self.high))
    }

    #[inline(always)]
    fn slope(self, _: f32) -> f32 {
        0.0
    }
}

#[inline(always)]
fn truth(holds: bool) -> f32 {
    if holds { 1.0 } else { 0.0 }
}

macro_rules! with_function {
    ($activation:expr, $function:ident => $call:expr) => {
        match $activation {
            Activation::Relu => {
                let $function = Clip { lo: 0.0, hi: f32::INFINITY };
                $call
            }
            Activation::Clip { lo, hi } => {
                let $function = Clip { lo, hi };
                $call
            }
            Activation::LeakyRelu { slope } => {
                let $function = LeakyRelu { slope };
                $call
            }
            Activation::Sigmoid => {
                let $function = Sigmoid {};
                $call
            }
            Activation::HardSigmoid { alpha, beta } => {
                let $function = HardSigmoid { alpha, beta };
                $call
            }
            Activation::HardSwish => {
                let $function = HardSwish {};
                $call
            }
            Activation::Tanh => {
                let $function = Tanh {};
                $call
            }
            Activation::Silu => {
                let $function = Silu {};
                $call
            }
            Activation::Elu { gain, alpha, rate } => {
                let $function = Elu { gain, alpha, rate };
                $call
            }
            Activation::Power { exponent } => {
                let $function = Power { exponent };
                $call
            }
            Activation::Softplus => {
                let $function = Softplus {};
                $call
            }
            Activation::Mish => {
                let $function = Mish {};
                $call
            }
            Activation::Exp => {
                let $function = Exp {};
                $call
            }
            Activation::Log => {
                let $function = Log {};
                $call
            }
            Activation::Sqrt => {
                let $function = Sqrt {};
                $call
            }
            Activation::Reciprocal => {
                let $function = Reciprocal {};
                $call
            }
            Activation::Neg => {
                let $function = Neg {};
                $call
            }
            Activation::Abs => {
                let $function = Abs {};
                $call
            }
            Activation::Erf => {
                let $function = Erf {};
                $call
            }
            Activation::Sin => {
                let $function = Sin {};
                $call
            }
            Activation::Cos => {
                let $function = Cos {};
                $call
            }
            Activation::Softsign => {
                let $function = Softsign {};
                $call
            }
            Activation::ThresholdedRelu { threshold } => {
                let $function = ThresholdedRelu { threshold };
                $call
            }
            Activation::Shrink { bias, limit } => {
                let $function = Shrink { bias, limit };
                $call
            }
            Activation::Floor => {
                let $function = Floor {};
                $call
            }
            Activation::Ceil => {
                let $function = Ceil {};
                $call
            }
            Activation::Round => {
                let $function = Round {};
                $call
            }
            Activation::Trunc => {
                let $function = Trunc {};
                $call
            }
            Activation::Sign => {
                let $function = Sign {};
                $call
            }
            Activation::Not => {
                let $function = Not {};
                $call
            }
            Activation::IsNaN => {
                let $function = IsNaN {};
                $call
            }
            Activation::IsInf { negative, positive } => {
                let limit = |counts: bool, limit: f32| if counts { limit } else { f32::NAN };
                let $function = IsInf { low: limit(negative, f32::NEG_INFINITY), high: limit(positive, f32::INFINITY) };
                $call
            }
            Activation::Gelu => {
                let $function = Gelu {};
                $call
            }
            Activation::GeluTanh => {
                let $function = GeluTanh {};
                $call
            }
        }
    };
}

/// `y = activation(x)`.
pub fn forward(activation: Activation, x: &[f32], y: &mut [f32]) {
    assert_eq!(x.len(), y.len(), "activation::forward: one result a value");
    let simd = simd();
    with_function!(activation, function => (x.par_chunks(TASK), y.par_chunks_mut(TASK))
        .into_par_iter().one_by_one()
        .for_each(|(x, y)| forward_task(simd, function, x, y)));
}

simd_kernel! {
    fn forward_task<F: Function>(function: F, x: &[f32], y: &mut [f32]) {
        for (x, y) in x.iter().zip(y) {
            *y = function.value(*x);
        }
    }
}

/// `dx = activation′(x)·dy`. Overwrites `dx`, or adds to it.
pub fn backward(activation: Activation, x: &[f32], dy: &[f32], dx: &mut [f32], accumulate: bool) {
    assert!(x.len() == dy.len() && x.len() == dx.len(), "activation::backward: one gradient a value");
    let simd = simd();
    with_function!(activation, function => (x.par_chunks(TASK), dy.par_chunks(TASK), dx.par_chunks_mut(TASK))
        .into_par_iter().one_by_one()
        .for_each(|(x, dy, dx)| backward_task(simd, function, x, dy, dx, accumulate)));
}

simd_kernel! {
    fn backward_task<F: Function>(function: F, x: &[f32], dy: &[f32], dx: &mut [f32], accumulate: bool) {
        for ((x, dy), dx) in x.iter().zip(dy).zip(dx) {
            put(dx, function.slope(*x) * *dy, accumulate);
        }
    }
}

#[cfg(test)]
mod tests;
