//! 16 bits by 16 bits: sums are far beyond what an f32 holds, and are exact here.

use quantrain_graph::{GraphBuilder, QuantGraph, Range, Settings, Target};
use quantrain_integer::{Accumulator, IntegerProgram};

use crate::compare::{Codes, quantizer};
use crate::random::Random;

/// A code of a sum: rint of the product in f32, or a shift with half up.
fn code(target: &str, sum: i128, factor: f32) -> i64 {
    if target == "tidl-pow2" {
        let shift = -factor.log2() as u32;
        ((sum + (1 << (shift - 1))) >> shift) as i64
    } else {
        (sum as f32 * factor).round_ties_even() as i64
    }
}

#[test]
fn codes_of_16_bits_come_from_exact_sums() {
    let (mut compared, mut beyond) = (0, 0);
    for target in Target::names() {
        let target = Target::named(target).unwrap();
        if target.check_weight_bits(16).is_err() {
            continue;
        }
        let mut random = Random::new(5);
        let (inputs, outputs, pixels) = (40, 12, 30);
        let weights = random.values(inputs * outputs, -1.0, 1.0);
        let bias = random.values(outputs, -1.0, 1.0);
        let mut b = GraphBuilder::new("g");
        let x = b.input("x", &[inputs, 5, 6]);
        let y = b.convolution("y", x, outputs, [1, 1]).weights(weights).bias(bias).done().unwrap();
        b.output(y);
        let settings = Settings { weight_bits: Some(16), activation_bits: Some(16), ..Settings::default() };
        let mut net = QuantGraph::prepare(b.finish().unwrap(), target.clone(), &settings).unwrap();
        net.quantizers_mut()[0].range = Some(Range::new(-1.0, 1.0));
        net.quantizers_mut()[1].range = Some(Range::new(-4.0, 4.0));
        let (q_x, q_y) = (quantizer(&net, x).unwrap(), quantizer(&net, y).unwrap());
        let block = net.quantized_block(0).unwrap().unwrap();
        let values = random.values(pixels * inputs, -1.1, 1.1);
        let program = IntegerProgram::lower(&net).unwrap();
        assert_eq!(program.blocks()[0].accumulator, Accumulator::I64);
        let mut codes = Codes::default();
        program.run(1, &[&values], &mut codes).unwrap();
        for (i, &found) in codes.0[&y].iter().enumerate() {
            let (pixel, o) = (i / outputs, i % outputs);
            let product = |c: usize| {
                let x = i128::from(q_x.code(values[pixel * inputs + c]) - q_x.zero_point());
                x * block.weight.codes[o * inputs + c] as i128
            };
            let sum = i128::from(block.bias[o]) + (0..inputs).map(product).sum::<i128>();
            assert!(sum.abs() <= program.blocks()[0].bound.into());
            beyond += usize::from(sum.abs() > 1 << 24);
            let factor = q_x.scale() * block.weight.scale(o) / q_y.scale();
            let expected = code(target.name(), sum, factor) + i64::from(q_y.zero_point());
            assert_eq!(i64::from(found), expected.clamp(q_y.qmin().into(), q_y.qmax().into()), "{}: code {i} of sum {sum}", target.name());
            compared += 1;
        }
    }
    assert!(compared == 3 * 30 * 12 && beyond > compared / 2, "{compared}, {beyond}");
}
