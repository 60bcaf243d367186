//! The choice between two tensors.

use quantrain_lowering::elementwise::Broadcast;

use super::Site;
use super::operands::Operands;
use super::steps::{Scaled, Steps};

/// A choice between two operands.
pub struct Choose {
    places: Broadcast<3>,
    operands: Operands<3>,
}

pub(super) fn choose(site: &Site) -> Choose {
    Choose { places: Broadcast::new(&site.at), operands: Operands::new(site) }
}

impl Steps for Choose {
    fn forward(&self, x: &[Scaled], out_scale: f32, y: &mut [f32]) {
        let [(condition, _), (a, s_a), (b, s_b)] = self.operands.with(x);
        self.places.walk(|i, [c, p, q]| y[i] = (if condition[c] != 0.0 { a[p] * s_a } else { b[q] * s_b }) / out_scale);
    }
}
