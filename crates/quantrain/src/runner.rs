//! A network with its plans: one for each batch size that comes along.

use quantrain_engine::{EngineError, GradientPath, Mode, Monitor, Network, Plan, Purpose, Workspace};

/// Runs a network forward, planning when a batch size is new.
pub struct Runner {
    purpose: Purpose,
    /// Whether training plans have gradients of inputs.
    input_gradients: bool,
    planned: Vec<(Plan, Workspace)>,
}

/// A full batch and the rest of an epoch: more sizes do not come along at once.
const MOST_PLANS: usize = 2;

impl Runner {
    /// A runner without plans yet.
    pub fn new(purpose: Purpose) -> Self {
        Runner { purpose, input_gradients: false, planned: Vec::new() }
    }

    /// A runner of training steps that give the gradients of the inputs too.
    pub fn with_input_gradients(gradient_path: GradientPath) -> Self {
        Runner { input_gradients: true, ..Runner::new(Purpose::Training(gradient_path)) }
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
                let net = network.quant_graph();
                let plan = match self.purpose {
                    Purpose::Training(path) if self.input_gradients => Plan::with_input_gradients(net, batch, path)?,
                    purpose => Plan::new(net, batch, purpose)?,
                };
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
