//! Weights are clipped once, to the range whose quantizer changes them least.

use super::Refiner;
use crate::RunError;
use crate::clip_weights::clip_to_least_error;
use crate::progress::Progress;

pub(super) fn step(refiner: &mut Refiner, _: &mut dyn Progress) -> Result<String, RunError> {
    refiner.network.store();
    let mut net = refiner.network.quant_graph().clone();
    let (mut clipped, mut weights) = (0, 0);
    for u in (0..net.units().len()).filter(|&u| net.weight_quantizer(u).is_some()).collect::<Vec<_>>() {
        clipped += clip_to_least_error(&mut net, u)?.map_or(0, |of_block| of_block.weights);
        weights += net.weights_of(u).map_or(0, |all| all.len());
    }
    refiner.network = quantrain_engine::Network::new(net);
    Ok(format!("{clipped} of {weights} weights clipped"))
}
