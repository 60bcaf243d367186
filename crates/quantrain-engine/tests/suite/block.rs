//! Blocks: every type × BatchNorm mode × gradient path × activation × target × bias.
//!
//! | compared | with |
//! |---|---|
//! | gradients of w, b, γ, β and of the input | finite differences of the surrogate (`surrogate`), in f64 |
//! | the same | the formulas of design section 5 in plain loops (`formula`), in f64 |
//! | values of a training step | the value path in f64, to half a step; to the bit where running statistics are used |
//! | running statistics | their formula |

mod case;
mod formula;
mod surrogate;

use quantrain_engine::{BatchNormMode, GradientPath, Mode, Training};
use quantrain_graph::{BiasLimit, QuantGraph, Range, Settings, Target};

use crate::executor::{Bench, EXECUTORS, Executor};
use crate::random::Random;
use crate::tally::Tally;
use crate::tensor::Tensor;
pub use case::{Activation, Case, Values, cases};
use surrogate::{Batch, Surrogate};

/// What a row of the table fixes beside the block's type.
#[derive(Clone, Copy, Debug)]
struct Setting {
    executor: Executor,
    path: GradientPath,
    /// `None` without BatchNorm.
    norm: Option<BatchNormMode>,
    bias: bool,
    activation: Activation,
}

fn settings(case: &Case) -> Vec<Setting> {
    let norms = [None, Some(BatchNormMode::Running), Some(BatchNormMode::Corrected), Some(BatchNormMode::Frozen)];
    let mut all = Vec::new();
    for executor in EXECUTORS {
        for path in [GradientPath::Float, GradientPath::Quantized, GradientPath::QuantizedUnmasked] {
            for norm in norms.into_iter().filter(|n| n.is_none() || case.folds_batch_norm()) {
                for bias in [false, true].into_iter().filter(|b| !b || case.has_bias()) {
                    for activation in Activation::ALL {
                        all.push(Setting { executor, path, norm, bias, activation });
                    }
                }
            }
        }
    }
    all
}

#[test]
fn gradients_and_values_of_every_block_meet_their_references() {
    let (mut differences, mut formulas, mut values, mut rows) = (Tally::default(), Tally::default(), 0, 0);
    let (mut masked, mut outputs, mut clipped_weights) = (0, 0, 0);
    for (c, case) in cases().iter().enumerate() {
        for (s, setting) in settings(case).into_iter().enumerate() {
            let trial = Trial::run(case, setting, (1000 * c + s) as u64);
            values += trial.check_values();
            trial.check_statistics();
            formulas.add(trial.check_formula());
            differences.add(trial.check_differences());
            masked += trial.surrogate.masked(&trial.surrogate.here);
            outputs += case.outputs();
            clipped_weights += trial.surrogate.clipped_weights();
            rows += 1;
        }
    }
    println!("{rows} settings: {values} values; against formulas {formulas:?}; against finite differences {differences:?}");
    println!("{masked} of {outputs} outputs masked, {clipped_weights} weights clipped");
    assert!(differences.compared > 10 * differences.dropped && differences.compared > 20 * rows);
    assert!(masked > outputs / 20 && masked < outputs / 2, "masks must matter: {masked} of {outputs}");
    assert!(clipped_weights > 0, "clipped weights must matter");
}

/// One training step of a block, and what it must equal.
struct Trial<'c> {
    case: &'c Case,
    setting: Setting,
    name: String,
    surrogate: Surrogate<'c>,
    output: Vec<f32>,
    /// The output of an evaluation of the same network, before the step.
    evaluated: Vec<f32>,
    gradients: Vec<(&'static str, Vec<f32>)>,
    statistics: Option<[Vec<f32>; 2]>,
}

impl<'c> Trial<'c> {
    fn run(case: &'c Case, setting: Setting, seed: u64) -> Self {
        let mut random = Random::new(seed);
        let per_tensor = setting.executor == Executor::Simulated("tidl-pow2");
        let values = Values::draw(case, &mut random, setting.bias, setting.norm.is_some(), per_tensor);
        Trial::of_values(case, setting, values, &mut random)
    }

    fn of_values(case: &'c Case, setting: Setting, values: Values, random: &mut Random) -> Self {
        let net = setting.executor.prepare(case.graph(&values, setting.activation));
        Trial::of_net(case, setting, net, values, random)
    }

    fn of_net(case: &'c Case, setting: Setting, mut net: QuantGraph, values: Values, random: &mut Random) -> Self {
        let name = format!("{} {setting:?}", case.name);
        let batch = case.input[0];
        set_ranges(&mut net, case, &values, setting);
        let identity: Vec<f32> = (0..batch * batch).map(|i| f32::from(u8::from(i / batch == i % batch))).collect();
        let training = Training { gradient_path: setting.path, batch_norm: setting.norm.unwrap_or(BatchNormMode::Running) };
        let surrogate = Surrogate::new(case, setting, &net, &values, random);

        let simulate = setting.executor.simulates();
        let mut bench = Bench::new(net, batch, simulate, training).unwrap();
        let step = std::mem::replace(&mut bench.mode, Mode { simulate, training: None });
        bench.forward(&[&identity]).unwrap();
        let evaluated = bench.output(0);
        bench.mode = step;
        bench.forward(&[&identity]).unwrap();
        let output = bench.output(0);
        let given = Tensor::new(&case.output, surrogate.given.clone());
        bench.backward(&[&given.to_memory()]);
        let names = ["w", "b", "gamma", "beta"].into_iter().filter(|n| bench.net.parameters().iter().any(|p| p.name == *n));
        let names: Vec<&'static str> = names.collect();
        let mut gradients: Vec<(&'static str, Vec<f32>)> = names.iter().map(|&n| (n, bench.gradient(n))).collect();
        gradients[0].1 = case.to_onnx_order(&gradients[0].1);
        gradients.push(("x", transpose(&bench.gradient("source.weight"), batch)));
        let statistics = values.norm.is_some().then(|| {
            ["mean", "variance"].map(|wanted| {
                let all = bench.net.statistics();
                all.iter().find(|(n, _)| *n == wanted).expect("the block has statistics").1.to_vec()
            })
        });
        Trial { case, setting, name, surrogate, output, evaluated, gradients, statistics }
    }

    /// Outputs are the value path's: to the bit what an evaluation gives where the batch's statistics play no part.
    fn check_values(&self) -> usize {
        let simulates = self.setting.executor.simulates();
        let uses_batch = match self.setting.norm {
            None | Some(BatchNormMode::Frozen) => false,
            Some(BatchNormMode::Running) => !simulates,
            Some(BatchNormMode::Corrected) => true,
        };
        if !uses_batch {
            assert_eq!(self.output, self.evaluated, "{}: a step and an evaluation", self.name);
        }
        let (step, expected) = (self.surrogate.step(), self.surrogate.value());
        for (i, (&found, expected)) in self.output.iter().zip(&expected).enumerate() {
            let off = (f64::from(found) - expected).abs();
            let tolerance = if simulates { 0.501 * step } else { 0.0 } + 2e-5 * expected.abs().max(1.0);
            assert!(off <= tolerance, "{}: output[{i}] is {found}, {expected} expected", self.name);
        }
        self.output.len()
    }

    /// `μ ← m·μ + (1−m)·μ_batch`; σ² likewise, unbiased. Of fewer than 16 values the share of the batch is smaller. Frozen ones stay.
    fn check_statistics(&self) {
        let (Some(found), Some(norm)) = (&self.statistics, &self.surrogate.values.norm) else { return };
        let moved = self.setting.norm != Some(BatchNormMode::Frozen);
        let keep = f64::from(case::MOMENTUM);
        let Batch { mean, variance, count } = self.surrogate.batch();
        for c in 0..self.case.channels() {
            let unbiased = variance[c] * count / (count - 1.0);
            let pairs = [(found[0][c], norm.mean[c], mean[c], count), (found[1][c], norm.variance[c], unbiased, count - 1.0)];
            for (found, old, new, freedom) in pairs {
                let keep = if count < 16.0 { 1.0 - (1.0 - keep) * freedom / 16.0 } else { keep };
                let old = f64::from(old);
                let expected = if moved { keep * old + (1.0 - keep) * new } else { old };
                assert!((f64::from(found) - expected).abs() < 1e-5 * expected.abs().max(1.0), "{}: {found}, not {expected}", self.name);
            }
        }
    }

    fn check_formula(&self) -> Tally {
        let mut tally = Tally::default();
        let expected = formula::gradients(&self.surrogate);
        for (name, found) in &self.gradients {
            let expected: Vec<Option<f64>> = expected.of(name).iter().map(|&v| Some(v)).collect();
            tally.gradients(&format!("{}: formula of {name}", self.name), found, &expected, 0.1);
        }
        tally
    }

    /// All of b, γ and β, and places of w and x all over.
    fn check_differences(&self) -> Tally {
        let mut tally = Tally::default();
        for (name, found) in &self.gradients {
            let stride = if matches!(*name, "w" | "x") { found.len().div_ceil(24) | 1 } else { 1 };
            let places: Vec<usize> = (0..found.len()).step_by(stride).collect();
            let expected: Vec<Option<f64>> = places.iter().map(|&i| self.surrogate.difference(name, i)).collect();
            let found: Vec<f32> = places.iter().map(|&i| found[i]).collect();
            tally.gradients(&format!("{}: difference of {name}", self.name), &found, &expected, 0.1);
        }
        tally
    }
}

/// The input lies inside its range; the output reaches out of its own, except where a Clip is to be the nearer limit.
fn set_ranges(net: &mut QuantGraph, case: &Case, values: &Values, setting: Setting) {
    let (low, high) = setting.activation.limits();
    let float = surrogate::float_output(case, values);
    let (least, most) = float.iter().fold((0.0f64, 0.0f64), |(a, b), &v| (a.min(v.clamp(low, high)), b.max(v.clamp(low, high))));
    let share = if setting.activation == Activation::Clip { 1.1 } else { 0.6 };
    let of_output = Range::new((share * least) as f32, (share * most) as f32);
    for q in net.quantizers_mut() {
        q.range = Some(match q.tensor.as_str() {
            "select" => Range::new(0.0, 255.0),
            "x" => Range::new(-1.0, 1.0),
            _ => of_output,
        });
    }
}

/// A matrix of rows of `columns` values, transposed.
fn transpose(values: &[f32], columns: usize) -> Vec<f32> {
    let rows = values.len() / columns;
    (0..values.len()).map(|i| values[i % rows * columns + i / rows]).collect()
}

/// The devkit truncates biases last, and that has no derivative there: shifts and biases learn nothing along its path, γ through ŵ only.
#[test]
fn under_the_devkit_s_biases_its_path_has_no_gradient_of_shifts() {
    let case = &cases()[0];
    let setting = |path| Setting {
        executor: Executor::Simulated("tidl-pow2"),
        path,
        norm: Some(BatchNormMode::Running),
        bias: true,
        activation: Activation::ALL[0],
    };
    let trial = |path, limit| {
        let mut random = Random::new(5);
        let values = Values::draw(case, &mut random, true, true, true);
        let source = quantrain_graph::LayerSettings { pattern: "source*".into(), float: true, ..Default::default() };
        let settings = Settings { layers: vec![source], bias_limit: Some(limit), ..Settings::default() };
        let net = QuantGraph::prepare(case.graph(&values, Activation::ALL[0]), Target::tidl_pow2(), &settings).unwrap();
        Trial::of_net(case, setting(path), net, values, &mut random)
    };
    let learned = |trial: &Trial| ["b", "beta"].map(|n| trial.gradients.iter().any(|g| g.0 == n && g.1.iter().any(|v| *v != 0.0)));
    assert_eq!(learned(&trial(GradientPath::QuantizedUnmasked, BiasLimit::DevkitSplit)), [false, false]);
    assert_eq!(learned(&trial(GradientPath::QuantizedUnmasked, BiasLimit::Saturate)), [true, true]);
    assert_eq!(learned(&trial(GradientPath::Quantized, BiasLimit::DevkitSplit)), [true, true]);
    let split = trial(GradientPath::QuantizedUnmasked, BiasLimit::DevkitSplit);
    let of = |name: &str| split.gradients.iter().find(|g| g.0 == name).expect("it is trained").1.clone();
    let (s, w, gamma) = (&split.surrogate, of("w"), of("gamma"));
    for (c, gamma) in gamma.iter().enumerate() {
        let of_channel = (0..w.len()).filter(|&i| s.channel_of_weight(i) == c);
        let expected: f64 = of_channel.map(|i| f64::from(w[i]) / s.factor[c] * s.here.w[i] / s.deviation[c]).sum();
        assert!((f64::from(*gamma) - expected).abs() < 1e-4 * expected.abs().max(1.0), "{gamma}, {expected} expected");
    }
}

/// γ = 0 makes ŵ, its range and the factor of a channel zero: whatever divides by one of them shows.
#[test]
fn a_channel_that_batch_norm_switches_off_has_finite_gradients() {
    let mut learns = 0;
    for (c, case) in cases().iter().enumerate().filter(|(_, case)| case.folds_batch_norm()) {
        for setting in settings(case).into_iter().filter(|s| s.norm.is_some()) {
            let mut values = Values::draw(case, &mut Random::new(c as u64), setting.bias, true, false);
            let norm = values.norm.as_mut().expect("values with a norm");
            (norm.gamma[0], norm.beta[0]) = (0.0, 0.5);
            let trial = Trial::of_values(case, setting, values, &mut Random::new(7));
            assert!(trial.output.iter().chain(trial.gradients.iter().flat_map(|g| &g.1)).all(|v| v.is_finite()), "{}", trial.name);
            if trial.surrogate.kind != surrogate::Kind::Corrected {
                trial.check_formula();
            }
            let gamma = &trial.gradients.iter().find(|g| g.0 == "gamma").expect("γ is trained").1;
            learns += usize::from(gamma[0] != 0.0);
        }
    }
    assert!(learns > 0);
}
