//! Pools over height and width.

use quantrain_graph::Op;
use quantrain_graph::op::{AveragePool, GlobalAveragePool, MaxPool, Window};

use super::{Problem, check};
use crate::tensor::Tensor;

const SHAPE: &[usize] = &[2, 3, 6, 7];

fn windows() -> Vec<Window> {
    let plain = Window::new([2, 2]);
    vec![
        Window { strides: [2, 2], ..plain },
        Window { strides: [2, 1], pads: [1, 1, 1, 1], ..Window::new([3, 3]) },
        Window { strides: [2, 2], pads: [0, 1, 2, 0], ..Window::new([3, 2]) },
        Window { strides: [3, 2], ceil: true, ..plain },
        Window { dilations: [2, 3], ..plain },
        Window { strides: [3, 3], pads: [0, 0, 1, 1], ceil: true, ..Window::new([3, 3]) },
    ]
}

/// The taps of an output pixel: values on the image, and how many lie on the padded image.
fn taps(window: Window, x: &Tensor, index: &[usize]) -> (Vec<f64>, usize) {
    let (mut values, mut padded) = (Vec::new(), 0);
    for i in 0..window.kernel[0] {
        for j in 0..window.kernel[1] {
            let at = |axis: usize, k: usize| {
                (index[axis + 2] * window.strides[axis] + k * window.dilations[axis]) as isize - window.pads[axis] as isize
            };
            let (h, w) = (at(0, i), at(1, j));
            let end = |axis: usize| (x.shape[axis + 2] + window.pads[axis + 2]) as isize;
            padded += usize::from(h < end(0) && w < end(1));
            values.extend(x.get(&[index[0] as isize, index[1] as isize, h, w]));
        }
    }
    (values, padded)
}

fn pool(window: Window, reduce: impl Fn(Vec<f64>, usize) -> f64 + 'static) -> impl Fn(&[Tensor]) -> Tensor + 'static {
    let [h, w] = window.output_extents(SHAPE[2], SHAPE[3]).unwrap();
    move |x| {
        Tensor::from_fn(&[SHAPE[0], SHAPE[1], h, w], |index| {
            let (values, padded) = taps(window, &x[0], index);
            reduce(values, padded)
        })
    }
}

fn problems() -> Vec<Problem> {
    let mut all = Vec::new();
    for window in windows() {
        let max = |v: Vec<f64>, _| v.into_iter().fold(f64::NEG_INFINITY, f64::max);
        all.push(Problem::operator(&format!("MaxPool {window:?}"), &[SHAPE], Op::MaxPool(MaxPool { window }), pool(window, max)));
        for count_include_pad in [false, true] {
            let op = Op::AveragePool(AveragePool { window, count_include_pad });
            let mean = move |v: Vec<f64>, padded: usize| v.iter().sum::<f64>() / if count_include_pad { padded } else { v.len() } as f64;
            all.push(Problem::operator(&format!("AveragePool {window:?} {count_include_pad}"), &[SHAPE], op, pool(window, mean)));
        }
    }
    all.push(Problem::operator("GlobalAveragePool", &[SHAPE], Op::GlobalAveragePool(GlobalAveragePool), |x| {
        let pixels = (SHAPE[2] * SHAPE[3]) as f64;
        let sum =
            |n: usize, c: usize| (0..SHAPE[2]).flat_map(|h| (0..SHAPE[3]).map(move |w| [n, c, h, w])).map(|i| x[0].at(&i)).sum::<f64>();
        Tensor::from_fn(&[SHAPE[0], SHAPE[1], 1, 1], |i| sum(i[0], i[1]) / pixels)
    }));
    all
}

#[test]
fn pools_meet_their_references() {
    check(problems());
}
