//! The product of two activations, or of one and a constant that is no matrix of weights, over the last two axes.

use quantrain_graph::op::MatMul;
use quantrain_kernels::matmul::Batched;
use quantrain_lowering::Site;

use super::{Codes, Kernel, Replays, Scaled, with_real};
use crate::layout::InOnnxOrder;

pub(super) struct Product {
    products: Batched,
    factors: [Factor; 2],
    result: InOnnxOrder,
}

struct Factor {
    constant: Option<Vec<f32>>,
    order: InOnnxOrder,
}

pub(super) fn build(_: &MatMul, site: &Site) -> Product {
    let factor = |i: usize| {
        let constant = site.constant(i).map(<[f32]>::to_vec);
        // Constants lie in ONNX's order.
        let shape = if constant.is_some() { Vec::new() } else { site.input(i) };
        Factor { constant, order: InOnnxOrder::new(&shape) }
    };
    Product {
        products: Batched::new(&site.input(0), &site.input(1)),
        factors: [factor(0), factor(1)],
        result: InOnnxOrder::new(&site.output()),
    }
}

impl Product {
    /// Both factors; `x` holds those that are no constants, in order.
    fn factors<'a>(&'a self, x: &[Scaled<'a>]) -> [Scaled<'a>; 2] {
        let mut given = x.iter().copied();
        let mut factor = |factor: &'a Factor| match &factor.constant {
            Some(values) => Scaled { values, scale: 1.0 },
            None => given.next().expect("one input for each factor that is no constant"),
        };
        [factor(&self.factors[0]), factor(&self.factors[1])]
    }
}

impl Kernel for Product {
    fn forward(&self, x: &[Scaled], out_scale: f32, y: &mut [f32]) {
        let [a, b] = self.factors(x);
        let factor = a.scale * b.scale / out_scale;
        self.factors[0].order.read(a.values, |a| {
            self.factors[1].order.read(b.values, |b| {
                self.result.write(y, false, |y, _| self.products.forward(a, b, y));
            });
        });
        y.iter_mut().for_each(|v| *v *= factor);
    }

    fn forward_codes(&self, x: &[Scaled], codes: &Codes, y: &mut [f32]) -> bool {
        let Batched { m, n, k, ref places } = self.products;
        if self.factors.iter().any(|factor| factor.constant.is_some()) || !codes.exceed_f32(&[0, 1], k) {
            return false;
        }
        let factor = x[0].scale * x[1].scale / codes.output.map_or(1.0, |q| q.scale());
        self.factors[0].order.read(x[0].values, |a| {
            self.factors[1].order.read(x[1].values, |b| {
                self.result.write(y, false, |y, _| {
                    for (i, y) in y.iter_mut().enumerate() {
                        let [at_a, at_b] = places[i / (m * n)];
                        let (row, column) = (&a[at_a + i / n % m * k..][..k], &b[at_b + i % n..]);
                        let products = row.iter().zip(column.iter().step_by(n)).map(|(&a, &b)| f64::from(a) * f64::from(b));
                        *y = products.sum::<f64>() as f32 * factor;
                    }
                });
            });
        });
        true
    }

    /// `da = dy·bᵀ`, `db = aᵀ·dy`, summed where a factor serves several products.
    fn backward(&self, which: usize, x: &[Scaled], _: Scaled, dy: &[f32], dx: &mut [f32], accumulate: bool) {
        // `which` counts the inputs that are no constants.
        let which = if self.factors[0].constant.is_some() { 1 } else { which };
        let other = self.factors(x)[1 - which];
        with_real(Scaled { values: dy, scale: other.scale }, |dy| {
            self.result.read(dy, |dy| {
                self.factors[1 - which].order.read(other.values, |other| {
                    self.factors[which].order.write(dx, accumulate, |dx, accumulate| match which {
                        0 => self.products.left_gradient(other, dy, dx, accumulate),
                        _ => self.products.right_gradient(other, dy, dx, accumulate),
                    });
                });
            });
        });
    }

    fn replays(&self) -> Replays {
        Replays { inputs: true, output: false }
    }
}
