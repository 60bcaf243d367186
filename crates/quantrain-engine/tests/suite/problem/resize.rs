//! Resize of height and width, by the words of ONNX's operator page.

use quantrain_graph::Op;
use quantrain_graph::op::{Coordinates, Interpolation, NearestMode, Resize, ResizeTo};

use super::{Problem, check};
use crate::tensor::Tensor;

const SHAPE: [usize; 4] = [2, 3, 4, 5];

fn original(coordinates: Coordinates, i: usize, input: usize, output: usize) -> f64 {
    let (i, scale) = (i as f64, output as f64 / input as f64);
    match coordinates {
        Coordinates::PytorchHalfPixel | Coordinates::AlignCorners if output == 1 => 0.0,
        Coordinates::HalfPixel | Coordinates::PytorchHalfPixel => (i + 0.5) / scale - 0.5,
        Coordinates::Asymmetric => i / scale,
        Coordinates::AlignCorners => i * (input - 1) as f64 / (output - 1) as f64,
        // A scale that gives the size needs no adjustment.
        Coordinates::HalfPixelSymmetric => (i + 0.5) / scale - 0.5,
    }
}

/// Neighbours of a place, and their weights.
fn neighbours(interpolation: Interpolation, at: f64, input: usize) -> Vec<(usize, f64)> {
    let last = (input - 1) as f64;
    match interpolation {
        Interpolation::Nearest(mode) => {
            let tie = at - at.floor() == 0.5;
            let nearest = match mode {
                NearestMode::Floor => at.floor(),
                NearestMode::Ceil => at.ceil(),
                NearestMode::RoundPreferFloor if tie => at.floor(),
                NearestMode::RoundPreferCeil if tie => at.ceil(),
                NearestMode::RoundPreferFloor | NearestMode::RoundPreferCeil => at.round(),
            };
            vec![(nearest.clamp(0.0, last) as usize, 1.0)]
        }
        Interpolation::Linear => {
            let (low, share) = (at.floor(), at - at.floor());
            let place = |v: f64| v.clamp(0.0, last) as usize;
            vec![(place(low), 1.0 - share), (place(low + 1.0), share)]
        }
        Interpolation::Cubic { a, exclude_outside } => {
            let (a, low, t) = (f64::from(a), at.floor(), at - at.floor());
            let far = |t: f64| ((a * t - 5.0 * a) * t + 8.0 * a) * t - 4.0 * a;
            let near = |t: f64| ((a + 2.0) * t - (a + 3.0)) * t * t + 1.0;
            let weights = [(low - 1.0, far(t + 1.0)), (low, near(t)), (low + 1.0, near(1.0 - t)), (low + 2.0, far(2.0 - t))];
            let kept: Vec<_> = weights.into_iter().filter(|(i, _)| !exclude_outside || (0.0..=last).contains(i)).collect();
            let sum: f64 = kept.iter().map(|k| k.1).sum();
            kept.into_iter().map(|(i, w)| (i.clamp(0.0, last) as usize, if exclude_outside { w / sum } else { w })).collect()
        }
    }
}

fn problems() -> Vec<Problem> {
    use NearestMode::*;
    let nearest = [RoundPreferFloor, RoundPreferCeil, Floor, Ceil].map(Interpolation::Nearest);
    let mut all = Vec::new();
    let cubic = [false, true].map(|exclude_outside| Interpolation::Cubic { a: -0.75, exclude_outside });
    for coordinates in [
        Coordinates::HalfPixel,
        Coordinates::PytorchHalfPixel,
        Coordinates::Asymmetric,
        Coordinates::AlignCorners,
        Coordinates::HalfPixelSymmetric,
    ] {
        for interpolation in nearest.into_iter().chain([Interpolation::Linear]).chain(cubic) {
            let few = coordinates == Coordinates::HalfPixelSymmetric;
            let sizes: &[[usize; 2]] = if few { &[[2, 7]] } else { &[[8, 10], [2, 3], [1, 7], [4, 5]] };
            let sizes = if cubic.contains(&interpolation) { &sizes[..1] } else { sizes };
            for &[h, w] in sizes {
                let op = Op::Resize(Resize { to: ResizeTo::Sizes([h, w]), coordinates, interpolation });
                let name = format!("Resize {coordinates:?} {interpolation:?} {h}x{w}");
                let problem = Problem::operator(&name, &[&SHAPE], op, move |x| {
                    Tensor::from_fn(&[SHAPE[0], SHAPE[1], h, w], |i| {
                        let rows = neighbours(interpolation, original(coordinates, i[2], SHAPE[2], h), SHAPE[2]);
                        let columns = neighbours(interpolation, original(coordinates, i[3], SHAPE[3], w), SHAPE[3]);
                        let pairs = rows.iter().flat_map(|r| columns.iter().map(move |c| (r, c)));
                        pairs.map(|(r, c)| r.1 * c.1 * x[0].at(&[i[0], i[1], r.0, c.0])).sum()
                    })
                });
                // Weights below 0 make sums of more than the inputs' size.
                all.push(problem.limits(-1.0, 1.0));
            }
        }
    }
    let op = Op::Resize(Resize {
        to: ResizeTo::Scales([2.0, 2.0]),
        coordinates: Coordinates::Asymmetric,
        interpolation: Interpolation::Nearest(Floor),
    });
    all.push(Problem::operator("Resize by 2", &[&SHAPE], op, |x| {
        Tensor::from_fn(&[SHAPE[0], SHAPE[1], 8, 10], |i| x[0].at(&[i[0], i[1], i[2] / 2, i[3] / 2]))
    }));
    all
}

#[test]
fn resizes_meet_their_references() {
    check(problems());
}
