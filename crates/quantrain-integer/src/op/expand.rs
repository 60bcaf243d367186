//! A tensor or a constant repeated to a shape.

use quantrain_lowering::elementwise::Broadcast;

use super::Site;
use super::operands::Operands;
use super::steps::{Scaled, Steps};

/// An operand repeated along axes.
pub struct Expand {
    places: Broadcast<1>,
    operands: Operands<1>,
}

pub(super) fn build(site: &Site) -> Expand {
    Expand { places: Broadcast::new(&site.at), operands: Operands::new(site) }
}

impl Steps for Expand {
    fn forward(&self, x: &[Scaled], out_scale: f32, y: &mut [f32]) {
        let [(x, scale)] = self.operands.with(x);
        if scale == out_scale {
            self.places.walk(|i, [p]| y[i] = x[p]);
        } else {
            self.places.walk(|i, [p]| y[i] = x[p] * scale / out_scale);
        }
    }
}
