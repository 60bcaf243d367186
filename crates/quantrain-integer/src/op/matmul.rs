//! The product of two activations, or of one and a constant that is no matrix of weights, over the last two axes.

use quantrain_graph::op::MatMul;
use quantrain_kernels::matmul::Batched;

use super::steps::{FloatFormula, Scaled, Steps, in_steps, put};
use super::{Operator, Site, in_memory_order, in_onnx_order};
use crate::buffer::{Buffer, View};
use crate::grid::{Grid, centred_integers, scale};

/// The products, and the extents of factors and result in ONNX's order.
struct Shapes {
    products: Batched,
    factors: [Vec<usize>; 2],
    result: Vec<usize>,
}

pub(super) fn build(_: &MatMul, site: &Site) -> Operator {
    let factors = [site.at.input(0), site.at.input(1)];
    let shapes = Shapes { products: Batched::new(&factors[0], &factors[1]), factors, result: site.at.output() };
    let constants = [0, 1].map(|i| site.at.constant(i).map(<[f32]>::to_vec));
    match (site.inputs.as_slice(), &constants) {
        (&[Some(a), Some(b)], [None, None]) => {
            Operator::MatMul(OfCodes { shapes, inputs: [a, b], output: site.output, clip: site.clip_steps() })
        }
        _ => in_steps(site, FloatFormula::MatMul(OfReals { shapes, constants })),
    }
}

/// `f32(Σ a·b)·(s_a·s_b / s_y)`, the sum an integer.
pub struct OfCodes {
    shapes: Shapes,
    inputs: [Grid; 2],
    output: Option<Grid>,
    clip: (f32, f32),
}

impl OfCodes {
    pub(super) fn run(&self, x: &[View], y: &mut Buffer) {
        let Batched { m, n, k, places } = &self.shapes.products;
        let [a, b] = [0, 1].map(|i| in_onnx_order(centred_integers(&self.inputs[i], x[i]), &self.shapes.factors[i]));
        let factor = self.inputs[0].scale() * self.inputs[1].scale() / scale(self.output);
        let mut steps = Vec::with_capacity(places.len() * m * n);
        for [at_a, at_b] in places {
            for row in a[*at_a..][..m * k].chunks_exact(*k) {
                let columns = &b[*at_b..][..k * n];
                steps.extend((0..*n).map(|j| {
                    let sum: i64 = row.iter().zip(columns[j..].iter().step_by(*n)).map(|(&a, &b)| i64::from(a) * i64::from(b)).sum();
                    sum as f32 * factor
                }));
            }
        }
        put(self.output, self.clip, &mut in_memory_order(steps, &self.shapes.result), y);
    }
}

/// A product of which a factor is real.
pub struct OfReals {
    shapes: Shapes,
    constants: [Option<Vec<f32>>; 2],
}

impl Steps for OfReals {
    fn forward(&self, x: &[Scaled], out_scale: f32, y: &mut [f32]) {
        let mut given = x.iter();
        let mut factor = |i: usize| match &self.constants[i] {
            Some(values) => (values.clone(), 1.0),
            None => {
                let x = given.next().expect("one input for each factor that is no constant");
                (in_onnx_order(x.values.clone(), &self.shapes.factors[i]), x.scale)
            }
        };
        let ((a, s_a), (b, s_b)) = (factor(0), factor(1));
        let mut products = vec![0.0; y.len()];
        self.shapes.products.forward(&a, &b, &mut products);
        y.copy_from_slice(&in_memory_order(products, &self.shapes.result));
        let factor = s_a * s_b / out_scale;
        y.iter_mut().for_each(|v| *v *= factor);
    }
}
