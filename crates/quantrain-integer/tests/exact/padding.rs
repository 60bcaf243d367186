//! Padding with values that no code stands for.

use quantrain_graph::op::{FakeQuantize, MaxPool, Pad, PadMode, Window};
use quantrain_graph::{GraphBuilder, Op, QuantGraph, Quantizer, Rounding, Target};

use crate::compare::compare;

#[test]
fn a_fill_far_below_is_the_lowest_code_where_codes_are_carried() {
    let quantizer = Quantizer::new(0.1, 100, 0, 255, Rounding::HalfToEven).unwrap();
    for fill in [-1e4, f32::MIN, f32::NEG_INFINITY] {
        let mut b = GraphBuilder::new("g");
        let mut y = b.input("x", &[1, 2, 2]);
        let pads = vec![0, 0, 1, 1, 0, 0, 1, 1];
        let pair = || Op::FakeQuantize(FakeQuantize { quantizers: vec![quantizer] });
        let nodes = [
            ("first", pair()),
            ("pad", Op::Pad(Pad { pads, mode: PadMode::Constant(fill) })),
            ("second", pair()),
            ("pool", Op::MaxPool(MaxPool { window: Window::new([2, 2]) })),
            ("last", pair()),
        ];
        for (name, op) in nodes {
            y = b.node(name, op, &[y], name).unwrap();
            // Both what is padded and what is pooled of it are looked at.
            if matches!(name, "second" | "last") {
                b.output(y);
            }
        }
        let net = QuantGraph::adopt(b.finish().unwrap(), Target::onnxruntime()).unwrap();
        let counts = compare("padding", &net, 1, &[&[-9.0, 0.4, 3.0, 12.0]]);
        assert_eq!((counts.differ, counts.reals_differ), (0, 0), "{fill}");
        assert!(counts.codes >= 16 + 9, "{counts:?}");
    }
}
