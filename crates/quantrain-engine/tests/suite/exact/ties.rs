//! Scales at which many results stand next to a tie: every other order of the same formula, equal on paper, gives other codes there.

use quantrain_graph::op::{AveragePool, Binary, Window};
use quantrain_graph::{GraphBuilder, Op, QuantGraph, Quantizer, Range, Settings, Target};

use super::{codes, quantizer, simulate, to_code};
use crate::random::Random;

/// Scales of inputs and outputs, in steps that f32 does not hold.
const SCALES: [(f32, f32); 6] = [(0.3, 0.1), (0.1, 0.3), (0.7, 0.1), (0.1, 0.7), (0.6, 0.4), (0.01, 0.03)];

/// The range that gives unsigned codes of 8 bits this scale, 0 in the middle.
fn range(scale: f32) -> Range {
    Range::new(-127.0 * scale, 128.0 * scale)
}

/// The codes of a network whose quantizers have these scales, in the order of its tensors; the last is the output.
fn run(builder: GraphBuilder, batch: usize, scales: &[f32], inputs: &[&[f32]]) -> (Vec<Quantizer>, Vec<i64>) {
    let settings = Settings { weight_bits: Some(8), ..Settings::default() };
    let mut net = QuantGraph::prepare(builder.finish().unwrap(), Target::onnxruntime(), &settings).unwrap();
    assert_eq!(net.quantizers().len(), scales.len());
    net.quantizers_mut().iter_mut().zip(scales).for_each(|(q, &s)| q.range = Some(range(s)));
    let names: Vec<String> = net.quantizers().iter().map(|q| q.tensor.clone()).collect();
    let quantizers: Vec<Quantizer> = names.iter().map(|n| quantizer(&net, n)).collect();
    let found = codes(&quantizers[scales.len() - 1], &simulate(net, batch, inputs)[0]);
    (quantizers, found)
}

/// Whole numbers, and the values they are codes of.
fn draw(random: &mut Random, n: usize, limit: usize, scale: f32) -> (Vec<i64>, Vec<f32>) {
    let whole: Vec<i64> = (0..n).map(|_| random.below(2 * limit + 1) as i64 - limit as i64).collect();
    let values = whole.iter().map(|&q| q as f32 * scale).collect();
    (whole, values)
}

#[test]
fn a_global_average_multiplies_once() {
    let (mut otherwise, mut compared) = (0, 0);
    for (i, (s_x, s_y)) in SCALES.into_iter().enumerate() {
        let mut b = GraphBuilder::new("g");
        let x = b.input("x", &[2000, 4, 5]);
        let y = b.global_average_pool("y", x).unwrap();
        b.output(y);
        let (whole, _) = draw(&mut Random::new(i as u64), 40_000, 20, s_x);
        // In memory, channels lie last.
        let memory: Vec<f32> = (0..40_000).map(|p| whole[p % 2000 * 20 + p / 2000] as f32 * s_x).collect();
        let (q, found) = run(b, 1, &[s_x, s_y], &[&memory]);
        let (s_x, s_y) = (q[0].scale(), q[1].scale());
        for (sums, &found) in whole.chunks(20).zip(&found) {
            let sum = sums.iter().sum::<i64>() as f32;
            let expected = to_code(&q[1], sum * (s_x / (s_y * 20.0)));
            assert_eq!(found, expected, "{s_x} to {s_y}: sum {sum}");
            otherwise += usize::from(expected != to_code(&q[1], sum * (s_x / s_y / 20.0)));
            compared += 1;
        }
    }
    println!("{compared} codes, {otherwise} of which another order would change");
    assert!(otherwise > 0);
}

/// ONNX Runtime's QLinearAdd: two fused multiply-adds on codes, zero points in one constant, rounded once with the result's on top.
#[test]
fn an_addition_is_two_fused_multiply_adds_of_codes() {
    let (mut otherwise, mut compared) = (0, 0);
    for (i, (s_x, s_y)) in SCALES.into_iter().enumerate() {
        let mut b = GraphBuilder::new("g");
        let (one, two) = (b.input("one", &[5000]), b.input("two", &[5000]));
        let y = b.add("y", one, two).unwrap();
        b.output(y);
        let mut random = Random::new(i as u64);
        let ((p, p_values), (r, r_values)) = (draw(&mut random, 5000, 100, s_x), draw(&mut random, 5000, 100, 0.2));
        let (q, found) = run(b, 1, &[s_x, 0.2, s_y], &[&p_values, &r_values]);
        let (k_p, k_r) = (q[0].scale() / q[2].scale(), q[1].scale() / q[2].scale());
        let [z_p, z_r, z] = [0, 1, 2].map(|i| q[i].zero_point() as f32);
        let constant = z - k_p.mul_add(z_p, k_r * z_r);
        for ((&p, &r), &found) in p.iter().zip(&r).zip(&found) {
            let (p, r) = (p as f32, r as f32);
            let code = |t: f32| t.round_ties_even().clamp(0.0, 255.0) as i64;
            let expected = code((p + z_p).mul_add(k_p, (r + z_r).mul_add(k_r, constant)));
            assert_eq!(found, expected, "{p} by {k_p} + {r} by {k_r}");
            otherwise += usize::from(expected != to_code(&q[2], p * k_p + r * k_r));
            compared += 1;
        }
    }
    println!("{compared} codes, {otherwise} of which centred codes would change");
    assert!(otherwise > 0);
}

/// QLinearMul and QLinearAveragePool: rounded with the zero point on top, which is odd here.
#[test]
fn products_and_averages_of_codes_are_rounded_with_the_zero_point_on_top() {
    let mut otherwise = 0;
    for (i, (s_x, s_y)) in SCALES.into_iter().enumerate() {
        let mut random = Random::new(i as u64);
        let ((p, p_values), (r, r_values)) = (draw(&mut random, 5000, 20, s_x), draw(&mut random, 5000, 4, 0.5));
        let mut b = GraphBuilder::new("g");
        let (one, two) = (b.input("one", &[5000]), b.input("two", &[5000]));
        let y = b.node("y", Op::Binary(Binary::Mul), &[one, two], "y").unwrap();
        b.output(y);
        let (q, found) = run(b, 1, &[s_x, 0.5, s_y], &[&p_values, &r_values]);
        let (factor, zero) = (q[0].scale() * q[1].scale() / q[2].scale(), q[2].zero_point() as f32);
        assert_eq!(zero, 127.0);
        for ((&p, &r), &found) in p.iter().zip(&r).zip(&found) {
            let t = (p * r) as f32 * factor;
            assert_eq!(found, (t + zero).round_ties_even().clamp(0.0, 255.0) as i64, "{p}·{r} by {factor}");
            otherwise += usize::from(found != to_code(&q[2], t));
        }

        let (x, x_values) = draw(&mut random, 1000 * 4, 20, s_x);
        let mut b = GraphBuilder::new("g");
        let input = b.input("x", &[1, 2, 2000]);
        let window = Window { strides: [2, 2], ..Window::new([2, 2]) };
        let y = b.node("y", Op::AveragePool(AveragePool { window, count_include_pad: false }), &[input], "y").unwrap();
        b.output(y);
        let (q, found) = run(b, 1, &[s_x, s_y], &[&x_values]);
        for (i, &found) in found.iter().enumerate() {
            let real = |place: usize| x[place] as f32 * q[0].scale();
            let sum = real(2 * i) + real(2 * i + 1) + real(2000 + 2 * i) + real(2000 + 2 * i + 1);
            assert_eq!(found, (sum / 4.0 / q[1].scale() + 127.0).round_ties_even().clamp(0.0, 255.0) as i64, "window {i}");
        }
    }
    assert!(otherwise > 0);
}

#[test]
fn a_block_adds_its_bias_as_an_integer_and_multiplies_once() {
    let (mut other_bias, mut other_product, mut compared) = (0, 0, 0);
    for (i, (s_x, s_y)) in SCALES.into_iter().enumerate() {
        let mut random = Random::new(i as u64);
        // Weights in steps of 0.1: the largest of each channel is 127 steps. It has no partner, whose product would widen the step.
        let (mut w, _) = draw(&mut random, 40 * 3, 10, 0.1);
        w.chunks_mut(3).for_each(|row| row[2] = 127);
        let (bias, _) = draw(&mut random, 40, 3000, 1.0);
        let (x, x_values) = draw(&mut random, 300 * 3, 5, s_x);
        let mut b = GraphBuilder::new("g");
        let input = b.input("x", &[3]);
        let weights = w.iter().map(|&q| q as f32 * 0.1).collect();
        let y = b.gemm("y", input, 40, weights, bias.iter().map(|&q| q as f32 * 0.1 * s_x).collect()).unwrap();
        b.output(y);
        let (q, found) = run(b, 300, &[s_x, 30.0 * s_y], &[&x_values]);
        let (s_x, s_y, s_w) = (q[0].scale(), q[1].scale(), 12.7f32 / 127.0);
        for (at, &found) in found.iter().enumerate() {
            let (row, c) = (at / 40, at % 40);
            let acc = (0..3).map(|i| x[3 * row + i] * w[3 * c + i]).sum::<i64>();
            let m = s_x * s_w / s_y;
            let expected = to_code(&q[1], (acc + bias[c]) as f32 * m);
            assert_eq!(found, expected, "{s_x} to {s_y}: channel {c}");
            other_bias += usize::from(expected != to_code(&q[1], acc as f32 * m + bias[c] as f32 * m));
            other_product += usize::from(expected != to_code(&q[1], (acc + bias[c]) as f32 * (s_x * s_w) / s_y));
            compared += 1;
        }
    }
    println!("{compared} codes, {other_bias} and {other_product} of which another order would change");
    assert!(other_bias > 0 && other_product > 0);
}
