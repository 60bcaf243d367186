use super::*;

const RULES: [Rule; 5] = [
    Rule::Sgd(Sgd { momentum: 0.0, nesterov: false }),
    Rule::Sgd(Sgd { momentum: 0.9, nesterov: false }),
    Rule::Sgd(Sgd { momentum: 0.9, nesterov: true }),
    Rule::Adam(Adam { beta1: 0.9, beta2: 0.999, epsilon: 1e-8 }),
    Rule::AdamW(Adam { beta1: 0.9, beta2: 0.999, epsilon: 1e-8 }),
];

fn view<'a>(value: &'a mut [f32], gradient: &'a [f32]) -> ParameterView<'a> {
    ParameterView { name: "w", value, gradient, decay: true, rate_factor: 1.0 }
}

/// The value after each gradient, from `x`.
fn steps(mut optimizer: Optimizer, mut x: f32, rate: f32, gradients: &[f32]) -> Vec<f32> {
    let mut after = |g: &f32| {
        let mut value = [x];
        optimizer.step(rate, &mut [view(&mut value, &[*g])]).unwrap();
        x = value[0];
        x
    };
    gradients.iter().map(&mut after).collect()
}

fn assert_close(found: &[f32], expected: &[f32]) {
    assert_eq!(found.len(), expected.len());
    for (f, e) in found.iter().zip(expected) {
        assert!((f - e).abs() <= 1e-6 * e.abs().max(1.0), "{found:?} found, {expected:?} expected");
    }
}

#[test]
fn steps_have_the_values_of_the_published_formulas() {
    let sgd = |momentum, nesterov| Rule::Sgd(Sgd { momentum, nesterov });
    // v: 1, then 0.5·1 + 2 = 2.5.
    assert_close(&steps(Optimizer::new(sgd(0.5, false), 0.0, None), 1.0, 0.1, &[1.0, 2.0]), &[0.9, 0.65]);
    // g + 0.5·v: 1.5, then 2 + 1.25.
    assert_close(&steps(Optimizer::new(sgd(0.5, true), 0.0, None), 1.0, 0.1, &[1.0, 2.0]), &[0.85, 0.525]);
    // Decay 0.1 on x = 1: g = 1.1; on 0.89: g = 2.089.
    assert_close(&steps(Optimizer::new(sgd(0.0, false), 0.1, None), 1.0, 0.1, &[1.0, 2.0]), &[0.89, 0.6811]);
    // Adam's first step is the rate times the sign; then m̂ = (0.09·1 + 0.1·2)/0.19... by hand:
    // m = 0.1, 0.29; m̂ = 1, 0.29/0.19; v = 0.001, 0.004999; v̂ = 1, 0.004999/0.001999.
    let second = 0.1 * (0.29 / 0.19) / (0.004999f64 / 0.001999).sqrt();
    let adam = Adam::default();
    assert_close(&steps(Optimizer::new(Rule::Adam(adam), 0.0, None), 1.0, 0.1, &[1.0, 2.0]), &[0.9, (0.9 - second) as f32]);
    // Decoupled decay takes rate·decay = 1 % of the value first.
    let decayed = 0.99 - 0.1;
    assert_close(&steps(Optimizer::new(Rule::AdamW(adam), 0.1, None), 1.0, 0.1, &[1.0, 2.0]), &[decayed, decayed * 0.99 - second as f32]);
    // Coupled decay hides in Adam's first step, which has the size of the rate whatever the gradient.
    assert_close(&steps(Optimizer::new(Rule::Adam(adam), 0.1, None), 1.0, 0.1, &[1.0]), &[0.9]);
}

#[test]
fn a_quadratic_converges() {
    for rule in RULES {
        let mut optimizer = Optimizer::new(rule, 0.0, None);
        let mut x = [4.0f32, -3.0, 0.5];
        for step in 0..2000 {
            let gradient = [x[0] - 1.0, 3.0 * (x[1] - 2.0), 0.5 * (x[2] + 1.0)];
            let rate = 0.1 * (1.0 - step as f32 / 2000.0);
            optimizer.step(rate, &mut [view(&mut x, &gradient)]).unwrap();
        }
        assert!((x[0] - 1.0).abs() < 1e-3 && (x[1] - 2.0).abs() < 1e-3 && (x[2] + 1.0).abs() < 1e-3, "{rule:?}: {x:?}");
    }
}

#[test]
fn decay_and_rate_follow_the_parameter() {
    let mut optimizer = Optimizer::new(RULES[0], 0.5, None);
    let (mut a, mut b) = ([1.0], [1.0]);
    let frozen = ParameterView { name: "b", value: &mut b, gradient: &[1.0], decay: false, rate_factor: 0.5 };
    optimizer.step(0.1, &mut [ParameterView { name: "a", ..view(&mut a, &[1.0]) }, frozen]).unwrap();
    assert_close(&[a[0], b[0]], &[0.85, 0.95]);
}

#[test]
fn clipping_scales_all_gradients_by_their_global_norm() {
    let mut optimizer = Optimizer::new(RULES[0], 0.0, Some(1.0));
    let (mut a, mut b) = ([0.0], [0.0]);
    let mut parameters = [ParameterView { name: "a", ..view(&mut a, &[3.0]) }, ParameterView { name: "b", ..view(&mut b, &[4.0]) }];
    assert_eq!(optimizer.step(1.0, &mut parameters), Ok(5.0));
    assert_close(&[a[0], b[0]], &[-0.6, -0.8]);
    let mut c = [0.0];
    let mut gentle = Optimizer::new(RULES[0], 0.0, Some(1.0));
    assert_eq!(gentle.step(1.0, &mut [view(&mut c, &[0.5])]), Ok(0.5));
    assert_eq!(c, [-0.5]);
}

#[test]
fn the_norm_counts_every_value() {
    let gradient: Vec<f32> = (1..=37).map(|i| i as f32).collect();
    let mut value = vec![0.0; 37];
    let norm = Optimizer::new(RULES[0], 0.0, None).step(0.0, &mut [view(&mut value, &gradient)]).unwrap();
    assert_close(&[norm], &[(37.0f32 * 38.0 * 75.0 / 6.0).sqrt()]);
}

#[test]
fn a_restored_state_goes_on_with_the_same_bits() {
    for rule in RULES {
        let gradients: Vec<f32> = (0..9).map(|i| (i as f32 * 0.7).sin()).collect();
        let run = |optimizer: &mut Optimizer, x: &mut [f32], gradients: &[f32]| {
            for g in gradients {
                optimizer.step(0.01, &mut [view(x, &[*g, -g])]).unwrap();
            }
        };
        let mut whole = (Optimizer::new(rule, 0.01, Some(0.5)), [1.0, 2.0]);
        run(&mut whole.0, &mut whole.1, &gradients);
        let mut first = (Optimizer::new(rule, 0.01, Some(0.5)), [1.0, 2.0]);
        run(&mut first.0, &mut first.1, &gradients[..4]);
        let mut second = (Optimizer::new(rule, 0.01, Some(0.5)), first.1);
        second.0.restore(first.0.state()).unwrap();
        run(&mut second.0, &mut second.1, &gradients[4..]);
        assert_eq!(second.1.map(f32::to_bits), whole.1.map(f32::to_bits));
        assert_eq!(second.0.state(), whole.0.state());
    }
}

#[test]
fn each_mistake_has_its_error_and_changes_nothing() {
    let mut optimizer = Optimizer::new(RULES[1], 0.0, None);
    let mut x = [1.0];
    let nan = optimizer.step(0.1, &mut [view(&mut x, &[f32::NAN])]);
    assert_eq!(nan, Err(OptimizerError::NotFinite { parameter: "w".into() }));
    assert_eq!((x, optimizer.state().steps), ([1.0], 0));
    let length = optimizer.step(0.1, &mut [view(&mut x, &[1.0, 2.0])]);
    assert_eq!(length, Err(OptimizerError::Length { parameter: "w".into(), found: 2, expected: 1 }));
    let name = optimizer.step(0.1, &mut [ParameterView { name: "v", ..view(&mut x, &[1.0]) }]);
    assert_eq!(name, Err(OptimizerError::ParameterName { found: "v".into(), expected: "w".into() }));
    assert_eq!(optimizer.step(0.1, &mut []), Err(OptimizerError::ParameterCount { found: 0, expected: 1 }));
    let state = |names: &[&str]| OptimizerState { steps: 1, tensors: names.iter().map(|n| (n.to_string(), vec![0.0])).collect() };
    let mut adam = Optimizer::new(RULES[3], 0.0, None);
    for names in [&["w/momentum"][..], &["w/mean"], &["w/mean", "v/variance"], &["w/mean", "w/mean"]] {
        assert!(matches!(adam.restore(state(names)), Err(OptimizerError::StateTensor { .. })), "{names:?}");
    }
    adam.restore(state(&["w/mean", "w/variance", "v/mean", "v/variance"])).unwrap();
}
