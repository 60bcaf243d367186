//! A network on its way.

use quantrain_graph::op::Window;
use quantrain_graph::{Graph, GraphBuilder, Op, QuantGraph, Range, Settings, Target, TensorId};

/// Numbers that fall into all parts of an interval, others for each seed.
pub fn spread(seed: usize, count: usize, low: f32, high: f32) -> Vec<f32> {
    const GOLDEN_RATIO: f64 = 0.618_033_988_749_895;
    let at = |i: usize| ((seed * 7919 + i) as f64 * GOLDEN_RATIO + (i * i % 8191) as f64 * 0.381).fract() as f32;
    (0..count).map(|i| low + (high - low) * at(i)).collect()
}

pub struct Draft {
    pub b: GraphBuilder,
    nodes: usize,
}

impl Draft {
    pub fn new() -> Self {
        Draft { b: GraphBuilder::new("draft"), nodes: 0 }
    }

    pub fn node(&mut self, op: Op, inputs: &[TensorId]) -> TensorId {
        self.nodes += 1;
        let name = format!("{}{}", op.name(), self.nodes);
        self.b.node(&name, op, inputs, &name).unwrap()
    }

    pub fn convolution(&mut self, x: TensorId, out: usize, groups: usize, window: Window) -> TensorId {
        self.nodes += 1;
        let channels = self.b.graph().tensor(x).shape.image().unwrap().0 / groups;
        let count = channels * window.kernel[0] * window.kernel[1];
        let limit = 1.8 / (count as f32).sqrt();
        let (weights, bias) = (spread(self.nodes, out * count, -limit, limit), spread(self.nodes + 50, out, -0.4, 0.4));
        let name = format!("conv{}", self.nodes);
        let conv = self.b.convolution(&name, x, out, window.kernel).strides(window.strides).padding(window.pads);
        conv.dilations(window.dilations).groups(groups).weights(weights).bias(bias).done().unwrap()
    }

    pub fn gemm(&mut self, x: TensorId, inputs: usize, out: usize) -> TensorId {
        self.nodes += 1;
        let limit = 1.8 / (inputs as f32).sqrt();
        let (weights, bias) = (spread(self.nodes, out * inputs, -limit, limit), spread(self.nodes + 50, out, -0.3, 0.3));
        self.b.gemm(&format!("gemm{}", self.nodes), x, out, weights, bias).unwrap()
    }

    pub fn finish(mut self, outputs: &[TensorId]) -> Graph {
        outputs.iter().for_each(|&t| self.b.output(t));
        self.b.finish().unwrap()
    }
}

/// A window of a kernel, padded by hand.
pub fn window(kernel: [usize; 2], strides: [usize; 2], pads: [usize; 4]) -> Window {
    Window { strides, pads, ..Window::new(kernel) }
}

/// A network with quantizers of a target, ranges of several sizes, some from 0 on.
pub fn quantized(graph: &Graph, target: &str, settings: &Settings) -> QuantGraph {
    let mut net = QuantGraph::prepare(graph.clone(), Target::named(target).unwrap(), settings).unwrap();
    for (i, quantizer) in net.quantizers_mut().iter_mut().enumerate() {
        let limit = [1.0, 1.7, 0.6][i % 3];
        quantizer.range = Some(Range::new(if i % 4 == 3 { 0.0 } else { -limit * 0.9 }, limit));
    }
    net
}
