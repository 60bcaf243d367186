use super::*;
use crate::test_data::floats;

/// The formulas in f64.
fn plain(step: &Step, half: f64, [v, mean, square]: [f64; 3]) -> [f64; 3] {
    let sigma = 1.0 / (1.0 + (-v).exp());
    let h = (sigma * 1.2 - 0.1).clamp(0.0, 1.0);
    let away = 2.0 * h - 1.0;
    let (strength, beta) = (f64::from(step.drive.0), f64::from(step.drive.1));
    let driven = -strength * 2.0 * beta * away.abs().powf(beta - 1.0) * away.signum();
    let by_h = 2.0 * half / f64::from(step.unit) + driven;
    let gradient = if h > 0.0 && h < 1.0 { by_h * 1.2 * sigma * (1.0 - sigma) } else { 0.0 };
    let (mean, square) = (0.9 * mean + 0.1 * gradient, 0.999 * square + 0.001 * gradient * gradient);
    let corrections = (1.0 - 0.9f64.powi(step.number), 1.0 - 0.999f64.powi(step.number));
    [v - f64::from(step.rate) * (mean / corrections.0) / ((square / corrections.1).sqrt() + 1e-8), mean, square]
}

#[test]
fn a_step_is_that_of_the_formulas() {
    let count = 1003;
    for drive in [(0.0, 20.0), (0.02, 11.3), (0.5, 2.0)] {
        let (mut v, mut mean, mut square) = (floats(1, count), vec![0.0; count], vec![0.0; count]);
        v[5] = 0.0;
        for number in 1..=3 {
            let half = floats(10 + number as u64, count);
            let step = Step { rate: 0.02, drive, number, unit: 0.7 };
            let before: Vec<[f64; 3]> = (0..count).map(|i| [v[i], mean[i], square[i]].map(f64::from)).collect();
            update(&step, &half, Learned { v: &mut v, mean: &mut mean, square: &mut square });
            for i in 0..count {
                let expected = plain(&step, half[i].into(), before[i]);
                // The quotient of small moments keeps fewer digits than they have.
                assert!((f64::from(v[i]) - expected[0]).abs() < 2e-5, "{drive:?} {i}: {} {expected:?}", v[i]);
                assert!((f64::from(mean[i]) - expected[1]).abs() < 1e-5 && (f64::from(square[i]) - expected[2]).abs() < 1e-6);
            }
        }
    }
}

#[test]
fn codes_are_between_the_neighbours() {
    let v = [-30.0, -0.7, 0.0, 0.7, 30.0, f32::INFINITY];
    let mut codes = [0.0; 6];
    soft_codes(&[4.0, 4.0, -3.0, 0.0, 1.0, 6.0], &v, &mut codes);
    let soft = |v: f64| (1.2 / (1.0 + (-v).exp()) - 0.1).clamp(0.0, 1.0);
    for (code, expected) in codes.iter().zip([4.0, 4.0 + soft(-0.7), -2.5, soft(0.7), 2.0, 7.0]) {
        assert!((f64::from(*code) - expected).abs() < 1e-5, "{code} {expected}");
    }
}

#[test]
fn what_is_settled_stays() {
    let (mut v, mut mean, mut square) = ([f32::INFINITY; 9], [0.0; 9], [0.0; 9]);
    let step = Step { rate: 0.02, drive: (0.02, 5.0), number: 1, unit: 1.0 };
    update(&step, &[3.0; 9], Learned { v: &mut v, mean: &mut mean, square: &mut square });
    assert_eq!((v, mean), ([f32::INFINITY; 9], [0.0; 9]));
}
