//! Recurrent layers, by the formula of the simulation.

use quantrain_graph::op::Recurrent;
use quantrain_lowering::Unsupported;
use quantrain_lowering::recurrent::{Inputs, Layer};

use super::steps::{Scaled, Steps};
use super::{Site, in_memory_order};

/// A recurrent layer with its parameters.
pub struct Layers {
    layer: Layer,
    output: Vec<usize>,
    parameters: [Option<Vec<f32>>; 4],
    /// H and C at the start: whether there is one, and its values where it is constant.
    start: [Option<Option<Vec<f32>>>; 2],
}

pub(super) fn build(op: &Recurrent, site: &Site) -> Result<Layers, Unsupported> {
    let at = &site.at;
    if at.constant(0).is_some() {
        return Err(at.unsupported("its input must be computed; fold it"));
    }
    let values = |place: usize| at.constant(place).map(<[f32]>::to_vec);
    let places = op.places();
    Ok(Layers {
        layer: Layer::new(op, at)?,
        output: at.output(),
        parameters: [Some(1), Some(2), places.bias, places.peepholes].map(|place| place.and_then(values)),
        start: [places.hidden, places.cell].map(|place| place.map(values)),
    })
}

impl Steps for Layers {
    fn forward(&self, x: &[Scaled], out_scale: f32, y: &mut [f32]) {
        let mut real = x.iter().map(Scaled::real);
        let x = real.next().unwrap_or_default();
        let start =
            self.start.each_ref().map(|start| start.as_ref().map(|values| values.clone().or_else(|| real.next()).unwrap_or_default()));
        let inputs =
            Inputs { x: &x, parameters: self.parameters.each_ref().map(Option::as_deref), start: start.each_ref().map(Option::as_deref) };
        let mut results = vec![0.0; y.len()];
        self.layer.forward(&inputs, &mut vec![0.0; self.layer.state_len()], &mut results);
        y.copy_from_slice(&in_memory_order(results, &self.output));
        if out_scale != 1.0 {
            y.iter_mut().for_each(|v| *v /= out_scale);
        }
    }
}
