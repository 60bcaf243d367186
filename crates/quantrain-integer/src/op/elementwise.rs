//! Two operands that broadcast.

use quantrain_graph::op::Binary;
use quantrain_graph::{Quantizer, Rounding};
use quantrain_kernels::elementwise::{CodeSum, power};
use quantrain_kernels::integer::elementwise::Add;

use super::steps::{Bytes, Scaled, Steps, in_steps};
use super::{Kernel, Site, to_physical};
use crate::LowerError;
use crate::buffer::{Buffer, Kind, View};
use crate::grid::Grid;

pub(super) fn build(op: Binary, site: &Site) -> Result<Box<dyn Kernel>, LowerError> {
    Ok(match quick_add(op, site) {
        Some(add) => Box::new(add),
        None => in_steps(site, broadcast(op, site)?),
    })
}

/// An addition of two tensors of bytes of one shape.
struct SameShape {
    add: Add,
    len: usize,
}

fn quick_add(op: Binary, site: &Site) -> Option<SameShape> {
    let ([Some(a), Some(b)], Some(y)) = (&site.inputs[..], &site.output) else { return None };
    let bytes = [a.kind, b.kind, y.kind] == [Kind::Bytes; 3];
    let applies = op == Binary::Add && y.quantizer.rounding() == Rounding::HalfToEven && site.input(0) == site.input(1);
    let Bytes { output, .. } = Bytes::of(site).filter(|_| applies && bytes)?;
    let sum = code_sum([&a.quantizer, &b.quantizer], &output);
    let add = Add { sum, offsets: [a, b, y].map(Grid::offset), limits: (output.qmin(), output.qmax()) };
    Some(SameShape { add, len: site.output_len() })
}

/// The target's addition of codes.
fn code_sum(operands: [&Quantizer; 2], to: &Quantizer) -> CodeSum {
    CodeSum::new(operands.map(|q| (q.scale(), q.zero_point())), (to.scale(), to.zero_point()))
}

impl Kernel for SameShape {
    fn run(&self, x: &[View], y: &mut Buffer) {
        let (View::Bytes(a), View::Bytes(b), Buffer::Bytes(y)) = (x[0], x[1], y) else { unreachable!("operands and result are bytes") };
        self.add.run(a, b, &mut y[..self.len]);
    }
}

struct Broadcast {
    op: Binary,
    /// Extents of the output in memory order, and each operand's stride along them (0 where it repeats).
    extents: Vec<usize>,
    strides: [Vec<usize>; 2],
    constants: [Option<Vec<f32>>; 2],
}

fn broadcast(op: Binary, site: &Site) -> Result<Broadcast, LowerError> {
    let output = site.output();
    let constant = |i: usize| site.graph.constant(site.node.inputs[i]);
    let rank = |i: usize| site.graph.tensor(site.node.inputs[i]).shape.rank();
    if output.len() > 4 && (0..2).any(|i| constant(i).is_none() && rank(i) == 4) {
        return Err(site.unsupported("an image against a tensor of more axes is not supported; reshape it first"));
    }
    let operand = |i: usize| {
        let mut shape = site.input(i);
        // Operands of lower rank broadcast from the front.
        shape.splice(0..0, std::iter::repeat_n(1, output.len() - shape.len()));
        // Constants and operands of lower rank lie in ONNX's order, images in memory order.
        strides(&shape, constant(i).is_some() || rank(i) != 4)
    };
    let constants = [0, 1].map(|i| constant(i).map(<[f32]>::to_vec));
    Ok(Broadcast { op, strides: [operand(0), operand(1)], constants, extents: to_physical(&output) })
}

/// Strides along the axes of the output in memory order.
fn strides(shape: &[usize], channels_first: bool) -> Vec<usize> {
    let stored = if channels_first { shape.to_vec() } else { to_physical(shape) };
    let mut stride = 1;
    let mut strides = vec![0; stored.len()];
    for axis in (0..stored.len()).rev() {
        strides[axis] = if stored[axis] == 1 { 0 } else { stride };
        stride *= stored[axis];
    }
    if channels_first { to_physical(&strides) } else { strides }
}

impl Broadcast {
    /// Calls `f(output index, index of a, index of b)` in order.
    fn walk(&self, mut f: impl FnMut(usize, usize, usize)) {
        let mut index = vec![0; self.extents.len()];
        let (mut a, mut b) = (0, 0);
        for i in 0..self.extents.iter().product() {
            f(i, a, b);
            for axis in (0..index.len()).rev() {
                index[axis] += 1;
                a += self.strides[0][axis];
                b += self.strides[1][axis];
                if index[axis] < self.extents[axis] {
                    break;
                }
                a -= self.strides[0][axis] * index[axis];
                b -= self.strides[1][axis] * index[axis];
                index[axis] = 0;
            }
        }
    }
}

/// The function of two real values.
#[inline(always)]
fn combine(op: Binary, (a, b): (f32, f32)) -> f32 {
    match op {
        Binary::Add => a + b,
        Binary::Sub => a - b,
        Binary::Mul => a * b,
        Binary::Div => a / b,
        // Not `min` and `max`: they would hide NaN.
        Binary::Min if a <= b || a.is_nan() => a,
        Binary::Max if a >= b || a.is_nan() => a,
        Binary::Min | Binary::Max => b,
        Binary::Pow => power(a, b),
        Binary::PRelu if a > 0.0 => a,
        Binary::PRelu => a * b,
        Binary::Equal => f32::from(u8::from(a == b)),
    }
}

impl Steps for Broadcast {
    fn forward(&self, x: &[Scaled], out_scale: f32, y: &mut [f32]) {
        // `x` holds the operands that are no constants, in order.
        let mut given = x.iter();
        let mut operand = |i: usize| match &self.constants[i] {
            Some(values) => (values.as_slice(), 1.0),
            None => given.next().map(|x| (x.values.as_slice(), x.scale)).expect("one input for each operand that is no constant"),
        };
        let ((a, s_a), (b, s_b)) = (operand(0), operand(1));
        self.walk(|i, p, q| y[i] = combine(self.op, (a[p] * s_a, b[q] * s_b)) / out_scale);
    }

    /// ONNX Runtime's QLinearAdd (see [`CodeSum`]) and QLinearMul, `(a·b)·f32(f32(s_a·s_b)/s_y) + z`, rounded with the zero point on top.
    fn forward_codes(&self, x: &[Scaled], bytes: &Bytes, y: &mut [f32]) -> bool {
        let (Bytes { inputs, output: to }, [a, b]) = (bytes, x) else { return false };
        let zero = to.zero_point() as f32;
        let round = |t: f32| to.rounding().round(t) - zero;
        match self.op {
            Binary::Add => {
                let sum = code_sum([&inputs[0], &inputs[1]], to);
                let (za, zb) = (inputs[0].zero_point() as f32, inputs[1].zero_point() as f32);
                self.walk(|i, p, q| y[i] = round(sum.of_codes(a.values[p] + za, b.values[q] + zb)));
            }
            Binary::Mul => {
                let factor = a.scale * b.scale / to.scale();
                self.walk(|i, p, q| y[i] = round(a.values[p] * b.values[q] * factor + zero));
            }
            Binary::Sub | Binary::Div | Binary::Min | Binary::Max | Binary::Pow | Binary::PRelu | Binary::Equal => return false,
        }
        true
    }
}
