//! The types of blocks, their weights, and the network around one.

use quantrain_graph::op::{Activation as Function, BatchNormalization, ConvTranspose, Convolution, Extent, Gemm, MatMul, Reshape, Window};
use quantrain_graph::{Dim, Graph, GraphBuilder, Op, TensorId, WeightLayout};

use crate::random::Random;

pub const EPSILON: f32 = 1e-3;
pub const MOMENTUM: f32 = 0.75;

/// A type of block.
pub struct Case {
    pub name: &'static str,
    pub op: Op,
    /// Shape of the input, the batch first.
    pub input: Vec<usize>,
    pub output: Vec<usize>,
    /// `[O, I/groups, kh, kw]`; products have one pixel.
    pub weights: [usize; 4],
    /// Every product of the convolution: places in y, x and w, all in ONNX's order.
    pub products: Vec<[usize; 3]>,
}

pub fn cases() -> Vec<Case> {
    let three = Window { pads: [1; 4], ..Window::new([3, 3]) };
    let odd = Window { strides: [2, 1], dilations: [1, 2], pads: [0, 1, 2, 3], ..Window::new([3, 2]) };
    let doubling = Window { strides: [2, 2], ..Window::new([2, 2]) };
    let smooth = Window { strides: [2, 2], pads: [1; 4], ..Window::new([4, 4]) };
    let conv = |name, window, groups, input: [usize; 4], out| Case::convolution(name, Convolution { window, groups }, input, out);
    vec![
        conv("dense 3x3", three, 1, [3, 3, 4, 5], 5),
        conv("dense 1x1", Window::new([1, 1]), 1, [3, 5, 3, 4], 4),
        conv(
            "dense 3x3, stride 2, padded at the end",
            Window { strides: [2, 2], pads: [0, 0, 1, 1], ..Window::new([3, 3]) },
            1,
            [4, 2, 6, 6],
            3,
        ),
        conv("dense 3x2, strides and dilations and pads that differ", odd, 1, [3, 2, 6, 5], 3),
        conv("grouped 3x3", three, 2, [3, 4, 4, 4], 6),
        conv("depthwise 3x3", three, 5, [3, 5, 4, 4], 5),
        conv("depthwise 3x3, stride 2", Window { strides: [2, 2], ..three }, 4, [4, 4, 5, 5], 4),
        conv("depthwise 3x2, strides and dilations and pads that differ", odd, 3, [3, 3, 6, 5], 3),
        conv("depthwise with two outputs a channel", three, 3, [3, 3, 4, 4], 6),
        Case::transposed(
            "transposed 2x2, stride 2",
            ConvTranspose { window: doubling, output_padding: [0; 2], groups: 1 },
            [3, 5, 3, 2],
            4,
        ),
        Case::transposed(
            "transposed 3x2 in groups, all attributes",
            ConvTranspose { window: odd, output_padding: [1, 0], groups: 2 },
            [3, 4, 4, 5],
            6,
        ),
        Case::transposed("transposed depthwise 4x4", ConvTranspose { window: smooth, output_padding: [0; 2], groups: 3 }, [3, 3, 3, 3], 3),
        Case::product("Gemm, weights [O, I]", Op::Gemm(gemm(true)), &[12, 6], 5),
        Case::product("Gemm, weights [I, O]", Op::Gemm(gemm(false)), &[12, 6], 5),
        Case::product("MatMul of rank 2", Op::MatMul(MatMul), &[12, 6], 5),
        Case::product("MatMul of rank 3", Op::MatMul(MatMul), &[3, 4, 6], 5),
    ]
}

fn gemm(transpose_b: bool) -> Gemm {
    Gemm { alpha: 1.0, beta: 1.0, transpose_a: false, transpose_b }
}

impl Case {
    fn convolution(name: &'static str, op: Convolution, input: [usize; 4], out: usize) -> Self {
        let extents = op.window.output_extents(input[2], input[3]).unwrap();
        Case::windows(name, Op::Convolution(op), op.window, op.groups, input, [out, extents[0], extents[1]])
    }

    fn transposed(name: &'static str, op: ConvTranspose, input: [usize; 4], out: usize) -> Self {
        let extents = op.output_extents(input[2], input[3]).unwrap();
        Case::windows(name, Op::ConvTranspose(op), op.window, op.groups, input, [out, extents[0], extents[1]])
    }

    fn windows(name: &'static str, op: Op, window: Window, groups: usize, input: [usize; 4], [out, oh, ow]: [usize; 3]) -> Self {
        let [batch, channels, height, width] = input;
        let (inputs, outputs) = (channels / groups, out / groups);
        let transposed = matches!(op, Op::ConvTranspose(_));
        let [kh, kw] = window.kernel;
        let mut products = Vec::new();
        let place = |o: usize, k: usize, axis: usize, extent: usize| {
            let (stride, reach, pad) = (window.strides[axis], k * window.dilations[axis], window.pads[axis]);
            // An input of a transposed convolution is added to stride·at + reach − pad.
            let at =
                if transposed { (0..extent).find(|at| at * stride + reach == o + pad)? } else { (o * stride + reach).checked_sub(pad)? };
            (at < extent).then_some(at)
        };
        for n in 0..batch {
            for o in 0..out {
                for (y, x) in (0..oh * ow).map(|p| (p / ow, p % ow)) {
                    for i in 0..inputs {
                        for (a, b) in (0..kh * kw).map(|k| (k / kw, k % kw)) {
                            let (Some(row), Some(column)) = (place(y, a, 0, height), place(x, b, 1, width)) else { continue };
                            let channel = o / outputs * inputs + i;
                            let to = ((n * out + o) * oh + y) * ow + x;
                            let from = ((n * channels + channel) * height + row) * width + column;
                            products.push([to, from, ((o * inputs + i) * kh + a) * kw + b]);
                        }
                    }
                }
            }
        }
        let (output, weights) = (vec![batch, out, oh, ow], [out, inputs, kh, kw]);
        Case { name, op, input: input.to_vec(), output, weights, products }
    }

    fn product(name: &'static str, op: Op, input: &[usize], out: usize) -> Self {
        let (&inputs, outer) = input.split_last().unwrap();
        let rows: usize = outer.iter().product();
        let all =
            (0..rows).flat_map(|r| (0..out).flat_map(move |o| (0..inputs).map(move |i| [r * out + o, r * inputs + i, o * inputs + i])));
        Case { name, op, input: input.to_vec(), output: [outer, &[out]].concat(), weights: [out, inputs, 1, 1], products: all.collect() }
    }

    pub fn folds_batch_norm(&self) -> bool {
        !matches!(self.op, Op::MatMul(_))
    }

    pub fn has_bias(&self) -> bool {
        !matches!(self.op, Op::MatMul(_))
    }

    pub fn channels(&self) -> usize {
        self.weights[0]
    }

    pub fn outputs(&self) -> usize {
        self.output.iter().product()
    }

    /// The channel of a place in the output.
    pub fn channel_of(&self, y: usize) -> usize {
        let pixels: usize = if self.output.len() == 4 { self.output[2..].iter().product() } else { 1 };
        y / pixels % self.channels()
    }

    /// `[O, kh, kw, I]` as `[O, I, kh, kw]`.
    pub fn to_onnx_order(&self, weights: &[f32]) -> Vec<f32> {
        let [o, i, h, w] = self.weights;
        (0..o * i * h * w)
            .map(|at| {
                let (x, y, channel, out) = (at % w, at / w % h, at / (w * h) % i, at / (w * h * i));
                weights[((out * h + y) * w + x) * i + channel]
            })
            .collect()
    }

    /// `x = identity · source`, then the block.
    pub fn graph(&self, values: &Values, activation: Activation) -> Graph {
        let mut b = GraphBuilder::new(self.name);
        let batch = self.input[0];
        let count = values.x.len() / batch;
        let select = b.input("select", &[batch]);
        let source = b.constant("source.weight", &[count, batch], super::transpose(&values.x, count)).unwrap();
        let flat = b.node("source", Op::Gemm(gemm(true)), &[select, source], "source").unwrap();
        let rest = self.input[1..].iter().map(|&n| Extent::Is(Dim::Fixed(n)));
        let reshape = Reshape { extents: std::iter::once(Extent::Is(Dim::Batch(1))).chain(rest).collect() };
        let x = b.node("source.x", Op::Reshape(reshape), &[flat], "x").unwrap();
        self.finish(b, x, values, activation)
    }

    /// The block alone.
    pub fn graph_of_input(&self, values: &Values, activation: Activation) -> Graph {
        let mut b = GraphBuilder::new(self.name);
        let x = b.input("x", &self.input[1..]);
        self.finish(b, x, values, activation)
    }

    fn finish(&self, mut b: GraphBuilder, x: TensorId, values: &Values, activation: Activation) -> Graph {
        let [o, i, h, w] = self.weights;
        let weights = match self.op {
            Op::Convolution(_) => b.constant("w", &[o, i, h, w], values.w.clone()),
            Op::ConvTranspose(op) => {
                let layout = WeightLayout::InputsFirst { groups: op.groups, pixels: h * w };
                b.constant("w", &[i * op.groups, o / op.groups, h, w], layout.stored(&values.w, o))
            }
            Op::Gemm(Gemm { transpose_b: true, .. }) => b.constant("w", &[o, i], values.w.clone()),
            _ => b.constant("w", &[i, o], super::transpose(&values.w, i)),
        };
        let mut inputs = vec![x, weights.unwrap()];
        inputs.extend(values.b.as_ref().map(|bias| b.constant("b", &[o], bias.clone()).unwrap()));
        let mut y = b.node("core", self.op.clone(), &inputs, "core").unwrap();
        if let Some(norm) = &values.norm {
            let parts = [("gamma", &norm.gamma), ("beta", &norm.beta), ("mean", &norm.mean), ("variance", &norm.variance)];
            let mut inputs = vec![y];
            inputs.extend(parts.map(|(name, v)| b.constant(name, &[o], v.clone()).unwrap()));
            let op = Op::BatchNormalization(BatchNormalization { epsilon: EPSILON, momentum: MOMENTUM });
            y = b.node("norm", op, &inputs, "norm").unwrap();
        }
        if let Some(function) = activation.function() {
            y = b.node("activation", Op::Activation(function), &[y], "activation").unwrap();
        }
        b.output(y);
        b.finish().unwrap()
    }
}

/// The fused activation.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Activation {
    None,
    Relu,
    Clip,
}

impl Activation {
    pub const ALL: [Activation; 3] = [Activation::None, Activation::Relu, Activation::Clip];

    pub fn limits(self) -> (f64, f64) {
        match self {
            Activation::None => (f64::NEG_INFINITY, f64::INFINITY),
            Activation::Relu => (0.0, f64::INFINITY),
            Activation::Clip => (0.0, 6.0),
        }
    }

    fn function(self) -> Option<Function> {
        match self {
            Activation::None => None,
            Activation::Relu => Some(Function::Relu),
            Activation::Clip => Some(Function::Clip { min: 0.0, max: 6.0 }),
        }
    }
}

/// What training changes, in ONNX's order.
#[derive(Clone, Debug)]
pub struct Values {
    pub x: Vec<f32>,
    pub w: Vec<f32>,
    pub b: Option<Vec<f32>>,
    pub norm: Option<Norm>,
}

#[derive(Clone, Debug)]
pub struct Norm {
    pub gamma: Vec<f32>,
    pub beta: Vec<f32>,
    pub mean: Vec<f32>,
    pub variance: Vec<f32>,
}

impl Values {
    /// Outputs of a size that reaches beyond 6. With `clips_a_weight` the largest folded weight lies just below a power of two, where
    /// signed codes end half a step too early for it.
    pub fn draw(case: &Case, random: &mut Random, bias: bool, norm: bool, clips_a_weight: bool) -> Self {
        let channels = case.channels();
        let inputs: usize = case.weights[1..].iter().product();
        let size = 3.0 / (inputs as f32).sqrt();
        let mut values = Values {
            x: random.values(case.input.iter().product(), -0.98, 0.98),
            w: random.values(channels * inputs, -2.0 * size, 2.0 * size),
            b: bias.then(|| random.values(channels, -1.0, 1.0)),
            norm: norm.then(|| Norm {
                gamma: random.signed(channels, 0.8, 2.0),
                beta: random.values(channels, -1.0, 3.0),
                mean: random.values(channels, -1.0, 1.0),
                variance: random.values(channels, 0.5, 2.0),
            }),
        };
        if clips_a_weight {
            let factor = |c: usize| values.norm.as_ref().map_or(1.0, |n| n.gamma[c] / (n.variance[c] + EPSILON).sqrt());
            let folded = |i: usize| values.w[i] * factor(i / inputs);
            let largest = (0..values.w.len()).max_by(|&a, &b| folded(a).abs().total_cmp(&folded(b).abs())).unwrap();
            let (top, positive) = (folded(largest).abs(), folded(largest) > 0.0);
            if !positive {
                values.w[largest] = -values.w[largest];
            }
            let wanted = 0.999 * 2f32.powf(top.log2().ceil());
            values.w.iter_mut().for_each(|w| *w *= wanted / top);
        }
        values
    }
}
