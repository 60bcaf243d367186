//! Random numbers by counting, so that a sample's numbers depend on nothing drawn before

/// SplitMix64 (Steele, Lea and Flood, "Fast splittable pseudorandom number generators", OOPSLA 2014):
/// number k of a stream is `mix(key + k·γ)`.
#[derive(Debug, Clone)]
pub struct Random {
    state: u64,
}

/// γ: 2^64 / golden ratio, odd.
const GAMMA: u64 = 0x9E37_79B9_7F4A_7C15;

/// The paper's finalizer (variant 13 of Stafford's).
fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

impl Random {
    /// The stream of these words. `mix` is a bijection, so streams that differ in one word differ.
    pub fn keyed(words: &[u64]) -> Self {
        Self { state: words.iter().fold(0, |key: u64, word| mix(key.wrapping_add(GAMMA) ^ word)) }
    }

    /// The numbers that order an epoch.
    pub(crate) fn of_order(seed: u64, epoch: u64) -> Self {
        Self::keyed(&[0, seed, epoch])
    }

    /// The numbers that augment one sample in one epoch.
    pub(crate) fn of_sample(seed: u64, epoch: u64, index: usize) -> Self {
        Self::keyed(&[1, seed, epoch, index as u64])
    }

    fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(GAMMA);
        mix(self.state)
    }

    /// Uniform in `0..n`, `n > 0`, by the high half of a product (bias below n / 2^64).
    pub(crate) fn below(&mut self, n: usize) -> usize {
        ((u128::from(self.next()) * n as u128) >> 64) as usize
    }

    /// Uniform in `[low, high)`, in steps of 2^-24 of the range.
    pub fn between(&mut self, low: f32, high: f32) -> f32 {
        low + (high - low) * ((self.next() >> 40) as f32 / (1 << 24) as f32)
    }

    /// Heads or tails.
    pub(crate) fn coin(&mut self) -> bool {
        self.next() >> 63 == 1
    }

    /// Fisher and Yates' shuffle of `0..n`.
    pub(crate) fn permutation(&mut self, n: usize) -> Vec<usize> {
        let mut order: Vec<usize> = (0..n).collect();
        for last in (1..n).rev() {
            order.swap(last, self.below(last + 1));
        }
        order
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_those_of_the_published_generator() {
        // First outputs of SplitMix64 for seed 1234567, as in the Rosetta Code task.
        let mut random = Random { state: 1_234_567 };
        let found: Vec<u64> = (0..3).map(|_| random.next()).collect();
        assert_eq!(found, [6457827717110365317, 3203168211198807973, 9817491932198370423]);
    }

    #[test]
    fn streams_differ_in_every_word() {
        let firsts: Vec<u64> =
            [(0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1)].map(|(seed, epoch, index)| Random::of_sample(seed, epoch, index).next()).into();
        for (i, a) in firsts.iter().enumerate() {
            assert!(firsts[i + 1..].iter().all(|b| a != b));
        }
    }

    #[test]
    fn a_permutation_holds_every_index_once_and_is_not_sorted() {
        let order = Random::of_order(7, 0).permutation(1000);
        let mut sorted = order.clone();
        sorted.sort_unstable();
        assert_eq!(sorted, (0..1000).collect::<Vec<_>>());
        assert_ne!(order, sorted);
    }

    #[test]
    fn draws_stay_in_their_range() {
        let mut random = Random::of_order(3, 1);
        for _ in 0..10_000 {
            assert!(random.below(7) < 7);
            let x = random.between(-0.5, 2.0);
            assert!((-0.5..2.0).contains(&x));
        }
    }
}
