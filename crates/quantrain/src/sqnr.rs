//! Signal-to-quantization-noise ratio: the power of float outputs beside that of their difference from quantized ones.

use std::ops::Range;

use quantrain_engine::physical_shape;
use quantrain_graph::{Graph, Parts, Shape, TensorId};

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
    pub parts: Vec<(String, Noise)>,
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
                let at = joined.parts.iter().position(|(known, _)| known == name).unwrap_or_else(|| {
                    joined.parts.push((name.clone(), Noise::default()));
                    joined.parts.len() - 1
                });
                joined.regions.push((at, part.region.clone()));
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
            let axes: Vec<Range<usize>> = match self.shape.rank() {
                4 => [0, 2, 3, 1].map(whole).to_vec(),
                rank => (0..rank).map(whole).collect(),
            };
            runs(&extents, &axes, 0, &mut |run| self.parts[*part].1.add(&float[run.clone()], &quantized[run]));
        }
    }

    /// The ratio, or those of the parts.
    fn each(&self) -> Vec<Option<f64>> {
        match &self.parts[..] {
            [] => vec![self.whole.decibels()],
            parts => parts.iter().map(|(_, noise)| noise.decibels()).collect(),
        }
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
        let parts: Vec<(&str, Option<f64>)> = joined.parts.iter().map(|(name, n)| (name.as_str(), n.decibels())).collect();
        assert_eq!(parts, [("boxes", None), ("scores", Some(0.0))]);
        assert!((joined.whole.decibels().unwrap() - 54.77).abs() < 0.01, "10·log10 of 300001");
        assert!((noise.decibels() - 3.01).abs() < 0.01, "half of the parts is lost");
    }
}
