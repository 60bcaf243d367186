use quantrain_graph::Target;

use super::*;

/// 60,000 values with the density of |x|·e^(−|x|) mirrored, sums of logarithms of a fixed sequence.
fn heavy_tailed() -> Vec<f32> {
    let mut seed = 1u64;
    let mut uniform = move || {
        seed = seed.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        ((seed >> 40) as f32 + 0.5) / (1u64 << 24) as f32
    };
    (0..60_000).map(|i| if i % 2 == 0 { -(uniform() * uniform()).ln() } else { (uniform() * uniform()).ln() }).collect()
}

fn rectified() -> Vec<f32> {
    heavy_tailed().into_iter().map(|x| x.max(0.0)).collect()
}

fn true_error(scheme: &Scheme, range: Range, x: &[f32]) -> f64 {
    let q = Quantizer::from_range(scheme, range).unwrap();
    x.iter().map(|&x| f64::from(x - q.fake_quantize(x)).powi(2)).sum::<f64>() / x.len() as f64
}

fn observed(scheme: Scheme, x: &[f32]) -> Range {
    let mut observer = MeanSquaredError::new(scheme);
    x.chunks(1000).for_each(|batch| observer.observe(batch, 1));
    observer.range().unwrap()
}

#[test]
fn no_limit_on_a_grid_is_much_better() {
    let weights = Target::onnxruntime().weights();
    let activations = Target::onnxruntime().activations();
    let power_of_two = Target::tidl_pow2().activations();
    for scheme in [weights, activations, power_of_two] {
        for bits in [2, 4, 8] {
            let scheme = scheme.with_bits(bits);
            for x in [heavy_tailed(), rectified()] {
                let seen = Range::of(&x);
                let found = true_error(&scheme, observed(scheme, &x), &x);
                let mut least = f64::INFINITY;
                for i in 1..=40 {
                    let part = i as f32 / 40.0;
                    least = least.min(true_error(&scheme, Range { min: seen.min * part, max: seen.max * part }, &x));
                }
                assert!(found <= least * 1.02, "{scheme:?}: {found} found, {least} on the grid");
            }
        }
    }
}

#[test]
fn four_bits_clip_more_than_eight() {
    let scheme = Target::onnxruntime().activations();
    let (four, eight) = (observed(scheme.with_bits(4), &rectified()), observed(scheme, &rectified()));
    assert!(four.max < 0.8 * eight.max, "{four:?} {eight:?}");
    assert!(four.min == 0.0 && eight.min == 0.0);
}

#[test]
fn sixteen_bits_keep_nearly_all() {
    let x = heavy_tailed();
    let (seen, range) = (Range::of(&x), observed(Target::onnxruntime().activations().with_bits(16), &x));
    assert!(range.max >= 0.9 * seen.max && range.min <= 0.9 * seen.min, "{range:?} of {seen:?}");
}

#[test]
fn a_uniform_tensor_is_hardly_clipped() {
    let x: Vec<f32> = (0..10_000).map(|i| i as f32 / 9_999.0).collect();
    let range = observed(Target::onnxruntime().activations(), &x);
    assert!(range.min == 0.0 && range.max > 0.98, "{range:?}");
}

#[test]
fn power_of_two_limits_are_data_limits_or_powers_of_two() {
    let mut x = vec![0.9f32; 10_000];
    x.extend((0..10_000).map(|i| i as f32 / 10_000.0));
    x.push(5.0);
    let range = observed(Target::tidl_pow2().activations().with_bits(4), &x);
    assert_eq!(range, Range { min: 0.0, max: 1.0 });
}
