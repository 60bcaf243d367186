//! Two operands that broadcast.

use quantrain_graph::Rounding;
use quantrain_graph::op::Binary;
use quantrain_kernels::elementwise::CodeSum;
use quantrain_kernels::integer::elementwise::Add;
use quantrain_lowering::elementwise::{self as lowered, code_sum, combine};

use super::operands::Operands;
use super::steps::{Bytes, FloatFormula, Scaled, Steps, in_steps};
use super::{Operator, Site};
use crate::buffer::{Buffer, Kind, View};
use crate::grid::Grid;

pub(super) fn build(op: Binary, site: &Site) -> Operator {
    match quick_add(op, site) {
        Some(add) => Operator::Add(add),
        None => in_steps(site, FloatFormula::Broadcast(Broadcast::new(op, site))),
    }
}

/// An addition of two tensors of bytes of one shape.
pub struct SameShape {
    /// The formula.
    pub add: Add,
    /// Elements of each.
    pub len: usize,
}

fn quick_add(op: Binary, site: &Site) -> Option<SameShape> {
    let ([Some(a), Some(b)], Some(y)) = (&site.inputs[..], &site.output) else { return None };
    let bytes = [a.kind, b.kind, y.kind] == [Kind::Bytes; 3];
    let applies = op == Binary::Add && y.quantizer.rounding() == Rounding::HalfToEven && site.at.input(0) == site.at.input(1);
    let Bytes { output, .. } = Bytes::of(site).filter(|_| applies && bytes)?;
    let sum = code_sum([&a.quantizer, &b.quantizer], &output);
    let add = Add { sum, offsets: [a, b, y].map(Grid::offset), limits: (output.qmin(), output.qmax()) };
    Some(SameShape { add, len: site.output_len() })
}

impl SameShape {
    pub(super) fn run(&self, x: &[View], y: &mut Buffer) {
        let (View::Bytes(a), View::Bytes(b), Buffer::Bytes(y)) = (x[0], x[1], y) else { unreachable!("operands and result are bytes") };
        self.add.run(a, b, &mut y[..self.len]);
    }
}

/// A function of two operands that broadcast.
pub struct Broadcast {
    /// The function.
    pub op: Binary,
    /// Both have the result's shape, and neither is a constant.
    pub is_elementwise: bool,
    places: lowered::Broadcast<2>,
    operands: Operands<2>,
}

impl Broadcast {
    fn new(op: Binary, site: &Site) -> Self {
        let is_plain = |i: usize| site.at.input(i) == site.at.output() && site.at.constant(i).is_none();
        let is_elementwise = is_plain(0) && is_plain(1);
        Broadcast { op, is_elementwise, places: lowered::Broadcast::new(&site.at), operands: Operands::new(site) }
    }

    /// The formula of an addition of codes.
    pub fn code_sum(&self, bytes: &Bytes) -> CodeSum {
        code_sum([&bytes.inputs[0], &bytes.inputs[1]], &bytes.output)
    }
}

impl Steps for Broadcast {
    fn forward(&self, x: &[Scaled], out_scale: f32, y: &mut [f32]) {
        let [(a, s_a), (b, s_b)] = self.operands.with(x);
        self.places.walk(|i, [p, q]| y[i] = combine(self.op, (a[p] * s_a, b[q] * s_b)) / out_scale);
    }

    /// ONNX Runtime's QLinearAdd (see [`code_sum`]) and QLinearMul, `(a·b)·f32(f32(s_a·s_b)/s_y) + z`, rounded with the zero point on top.
    fn forward_codes(&self, x: &[Scaled], bytes: &Bytes, y: &mut [f32]) -> bool {
        let (Bytes { inputs, output: to }, [a, b]) = (bytes, x) else { return false };
        let zero = to.zero_point() as f32;
        let round = |t: f32| to.rounding().round(t) - zero;
        match self.op {
            Binary::Add => {
                let sum = self.code_sum(bytes);
                let (za, zb) = (inputs[0].zero_point() as f32, inputs[1].zero_point() as f32);
                self.places.walk(|i, [p, q]| y[i] = round(sum.of_codes(a.values[p] + za, b.values[q] + zb)));
            }
            Binary::Mul => {
                let factor = a.scale * b.scale / to.scale();
                self.places.walk(|i, [p, q]| y[i] = round(a.values[p] * b.values[q] * factor + zero));
            }
            Binary::Sub | Binary::Div | Binary::Min | Binary::Max | Binary::Pow | Binary::PRelu | Binary::Relation(_) => return false,
        }
        true
    }
}
