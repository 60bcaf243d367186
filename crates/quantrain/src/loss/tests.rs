use super::*;
use crate::LossError;

/// Numbers in −2..2 from a fixed seed (xorshift).
fn numbers(count: usize, mut seed: u64) -> Vec<f32> {
    let mut next = || {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        (seed >> 40) as f32 / (1u64 << 24) as f32 * 4.0 - 2.0
    };
    (0..count).map(|_| next()).collect()
}

/// Compares a gradient with central differences, to 1e-3 of the largest gradient.
fn check_gradient(output: &[f32], loss: impl Fn(&[f32], &mut [f32]) -> Result<f32, LossError>) {
    let mut gradient = vec![0.0; output.len()];
    let mut ignored = vec![0.0; output.len()];
    loss(output, &mut gradient).unwrap();
    let size = gradient.iter().fold(0.0f32, |m, g| m.max(g.abs()));
    assert!(size > 0.0);
    for i in 0..output.len() {
        let mut at = |step: f32| {
            let mut moved = output.to_vec();
            moved[i] += step;
            f64::from(loss(&moved, &mut ignored).unwrap())
        };
        // Richardson's rule on two step widths: the loss itself is only an f32.
        let slope = |h: f32, at: &mut dyn FnMut(f32) -> f64| (at(h) - at(-h)) / (2.0 * f64::from(h));
        let expected = (4.0 * slope(0.0625, &mut at) - slope(0.125, &mut at)) / 3.0;
        let error = (f64::from(gradient[i]) - expected).abs();
        assert!(error <= 1e-3 * f64::from(size), "value {i}: {} found, {expected} expected", gradient[i]);
    }
}

#[test]
fn gradients_agree_with_finite_differences() {
    let (y, t) = (numbers(20, 1), numbers(20, 2));
    let labels = [3i64, 0, 4, 1];
    let plain = CrossEntropy::default();
    let full = CrossEntropy { label_smoothing: 0.1, ignored_label: Some(4), class_weights: Some(vec![1.0, 0.5, 2.0, 3.0, 0.1]) };
    for loss in [plain, full] {
        check_gradient(&y, |y, g| loss.loss_and_gradient(y, &labels, 5, g));
    }
    check_gradient(&y, |y, g| MeanSquaredError.loss_and_gradient(y, &t, g));
    // No step crosses a bend.
    let apart: Vec<f32> = y.iter().enumerate().map(|(i, y)| y + if i % 2 == 0 { 1.0 } else { -1.0 }).collect();
    for loss in [ValueLoss::MeanSquaredError, ValueLoss::L1, ValueLoss::Huber { delta: 0.3 }, ValueLoss::Huber { delta: 10.0 }] {
        check_gradient(&y, |y, g| loss.loss_and_gradient(y, &apart, g));
    }
    let truths: Vec<f32> = t.iter().map(|&t| f32::from(u8::from(t > 0.0))).collect();
    check_gradient(&y, |y, g| BinaryCrossEntropy.loss_and_gradient(y, &truths, g));
    for loss in [
        Distillation::KullbackLeibler { temperature: 1.0 },
        Distillation::KullbackLeibler { temperature: 4.0 },
        Distillation::MeanSquaredError,
        Distillation::Cosine,
    ] {
        check_gradient(&y, |y, g| loss.loss_and_gradient(y, &t, 5, g));
    }
}

#[test]
fn cross_entropy_has_the_values_of_the_formula() {
    let mut g = [0.0; 4];
    let loss = CrossEntropy::default().loss_and_gradient(&[0.0, 0.0, 0.0, 3f32.ln()], &[1, 1i64], 2, &mut g).unwrap();
    assert!((loss - (2f32.ln() + (4.0f32 / 3.0).ln()) / 2.0).abs() < 1e-6);
    assert!((g[0] - 0.25).abs() < 1e-6 && (g[3] + 0.125).abs() < 1e-6);
    // ε = 0.2 over two classes: targets 0.1 and 0.9.
    let smooth = CrossEntropy { label_smoothing: 0.2, ..CrossEntropy::default() };
    let loss = smooth.loss_and_gradient(&[0.0, 3f32.ln()], &[1i64], 2, &mut g[..2]).unwrap();
    assert!((loss - (0.1 * 4f32.ln() + 0.9 * (4.0f32 / 3.0).ln())).abs() < 1e-6);
    assert!((g[1] - (0.75 - 0.9)).abs() < 1e-6);
}

#[test]
fn class_weights_make_a_weighted_mean() {
    let loss = CrossEntropy { class_weights: Some(vec![1.0, 3.0]), ..CrossEntropy::default() };
    let mut g = [0.0; 4];
    let found = loss.loss_and_gradient(&[0.0, 0.0, 0.0, 3f32.ln()], &[0, 1i64], 2, &mut g).unwrap();
    assert!((found - (2f32.ln() + 3.0 * (4.0f32 / 3.0).ln()) / 4.0).abs() < 1e-6);
}

#[test]
fn ignored_rows_count_for_nothing() {
    let loss = CrossEntropy { ignored_label: Some(11), ..CrossEntropy::default() };
    let (mut g, mut alone) = ([9.0; 4], [9.0; 2]);
    let found = loss.loss_and_gradient(&[5.0, 1.0, 2.0, 1.0], &[11, 0i64], 2, &mut g).unwrap();
    assert_eq!(found, loss.loss_and_gradient(&[2.0, 1.0], &[0i64], 2, &mut alone).unwrap());
    assert_eq!(g, [0.0, 0.0, alone[0], alone[1]]);
    assert_eq!(loss.loss_and_gradient(&[5.0, 1.0], &[11i64], 2, &mut alone), Ok(0.0));
    assert_eq!(alone, [0.0, 0.0]);
}

#[test]
fn huge_logits_neither_overflow_nor_vanish() {
    let mut g = [0.0; 3];
    let loss = CrossEntropy::default().loss_and_gradient(&[1e30, -1e30, 0.0], &[0i64], 3, &mut g).unwrap();
    assert_eq!((loss, g), (0.0, [0.0, 0.0, 0.0]));
    let loss = CrossEntropy::default().loss_and_gradient(&[1000.0, 0.0, 0.0], &[1i64], 3, &mut g).unwrap();
    assert_eq!((loss, g), (1000.0, [1.0, -1.0, 0.0]));
    let kl = Distillation::KullbackLeibler { temperature: 1.0 };
    assert_eq!(kl.loss_and_gradient(&[0.0, 500.0], &[500.0, 0.0], 2, &mut g[..2]), Ok(500.0));
}

#[test]
fn a_student_like_its_teacher_has_no_loss() {
    let t = numbers(12, 3);
    for loss in [Distillation::KullbackLeibler { temperature: 2.0 }, Distillation::MeanSquaredError, Distillation::Cosine] {
        let mut g = vec![1.0; 12];
        assert!(loss.loss_and_gradient(&t, &t, 4, &mut g).unwrap().abs() < 1e-6);
        assert!(g.iter().all(|g| g.abs() < 1e-6));
    }
    let mut g = [1.0; 2];
    assert_eq!(Distillation::Cosine.loss_and_gradient(&[0.0, 0.0], &[1.0, 0.0], 2, &mut g), Ok(1.0));
    assert_eq!(g, [0.0, 0.0]);
}

#[test]
fn each_mistake_has_its_error() {
    let mut g = [0.0; 4];
    let ce = CrossEntropy::default();
    assert_eq!(ce.loss_and_gradient(&[0.0; 4], &[0, 2i64], 2, &mut g), Err(LossError::Label { label: 2, position: 1, classes: 2 }));
    assert_eq!(ce.loss_and_gradient(&[0.0; 4], &[-1, 0i64], 2, &mut g), Err(LossError::Label { label: -1, position: 0, classes: 2 }));
    assert!(matches!(
        ce.loss_and_gradient(&[0.0; 4], &[0i64], 2, &mut g),
        Err(LossError::Length { what: "logits", found: 2, expected: 1 })
    ));
    assert!(matches!(ce.loss_and_gradient(&[0.0; 4], &[0i64], 3, &mut g), Err(LossError::Rows { .. })));
    assert!(matches!(ce.loss_and_gradient::<i64>(&[], &[], 0, &mut []), Err(LossError::Rows { .. })));
    let nan = ce.loss_and_gradient(&[f32::NAN, 0.0], &[0i64], 2, &mut g[..2]);
    assert!(matches!(nan, Err(LossError::NotFinite { loss }) if loss.is_nan()));
    let weighted = CrossEntropy { class_weights: Some(vec![1.0]), ..ce };
    assert!(matches!(weighted.loss_and_gradient(&[0.0; 4], &[0, 1i64], 2, &mut g), Err(LossError::Length { what: "class weights", .. })));
    assert!(matches!(MeanSquaredError.loss_and_gradient(&[0.0; 4], &[0.0; 3], &mut g), Err(LossError::Length { what: "target", .. })));
    assert!(matches!(Distillation::Cosine.loss_and_gradient(&[0.0; 4], &[0.0; 4], 3, &mut g), Err(LossError::Rows { .. })));
}

#[test]
fn many_rows_are_the_sum_of_few() {
    let (logits, labels) = (numbers(3 * 10_000, 4), (0..10_000).map(|i| (i * i % 4) as u8).collect::<Vec<_>>());
    let loss = CrossEntropy { ignored_label: Some(3), ..CrossEntropy::default() };
    let mut g = vec![0.0; logits.len()];
    let whole = f64::from(loss.loss_and_gradient(&logits, &labels, 3, &mut g).unwrap());
    let counted = |labels: &[u8]| labels.iter().filter(|l| **l < 3).count() as f64;
    let mut few = vec![0.0; 300];
    let parts = logits.chunks(300).zip(labels.chunks(100));
    let sum: f64 = parts.map(|(x, l)| f64::from(loss.loss_and_gradient(x, l, 3, &mut few).unwrap()) * counted(l)).sum();
    assert!((whole - sum / counted(&labels)).abs() < 1e-5);
    let scale = (counted(&labels[9900..]) / counted(&labels)) as f32;
    assert!(g[29_700..].iter().zip(&few).all(|(g, f)| (g - f * scale).abs() < 1e-9));
}

#[test]
fn losses_of_values_and_truths_are_those_of_their_formulas() {
    let loss = |loss: ValueLoss| loss.loss_and_gradient(&[1.0, -1.0, 3.0], &[1.5, -1.0, 0.0], &mut [0.0; 3]).unwrap();
    assert_eq!(loss(ValueLoss::L1), 3.5 / 3.0);
    assert_eq!(loss(ValueLoss::Huber { delta: 1.0 }), (0.125 + 2.5) / 3.0);
    assert_eq!(loss(ValueLoss::MeanSquaredError), 9.25 / 3.0);
    let mut gradient = [0.0; 2];
    let found = BinaryCrossEntropy.loss_and_gradient(&[0.0, 100.0], &[1.0, 0.0], &mut gradient).unwrap();
    // ln 2 and 100, and no overflow.
    assert!((found - (2f32.ln() + 100.0) / 2.0).abs() < 1e-5, "{found}");
    assert_eq!(gradient, [-0.25, 0.5]);
}
