//! What a run's summary says, and how runs from several seeds are told in a row.

/// The accuracy `key` of a summary; one that is `null` or not there is none.
pub fn top1(summary: &str, key: &str) -> Option<f64> {
    let object = summary.split_once(&format!("\"{key}\": {{"))?.1.split('}').next()?;
    let value = object.split_once("\"top1\":")?.1.split([',', '\n']).next()?;
    value.trim().parse().ok()
}

/// Mean of the calibrated, then mean, lowest and highest of the trained, and how many there are, as a table's cells.
pub fn cells(calibrated: &[f64], trained: &[f64]) -> [String; 5] {
    let percent = |value: f64| format!("{value:.2}");
    let mean = |values: &[f64]| if values.is_empty() { f64::NAN } else { values.iter().sum::<f64>() / values.len() as f64 };
    let (lowest, highest) = trained.iter().fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), &v| (l.min(v), h.max(v)));
    [percent(mean(calibrated)), percent(mean(trained)), percent(lowest), percent(highest), trained.len().to_string()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accuracies_are_read_from_a_summary() {
        let summary = "{\n  \"float\": {\n    \"top1\": 88.57,\n    \"top5\": 99.0,\n    \"images\": 10\n  },\n  \"qat\": null\n}";
        assert_eq!((top1(summary, "float"), top1(summary, "qat"), top1(summary, "ptq")), (Some(88.57), None, None));
    }

    #[test]
    fn a_row_has_mean_and_spread() {
        assert_eq!(cells(&[1.0, 2.0], &[3.0, 5.0, 4.0]), ["1.50", "4.00", "3.00", "5.00", "3"]);
    }
}
