//! Operands that broadcast.

use quantrain_graph::Quantizer;
use quantrain_graph::op::Binary;
use quantrain_kernels::elementwise::{CodeSum, power};

use crate::Site;
use crate::memory_order::{physical_axis, to_physical, walk};

/// Where operands lie that broadcast to one result.
pub struct Broadcast<const N: usize> {
    /// Extents of the output in memory order, and each operand's stride along them (0 where it repeats).
    extents: Vec<usize>,
    strides: [Vec<usize>; N],
}

impl<const N: usize> Broadcast<N> {
    /// The inputs of a node.
    pub fn new(site: &Site) -> Self {
        let output = site.output();
        let operand = |i: usize| {
            let shape = site.input(i);
            let mut strides = strides(&shape, site.constant(i).is_some());
            // Operands of lower rank broadcast from the front.
            strides.splice(0..0, std::iter::repeat_n(0, output.len() - shape.len()));
            to_physical(&strides)
        };
        Broadcast { strides: std::array::from_fn(operand), extents: to_physical(&output) }
    }

    /// Calls `f(output index, index of each operand)` in order.
    #[inline]
    pub fn walk(&self, f: impl FnMut(usize, [usize; N])) {
        walk(&self.extents, std::array::from_fn(|i| self.strides[i].as_slice()), f);
    }
}

/// Strides along a tensor's axes in ONNX's order, 0 where it has but one element. Constants lie in that order, others in memory order.
fn strides(shape: &[usize], in_onnx_order: bool) -> Vec<usize> {
    let place = |axis: usize| if in_onnx_order { axis } else { physical_axis(shape.len(), axis) };
    let stored = if in_onnx_order { shape.to_vec() } else { to_physical(shape) };
    let stride = |axis: usize| if shape[axis] == 1 { 0 } else { stored[place(axis) + 1..].iter().product() };
    (0..shape.len()).map(stride).collect()
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
        Binary::Relation(relation) => f32::from(u8::from(relation.holds(a, b))),
    }
}

/// The target's addition of codes.
pub fn code_sum(operands: [&Quantizer; 2], to: &Quantizer) -> CodeSum {
    CodeSum::new(operands.map(|q| (q.scale(), q.zero_point())), (to.scale(), to.zero_point()))
}
