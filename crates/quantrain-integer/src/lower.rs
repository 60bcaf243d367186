//! From a network to what runs it.

use std::sync::Arc;

use quantrain_graph::{Graph, QuantGraph, TensorId, Unit};
use quantrain_lowering::memory::Budget;

use crate::block::{self, Arithmetic, Block, BlockReport, OfBatch, OfUnit};
use crate::buffer::{Buffer, Kind, View};
use crate::grid::Grid;
use crate::instruction::{Instruction, Work};
use crate::op::{self, Operator, Site};
use crate::{Formula, LowerError};

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
    pub kernel: Kernel,
    pub inputs: Vec<TensorId>,
    pub output: TensorId,
    /// Tensors that nothing reads after this step.
    pub last_reads: Vec<TensorId>,
}

/// What a step runs.
pub(crate) enum Kernel {
    Block(OfBatch),
    Operator(Operator),
}

impl Kernel {
    /// Writes the output of inputs; `y` may be longer than it.
    pub fn run(&self, x: &[View], y: &mut Buffer) {
        match self {
            Kernel::Block(block) => block.run(x, y),
            Kernel::Operator(op) => op.run(x, y),
        }
    }
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
            let kernel = match block {
                Some(block) => Kernel::Block(OfBatch::new(block, graph, unit, batch)?),
                None => Kernel::Operator(self.operator(net, unit, batch)?),
            };
            steps.push(Step { kernel, inputs: unit.inputs(graph).collect(), output: unit.output(graph), last_reads: Vec::new() });
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

    /// The operator of a unit without weights.
    fn operator(&self, net: &QuantGraph, unit: &Unit, batch: usize) -> Result<Operator, LowerError> {
        let (graph, output) = (net.graph(), unit.output(net.graph()));
        let inputs: Vec<TensorId> = unit.inputs(graph).collect();
        op::build(&Site {
            at: quantrain_lowering::Site::new(graph, graph.node(unit.core), batch)?,
            inputs: inputs.iter().map(|t| self.grids[t.0]).collect(),
            output: self.grids[output.0],
            carries: inputs.iter().all(|&t| net.quantizer_of(t) == net.quantizer_of(output)),
            clip: unit.clip(graph),
            kernels: net.target().kernels(),
        })
    }

    /// The units as data, for one sample, in the order they run.
    pub fn instructions(&self, net: &QuantGraph, formula: Formula) -> Result<Vec<Instruction>, LowerError> {
        let graph = net.graph();
        let instruction = |(u, unit): (usize, &Unit)| {
            let work = match block::data(net, u, &self.grids, formula)? {
                Some(OfUnit::Integers(block)) => Work::Block(block),
                Some(OfUnit::Float(..)) => Work::FloatBlock,
                None => Work::Operator(self.operator(net, unit, 1)?),
            };
            let node = graph.node(unit.core);
            let (inputs, output) = (unit.inputs(graph).collect(), unit.output(graph));
            Ok(Instruction { node: node.name.clone(), operator: node.op.name(), inputs, output, work })
        };
        net.units().iter().enumerate().map(instruction).collect()
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
