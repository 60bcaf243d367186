//! Random networks, whose operators the engine simulates.

use std::collections::BTreeMap;

use quantrain_graph::{LayerSettings, Settings, Target};

use crate::compare::{Counts, calibrate, compare, prepare};
use crate::generate::draw;
use crate::random::Random;

const BATCH: usize = 3;

/// Widths of weights and activations: what is compared of one network.
fn check(
    seed: u64,
    target: &str,
    (weight_bits, activation_bits): (u8, u8),
    most_channels: usize,
    kinds: &mut BTreeMap<&str, usize>,
) -> Counts {
    let drawn = draw(seed, 12, most_channels);
    let mut random = Random::new(seed ^ 0xABCD);
    let target = Target::named(target).unwrap();
    let mut settings = Settings {
        weight_bits: Some(weight_bits),
        activation_bits: Some(activation_bits),
        quantize_output: Some(random.chance(70)),
        ..Settings::default()
    };
    if random.chance(30) {
        // Some layers in float, between integers.
        let pattern = random.pick(&["conv1*", "*2", "Add*", "logits"]).to_owned();
        let matches = |n: &quantrain_graph::Node| {
            let stem = pattern.trim_matches('*');
            if pattern.starts_with('*') {
                n.name.ends_with(stem)
            } else {
                n.name.starts_with(stem) && (pattern.ends_with('*') || n.name == stem)
            }
        };
        if drawn.graph.nodes().iter().any(matches) {
            settings.layers.push(LayerSettings { pattern, float: true, ..LayerSettings::default() });
        }
    }
    let net = prepare(&drawn.graph, &target, &settings);
    let x = random.values(BATCH * drawn.sample, -1.3, 1.7);
    let factor = random.uniform(0.6, 1.05);
    let net = calibrate(net, BATCH, &[&x], factor);
    let name = format!("seed {seed}, {}, {weight_bits}/{activation_bits} bits", target.name());
    for node in drawn.graph.nodes() {
        *kinds.entry(node.op.name()).or_default() += 1;
    }
    compare(&name, &net, BATCH, &[&x])
}

fn check_all(seeds: std::ops::Range<u64>, widths: &[(u8, u8)], most_channels: usize) -> (Counts, BTreeMap<&'static str, usize>) {
    let (mut counts, mut kinds) = (Counts::default(), BTreeMap::new());
    for (t, target) in Target::names().enumerate() {
        let of_target = Target::named(target).unwrap();
        let has = |(weights, activations)| of_target.check_weight_bits(weights).and(of_target.check_activation_bits(activations)).is_ok();
        for (w, &widths) in widths.iter().enumerate().filter(|(_, widths)| has(**widths)) {
            for seed in seeds.clone() {
                // No two of them run the same graphs.
                counts.add(check(seed + 1000 * (w + 100 * t) as u64, target, widths, most_channels, &mut kinds));
            }
        }
    }
    println!("{counts:?}\n{kinds:?}");
    (counts, kinds)
}

#[test]
fn random_networks_of_8_and_4_bits_give_the_codes_of_the_simulation() {
    let (counts, kinds) = check_all(0..40, &[(8, 8), (7, 8), (4, 8), (4, 4), (8, 4)], 20);
    assert!(counts.codes > 1_000_000 && counts.reals > 0, "{counts:?}");
    assert_eq!((counts.differ, counts.reals_differ), (0, 0));
    let all = [
        "Conv",
        "ConvTranspose",
        "LayerNormalization",
        "RMSNormalization",
        "InstanceNormalization",
        "GroupNormalization",
        "Gemm",
        "MatMul",
        "BatchNormalization",
        "Relu",
        "Clip",
        "LeakyRelu",
        "Sigmoid",
        "HardSigmoid",
        "HardSwish",
        "Tanh",
        "Elu",
        "Selu",
        "Celu",
        "Gelu",
        "Silu",
        "Softplus",
        "Mish",
        "Exp",
        "Neg",
        "Abs",
        "Erf",
        "Pow",
        "Round",
        "Min",
        "Max",
        "PRelu",
        "Add",
        "Sub",
        "Mul",
        "Concat",
        "MaxPool",
        "AveragePool",
        "GlobalAveragePool",
        "ReduceMean",
        "ReduceSum",
        "ReduceMax",
        "ReduceMin",
        "ReduceL2",
        "ReduceProd",
        "ArgMax",
        "LogSoftmax",
        "Softmax",
        "Slice",
        "Pad",
        "Resize",
        "Transpose",
        "DepthToSpace",
        "SpaceToDepth",
        "Gather",
        "Tile",
        "Flatten",
        "Identity",
    ];
    let missing: Vec<_> = all.iter().filter(|name| !kinds.contains_key(*name)).collect();
    assert!(missing.is_empty(), "never drawn: {missing:?}");
}

#[test]
fn random_networks_of_16_bits_give_the_codes_of_the_simulation() {
    let (counts, _) = check_all(0..40, &[(16, 16), (8, 16), (16, 8), (4, 16), (16, 2)], 20);
    assert!(counts.codes > 1_000_000, "{counts:?}");
    assert_eq!((counts.differ, counts.reals_differ), (0, 0));
}
