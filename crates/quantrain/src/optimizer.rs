//! Optimizers: what a gradient does to a parameter.
//!
//! An [`Optimizer`] is a [`Rule`] with weight decay and gradient clipping around it. All arithmetic is element by element and sums run in
//! a fixed order, so a step does not depend on threads, and a restored [`OptimizerState`] goes on with the same bits.

mod adam;
mod sgd;

pub use adam::Adam;
pub use sgd::Sgd;

use crate::OptimizerError;

/// A parameter as an optimizer sees it: the same list, in the same order, at every step.
#[derive(Debug)]
pub struct ParameterView<'a> {
    /// The name that state is kept under.
    pub name: &'a str,
    /// The values to change.
    pub value: &'a mut [f32],
    /// The gradient of the loss, as long as the values.
    pub gradient: &'a [f32],
    /// Whether weight decay applies.
    pub decay: bool,
    /// A factor on the learning rate.
    pub rate_factor: f32,
}

/// How a gradient changes a value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Rule {
    /// Gradient descent with momentum.
    Sgd(Sgd),
    /// Adam; weight decay is added to the gradient.
    Adam(Adam),
    /// AdamW: weight decay shrinks the value itself, by rate · decay (Loshchilov and Hutter 2019).
    AdamW(Adam),
}

impl Rule {
    /// The names of the moments kept for each value.
    fn moments(&self) -> &'static [&'static str] {
        match self {
            Rule::Sgd(_) => &["momentum"],
            Rule::Adam(_) | Rule::AdamW(_) => &["mean", "variance"],
        }
    }
}

/// What is the same for all values of a parameter in one step.
#[derive(Clone, Copy, Debug)]
struct Step {
    /// Learning rate, times the parameter's factor.
    rate: f32,
    /// Added to the gradient: decay · value.
    decay: f32,
    /// Factor on the gradient, from clipping.
    clip: f32,
    /// Number of this step, from 1.
    number: u64,
}

/// A rule with weight decay, gradient clipping and the moments of every parameter.
#[derive(Clone, Debug)]
pub struct Optimizer {
    rule: Rule,
    weight_decay: f32,
    clip_norm: Option<f32>,
    steps: u64,
    parameters: Vec<Moments>,
}

/// The moments of one parameter, in the order of [`Rule::moments`].
#[derive(Clone, Debug)]
struct Moments {
    name: String,
    values: Vec<Vec<f32>>,
}

/// All that an optimizer remembers between two steps.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct OptimizerState {
    /// Steps made.
    pub steps: u64,
    /// Moments by name, `PARAMETER/momentum` and the like, in the order of the parameters.
    pub tensors: Vec<(String, Vec<f32>)>,
}

impl Optimizer {
    /// An optimizer that has made no step. `weight_decay` is 0 or more; gradients whose global norm exceeds `clip_norm` are scaled down
    /// to it.
    pub fn new(rule: Rule, weight_decay: f32, clip_norm: Option<f32>) -> Self {
        Optimizer { rule, weight_decay, clip_norm, steps: 0, parameters: Vec::new() }
    }

    /// Changes every parameter by one step at a learning rate and returns the global norm of the gradients before clipping.
    ///
    /// # Errors
    /// A gradient that is not finite, a gradient of another length than its value, or parameters that are not those of the steps before.
    /// No value is changed then.
    pub fn step(&mut self, rate: f32, parameters: &mut [ParameterView<'_>]) -> Result<f32, OptimizerError> {
        if self.parameters.is_empty() {
            self.parameters = parameters.iter().map(|p| Moments::zero(&self.rule, p)).collect();
        }
        self.check(parameters)?;
        let norm = global_norm(parameters)?;
        self.steps += 1;
        // The form of PyTorch's clip_grad_norm_, with its 1e-6.
        let clip = self.clip_norm.map_or(1.0, |limit| (limit / (norm + 1e-6)).min(1.0));
        for (p, moments) in parameters.iter_mut().zip(&mut self.parameters) {
            let decay = if p.decay { self.weight_decay } else { 0.0 };
            let step = Step { rate: rate * p.rate_factor, decay, clip, number: self.steps };
            match (&self.rule, moments.values.as_mut_slice()) {
                (Rule::Sgd(sgd), [momentum]) => sgd.update(step, p.value, p.gradient, momentum),
                (Rule::Adam(adam), [mean, variance]) => adam.update(step, p.value, p.gradient, mean, variance),
                (Rule::AdamW(adam), [mean, variance]) => {
                    let kept = 1.0 - step.rate * step.decay;
                    p.value.iter_mut().for_each(|x| *x *= kept);
                    adam.update(Step { decay: 0.0, ..step }, p.value, p.gradient, mean, variance);
                }
                _ => unreachable!("moments are made and restored by the rule"),
            }
        }
        Ok(norm)
    }

    /// What a checkpoint holds.
    pub fn state(&self) -> OptimizerState {
        let named = |p: &Moments| {
            let names = self.rule.moments().iter().map(|moment| format!("{}/{moment}", p.name));
            names.zip(p.values.iter().cloned()).collect::<Vec<_>>()
        };
        OptimizerState { steps: self.steps, tensors: self.parameters.iter().flat_map(named).collect() }
    }

    /// Goes on where a checkpoint left off. Whether the parameters fit shows at the next step.
    ///
    /// # Errors
    /// A tensor that is not one of this rule's moments, or a parameter that lacks one.
    pub fn restore(&mut self, state: OptimizerState) -> Result<(), OptimizerError> {
        let moments = self.rule.moments();
        let mut parameters: Vec<Moments> = Vec::new();
        for (i, (tensor, values)) in state.tensors.into_iter().enumerate() {
            let moment = moments[i % moments.len()];
            let name = tensor.strip_suffix(moment).and_then(|n| n.strip_suffix('/'));
            match (name, parameters.last_mut()) {
                (Some(name), _) if i % moments.len() == 0 => parameters.push(Moments { name: name.into(), values: vec![values] }),
                (Some(name), Some(last)) if last.name == name => last.values.push(values),
                _ => return Err(OptimizerError::StateTensor { tensor, moment }),
            }
        }
        if let Some(last) = parameters.last().filter(|p| p.values.len() < moments.len()) {
            return Err(OptimizerError::StateTensor { tensor: last.name.clone(), moment: moments[last.values.len()] });
        }
        (self.steps, self.parameters) = (state.steps, parameters);
        Ok(())
    }

    fn check(&self, parameters: &[ParameterView<'_>]) -> Result<(), OptimizerError> {
        if parameters.len() != self.parameters.len() {
            return Err(OptimizerError::ParameterCount { found: parameters.len(), expected: self.parameters.len() });
        }
        for (p, known) in parameters.iter().zip(&self.parameters) {
            if p.name != known.name {
                return Err(OptimizerError::ParameterName { found: p.name.into(), expected: known.name.clone() });
            }
            let lengths = known.values.iter().map(Vec::len).chain([p.gradient.len()]);
            if let Some(found) = lengths.into_iter().find(|&l| l != p.value.len()) {
                return Err(OptimizerError::Length { parameter: p.name.into(), found, expected: p.value.len() });
            }
        }
        Ok(())
    }
}

impl Moments {
    fn zero(rule: &Rule, parameter: &ParameterView<'_>) -> Self {
        Moments { name: parameter.name.into(), values: vec![vec![0.0; parameter.value.len()]; rule.moments().len()] }
    }
}

/// `√Σ g²` over all parameters.
fn global_norm(parameters: &[ParameterView<'_>]) -> Result<f32, OptimizerError> {
    let mut sum = 0.0;
    for p in parameters {
        let square = sum_of_squares(p.gradient);
        if !square.is_finite() {
            return Err(OptimizerError::NotFinite { parameter: p.name.into() });
        }
        sum += square;
    }
    Ok(sum.sqrt() as f32)
}

/// Sixteen sums side by side, so that it vectorises; f64 holds the square of any f32.
fn sum_of_squares(x: &[f32]) -> f64 {
    let mut sums = [0.0f64; 16];
    let chunks = x.chunks_exact(16);
    let rest = chunks.remainder();
    for chunk in chunks {
        for (sum, &x) in sums.iter_mut().zip(chunk) {
            *sum += f64::from(x) * f64::from(x);
        }
    }
    sums.iter().sum::<f64>() + rest.iter().map(|&x| f64::from(x) * f64::from(x)).sum::<f64>()
}

#[cfg(test)]
mod tests;
