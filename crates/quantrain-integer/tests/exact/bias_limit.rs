//! The 16-bit biases of first-generation TIDL hardware: the same in simulation, integers, the exported file, and the executable specification.

use quantrain_graph::{BiasLimit, GraphBuilder, QuantGraph, Settings, Target};
use quantrain_integer::IntegerProgram;
use quantrain_integer::tidl::limit_bias;

use crate::compare::{calibrate, compare, simulate};
use crate::random::Random;

/// A block whose biases are large beside its weights, then one more.
fn net(limit: Option<BiasLimit>, x: &[f32]) -> QuantGraph {
    let mut random = Random::new(8);
    let mut b = GraphBuilder::new("g");
    let input = b.input("x", &[3, 4, 4]);
    let (weights, biases) = (random.values(6 * 3, -0.05, 0.05), random.values(6, -3.0, 3.0));
    let first = b.convolution("first", input, 6, [1, 1]).weights(weights).bias(biases).done().unwrap();
    let weights = random.values(4 * 6 * 9, -0.4, 0.4);
    let second = b.convolution("second", first, 4, [3, 3]).weights(weights).bias(vec![0.1; 4]).done().unwrap();
    b.output(first);
    b.output(second);
    let settings = Settings { bias_limit: limit, ..Settings::default() };
    let net = QuantGraph::prepare(b.finish().unwrap(), Target::tidl_pow2(), &settings).unwrap();
    calibrate(net, 2, &[x], 1.0)
}

#[test]
fn a_bias_limit_reaches_simulation_integers_and_exported_file() {
    let x = Random::new(9).values(2 * 3 * 4 * 4, -1.0, 1.0);
    let mut results = Vec::new();
    for limit in [BiasLimit::Off, BiasLimit::Saturate, BiasLimit::ReduceWeightScale, BiasLimit::DevkitSplit] {
        let net = self::net(Some(limit), &x);
        let counts = compare(&format!("{limit:?}"), &net, 2, &[&x]);
        assert!(counts.codes > 0 && counts.differ == 0, "{limit:?}: {counts:?}");

        let block = net.quantized_block(0).unwrap().unwrap();
        let narrow = block.bias.iter().all(|b| i16::try_from(*b).is_ok());
        assert_eq!(narrow, limit != BiasLimit::Off);
        let biases = net.folded(0).unwrap().bias;
        let wide = self::net(Some(BiasLimit::Off), &x).quantized_block(0).unwrap().unwrap();
        let specified = limit_bias(&biases, &block.input, wide.weight.scale(0), limit);
        assert_eq!((specified.codes, specified.weight_scale), (block.bias, block.weight.scale(0)), "{limit:?}");

        let file = std::env::temp_dir().join(format!("quantrain-bias-limit-{}-{limit:?}.onnx", std::process::id()));
        quantrain_onnx::write_qdq(&net, &file, &Default::default()).unwrap();
        let read = quantrain_onnx::read(&file).unwrap();
        std::fs::remove_file(&file).unwrap();
        let adopted = QuantGraph::adopt(read, Target::tidl_pow2()).unwrap();
        let exported = IntegerProgram::lower(&adopted).unwrap().run(2, &[&x], &mut ()).unwrap();
        let simulated = simulate(&net, 2, &[&x]);
        assert_eq!(exported, simulated, "{limit:?}: the file");
        results.push(simulated);
    }
    for (i, result) in results.iter().enumerate() {
        assert!(!results[..i].contains(result), "each limit changes results");
    }
}

#[test]
fn a_target_file_may_set_the_limit_and_a_run_may_overrule_it() {
    let text = include_str!("../../../quantrain-graph/targets/tidl-pow2.toml")
        .replace("bias_limit = \"reduce-weight-scale\"", "bias_limit = \"devkit-split\"");
    let target = Target::parse("mine", &text).unwrap();
    let limit = |settings: &Settings| {
        let mut b = GraphBuilder::new("g");
        let x = b.input("x", &[3]);
        let y = b.gemm("y", x, 2, vec![0.1; 6], vec![0.0; 2]).unwrap();
        b.output(y);
        QuantGraph::prepare(b.finish().unwrap(), target.clone(), settings).unwrap().weight_quantizer(0).unwrap().bias_limit
    };
    assert_eq!(limit(&Settings::default()), BiasLimit::DevkitSplit);
    assert_eq!(limit(&Settings { bias_limit: Some(BiasLimit::Off), ..Settings::default() }), BiasLimit::Off);
}
