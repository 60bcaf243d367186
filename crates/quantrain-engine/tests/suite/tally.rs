//! Counts what was compared, so that no test passes empty.

/// What a comparison saw.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tally {
    /// Numbers compared.
    pub compared: usize,
    /// Numbers left out because they stand at a kink.
    pub dropped: usize,
    /// The largest relative error.
    pub worst: f64,
}

impl Tally {
    /// Compares gradients, relative to each itself and to 1 % of the largest beside it.
    pub fn gradients(&mut self, what: &str, found: &[f32], expected: &[Option<f64>], smallest: f64) {
        assert_eq!(found.len(), expected.len(), "{what}: number of gradients");
        let largest = expected.iter().flatten().fold(smallest, |m, v| m.max(v.abs()));
        for (i, (&found, expected)) in found.iter().zip(expected).enumerate() {
            let Some(expected) = *expected else {
                self.dropped += 1;
                continue;
            };
            let error = (f64::from(found) - expected).abs() / expected.abs().max(0.01 * largest);
            assert!(error <= 1e-3, "{what}[{i}]: {found} found, {expected} expected (relative error {error:.1e})");
            self.compared += 1;
            self.worst = self.worst.max(error);
        }
    }

    pub fn add(&mut self, other: Tally) {
        self.compared += other.compared;
        self.dropped += other.dropped;
        self.worst = self.worst.max(other.worst);
    }
}
