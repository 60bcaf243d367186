//! Functions of each element: a table where a code has 8 bits.

use quantrain_graph::op::Activation;
use quantrain_kernels::activation as kernels;
use quantrain_kernels::integer::elementwise::look_up;

use super::steps::{Scaled, Steps, in_steps};
use super::{Kernel, Site};
use crate::buffer::{Buffer, Kind, View};
use crate::grid::Grid;

pub(super) fn build(op: &Activation, site: &Site) -> Box<dyn Kernel> {
    let function = Function(match *op {
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
    });
    match (site.inputs[0], site.output) {
        (Some(x), Some(y)) if [x.kind, y.kind] == [Kind::Bytes; 2] => Box::new(Table::new(&function, &x, &y, site.output_len())),
        _ => in_steps(site, function),
    }
}

struct Function(kernels::Activation);

impl Steps for Function {
    /// `y = f(x·s) / out_scale`
    fn forward(&self, x: &[Scaled], out_scale: f32, y: &mut [f32]) {
        let real: Vec<f32> = x[0].values.iter().map(|v| v * x[0].scale).collect();
        kernels::forward(self.0, &real, y);
        if out_scale != 1.0 {
            y.iter_mut().for_each(|v| *v /= out_scale);
        }
    }
}

/// The result of every code.
struct Table {
    table: [u8; 256],
    len: usize,
}

impl Table {
    fn new(function: &Function, x: &Grid, y: &Grid, len: usize) -> Self {
        let values = (0..256).map(|stored| (stored - x.zero()) as f32).collect();
        let mut steps = [0.0; 256];
        function.forward(&[Scaled { values, scale: x.scale() }], y.scale(), &mut steps);
        Table { table: steps.map(|t| (y.centred_of_steps(t) + y.zero()) as u8), len }
    }
}

impl Kernel for Table {
    fn run(&self, x: &[View], y: &mut Buffer) {
        let (View::Bytes(x), Buffer::Bytes(y)) = (x[0], y) else { unreachable!("a table is for bytes") };
        look_up(&self.table, x, &mut y[..self.len]);
    }
}
