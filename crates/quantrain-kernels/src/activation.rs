//! Activations in float, value and derivative.

use crate::exponential::{sigmoid, tanh};
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
mod tests {
    use super::*;
    use crate::simd::on_every_path;
    use crate::test_data::floats;

    const ALL: [Activation; 8] = [
        Activation::Relu,
        Activation::Clip { lo: -1.0, hi: 2.5 },
        Activation::LeakyRelu { slope: 0.1 },
        Activation::Sigmoid,
        Activation::HardSigmoid { alpha: 0.2, beta: 0.5 },
        Activation::HardSwish,
        Activation::Tanh,
        Activation::Silu,
    ];

    fn reference(activation: Activation, x: f64) -> f64 {
        let sigmoid = |x: f64| 1.0 / (1.0 + (-x).exp());
        match activation {
            Activation::Relu => x.max(0.0),
            Activation::Clip { lo, hi } => x.clamp(lo.into(), hi.into()),
            Activation::LeakyRelu { slope } => {
                if x > 0.0 {
                    x
                } else {
                    f64::from(slope) * x
                }
            }
            Activation::Sigmoid => sigmoid(x),
            Activation::HardSigmoid { alpha, beta } => (f64::from(alpha) * x + f64::from(beta)).clamp(0.0, 1.0),
            Activation::HardSwish => x * (x / 6.0 + 0.5).clamp(0.0, 1.0),
            Activation::Tanh => x.tanh(),
            Activation::Silu => x * sigmoid(x),
        }
    }

    #[test]
    fn values_and_slopes_agree_with_the_formula_in_f64() {
        let x = floats(3, 20_011);
        for activation in ALL {
            on_every_path(|simd| {
                let (mut y, mut dx) = (vec![0.0; x.len()], vec![1.0; x.len()]);
                forward(activation, &x, &mut y);
                backward(activation, &x, &vec![2.0; x.len()], &mut dx, true);
                for i in 0..x.len() {
                    let at = f64::from(x[i]);
                    // Values are a few roundings of f32 away from the formula.
                    let expected = reference(activation, at);
                    assert!((f64::from(y[i]) - expected).abs() < 2e-6, "{activation:?} {simd:?} at {at}");
                    let step = 1e-5;
                    let [left, right] = [at - step, at + step].map(|x| reference(activation, x));
                    let kink = ((right - expected) - (expected - left)).abs() > 1e-7;
                    let slope = 1.0 + 2.0 * (right - left) / (2.0 * step);
                    assert!(kink || (f64::from(dx[i]) - slope).abs() < 1e-5, "{activation:?} {simd:?} at {at}");
                }
            });
        }
    }

    #[test]
    fn relu_has_no_slope_at_zero() {
        let mut dx = [5.0];
        backward(Activation::Relu, &[0.0], &[1.0], &mut dx, false);
        assert_eq!(dx, [0.0]);
    }
}
