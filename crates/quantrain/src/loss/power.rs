//! How large a teacher's outputs are, so that errors of several outputs can be added up.

use serde::{Deserialize, Serialize};

/// Outputs of less power count as if they had this one: 80 dB below an output of ±100, and still apart from nothing.
const LEAST: f64 = 1e-4;

/// The mean square of an output over everything seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Power {
    squares: f64,
    values: u64,
}

impl Power {
    /// Takes up values.
    pub fn add(&mut self, values: &[f32]) {
        self.squares += values.iter().map(|&v| f64::from(v) * f64::from(v)).sum::<f64>();
        self.values += values.len() as u64;
    }

    fn mean(&self) -> f64 {
        (self.squares / self.values.max(1) as f64).max(LEAST)
    }
}

/// Of the outputs that there are, the factor that makes a squared error one relative to the output's power: `min(1, least power)/power`. The
/// errors of all outputs weigh alike then, whatever their units, and no factor is above 1: a weak output does not raise the learning rate.
pub(crate) fn relative(powers: &[Option<Power>]) -> Vec<f32> {
    let least = powers.iter().flatten().map(Power::mean).fold(1.0, f64::min);
    powers.iter().map(|power| power.map_or(1.0, |power| (least / power.mean()) as f32)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn power(values: &[f32]) -> Option<Power> {
        let mut power = Power::default();
        values.iter().for_each(|v| power.add(&[*v]));
        Some(power)
    }

    #[test]
    fn errors_are_relative_to_the_power_of_their_output() {
        assert_eq!(relative(&[power(&[1.0, -1.0]), power(&[100.0]), None]), [1.0, 1e-4, 1.0]);
        assert_eq!(relative(&[power(&[0.125]), power(&[1.0])]), [1.0, 0.015625]);
        assert_eq!(relative(&[power(&[0.0]), power(&[0.01])]), [1.0, 1.0]);
    }
}
