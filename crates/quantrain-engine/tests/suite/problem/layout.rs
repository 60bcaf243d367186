//! Operators that move elements: images lie NHWC inside, so every one of them has something to get wrong.

use quantrain_graph::op::{
    Concat, DepthOrder, DepthToSpace, Extent, Flatten, Gather, Pad, PadMode, Reshape, Slice, SpaceToDepth, Tile, Transpose,
};
use quantrain_graph::{Dim, Op};

use super::{Problem, check};
use crate::tensor::Tensor;

fn concats() -> Vec<Problem> {
    let cases: [(i64, Vec<Vec<usize>>); 7] = [
        (1, vec![vec![2, 3, 4, 5], vec![2, 1, 4, 5], vec![2, 2, 4, 5]]),
        (-2, vec![vec![2, 3, 4, 5], vec![2, 3, 2, 5]]),
        (3, vec![vec![2, 3, 4, 5], vec![2, 3, 4, 1]]),
        (1, vec![vec![2, 3], vec![2, 4]]),
        (2, vec![vec![2, 3, 4], vec![2, 3, 1]]),
        (1, vec![vec![2, 2, 3, 2, 2], vec![2, 1, 3, 2, 2]]),
        (1, vec![vec![2, 3, 4, 5]]),
    ];
    let problem = |(axis, shapes): (i64, Vec<Vec<usize>>)| {
        let inputs: Vec<&[usize]> = shapes.iter().map(Vec::as_slice).collect();
        let at = axis.rem_euclid(shapes[0].len() as i64) as usize;
        Problem::operator(&format!("Concat {axis} {shapes:?}"), &inputs, Op::Concat(Concat { axis }), move |x| {
            let mut shape = x[0].shape.clone();
            shape[at] = x.iter().map(|t| t.shape[at]).sum();
            Tensor::from_fn(&shape, |index| {
                let mut index = index.to_vec();
                let mut which = 0;
                while index[at] >= x[which].shape[at] {
                    index[at] -= x[which].shape[at];
                    which += 1;
                }
                x[which].at(&index)
            })
        })
    };
    cases.into_iter().map(problem).collect()
}

/// Start, end, axis, step.
type Cut = (i64, i64, i64, i64);

fn slices() -> Vec<Problem> {
    let cases: [(&[usize], &[Cut]); 7] = [
        (&[2, 3, 6, 5], &[(0, i64::MAX, 2, 2)]),
        (&[2, 3, 6, 5], &[(1, i64::MAX, 2, 2), (1, i64::MAX, 3, 2)]),
        (&[2, 3, 6, 5], &[(-1, i64::MIN, 1, -1)]),
        (&[2, 3, 6, 5], &[(-2, 0, -2, -2), (100, 1, 3, -1)]),
        (&[2, 3, 6, 5], &[(1, 3, 1, 1)]),
        (&[2, 7], &[(5, 0, 1, -2)]),
        (&[2, 3, 4, 2, 2], &[(2, 0, 2, -1)]),
    ];
    // Python's slicing: indices of one axis, in order.
    let walk = |(start, end, _, step): Cut, extent: usize| -> Vec<usize> {
        let n = extent as i64;
        let from_front = |v: i64| if v < 0 { v.saturating_add(n) } else { v };
        let inside = |i: i64| (0..n).contains(&i);
        let (mut at, end) = (from_front(start), from_front(end));
        at = if step > 0 { at.max(0) } else { at.min(n - 1) };
        let mut all = Vec::new();
        while inside(at) && (if step > 0 { at < end } else { at > end }) {
            all.push(at as usize);
            at += step;
        }
        all
    };
    let problem = |(shape, cuts): (&'static [usize], &'static [Cut])| {
        let of = |f: fn(&Cut) -> i64| cuts.iter().map(f).collect::<Vec<_>>();
        let op = Slice { starts: of(|c| c.0), ends: of(|c| c.1), axes: of(|c| c.2), steps: of(|c| c.3) };
        Problem::operator(&format!("Slice {shape:?} {cuts:?}"), &[shape], Op::Slice(op), move |x| {
            let mut walks: Vec<Vec<usize>> = x[0].shape.iter().map(|&n| (0..n).collect()).collect();
            for &cut in cuts {
                let axis = cut.2.rem_euclid(shape.len() as i64) as usize;
                walks[axis] = walk(cut, shape[axis]);
            }
            let extents: Vec<usize> = walks.iter().map(Vec::len).collect();
            Tensor::from_fn(&extents, |index| x[0].at(&index.iter().zip(&walks).map(|(&i, w)| w[i]).collect::<Vec<_>>()))
        })
    };
    cases.into_iter().map(problem).collect()
}

fn pads() -> Vec<Problem> {
    let modes = [PadMode::Constant(0.0), PadMode::Constant(0.75), PadMode::Edge, PadMode::Reflect, PadMode::Wrap];
    let amounts: [(&[usize], &[usize]); 4] = [
        (&[2, 3, 4, 5], &[0, 0, 1, 2, 0, 0, 3, 1]),
        (&[2, 3, 4, 5], &[0, 2, 0, 0, 0, 1, 0, 0]),
        (&[2, 6], &[0, 1, 0, 3]),
        (&[2, 3, 4], &[0, 0, 2, 0, 1, 0]),
    ];
    let mut all = Vec::new();
    for mode in modes {
        for (shape, pads) in amounts {
            let op = Op::Pad(Pad { pads: pads.to_vec(), mode });
            all.push(Problem::operator(&format!("Pad {mode:?} {shape:?} {pads:?}"), &[shape], op, move |x| {
                let rank = shape.len();
                let extents: Vec<usize> = (0..rank).map(|a| shape[a] + pads[a] + pads[a + rank]).collect();
                Tensor::from_fn(&extents, |index| {
                    let at = |a: usize| index[a] as isize - pads[a] as isize;
                    let last = |a: usize| shape[a] as isize - 1;
                    let source: Vec<isize> = (0..rank)
                        .map(|a| match mode {
                            PadMode::Constant(_) => at(a),
                            PadMode::Edge => at(a).clamp(0, last(a)),
                            PadMode::Reflect => last(a) - (last(a) - at(a).abs()).abs(),
                            PadMode::Wrap => at(a).rem_euclid(last(a) + 1),
                        })
                        .collect();
                    // Only constants reach outside; NaN would fail every comparison.
                    let fill = if let PadMode::Constant(v) = mode { f64::from(v) } else { f64::NAN };
                    x[0].get(&source).unwrap_or(fill)
                })
            }));
        }
    }
    all
}

fn reshapes() -> Vec<Problem> {
    let cases: [(&[usize], &[usize]); 9] = [
        (&[2, 3, 4, 5], &[60]),
        (&[2, 3, 4, 5], &[4, 5, 3]),
        (&[2, 3, 4, 5], &[12, 5]),
        (&[2, 60], &[3, 4, 5]),
        (&[2, 6, 10], &[3, 4, 5]),
        (&[2, 6, 2, 3], &[2, 3, 2, 3]),
        (&[2, 2, 3, 2, 3], &[6, 2, 3]),
        (&[2, 6, 1, 1], &[6]),
        (&[2, 6], &[6, 1, 1]),
    ];
    let problem = |(from, to): (&'static [usize], &'static [usize])| {
        let extents = std::iter::once(Extent::Copy).chain(to.iter().map(|&n| Extent::Is(Dim::Fixed(n)))).collect();
        Problem::operator(&format!("Reshape {from:?} {to:?}"), &[from], Op::Reshape(Reshape { extents }), move |x| {
            Tensor::new(&[&from[..1], to].concat(), x[0].data.clone())
        })
    };
    let mut all: Vec<Problem> = cases.into_iter().map(problem).collect();
    for (axis, shape) in [(1, [2, 60]), (-4, [1, 120]), (3, [24, 5]), (4, [120, 1]), (2, [6, 20])] {
        let op = Op::Flatten(Flatten { axis });
        let image: &[usize] = &[2, 3, 4, 5];
        all.push(Problem::operator(&format!("Flatten {axis}"), &[image], op, move |x| Tensor::new(&shape, x[0].data.clone())));
    }
    all
}

fn transposes() -> Vec<Problem> {
    let cases: [(&[usize], &[usize]); 8] = [
        (&[2, 3, 4, 5], &[0, 2, 3, 1]),
        (&[2, 3, 4, 5], &[0, 3, 1, 2]),
        (&[2, 3, 4, 5], &[0, 1, 3, 2]),
        (&[2, 3, 4, 5], &[3, 2, 1, 0]),
        (&[2, 3, 4, 5], &[0, 1, 2, 3]),
        (&[2, 3, 4], &[0, 2, 1]),
        (&[2, 5], &[1, 0]),
        (&[2, 2, 3, 2, 3], &[0, 2, 1, 3, 4]),
    ];
    let problem = |(shape, permutation): (&'static [usize], &'static [usize])| {
        let op = Op::Transpose(Transpose { permutation: permutation.to_vec() });
        Problem::operator(&format!("Transpose {shape:?} {permutation:?}"), &[shape], op, move |x| {
            let extents: Vec<usize> = permutation.iter().map(|&a| shape[a]).collect();
            Tensor::from_fn(&extents, |index| {
                let mut source = vec![0; index.len()];
                permutation.iter().zip(index).for_each(|(&axis, &i)| source[axis] = i);
                x[0].at(&source)
            })
        })
    };
    cases.into_iter().map(problem).collect()
}

#[test]
fn concats_meet_their_references() {
    check(concats());
}

#[test]
fn slices_meet_their_references() {
    check(slices());
}

#[test]
fn pads_meet_their_references() {
    check(pads());
}

#[test]
fn reshapes_meet_their_references() {
    check(reshapes());
}

#[test]
fn transposes_meet_their_references() {
    check(transposes());
}

#[test]
fn an_identity_meets_its_reference() {
    check(vec![Problem::operator("Identity", &[&[2, 3, 4, 5]], Op::Identity, |x| x[0].clone())]);
}

fn blocks() -> Vec<Problem> {
    let mut all = Vec::new();
    for order in [DepthOrder::BlockFirst, DepthOrder::ChannelFirst] {
        let op = Op::DepthToSpace(DepthToSpace { block: 2, order });
        all.push(Problem::operator(&format!("DepthToSpace {order:?}"), &[&[2, 12, 2, 3]], op, move |x| {
            Tensor::from_fn(&[2, 3, 4, 6], |i| {
                let (row, column) = (i[2] % 2, i[3] % 2);
                let channel = match order {
                    DepthOrder::BlockFirst => (row * 2 + column) * 3 + i[1],
                    DepthOrder::ChannelFirst => i[1] * 4 + row * 2 + column,
                };
                x[0].at(&[i[0], channel, i[2] / 2, i[3] / 2])
            })
        }));
    }
    all.push(Problem::operator("SpaceToDepth", &[&[2, 3, 4, 6]], Op::SpaceToDepth(SpaceToDepth { block: 2 }), |x| {
        Tensor::from_fn(&[2, 12, 2, 3], |i| {
            let (row, column) = (i[1] / 3 / 2, i[1] / 3 % 2);
            x[0].at(&[i[0], i[1] % 3, 2 * i[2] + row, 2 * i[3] + column])
        })
    }));
    all
}

fn picks() -> Vec<Problem> {
    let mut all = Vec::new();
    let cases: [(&'static [usize], i64, &'static [usize]); 4] =
        [(&[2, 4, 3, 5], 1, &[3, 0, 0, 2, 3]), (&[2, 4, 3, 5], -1, &[4]), (&[2, 4, 3], 2, &[2, 1, 0]), (&[3, 6], 1, &[5, 5, 0])];
    for (shape, axis, picked) in cases {
        let at = axis.rem_euclid(shape.len() as i64) as usize;
        let op = Op::Gather(Gather { axis, indices: picked.to_vec() });
        all.push(Problem::operator(&format!("Gather {shape:?} {axis} {picked:?}"), &[shape], op, move |x| {
            let mut extents = shape.to_vec();
            extents[at] = picked.len();
            Tensor::from_fn(&extents, |i| {
                let mut i = i.to_vec();
                i[at] = picked[i[at]];
                x[0].at(&i)
            })
        }));
    }
    let cases: [(&'static [usize], &'static [usize]); 3] =
        [(&[2, 3, 2, 4], &[1, 2, 1, 3]), (&[2, 1, 4, 1], &[1, 5, 1, 3]), (&[2, 3, 4], &[1, 1, 2])];
    for (shape, repeats) in cases {
        let op = Op::Tile(Tile { repeats: repeats.to_vec() });
        all.push(Problem::operator(&format!("Tile {shape:?} {repeats:?}"), &[shape], op, move |x| {
            let extents: Vec<usize> = shape.iter().zip(repeats).map(|(n, r)| n * r).collect();
            Tensor::from_fn(&extents, |i| x[0].at(&i.iter().zip(shape).map(|(i, n)| i % n).collect::<Vec<_>>()))
        }));
    }
    all
}

#[test]
fn blocks_of_pixels_meet_their_references() {
    check(blocks());
}

#[test]
fn picked_and_repeated_elements_meet_their_references() {
    check(picks());
}
