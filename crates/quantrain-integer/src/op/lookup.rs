//! Elements picked by computed indices.

use quantrain_graph::op::Lookup;
use quantrain_lowering::lookup::Places;

use super::Site;
use super::operands::Operands;
use super::steps::{Scaled, Steps};

/// Elements picked by computed indices.
pub struct Lookups {
    places: Places,
    operands: Operands<2>,
}

pub(super) fn build(op: &Lookup, site: &Site) -> Lookups {
    Lookups { places: Places::new(op, &site.at), operands: Operands::new(site) }
}

impl Steps for Lookups {
    fn forward(&self, x: &[Scaled], out_scale: f32, y: &mut [f32]) {
        let [(from, scale), (indices, _)] = self.operands.with(x);
        let run = self.places.run();
        self.places.walk(indices, |to, at| match at {
            Some(at) if scale == out_scale => y[to..to + run].copy_from_slice(&from[at..at + run]),
            Some(at) => y[to..to + run].iter_mut().zip(&from[at..]).for_each(|(y, v)| *y = v * scale / out_scale),
            None => y[to..to + run].fill(f32::NAN),
        });
    }
}
