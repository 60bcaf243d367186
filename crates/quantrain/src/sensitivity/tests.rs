use quantrain_graph::{GraphBuilder, Settings, Target};

use super::*;
use crate::test_data::noise;

/// Three convolutions; the weights of the second have one outlier, so that its others are coarse.
fn network() -> QuantGraph {
    let mut b = GraphBuilder::new("g");
    let x = b.input("x", &[3, 6, 6]);
    let y = b.convolution("first", x, 8, [1, 1]).weights(noise(1, 24)).done().unwrap();
    let y = b.relu("relu", y).unwrap();
    let mut weights = noise(2, 8 * 72);
    weights[5] = 12.0;
    let y = b.convolution("second", y, 8, [3, 3]).padding([1; 4]).weights(weights).done().unwrap();
    let y = b.convolution("third", y, 4, [1, 1]).weights(noise(3, 32)).done().unwrap();
    b.output(y);
    let settings = Settings { per_channel: Some(quantrain_graph::ChannelScales::None), weight_bits: Some(8), ..Settings::default() };
    let mut net = QuantGraph::prepare(b.finish().unwrap(), Target::onnxruntime(), &settings).unwrap();
    let found = ranges(&net, &images(), 8).unwrap();
    net.quantizers_mut().iter_mut().zip(found).for_each(|(q, r)| q.range = Some(r));
    net
}

fn images() -> [Batch; 1] {
    [Batch { images: noise(4, 8 * 108), size: 8, height: 6, width: 6, channels: 3, labels: vec![0; 8], ..Batch::default() }]
}

#[test]
fn the_quantizer_that_hurts_most_comes_first() {
    let found = measure(&network(), &images(), &mut ()).unwrap();
    assert_eq!((found.costs.len(), found.images), (7, 8));
    assert_eq!((found.costs[0].name.as_str(), found.costs[0].kind), ("second", Kind::Weights));
    assert_eq!(found.float.sqnr, EQUAL, "the float network is itself");
    for cost in &found.costs {
        assert!(cost.alone_8.sqnr > cost.alone_4.sqnr + 12.0, "four bits fewer are 24 dB: {cost:?}");
        assert!(cost.alone_8.sqnr > found.quantized.sqnr - 0.5, "one quantizer is better than all: {cost:?}");
        assert!(cost.left_in_float.sqnr > found.quantized.sqnr - 0.5 && cost.left_in_float.top1.is_some(), "{cost:?}");
    }
    assert!(found.costs[0].left_in_float.sqnr > found.quantized.sqnr + 3.0, "most is won by leaving the worst in float");
}

#[test]
fn the_kind_that_hurts_shows_and_so_do_biases_that_saturate() {
    let found = measure(&network(), &images(), &mut ()).unwrap();
    let Kinds { weights, activations, without_biases, with_biases } = &found.kinds;
    assert!(weights.sqnr < activations.sqnr, "an outlier makes weights coarse: {:?}", found.kinds);
    assert!(without_biases.sqnr < weights.sqnr + 0.5 && without_biases.sqnr < activations.sqnr);
    assert!((without_biases.sqnr - with_biases.sqnr).abs() < 0.2, "32 bits hold biases");

    let net = |limit| {
        let mut b = GraphBuilder::new("g");
        let x = b.input("x", &[3, 6, 6]);
        let y = b.convolution("conv", x, 8, [1, 1]).weights(noise(1, 24)).bias(vec![300.0; 8]).done().unwrap();
        b.output(y);
        let settings = Settings { bias_limit: Some(limit), ..Settings::default() };
        let mut net = QuantGraph::prepare(b.finish().unwrap(), Target::tidl_pow2(), &settings).unwrap();
        let found = ranges(&net, &images(), 8).unwrap();
        net.quantizers_mut().iter_mut().zip(found).for_each(|(q, r)| q.range = Some(r));
        net
    };
    let cost = |limit| {
        let Kinds { without_biases, with_biases, .. } = measure(&net(limit), &images(), &mut ()).unwrap().kinds;
        without_biases.sqnr - with_biases.sqnr
    };
    use quantrain_graph::BiasLimit;
    assert!(cost(BiasLimit::Off).abs() < 0.5 && cost(BiasLimit::Saturate) > 20.0);
}

#[test]
fn a_budget_is_kept_and_spent_where_it_helps() {
    let net = network();
    let found = measure(&net, &images(), &mut ()).unwrap();
    let bits = |mix: &Mix| mix.choices.iter().map(|c| c.weight_bits).collect::<Vec<_>>();
    for share in [0.5, 0.56, 0.95, 1.0, 2.0] {
        let mix = search(&net, &found, Budget::Size(share));
        assert!(mix.size <= share && mix.choices.iter().all(|c| c.activation_bits.is_none()), "{mix:?}");
        let operations = search(&net, &found, Budget::BitOperations(share));
        assert!(operations.bit_operations <= share && operations.choices.iter().all(|c| c.activation_bits.is_some()), "{operations:?}");
    }
    assert_eq!(bits(&search(&net, &found, Budget::Size(0.5))), [4; 3], "nothing is left to spend");
    assert_eq!(bits(&search(&net, &found, Budget::Size(2.0))), [16; 3]);
    let some = bits(&search(&net, &found, Budget::Size(0.56)));
    assert!(some[0] > 4 && some[1] == 4, "the large layer does not fit: {some:?}");
    assert!(search(&net, &found, Budget::Size(1.0)).expected_sqnr > search(&net, &found, Budget::Size(0.5)).expected_sqnr);
}

/// Output SQNR of a network made for one variant, beside the float network.
fn decibels(net: &QuantGraph) -> f64 {
    let [batch] = images();
    let outputs = |net: QuantGraph, mode| {
        let mut outputs = Vec::new();
        let mut runner = Runner::new(Purpose::Inference);
        runner.outputs(&mut Network::new(net), mode, batch.size, &[&batch.images], &mut outputs).unwrap();
        outputs
    };
    let mut noise = crate::sqnr::OutputNoise::of(net.graph());
    let float = outputs(network(), Mode::FLOAT);
    noise.add(batch.size, &float, outputs(net.clone(), Mode::SIMULATE).iter());
    noise.decibels()
}

#[test]
fn a_branch_gives_what_a_network_of_its_own_gives() {
    let net = network();
    let found = measure(&net, &images(), &mut ()).unwrap();
    let at = WIDTHS.map(|bits| ranges(&net, &images(), bits).unwrap());
    let units = net.units().len();
    // The weights of a unit alone, and left out.
    for u in (0..units).filter(|&u| net.weight_quantizer(u).is_some()) {
        let name = &net.graph().node(net.units()[u].core).name;
        let cost = found.costs.iter().find(|c| c.kind == Kind::Weights && c.name == *name).unwrap();
        let mut alone = net.clone();
        alone.round_weights(u, 4).unwrap();
        alone.release_weights();
        alone.retain_quantizers(|_| false);
        assert_eq!(decibels(&alone), cost.alone_4.sqnr, "{name}");
        let mut without = net.clone();
        for other in (0..units).filter(|&other| other != u) {
            without.round_weights(other, 8).unwrap();
        }
        without.release_weights();
        assert_eq!(decibels(&without), cost.left_in_float.sqnr, "{name}");
    }
    for q in 0..net.quantizers().len() {
        let name = &net.quantizers()[q].tensor;
        let cost = found.costs.iter().find(|c| c.kind == Kind::Activations && c.name == *name).unwrap();
        for ((bits, ranges), expected) in WIDTHS.into_iter().zip(&at).zip([&cost.alone_8, &cost.alone_4]) {
            let mut alone = net.clone();
            let quantizer = &mut alone.quantizers_mut()[q];
            (quantizer.scheme, quantizer.range) = (quantizer.scheme.with_bits(bits), Some(ranges[q]));
            alone.release_weights();
            alone.retain_quantizers(|kept| kept.0 == q);
            assert_eq!(decibels(&alone), expected.sqnr, "{name} at {bits} bits");
        }
        let mut without = net.clone();
        for u in 0..units {
            without.round_weights(u, 8).unwrap();
        }
        without.release_weights();
        without.retain_quantizers(|kept| kept.0 != q);
        assert_eq!(decibels(&without), cost.left_in_float.sqnr, "{name}");
    }
}
