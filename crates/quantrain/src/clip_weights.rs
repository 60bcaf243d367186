//! Weights clipped once, before ranges are found: their range is that of the weights as they are, so a few large ones cost all others their
//! resolution.

use std::fmt;

use quantrain_graph::{QuantGraph, Range};
use serde::{Deserialize, Serialize};

use crate::RunError;
use crate::observe::{MeanSquaredError, Observer};
use crate::recipe::ClipWeights;

/// A layer whose weights were clipped.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ClippedWeights {
    /// Name of the layer's node.
    pub node: String,
    /// How many of its weights.
    pub weights: usize,
    /// The largest magnitude before, BatchNormalization folded in.
    pub largest: f32,
    /// The largest one after.
    pub limit: f32,
}

impl fmt::Display for ClippedWeights {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ClippedWeights { node, weights, largest, limit } = self;
        let weights = if *weights == 1 { "1 weight".to_owned() } else { format!("{weights} weights") };
        write!(f, "{weights} of `{node}` clipped: the largest was {largest}, now {limit}")
    }
}

/// Clips the weights of every quantized layer by a rule, on the folded values that are quantized.
///
/// # Errors
/// Weights that are not finite.
pub fn clip_weights(net: &mut QuantGraph, rule: ClipWeights) -> Result<Vec<ClippedWeights>, RunError> {
    let clip = |net: &mut QuantGraph, u: usize| match rule {
        ClipWeights::Off => Ok(None),
        ClipWeights::Devkit => clip_block(net, u, whole, |_, weights| Ok(devkit_range(weights))),
        ClipWeights::Outliers => clip_block(net, u, whole, |_, weights| Ok(outlier_range(weights))),
        ClipWeights::SquaredError => clip_to_least_error(net, u),
    };
    (0..net.units().len()).filter_map(|u| clip(net, u).transpose()).collect()
}

/// Clips the weights of a block to the range whose quantizer changes them least; `None` where none lies beyond it.
pub(crate) fn clip_to_least_error(net: &mut QuantGraph, u: usize) -> Result<Option<ClippedWeights>, RunError> {
    clip_block(
        net,
        u,
        |net, u, channels| net.weight_quantizer(u).map_or(1, |q| q.scheme.grids(channels)),
        |net, of_grid| {
            let Some(quantizer) = net.weight_quantizer(u) else { return Ok(None) };
            let mut observer = MeanSquaredError::new(quantizer.scheme);
            observer.observe(of_grid, 1);
            let tensor = || format!("weights of {}", net.graph().node(net.units()[u].core).name);
            observer.range().map(Some).map_err(|source| RunError::Range { tensor: tensor(), source })
        },
    )
}

/// All weights of a layer have one range.
fn whole(_: &QuantGraph, _: usize, _: usize) -> usize {
    1
}

/// A millionth nearer to zero.
const INSIDE: f32 = 1.0 - 1.0 / (1 << 20) as f32;

/// Clips the weights of a quantized block to the range of each of its `grids`.
fn clip_block(
    net: &mut QuantGraph,
    u: usize,
    grids: impl Fn(&QuantGraph, usize, usize) -> usize,
    range_of: impl Fn(&QuantGraph, &[f32]) -> Result<Option<Range>, RunError>,
) -> Result<Option<ClippedWeights>, RunError> {
    let Some((_, folded)) = net.weight_quantizer(u).zip(net.folded(u)) else { return Ok(None) };
    let channels = folded.bias.len();
    let (row, each) = (folded.weight.len() / channels, folded.weight.len() / grids(net, u, channels));
    let factors = net.batch_norm_of(u).map_or_else(|| vec![1.0; channels], |norm| norm.factors());
    let mut masters = net.weights_of(u).unwrap_or_default();
    let node = net.graph().node(net.units()[u].core).name.clone();
    let mut clipped = ClippedWeights { node, weights: 0, largest: 0.0, limit: 0.0 };
    for (g, of_grid) in folded.weight.chunks_exact(each).enumerate() {
        let Some(Range { min, max }) = range_of(net, of_grid)? else { continue };
        for (i, &w) in of_grid.iter().enumerate() {
            let at = g * each + i;
            let factor = factors[at / row];
            if !(min..=max).contains(&w) && factor != 0.0 {
                let inside = w.clamp(min, max);
                // A rounding must not carry the range past a power of two.
                masters[at] = inside * INSIDE / factor;
                clipped.weights += 1;
                if w.abs() > clipped.largest {
                    (clipped.largest, clipped.limit) = (w.abs(), inside.abs());
                }
            }
        }
    }
    if clipped.weights == 0 {
        return Ok(None);
    }
    net.set_weights_of(u, masters);
    Ok(Some(clipped))
}

/// The devkit's `constrain_weight` (edgeai-torchvision, `clamp_weight_ratio`): where the largest magnitude is above 15 and above 16 times the
/// median, 16 medians rounded up to a power of two, less 8 of its 128 steps. `None` where nothing is to be clipped; a layer of which half is zero
/// has no median to go by.
fn devkit_range(weights: &[f32]) -> Option<Range> {
    const LARGEST: f32 = 15.0;
    let mut magnitudes: Vec<f32> = weights.iter().map(|w| w.abs()).collect();
    if magnitudes.is_empty() {
        return None;
    }
    let middle = (magnitudes.len() - 1) / 2;
    // Of an even number of values the lower one in the middle, as torch.median.
    let median = *magnitudes.select_nth_unstable_by(middle, f32::total_cmp).1;
    let largest = magnitudes.iter().copied().fold(0.0, f32::max);
    let outlies = largest > LARGEST && largest > MEDIANS * median && median > 0.0 && largest.is_finite();
    let limit = limit_above(MEDIANS * median);
    outlies.then_some(Range::new(-limit, limit))
}

/// Where the devkit's rule finds an outlier: the range of all weights but those few that are 8 times as large as the largest of the others,
/// and at least the devkit's. `None` where no weight stands apart so far: EfficientNet-Lite0 has layers of which the rule clips a twentieth, and is
/// lost then.
fn outlier_range(weights: &[f32]) -> Option<Range> {
    const APART: f32 = 8.0;
    /// One weight, and one more of so many.
    const FEW: usize = 256;
    devkit_range(weights)?;
    let mut magnitudes: Vec<f32> = weights.iter().map(|w| w.abs()).collect();
    magnitudes.sort_unstable_by(|a, b| b.total_cmp(a));
    let few = &magnitudes[..(2 + magnitudes.len() / FEW).min(magnitudes.len())];
    let largest = few.windows(2).find(|pair| pair[0] >= APART * pair[1]).map(|pair| pair[1])?;
    let median = magnitudes[magnitudes.len() / 2];
    let limit = limit_above((MEDIANS * median).max(largest / (1.0 - MARGIN)));
    Some(Range::new(-limit, limit))
}

/// 16 medians are where outliers begin.
const MEDIANS: f32 = 16.0;
/// 8 of 128 steps.
const MARGIN: f32 = 8.0 / 128.0;

/// The power of two above, less the margin, so that training does not grow past it at once.
fn limit_above(magnitude: f32) -> f32 {
    f64::from(magnitude).log2().ceil().exp2() as f32 * (1.0 - MARGIN)
}

#[cfg(test)]
mod tests {
    use quantrain_graph::{ChannelScales, GraphBuilder, Settings, Target};

    use super::*;

    /// A convolution of two channels whose BatchNormalization has the factors 2 and 0.5.
    fn net(weights: Vec<f32>, per_channel: bool) -> QuantGraph {
        let mut b = GraphBuilder::new("g");
        let x = b.input("x", &[weights.len() / 2, 2, 2]);
        let y = b.convolution("conv", x, 2, [1, 1]).weights(weights).done().unwrap();
        let y = b.batch_norm("bn", y).unwrap();
        b.output(y);
        let mut graph = b.finish().unwrap();
        let norm = graph.nodes().iter().find(|n| n.name == "bn").unwrap().inputs.clone();
        graph.set_constant(norm[1], vec![2.0, 0.5]).unwrap();
        graph.set_constant(norm[4], vec![1.0 - 1e-5; 2]).unwrap();
        let scales = if per_channel { ChannelScales::All } else { ChannelScales::None };
        let settings = Settings { per_channel: Some(scales), ..Settings::default() };
        QuantGraph::prepare(graph, Target::tidl_pow2(), &settings).unwrap()
    }

    #[test]
    fn an_outlier_goes_to_the_power_of_two_above_16_medians_less_a_margin() {
        // Folded: 40, 0.02, 0.04 and 0.01, 0.005, −0.03; the lower of the middle two magnitudes is 0.02, 16 times 0.32, so 0.5 less 8 of 128 steps.
        let mut net = net(vec![20.0, 0.01, 0.02, 0.02, 0.01, -0.06], false);
        let clipped = clip_weights(&mut net, ClipWeights::Devkit).unwrap();
        let limit = 0.5 * (1.0 - 8.0 / 128.0);
        let near = |a: f32, b: f32| (a - b).abs() < 1e-5 * b.abs();
        assert_eq!((clipped.len(), clipped[0].node.as_str(), clipped[0].weights, clipped[0].limit), (1, "conv", 1, limit));
        assert!(near(clipped[0].largest, 40.0));
        let folded = net.folded(0).unwrap().weight;
        assert!(near(folded[0], limit) && folded[0] <= limit);
        assert!(folded[1..].iter().zip([0.02, 0.04, 0.01, 0.005, -0.03]).all(|(f, w)| near(*f, w)));
        assert_eq!(clip_weights(&mut net, ClipWeights::Devkit).unwrap(), [], "once");
    }

    #[test]
    fn only_what_stands_apart_is_an_outlier() {
        let clipped =
            |weights: Vec<f32>, rule| clip_weights(&mut net(weights, false), rule).unwrap().iter().map(|c| c.weights).sum::<usize>();
        // Folded: 40 beside 0.06 at most; 40 beside 4.5, which the devkit clips too; 16 beside 2.4.
        for (weights, outliers) in [
            (vec![20.0, 0.01, 0.02, 0.02, 0.01, -0.12], 1),
            (vec![20.0, 0.1, 0.2, 0.2, 9.0, -0.4], 1),
            (vec![8.0, 0.1, 1.2, 0.2, 0.1, -0.4], 0),
        ] {
            assert_eq!(clipped(weights.clone(), ClipWeights::Outliers), outliers, "{weights:?}");
            assert!(clipped(weights, ClipWeights::Devkit) >= 1);
        }
    }

    #[test]
    fn the_devkit_clips_nothing_below_15_or_16_medians() {
        for weights in [vec![7.4, 0.01, 0.02, 0.02, 0.01, -0.06], vec![20.0, 3.0, 2.0, 9.0, 8.0, 7.0], vec![20.0, 0.0, 0.0, 0.0, 0.0, 0.0]]
        {
            let mut net = net(weights.clone(), false);
            assert_eq!(clip_weights(&mut net, ClipWeights::Devkit).unwrap(), []);
            assert_eq!(net.weights_of(0).unwrap(), weights);
        }
    }

    #[test]
    fn squared_error_clips_each_range_by_itself_and_off_none() {
        // Folded, the first channel lies in [−1, 1) but for 1.02, for which a limit of 2 is not worth its step; the second in [−0.25, 0.25).
        let weights: Vec<f32> = (0..2000).map(|i| if i == 7 { 0.51 } else { ((i * 37) % 100) as f32 / 100.0 - 0.5 }).collect();
        let clipped = |per_channel, rule| {
            let mut net = net(weights.clone(), per_channel);
            let layers = clip_weights(&mut net, rule).unwrap();
            (layers, net.folded(0).unwrap().weight)
        };
        let (layers, folded) = clipped(true, ClipWeights::SquaredError);
        assert_eq!((layers.len(), layers[0].weights, (100.0 * layers[0].largest).round()), (1, 1, 102.0));
        assert!(folded[7] <= 1.0 && folded[1000..].iter().all(|w| w.abs() <= 0.25), "the second channel keeps its own");
        assert_eq!(clipped(false, ClipWeights::Off).0, []);
    }
}
