//! One network by several formulas.

use quantrain_graph::{GraphBuilder, QuantGraph, Range, Settings, Target};
use quantrain_integer::{Arithmetic, Formula, IntegerProgram, LowerError, Products};

use crate::compare::{Codes, calibrate, prepare};
use crate::generate::draw;
use crate::random::Random;

#[test]
fn the_fixed_point_formula_is_at_most_one_code_from_the_float_one_at_the_first_block() {
    let (mut compared, mut differ) = (0, 0);
    for seed in 0..20 {
        let drawn = draw(seed, 1, 20);
        let x = Random::new(seed).values(2 * drawn.sample, -1.3, 1.7);
        let net = calibrate(prepare(&drawn.graph, &Target::onnxruntime(), &Settings::default()), 2, &[&x], 0.9);
        let codes = [Formula::Multiply, Formula::FixedPoint].map(|formula| {
            let mut codes = Codes::default();
            IntegerProgram::lower_with(&net, formula).unwrap().run(2, &[&x], &mut codes).unwrap();
            codes.0
        });
        let first = net.units()[0].output(net.graph());
        for (a, b) in codes[0][&first].iter().zip(&codes[1][&first]) {
            assert!((a - b).abs() <= 1, "{a} and {b}");
            differ += usize::from(a != b);
            compared += 1;
        }
    }
    println!("{compared} codes, {differ} of which differ");
    assert!(compared > 10_000 && differ < compared / 100);
}

#[test]
fn a_network_of_free_scales_does_not_shift() {
    let drawn = draw(3, 4, 8);
    let x = Random::new(3).values(drawn.sample, -1.0, 1.0);
    let net = calibrate(prepare(&drawn.graph, &Target::onnxruntime(), &Settings::default()), 1, &[&x], 1.0);
    assert!(matches!(IntegerProgram::lower_with(&net, Formula::Shift), Err(LowerError::ShiftRounding { .. })));
}

#[test]
fn what_cannot_run_is_an_error() {
    let drawn = draw(3, 4, 8);
    let net = prepare(&drawn.graph, &Target::onnxruntime(), &Settings::default());
    assert!(matches!(IntegerProgram::lower(&net), Err(LowerError::NotCalibrated { .. })));
    let x = Random::new(3).values(drawn.sample, -1.0, 1.0);
    let program = IntegerProgram::lower(&calibrated(&net, &x)).unwrap();
    assert!(matches!(program.run(1, &[], &mut ()), Err(quantrain_integer::RunError::InputCount { found: 0, expected: 1 })));
    assert!(matches!(program.run(2, &[&x], &mut ()), Err(quantrain_integer::RunError::InputLength { .. })));
}

fn calibrated(net: &quantrain_graph::QuantGraph, x: &[f32]) -> quantrain_graph::QuantGraph {
    calibrate(net.clone(), 1, &[x], 1.0)
}

#[test]
fn pairs_of_products_saturate_where_the_arithmetic_says_so() {
    let mut b = GraphBuilder::new("pair");
    let x = b.input("x", &[2, 1, 1]);
    let y = b.convolution("y", x, 1, [1, 1]).weights(vec![1.0, 1.0]).done().unwrap();
    b.output(y);
    let target = Target::named("onnxruntime-vnni").unwrap();
    let mut net = QuantGraph::prepare(b.finish().unwrap(), target, &Settings::default()).unwrap();
    // Scales 1, 1/127 and 2.
    let ranges = [Range::new(0.0, 255.0), Range::new(0.0, 510.0)];
    net.quantizers_mut().iter_mut().zip(ranges).for_each(|(q, range)| q.range = Some(range));
    let sum = |products, x: [f32; 2]| {
        let arithmetic = Arithmetic { formula: Formula::Multiply, products };
        let program = IntegerProgram::lower_with(&net, arithmetic).unwrap();
        assert_eq!(program.may_saturate(), products == Products::SaturatingPairs);
        program.run(1, &[&x], &mut ()).unwrap()[0][0]
    };
    assert_eq!(sum(Products::Exact, [255.0, 255.0]), 510.0);
    // 32767/127 = 258.008, in steps of 2.
    assert_eq!(sum(Products::SaturatingPairs, [255.0, 255.0]), 258.0);
    assert_eq!(sum(Products::SaturatingPairs, [100.0, 100.0]), 200.0);
    // The target that knows of pairs has codes 64 and 64 there.
    let mut net = QuantGraph::prepare(net.graph().clone(), Target::onnxruntime(), &Settings::default()).unwrap();
    net.quantizers_mut().iter_mut().zip(ranges).for_each(|(q, range)| q.range = Some(range));
    let arithmetic = Arithmetic { formula: Formula::Multiply, products: Products::SaturatingPairs };
    let program = IntegerProgram::lower_with(&net, arithmetic).unwrap();
    assert!(!program.may_saturate());
    assert_eq!(program.run(1, &[&[255.0, 255.0]], &mut ()).unwrap()[0][0], 510.0);
}
