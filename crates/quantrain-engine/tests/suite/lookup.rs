//! Tables that fed indices pick from: values, and the gradient of the table, against the definition.

use quantrain_engine::{BatchNormMode, EngineError, GradientPath, Training};
use quantrain_graph::op::Lookup;
use quantrain_graph::{ElementType, GraphBuilder, Op, QuantGraph};

use crate::executor::{Bench, EXECUTORS, calibrate};
use crate::random::Random;
use crate::tensor::Tensor;

const TRAINING: Training = Training { gradient_path: GradientPath::Quantized, batch_norm: BatchNormMode::Frozen };

/// A table, picked from along `axis` by ids `[N, ids…]`.
fn network(table: &Tensor, axis: i64, ids: &[usize]) -> quantrain_graph::Graph {
    let mut b = GraphBuilder::new("lookup");
    let x = b.input("ids", ids);
    b.element_type(x, ElementType::Int64);
    let values = table.data.iter().map(|&v| v as f32).collect();
    let table = b.constant("table", &table.shape, values).unwrap();
    let y = b.node("y", Op::Lookup(Lookup { axis }), &[table, x], "y").unwrap();
    b.output(y);
    b.finish().unwrap()
}

/// Where element `at` of the result lies in the table.
fn source(at: &[usize], axis: usize, ids: &Tensor, extent: usize) -> Vec<usize> {
    let (before, rest) = at.split_at(axis);
    let (index, after) = rest.split_at(ids.shape.len());
    let id = ids.at(index);
    let picked = if id < 0.0 { id + extent as f64 } else { id } as usize;
    [before, &[picked], after].concat()
}

#[test]
fn elements_are_picked_and_the_table_gets_their_gradients() {
    let mut random = Random::new(5);
    for (shape, axis, ids) in [
        (&[7, 4][..], 0, &[5][..]),
        (&[7, 4], 0, &[]),
        (&[6, 3], 0, &[2, 3]),
        (&[5, 2, 3, 4], 0, &[]),
        (&[5, 2, 3], 0, &[3]),
        (&[3, 5], 1, &[4]),
        (&[9], 0, &[2, 2, 2]),
    ] {
        let (batch, extent) = (2, shape[axis]);
        let count: usize = shape.iter().product();
        let table = Tensor::new(shape, random.values(count, -1.5, 1.5).iter().map(|&v| f64::from(v)).collect());
        let id_shape = [&[batch], ids].concat();
        let id = |i: usize| (i * 5 % (2 * extent)) as f64 - extent as f64;
        let fed = Tensor::new(&id_shape, (0..id_shape.iter().product()).map(id).collect());
        let in_memory = fed.to_memory();
        let result = [&shape[..axis], &id_shape, &shape[axis + 1..]].concat();
        for executor in EXECUTORS {
            let name = format!("{shape:?} along {axis} by {id_shape:?} on {executor:?}");
            let net = calibrate(executor.prepare(network(&table, axis as i64, ids)), batch, &[&in_memory]);
            assert!(net.quantizer_of(net.graph().inputs()[0]).is_none(), "{name}: ids have no codes");
            let quantizer = net.quantizer_of(net.graph().outputs()[0]).map(|q| net.quantizers()[q.0].quantizer().unwrap().unwrap());
            assert_eq!(quantizer.is_some(), executor.simulates(), "{name}");
            let mut bench = Bench::new(net, batch, executor.simulates(), TRAINING).unwrap();
            bench.forward(&[&in_memory]).unwrap();
            let expected = Tensor::from_fn(&result, |at| {
                let value = table.at(&source(at, axis, &fed, extent)) as f32;
                f64::from(quantizer.map_or(value, |q| q.fake_quantize(value)))
            });
            let found = bench.output(0);
            assert!(found.iter().zip(&expected.data).all(|(f, e)| (f64::from(*f) - e).abs() < 1e-6), "{name}: {found:?}");
            let upstream = Tensor::new(&result, random.values(found.len(), -1.0, 1.0).iter().map(|&v| f64::from(v)).collect());
            bench.backward(&[&upstream.to_memory()]);
            let mut sums = vec![0.0; count];
            let stride = |axis: usize| shape[axis + 1..].iter().product::<usize>();
            Tensor::from_fn(&result, |at| {
                let from = source(at, axis, &fed, extent);
                sums[from.iter().enumerate().map(|(axis, i)| i * stride(axis)).sum::<usize>()] += upstream.at(at);
                0.0
            });
            let gradient = bench.gradient("table");
            assert!(gradient.iter().zip(&sums).all(|(g, s)| (f64::from(*g) - s).abs() < 1e-5), "{name}: {gradient:?} {sums:?}");
        }
    }
}

#[test]
fn an_index_that_the_table_does_not_have_is_an_error() {
    let table = Tensor::new(&[3, 2], vec![0.5; 6]);
    let net = QuantGraph::float(network(&table, 0, &[2]));
    let mut bench = Bench::new(net, 1, false, TRAINING).unwrap();
    assert!(bench.forward(&[&[-3.0, 2.0]]).is_ok());
    for wrong in [3.0, -4.0, f32::NAN] {
        let found = bench.forward(&[&[0.0, wrong]]);
        assert!(matches!(&found, Err(EngineError::Index { tensor, elements: 3, .. }) if tensor == "ids"), "{wrong}: {found:?}");
    }
}
