//! Random weights to train from.

use quantrain_data::Random;
use quantrain_graph::{Graph, Op, TensorId};

/// Tells this stream of random numbers from others of the same seed.
const STREAM: u64 = 0x4865;

/// Gives convolutions and products new weights, uniform within `±√(6/fan-in)` (He et al. 2015, equation 10, whose variance 2/fan-in a
/// uniform distribution of this width has), and starts biases, scales and statistics anew. A seed fixes every bit.
pub fn initialize(graph: &mut Graph, seed: u64) {
    let mut fresh: Vec<(TensorId, Vec<f32>)> = Vec::new();
    for (n, node) in graph.nodes().iter().enumerate() {
        let length = |i: usize| node.inputs.get(i).and_then(|&t| graph.constant(t)).map_or(0, <[f32]>::len);
        let mut set = |i: usize, values: Vec<f32>| {
            if let Some(&tensor) = node.inputs.get(i).filter(|_| !values.is_empty()) {
                fresh.push((tensor, values));
            }
        };
        match &node.op {
            Op::Convolution(_) | Op::Gemm(_) | Op::MatMul(_) => {
                let shape = &graph.tensor(node.output).shape.0;
                let axis = if matches!(node.op, Op::MatMul(_)) { shape.len() - 1 } else { 1 };
                let channels = shape.get(axis).and_then(|d| d.fixed()).unwrap_or(1).max(1);
                let fan_in = (length(1) / channels).max(1);
                let limit = (6.0 / fan_in as f32).sqrt();
                let mut random = Random::keyed(&[STREAM, seed, n as u64]);
                set(1, (0..length(1)).map(|_| random.between(-limit, limit)).collect());
                set(2, vec![0.0; length(2)]);
            }
            Op::BatchNormalization(_) => {
                for (i, value) in [1.0, 0.0, 0.0, 1.0].into_iter().enumerate() {
                    set(i + 1, vec![value; length(i + 1)]);
                }
            }
            _ => {}
        }
    }
    for (tensor, values) in fresh {
        graph.set_constant(tensor, values).expect("new values are as many as the old");
    }
}

#[cfg(test)]
mod tests {
    use quantrain_graph::GraphBuilder;

    use super::*;

    fn network(seed: u64) -> Graph {
        let mut b = GraphBuilder::new("g");
        let x = b.input("x", &[3, 8, 8]);
        let y = b.convolution("conv", x, 64, [3, 3]).bias(vec![5.0; 64]).done().unwrap();
        let y = b.batch_norm("bn", y).unwrap();
        b.output(y);
        let mut graph = b.finish().unwrap();
        let mean = graph.nodes()[1].inputs[3];
        graph.set_constant(mean, vec![7.0; 64]).unwrap();
        initialize(&mut graph, seed);
        graph
    }

    fn values(graph: &Graph, node: usize, input: usize) -> &[f32] {
        graph.constant(graph.nodes()[node].inputs[input]).unwrap()
    }

    #[test]
    fn weights_have_the_variance_of_the_paper_and_the_rest_starts_anew() {
        let graph = network(3);
        let weights = values(&graph, 0, 1);
        let variance = weights.iter().map(|w| w * w).sum::<f32>() / weights.len() as f32;
        assert!((variance * 27.0 / 2.0 - 1.0).abs() < 0.05, "{variance}");
        assert!(weights.iter().all(|w| w.abs() <= (6.0f32 / 27.0).sqrt()));
        assert_eq!((values(&graph, 0, 2), values(&graph, 1, 3), values(&graph, 1, 4)), (&[0.0; 64][..], &[0.0; 64][..], &[1.0; 64][..]));
    }

    #[test]
    fn a_seed_fixes_every_bit() {
        assert_eq!(network(3), network(3));
        assert_ne!(values(&network(3), 0, 1), values(&network(4), 0, 1));
    }
}
