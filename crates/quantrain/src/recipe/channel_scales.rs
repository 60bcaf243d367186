//! `true`, `false` or `"depthwise"`: which weights have a scale for each channel.

use std::fmt;

use quantrain_graph::ChannelScales;
use serde::de::{Deserializer, Error, Visitor};
use serde::{Deserialize, Serialize, Serializer};

/// The value of `quantization.per-channel`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PerChannelWeights(pub ChannelScales);

impl super::table::Choices for PerChannelWeights {}

const DEPTHWISE: &str = "depthwise";

impl Serialize for PerChannelWeights {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            ChannelScales::None => serializer.serialize_bool(false),
            ChannelScales::All => serializer.serialize_bool(true),
            ChannelScales::Depthwise => serializer.serialize_str(DEPTHWISE),
        }
    }
}

impl<'de> Deserialize<'de> for PerChannelWeights {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Word;

        impl Visitor<'_> for Word {
            type Value = PerChannelWeights;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("true, false or \"depthwise\"")
            }

            fn visit_bool<E>(self, all: bool) -> Result<PerChannelWeights, E> {
                Ok(PerChannelWeights(if all { ChannelScales::All } else { ChannelScales::None }))
            }

            fn visit_str<E: Error>(self, word: &str) -> Result<PerChannelWeights, E> {
                match word {
                    DEPTHWISE => Ok(PerChannelWeights(ChannelScales::Depthwise)),
                    other => Err(E::invalid_value(serde::de::Unexpected::Str(other), &self)),
                }
            }
        }

        deserializer.deserialize_any(Word)
    }
}
