//! Trains a network around a function of one's own, without any ONNX file.
//!
//! `LogGrid` rounds activations to powers of two, as hardware that multiplies by shifting does. It is a staircase: its true derivative is
//! 0, and nothing before it would learn. `straight_through` gives the exact staircase as value and the identity as derivative.
//!
//! ```text
//! cargo run --release -p quantrain-engine --example straight_through
//! ```

use std::error::Error;

use quantrain_engine::{BatchNormMode, GradientPath, Mode, Network, Plan, Purpose, Training, Workspace};
use quantrain_graph::op::Function;
use quantrain_graph::{Graph, GraphBuilder, QuantGraph};

const BATCH: usize = 32;
const SIDE: usize = 8;
const CLASSES: usize = 4;
const STEPS: usize = 150;
const RATE: f32 = 0.05;
const MOMENTUM: f32 = 0.9;

/// Each value becomes the nearest power of two on a logarithmic scale, sign kept; what is below 2⁻⁶ becomes 0.
struct LogGrid;

impl Function for LogGrid {
    fn name(&self) -> &str {
        "log grid"
    }

    fn apply(&self, _shape: &[usize], x: &[f32], y: &mut [f32]) {
        for (x, y) in x.iter().zip(y) {
            let exponent = x.abs().log2().round();
            *y = if exponent < -6.0 { 0.0 } else { x.signum() * exponent.exp2() };
        }
    }
}

fn network(random: &mut Random) -> Result<Graph, Box<dyn Error>> {
    let mut b = GraphBuilder::new("stripes");
    let x = b.input("image", &[1, SIDE, SIDE]);
    let y = b.convolution("first", x, 8, [3, 3]).padding([1; 4]).weights(random.values(8 * 9, 0.5)).done()?;
    let y = b.batch_norm("first_norm", y)?;
    let y = b.relu("first_relu", y)?;
    let y = b.straight_through("log_grid", y, LogGrid)?;
    let y = b.convolution("second", y, 16, [3, 3]).strides([2, 2]).padding([1; 4]).weights(random.values(16 * 72, 0.2)).done()?;
    let y = b.batch_norm("second_norm", y)?;
    let y = b.relu("second_relu", y)?;
    let y = b.straight_through("log_grid_2", y, LogGrid)?;
    let y = b.global_average_pool("pool", y)?;
    let y = b.flatten("flat", y)?;
    let y = b.gemm("classes", y, CLASSES, random.values(CLASSES * 16, 0.3), vec![0.0; CLASSES])?;
    b.output(y);
    Ok(b.finish()?)
}

/// Stripes in four directions, at a random place and under noise, and which direction it is.
fn images(random: &mut Random) -> (Vec<f32>, Vec<usize>) {
    let (mut pixels, mut labels) = (Vec::new(), Vec::new());
    for _ in 0..BATCH {
        let class = (random.uniform() * CLASSES as f32) as usize;
        let phase = random.uniform() * std::f32::consts::TAU;
        for (row, column) in (0..SIDE * SIDE).map(|i| ((i / SIDE) as f32, (i % SIDE) as f32)) {
            let along = [row, column, row + column, row - column][class];
            pixels.push((2.0 * along + phase).sin() + random.uniform() - 0.5);
        }
        labels.push(class);
    }
    (pixels, labels)
}

/// Mean cross entropy, and its gradient.
fn cross_entropy(scores: &[f32], labels: &[usize]) -> (f32, Vec<f32>) {
    let (mut loss, mut gradient) = (0.0, Vec::new());
    for (scores, &label) in scores.chunks(CLASSES).zip(labels) {
        let sum: f32 = scores.iter().map(|s| s.exp()).sum();
        loss += (sum.ln() - scores[label]) / BATCH as f32;
        let of_class = |(c, s): (usize, &f32)| (s.exp() / sum - f32::from(u8::from(c == label))) / BATCH as f32;
        gradient.extend(scores.iter().enumerate().map(of_class));
    }
    (loss, gradient)
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut random = Random(1);
    let net = QuantGraph::float(network(&mut random)?);
    let training = Training { gradient_path: GradientPath::Float, batch_norm: BatchNormMode::Running };
    let plan = Plan::new(&net, BATCH, Purpose::Training(training.gradient_path))?;
    println!("{plan}");
    let (mut workspace, mut net) = (Workspace::new(&plan), Network::new(net));
    let mode = Mode { simulate: false, training: Some(training) };

    let mut velocities: Vec<Vec<f32>> = net.parameters().iter().map(|p| vec![0.0; p.value.len()]).collect();
    let mut losses = Vec::new();
    for step in 0..STEPS {
        let (pixels, labels) = images(&mut random);
        net.forward(&plan, &mut workspace, mode, &[&pixels], &mut ())?;
        let (loss, gradient) = cross_entropy(&net.output(&plan, &workspace, 0), &labels);
        net.backward(&plan, &mut workspace, mode, &[&gradient]);
        for (parameter, velocity) in net.parameters().into_iter().zip(&mut velocities) {
            for ((value, gradient), velocity) in parameter.value.iter_mut().zip(parameter.gradient).zip(velocity) {
                *velocity = MOMENTUM * *velocity + gradient;
                *value -= RATE * *velocity;
            }
        }
        losses.push(loss);
        if step % 25 == 0 || step + 1 == STEPS {
            println!("step {step:>3}  loss {loss:.4}");
        }
    }
    let mean = |losses: &[f32]| losses.iter().sum::<f32>() / losses.len() as f32;
    let (first, last) = (mean(&losses[..10]), mean(&losses[STEPS - 10..]));
    assert!(last < 0.25 * first, "the loss fell from {first} to {last} only");
    println!("mean loss of ten steps: {first:.4} at first, {last:.4} at last");
    Ok(())
}

/// Numbers from a fixed seed (Knuth's MMIX generator).
struct Random(u64);

impl Random {
    /// Between 0 and 1.
    fn uniform(&mut self) -> f32 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 40) as f32 / (1 << 24) as f32
    }

    /// `n` values between −`limit` and `limit`.
    fn values(&mut self, n: usize, limit: f32) -> Vec<f32> {
        (0..n).map(|_| limit * (2.0 * self.uniform() - 1.0)).collect()
    }
}

#[test]
fn a_network_around_a_function_of_ones_own_learns() {
    main().unwrap();
}
