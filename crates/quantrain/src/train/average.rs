//! The exponential moving average of what is trained: it is what is judged, kept and exported, while steps go on from the last values.

use quantrain_engine::Network;

/// Averages of a network's parameters, in its order; or the last values, while the network has the averages.
pub(super) struct Average {
    decay: f32,
    values: Vec<Vec<f32>>,
}

impl Average {
    /// The parameters as they are now. `decay`, above 0 and below 1, is what a step keeps of an average.
    pub fn new(network: &mut Network, decay: f32) -> Self {
        Average { decay, values: network.parameters().iter().map(|p| p.value.to_vec()).collect() }
    }

    /// Takes up the parameters after so many steps. The first steps keep less: `(1 + steps) / (10 + steps)`, as TensorFlow's
    /// ExponentialMovingAverage does with `num_updates`.
    pub fn follow(&mut self, network: &mut Network, steps: u64) {
        let kept = self.decay.min((1.0 + steps as f32) / (10.0 + steps as f32));
        for (average, p) in self.values.iter_mut().zip(network.parameters()) {
            average.iter_mut().zip(&*p.value).for_each(|(average, value)| *average += (1.0 - kept) * (value - *average));
        }
    }

    /// Exchanges averages and last values.
    pub fn exchange(&mut self, network: &mut Network) {
        self.values.iter_mut().zip(network.parameters()).for_each(|(values, p)| values.swap_with_slice(p.value));
    }

    /// Name and values of each parameter, as they lie here.
    pub fn tensors(&self, network: &mut Network) -> Vec<(String, Vec<f32>)> {
        network.parameters().iter().zip(&self.values).map(|(p, values)| (p.name.to_owned(), values.clone())).collect()
    }

    /// Takes values for parameters by name. False where some are missing or of another length.
    #[must_use]
    pub fn restore(&mut self, network: &mut Network, tensors: &[(&str, &[f32])]) -> bool {
        self.values.iter_mut().zip(network.parameters()).all(|(values, p)| {
            let found = tensors.iter().find(|(name, of)| *name == p.name && of.len() == values.len());
            found.is_some_and(|(_, of)| {
                values.copy_from_slice(of);
                true
            })
        })
    }
}
