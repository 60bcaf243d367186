//! Integers in words.

use quantrain_graph::{Granularity, ScaleKind, Scheme, Sign};

/// A kind of integers: `int8 per channel`, `uint8 asymmetric`, `8 bit power of two` (signed only where the range needs it).
pub fn words(scheme: &Scheme) -> String {
    let mut text = match scheme.sign {
        Sign::Signed => format!("int{}", scheme.bits),
        Sign::Unsigned => format!("uint{}", scheme.bits),
        Sign::ByRange => format!("{} bit", scheme.bits),
    };
    let special = [
        (scheme.granularity == Granularity::PerChannel, " per channel"),
        (!scheme.symmetric, " asymmetric"),
        (scheme.scale == ScaleKind::PowerOfTwo, " power of two"),
    ];
    special.iter().filter(|(holds, _)| *holds).for_each(|(_, words)| text += words);
    text
}
