use super::*;
use crate::Granularity;

fn scheme(bits: u8, sign: Sign, symmetric: bool, narrow: bool, scale: ScaleKind) -> Scheme {
    Scheme { bits, sign, symmetric, narrow, scale, granularity: Granularity::PerTensor, rounding: Rounding::HalfToEven }
}

#[test]
fn an_asymmetric_range_represents_zero_exactly() {
    let s = scheme(8, Sign::Unsigned, false, false, ScaleKind::Free);
    for (min, max) in [(-1.0, 3.0), (0.5, 2.0), (-4.0, -1.0), (-0.1, 100.0), (0.0, 0.0)] {
        let q = Quantizer::from_range(&s, Range::new(min, max)).unwrap();
        assert_eq!(q.fake_quantize(0.0), 0.0);
        assert!(q.range().min <= min.min(0.0) + q.scale() && q.range().max >= max.max(0.0) - q.scale());
    }
}

#[test]
fn a_power_of_two_limit_is_rounded_up() {
    let signed = scheme(8, Sign::ByRange, true, false, ScaleKind::PowerOfTwo);
    let q = Quantizer::from_range(&signed, Range::new(-0.9, 2.1)).unwrap();
    assert_eq!((q.scale(), q.qmin(), q.qmax()), (4.0 / 128.0, -128, 127));
    let q = Quantizer::from_range(&signed, Range::new(0.0, 2.1)).unwrap();
    assert_eq!((q.scale(), q.qmin(), q.qmax()), (4.0 / 256.0, 0, 255));
    let q = Quantizer::from_range(&signed, Range::new(-4.0, 1.0)).unwrap();
    assert_eq!(q.scale(), 4.0 / 128.0);
}

#[test]
fn narrow_codes_leave_out_the_lowest() {
    let q = Quantizer::from_range(&scheme(4, Sign::Signed, true, true, ScaleKind::Free), Range::new(-7.0, 3.0)).unwrap();
    assert_eq!((q.scale(), q.qmin(), q.qmax(), q.zero_point()), (1.0, -7, 7, 0));
}

#[test]
fn every_width_round_trips_its_codes() {
    for bits in [2, 3, 4, 5, 6, 7, 8, 16] {
        for (sign, symmetric) in [(Sign::Signed, true), (Sign::Unsigned, false), (Sign::Signed, false)] {
            let q = Quantizer::from_range(&scheme(bits, sign, symmetric, false, ScaleKind::Free), Range::new(-1.3, 2.9)).unwrap();
            assert!((q.qmin()..=q.qmax()).all(|code| q.code(q.value(code)) == code), "{bits} bits");
            assert_eq!(q.qmax() - q.qmin() + 1, 1 << bits);
        }
    }
}

#[test]
fn a_zero_range_has_a_scale_and_a_bad_one_is_refused() {
    let s = scheme(8, Sign::Signed, true, true, ScaleKind::Free);
    assert!(Quantizer::from_range(&s, Range::new(0.0, 0.0)).unwrap().scale() > 0.0);
    for (min, max) in [(f32::NAN, 1.0), (0.0, f32::INFINITY), (2.0, 1.0)] {
        assert!(matches!(Quantizer::from_range(&s, Range::new(min, max)), Err(QuantizerError::Range { .. })));
    }
    assert!(matches!(Quantizer::from_range(&s.with_bits(9), Range::new(0.0, 1.0)), Err(QuantizerError::Bits { bits: 9 })));
    let pow2 = scheme(8, Sign::Unsigned, false, false, ScaleKind::PowerOfTwo);
    assert!(matches!(Quantizer::from_range(&pow2, Range::new(0.0, 1.0)), Err(QuantizerError::AsymmetricPowerOfTwo)));
    let unsigned = scheme(8, Sign::Unsigned, true, false, ScaleKind::Free);
    assert!(matches!(Quantizer::from_range(&unsigned, Range::new(-1.0, 1.0)), Err(QuantizerError::UnsignedBelowZero { .. })));
    assert!(matches!(Quantizer::new(0.0, 0, 0, 255, Rounding::HalfUp), Err(QuantizerError::Scale { .. })));
    assert!(matches!(Quantizer::new(1.0, 256, 0, 255, Rounding::HalfUp), Err(QuantizerError::ZeroPoint { .. })));
}

#[test]
fn nan_is_quantized_to_zero() {
    let q = Quantizer::new(0.5, 10, 0, 255, Rounding::HalfToEven).unwrap();
    assert_eq!(q.code(f32::NAN), 10);
    assert_eq!(q.code(f32::INFINITY), 255);
    assert_eq!(q.code(f32::NEG_INFINITY), 0);
}
