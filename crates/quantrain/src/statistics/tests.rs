use quantrain_graph::{GraphBuilder, Range, Settings, Target};

use super::*;

/// `y = 2x` on four pixels, with ranges given by hand.
fn doubled(input: Range, output: Range) -> QuantGraph {
    let mut b = GraphBuilder::new("g");
    let x = b.input("x", &[1, 2, 2]);
    let y = b.convolution("double", x, 1, [1, 1]).weights(vec![2.0]).done().unwrap();
    b.output(y);
    let mut net = QuantGraph::prepare(b.finish().unwrap(), Target::onnxruntime(), &Settings::default()).unwrap();
    net.quantizers_mut().iter_mut().zip([input, output]).for_each(|(q, range)| q.range = Some(range));
    net
}

fn images(values: &[f32]) -> Batch {
    Batch { images: values.to_vec(), size: 1, height: 2, width: 2, channels: 1, ..Batch::default() }
}

fn measured(net: &QuantGraph, values: &[f32]) -> NetworkStatistics {
    measure(net, [Ok(images(values))].into_iter(), &mut ()).unwrap()
}

#[test]
fn a_tensor_is_told_by_its_distance_from_the_float_path() {
    // 256 codes with a step of 1/64 from -2 to 127/64.
    let (low, high) = (-2.0, 127.0 / 64.0);
    let net = doubled(Range::new(low, high), Range::new(2.0 * low, 2.0 * high));
    // On a code, a third of a step beside one, above, and zero.
    let values = [0.5, -1.0 + 1.0 / 192.0, 3.0, 0.0];
    let found = measured(&net, &values);
    let input = &found.tensors[0];
    assert_eq!((input.tensor.as_str(), input.bits, input.codes, input.scale), ("x", 8, 256, 1.0 / 64.0));
    assert_eq!((input.below, input.above, input.codes_used), (0.0, 0.25, 4));
    let signal = 0.25 + (1.0f64 - 1.0 / 192.0).powi(2) + 9.0;
    let noise = (1.0f64 / 192.0).powi(2) + (3.0 - 127.0f64 / 64.0).powi(2);
    let expected = 10.0 * (signal / noise).log10();
    assert!((input.sqnr.unwrap() - expected).abs() < 1e-4, "{input:?}, {expected} dB expected");
    assert_eq!(input.histogram.counts.iter().sum::<u64>(), 4);
    assert_eq!((found.images, found.layers.len()), (1, 1));
    // The layer doubles what was cut off, so its output is as far away.
    assert!((found.tensors[1].sqnr.unwrap() - expected).abs() < 0.2, "{:?}", found.tensors[1]);
}

#[test]
fn equal_tensors_have_no_distance() {
    let net = doubled(Range::new(-2.0, 127.0 / 64.0), Range::new(-4.0, 127.0 / 32.0));
    let found = measured(&net, &[0.5, -0.5, 1.0, 0.25]);
    assert_eq!(found.tensors.iter().map(|t| t.sqnr).collect::<Vec<_>>(), [None, None]);
}

#[test]
fn a_layer_tells_what_it_computes_and_with_which_weights() {
    let mut b = GraphBuilder::new("g");
    let x = b.input("x", &[2, 4, 4]);
    let weights = vec![1.0, -1.0, 0.5, 0.25, 0.0, 0.1, 1.0, 1.0];
    let y = b.convolution("first", x, 4, [1, 1]).weights(weights).done().unwrap();
    let y = b.relu("relu", y).unwrap();
    let z = b.convolution("second", y, 4, [1, 1]).weights(vec![1.0; 16]).done().unwrap();
    let z = b.add("add", z, y).unwrap();
    b.output(z);
    let settings = Settings { per_channel: Some(quantrain_graph::ChannelScales::None), weight_bits: Some(2), ..Settings::default() };
    let mut net = QuantGraph::prepare(b.finish().unwrap(), Target::onnxruntime(), &settings).unwrap();
    net.quantizers_mut().iter_mut().for_each(|q| q.range = Some(Range::new(-4.0, 4.0)));
    let batch = Batch { images: vec![0.25; 32], size: 1, height: 4, width: 4, channels: 2, ..Batch::default() };
    let found = measure(&net, [Ok(batch)].into_iter(), &mut ()).unwrap();

    let first = &found.layers[0];
    assert_eq!((first.operators.join("+"), &first.shape, first.multiply_accumulates), ("Conv+Relu".into(), &vec![1, 4, 4, 4], 128));
    let weights = first.weights.as_ref().unwrap();
    // Two bits without the lowest code are -1, 0 and 1.
    assert_eq!((weights.count, weights.scales, weights.bits, weights.codes_used, weights.clipped), (8, 1, 2, 3, 0.0));
    assert_eq!(weights.channels, [[-1.0, 1.0], [0.25, 0.5], [0.0, 0.1], [1.0, 1.0]]);
    let add = found.layers.iter().find(|layer| layer.node == "add").unwrap();
    assert_eq!(add.inputs, [1, 0], "the second convolution, and the first past it");
    // 24 weights of two bits, nothing else.
    assert_eq!((found.float_bytes, found.quantized_bytes), (96, 2 + 4));
}

#[test]
fn without_images_there_is_nothing_to_tell() {
    let net = doubled(Range::new(-1.0, 1.0), Range::new(-1.0, 1.0));
    assert!(matches!(measure(&net, std::iter::empty(), &mut ()), Err(RunError::NoImages)));
}

#[test]
fn what_lies_beyond_the_ends_counts_at_the_ends() {
    let mut histogram = Histogram::around(0.0, 1.0);
    [f32::NEG_INFINITY, -9.0, 0.5, 9.0, f32::INFINITY, f32::NAN].into_iter().for_each(|x| histogram.add(x));
    let ends = (histogram.counts[0], histogram.counts[histogram.counts.len() - 1]);
    assert_eq!((ends, histogram.counts.iter().sum::<u64>()), ((2, 2), 5));
}

#[test]
fn ranges_as_wide_as_floats_are_still_numbers_in_json() {
    let net = doubled(Range::new(f32::MIN, 1.0), Range::new(f32::MIN, f32::MAX));
    let found = measured(&net, &[f32::MIN, -1.0, 0.0, 1.0]);
    let text = serde_json::to_string(&found).unwrap();
    assert!(!text.contains("\"low\":null") && !text.contains("\"high\":null"), "{text}");
    assert_eq!(serde_json::from_str::<NetworkStatistics>(&text).unwrap(), found);
    // The lowest float in the first bin, all others in one near the other end of the first range.
    let counts = &found.tensors[0].histogram.counts;
    assert_eq!(counts.iter().filter(|count| **count > 0).count(), 2);
    assert_eq!(counts.iter().sum::<u64>(), 4);
}

#[test]
fn of_a_large_tensor_every_channel_is_seen() {
    let mut b = GraphBuilder::new("g");
    let x = b.input("x", &[3, 512, 512]);
    let weights = vec![1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0];
    let y = b.convolution("same", x, 3, [1, 1]).weights(weights).done().unwrap();
    b.output(y);
    let mut net = QuantGraph::prepare(b.finish().unwrap(), Target::onnxruntime(), &Settings::default()).unwrap();
    net.quantizers_mut().iter_mut().for_each(|q| q.range = Some(Range::new(-2.0, 127.0 / 64.0)));
    // Images lie channel by channel: the third is beyond the range.
    let images = (0..3 * 512 * 512).map(|i| if i % 3 == 2 { 5.0 } else { 1.0 }).collect();
    let batch = Batch { images, size: 1, height: 512, width: 512, channels: 3, ..Batch::default() };
    let found = measure(&net, [Ok(batch)].into_iter(), &mut ()).unwrap();
    assert!((found.tensors[0].above - 1.0 / 3.0).abs() < 1e-4, "{:?}", found.tensors[0].above);
}
