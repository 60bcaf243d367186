//! Elements picked by computed indices.

use quantrain_graph::op::Lookup;
use quantrain_lowering::Site;
use quantrain_lowering::lookup::Places;

use super::{Kernel, Replays, Scaled, write};

pub(super) struct Lookups {
    places: Places,
    /// The table is a constant, which is trained: it comes behind the indices.
    has_table: bool,
    /// Indices that are a constant.
    indices: Option<Vec<f32>>,
}

pub(super) fn build(op: &Lookup, site: &Site) -> Lookups {
    let indices = site.constant(1).map(<[f32]>::to_vec);
    Lookups { places: Places::new(op, site), has_table: site.constant(0).is_some(), indices }
}

impl Lookups {
    /// What is picked from, and the indices.
    fn operands<'a>(&'a self, x: &[Scaled<'a>]) -> (Scaled<'a>, &'a [f32]) {
        match (&self.indices, self.has_table) {
            (Some(indices), _) => (x[0], indices),
            (None, true) => (x[1], x[0].values),
            (None, false) => (x[0], x[1].values),
        }
    }
}

impl Kernel for Lookups {
    /// An index that there is not gives NaN, as no value would be right.
    fn forward(&self, x: &[Scaled], out_scale: f32, y: &mut [f32]) {
        let (from, indices) = self.operands(x);
        let run = self.places.run();
        self.places.walk(indices, |to, at| match at {
            Some(at) if from.scale == out_scale => y[to..to + run].copy_from_slice(&from.values[at..at + run]),
            Some(at) => y[to..to + run].iter_mut().zip(&from.values[at..]).for_each(|(y, v)| *y = v * from.scale / out_scale),
            None => y[to..to + run].fill(f32::NAN),
        });
    }

    /// Each element gets the sum over the places where it is picked.
    fn backward(&self, _: usize, x: &[Scaled], _: Scaled, dy: &[f32], dx: &mut [f32], accumulate: bool) {
        if !accumulate {
            write(dx, false, |_| 0.0);
        }
        let (_, indices) = self.operands(x);
        let run = self.places.run();
        self.places.walk(indices, |to, at| {
            if let Some(at) = at {
                dx[at..at + run].iter_mut().zip(&dy[to..to + run]).for_each(|(d, g)| *d += g);
            }
        });
    }

    fn replays(&self) -> Replays {
        Replays { inputs: true, output: false }
    }
}
