//! Integers in words.

use quantrain_graph::{Granularity, ScaleKind, Scheme};

/// What is special about a kind of integers: `8 bit per channel`, `4 bit asymmetric`, `8 bit power of two`.
pub fn words(scheme: &Scheme) -> String {
    let mut text = format!("{} bit", scheme.bits);
    let special = [
        (scheme.granularity == Granularity::PerChannel, " per channel"),
        (!scheme.symmetric, " asymmetric"),
        (scheme.scale == ScaleKind::PowerOfTwo, " power of two"),
    ];
    special.iter().filter(|(holds, _)| *holds).for_each(|(_, words)| text += words);
    text
}
