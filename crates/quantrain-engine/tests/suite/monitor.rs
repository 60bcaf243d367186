//! What a monitor sees: the values that reach each quantizer, before it rounds them.

use quantrain_engine::{Mode, Monitor, Network, Plan, Purpose, Want, Workspace};
use quantrain_graph::{Graph, GraphBuilder, QuantGraph, QuantizerId, Range, Settings, Target};

use crate::random::Random;

/// Keeps all values of each quantizer, or only their extrema.
struct Keep {
    want: Want,
    values: Vec<Vec<f32>>,
    extrema: Vec<Option<(f32, f32)>>,
}

impl Monitor for Keep {
    fn want(&self, _: QuantizerId) -> Want {
        self.want
    }

    fn extrema(&mut self, quantizer: QuantizerId, min: f32, max: f32) {
        assert!(self.extrema[quantizer.0].replace((min, max)).is_none(), "every tensor has a quantizer of its own here");
    }

    fn values(&mut self, quantizer: QuantizerId, values: &[f32]) {
        self.values[quantizer.0].extend_from_slice(values);
    }
}

/// Every kind of unit that quantizes: the input, a block, an Add, a clipped product, a pool.
fn network() -> Graph {
    let mut random = Random::new(1);
    let mut b = GraphBuilder::new("g");
    let x = b.input("x", &[3, 4, 5]);
    let y = b.convolution("conv", x, 3, [3, 3]).padding([1; 4]).weights(random.values(81, -0.5, 0.5)).done().unwrap();
    let y = b.batch_norm("norm", y).unwrap();
    let y = b.relu("relu", y).unwrap();
    let s = b.add("add", y, x).unwrap();
    let factor = b.constant("factor", &[3, 1, 1], vec![0.5, -1.0, 2.0]).unwrap();
    let p = b.node("scaled", quantrain_graph::Op::Binary(quantrain_graph::op::Binary::Mul), &[s, factor], "scaled").unwrap();
    let p = b.relu("scaled_relu", p).unwrap();
    let g = b.global_average_pool("pool", p).unwrap();
    b.output(g);
    b.finish().unwrap()
}

#[test]
fn a_monitor_sees_each_tensor_before_it_is_rounded() {
    for target in Target::names() {
        let mut net = QuantGraph::prepare(network(), Target::named(target).unwrap(), &Settings::default()).unwrap();
        net.quantizers_mut().iter_mut().for_each(|q| q.range = Some(Range::new(-1.0, 1.0)));
        let x = Random::new(2).values(2 * 60, -2.0, 2.0);
        let count = net.quantizers().len();
        assert_eq!(count, 5);
        for purpose in [Purpose::Inference, Purpose::Training(quantrain_engine::GradientPath::Quantized)] {
            for mode in [Mode::FLOAT, Mode::SIMULATE] {
                let watch = |want| {
                    let plan = Plan::new(&net, 2, purpose).unwrap();
                    let mut seen = Keep { want, values: vec![Vec::new(); count], extrema: vec![None; count] };
                    let (mut workspace, mut net) = (Workspace::new(&plan), Network::new(net.clone()));
                    net.forward(&plan, &mut workspace, mode, &[&x], &mut seen).unwrap();
                    (seen, net.output(&plan, &workspace, 0))
                };
                let ((all, y), (ends, same), (nothing, also)) = (watch(Want::Values), watch(Want::Extrema), watch(Want::Nothing));
                assert!(y == same && y == also, "watching changes nothing");
                assert!(nothing.values.iter().all(Vec::is_empty) && nothing.extrema.iter().all(Option::is_none));
                assert_eq!(all.values[0], x, "the input as it comes");
                for (i, (values, ends)) in all.values.iter().zip(&ends.extrema).enumerate() {
                    let fold = |f: fn(f32, f32) -> f32, from| values.iter().copied().fold(from, f);
                    let expected = (fold(f32::min, f32::INFINITY), fold(f32::max, f32::NEG_INFINITY));
                    assert_eq!(*ends, Some(expected), "{target} {mode:?}: quantizer {i}");
                }
                let last = net.quantizers()[count - 1].quantizer().unwrap().unwrap();
                let rounded: Vec<f32> =
                    all.values[count - 1].iter().map(|&v| if mode.simulate { last.fake_quantize(v) } else { v }).collect();
                assert_eq!(rounded, y, "{target} {mode:?}");
            }
        }
    }
}
