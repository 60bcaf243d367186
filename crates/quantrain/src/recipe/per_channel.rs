//! A number for each channel, or one for all.

use std::fmt;
use std::ops::Deref;

use serde::de::{Deserializer, SeqAccess, Visitor};
use serde::{Deserialize, Serialize};

/// `0.5` or `[0.485, 0.456, 0.406]` in a recipe.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PerChannel(pub Vec<f64>);

impl super::table::Choices for PerChannel {}

impl Deref for PerChannel {
    type Target = [f64];

    fn deref(&self) -> &[f64] {
        &self.0
    }
}

impl<'de> Deserialize<'de> for PerChannel {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Numbers;

        impl<'de> Visitor<'de> for Numbers {
            type Value = PerChannel;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number or a list of numbers")
            }

            fn visit_f64<E>(self, number: f64) -> Result<PerChannel, E> {
                Ok(PerChannel(vec![number]))
            }

            fn visit_i64<E>(self, number: i64) -> Result<PerChannel, E> {
                Ok(PerChannel(vec![number as f64]))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<PerChannel, A::Error> {
                let mut numbers = Vec::new();
                while let Some(number) = items.next_element()? {
                    numbers.push(number);
                }
                Ok(PerChannel(numbers))
            }
        }

        deserializer.deserialize_any(Numbers)
    }
}
