//! How much less one network is worth than another.

use std::fmt;

use super::Score;

/// What a network may be worth less than another one before it is called worse: 0.5 points of accuracy, or 0.5 dB.
pub const TOLERANCE: f64 = 0.5;

/// Differences above so many dB are as good as none.
const AS_GOOD_AS_EQUAL: f64 = 60.0;

/// A figure that is lower than it was before.
#[derive(Clone, Debug, PartialEq)]
pub struct Fall {
    /// What it is.
    pub figure: String,
    /// What it was.
    pub before: f64,
    /// What it is now.
    pub after: f64,
    /// Of both, and of their difference.
    pub units: [&'static str; 2],
    /// Beyond which it is much.
    tolerance: f64,
}

impl Fall {
    /// By how much, in its unit.
    pub fn by(&self) -> f64 {
        self.before - self.after
    }

    /// Whether it fell by more than [`TOLERANCE`], or a measure of the user's by more than a hundredth.
    pub fn is_much(&self) -> bool {
        self.by() > self.tolerance || self.by().is_nan()
    }
}

impl fmt::Display for Fall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [unit, of_difference] = self.units;
        write!(f, "{} {:.2} to {:.2}{unit}, {:.2}{of_difference} less", self.figure, self.before, self.after, self.by())
    }
}

impl Score {
    /// The figure that is lowest compared with `before`, where one is lower: the accuracy, the mean IoU, the SQNR of an output or the first
    /// figure of a measure of the user's.
    pub fn fall_from(&self, before: &Score) -> Option<Fall> {
        let fall = |figure: &str, before: f64, after: f64, units| {
            // NaN is lower than any number.
            let fell = after < before || after.is_nan();
            fell.then(|| Fall { figure: figure.to_owned(), before, after, units, tolerance: TOLERANCE })
        };
        match (before, self) {
            (Score::Accuracy(before), Score::Accuracy(after)) => fall("top-1", before.top1, after.top1, [" %", " points"]),
            (Score::Segmentation(before), Score::Segmentation(after)) => {
                fall("mean IoU", before.mean_iou, after.mean_iou, [" %", " points"])
            }
            (Score::Sqnr(before), Score::Sqnr(after)) => {
                let decibels = |d: Option<f64>| d.map_or(AS_GOOD_AS_EQUAL, |d| if d > AS_GOOD_AS_EQUAL { AS_GOOD_AS_EQUAL } else { d });
                let (before, after) = (before.figures(), after.figures());
                let pairs = before.into_iter().zip(after);
                let falls = pairs.filter_map(|((_, before), (name, after))| {
                    fall(&format!("SQNR of {name}"), decibels(before), decibels(after), [" dB", " dB"])
                });
                falls.reduce(|a, b| if a.by() >= b.by() { a } else { b })
            }
            (Score::Measured(_), Score::Measured(after)) => {
                let name = after.figures.first().map_or("", |f| f.name.as_str());
                let fall = fall(name, before.value(), self.value(), ["", ""])?;
                Some(Fall { tolerance: fall.before.abs() / 100.0, ..fall })
            }
            _ => None,
        }
    }

    /// Whether its figures are numbers: those of a network whose values are not finite are none.
    pub fn is_number(&self) -> bool {
        !self.value().is_nan()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metric::{Accuracy, OutputSqnr, Sqnr};

    fn sqnr(decibels: &[Option<f64>]) -> Score {
        let of = |(i, d): (usize, &Option<f64>)| OutputSqnr { output: format!("y{i}"), decibels: *d, parts: Vec::new() };
        Score::Sqnr(Sqnr { sqnr: decibels.iter().enumerate().map(of).collect(), images: 1 })
    }

    #[test]
    fn the_output_that_fell_most_is_told() {
        let before = sqnr(&[Some(40.0), Some(30.0), None]);
        let fall = sqnr(&[Some(39.0), Some(12.5), Some(90.0)]).fall_from(&before).unwrap();
        assert_eq!(fall.to_string(), "SQNR of y1 30.00 to 12.50 dB, 17.50 dB less");
        assert_eq!(before.fall_from(&before), None);
        assert!(sqnr(&[Some(f64::NAN), Some(30.0), None]).fall_from(&before).unwrap().by().is_nan());
    }

    #[test]
    fn accuracies_fall_by_points() {
        let [before, after] = [780, 127].map(|right| Score::Accuracy(Accuracy::of(right, right, 1000)));
        assert_eq!(after.fall_from(&before).unwrap().to_string(), "top-1 78.00 to 12.70 %, 65.30 points less");
        assert_eq!(before.fall_from(&after), None);
    }
}
