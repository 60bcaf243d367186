use quantrain_graph::{Quantizer, Target};

use super::*;

/// Every observer, for an asymmetric and for a power-of-two scheme.
fn every_observer() -> impl Iterator<Item = (Box<dyn Observer>, Scheme)> {
    let schemes = [Target::onnxruntime().activations(), Target::tidl_pow2().activations()];
    schemes.into_iter().flat_map(|scheme| ObserverKind::ALL.map(move |kind| (kind.build(&scheme), scheme)))
}

fn kind(observer: &dyn Observer) -> ObserverKind {
    observer.state().kind()
}

/// A batch of 1,000 values that differ from batch to batch, in −n..n for batch n.
fn batch(n: u32) -> Vec<f32> {
    (0..1000u32).map(|i| (i.wrapping_mul(2654435761).wrapping_add(n) % 2000) as f32 / 1000.0 - 1.0).map(|x| x * n as f32).collect()
}

/// Number of values in a JSON document.
fn leaves(value: &serde_json::Value) -> usize {
    match value {
        serde_json::Value::Array(items) => items.iter().map(leaves).sum(),
        serde_json::Value::Object(items) => items.values().map(leaves).sum(),
        _ => 1,
    }
}

#[test]
fn a_constant_is_its_own_range() {
    for (mut observer, _) in every_observer() {
        observer.observe(&[0.3; 20_000], 100);
        observer.observe(&[0.3; 7], 1);
        assert_eq!(observer.range(), Ok(Range { min: 0.3, max: 0.3 }), "{}", kind(&*observer));
    }
    for kind in ObserverKind::ALL {
        let mut observer = kind.build(&Target::onnxruntime().activations());
        observer.observe(&[-7.5; 100], 10);
        assert_eq!(observer.range(), Ok(Range { min: -7.5, max: -7.5 }), "{kind}");
    }
}

#[test]
fn zeros_have_a_range_that_a_quantizer_takes() {
    for (mut observer, scheme) in every_observer() {
        observer.observe(&[0.0; 1000], 10);
        let range = observer.range().unwrap();
        assert_eq!(range, Range { min: 0.0, max: 0.0 }, "{}", kind(&*observer));
        assert!(Quantizer::from_range(&scheme, range).is_ok());
    }
}

#[test]
fn nan_and_infinity_are_errors_for_good() {
    for (bad, error) in
        [(f32::NAN, ObserveError::Nan), (f32::INFINITY, ObserveError::Infinite), (f32::NEG_INFINITY, ObserveError::Infinite)]
    {
        for position in [0, 15, 16, 1000] {
            for (mut observer, _) in every_observer() {
                let mut x = batch(1);
                x.push(0.0);
                x[position] = bad;
                observer.observe(&batch(2), 10);
                observer.observe(&x, 10);
                observer.observe(&batch(3), 10);
                assert_eq!(observer.range(), Err(error.clone()), "{}", kind(&*observer));
            }
        }
    }
}

#[test]
fn nothing_seen_is_an_error() {
    for (mut observer, _) in every_observer() {
        assert_eq!(observer.range(), Err(ObserveError::Nothing));
        observer.observe(&[], 2);
        assert_eq!(observer.range(), Err(ObserveError::Nothing));
    }
}

#[test]
fn memory_is_the_same_after_1_and_after_10_000_batches() {
    for (mut observer, _) in every_observer() {
        let size = |observer: &dyn Observer| leaves(&serde_json::to_value(observer.state()).unwrap());
        observer.observe(&batch(1), 70);
        let after_one = size(&*observer);
        for n in 2..=10_000 {
            observer.observe(&batch(n)[..100], 10);
        }
        // An absent range is one leaf, a present one two.
        assert_eq!(size(&*observer), after_one, "{}", kind(&*observer));
    }
}

#[test]
fn a_state_goes_through_json_bit_for_bit() {
    for (mut observer, scheme) in every_observer() {
        let kind = kind(&*observer);
        let mut resumed = kind.build(&scheme);
        (1..5).for_each(|n| observer.observe(&batch(n), 10));
        let text = serde_json::to_string(&observer.state()).unwrap();
        resumed.restore(serde_json::from_str(&text).unwrap()).unwrap();
        assert_eq!(resumed.state(), observer.state());
        for o in [&mut observer, &mut resumed] {
            (5..9).for_each(|n| o.observe(&batch(n), 10));
        }
        let bits = |r: Range| (r.min.to_bits(), r.max.to_bits());
        assert_eq!(bits(resumed.range().unwrap()), bits(observer.range().unwrap()), "{kind}");
    }
}

#[test]
fn a_state_of_another_observer_is_refused() {
    let scheme = Target::onnxruntime().activations();
    let mut observer = ObserverKind::MinMax.build(&scheme);
    let found = observer.restore(ObserverKind::Pact2.build(&scheme).state());
    assert_eq!(found, Err(ObserveError::State { found: ObserverKind::Pact2, expected: ObserverKind::MinMax }));
}

#[test]
fn a_damaged_histogram_is_refused() {
    let scheme = Target::onnxruntime().activations();
    let mut observer = ObserverKind::Percentile.build(&scheme);
    observer.observe(&[1.0, 2.0], 1);
    let text = serde_json::to_string(&observer.state()).unwrap();
    assert!(serde_json::from_str::<ObserverState>(&text.replacen("\"counts\":[", "\"counts\":[0,", 1)).is_err());
}

#[test]
fn observers_of_extrema_need_no_values() {
    for (mut by_values, scheme) in every_observer() {
        let kind = kind(&*by_values);
        let mut by_extrema = kind.build(&scheme);
        assert_eq!(by_values.needs_only_extrema(64), matches!(kind, ObserverKind::MinMax | ObserverKind::MovingAverage));
        if by_values.needs_only_extrema(64) {
            for n in 1..50 {
                by_values.observe(&batch(n), 10);
                match by_extrema.needs_only_extrema(10) {
                    true => by_extrema.observe_extrema(Range::of(&batch(n)), 10),
                    false => by_extrema.observe(&batch(n), 10),
                }
            }
            assert_eq!(by_values.state(), by_extrema.state());
            by_extrema.observe_extrema(Range { min: f32::NAN, max: 1.0 }, 1);
            assert_eq!(by_extrema.range(), Err(ObserveError::Nan));
        }
    }
}

#[test]
fn a_range_depends_on_the_images_and_not_on_their_batches() {
    const IMAGES: usize = 200;
    // Images of very different ranges, so that the extrema of a batch depend on which images are in it.
    let image = |i: usize| batch(1 + (i * 7919 % 13) as u32)[..100].to_vec();
    let values: Vec<f32> = (0..IMAGES).flat_map(image).collect();
    let each = values.len() / IMAGES;
    for (alone, scheme) in every_observer() {
        let kind = kind(&*alone);
        let in_batches_of = |size: usize| {
            let mut observer = kind.build(&scheme);
            for batch in values.chunks(size * each) {
                let images = batch.len() / each;
                match observer.needs_only_extrema(images) {
                    true => observer.observe_extrema(Range::of(batch), images),
                    false => observer.observe(batch, images),
                }
            }
            observer
        };
        let expected = in_batches_of(64);
        for size in [1, 7, 50, 128, 200] {
            let found = in_batches_of(size);
            assert_eq!(found.range(), expected.range(), "{kind}, batches of {size}");
            assert_eq!(found.state(), expected.state(), "{kind}, batches of {size}");
        }
    }
}

#[test]
fn what_calibration_knows_is_where_an_average_starts() {
    let known = Range { min: -3.0, max: 5.0 };
    for kind in [ObserverKind::MovingAverage, ObserverKind::Pact2] {
        let mut observer = kind.build(&Target::tidl_pow2().activations());
        observer.start_from(known, 512);
        assert_eq!(observer.range(), Ok(known), "{kind}");
        observer.observe(&batch(1)[..100], 1);
        let Range { min, max } = observer.range().unwrap();
        assert!(min > -3.0 && min < -2.9 && max < 5.0 && max > 4.9, "{kind}: one image is one of 513: {min} {max}");
    }
}

#[test]
fn tiny_and_huge_values_do_no_harm() {
    for (mut observer, _) in every_observer() {
        for x in [[1e-45, 0.0], [f32::MAX, f32::MIN], [1e-30, -1e-38]] {
            observer.observe(&x, 1);
            let range = observer.range().unwrap();
            assert!(range.min.is_finite() && range.max.is_finite() && range.min <= range.max, "{}: {range:?}", kind(&*observer));
        }
    }
}

#[test]
fn names_go_both_ways() {
    for kind in ObserverKind::ALL {
        assert_eq!(kind.name().parse(), Ok(kind));
        assert_eq!(serde_json::to_value(kind).unwrap(), kind.name());
    }
    assert_eq!("minmax".parse::<ObserverKind>(), Err(ObserveError::Unknown { name: "minmax".into() }));
}
