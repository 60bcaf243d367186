//! Products against the formula, on every path of the machine.

use super::matmul;
use crate::simd::on_every_path;
use crate::test_data::integers;
use proptest::prelude::*;

fn reference(m: usize, n: usize, k: usize, a: impl Fn(usize, usize) -> f32, b: impl Fn(usize, usize) -> f32) -> Vec<f32> {
    (0..m * n).map(|at| (0..k).map(|l| a(at / n, l) * b(l, at % n)).sum()).collect()
}

fn check(m: usize, n: usize, k: usize) {
    let a = integers(1, m * k, 63);
    let b = integers(2, k * n, 63);
    let before = integers(3, m * n, 63);
    for transposed in [[false, false], [false, true], [true, false], [true, true]] {
        let expected = reference(
            m,
            n,
            k,
            |i, l| if transposed[0] { a[l * m + i] } else { a[i * k + l] },
            |l, j| if transposed[1] { b[j * k + l] } else { b[l * n + j] },
        );
        on_every_path(|simd| {
            let mut found = vec![f32::NAN; m * n];
            matmul(m, n, k, &a, transposed[0], &b, transposed[1], &mut found, false);
            assert!(found == expected, "{m} {n} {k} {transposed:?} {simd:?}");
            let mut found = before.clone();
            matmul(m, n, k, &a, transposed[0], &b, transposed[1], &mut found, true);
            let added = expected.iter().zip(&before).map(|(a, b)| a + b);
            assert!(found.iter().copied().eq(added), "added {m} {n} {k} {transposed:?} {simd:?}");
        });
    }
}

#[test]
fn the_sizes_of_classifiers_agree_to_the_bit() {
    check(64, 10, 64);
    check(16, 100, 1280);
    check(1, 1000, 33);
    check(200, 3, 300);
}

#[test]
fn an_empty_sum_is_zero() {
    check(3, 20, 0);
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 100, rng_seed: proptest::test_runner::RngSeed::Fixed(2), failure_persistence: None, ..ProptestConfig::default()
    })]

    #[test]
    fn any_size_agrees_to_the_bit(m in 1..40usize, n in 1..70usize, k in 1..40usize) {
        check(m, n, k);
    }
}
