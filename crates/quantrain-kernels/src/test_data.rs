//! Inputs for tests, the same on every run.

/// `count` floats in about [−4, 4), from a fixed generator.
pub(crate) fn floats(seed: u64, count: usize) -> Vec<f32> {
    stream(seed, count).map(|bits| (bits as f32 / 65536.0 - 0.5) * 8.0).collect()
}

/// `count` integers in [−limit, limit], as f32.
pub(crate) fn integers(seed: u64, count: usize, limit: i32) -> Vec<f32> {
    let values = 2 * limit as u64 + 1;
    stream(seed, count).map(|bits| ((bits % values) as i64 - i64::from(limit)) as f32).collect()
}

/// Sixteen bits at a time of Knuth's linear congruential generator.
fn stream(seed: u64, count: usize) -> impl Iterator<Item = u64> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15).wrapping_add(1);
    (0..count).map(move |_| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) & 0xFFFF
    })
}
