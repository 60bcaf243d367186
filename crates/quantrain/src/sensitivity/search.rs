//! Mixed precision: 4, 8 (or the target's own fewer) or 16 bits for each block, so that the sum of what each costs alone is small under a budget.
//!
//! Noise powers of single quantizers are taken to add up. From the narrowest widths on, the block is widened whose noise falls most for
//! what it takes of the budget, while the budget allows: greedy, as for the knapsack that it is.

use quantrain_graph::{LayerSettings, Op, QuantGraph};
use serde::Serialize;

use super::{Kind, Nearness, Sensitivity, of_weights};

/// Widths to choose from.
const CHOICES: [u8; 3] = [4, 8, 16];

/// What is limited, as a share of what it is when everything has 8 bits.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Budget {
    /// Bits of all weights.
    Size(f64),
    /// Multiply-accumulates times bits of weights times bits of what they multiply.
    BitOperations(f64),
}

/// The widths of one block.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Choice {
    /// The block's node.
    pub node: String,
    /// Bits of its weights.
    pub weight_bits: u8,
    /// Bits of its output; `None` where the budget does not ask for them.
    pub activation_bits: Option<u8>,
}

/// Widths for all blocks.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Mix {
    /// One for each block.
    pub choices: Vec<Choice>,
    /// Bits of weights, as a share of those at 8 bits.
    pub size: f64,
    /// Bit operations, as a share of those at 8 bits everywhere.
    pub bit_operations: f64,
    /// Output SQNR in dB, were the noises of all quantizers to add up.
    pub expected_sqnr: f64,
}

struct Block {
    unit: usize,
    node: String,
    weights: f64,
    operations: f64,
    /// Noise over signal at each of [`CHOICES`], of the weights and of the output.
    weight_noise: [f64; 3],
    activation_noise: [f64; 3],
    /// Position in [`CHOICES`].
    width: usize,
}

/// Chooses widths; the budget is met, unless 4 bits everywhere are already too many.
pub fn search(net: &QuantGraph, sensitivity: &Sensitivity, budget: Budget) -> Mix {
    let mut blocks = blocks(net, sensitivity);
    let with_activations = matches!(budget, Budget::BitOperations(_));
    let limit = match budget {
        Budget::Size(share) | Budget::BitOperations(share) => share,
    };
    let spent = |blocks: &[Block]| if with_activations { bit_operations(net, blocks, true) } else { size(blocks) };
    loop {
        let now = spent(&blocks);
        let mut best: Option<(f64, usize)> = None;
        for b in 0..blocks.len() {
            if blocks[b].width + 1 == CHOICES.len() {
                continue;
            }
            let before = blocks[b].noise(with_activations);
            blocks[b].width += 1;
            let (won, more) = (before - blocks[b].noise(with_activations), spent(&blocks) - now);
            blocks[b].width -= 1;
            let value = won / more.max(f64::MIN_POSITIVE);
            if now + more <= limit && won > 0.0 && best.is_none_or(|(most, _)| value > most) {
                best = Some((value, b));
            }
        }
        match best {
            Some((_, b)) => blocks[b].width += 1,
            None => break,
        }
    }
    let noise: f64 = blocks.iter().map(|b| b.weight_noise[b.width] + b.activation_noise[if with_activations { b.width } else { 1 }]).sum();
    Mix {
        size: size(&blocks),
        bit_operations: bit_operations(net, &blocks, with_activations),
        expected_sqnr: -10.0 * noise.log10(),
        choices: blocks.into_iter().map(|b| b.choice(net, with_activations)).collect(),
    }
}

impl Mix {
    /// The choices as rules of a recipe.
    pub fn rules(&self) -> Vec<LayerSettings> {
        let rule = |c: &Choice| LayerSettings {
            pattern: c.node.clone(),
            weight_bits: Some(c.weight_bits),
            activation_bits: c.activation_bits,
            ..LayerSettings::default()
        };
        self.choices.iter().map(rule).collect()
    }
}

impl Block {
    fn noise(&self, with_activations: bool) -> f64 {
        self.weight_noise[self.width] + if with_activations { self.activation_noise[self.width] } else { 0.0 }
    }

    fn choice(self, net: &QuantGraph, with_activations: bool) -> Choice {
        let bits = CHOICES[self.width];
        Choice { weight_bits: of_weights(net, self.unit, bits), node: self.node, activation_bits: with_activations.then_some(bits) }
    }
}

fn size(blocks: &[Block]) -> f64 {
    let bits = |b: &Block| b.weights * f64::from(CHOICES[b.width]);
    blocks.iter().map(bits).sum::<f64>() / (8.0 * blocks.iter().map(|b| b.weights).sum::<f64>())
}

/// A block reads what the block before it writes, at that one's width where activations are chosen, else 8 bits.
fn bit_operations(net: &QuantGraph, blocks: &[Block], with_activations: bool) -> f64 {
    let graph = net.graph();
    let read = |b: &Block| {
        let input = net.units()[b.unit].inputs(graph).next().and_then(|t| net.quantizer_of(t));
        let writer = blocks.iter().find(|w| input.is_some() && net.quantizer_of(net.units()[w.unit].output(graph)) == input);
        writer.filter(|_| with_activations).map_or(8.0, |w| f64::from(CHOICES[w.width]))
    };
    let all = blocks.iter().map(|b| b.operations).sum::<f64>() * 64.0;
    blocks.iter().map(|b| b.operations * f64::from(CHOICES[b.width]) * read(b)).sum::<f64>() / all
}

fn blocks(net: &QuantGraph, sensitivity: &Sensitivity) -> Vec<Block> {
    let graph = net.graph();
    let noise = |n: &Nearness| 10f64.powf(-n.sqnr / 10.0);
    // 16 bits: the step is 256 times finer than at 8.
    let noises = |kind, unit| {
        let found = sensitivity.costs.iter().find(|c| c.kind == kind && c.unit == Some(unit));
        found.map_or([0.0; 3], |c| [noise(&c.alone_4), noise(&c.alone_8), noise(&c.alone_8) / 65_536.0])
    };
    let of = |unit: usize| {
        net.weight_quantizer(unit)?;
        let core = net.units()[unit].core;
        let block = net.units()[unit].block(graph)?;
        let weights = graph.tensor(block.weight).shape.elements(1) as f64;
        let pixels = match graph.node(core).op {
            Op::Convolution(_) => graph.tensor(graph.node(core).output).shape.elements(1) / block.channels,
            // Each pixel of the input meets all weights.
            Op::ConvTranspose(_) => graph.tensor(*graph.node(core).inputs.first()?).shape.at(1).iter().skip(2).product(),
            _ => 1,
        };
        Some(Block {
            unit,
            node: graph.node(core).name.clone(),
            weights,
            operations: weights * pixels as f64,
            weight_noise: noises(Kind::Weights, unit),
            activation_noise: noises(Kind::Activations, unit),
            width: 0,
        })
    };
    (0..net.units().len()).filter_map(of).collect()
}
