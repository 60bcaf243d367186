//! Tensors and constants repeated to a shape, and constants that are joined to every sample.

use quantrain_graph::op::{Concat, Expand};
use quantrain_graph::{Dim, Op, Shape};

use super::{Problem, check};
use crate::random::Random;
use crate::tensor::Tensor;

/// `[N, extents…]` of two samples, every element that of `x` which broadcasts there.
fn repeated(x: &Tensor, extents: &[usize]) -> Tensor {
    let shape = [&[2], extents].concat();
    Tensor::from_fn(&shape, |index| {
        let own = &index[shape.len() - x.shape.len()..];
        x.at(&own.iter().zip(&x.shape).map(|(&i, &n)| if n == 1 { 0 } else { i }).collect::<Vec<_>>())
    })
}

fn problems() -> Vec<Problem> {
    let mut all = Vec::new();
    for (from, to) in [
        (&[1, 1, 8][..], &[1, 8][..]),
        (&[1, 2, 4, 5], &[2, 4, 5]),
        (&[2, 1, 5], &[2, 4, 5]),
        (&[8], &[3, 8]),
        (&[1, 2, 3, 4], &[5, 2, 3, 4]),
        (&[], &[3]),
    ] {
        let values = Random::new(3).values(from.iter().product(), -1.5, 1.5);
        let constant = Tensor::new(from, values.iter().map(|&v| f64::from(v)).collect());
        all.push(Problem::parts(
            &format!("Expand constant {from:?} to {to:?}, joined along the last axis"),
            &[&[&[2], to].concat()],
            move |b, x| {
                let constant = b.constant("constant", from, values.clone()).unwrap();
                let token = b.node("token", Op::Expand(Expand { to: Shape::batched(to) }), &[constant, x[0]], "token").unwrap();
                vec![b.node("y", Op::Concat(Concat { axis: -1 }), &[token, x[0]], "y").unwrap()]
            },
            move |x| {
                let (token, last) = (repeated(&constant, to), to[to.len() - 1]);
                let shape: Vec<usize> = [&[2], &to[..to.len() - 1], &[2 * last]].concat();
                vec![Tensor::from_fn(&shape, |index| {
                    let mut index = index.to_vec();
                    let at = index.last_mut().unwrap();
                    let of = if *at < last { &token } else { &x[0] };
                    *at %= last;
                    of.at(&index)
                })]
            },
        ));
    }
    for (from, to) in [(&[2, 1, 8][..], &[3, 8][..]), (&[2, 3, 1, 5], &[3, 4, 5]), (&[2, 1, 3, 4], &[5, 3, 4])] {
        let name = format!("Expand {from:?} to {to:?}");
        let op = Op::Expand(Expand { to: Shape::batched(to) });
        all.push(Problem::parts(
            &name,
            &[from],
            move |b, x| vec![b.node("y", op.clone(), &[x[0], x[0]], "y").unwrap()],
            move |x| vec![repeated(&x[0], to)],
        ));
    }
    let fixed = Op::Expand(Expand { to: Shape(vec![Dim::Fixed(2), Dim::Batch(1), Dim::Fixed(5)]) });
    all.push(Problem::parts(
        "Expand to an axis before the batch",
        &[&[2, 5]],
        move |b, x| vec![b.node("y", fixed.clone(), &[x[0], x[0]], "y").unwrap()],
        |x| vec![repeated(&x[0], &[2, 5])],
    ));
    all
}

#[test]
fn what_is_repeated_meets_its_reference() {
    check(problems());
}
