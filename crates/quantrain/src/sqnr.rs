//! Signal-to-quantization-noise ratio: the power of float outputs beside that of their difference from quantized ones.

use std::ops::Range;

use quantrain_engine::{physical_permutation, physical_shape};
use quantrain_graph::{Graph, Parts, Shape, TensorId};

use crate::axis_values::AxisValues;

/// What equal outputs count, in dB: more than f32 can tell apart.
pub const EQUAL: f64 = 200.0;

/// `10·log₁₀(Σt² / Σ(t − y)²)` of an output y and the float network's t, over all values taken up.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Noise {
    signal: f64,
    noise: f64,
}

impl Noise {
    /// Takes up float values and the quantized ones.
    pub fn add(&mut self, float: &[f32], quantized: &[f32]) {
        for (&t, &y) in float.iter().zip(quantized) {
            let (t, y) = (f64::from(t), f64::from(y));
            self.signal += t * t;
            self.noise += (t - y) * (t - y);
        }
    }

    /// Of the values of both.
    fn and(self, other: &Noise) -> Noise {
        Noise { signal: self.signal + other.signal, noise: self.noise + other.noise }
    }

    /// The ratio in dB; `None` where there is no difference.
    pub fn decibels(&self) -> Option<f64> {
        // Not `> 0`: NaN is no equality.
        (self.noise != 0.0).then(|| 10.0 * (self.signal.max(f64::MIN_POSITIVE) / self.noise).log10())
    }
}

/// The ratios of all outputs of a network, and of the parts that an output is joined of.
#[derive(Clone, Debug, Default)]
pub(crate) struct OutputNoise(Vec<JoinedNoise>);

/// The ratio of an output and those of its parts.
#[derive(Clone, Debug, Default)]
pub(crate) struct JoinedNoise {
    /// Name of the output.
    pub output: String,
    /// Of all its values.
    pub whole: Noise,
    /// By the name of the tensor that each part is; empty where it is not joined.
    joined: Vec<(String, Noise)>,
    /// Where it is not joined, those of each index along axes of channels.
    along_axes: Vec<(AxisValues, Vec<Noise>)>,
    shape: Shape,
    /// Which part each region is, in ONNX's order of axes.
    regions: Vec<(usize, Vec<Option<Range<usize>>>)>,
}

impl OutputNoise {
    /// For the outputs of a network.
    pub fn of(graph: &Graph) -> Self {
        let parts = Parts::computed(graph);
        let joined = |&output: &TensorId| {
            let tensor = graph.tensor(output);
            let mut joined = JoinedNoise { output: tensor.name.clone(), shape: tensor.shape.clone(), ..JoinedNoise::default() };
            for part in parts.get(output).iter().filter(|_| parts.get(output).len() > 1) {
                let name = &graph.tensor(part.tensor).name;
                let at = joined.joined.iter().position(|(known, _)| known == name).unwrap_or_else(|| {
                    joined.joined.push((name.clone(), Noise::default()));
                    joined.joined.len() - 1
                });
                joined.regions.push((at, part.region.clone()));
            }
            if joined.joined.is_empty() {
                let last = tensor.shape.rank().saturating_sub(1);
                let axes = [1, last].into_iter().take(if last > 1 { 2 } else { last }).filter_map(|a| AxisValues::of(&tensor.shape, a));
                let axes = axes.filter(|axis| (2..=MOST_CHANNELS).contains(&axis.count()));
                joined.along_axes = axes.map(|axis| (axis, vec![Noise::default(); axis.count()])).collect();
            }
            joined
        };
        OutputNoise(graph.outputs().iter().map(joined).collect())
    }

    /// Takes up a batch of float outputs and of quantized ones, as they lie in memory.
    pub fn add<V: AsRef<[f32]>>(&mut self, batch: usize, float: &[Vec<f32>], quantized: impl Iterator<Item = V>) {
        for ((joined, t), y) in self.0.iter_mut().zip(float).zip(quantized) {
            joined.add(batch, t, y.as_ref());
        }
    }

    /// Of each output.
    pub fn outputs(&self) -> &[JoinedNoise] {
        &self.0
    }

    /// That of all outputs together, a joined one counted by its parts; see [`of_all`].
    pub fn decibels(&self) -> f64 {
        let each: Vec<Option<f64>> = self.0.iter().flat_map(JoinedNoise::each).collect();
        of_all(each.into_iter())
    }
}

impl JoinedNoise {
    fn add(&mut self, batch: usize, float: &[f32], quantized: &[f32]) {
        self.whole.add(float, quantized);
        let extents = physical_shape(&self.shape, batch);
        for (part, region) in &self.regions {
            let whole = |axis: usize| region[axis].clone().unwrap_or(0..self.shape.0[axis].at(batch));
            let axes: Vec<Range<usize>> = physical_permutation(self.shape.rank()).into_iter().map(whole).collect();
            runs(&extents, &axes, 0, &mut |run| self.joined[*part].1.add(&float[run.clone()], &quantized[run]));
        }
        for (axis, noise) in &mut self.along_axes {
            axis.each_of_two(float, quantized, |index, t, y| noise[index].add(t, y));
        }
    }

    /// By the name of the tensor that each part is. An output that nothing joined has parts where its channels are of very different sizes;
    /// empty where they are not.
    pub fn parts(&self) -> Vec<(String, Noise)> {
        if !self.joined.is_empty() {
            return self.joined.clone();
        }
        let of_axis = |(axis, noise): &(AxisValues, Vec<Noise>)| {
            let groups = groups(noise, 0..noise.len());
            let before = ":, ".repeat(axis.axis());
            let part = |g: &Range<usize>| {
                let sum = noise[g.clone()].iter().fold(Noise::default(), |sum, n| sum.and(n));
                (format!("{}[{before}{}:{}]", self.output, g.start, g.end), sum)
            };
            (groups.len() > 1).then(|| groups.iter().map(part).collect())
        };
        self.along_axes.iter().find_map(of_axis).unwrap_or_default()
    }

    /// The ratio, or those of the parts.
    fn each(&self) -> Vec<Option<f64>> {
        match &self.parts()[..] {
            [] => vec![self.whole.decibels()],
            parts => parts.iter().map(|(_, noise)| noise.decibels()).collect(),
        }
    }
}

/// More indices of an axis than this are places, not channels.
const MOST_CHANNELS: usize = 2048;

/// How many times the power of a channel is that of every one on the other side of a border between two kinds: boxes and scores.
const OTHER_KIND: f64 = 64.0;

/// A run of channels, cut where all on one side are far larger than all on the other. Channels of zeros are of any kind.
fn groups(noise: &[Noise], run: Range<usize>) -> Vec<Range<usize>> {
    let powers = |run: Range<usize>| noise[run].iter().map(|n| n.signal).filter(|p| *p > 0.0);
    let least = |run: Range<usize>| powers(run).fold(f64::INFINITY, f64::min);
    let most = |run: Range<usize>| powers(run).fold(0.0, f64::max);
    let contrast = |border: usize| {
        let (left, right) = (run.start..border, border..run.end);
        let [a, b] = [(&left, &right), (&right, &left)].map(|(large, small)| {
            let (least, most) = (least(large.clone()), most(small.clone()));
            if least.is_finite() && most > 0.0 { least / most } else { 0.0 }
        });
        a.max(b)
    };
    let borders = (run.start + 1..run.end).map(|border| (contrast(border), border));
    match borders.max_by(|a, b| a.0.total_cmp(&b.0)) {
        Some((found, border)) if found > OTHER_KIND => [groups(noise, run.start..border), groups(noise, border..run.end)].concat(),
        _ => vec![run],
    }
}

/// Calls `f` with every run of a region's elements in a row-major tensor.
fn runs(extents: &[usize], region: &[Range<usize>], start: usize, f: &mut impl FnMut(Range<usize>)) {
    let (Some((first, inner)), Some((_, extents))) = (region.split_first(), extents.split_first()) else { return f(start..start + 1) };
    let step: usize = extents.iter().product();
    if inner.iter().zip(extents).all(|(range, &extent)| *range == (0..extent)) {
        return f(start + first.start * step..start + first.end * step);
    }
    first.clone().for_each(|i| runs(extents, inner, start + i * step, f));
}

/// The ratio of several outputs, in dB: that of their mean relative noise, `None` standing for equal outputs. Not the mean of decibels, in
/// which outputs that a change does not reach would hide what it does to another.
pub(crate) fn of_all(decibels: impl ExactSizeIterator<Item = Option<f64>>) -> f64 {
    let count = decibels.len().max(1);
    let noise = decibels.flatten().map(|d| 10f64.powf(-d / 10.0)).sum::<f64>() / count as f64;
    let all = -10.0 * noise.log10();
    // Not `min`: it would hide NaN.
    if all > EQUAL { EQUAL } else { all }
}

#[cfg(test)]
mod tests {
    use quantrain_graph::op::Concat;
    use quantrain_graph::{GraphBuilder, Op};

    use super::*;

    /// A network of as many outputs as are given, each `[N, 1, 1, 2]`.
    fn outputs(count: usize) -> Graph {
        let mut b = GraphBuilder::new("g");
        let x = b.input("x", &[1, 1, 2]);
        for i in 0..count {
            let y = b.relu(&format!("y{i}"), x).unwrap();
            b.output(y);
        }
        b.finish().unwrap()
    }

    #[test]
    fn the_noise_of_every_output_counts() {
        let of = |values: &[[f32; 2]]| {
            let mut noise = OutputNoise::of(&outputs(values.len()));
            noise.add(1, &vec![vec![10.0, 0.0]; values.len()], values.iter());
            noise.decibels()
        };
        let (ruined, equal) = ([9.0, 0.0], [10.0, 0.0]);
        assert_eq!(of(&[equal]), EQUAL);
        assert!((of(&[ruined]) - 20.0).abs() < 1e-9);
        assert!((of(&[ruined, ruined]) - 20.0).abs() < 1e-9);
        assert!((of(&[equal, ruined, equal, equal]) - 26.02).abs() < 0.01, "a quarter of the noise");
        assert!(of(&[[f32::NAN, 0.0], equal]).is_nan());
    }

    #[test]
    fn a_joined_output_counts_by_its_parts() {
        let mut b = GraphBuilder::new("g");
        let (boxes, scores) = (b.input("boxes", &[2, 1, 2]), b.input("scores", &[1, 1, 2]));
        let y = b.node("y", Op::Concat(Concat { axis: 1 }), &[boxes, scores], "y").unwrap();
        b.output(y);
        let mut noise = OutputNoise::of(&b.finish().unwrap());
        // In memory channels are innermost: two pixels of two coordinates and a score, two samples.
        let float = [100.0, 200.0, 1.0, 300.0, 400.0, 0.0].repeat(2);
        let lost = [100.0, 200.0, 0.0, 300.0, 400.0, 0.0].repeat(2);
        noise.add(2, &[float], [lost].iter());
        let [joined] = noise.outputs() else { panic!("one output") };
        let parts: Vec<(&str, Option<f64>)> = joined.joined.iter().map(|(name, n)| (name.as_str(), n.decibels())).collect();
        assert_eq!(parts, [("boxes", None), ("scores", Some(0.0))]);
        assert!((joined.whole.decibels().unwrap() - 54.77).abs() < 0.01, "10·log10 of 300001");
        assert!((noise.decibels() - 3.01).abs() < 0.01, "half of the parts is lost");
    }

    #[test]
    fn channels_of_very_different_sizes_count_apart() {
        let mut b = GraphBuilder::new("g");
        let x = b.input("x", &[4, 1, 2]);
        let y = b.relu("y", x).unwrap();
        b.output(y);
        let mut noise = OutputNoise::of(&b.finish().unwrap());
        // In memory channels are innermost: two pixels of two coordinates, a score and one that never is.
        let float = [100.0, 200.0, 1.0, 0.0, 300.0, 400.0, 0.5, 0.0];
        let lost = [110.0, 200.0, 0.0, 0.0, 300.0, 400.0, 0.0, 0.0];
        noise.add(1, &[float.to_vec()], [lost].iter());
        let [output] = noise.outputs() else { panic!("one output") };
        let parts: Vec<(String, f64)> = output.parts().iter().map(|(name, n)| (name.clone(), n.decibels().unwrap())).collect();
        assert_eq!(parts.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), ["y[:, 0:2]", "y[:, 2:4]"]);
        assert!((parts[0].1 - 34.77).abs() < 0.01, "10·log10 of 300000 by 100");
        assert_eq!(parts[1].1, 0.0);
        assert!((noise.decibels() - 3.01).abs() < 0.01, "half of the parts is lost");
    }
}
