//! The choice between two tensors.

use quantrain_lowering::Site;
use quantrain_lowering::elementwise::Broadcast;

use super::operands::Operands;
use super::{Kernel, Replays, Scaled, write};

pub(super) struct Choose {
    places: Broadcast<3>,
    operands: Operands<3>,
}

pub(super) fn choose(site: &Site) -> Choose {
    Choose { places: Broadcast::new(site), operands: Operands::new(site) }
}

impl Kernel for Choose {
    fn forward(&self, x: &[Scaled], out_scale: f32, y: &mut [f32]) {
        let [condition, a, b] = self.operands.with(x);
        self.places.walk(|i, [c, p, q]| {
            let taken = if condition.values[c] != 0.0 { a.values[p] * a.scale } else { b.values[q] * b.scale };
            y[i] = taken / out_scale;
        });
    }

    /// To the operand that is taken; sums over the places where it repeats.
    fn backward(&self, which: usize, x: &[Scaled], _: Scaled, dy: &[f32], dx: &mut [f32], accumulate: bool) {
        let (position, [condition, ..]) = (self.operands.position(which), self.operands.with(x));
        if !accumulate {
            write(dx, false, |_| 0.0);
        }
        self.places.walk(|i, at| {
            if (condition.values[at[0]] != 0.0) == (position == 1) {
                dx[at[position]] += dy[i];
            }
        });
    }

    fn replays(&self) -> Replays {
        Replays { inputs: true, output: false }
    }
}
