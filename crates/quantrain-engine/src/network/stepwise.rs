//! A forward that stops before each unit, so that refinement can look at what a block reads and change the block.

use quantrain_graph::{Quantizer, QuantizerId};
use quantrain_kernels::convolution::ConvolutionShape;
use quantrain_kernels::weights::Grid;

use super::{Mode, Network, Workspace};
use crate::block::BlockParameters;
use crate::plan::{Plan, Work};
use crate::{EngineError, Monitor};

/// What a block reads in the middle of a forward.
#[derive(Clone, Copy)]
pub struct BlockInput<'w> {
    /// The geometry, with the plan's batch.
    pub shape: ConvolutionShape,
    /// Centred codes in a simulated run, else real values; NHWC.
    pub values: &'w [f32],
    /// What a value of 1 stands for.
    pub scale: f32,
}

impl Network {
    /// Begins a forward: makes the codes of all blocks and feeds the inputs. [`Network::forward_next`] goes on.
    ///
    /// # Errors
    /// See [`Network::forward`].
    pub fn forward_begin(
        &mut self,
        plan: &Plan,
        workspace: &mut Workspace,
        mode: Mode,
        inputs: &[&[f32]],
        monitor: &mut dyn Monitor,
    ) -> Result<(), EngineError> {
        plan.check(mode)?;
        self.prepare(mode)?;
        monitor.begin(plan.batch());
        self.feed(plan, workspace, inputs, monitor)
    }

    /// Runs unit `u`, the next one of a forward, with its parameters as they are now. Units run in order, each once.
    ///
    /// # Errors
    /// The unit's weights or bias have no codes.
    pub fn forward_next(
        &mut self,
        u: usize,
        plan: &Plan,
        workspace: &mut Workspace,
        mode: Mode,
        monitor: &mut dyn Monitor,
    ) -> Result<(), EngineError> {
        self.prepare_codes(u)?;
        rayon::scope(|_| self.forward_unit(u, plan, workspace, mode, monitor));
        Ok(())
    }

    /// Runs unit `u` and all that follow, in a forward that stands before `u`.
    ///
    /// # Errors
    /// A unit's weights or bias have no codes.
    pub fn forward_rest(
        &mut self,
        u: usize,
        plan: &Plan,
        workspace: &mut Workspace,
        mode: Mode,
        monitor: &mut dyn Monitor,
    ) -> Result<(), EngineError> {
        rayon::scope(|_| {
            for u in u..self.blocks.len() {
                self.prepare_codes(u)?;
                self.forward_unit(u, plan, workspace, mode, monitor);
            }
            Ok(())
        })
    }

    /// Replaces a quantizer in the forward under way, `None` by nothing; gives the one that was there. The next forward has the network's own.
    pub fn use_quantizer(&mut self, quantizer: QuantizerId, by: Option<Quantizer>) -> Option<Quantizer> {
        std::mem::replace(&mut self.quantizers[quantizer.0], by)
    }

    /// Exchanges the master weights of block `u` with those of the same network in another form; nothing where the unit is no block.
    pub fn swap_weights(&mut self, u: usize, other: &mut Network) {
        if let Some((own, other)) = self.blocks[u].as_mut().zip(other.blocks[u].as_mut()) {
            std::mem::swap(&mut own.weight.value, &mut other.weight.value);
        }
    }

    /// Makes the codes of unit `u` anew where it is a block, by the quantizers of the forward under way.
    ///
    /// # Errors
    /// The block's weights or bias have no codes.
    pub fn prepare_codes(&mut self, u: usize) -> Result<(), EngineError> {
        let Some(p) = &mut self.blocks[u] else { return Ok(()) };
        let input = self.net.units()[u].inputs(self.net.graph()).next();
        let quantizer = input.and_then(|t| self.net.quantizer_of(t)).and_then(|q| self.quantizers[q.0]);
        Ok(p.prepare(quantizer, self.at_least)?)
    }

    /// What block `u` reads when it runs next; `None` where the unit is no block, or a transposed convolution, whose outputs see no patch.
    pub fn block_input<'w>(&self, u: usize, plan: &Plan, workspace: &'w Workspace) -> Option<BlockInput<'w>> {
        let unit = plan.units.get(u)?;
        let Work::Block { shape, .. } = &unit.work else { return None };
        if shape.transposed {
            return None;
        }
        let x = *unit.inputs.first()?;
        Some(BlockInput { shape: *shape, values: self.values(plan, workspace, x), scale: workspace.scales[x.0] })
    }

    /// The parameters of block `u` as the last forward used them; `None` where the unit is no block.
    pub fn block_mut(&mut self, u: usize) -> Option<BlockMut<'_>> {
        Some(BlockMut { parameters: self.blocks.get_mut(u)?.as_mut()? })
    }
}

/// The parameters of a block, BatchNorm folded in, for refinement.
pub struct BlockMut<'n> {
    parameters: &'n mut BlockParameters,
}

/// A weight as an optimizer and a quantizer see it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Weight {
    /// w.
    pub master: f32,
    /// BatchNorm's factor f: what is quantized is `w̃ = w·f`.
    pub factor: f32,
    /// The centred code of the last simulated forward.
    pub code: f32,
    /// What a code of 1 stands for, in w̃.
    pub scale: f32,
}

/// Codes are stored a millionth nearer to zero than they are: so a range that is measured on them never passes a power of two by a rounding.
const INSIDE: f32 = 1.0 - 1.0 / (1 << 20) as f32;

impl BlockMut<'_> {
    /// Number of output channels.
    pub fn channels(&self) -> usize {
        self.parameters.channels
    }

    /// w̃, channels first, then kernel height, width and inputs of a group.
    pub fn folded_weights(&self) -> Vec<f32> {
        let p = &self.parameters;
        let row = p.weight.value.len() / p.channels;
        p.weight.value.iter().enumerate().map(|(i, w)| w * p.factors[i / row]).collect()
    }

    /// b̃ of each channel.
    pub fn folded_bias(&self) -> Vec<f32> {
        let p = &self.parameters;
        let beta = |c: usize| p.norm.as_ref().map_or(0.0, |norm| norm.beta.value[c]);
        (0..p.channels).map(|c| (p.bias_of(c) - p.running.0[c]) * p.factors[c] + beta(c)).collect()
    }

    /// ŵ of the last simulated forward, in real units; w̃ where the block runs in float.
    pub fn used_weights(&self) -> Vec<f32> {
        match &self.parameters.simulated {
            None => self.folded_weights(),
            Some(s) => {
                let row = s.codes.len() / self.parameters.channels;
                s.codes.iter().enumerate().map(|(i, q)| q * s.grid(i / row).scale).collect()
            }
        }
    }

    /// The grid of each channel in the last simulated forward; one where all share it. `None` where the block runs in float.
    pub fn grids(&self) -> Option<&[Grid]> {
        self.parameters.simulated.as_ref().map(|s| s.grids.as_slice())
    }

    /// The most that the codes of two neighbours, weights 0 and 1, 2 and 3, … of a channel, may sum up to, where a device adds their products in
    /// pairs that saturate.
    pub fn largest_pair(&self) -> Option<f32> {
        self.parameters.simulated.as_ref()?.largest_pair
    }

    /// Changes the masters so that their codes on the present grids are `codes`. Channels marked in `kept`, and those that BatchNorm
    /// switches off, keep their weights.
    ///
    /// # Panics
    /// There is not a code for each weight, or the block runs in float.
    pub fn set_codes(&mut self, codes: &[f32], kept: &[bool]) {
        let p = &mut *self.parameters;
        let simulated = p.simulated.as_ref().expect("a block in float has no codes");
        let row = p.weight.value.len() / p.channels;
        assert_eq!(codes.len(), p.weight.value.len(), "one code a weight");
        for (c, (weights, codes)) in p.weight.value.chunks_exact_mut(row).zip(codes.chunks_exact(row)).enumerate() {
            let (scale, factor) = (simulated.grid(c).scale, p.factors[c]);
            if factor != 0.0 && !kept[c] {
                weights.iter_mut().zip(codes).for_each(|(w, q)| *w = q * scale * INSIDE / factor);
            }
        }
    }

    /// Number of weights.
    pub fn weights(&self) -> usize {
        self.parameters.weight.value.len()
    }

    /// Changes weights: `f` gets the position and the weight, and gives the new master. Channels that BatchNorm switches off stay; so does
    /// a block that ran in float.
    pub fn update_weights(&mut self, mut f: impl FnMut(usize, Weight) -> f32) {
        let p = &mut *self.parameters;
        let Some(simulated) = &p.simulated else { return };
        let row = p.weight.value.len() / p.channels;
        for (i, master) in p.weight.value.iter_mut().enumerate() {
            let factor = p.factors[i / row];
            if factor != 0.0 {
                *master = f(i, Weight { master: *master, factor, code: simulated.codes[i], scale: simulated.grid(i / row).scale });
            }
        }
    }

    /// Adds to each channel of the block's sums, by BatchNorm's β or the bias. False where the block has neither.
    pub fn shift(&mut self, by: &[f32]) -> bool {
        let p = &mut *self.parameters;
        let to = p.norm.as_mut().map(|n| &mut n.beta.value).or(p.bias.as_mut().map(|b| &mut b.value));
        let Some(to) = to else { return false };
        to.iter_mut().zip(by).for_each(|(b, d)| *b += d);
        true
    }
}
