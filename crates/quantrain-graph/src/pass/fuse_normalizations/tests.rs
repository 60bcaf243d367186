//! The pass fires on every form, declines where it must, and finds nothing twice; what is computed is compared in the engine's suite.

use super::super::spelling::Spelling;
use super::super::{Reason, run};
use super::*;
use crate::op::{
    Epsilon, Extent, GroupNormalization, InstanceNormalization, LayerNormalization, Reduce, Reduction, Relation, Reshape, RmsNormalization,
    Transpose, Where,
};
use crate::{Dim, Graph};

/// Extents behind the batch: 4 channels of 3 by 2 pixels, or 3 rows of 4 places.
const IMAGE: &[usize] = &[4, 3, 2];
const ROWS: &[usize] = &[3, 4];

type Spell = fn(&mut Spelling) -> TensorId;

fn mean(s: &mut Spelling, x: TensorId, axes: &[i64]) -> TensorId {
    s.node(Op::Reduce(Reduce::mean(axes, true)), &[x])
}

/// `x − mean`, and its square's mean.
fn moments(s: &mut Spelling, x: TensorId, axes: &[i64]) -> (TensorId, TensorId) {
    let mu = mean(s, x, axes);
    let distance = s.two(Binary::Sub, x, mu);
    let square = s.of(Activation::Pow { exponent: 2.0 }, distance);
    (distance, mean(s, square, axes))
}

fn root(s: &mut Spelling, variance: TensorId) -> TensorId {
    let sum = s.with(Binary::Add, variance, 1e-5);
    s.of(Activation::Sqrt, sum)
}

fn plain(s: &mut Spelling, axes: &[i64]) -> TensorId {
    let (distance, variance) = moments(s, s.x, axes);
    let root = root(s, variance);
    s.two(Binary::Div, distance, root)
}

fn affine(s: &mut Spelling, y: TensorId, shape: &[usize]) -> TensorId {
    let count = shape.iter().product::<usize>();
    let scale = s.constant(shape, (1..=count).map(|v| v as f32).collect());
    let offset = s.constant(shape, vec![0.5; count]);
    let product = s.two(Binary::Mul, scale, y);
    s.two(Binary::Add, product, offset)
}

fn layer(epsilon: Epsilon) -> Op {
    Op::LayerNormalization(LayerNormalization { axis: -1, epsilon })
}

const INSIDE: Epsilon = Epsilon::OfVariance(1e-5);

/// Forms of a LayerNormalization over the last axis of rows, with its ε.
fn layers() -> Vec<(Epsilon, Spell)> {
    vec![
        (INSIDE, |s| plain(s, &[-1])),
        (INSIDE, |s| {
            let y = plain(s, &[2]);
            affine(s, y, &[4])
        }),
        (INSIDE, |s| {
            let y = plain(s, &[-1]);
            affine(s, y, &[1, 1, 4])
        }),
        // Two differences, their product, a power of −½, the scale first.
        (INSIDE, |s| {
            let mu = mean(s, s.x, &[-1]);
            let [a, b] = [(); 2].map(|()| s.two(Binary::Sub, s.x, mu));
            let square = s.two(Binary::Mul, b, b);
            let variance = mean(s, square, &[-1]);
            let sum = s.with(Binary::Add, variance, 1e-5);
            let inverse = s.of(Activation::Pow { exponent: -0.5 }, sum);
            let scale = s.constant(&[4], vec![2.0; 4]);
            let scaled = s.two(Binary::Mul, inverse, scale);
            s.two(Binary::Mul, a, scaled)
        }),
        // As Keras has it: x·factor + (offset − mean·factor).
        (INSIDE, |s| {
            let mu = mean(s, s.x, &[-1]);
            let distance = s.two(Binary::Sub, s.x, mu);
            let square = s.two(Binary::Mul, distance, distance);
            let variance = mean(s, square, &[-1]);
            let root = root(s, variance);
            let inverse = s.of(Activation::Reciprocal, root);
            let scale = s.constant(&[4], vec![2.0, 3.0, 4.0, 5.0]);
            let factor = s.two(Binary::Mul, inverse, scale);
            let first = s.two(Binary::Mul, s.x, factor);
            let second = s.two(Binary::Mul, mu, factor);
            let offset = s.constant(&[4], vec![0.5; 4]);
            let rest = s.two(Binary::Sub, offset, second);
            s.two(Binary::Add, first, rest)
        }),
        // The mean of squares without the square of the mean, never below 0.
        (INSIDE, |s| {
            let mu = mean(s, s.x, &[-1]);
            let square = s.two(Binary::Mul, s.x, s.x);
            let squares = mean(s, square, &[-1]);
            let of_mean = s.two(Binary::Mul, mu, mu);
            let variance = s.two(Binary::Sub, squares, of_mean);
            let variance = s.of(Activation::Relu, variance);
            let root = root(s, variance);
            let distance = s.two(Binary::Sub, s.x, mu);
            s.two(Binary::Div, distance, root)
        }),
        // Without axes of 1, which a Reshape brings back.
        (INSIDE, |s| {
            let kept = Reshape { extents: vec![Extent::Copy, Extent::Is(Dim::Fixed(3)), Extent::Is(Dim::Fixed(1))] };
            let gathered = |s: &mut Spelling, x| {
                let y = s.node(Op::Reduce(Reduce::mean(&[-1], false)), &[x]);
                s.node(Op::Reshape(kept.clone()), &[y])
            };
            let mu = gathered(s, s.x);
            let distance = s.two(Binary::Sub, s.x, mu);
            let square = s.two(Binary::Mul, distance, distance);
            let variance = gathered(s, square);
            let root = root(s, variance);
            s.two(Binary::Div, distance, root)
        }),
        (Epsilon::OfVariance(f32::MIN_POSITIVE), |s| {
            let (distance, variance) = moments(s, s.x, &[-1]);
            let root = s.of(Activation::Sqrt, variance);
            s.two(Binary::Div, distance, root)
        }),
        (Epsilon::OfDeviation(1e-5), |s| {
            let (distance, variance) = moments(s, s.x, &[-1]);
            let root = s.of(Activation::Sqrt, variance);
            let sum = s.with(Binary::Add, root, 1e-5);
            s.two(Binary::Div, distance, sum)
        }),
        (Epsilon::Least(1e-5), |s| {
            let (distance, variance) = moments(s, s.x, &[-1]);
            let kept = s.with(Binary::Max, variance, 1e-5);
            let root = s.of(Activation::Sqrt, kept);
            s.two(Binary::Div, distance, root)
        }),
        // 1 instead of a deviation of 0.
        (Epsilon::OfVariance(f32::MIN_POSITIVE), |s| {
            let (distance, variance) = moments(s, s.x, &[-1]);
            let root = s.of(Activation::Sqrt, variance);
            let is_zero = s.with(Binary::Relation(Relation::Equal), root, 0.0);
            let one = s.number(1.0);
            let kept = s.node(Op::Where(Where), &[is_zero, one, root]);
            s.two(Binary::Div, distance, kept)
        }),
        (Epsilon::Least(1e-5), |s| {
            let (distance, variance) = moments(s, s.x, &[-1]);
            let is_enough = s.with(Binary::Relation(Relation::GreaterOrEqual), variance, 1e-5);
            let least = s.number(1e-5);
            let kept = s.node(Op::Where(Where), &[is_enough, variance, least]);
            let root = s.of(Activation::Sqrt, kept);
            s.two(Binary::Div, distance, root)
        }),
        (Epsilon::Least(1e-6), |s| {
            let (distance, variance) = moments(s, s.x, &[-1]);
            let root = s.of(Activation::Sqrt, variance);
            let kept = s.of(Activation::Clip { min: 1e-3, max: f32::INFINITY }, root);
            s.two(Binary::Div, distance, kept)
        }),
    ]
}

fn only_node(graph: &Graph) -> &Op {
    let [_, node] = graph.nodes() else { panic!("{:?}", graph.nodes()) };
    &node.op
}

fn near(a: Epsilon, b: Epsilon) -> bool {
    match (a, b) {
        (Epsilon::OfVariance(a), Epsilon::OfVariance(b))
        | (Epsilon::OfDeviation(a), Epsilon::OfDeviation(b))
        | (Epsilon::Least(a), Epsilon::Least(b)) => (a - b).abs() <= 1e-6 * b,
        _ => false,
    }
}

#[test]
fn it_fires_on_every_form_of_a_layer_and_keeps_the_last_names() {
    for (i, (expected, spell)) in layers().into_iter().enumerate() {
        let mut s = Spelling::new(ROWS);
        let y = spell(&mut s);
        let name = s.b.graph().tensor(y).name.clone();
        let (graph, record) = s.run(y, &FuseNormalizations);
        let Op::LayerNormalization(op) = only_node(&graph) else { panic!("form {i}: {:?}", graph.nodes()) };
        assert!(op.axis == -1 && near(op.epsilon, expected), "form {i}: {op:?}");
        assert_eq!((graph.nodes()[1].name.as_str(), graph.nodes()[1].output), (name.as_str(), y), "form {i}");
        assert_eq!(record.iter().map(|f| f.outcome.clone()).collect::<Vec<_>>(), [Ok("LayerNormalization")], "form {i}");
    }
}

#[test]
fn the_constants_of_the_file_become_the_parameters() {
    let mut s = Spelling::new(ROWS);
    let y = plain(&mut s, &[-1]);
    let (scale, offset) = (s.constant(&[4], vec![1.0, 2.0, 3.0, 4.0]), s.constant(&[4], vec![0.5; 4]));
    let product = s.two(Binary::Mul, y, scale);
    let y = s.two(Binary::Add, offset, product);
    let (graph, record) = s.run(y, &FuseNormalizations);
    assert_eq!(graph.nodes()[1].inputs[1..], [scale, offset]);
    // By the file's own operators, not those that stood for them in between.
    let operators = ["ReduceMean", "Sub", "Pow", "ReduceMean", "Add", "Sqrt", "Div", "Mul", "Add"];
    assert_eq!(record.iter().map(|f| &f.operators[..]).collect::<Vec<_>>(), [operators]);
}

#[test]
fn a_variance_of_n_minus_one_changes_scale_and_epsilon() {
    let mut s = Spelling::new(ROWS);
    let x = s.x;
    let (distance, variance) = moments(&mut s, x, &[-1]);
    let sum = s.with(Binary::Mul, variance, 4.0);
    let unbiased = s.with(Binary::Div, sum, 3.0);
    let root = root(&mut s, unbiased);
    let y = s.two(Binary::Div, distance, root);
    let (graph, _) = s.run(y, &FuseNormalizations);
    let Op::LayerNormalization(op) = only_node(&graph) else { panic!("{:?}", graph.nodes()) };
    assert!(near(op.epsilon, Epsilon::OfVariance(0.75e-5)));
    let scale = graph.constant(graph.nodes()[1].inputs[1]).unwrap();
    assert!(scale.iter().all(|s| (s - 0.75f32.sqrt()).abs() < 1e-6));
}

#[test]
fn roots_of_mean_squares_and_lengths_are_normalised_without_a_mean() {
    let forms: [(f32, Epsilon, Spell); 3] = [
        (1.0, INSIDE, |s| {
            let square = s.of(Activation::Pow { exponent: 2.0 }, s.x);
            let squares = mean(s, square, &[-1]);
            let root = root(s, squares);
            let inverse = s.of(Activation::Reciprocal, root);
            s.two(Binary::Mul, s.x, inverse)
        }),
        (0.5, Epsilon::Least(0.25e-6), |s| {
            let length = s.node(Op::Reduce(Reduce { function: Reduction::L2, ..Reduce::mean(&[-1], true) }), &[s.x]);
            let kept = s.of(Activation::Clip { min: 1e-3, max: f32::INFINITY }, length);
            s.two(Binary::Div, s.x, kept)
        }),
        (0.5, Epsilon::OfVariance(0.25e-5), |s| {
            let square = s.two(Binary::Mul, s.x, s.x);
            let sum = s.node(Op::Reduce(Reduce { function: Reduction::Sum, ..Reduce::mean(&[-1], true) }), &[square]);
            let root = root(s, sum);
            s.two(Binary::Div, s.x, root)
        }),
    ];
    for (i, (scale, epsilon, spell)) in forms.into_iter().enumerate() {
        let mut s = Spelling::new(ROWS);
        let y = spell(&mut s);
        let (graph, _) = s.run(y, &FuseNormalizations);
        let Op::RmsNormalization(op @ RmsNormalization { axis: -1, .. }) = only_node(&graph) else {
            panic!("form {i}: {:?}", graph.nodes())
        };
        assert!(near(op.epsilon, epsilon), "form {i}: {op:?}");
        assert!(graph.constant(graph.nodes()[1].inputs[1]).unwrap().iter().all(|s| (s - scale).abs() < 1e-6), "form {i}");
    }
}

#[test]
fn pixels_of_a_channel_are_an_instance() {
    let mut s = Spelling::new(IMAGE);
    let y = plain(&mut s, &[2, 3]);
    let y = affine(&mut s, y, &[4, 1, 1]);
    let (graph, _) = s.run(y, &FuseNormalizations);
    assert_eq!(*only_node(&graph), Op::InstanceNormalization(InstanceNormalization { epsilon: 1e-5 }));
    assert_eq!(graph.constant(graph.nodes()[1].inputs[1]).unwrap(), [1.0, 2.0, 3.0, 4.0]);
}

#[test]
fn channels_of_a_pixel_are_a_layer_between_two_transposes() {
    let mut s = Spelling::new(IMAGE);
    let y = plain(&mut s, &[1]);
    let y = affine(&mut s, y, &[4, 1, 1]);
    let (graph, record) = s.run(y, &FuseNormalizations);
    let ops: Vec<&Op> = graph.nodes()[1..].iter().map(|n| &n.op).collect();
    let transpose = |permutation: &[usize]| Op::Transpose(Transpose { permutation: permutation.to_vec() });
    assert_eq!(ops, [&transpose(&[0, 2, 3, 1]), &layer(INSIDE), &transpose(&[0, 3, 1, 2])]);
    assert_eq!(graph.constant(graph.nodes()[2].inputs[1]).unwrap(), [1.0, 2.0, 3.0, 4.0]);
    assert_eq!(record.iter().map(|f| f.outcome.clone()).collect::<Vec<_>>(), [Ok("LayerNormalization")]);
}

/// `[N, 4, 3, 2]` as `[N, 2, 12]`, and back.
fn in_groups(s: &mut Spelling, normalised: impl Fn(&mut Spelling, TensorId) -> TensorId) -> TensorId {
    let extents = |extents: &[usize]| Reshape {
        extents: std::iter::once(Extent::Copy).chain(extents.iter().map(|&n| Extent::Is(Dim::Fixed(n)))).collect(),
    };
    let there = s.node(Op::Reshape(extents(&[2, 12])), &[s.x]);
    let y = normalised(s, there);
    s.node(Op::Reshape(extents(IMAGE)), &[y])
}

#[test]
fn groups_are_recognised_by_operator_and_by_parts() {
    let by_operator: fn(&mut Spelling, TensorId) -> TensorId = |s, x| {
        let (ones, zeros) = (s.constant(&[2], vec![1.0; 2]), s.constant(&[2], vec![0.0; 2]));
        s.node(Op::InstanceNormalization(InstanceNormalization { epsilon: 1e-5 }), &[x, ones, zeros])
    };
    let by_parts: fn(&mut Spelling, TensorId) -> TensorId = |s, x| {
        let (distance, variance) = moments(s, x, &[2]);
        let root = root(s, variance);
        s.two(Binary::Div, distance, root)
    };
    for normalised in [by_operator, by_parts] {
        let mut s = Spelling::new(IMAGE);
        let y = in_groups(&mut s, normalised);
        let y = affine(&mut s, y, &[1, 4, 1, 1]);
        let (graph, record) = s.run(y, &FuseNormalizations);
        assert_eq!(*only_node(&graph), Op::GroupNormalization(GroupNormalization { groups: 2, epsilon: 1e-5 }));
        assert_eq!(graph.constant(graph.nodes()[1].inputs[1]).unwrap(), [1.0, 2.0, 3.0, 4.0]);
        assert_eq!(graph.constant(graph.nodes()[1].inputs[2]).unwrap(), [0.5; 4]);
        assert_eq!(record.len(), 1);
    }
}

#[test]
fn it_declines_where_the_inside_is_read_elsewhere_or_handed_out() {
    for read_elsewhere in [true, false] {
        let mut s = Spelling::new(ROWS);
        let x = s.x;
        let (distance, variance) = moments(&mut s, x, &[-1]);
        let root = root(&mut s, variance);
        let y = s.two(Binary::Div, distance, root);
        let y = affine(&mut s, y, &[4]);
        if read_elsewhere {
            let z = s.of(Activation::Abs, root);
            s.b.output(z);
        } else {
            s.b.output(root);
        }
        let nodes = s.b.graph().nodes().len();
        let (graph, record) = s.run(y, &FuseNormalizations);
        assert_eq!(graph.nodes().len(), nodes);
        let reason = match read_elsewhere {
            true => Reason::ReadElsewhere { tensor: "n6".into(), node: "n10".into() },
            false => Reason::IsOutput { tensor: "n6".into() },
        };
        assert_eq!(record.iter().map(|f| f.outcome.clone()).collect::<Vec<_>>(), [Err(reason)]);
    }
}

#[test]
fn other_functions_are_left_alone() {
    let others: [Spell; 5] = [
        // The deviation of another tensor.
        |s| {
            let (_, variance) = moments(s, s.x, &[-1]);
            let root = root(s, variance);
            let other = s.of(Activation::Abs, s.x);
            s.two(Binary::Div, other, root)
        },
        // Not the mean over the same axes.
        |s| {
            let mu = mean(s, s.x, &[1]);
            let distance = s.two(Binary::Sub, s.x, mu);
            let (_, variance) = moments(s, s.x, &[-1]);
            let root = root(s, variance);
            s.two(Binary::Div, distance, root)
        },
        // A variance, but x itself is divided.
        |s| {
            let (_, variance) = moments(s, s.x, &[-1]);
            let root = root(s, variance);
            s.two(Binary::Div, s.x, root)
        },
        // A fourth power.
        |s| {
            let power = s.of(Activation::Pow { exponent: 4.0 }, s.x);
            let moment = mean(s, power, &[-1]);
            let root = root(s, moment);
            s.two(Binary::Div, s.x, root)
        },
        // No root.
        |s| {
            let (distance, variance) = moments(s, s.x, &[-1]);
            let sum = s.with(Binary::Add, variance, 1e-5);
            s.two(Binary::Div, distance, sum)
        },
    ];
    for (i, spell) in others.into_iter().enumerate() {
        let mut s = Spelling::new(ROWS);
        let y = spell(&mut s);
        s.b.output(y);
        let graph = s.b.finish().unwrap();
        assert_eq!(run(graph.clone(), &[&FuseNormalizations]), (graph, Vec::new()), "function {i}");
    }
}

#[test]
fn a_second_run_finds_nothing() {
    for (_, spell) in layers() {
        let mut s = Spelling::new(ROWS);
        let y = spell(&mut s);
        let (graph, _) = s.run(y, &FuseNormalizations);
        assert_eq!(run(graph.clone(), &[&FuseNormalizations]), (graph, Vec::new()));
    }
}
