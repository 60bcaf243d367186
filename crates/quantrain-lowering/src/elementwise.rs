//! Two operands that broadcast.

use quantrain_graph::Quantizer;
use quantrain_graph::op::Binary;
use quantrain_kernels::elementwise::{CodeSum, power};

use crate::memory_order::{to_physical, walk};
use crate::{Site, Unsupported};

/// Where two operands lie that broadcast to one result.
pub struct Broadcast {
    /// Extents of the output in memory order, and each operand's stride along them (0 where it repeats).
    extents: Vec<usize>,
    strides: [Vec<usize>; 2],
}

impl Broadcast {
    /// The two inputs of a node.
    ///
    /// # Errors
    /// An image meets a tensor of more axes.
    pub fn new(site: &Site) -> Result<Self, Unsupported> {
        let output = site.output();
        let in_onnx_order = |i: usize| site.constant(i).is_some() || site.input(i).len() != 4;
        if output.len() > 4 && !(in_onnx_order(0) && in_onnx_order(1)) {
            return Err(site.unsupported("an image against a tensor of more axes is not supported; reshape it first"));
        }
        let operand = |i: usize| {
            let mut shape = site.input(i);
            // Constants and operands of lower rank lie in ONNX's order, images in memory order.
            let in_onnx_order = in_onnx_order(i);
            // Operands of lower rank broadcast from the front.
            shape.splice(0..0, std::iter::repeat_n(1, output.len() - shape.len()));
            strides(&shape, in_onnx_order)
        };
        Ok(Broadcast { strides: [operand(0), operand(1)], extents: to_physical(&output) })
    }

    /// Calls `f(output index, index of a, index of b)` in order.
    #[inline]
    pub fn walk(&self, mut f: impl FnMut(usize, usize, usize)) {
        walk(&self.extents, [&self.strides[0], &self.strides[1]], |i, [a, b]| f(i, a, b));
    }
}

/// Strides along the axes of the output in memory order.
fn strides(shape: &[usize], in_onnx_order: bool) -> Vec<usize> {
    let stored = if in_onnx_order { shape.to_vec() } else { to_physical(shape) };
    let mut stride = 1;
    let mut strides = vec![0; stored.len()];
    for axis in (0..stored.len()).rev() {
        strides[axis] = if stored[axis] == 1 { 0 } else { stride };
        stride *= stored[axis];
    }
    if in_onnx_order { to_physical(&strides) } else { strides }
}

/// The function of two real values.
#[inline(always)]
pub fn combine(op: Binary, (a, b): (f32, f32)) -> f32 {
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

/// The target's addition of codes.
pub fn code_sum(operands: [&Quantizer; 2], to: &Quantizer) -> CodeSum {
    CodeSum::new(operands.map(|q| (q.scale(), q.zero_point())), (to.scale(), to.zero_point()))
}
