//! A network with its plans: one for each batch size that comes along.

use quantrain_engine::{EngineError, GradientPath, Mode, Monitor, Network, Plan, Purpose, Workspace};

/// Runs a network forward, planning when a batch size is new. A batch whose buffers would take more memory than they may is run in parts.
pub struct Runner {
    purpose: Purpose,
    /// Whether training plans have gradients of inputs.
    input_gradients: bool,
    planned: Vec<(Plan, Workspace)>,
    /// The largest part that memory allows, where a batch was too large.
    most: Option<usize>,
    /// The most samples whose buffers the caches hold, once that is known.
    cached: Option<usize>,
}

/// A full batch and the rest of an epoch: more sizes do not come along at once.
const MOST_PLANS: usize = 2;

/// Bytes of buffers that a part of a batch may have without training: a batch of 64 photographs takes a gigabyte, and is hardly faster.
const PART_BYTES: usize = 64 << 20;

impl Runner {
    /// A runner without plans yet, for one network.
    pub fn new(purpose: Purpose) -> Self {
        Runner { purpose, input_gradients: false, planned: Vec::new(), most: None, cached: None }
    }

    /// A runner of training steps that give the gradients of the inputs too.
    pub fn with_input_gradients(gradient_path: GradientPath) -> Self {
        Runner { input_gradients: true, ..Runner::new(Purpose::Training(gradient_path)) }
    }

    /// The plan for batches of `batch`, made if it is new, with its buffers.
    ///
    /// # Errors
    /// The network has a node that the engine cannot run, or buffers would take more memory than they may.
    pub fn plan(&mut self, network: &Network, batch: usize) -> Result<&mut (Plan, Workspace), EngineError> {
        let found = self.planned.iter().position(|(plan, _)| plan.batch() == batch);
        let at = match found {
            Some(at) => at,
            None => {
                let net = network.quant_graph();
                let plan = match self.purpose {
                    Purpose::Training(path) if self.input_gradients => Plan::with_input_gradients(net, batch, path)?,
                    purpose => Plan::new(net, batch, purpose)?,
                };
                self.planned.truncate(MOST_PLANS - 1);
                // All plans together have the memory of one.
                self.planned.retain(|(other, _)| other.bytes().saturating_add(plan.bytes()) <= plan.allowed());
                let workspace = Workspace::new(&plan);
                self.planned.push((plan, workspace));
                self.planned.len() - 1
            }
        };
        Ok(&mut self.planned[at])
    }

    /// Samples that are run at once, of a batch of so many: all, or as many as memory allows, and without training the caches, where samples do
    /// not touch each other. What is computed does not depend on it.
    ///
    /// # Errors
    /// As [`Runner::plan`], for a single sample.
    pub fn at_once(&mut self, network: &Network, batch: usize) -> Result<usize, EngineError> {
        let cached = if self.purpose == Purpose::Inference { self.in_caches(network)? } else { batch };
        let mut size = batch.min(cached).min(self.most.unwrap_or(batch)).max(1);
        while let Err(error) = self.plan(network, size) {
            if !matches!(error, EngineError::Memory(_)) || size == 1 || !network.quant_graph().graph().splits_by_sample() {
                return Err(error);
            }
            size = size.div_ceil(2);
            self.most = Some(size);
        }
        Ok(size)
    }

    /// The most samples whose buffers the caches hold; no limit where samples touch each other.
    fn in_caches(&mut self, network: &Network) -> Result<usize, EngineError> {
        if let Some(cached) = self.cached {
            return Ok(cached);
        }
        let net = network.quant_graph();
        let cached = match net.graph().splits_by_sample() {
            true => (PART_BYTES / Plan::new(net, 1, self.purpose)?.bytes().max(1)).max(1),
            false => usize::MAX,
        };
        self.cached = Some(cached);
        Ok(cached)
    }

    /// Runs a batch, whose values are given for each input as they lie in memory, part by part; after each, `read` may look at what it left.
    ///
    /// # Errors
    /// See [`Network::forward`] and [`Runner::at_once`].
    pub fn forward(
        &mut self,
        network: &mut Network,
        mode: Mode,
        batch: usize,
        inputs: &[&[f32]],
        monitor: &mut dyn Monitor,
        mut read: impl FnMut(&Network, &Plan, &Workspace),
    ) -> Result<(), EngineError> {
        let at_once = self.at_once(network, batch)?;
        if at_once >= batch {
            let (plan, workspace) = self.plan(network, batch)?;
            network.forward(plan, workspace, mode, inputs, monitor)?;
            read(network, plan, workspace);
            return Ok(());
        }
        for first in (0..batch).step_by(at_once) {
            let size = at_once.min(batch - first);
            let parts: Vec<&[f32]> = inputs.iter().map(|x| &x[first * (x.len() / batch)..][..size * (x.len() / batch)]).collect();
            let (plan, workspace) = self.plan(network, size)?;
            if first == 0 {
                network.forward(plan, workspace, mode, &parts, monitor)?;
            } else {
                network.forward_prepared(plan, workspace, mode, &parts, monitor)?;
            }
            read(network, plan, workspace);
        }
        Ok(())
    }

    /// Runs a batch of images (NHWC) and gives output `i` as it lies in memory.
    ///
    /// # Errors
    /// See [`Runner::forward`].
    pub fn output(
        &mut self,
        network: &mut Network,
        mode: Mode,
        batch: usize,
        images: &[f32],
        i: usize,
        monitor: &mut dyn Monitor,
    ) -> Result<Vec<f32>, EngineError> {
        let mut output = Vec::new();
        self.forward(network, mode, batch, &[images], monitor, |network, plan, workspace| {
            output.append(&mut network.output(plan, workspace, i));
        })?;
        Ok(output)
    }

    /// Runs a batch, whose values are given for each input as they lie in memory, and writes every output, as it lies in memory, to `outputs`,
    /// whose memory is used again.
    ///
    /// # Errors
    /// See [`Runner::forward`].
    pub fn outputs(
        &mut self,
        network: &mut Network,
        mode: Mode,
        batch: usize,
        inputs: &[&[f32]],
        outputs: &mut Vec<Vec<f32>>,
    ) -> Result<(), EngineError> {
        if self.at_once(network, batch)? == batch {
            return self.forward(network, mode, batch, inputs, &mut (), |network, plan, workspace| {
                read_outputs(network, plan, workspace, outputs);
            });
        }
        outputs.clear();
        outputs.resize_with(network.quant_graph().graph().outputs().len(), Vec::new);
        self.forward(network, mode, batch, inputs, &mut (), |network, plan, workspace| {
            outputs.iter_mut().enumerate().for_each(|(i, values)| values.append(&mut network.output(plan, workspace, i)));
        })
    }
}

/// Writes every output of the last forward to `outputs`, whose memory is used again.
pub(crate) fn read_outputs(network: &Network, plan: &Plan, workspace: &Workspace, outputs: &mut Vec<Vec<f32>>) {
    outputs.resize_with(network.quant_graph().graph().outputs().len(), Vec::new);
    outputs.iter_mut().enumerate().for_each(|(i, values)| network.read_output(plan, workspace, i, values));
}

#[cfg(test)]
mod tests {
    use quantrain_graph::op::{Reduce, Reduction, Tile};
    use quantrain_graph::{GraphBuilder, Op, QuantGraph};

    use super::*;

    /// `[N, 1, 4, 4]` repeated to `[N, times, 4, 4]`, and the sum of it.
    fn tiled(times: usize) -> Network {
        let mut b = GraphBuilder::new("g");
        let x = b.input("x", &[1, 4, 4]);
        let y = b.node("tile", Op::Tile(Tile { repeats: vec![1, times, 1, 1] }), &[x], "tiled").unwrap();
        let sum = Reduce { function: Reduction::Sum, axes: vec![1, 2, 3], keep_dims: false };
        let y = b.node("sum", Op::Reduce(sum), &[y], "y").unwrap();
        b.output(y);
        Network::new(QuantGraph::float(b.finish().unwrap()))
    }

    #[test]
    fn a_batch_that_memory_does_not_hold_is_run_in_parts() {
        // 16 MiB a sample, several times over while a kernel runs, of 256 MiB.
        let mut network = tiled(1 << 18);
        let mut runner = Runner::new(Purpose::Inspection);
        assert!(matches!(runner.plan(&network, 20), Err(EngineError::Memory(_))));
        assert_eq!(runner.at_once(&network, 20).unwrap(), 3);
        // Powers of two: their sums are exact.
        let value = |sample: usize| [1.0, 2.0, 4.0][sample % 3];
        let images: Vec<f32> = (0..20 * 16).map(|i| value(i / 16)).collect();
        let expected: Vec<f32> = (0..20).map(|sample| value(sample) * 16.0 * (1 << 18) as f32).collect();
        let mut outputs = vec![vec![1.0]];
        runner.outputs(&mut network, Mode::FLOAT, 20, &[&images], &mut outputs).unwrap();
        assert_eq!(outputs, std::slice::from_ref(&expected));
        assert_eq!(runner.output(&mut network, Mode::FLOAT, 20, &images, 0, &mut ()).unwrap(), expected);
        // The rest of an epoch.
        runner.outputs(&mut network, Mode::FLOAT, 2, &[&images[..32]], &mut outputs).unwrap();
        assert_eq!(outputs[0], expected[..2]);
    }

    #[test]
    fn without_training_a_part_stays_in_the_caches() {
        let mut network = tiled(1 << 17);
        let mut runner = Runner::new(Purpose::Inference);
        let at_once = runner.at_once(&network, 64).unwrap();
        assert!((2..64).contains(&at_once), "8 MiB a sample: {at_once}");
        assert!(runner.plan(&network, at_once).unwrap().0.bytes() <= PART_BYTES);
        assert!(Runner::new(Purpose::Inspection).at_once(&network, 64).unwrap() > at_once);
        let images = vec![2.0; 64 * 16];
        let output = runner.output(&mut network, Mode::FLOAT, 64, &images, 0, &mut ()).unwrap();
        assert_eq!(output, vec![32.0 * (1 << 17) as f32; 64]);
    }

    #[test]
    fn one_sample_that_is_too_large_is_refused_with_its_tensor() {
        let mut network = tiled(1 << 26);
        let error = Runner::new(Purpose::Inference).outputs(&mut network, Mode::FLOAT, 4, &[&[0.0; 64]], &mut Vec::new()).unwrap_err();
        let EngineError::Memory(error) = error else { panic!("{error}") };
        assert_eq!((error.tensor.as_str(), error.of_tensor), ("tiled", 4 << 30));
    }
}
