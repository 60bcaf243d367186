//! From a network to what runs it.

use std::sync::Arc;

use quantrain_graph::{Graph, QuantGraph, TensorId};
use quantrain_lowering::memory::Budget;

use crate::LowerError;
use crate::block::{self, Arithmetic, Block, BlockReport};
use crate::buffer::Kind;
use crate::grid::Grid;
use crate::op::{self, Kernel, Site};

/// What does not depend on the batch.
pub(crate) struct Lowered {
    /// Of each tensor, its codes.
    pub grids: Vec<Option<Grid>>,
    /// Of each unit, the block that it is.
    pub blocks: Vec<Option<Arc<Block>>>,
    pub reports: Vec<BlockReport>,
    /// Samples do not touch each other: a batch may be run in parts.
    pub splits: bool,
}

/// The steps for one batch size.
pub(crate) struct Schedule {
    pub batch: usize,
    pub steps: Vec<Step>,
}

/// One unit's work.
pub(crate) struct Step {
    pub kernel: Box<dyn Kernel>,
    pub inputs: Vec<TensorId>,
    pub output: TensorId,
    /// Tensors that nothing reads after this step.
    pub last_reads: Vec<TensorId>,
}

impl Lowered {
    pub fn new(net: &QuantGraph, arithmetic: Arithmetic) -> Result<Self, LowerError> {
        let mut of_quantizer = Vec::new();
        for q in net.quantizers() {
            let quantizer = q.quantizer()?.ok_or_else(|| LowerError::NotCalibrated { tensor: q.tensor.clone() })?;
            of_quantizer.push(Grid::new(quantizer));
        }
        let graph = net.graph();
        let grid = |t: usize| net.quantizer_of(TensorId(t)).map(|q| of_quantizer[q.0]);
        let grids: Vec<Option<Grid>> = (0..graph.tensors().len()).map(grid).collect();
        let (mut blocks, mut reports) = (Vec::new(), Vec::new());
        for u in 0..net.units().len() {
            let (block, report) = block::lower(net, u, &grids, arithmetic)?.unzip();
            blocks.push(block);
            reports.extend(report.flatten());
        }
        Ok(Lowered { grids, blocks, reports, splits: graph.splits_by_sample() })
    }

    pub fn kind(&self, tensor: TensorId) -> Kind {
        self.grids[tensor.0].map_or(Kind::Reals, |g| g.kind)
    }

    pub fn schedule(&self, net: &QuantGraph, batch: usize) -> Result<Schedule, LowerError> {
        let graph = net.graph();
        let memory = Budget::new(graph, batch, 1)?;
        let mut steps = Vec::with_capacity(net.units().len());
        for (unit, block) in net.units().iter().zip(&self.blocks) {
            let inputs: Vec<TensorId> = unit.inputs(graph).collect();
            let output = unit.output(graph);
            let kernel = match block {
                Some(block) => block::kernel(block, graph, unit, batch)?,
                None => op::build(&Site {
                    at: quantrain_lowering::Site::new(graph, graph.node(unit.core), batch)?,
                    inputs: inputs.iter().map(|t| self.grids[t.0]).collect(),
                    output: self.grids[output.0],
                    carries: inputs.iter().all(|&t| net.quantizer_of(t) == net.quantizer_of(output)),
                    clip: unit.clip(graph),
                })?,
            };
            steps.push(Step { kernel, inputs, output, last_reads: Vec::new() });
        }
        let mut read_later: Vec<bool> = (0..graph.tensors().len()).map(|t| graph.outputs().contains(&TensorId(t))).collect();
        for step in steps.iter_mut().rev() {
            for &tensor in step.inputs.iter().chain([&step.output]) {
                if !std::mem::replace(&mut read_later[tensor.0], true) {
                    step.last_reads.push(tensor);
                }
            }
        }
        memory.finish(&format!("the integer program for batches of {batch}"), most_at_once(&steps, graph, batch))?;
        Ok(Schedule { batch, steps })
    }
}

/// The most bytes that values take while the steps run.
fn most_at_once(steps: &[Step], graph: &Graph, batch: usize) -> usize {
    let bytes = |t: TensorId| graph.tensor(t).shape.elements(batch).saturating_mul(size_of::<f32>());
    let mut now = graph.inputs().iter().map(|&t| bytes(t)).fold(0, usize::saturating_add);
    let mut most = now;
    for step in steps {
        now = now.saturating_add(bytes(step.output));
        most = most.max(now);
        now = step.last_reads.iter().fold(now, |now, &t| now.saturating_sub(bytes(t)));
    }
    most
}
