//! Functions of each element: a table where a code has 8 bits.

use quantrain_graph::op::Activation;
use quantrain_kernels::activation as kernels;
use quantrain_kernels::integer::elementwise::look_up;
use quantrain_lowering::activation::function;

use super::steps::{FloatFormula, Scaled, Steps, in_steps};
use super::{Operator, Site};
use crate::buffer::{Buffer, Kind, View};
use crate::grid::Grid;

pub(super) fn build(op: &Activation, site: &Site) -> Operator {
    let function = Function(function(op));
    match (site.inputs[0], site.output) {
        (Some(x), Some(y)) if [x.kind, y.kind] == [Kind::Bytes; 2] => Operator::Table(Table::new(&function, &x, &y, site.output_len())),
        _ => in_steps(site, FloatFormula::Function(function)),
    }
}

/// A function of each element, of real values.
pub struct Function(kernels::Activation);

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
pub struct Table {
    /// The stored code that each stored code becomes.
    pub table: [u8; 256],
    /// Elements of the output.
    pub len: usize,
}

impl Table {
    fn new(function: &Function, x: &Grid, y: &Grid, len: usize) -> Self {
        let values = (0..256).map(|stored| (stored - x.zero()) as f32).collect();
        let mut steps = [0.0; 256];
        function.forward(&[Scaled { values, scale: x.scale() }], y.scale(), &mut steps);
        Table { table: steps.map(|t| (y.centred_of_steps(t) + y.zero()) as u8), len }
    }

    pub(super) fn run(&self, x: &[View], y: &mut Buffer) {
        let (View::Bytes(x), Buffer::Bytes(y)) = (x[0], y) else { unreachable!("a table is for bytes") };
        look_up(&self.table, x, &mut y[..self.len]);
    }
}
