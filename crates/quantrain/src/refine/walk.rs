//! The walk: both networks run unit by unit over all images, and before each block a step may look at what it reads and change it. So a
//! later block sees the errors that earlier ones, already refined, leave.

use quantrain_engine::memory::Budget;
use quantrain_engine::{EngineError, Mode, Moments, Network, Plan, Purpose, Wanted, Workspace};

use super::{Refiner, step_done};
use crate::RunError;
use crate::progress::Progress;

/// A batch on its way through both networks.
struct Lane {
    float: (Plan, Workspace),
    quantized: (Plan, Workspace),
}

/// Walks; calls `visit` with the networks, the number of each quantized block, and the moments of what it reads.
pub(super) fn walk(
    refiner: &mut Refiner,
    stage: &str,
    wanted: Wanted,
    progress: &mut dyn Progress,
    mut visit: impl FnMut(&mut Network, &mut Network, usize, &Moments) -> Result<(), RunError>,
) -> Result<(), RunError> {
    let Refiner { float, network, images, .. } = refiner;
    let mut lanes: Vec<Lane> = Vec::new();
    for batch in images.batches() {
        let plan = |network: &Network| Plan::new(network.quant_graph(), batch.size, Purpose::Inference);
        let (of_float, of_quantized) = (plan(float)?, plan(network)?);
        let before = lanes.iter().map(|lane| lane.float.0.bytes() + lane.quantized.0.bytes()).sum::<usize>();
        let taken = before + of_float.bytes() + of_quantized.bytes();
        let memory = Budget::new(network.quant_graph().graph(), batch.size, images.count()).map_err(EngineError::from)?;
        memory.finish(&format!("{stage} over {} calibration images", images.count()), taken).map_err(EngineError::from)?;
        let with_buffers = |plan: Plan| {
            let workspace = Workspace::new(&plan);
            (plan, workspace)
        };
        let mut lane = Lane { float: with_buffers(of_float), quantized: with_buffers(of_quantized) };
        float.forward_begin(&lane.float.0, &mut lane.float.1, Mode::FLOAT, &batch.values, &mut ())?;
        network.forward_begin(&lane.quantized.0, &mut lane.quantized.1, Mode::SIMULATE, &batch.values, &mut ())?;
        lanes.push(lane);
    }
    let units = network.quant_graph().units().len();
    progress.begin(stage, units as u64);
    for u in 0..units {
        let mut moments = None;
        if network.quant_graph().weight_quantizer(u).is_some() {
            for lane in &lanes {
                let inputs = float.block_input(u, &lane.float.0, &lane.float.1);
                let Some((x, xq)) = inputs.zip(network.block_input(u, &lane.quantized.0, &lane.quantized.1)) else { continue };
                moments.get_or_insert_with(|| Moments::new(&x.shape, wanted)).add(&x, &xq);
            }
        }
        if let Some(moments) = moments {
            visit(float, network, u, &moments)?;
        }
        for lane in &mut lanes {
            float.forward_next(u, &lane.float.0, &mut lane.float.1, Mode::FLOAT, &mut ())?;
            network.forward_next(u, &lane.quantized.0, &mut lane.quantized.1, Mode::SIMULATE, &mut ())?;
        }
        step_done(progress, 1)?;
    }
    progress.end();
    Ok(())
}
