use super::*;
use crate::fold::{Folded, WeightCodes, quantize_block};
use crate::{BiasLimit, Granularity, GraphBuilder, QuantGraph, Rounding, Settings, WeightQuantizer};

/// Numbers in [−1, 1), many of them small, from a congruential generator.
fn random(seed: u64, count: usize) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f32 / (1u64 << 23) as f32 - 1.0
    };
    (0..count).map(|_| next() * next().abs()).collect()
}

fn bytes(low: i32, high: i32) -> Quantizer {
    Quantizer::new(0.02, low.max(0), low, high, Rounding::HalfToEven).unwrap()
}

/// Of a convolution whose weights are `[channels, inputs, taps]`: the largest and least that two products added in 16 bits reach, with the inputs
/// that do most, written as the device goes: tap by tap, input by input, two at a time.
fn reach_of_pairs(codes: &WeightCodes, inputs: usize, taps: usize, input: (i32, i32)) -> (i32, i32) {
    let (mut greatest, mut least) = (0, 0);
    for channel in codes.codes.chunks(inputs * taps) {
        let mut products = Vec::new();
        for tap in 0..taps {
            for i in 0..inputs {
                let w = channel[i * taps + tap] as i32;
                products.push((w * input.0).max(w * input.1));
                products.push((w * input.0).min(w * input.1));
            }
        }
        for pair in products.chunks(4) {
            greatest = greatest.max(pair.iter().step_by(2).sum());
            least = least.min(pair.iter().skip(1).step_by(2).sum());
        }
    }
    (greatest, least)
}

fn quantized(scheme: Scheme, weight: Vec<f32>, channels: usize, taps: usize, input: &Quantizer, limits: Option<&[f32]>) -> WeightCodes {
    let weights = WeightQuantizer { scheme, bias_limit: BiasLimit::Off, pairs: Some(Pairs { taps }) };
    quantize_block("block", &weights, &Folded { weight, bias: vec![0.1; channels] }, limits, input).unwrap().0
}

const SHAPES: [(usize, usize); 6] = [(1, 9), (2, 1), (3, 9), (7, 1), (8, 25), (33, 4)];
const ROUNDINGS: [Rounding; 3] = [Rounding::HalfToEven, Rounding::HalfUp, Rounding::HalfAwayFromZero];

#[test]
fn no_pair_of_products_leaves_16_bits() {
    for (seed, (inputs, taps)) in (0..120).flat_map(|seed| SHAPES.map(|shape| (seed, shape))) {
        let scheme = Scheme {
            narrow: seed % 2 == 0,
            scale: if seed % 5 == 0 { ScaleKind::PowerOfTwo } else { ScaleKind::Free },
            granularity: if seed % 3 == 0 { Granularity::PerTensor } else { Granularity::PerChannel },
            rounding: ROUNDINGS[seed as usize % 3],
            ..Target::onnxruntime().weights()
        };
        let mut weight = random(seed, 6 * inputs * taps);
        if seed % 4 == 0 {
            // Ties: sixteenths, so that quotients end in a half.
            weight.iter_mut().for_each(|w| *w = (*w * 16.0).round() / 16.0);
        }
        let limits: Option<Vec<f32>> = (seed % 7 == 0).then(|| vec![0.3; scheme.grids(6)]);
        // Codes of an unsigned byte, and of a signed one raised by 128.
        for (low, high, raised) in [(0, 255, (0, 255)), (-128, 127, (0, 255)), (0, 200, (0, 200)), (-8, 7, (120, 135)), (0, 15, (0, 15))] {
            let codes = quantized(scheme, weight.clone(), 6, taps, &bytes(low, high), limits.as_deref());
            let (greatest, least) = reach_of_pairs(&codes, inputs, taps, raised);
            assert!(greatest <= 32767 && least >= -32768, "seed {seed}, {inputs}x{taps}, {low}..{high}: {least}..{greatest}");
        }
    }
}

#[test]
fn a_scale_is_as_small_as_its_channel_allows() {
    let scheme = Target::onnxruntime().weights();
    let of = |weight: Vec<f32>| quantized(scheme, weight, 1, 1, &bytes(0, 255), None).codes;
    assert_eq!(of(vec![1.0, -0.5, 0.25, 0.0]), [127.0, -64.0, 32.0, 0.0], "neighbours of two signs");
    assert_eq!(of(vec![1.0, 0.0, 0.0, 0.5]), [127.0, 0.0, 0.0, 64.0], "not neighbours");
    assert_eq!(of(vec![1.0, 1.0, 0.5, 0.5]), [64.0, 64.0, 32.0, 32.0]);
    assert_eq!(of(vec![-0.25, -0.75, 0.25, 0.5]), [-32.0, -96.0, 32.0, 64.0]);
    // Inputs of 4 bits: 15·(127 + 127) is far from 2^15.
    assert_eq!(quantized(scheme, vec![1.0, 1.0], 1, 1, &bytes(0, 15), None).codes, [127.0, 127.0]);
    for seed in 0..50 {
        let codes = quantized(scheme, random(seed, 12), 1, 3, &bytes(0, 255), None);
        let (greatest, least) = reach_of_pairs(&codes, 4, 3, (0, 255));
        let largest = codes.codes.iter().fold(0.0f32, |l, c| l.max(c.abs()));
        assert!(largest == 127.0 || greatest.max(-least) >= 127 * 255, "{:?}", codes.codes);
    }
}

#[test]
fn few_bits_are_as_if_sums_were_exact() {
    for (bits, seed) in (2..8).flat_map(|bits| (0..20).map(move |seed| (bits, seed))) {
        let scheme = Target::onnxruntime().weights().with_bits(bits);
        let with = quantized(scheme, random(seed, 24), 2, 4, &bytes(0, 255), None);
        let weights = WeightQuantizer { scheme, bias_limit: BiasLimit::Off, pairs: None };
        let folded = Folded { weight: random(seed, 24), bias: vec![0.1; 2] };
        assert_eq!(with, quantize_block("block", &weights, &folded, None, &bytes(0, 255)).unwrap().0);
    }
}

#[test]
fn weights_that_are_not_finite_are_refused() {
    let weights = WeightQuantizer { scheme: Target::onnxruntime().weights(), bias_limit: BiasLimit::Off, pairs: Some(Pairs { taps: 1 }) };
    for weight in [vec![f32::NAN, 1.0], vec![1.0, f32::NAN], vec![f32::INFINITY, 1.0]] {
        let folded = Folded { weight, bias: vec![0.0] };
        assert!(quantize_block("block", &weights, &folded, None, &bytes(0, 255)).is_err());
    }
}

#[test]
fn the_target_s_kernels_say_which_blocks_add_in_pairs() {
    let mut b = GraphBuilder::new("g");
    let x = b.input("x", &[4, 8, 8]);
    let x = b.convolution("dense", x, 4, [3, 3]).done().unwrap();
    let x = b.convolution("depthwise", x, 4, [3, 3]).groups(4).done().unwrap();
    let x = b.convolution("multiplied", x, 8, [1, 1]).groups(4).done().unwrap();
    let x = b.convolution("grouped", x, 8, [1, 1]).groups(2).done().unwrap();
    let x = b.global_average_pool("pool", x).unwrap();
    let x = b.flatten("flat", x).unwrap();
    let x = b.gemm("gemm", x, 3, vec![0.5; 24], vec![0.0; 3]).unwrap();
    b.output(x);
    let graph = b.finish().unwrap();
    let taps = |target| {
        let net = QuantGraph::prepare(graph.clone(), Target::named(target).unwrap(), &Settings::default()).unwrap();
        let of = |u: usize| net.weight_quantizer(u).map(|w| (net.graph().node(net.units()[u].core).name.clone(), w.pairs.map(|p| p.taps)));
        (0..net.units().len()).filter_map(of).collect::<Vec<_>>()
    };
    let expected = [("dense", Some(9)), ("depthwise", None), ("multiplied", Some(1)), ("grouped", Some(1)), ("gemm", Some(1))];
    assert_eq!(taps("onnxruntime"), expected.map(|(name, taps)| (name.to_owned(), taps)));
    assert!(["onnxruntime-vnni", "tidl-pow2"].iter().all(|target| taps(target).iter().all(|(_, taps)| taps.is_none())));
}
