//! AdaRound: each layer's rounding is learned against the float layer's sums, on what the quantized layers before it hand on.

use quantrain_engine::Wanted;

use super::{Refiner, bias_correction, walk};
use crate::RunError;
use crate::progress::Progress;

pub(super) fn step(refiner: &mut Refiner, progress: &mut dyn Progress) -> Result<String, RunError> {
    let settings = refiner.settings.rounding;
    let (mut moved, mut weights) = (0, 0);
    walk::walk(refiner, "adaround", Wanted::Covariances, progress, |float, network, u, moments| {
        let Some((float_block, mut block)) = float.block_mut(u).zip(network.block_mut(u)) else { return Ok(()) };
        let Some(grids) = block.grids().map(<[_]>::to_vec) else { return Ok(()) };
        let pairs = block.largest_pair();
        let learned = settings.learn(moments, &float_block.folded_weights(), &block.folded_weights(), &grids, pairs);
        block.set_codes(&learned.codes, &learned.kept);
        moved += learned.moved;
        weights += learned.codes.len();
        // Rounding was learned about the mean, so the mean is set too.
        bias_correction::correct(float, network, u, moments)?;
        Ok(())
    })?;
    Ok(format!("{:.1} % of {weights} weights rounded the other way", 100.0 * moved as f64 / weights.max(1) as f64))
}
