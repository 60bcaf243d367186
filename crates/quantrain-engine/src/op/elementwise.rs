//! Two operands that broadcast. An Add of equal shapes has a fused pass of its own, see `network`.

use quantrain_graph::KernelLibrary;
use quantrain_graph::op::Binary;
use quantrain_kernels::elementwise::{ShiftedSum, Sum, WeightedSum, log, power};
use quantrain_lowering::Site;
use quantrain_lowering::elementwise::{self as lowered, code_sum, combine};

use super::operands::Operands;
use super::{Codes, Kernel, Replays, Scaled, write};

pub(super) struct Broadcast {
    op: Binary,
    places: lowered::Broadcast<2>,
    operands: Operands<2>,
}

pub(super) fn build(op: Binary, site: &Site) -> Broadcast {
    Broadcast { op, places: lowered::Broadcast::new(site), operands: Operands::new(site) }
}

/// How a device adds codes to codes; `None` where it adds real values.
pub(crate) fn addition(codes: &Codes) -> Option<Sum> {
    let [a, b] = &codes.inputs[..] else { return None };
    let scales = [a.scale(), b.scale()];
    Some(match codes.kernels.add {
        KernelLibrary::Mlas => Sum::Codes(code_sum([a, b], &codes.of_bytes()?)),
        KernelLibrary::Tflite => Sum::Shifted(ShiftedSum::new(scales, codes.all_bytes()?.scale())),
        KernelLibrary::Xnnpack => Sum::Weighted(WeightedSum::new(scales, codes.all_bytes()?.scale())),
    })
}

fn flag(holds: bool) -> f32 {
    f32::from(u8::from(holds))
}

impl Kernel for Broadcast {
    fn forward(&self, x: &[Scaled], out_scale: f32, y: &mut [f32]) {
        let [a, b] = self.operands.with(x);
        let real = |p: usize, q: usize| (a.values[p] * a.scale, b.values[q] * b.scale);
        self.places.walk(|i, [p, q]| y[i] = combine(self.op, real(p, q)) / out_scale);
    }

    /// An addition in integers; or ONNX Runtime's QLinearAdd (see [`code_sum`]) and QLinearMul, `(a·b)·f32(f32(s_a·s_b)/s_y) + z`, rounded with the zero point on top.
    fn forward_codes(&self, x: &[Scaled], codes: &Codes, y: &mut [f32]) -> bool {
        let [a, b] = self.operands.with(x);
        if let Some(sum @ (Sum::Shifted(_) | Sum::Weighted(_))) = addition(codes).filter(|_| self.op == Binary::Add) {
            self.places.walk(|i, [p, q]| y[i] = sum.of(a.values[p], b.values[q]));
            return true;
        }
        let (Some(to), [qa, qb]) = (codes.of_bytes(), &codes.inputs[..]) else { return false };
        let zero = to.zero_point() as f32;
        let round = |t: f32| to.rounding().round(t) - zero;
        match self.op {
            Binary::Add => {
                let sum = code_sum([qa, qb], &to);
                let (za, zb) = (qa.zero_point() as f32, qb.zero_point() as f32);
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

    /// Sums over the places where an operand repeats. Add: `da = dy`; Sub: `db = −dy`; Mul: `da = dy·b`; Div: `da = dy/b`, `db = −dy·a/b²`;
    /// Min and Max: to the operand that is taken, of two equals the first; Pow: `da = dy·b·a^(b−1)`, `db = dy·a^b·ln a`; PRelu: `da = dy` or
    /// `dy·b`, `db = 0` or `dy·a`; relations: none.
    fn backward(&self, which: usize, x: &[Scaled], _: Scaled, dy: &[f32], dx: &mut [f32], accumulate: bool) {
        let [a, b] = self.operands.with(x);
        let second = self.operands.position(which) == 1;
        if !accumulate {
            write(dx, false, |_| 0.0);
        }
        self.places.walk(|i, [p, q]| {
            let (av, bv) = (a.values[p] * a.scale, b.values[q] * b.scale);
            let (at, slope) = match (self.op, second) {
                (Binary::Add | Binary::Sub, false) => (p, 1.0),
                (Binary::Add, true) => (q, 1.0),
                (Binary::Sub, true) => (q, -1.0),
                (Binary::Mul, false) => (p, bv),
                (Binary::Mul, true) => (q, av),
                (Binary::Div, false) => (p, 1.0 / bv),
                (Binary::Div, true) => (q, -av / (bv * bv)),
                (Binary::Min, false) => (p, flag(av <= bv)),
                (Binary::Min, true) => (q, flag(av > bv)),
                (Binary::Max, false) => (p, flag(av >= bv)),
                (Binary::Max, true) => (q, flag(av < bv)),
                (Binary::Pow, false) => (p, bv * power(av, bv - 1.0)),
                (Binary::Pow, true) => (q, if av > 0.0 { power(av, bv) * log(av) } else { 0.0 }),
                (Binary::PRelu, false) => (p, if av > 0.0 { 1.0 } else { bv }),
                (Binary::PRelu, true) => (q, if av > 0.0 { 0.0 } else { av }),
                (Binary::Relation(_), false) => (p, 0.0),
                (Binary::Relation(_), true) => (q, 0.0),
            };
            dx[at] += dy[i] * slope;
        });
    }

    fn replays(&self) -> Replays {
        Replays { inputs: true, output: false }
    }
}
