//! The recipe's optimizers.

use std::sync::Mutex;

use pyo3::prelude::*;
use quantrain::optimizer::{Adam, OptimizerState, Rule, Sgd};

use crate::failure::{self, Kind, raise};
use crate::session::{Session, locked};

/// An optimizer and what it remembers.
#[pyclass(frozen, module = "quantrain._native")]
pub struct Optimizer {
    inner: Mutex<quantrain::optimizer::Optimizer>,
}

#[pymethods]
impl Optimizer {
    /// `kind` is sgd, adam or adamw; `clip` is the largest norm of the gradient.
    #[new]
    #[pyo3(signature = (kind, *, momentum=0.9, nesterov=false, beta1=0.9, beta2=0.999, epsilon=1e-8, weight_decay=0.0, clip=None))]
    fn new(
        kind: &str,
        momentum: f32,
        nesterov: bool,
        beta1: f32,
        beta2: f32,
        epsilon: f32,
        weight_decay: f32,
        clip: Option<f32>,
    ) -> PyResult<Self> {
        let share = |name: &str, value: f32| match (0.0..1.0).contains(&value) {
            true => Ok(value),
            false => Err(raise(Kind::Recipe, format!("`{name}`: {value} found, 0 to below 1 expected"))),
        };
        let positive = |name: &str, value: f32| match value > 0.0 && value.is_finite() {
            true => Ok(value),
            false => Err(raise(Kind::Recipe, format!("`{name}`: {value} found, a finite number above 0 expected"))),
        };
        if !(weight_decay >= 0.0 && weight_decay.is_finite()) {
            return Err(raise(Kind::Recipe, format!("`weight_decay`: {weight_decay} found, a finite number, 0 or more, expected")));
        }
        let clip = clip.map(|clip| positive("clip", clip)).transpose()?;
        let adam = || -> PyResult<Adam> {
            Ok(Adam { beta1: share("beta1", beta1)?, beta2: share("beta2", beta2)?, epsilon: positive("epsilon", epsilon)? })
        };
        let rule = match kind {
            "sgd" => Rule::Sgd(Sgd { momentum: share("momentum", momentum)?, nesterov }),
            "adam" => Rule::Adam(adam()?),
            "adamw" => Rule::AdamW(adam()?),
            other => return Err(raise(Kind::Recipe, format!("optimizer `{other}` found, one of sgd, adam, adamw expected"))),
        };
        Ok(Optimizer { inner: Mutex::new(quantrain::optimizer::Optimizer::new(rule, weight_decay, clip)) })
    }

    /// Changes the parameters of a session by the gradients of its last backward; gives the norm of the gradient.
    fn step(&self, py: Python<'_>, session: &Session, rate: f32) -> PyResult<f32> {
        if !(rate >= 0.0 && rate.is_finite()) {
            return Err(raise(Kind::Recipe, format!("learning rate {rate} found, a finite number, 0 or more, expected")));
        }
        py.detach(|| session.with(|s| s.step(&mut locked(&self.inner), rate))).map_err(failure::of)
    }

    /// Steps made, and moments by name.
    fn state(&self) -> (u64, Vec<(String, Vec<f32>)>) {
        let OptimizerState { steps, tensors } = locked(&self.inner).state();
        (steps, tensors)
    }

    /// Goes on from a state.
    fn load_state(&self, steps: u64, tensors: Vec<(String, Vec<f32>)>) -> PyResult<()> {
        let restored = locked(&self.inner).restore(OptimizerState { steps, tensors });
        restored.map_err(|error| raise(Kind::Checkpoint, error.to_string()))
    }
}
