//! A tensor or a constant repeated to a shape.

use quantrain_lowering::Site;
use quantrain_lowering::elementwise::Broadcast;

use super::operands::Operands;
use super::{Kernel, Scaled, write};

pub(super) struct Expand {
    places: Broadcast<1>,
    operands: Operands<1>,
}

pub(super) fn build(site: &Site) -> Expand {
    Expand { places: Broadcast::new(site), operands: Operands::new(site) }
}

impl Kernel for Expand {
    fn forward(&self, x: &[Scaled], out_scale: f32, y: &mut [f32]) {
        let [x] = self.operands.with(x);
        if x.scale == out_scale {
            self.places.walk(|i, [p]| y[i] = x.values[p]);
        } else {
            self.places.walk(|i, [p]| y[i] = x.values[p] * x.scale / out_scale);
        }
    }

    /// Sums over the places where the input repeats.
    fn backward(&self, _: usize, _: &[Scaled], _: Scaled, dy: &[f32], dx: &mut [f32], accumulate: bool) {
        if !accumulate {
            write(dx, false, |_| 0.0);
        }
        self.places.walk(|i, [p]| dx[p] += dy[i]);
    }
}
