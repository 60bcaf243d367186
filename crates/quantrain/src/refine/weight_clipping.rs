//! Weights are clipped once, to the range whose quantizer changes them least: their range is that of the weights as they are, so a few
//! large ones cost all others their resolution.

use quantrain_graph::{Granularity, QuantGraph, Range};

use super::Refiner;
use crate::RunError;
use crate::observe::{MeanSquaredError, Observer};
use crate::progress::Progress;

pub(super) fn step(refiner: &mut Refiner, _: &mut dyn Progress) -> Result<String, RunError> {
    refiner.network.store();
    let mut net = refiner.network.quant_graph().clone();
    let (mut clipped, mut weights) = (0, 0);
    for u in 0..net.units().len() {
        let (of_block, all) = clip(&mut net, u)?;
        clipped += of_block;
        weights += all;
    }
    refiner.network = quantrain_engine::Network::new(net);
    Ok(format!("{clipped} of {weights} weights clipped"))
}

/// A millionth nearer to zero.
const INSIDE: f32 = 1.0 - 1.0 / (1 << 20) as f32;

/// Clips the weights of a block; gives how many were clipped, of how many.
fn clip(net: &mut QuantGraph, u: usize) -> Result<(usize, usize), RunError> {
    let Some((quantizer, folded)) = net.weight_quantizer(u).zip(net.folded(u)) else { return Ok((0, 0)) };
    let channels = folded.bias.len();
    let row = folded.weight.len() / channels;
    let rows = if quantizer.scheme.granularity == Granularity::PerTensor { folded.weight.len() } else { row };
    let factors = net.batch_norm_of(u).map_or_else(|| vec![1.0; channels], |norm| norm.factors());
    let mut masters = net.weights_of(u).unwrap_or_default();
    let mut clipped = 0;
    for (g, of_grid) in folded.weight.chunks_exact(rows).enumerate() {
        let mut observer = MeanSquaredError::new(quantizer.scheme);
        observer.observe(of_grid, 1);
        let tensor = || format!("weights of {}", net.graph().node(net.units()[u].core).name);
        let Range { min, max } = observer.range().map_err(|source| RunError::Range { tensor: tensor(), source })?;
        for (i, &w) in of_grid.iter().enumerate() {
            let at = g * rows + i;
            let factor = factors[at / row];
            if !(min..=max).contains(&w) && factor != 0.0 {
                // A rounding must not carry the range past a power of two.
                masters[at] = w.clamp(min, max) * INSIDE / factor;
                clipped += 1;
            }
        }
    }
    net.set_weights_of(u, masters);
    Ok((clipped, folded.weight.len()))
}
