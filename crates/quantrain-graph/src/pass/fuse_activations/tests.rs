//! The pass fires on every form, declines where it must, keeps what the network computes, and finds nothing twice.

use super::super::spelling::Spelling;
use super::super::{Reason, run};
use super::*;

fn relu6_of_x_plus_3(s: &mut Spelling) -> TensorId {
    let sum = s.with(Binary::Add, s.x, 3.0);
    s.of(Activation::Clip { min: 0.0, max: 6.0 }, sum)
}

fn spelling() -> Spelling {
    Spelling::new(&[3, 4, 4])
}

type Spell = fn(&mut Spelling) -> TensorId;

/// Every form, and what it is.
fn forms() -> Vec<(Activation, Spell)> {
    use Activation::{Erf, Exp, Gelu, HardSigmoid, HardSwish, Log, Mish, Pow, Sigmoid, Silu, Softplus, Tanh};
    use Binary::{Add, Div, Mul};
    vec![
        (Silu, |s| {
            let gate = s.of(Sigmoid, s.x);
            s.two(Mul, s.x, gate)
        }),
        (Silu, |s| {
            let gate = s.of(Sigmoid, s.x);
            s.two(Mul, gate, s.x)
        }),
        (HardSwish, |s| {
            let gate = s.of(HardSigmoid { alpha: 1.0 / 6.0, beta: 0.5 }, s.x);
            s.two(Mul, s.x, gate)
        }),
        (HardSwish, |s| {
            let clip = relu6_of_x_plus_3(s);
            let product = s.two(Mul, s.x, clip);
            s.with(Div, product, 6.0)
        }),
        (HardSwish, |s| {
            let clip = relu6_of_x_plus_3(s);
            let product = s.two(Mul, clip, s.x);
            s.with(Mul, product, 1.0 / 6.0)
        }),
        (HardSwish, |s| {
            let clip = relu6_of_x_plus_3(s);
            let gate = s.with(Div, clip, 6.0);
            s.two(Mul, s.x, gate)
        }),
        (HardSwish, |s| {
            let three = s.number(3.0);
            let sum = s.two(Add, three, s.x);
            let clip = s.of(Activation::Clip { min: 0.0, max: 6.0 }, sum);
            let sixth = s.number(1.0 / 6.0);
            let gate = s.two(Mul, sixth, clip);
            s.two(Mul, gate, s.x)
        }),
        (HardSwish, |s| {
            let scaled = s.with(Mul, s.x, 1.0 / 6.0);
            let sum = s.with(Add, scaled, 0.5);
            let gate = s.of(Activation::Clip { min: 0.0, max: 1.0 }, sum);
            s.two(Mul, s.x, gate)
        }),
        (HardSigmoid { alpha: 1.0 / 6.0, beta: 0.5 }, |s| {
            let clip = relu6_of_x_plus_3(s);
            s.with(Div, clip, 6.0)
        }),
        (HardSigmoid { alpha: 0.2, beta: 0.5 }, |s| {
            let scaled = s.with(Mul, s.x, 0.2);
            let sum = s.with(Add, scaled, 0.5);
            s.of(Activation::Clip { min: 0.0, max: 1.0 }, sum)
        }),
        (Mish, |s| {
            let soft = s.of(Softplus, s.x);
            let gate = s.of(Tanh, soft);
            s.two(Mul, s.x, gate)
        }),
        (Mish, |s| {
            let exp = s.of(Exp, s.x);
            let sum = s.with(Add, exp, 1.0);
            let soft = s.of(Log, sum);
            let gate = s.of(Tanh, soft);
            s.two(Mul, s.x, gate)
        }),
        (Gelu { tanh: false }, |s| {
            let scaled = s.with(Div, s.x, 2f64.sqrt());
            let erf = s.of(Erf, scaled);
            let gate = s.with(Add, erf, 1.0);
            let product = s.two(Mul, s.x, gate);
            s.with(Mul, product, 0.5)
        }),
        (Gelu { tanh: false }, |s| {
            let half = s.with(Mul, s.x, 0.5);
            let scaled = s.with(Mul, s.x, FRAC_1_SQRT_2);
            let erf = s.of(Erf, scaled);
            let gate = s.with(Add, erf, 1.0);
            s.two(Mul, half, gate)
        }),
        (Gelu { tanh: true }, |s| {
            let cube = s.of(Pow { exponent: 3.0 }, s.x);
            let cube = s.with(Mul, cube, 0.044715);
            let sum = s.two(Add, s.x, cube);
            let sum = s.with(Mul, sum, (2.0 / PI).sqrt());
            let tanh = s.of(Tanh, sum);
            let gate = s.with(Add, tanh, 1.0);
            let product = s.two(Mul, s.x, gate);
            s.with(Mul, product, 0.5)
        }),
        (Gelu { tanh: true }, |s| {
            let square = s.two(Mul, s.x, s.x);
            let cube = s.two(Mul, square, s.x);
            let cube = s.with(Mul, cube, 0.044715);
            let sum = s.two(Add, cube, s.x);
            let sum = s.with(Mul, sum, (2.0 / PI).sqrt());
            let tanh = s.of(Tanh, sum);
            let gate = s.with(Add, tanh, 1.0);
            let half = s.with(Mul, s.x, 0.5);
            s.two(Mul, half, gate)
        }),
    ]
}

#[test]
fn it_fires_on_every_form_and_keeps_the_last_names() {
    for (i, (expected, spell)) in forms().into_iter().enumerate() {
        let mut s = spelling();
        let y = spell(&mut s);
        let name = s.b.graph().tensor(y).name.clone();
        let (graph, record) = s.run(y, &FuseActivations);
        let [_, node] = graph.nodes() else { panic!("form {i} of {expected:?}: {:?}", graph.nodes()) };
        assert_eq!((node.name.as_str(), node.output), (name.as_str(), y), "form {i}");
        match (&node.op, expected) {
            (Op::Activation(Activation::HardSigmoid { alpha, beta }), Activation::HardSigmoid { alpha: a, beta: b }) => {
                assert!((alpha - a).abs() < 1e-7 && (beta - b).abs() < 1e-7);
            }
            (op, expected) => assert_eq!(*op, Op::Activation(expected), "form {i}"),
        }
        assert_eq!(record.last().map(|f| f.outcome.clone()), Some(Ok(expected.name())), "form {i}");
    }
}

#[test]
fn it_declines_where_the_inside_is_read_elsewhere_or_handed_out() {
    for read_elsewhere in [true, false] {
        let mut s = spelling();
        let gate = s.of(Activation::Sigmoid, s.x);
        let y = s.two(Binary::Mul, s.x, gate);
        if read_elsewhere {
            let z = s.of(Activation::Abs, gate);
            s.b.output(z);
        } else {
            s.b.output(gate);
        }
        let nodes = s.b.graph().nodes().len();
        let (graph, record) = s.run(y, &FuseActivations);
        assert_eq!(graph.nodes().len(), nodes);
        let reason = match read_elsewhere {
            true => Reason::ReadElsewhere { tensor: "n1".into(), node: "n3".into() },
            false => Reason::IsOutput { tensor: "n1".into() },
        };
        assert_eq!(record.iter().map(|f| f.outcome.clone()).collect::<Vec<_>>(), [Err(reason)]);
    }
}

#[test]
fn other_constants_and_other_inputs_are_other_functions() {
    let others: [Spell; 6] = [
        |s| {
            let sum = s.with(Binary::Add, s.x, 2.0);
            let clip = s.of(Activation::Clip { min: 0.0, max: 6.0 }, sum);
            let product = s.two(Binary::Mul, s.x, clip);
            s.with(Binary::Div, product, 6.0)
        },
        |s| {
            let clip = relu6_of_x_plus_3(s);
            s.two(Binary::Mul, s.x, clip)
        },
        |s| {
            let other = s.of(Activation::Abs, s.x);
            let gate = s.of(Activation::Sigmoid, other);
            s.two(Binary::Mul, s.x, gate)
        },
        |s| {
            let gate = s.of(Activation::HardSigmoid { alpha: 0.2, beta: 0.5 }, s.x);
            s.two(Binary::Mul, s.x, gate)
        },
        |s| {
            let scaled = s.with(Binary::Mul, s.x, 0.5);
            let erf = s.of(Activation::Erf, scaled);
            let gate = s.with(Binary::Add, erf, 1.0);
            let product = s.two(Binary::Mul, s.x, gate);
            s.with(Binary::Mul, product, 0.5)
        },
        // An addition with a clip is a block's own.
        |s| {
            let sum = s.with(Binary::Add, s.x, 0.5);
            s.of(Activation::Clip { min: 0.0, max: 1.0 }, sum)
        },
    ];
    for (i, spell) in others.into_iter().enumerate() {
        let mut s = spelling();
        let y = spell(&mut s);
        let nodes = s.b.graph().nodes().to_vec();
        let (graph, record) = s.run(y, &FuseActivations);
        assert_eq!((graph.nodes(), &record[..]), (&nodes[..], &[][..]), "function {i}");
    }
}

#[test]
fn a_second_run_finds_nothing() {
    for (_, spell) in forms() {
        let mut s = spelling();
        let y = spell(&mut s);
        let (graph, _) = s.run(y, &FuseActivations);
        assert_eq!(run(graph.clone(), &[&FuseActivations]), (graph, Vec::new()));
    }
}

#[test]
fn a_number_that_adds_axes_is_left_alone() {
    let mut s = spelling();
    let clip = relu6_of_x_plus_3(&mut s);
    let product = s.two(Binary::Mul, s.x, clip);
    let sixth = s.b.constant("sixth", &[1; 5], vec![1.0 / 6.0]).unwrap();
    let y = s.two(Binary::Mul, product, sixth);
    let (graph, record) = s.run(y, &FuseActivations);
    assert_eq!(graph.nodes().len(), 5);
    assert_eq!(record[0].outcome, Err(Reason::OtherShape { node: "n4".into() }));
}
