//! What images are resized to, written as one number or two.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::size::Size;
use crate::CheckError;

/// A length or a height and width in pixels: `256` or `[240, 320]` in a recipe, `256` or `240x320` as a flag.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged, expecting = "a length like 256 or a height and width like [240, 320]")]
pub enum ResizeTo {
    /// One length.
    Length(u32),
    /// Height and width.
    Size([u32; 2]),
}

impl super::table::Choices for ResizeTo {}

impl ResizeTo {
    /// Height and width, a length being both.
    pub fn sides(self) -> [usize; 2] {
        match self {
            ResizeTo::Length(length) => [length as usize; 2],
            ResizeTo::Size(sides) => sides.map(|side| side as usize),
        }
    }
}

impl fmt::Display for ResizeTo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ResizeTo::Length(length) => write!(f, "{length}"),
            ResizeTo::Size([height, width]) => write!(f, "{height}x{width}"),
        }
    }
}

impl FromStr for ResizeTo {
    type Err = CheckError;

    fn from_str(text: &str) -> Result<Self, CheckError> {
        let Size(sides) = text.parse()?;
        Ok(if text.contains('x') { ResizeTo::Size(sides) } else { ResizeTo::Length(sides[0]) })
    }
}
