//! Empirical bias correction: the mean error of each channel's sums, before the activation, is taken out of its bias.
//!
//! After Nagel et al. 2019, "Data-Free Quantization Through Weight Equalization and Bias Correction", appendix D. The means are exact over
//! the patches taken, so no layer has to be run with its activation left out.

use quantrain_engine::{Moments, Network, Wanted};

use super::{Refiner, walk};
use crate::RunError;
use crate::progress::Progress;

pub(super) fn step(refiner: &mut Refiner, progress: &mut dyn Progress) -> Result<String, RunError> {
    let (mut corrected, mut without) = (0, 0);
    walk::walk(refiner, "bias correction", Wanted::Means, progress, |float, network, u, moments| {
        if correct(float, network, u, moments)? {
            corrected += 1
        } else {
            without += 1
        }
        Ok(())
    })?;
    Ok(match without {
        0 => format!("biases of {corrected} layers"),
        n => format!("biases of {corrected} layers; {n} have none"),
    })
}

/// Corrects the bias of block `u`, with its weights as they are now; false where it has none.
pub(super) fn correct(float: &mut Network, network: &mut Network, u: usize, moments: &Moments) -> Result<bool, RunError> {
    network.prepare_codes(u)?;
    let Some((float, mut block)) = float.block_mut(u).zip(network.block_mut(u)) else { return Ok(false) };
    // What earlier corrections have added counts too.
    let (wanted, present) = (float.folded_bias(), block.folded_bias());
    let mut lack = moments.mean_difference(&float.folded_weights(), &block.used_weights());
    lack.iter_mut().zip(wanted.iter().zip(&present)).for_each(|(d, (wanted, present))| *d += wanted - present);
    Ok(block.shift(&lack))
}
