//! The program and the walk through its steps.

use std::sync::{Arc, Mutex, PoisonError};

use quantrain_graph::{NodeId, Op, QuantGraph, Quantizer, TensorId};
use rayon::prelude::*;

use crate::block::{Arithmetic, Block, BlockReport};
use crate::buffer::{Buffer, Pool};
use crate::grid::{Grid, centred, scale};
use crate::instruction::Instruction;
use crate::lower::{Lowered, Schedule};
use crate::{Formula, LowerError, RunError};

/// Sees the codes of tensors as they are made.
pub trait CodeMonitor {
    /// Whether this tensor's codes are wanted.
    fn wants(&self, _tensor: TensorId) -> bool {
        true
    }

    /// The codes of a quantized tensor, `qmin` to `qmax`, as they lie in memory: images NHWC.
    fn codes(&mut self, tensor: TensorId, quantizer: &Quantizer, codes: &[i32]);
}

/// Watches nothing.
impl CodeMonitor for () {
    fn wants(&self, _: TensorId) -> bool {
        false
    }

    fn codes(&mut self, _: TensorId, _: &Quantizer, _: &[i32]) {}
}

/// A network in integers.
pub struct IntegerProgram {
    net: QuantGraph,
    formula: Formula,
    lowered: Lowered,
    /// The batch sizes seen last.
    schedules: Mutex<Vec<Arc<Schedule>>>,
    /// Memory of runs that are over.
    pools: Mutex<Vec<Pool>>,
}

/// A batch, the part of it that is left over, and as much again.
const MOST_SCHEDULES: usize = 4;

/// Bytes of the largest tensor of a part of a batch: parts stay in the L2 cache.
const PART: usize = 128 * 1024;

impl IntegerProgram {
    /// Lowers a calibrated network, with the formula of its target.
    ///
    /// # Errors
    /// A quantizer has no range, codes do not fit, a factor does not fit the formula, or there is a form of an operator that nothing here
    /// computes.
    pub fn lower(net: &QuantGraph) -> Result<Self, LowerError> {
        IntegerProgram::lower_with(net, Formula::from(net.target().requantize()))
    }

    /// Lowers a calibrated network, with another formula than its target's, or other sums.
    ///
    /// # Errors
    /// See [`IntegerProgram::lower`].
    pub fn lower_with(net: &QuantGraph, arithmetic: impl Into<Arithmetic>) -> Result<Self, LowerError> {
        let arithmetic = arithmetic.into();
        let lowered = Lowered::new(net, arithmetic)?;
        let schedule = Arc::new(lowered.schedule(net, 1)?);
        Ok(IntegerProgram {
            net: net.clone(),
            formula: arithmetic.formula,
            lowered,
            schedules: Mutex::new(vec![schedule]),
            pools: Mutex::default(),
        })
    }

    /// What a tensor's codes are and how they lie in memory; `None` where it stays real.
    pub fn grid(&self, tensor: TensorId) -> Option<Grid> {
        self.lowered.grids.get(tensor.0).copied().flatten()
    }

    /// The program as data, one instruction a unit in the order they run, for one sample.
    ///
    /// # Errors
    /// Those of [`IntegerProgram::lower`], which has met them before.
    pub fn instructions(&self) -> Result<Vec<Instruction>, LowerError> {
        self.lowered.instructions(&self.net, self.formula)
    }

    /// The network that was lowered.
    pub fn quant_graph(&self) -> &QuantGraph {
        &self.net
    }

    /// Whether some sum may saturate: pairs of products are added in 16 bits, and the weights of a block reach that far.
    pub fn may_saturate(&self) -> bool {
        self.lowered.blocks.iter().flatten().any(|block| matches!(**block, Block::Paired(_)))
    }

    /// Whether all work is what the fast kernels are for: every block has bytes and sums of 32 bits, nothing before the last of them is left in
    /// float, and no two activations are multiplied as matrices. Other programs give the same codes, but the simulation is the faster one.
    pub fn is_whole(&self) -> bool {
        let (graph, blocks) = (self.net.graph(), &self.lowered.blocks);
        let before_last = blocks.iter().rposition(Option::is_some).unwrap_or(0);
        let is_float = |core: NodeId| self.net.float_nodes().iter().any(|(node, _)| *node == core);
        self.net.units().iter().zip(blocks).enumerate().all(|(u, (unit, block))| match block.as_deref() {
            Some(block) => matches!(block, Block::Narrow(_)),
            None => !matches!(graph.node(unit.core).op, Op::MatMul(_)) && (u > before_last || !is_float(unit.core)),
        })
    }

    /// Of each block with integer weights, the bound of its sums and what they are made in; in the order they run.
    pub fn blocks(&self) -> &[BlockReport] {
        &self.lowered.reports
    }

    /// Runs `batch` samples. `inputs` are real values as they lie in memory (images NHWC), and so is each output.
    ///
    /// Any number of runs may go on at once. Codes do not depend on the batch that a sample is in.
    ///
    /// # Errors
    /// The number or the length of inputs does not fit.
    pub fn run(&self, batch: usize, inputs: &[&[f32]], monitor: &mut dyn CodeMonitor) -> Result<Vec<Vec<f32>>, RunError> {
        let graph = self.net.graph();
        if inputs.len() != graph.inputs().len() {
            return Err(RunError::InputCount { found: inputs.len(), expected: graph.inputs().len() });
        }
        for (&tensor, x) in graph.inputs().iter().zip(inputs) {
            let (found, expected) = (x.len(), graph.tensor(tensor).shape.elements(batch));
            if found != expected {
                return Err(RunError::InputLength { tensor: graph.tensor(tensor).name.clone(), found, expected });
            }
        }
        let watched = (0..self.lowered.grids.len()).any(|t| self.lowered.grids[t].is_some() && monitor.wants(TensorId(t)));
        let part = self.part(batch);
        if watched {
            return Ok(self.walk(&*self.schedule(batch)?, inputs, monitor));
        }
        if part >= batch {
            let schedule = self.schedule(batch)?;
            // On a thread of the pool: from outside, every layer would wait for one to take it.
            return Ok(rayon::scope(|_| self.walk(&schedule, inputs, &mut ())));
        }
        let schedules = [self.schedule(part)?, self.schedule(if batch.is_multiple_of(part) { part } else { batch % part })?];
        let run_part = |first: usize| {
            let samples = part.min(batch - first);
            let inputs: Vec<&[f32]> = inputs.iter().map(|x| &x[first * (x.len() / batch)..][..samples * (x.len() / batch)]).collect();
            self.walk(&schedules[usize::from(samples < part)], &inputs, &mut ())
        };
        let parts: Vec<Vec<Vec<f32>>> = (0..batch.div_ceil(part)).into_par_iter().map(|p| run_part(p * part)).collect();
        Ok((0..graph.outputs().len()).map(|i| parts.iter().flat_map(|p| p[i].iter().copied()).collect()).collect())
    }

    /// Samples that are run at once: few enough for the cache, and for every thread to have some.
    fn part(&self, batch: usize) -> usize {
        if !self.lowered.splits {
            return batch;
        }
        let tensors = self.net.graph().tensors().iter().filter(|t| t.constant.is_none());
        let largest = tensors.map(|t| t.shape.elements(1)).max().unwrap_or(1);
        let share = batch.div_ceil(rayon::current_num_threads());
        (PART / largest.max(1)).clamp(1, share.max(1))
    }

    fn schedule(&self, batch: usize) -> Result<Arc<Schedule>, LowerError> {
        let mut schedules = self.schedules.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(schedule) = schedules.iter().find(|s| s.batch == batch) {
            return Ok(Arc::clone(schedule));
        }
        let schedule = Arc::new(self.lowered.schedule(&self.net, batch)?);
        if schedules.len() == MOST_SCHEDULES {
            schedules.remove(0);
        }
        schedules.push(Arc::clone(&schedule));
        Ok(schedule)
    }

    fn walk(&self, schedule: &Schedule, inputs: &[&[f32]], monitor: &mut dyn CodeMonitor) -> Vec<Vec<f32>> {
        let graph = self.net.graph();
        let mut pool = self.pools.lock().unwrap_or_else(PoisonError::into_inner).pop().unwrap_or_default();
        let mut values: Vec<Option<Buffer>> = (0..graph.tensors().len()).map(|_| None).collect();
        let len = |t: TensorId| graph.tensor(t).shape.elements(schedule.batch);
        for (&tensor, x) in graph.inputs().iter().zip(inputs) {
            let mut buffer = pool.take(self.lowered.kind(tensor), x.len());
            match (self.lowered.grids[tensor.0], &mut buffer) {
                (None, Buffer::Reals(buffer)) => buffer[..x.len()].copy_from_slice(x),
                (None, _) => unreachable!("a tensor without a grid holds reals"),
                (Some(grid), buffer) => grid.store(grid.scale(), x, buffer),
            }
            self.show(tensor, &buffer, x.len(), monitor);
            values[tensor.0] = Some(buffer);
        }
        for step in &schedule.steps {
            let mut y = pool.take(self.lowered.kind(step.output), len(step.output));
            let views: Vec<_> =
                step.inputs.iter().map(|&t| values[t.0].as_ref().expect("steps come after what they read").view(len(t))).collect();
            step.kernel.run(&views, &mut y);
            self.show(step.output, &y, len(step.output), monitor);
            values[step.output.0] = Some(y);
            for &tensor in &step.last_reads {
                values[tensor.0].take().into_iter().for_each(|buffer| pool.put(buffer));
            }
        }
        let real = |&tensor: &TensorId| {
            let grid = self.lowered.grids[tensor.0];
            let buffer = values[tensor.0].as_ref().expect("outputs are kept");
            let mut real = centred(grid, buffer.view(len(tensor)));
            // A product would quiet signalling NaNs.
            if grid.is_some() {
                real.iter_mut().for_each(|v| *v *= scale(grid));
            }
            real
        };
        let outputs = graph.outputs().iter().map(real).collect();
        values.into_iter().flatten().for_each(|buffer| pool.put(buffer));
        self.pools.lock().unwrap_or_else(PoisonError::into_inner).push(pool);
        outputs
    }

    fn show(&self, tensor: TensorId, buffer: &Buffer, len: usize, monitor: &mut dyn CodeMonitor) {
        if let Some(grid) = self.lowered.grids[tensor.0].filter(|_| monitor.wants(tensor)) {
            monitor.codes(tensor, &grid.quantizer, &grid.codes(buffer.view(len)));
        }
    }
}
