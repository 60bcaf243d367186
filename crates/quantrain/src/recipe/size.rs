//! Height and width of an image, written as one number or two.

use std::fmt;
use std::str::FromStr;

use serde::de::{Deserializer, Error, SeqAccess, Visitor};
use serde::{Deserialize, Serialize};

use crate::CheckError;

/// Height and width in pixels: `224` or `[176, 240]` in a recipe, `224` or `176x240` as a flag.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Size(pub [u32; 2]);

impl super::table::Choices for Size {}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}x{}", self.0[0], self.0[1])
    }
}

impl FromStr for Size {
    type Err = CheckError;

    fn from_str(text: &str) -> Result<Self, CheckError> {
        let (height, width) = text.split_once('x').unwrap_or((text, text));
        match (height.parse(), width.parse()) {
            (Ok(height), Ok(width)) => Ok(Size([height, width])),
            _ => Err(CheckError::Name { found: text.into(), expected: "a side like 224 or a height and width like 176x240".into() }),
        }
    }
}

impl<'de> Deserialize<'de> for Size {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct SizeVisitor;

        impl<'de> Visitor<'de> for SizeVisitor {
            type Value = Size;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a side like 224 or a height and width like [176, 240]")
            }

            fn visit_i64<E: Error>(self, side: i64) -> Result<Size, E> {
                let side = u32::try_from(side).map_err(|_| E::invalid_value(serde::de::Unexpected::Signed(side), &self))?;
                Ok(Size([side, side]))
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Size, E> {
                text.parse().map_err(|_| E::invalid_value(serde::de::Unexpected::Str(text), &self))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Size, A::Error> {
                let mut sides = [0; 2];
                for (i, side) in sides.iter_mut().enumerate() {
                    *side = items.next_element()?.ok_or_else(|| A::Error::invalid_length(i, &self))?;
                }
                match items.next_element::<u32>()? {
                    None => Ok(Size(sides)),
                    Some(_) => Err(A::Error::invalid_length(3, &self)),
                }
            }
        }

        deserializer.deserialize_any(SizeVisitor)
    }
}
