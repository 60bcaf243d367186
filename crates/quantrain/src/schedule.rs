//! What changes as training goes on: the learning rate, and what is frozen.

/// How the learning rate falls after the warm-up.
#[derive(Clone, Debug, PartialEq)]
pub enum Decay {
    /// It does not.
    Constant,
    /// Half a cosine from the full rate to `final_fraction` of it at the end (Loshchilov and Hutter 2017, without restarts).
    Cosine {
        /// 0 to 1.
        final_fraction: f32,
    },
    /// Times `gamma` at each milestone.
    Step {
        /// Steps at which the rate falls.
        milestones: Vec<u64>,
        /// 0 to 1.
        gamma: f32,
    },
}

/// The learning rate at every step, counted from 0.
#[derive(Clone, Debug, PartialEq)]
pub struct RateSchedule {
    /// The full rate.
    pub rate: f32,
    /// Steps over which the rate rises in a line: step s has `(s + 1)/(warmup_steps + 1)` of it.
    pub warmup_steps: u64,
    /// Steps of the whole training, the warm-up among them.
    pub total_steps: u64,
    /// What comes after the warm-up.
    pub decay: Decay,
}

impl RateSchedule {
    /// The rate of a step. Steps past the end have the rate of the end.
    pub fn rate_at(&self, step: u64) -> f32 {
        if step < self.warmup_steps {
            return (f64::from(self.rate) * (step + 1) as f64 / (self.warmup_steps + 1) as f64) as f32;
        }
        let factor = match &self.decay {
            Decay::Constant => 1.0,
            Decay::Cosine { final_fraction } => {
                let steps = self.total_steps.saturating_sub(self.warmup_steps).max(1);
                let done = ((step - self.warmup_steps) as f64 / steps as f64).min(1.0);
                half_cosine(1.0, f64::from(*final_fraction), done)
            }
            Decay::Step { milestones, gamma } => milestones.iter().filter(|&&m| m <= step).map(|_| f64::from(*gamma)).product(),
        };
        (f64::from(self.rate) * factor) as f32
    }
}

/// From `first` to `last` along half a cosine; `done` is 0 to 1.
pub fn half_cosine(first: f64, last: f64, done: f64) -> f64 {
    last + (first - last) * 0.5 * (1.0 + (std::f64::consts::PI * done).cos())
}

/// From which epoch on, counted from 0, what is frozen; an epoch past the last means never.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FreezeSchedule {
    /// BatchNormalization uses its running statistics and no longer changes them.
    pub batch_norm: u32,
    /// Ranges of activations no longer change.
    pub ranges: u32,
}

impl FreezeSchedule {
    /// The default for a number of epochs E: BatchNorm from E/2 − 1 on, ranges from E/2 + 1 on (the devkit's rule), where
    /// E/2 is rounded down and nothing freezes before epoch 0. So one or two epochs run with BatchNorm frozen from the start and ranges that
    /// follow to the end.
    pub fn over(epochs: u32) -> Self {
        FreezeSchedule { batch_norm: (epochs / 2).saturating_sub(1), ranges: epochs / 2 + 1 }
    }

    /// Whether BatchNorm is frozen in an epoch.
    pub fn batch_norm_is_frozen(&self, epoch: u32) -> bool {
        epoch >= self.batch_norm
    }

    /// Whether ranges are frozen in an epoch.
    pub fn ranges_are_frozen(&self, epoch: u32) -> bool {
        epoch >= self.ranges
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schedule(decay: Decay) -> RateSchedule {
        RateSchedule { rate: 0.5, warmup_steps: 4, total_steps: 104, decay }
    }

    #[test]
    fn every_schedule_warms_up_in_a_line() {
        for decay in [Decay::Constant, Decay::Cosine { final_fraction: 0.1 }, Decay::Step { milestones: vec![50], gamma: 0.1 }] {
            let s = schedule(decay);
            assert_eq!([0, 1, 2, 3, 4].map(|step| s.rate_at(step)), [0.1, 0.2, 0.3, 0.4, 0.5]);
        }
    }

    #[test]
    fn a_cosine_passes_the_middle_and_ends_at_its_fraction() {
        let s = schedule(Decay::Cosine { final_fraction: 0.2 });
        assert!((s.rate_at(54) - 0.3).abs() < 1e-7);
        assert!((s.rate_at(104) - 0.1).abs() < 1e-7);
        assert_eq!(s.rate_at(1_000_000), s.rate_at(104));
        assert!((4..104).all(|step| s.rate_at(step + 1) < s.rate_at(step)));
    }

    #[test]
    fn steps_multiply() {
        let s = schedule(Decay::Step { milestones: vec![10, 20], gamma: 0.5 });
        assert_eq!([9, 10, 19, 20, 200].map(|step| s.rate_at(step)), [0.5, 0.25, 0.25, 0.125, 0.125]);
        assert_eq!(schedule(Decay::Constant).rate_at(10_000), 0.5);
    }

    #[test]
    fn a_training_that_is_all_warm_up_divides_by_nothing() {
        let s = RateSchedule { total_steps: 3, ..schedule(Decay::Cosine { final_fraction: 0.0 }) };
        assert!((0..10).all(|step| s.rate_at(step).is_finite()));
    }

    #[test]
    fn freezing_follows_the_number_of_epochs() {
        let at = |epochs| (FreezeSchedule::over(epochs).batch_norm, FreezeSchedule::over(epochs).ranges);
        assert_eq!([1, 2, 3, 4, 10].map(at), [(0, 1), (0, 2), (0, 2), (1, 3), (4, 6)]);
        let ten = FreezeSchedule::over(10);
        assert!(!ten.batch_norm_is_frozen(3) && ten.batch_norm_is_frozen(4) && !ten.ranges_are_frozen(5) && ten.ranges_are_frozen(6));
    }
}
