//! A network with its plans: one for each batch size that comes along.

use quantrain_engine::{EngineError, Mode, Monitor, Network, Plan, Purpose, Workspace};

/// Runs a network forward, planning when a batch size is new.
pub struct Runner {
    purpose: Purpose,
    planned: Vec<(Plan, Workspace)>,
}

/// A full batch and the rest of an epoch: more sizes do not come along at once.
const MOST_PLANS: usize = 2;

impl Runner {
    /// A runner without plans yet.
    pub fn new(purpose: Purpose) -> Self {
        Runner { purpose, planned: Vec::new() }
    }

    /// The plan for batches of `batch`, made if it is new, with its buffers.
    ///
    /// # Errors
    /// The network has a node that the engine cannot run.
    pub fn plan(&mut self, network: &Network, batch: usize) -> Result<&mut (Plan, Workspace), EngineError> {
        let found = self.planned.iter().position(|(plan, _)| plan.batch() == batch);
        let at = match found {
            Some(at) => at,
            None => {
                self.planned.truncate(MOST_PLANS - 1);
                let plan = Plan::new(network.quant_graph(), batch, self.purpose)?;
                let workspace = Workspace::new(&plan);
                self.planned.push((plan, workspace));
                self.planned.len() - 1
            }
        };
        Ok(&mut self.planned[at])
    }

    /// Runs a batch of images (NHWC) and gives output `i` as it lies in memory.
    ///
    /// # Errors
    /// See [`Network::forward`].
    pub fn output(
        &mut self,
        network: &mut Network,
        mode: Mode,
        batch: usize,
        images: &[f32],
        i: usize,
        monitor: &mut dyn Monitor,
    ) -> Result<Vec<f32>, EngineError> {
        let (plan, workspace) = self.plan(network, batch)?;
        network.forward(plan, workspace, mode, &[images], monitor)?;
        Ok(network.output(plan, workspace, i))
    }

    /// Runs a batch of images (NHWC) and writes every output, as it lies in memory, to `outputs`.
    ///
    /// # Errors
    /// See [`Network::forward`].
    pub fn outputs(
        &mut self,
        network: &mut Network,
        mode: Mode,
        batch: usize,
        images: &[f32],
        outputs: &mut Vec<Vec<f32>>,
    ) -> Result<(), EngineError> {
        let (plan, workspace) = self.plan(network, batch)?;
        network.forward(plan, workspace, mode, &[images], &mut ())?;
        read_outputs(network, plan, workspace, outputs);
        Ok(())
    }
}

/// Writes every output of the last forward to `outputs`, whose memory is used again.
pub(crate) fn read_outputs(network: &Network, plan: &Plan, workspace: &Workspace, outputs: &mut Vec<Vec<f32>>) {
    outputs.resize_with(network.quant_graph().graph().outputs().len(), Vec::new);
    outputs.iter_mut().enumerate().for_each(|(i, values)| network.read_output(plan, workspace, i, values));
}
