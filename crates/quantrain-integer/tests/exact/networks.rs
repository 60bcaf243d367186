//! The networks of ../shared/models.

use std::path::{Path, PathBuf};

use quantrain_graph::{Settings, Target};
use quantrain_integer::{Arithmetic, Formula, IntegerProgram, Products};

use crate::compare::{Counts, calibrate, compare, prepare};
use crate::random::Random;

fn model(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/models").join(name).with_extension("onnx")
}

/// Images that have edges and areas, as photographs do: a few steps in each channel, and noise.
fn images(random: &mut Random, batch: usize, [c, h, w]: [usize; 3], (low, high): (f32, f32)) -> Vec<f32> {
    let mut images = Vec::with_capacity(batch * c * h * w);
    for _ in 0..batch {
        let levels = random.values(4 * c, low, high);
        let (row, column) = (random.below(h), random.below(w));
        for p in 0..h * w {
            let quarter = 2 * usize::from(p / w > row) + usize::from(p % w > column);
            images.extend((0..c).map(|k| levels[4 * k + quarter]).map(|v| v + random.uniform(-0.1, 0.1) * (high - low)));
        }
    }
    images
}

/// Compares a network on every target; returns whether it is there.
fn check(name: &str, limits: (f32, f32), widths: &[(u8, u8)], batch: usize) {
    let path = model(name);
    if !path.exists() {
        println!("skipped: {name}: no {}", path.display());
        return;
    }
    let graph = quantrain_onnx::read(&path).unwrap();
    let (c, h, w) = graph.tensor(graph.inputs()[0]).shape.image().unwrap();
    let x = images(&mut Random::new(1), batch, [c, h, w], limits);
    let mut counts = Counts::default();
    for target in Target::names() {
        for &(weight_bits, activation_bits) in widths {
            let of_target = Target::named(target).unwrap();
            if of_target.check_weight_bits(weight_bits).and(of_target.check_activation_bits(activation_bits)).is_err() {
                continue;
            }
            // Wide codes have slow kernels: one image.
            let (batch, x) = if weight_bits.max(activation_bits) > 8 { (1, &x[..c * h * w]) } else { (batch, &x[..]) };
            let settings = Settings { weight_bits: Some(weight_bits), activation_bits: Some(activation_bits), ..Settings::default() };
            let net = prepare(&graph, &of_target, &settings);
            let net = calibrate(net, batch, &[x], 0.9);
            if target == "onnxruntime" {
                let paired = Arithmetic { formula: Formula::Multiply, products: Products::SaturatingPairs };
                let program = IntegerProgram::lower_with(&net, paired).unwrap();
                assert!(!program.may_saturate(), "{name}, {weight_bits}/{activation_bits} bits: a pair of products leaves 16 bits");
            }
            counts.add(compare(&format!("{name}, {target}, {weight_bits}/{activation_bits} bits"), &net, batch, &[x]));
        }
    }
    println!("{name}: {counts:?}");
    assert!(counts.codes > 0);
    assert_eq!((counts.differ, counts.reals_differ), (0, 0));
}

const WIDTHS: [(u8, u8); 5] = [(8, 8), (7, 8), (4, 4), (16, 16), (8, 16)];

#[test]
fn resnet20_gives_the_codes_of_the_simulation() {
    check("resnet20_cifar10", (-2.0, 2.0), &WIDTHS, 8);
}

#[test]
fn resnet8_gives_the_codes_of_the_simulation() {
    check("resnet8_cifar10_tiny", (0.0, 255.0), &WIDTHS, 8);
}

#[test]
fn mobilenet_v1_gives_the_codes_of_the_simulation() {
    check("mobilenet_v1_025_vww", (0.0, 1.0), &WIDTHS, 4);
}

#[test]
fn fashion_mobilenet_gives_the_codes_of_the_simulation() {
    check("fashion_mobilenet", (-0.8, 2.0), &WIDTHS, 8);
}

#[test]
fn efficientnet_lite0_gives_the_codes_of_the_simulation() {
    check("efficientnet_lite0", (-1.0, 1.0), &WIDTHS[..2], 2);
}

#[test]
fn a_segmentation_network_gives_the_codes_of_the_simulation() {
    check("camvid_mobile_unet", (-2.0, 2.0), &WIDTHS[..2], 1);
}
