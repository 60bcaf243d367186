//! The devkit's bias calibration: in each pass over the images the mean of every layer's quantized output moves the layer's bias towards
//! the mean of the float one, by a rate that is halved from pass to pass (pytorch-jacinto-ai-devkit, docs/Quantization.md).

use quantrain_engine::{Mode, Purpose};

use super::channels::ChannelMonitor;
use super::{Refiner, step_done};
use crate::RunError;
use crate::progress::Progress;
use crate::runner::Runner;

pub(super) fn step(refiner: &mut Refiner, progress: &mut dyn Progress) -> Result<String, RunError> {
    let Refiner { float, network, images, settings, .. } = refiner;
    let (mut float_runner, mut runner) = (Runner::new(Purpose::Inference), Runner::new(Purpose::Inference));
    let mut rate = settings.bias_rate;
    let mut layers = 0;
    progress.begin("bias calibration", u64::from(settings.bias_epochs) * images.count() as u64);
    for _ in 0..settings.bias_epochs {
        for batch in images.batches() {
            let (mut wanted, mut found) = (ChannelMonitor::new(float), ChannelMonitor::new(network));
            float_runner.forward(float, Mode::FLOAT, batch.size, &batch.values, &mut wanted, |_, _, _| ())?;
            runner.forward(network, Mode::SIMULATE, batch.size, &batch.values, &mut found, |_, _, _| ())?;
            layers = 0;
            for u in 0..network.quant_graph().units().len() {
                let net = network.quant_graph();
                let Some(q) = net.quantizer_of(net.units()[u].output(net.graph())) else { continue };
                let (Some(wanted), Some(found)) = (wanted.of(q), found.of(q)) else { continue };
                let Some(mut block) = network.block_mut(u) else { continue };
                let by: Vec<f32> = (0..block.channels()).map(|c| rate * (wanted.mean(c) - found.mean(c)) as f32).collect();
                layers += usize::from(block.shift(&by));
            }
            step_done(progress, batch.size)?;
        }
        rate /= 2.0;
    }
    progress.end();
    Ok(format!("biases of {layers} layers in {} passes", settings.bias_epochs))
}
