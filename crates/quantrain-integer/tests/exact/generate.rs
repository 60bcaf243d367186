//! Random networks of every operator.

use quantrain_graph::op::{
    Activation, ArgMax, AveragePool, BatchNormalization, Binary, Concat, ConvTranspose, Coordinates, DepthOrder, DepthToSpace, Epsilon,
    Gather, GroupNormalization, InstanceNormalization, Interpolation, LayerNormalization, MatMul, MaxPool, NearestMode, Pad, PadMode,
    Reduce, Reduction, Resize, ResizeTo, RmsNormalization, Slice, Softmax, SpaceToDepth, Tile, Transpose, Window,
};
use quantrain_graph::{Graph, GraphBuilder, Op, TensorId};

use crate::random::Random;

/// A network on its way.
struct Draft {
    b: GraphBuilder,
    random: Random,
    /// Images so far.
    images: Vec<TensorId>,
    nodes: usize,
    most_channels: usize,
}

/// Elements of a sample of the input: `[channels, height, width]`.
pub struct Drawn {
    pub graph: Graph,
    pub sample: usize,
}

/// A network of about `nodes` operators on images, and a classifier.
pub fn draw(seed: u64, nodes: usize, most_channels: usize) -> Drawn {
    let mut random = Random::new(seed);
    let shape = [1 + random.below(most_channels), 5 + random.below(5), 5 + random.below(5)];
    let mut b = GraphBuilder::new("drawn");
    let x = b.input("x", &shape);
    let mut draft = Draft { b, random, images: vec![x], nodes: 0, most_channels };
    draft.block(x);
    while draft.nodes < nodes {
        draft.grow();
    }
    let classifier = draft.classifier();
    draft.b.output(classifier);
    Drawn { graph: draft.b.finish().unwrap(), sample: shape.iter().product() }
}

impl Draft {
    fn node(&mut self, op: Op, inputs: &[TensorId]) -> Option<TensorId> {
        self.nodes += 1;
        let name = format!("{}{}", op.name(), self.nodes);
        // What does not fit is left out; the network grows on elsewhere.
        self.b.node(&name, op, inputs, &name).ok()
    }

    fn extents(&self, x: TensorId) -> [usize; 3] {
        let (c, h, w) = self.b.graph().tensor(x).shape.image().unwrap();
        [c, h, w]
    }

    fn image(&mut self) -> TensorId {
        // Newer ones more often.
        let from = self.images.len().saturating_sub(4);
        let at =
            if self.random.chance(70) { from + self.random.below(self.images.len() - from) } else { self.random.below(self.images.len()) };
        self.images[at]
    }

    fn window(&mut self, most: usize) -> Window {
        let r = &mut self.random;
        let mut window = Window::new([1 + r.below(most), 1 + r.below(most)]);
        window.strides = [1 + r.below(5) / 4, 1 + r.below(5) / 4];
        window.dilations = [1 + r.below(4) / 3, 1 + r.below(4) / 3];
        for (i, pad) in window.pads.iter_mut().enumerate() {
            let reach = (window.kernel[i % 2] - 1) * window.dilations[i % 2];
            *pad = r.below(reach.min(2) + 1);
        }
        window
    }

    /// A convolution with or without BatchNormalization and activation.
    fn block(&mut self, x: TensorId) -> Option<TensorId> {
        let [channels, ..] = self.extents(x);
        let window = self.window(3);
        let divisors: Vec<usize> = (1..=channels).filter(|d| channels % d == 0).collect();
        let groups = if self.random.chance(50) { 1 } else { self.random.pick(&divisors) };
        let out = if self.random.chance(30) { channels } else { groups * (1 + self.random.below(self.most_channels.div_ceil(groups))) };
        self.nodes += 1;
        let name = format!("conv{}", self.nodes);
        let spread = 1.5 / ((channels / groups * window.kernel[0] * window.kernel[1]) as f32).sqrt();
        let weights = self.random.values(out * channels / groups * window.kernel[0] * window.kernel[1], -spread, spread);
        let bias = self.random.values(out, -0.4, 0.4);
        let has_bias = self.random.chance(60);
        let mut conv = self.b.convolution(&name, x, out, window.kernel).strides(window.strides).padding(window.pads);
        conv = conv.dilations(window.dilations).groups(groups).weights(weights);
        let mut y = if has_bias { conv.bias(bias) } else { conv }.done().ok()?;
        if self.random.chance(50) {
            let name = format!("norm{}", self.nodes);
            let mut inputs = vec![y];
            for (suffix, low, high) in [("scale", 0.5, 1.5), ("shift", -0.3, 0.3), ("mean", -0.2, 0.2), ("variance", 0.5, 2.0)] {
                let values = self.random.values(out, low, high);
                inputs.push(self.b.constant(&format!("{name}.{suffix}"), &[out], values).unwrap());
            }
            y = self.node(Op::BatchNormalization(BatchNormalization { epsilon: 1e-5, momentum: 0.9 }), &inputs)?;
        }
        let clips =
            [None, Some(Activation::Relu), Some(Activation::Clip { min: -0.37, max: 0.61 }), Some(Activation::Clip { min: 0.0, max: 6.0 })];
        if let Some(clip) = self.random.pick(&clips) {
            y = self.node(Op::Activation(clip), &[y])?;
        }
        self.images.push(y);
        Some(y)
    }

    /// A transposed convolution, which makes small images larger.
    fn transposed(&mut self, x: TensorId) -> Option<TensorId> {
        let [channels, ..] = self.extents(x);
        let mut window = self.window(3);
        window.strides = [1 + self.random.below(2), 1 + self.random.below(2)];
        let divisors: Vec<usize> = (1..=channels).filter(|d| channels % d == 0).collect();
        let groups = if self.random.chance(50) { 1 } else { self.random.pick(&divisors) };
        let outputs = 1 + self.random.below(self.most_channels.div_ceil(groups));
        let taps = window.kernel[0] * window.kernel[1];
        let spread = 1.5 / ((channels / groups * taps) as f32).sqrt();
        let name = format!("transposed{}", self.nodes);
        let weights = self.random.values(channels * outputs * taps, -spread, spread);
        let bias = self.random.values(groups * outputs, -0.4, 0.4);
        let shape = [channels, outputs, window.kernel[0], window.kernel[1]];
        let weights = self.b.constant(&format!("{name}.weight"), &shape, weights).unwrap();
        let bias = self.b.constant(&format!("{name}.bias"), &[groups * outputs], bias).unwrap();
        let output_padding = [self.random.below(2), self.random.below(2)];
        self.node(Op::ConvTranspose(ConvTranspose { window, output_padding, groups }), &[x, weights, bias])
    }

    /// A normalisation by each sample's own statistics.
    fn normalised(&mut self, x: TensorId) -> Option<TensorId> {
        let [channels, _, width] = self.extents(x);
        let name = format!("own{}", self.nodes);
        let epsilon = Epsilon::OfVariance(1e-3);
        let (op, count) = match self.random.below(4) {
            0 => (Op::LayerNormalization(LayerNormalization { axis: -1, epsilon }), width),
            1 => (Op::RmsNormalization(RmsNormalization { axis: -1, epsilon }), width),
            2 => (Op::InstanceNormalization(InstanceNormalization { epsilon: 1e-3 }), channels),
            _ => (Op::GroupNormalization(GroupNormalization { groups: 1, epsilon: 1e-3 }), channels),
        };
        let mut inputs = vec![x];
        for (suffix, low, high) in [("scale", 0.5, 1.5), ("shift", -0.3, 0.3)] {
            let values = self.random.values(count, low, high);
            inputs.push(self.b.constant(&format!("{name}.{suffix}"), &[count], values).unwrap());
        }
        inputs.truncate(op.input_count().1);
        self.node(op, &inputs)
    }

    /// One more operator on an image.
    fn grow(&mut self) {
        let x = self.image();
        let [channels, height, width] = self.extents(x);
        let op = match self.random.below(18) {
            0..=3 => {
                self.block(x);
                return;
            }
            16 if height * width < 150 => {
                let y = self.transposed(x);
                return self.images.extend(y);
            }
            17 => {
                let y = self.normalised(x);
                return self.images.extend(y);
            }
            4 | 5 => return self.binary(x),
            6 => {
                let others: Vec<TensorId> = self.images.iter().copied().filter(|&t| self.extents(t)[1..] == [height, width]).collect();
                let mut inputs = vec![x];
                (0..1 + self.random.below(2)).for_each(|_| inputs.push(self.random.pick(&others)));
                let axis = self.random.pick(&[1, -3]);
                let y = self.node(Op::Concat(Concat { axis }), &inputs);
                return self.images.extend(y.filter(|_| channels < 40));
            }
            7 => Op::MaxPool(MaxPool { window: self.window(3) }),
            8 => Op::AveragePool(AveragePool { window: self.window(3), count_include_pad: self.random.chance(50) }),
            9 | 10 => {
                let all = [
                    Activation::Relu,
                    Activation::Clip { min: -0.5, max: 0.8 },
                    Activation::LeakyRelu { alpha: 0.1 },
                    Activation::Sigmoid,
                    Activation::HardSigmoid { alpha: 0.2, beta: 0.5 },
                    Activation::HardSwish,
                    Activation::Tanh,
                    Activation::Elu { alpha: 1.0 },
                    Activation::Selu { alpha: 1.67, gamma: 1.05 },
                    Activation::Celu { alpha: 0.5 },
                    Activation::Gelu { tanh: false },
                    Activation::Gelu { tanh: true },
                    Activation::Silu,
                    Activation::Softplus,
                    Activation::Mish,
                    Activation::Exp,
                    Activation::Neg,
                    Activation::Abs,
                    Activation::Erf,
                    Activation::Pow { exponent: 2.0 },
                    Activation::Round,
                ];
                Op::Activation(self.random.pick(&all))
            }
            11 => {
                let nearest = self.random.chance(50);
                let modes = [NearestMode::RoundPreferFloor, NearestMode::RoundPreferCeil, NearestMode::Floor, NearestMode::Ceil];
                let smooth = [Interpolation::Linear, Interpolation::Cubic { a: -0.75, exclude_outside: false }];
                let interpolation = if nearest { Interpolation::Nearest(self.random.pick(&modes)) } else { self.random.pick(&smooth) };
                let coordinates = self.random.pick(&[
                    Coordinates::HalfPixel,
                    Coordinates::PytorchHalfPixel,
                    Coordinates::Asymmetric,
                    Coordinates::AlignCorners,
                    Coordinates::HalfPixelSymmetric,
                ]);
                let to = ResizeTo::Sizes([3 + self.random.below(8), 3 + self.random.below(8)]);
                Op::Resize(Resize { to, coordinates, interpolation })
            }
            12 => {
                let r = &mut self.random;
                let mode = r.pick(&[PadMode::Constant(0.0), PadMode::Constant(0.7), PadMode::Reflect, PadMode::Edge]);
                // Channels are added by zeros only, and a reflection stays on the image.
                let after = if mode == PadMode::Constant(0.0) { r.below(3) } else { 0 };
                let most = height.min(width).min(3);
                Op::Pad(Pad { pads: vec![0, 0, r.below(most), r.below(most), 0, after, r.below(most), r.below(most)], mode })
            }
            13 => {
                let r = &mut self.random;
                let step = r.pick(&[1, 2, -1]);
                let (start, end) = if step > 0 { (r.below(2) as i64, i64::MAX) } else { (-1, i64::MIN) };
                Op::Slice(Slice { starts: vec![start], ends: vec![end], axes: vec![1 + r.below(3) as i64], steps: vec![step] })
            }
            // Few images have two even extents.
            14 if height % 2 + width % 2 == 0 && channels <= 10 => Op::SpaceToDepth(SpaceToDepth { block: 2 }),
            14 if self.random.chance(40) => {
                let r = &mut self.random;
                let order = r.pick(&[DepthOrder::BlockFirst, DepthOrder::ChannelFirst]);
                let all = [
                    Op::DepthToSpace(DepthToSpace { block: 2, order }),
                    Op::Gather(Gather { axis: 1, indices: (0..3).map(|_| r.below(channels)).collect() }),
                    Op::Tile(Tile { repeats: vec![1, 1, 1 + r.below(2), 1 + r.below(2)] }),
                ];
                r.pick(&all.each_ref()).clone()
            }
            14 => Op::Transpose(Transpose { permutation: self.random.pick(&[[0, 1, 3, 2], [0, 2, 3, 1], [0, 3, 1, 2]]).to_vec() }),
            _ => {
                let r = &mut self.random;
                let axis = 1 + r.below(3) as i64;
                let functions = [Reduction::Mean, Reduction::Sum, Reduction::Max, Reduction::Min, Reduction::L2, Reduction::Product];
                let all = [
                    Op::Identity,
                    Op::Softmax(Softmax::along(axis)),
                    Op::Softmax(Softmax { log: true, joined: r.chance(50), ..Softmax::along(axis) }),
                    Op::Reduce(Reduce { function: r.pick(&functions), axes: vec![axis], keep_dims: true }),
                    Op::Reduce(Reduce { function: r.pick(&functions), axes: vec![axis], keep_dims: true }),
                    Op::ArgMax(ArgMax { axis: 1, keep_dims: true, last: r.chance(50) }),
                ];
                r.pick(&all.each_ref()).clone()
            }
        };
        if let Some(y) = self.node(op, &[x]) {
            let [channels, height, width] = self.extents(y);
            if channels <= 40 && height * width >= 9 {
                self.images.push(y);
            }
        }
    }

    /// Two operands of one shape, or one that repeats, or a constant.
    fn binary(&mut self, x: TensorId) {
        let extents = self.extents(x);
        let ops = [Binary::Add, Binary::Add, Binary::Add, Binary::Mul, Binary::Sub, Binary::Min, Binary::Max, Binary::PRelu];
        let op = Op::Binary(self.random.pick(&ops));
        let y = match self.random.below(4) {
            0 => {
                let values = self.random.values(extents[0], 0.2, 1.1);
                let constant = self.b.constant(&format!("constant{}", self.nodes), &[extents[0], 1, 1], values).unwrap();
                self.node(op, &[x, constant])
            }
            1 => {
                let pooled = self.node(Op::GlobalAveragePool(quantrain_graph::op::GlobalAveragePool), &[x]).unwrap();
                let op = if self.random.chance(20) { Op::Binary(Binary::Mul) } else { op };
                self.node(op, &[x, pooled])
            }
            _ => {
                let others: Vec<TensorId> = self.images.iter().copied().filter(|&t| self.extents(t) == extents).collect();
                let other = self.random.pick(&others);
                let y = self.node(op, &[x, other]);
                if self.random.chance(50) { y.and_then(|y| self.node(Op::Activation(Activation::Relu), &[y])) } else { y }
            }
        };
        self.images.extend(y);
    }

    /// Means of the last image, products with weights, and a product of two activations.
    fn classifier(&mut self) -> TensorId {
        let x = *self.images.last().unwrap();
        let channels = self.extents(x)[0];
        let pooled = match self.random.below(3) {
            0 => self.b.global_average_pool("pool", x).unwrap(),
            1 => self.node(Op::Reduce(Reduce::mean(&[2, 3], true)), &[x]).unwrap(),
            _ => {
                let rows = self.node(Op::Reduce(Reduce::mean(&[2], true)), &[x]).unwrap();
                self.node(Op::Reduce(Reduce::mean(&[-1], true)), &[rows]).unwrap()
            }
        };
        // The narrow networks have codes of 16 bits, whose products f32 does not sum exactly.
        if self.most_channels > 3 && self.random.chance(50) {
            let products = self.node(Op::MatMul(MatMul), &[x, x]);
            products.into_iter().for_each(|y| self.b.output(y));
        }
        let flat = self.b.flatten("flat", pooled).unwrap();
        let (weights, bias) = (self.random.values(6 * channels, -0.8, 0.8), self.random.values(6, -0.3, 0.3));
        let logits = self.b.gemm("logits", flat, 6, weights, bias).unwrap();
        let matrix = self.random.values(6 * 4, -0.8, 0.8);
        let matrix = self.b.constant("matrix", &[6, 4], matrix).unwrap();
        let y = self.node(Op::MatMul(MatMul), &[logits, matrix]).unwrap();
        if self.random.chance(50) { self.node(Op::Softmax(Softmax::along(-1)), &[y]).unwrap() } else { y }
    }
}
