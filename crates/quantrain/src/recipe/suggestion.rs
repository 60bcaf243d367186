//! What was meant by a misspelt word, or by another tool's word for a key.

use super::file::TABLES;
use super::table::{Key, Table};

/// What keys are called elsewhere, and here.
const SYNONYMS: &[(&str, &str)] = &[
    ("lr", "learning-rate"),
    ("rate", "learning-rate"),
    ("lr0", "learning-rate"),
    ("wd", "weight-decay"),
    ("decay", "weight-decay"),
    ("epoch", "epochs"),
    ("num-epochs", "epochs"),
    ("batch", "batch-size"),
    ("bs", "batch-size"),
    ("bits", "weight-bits"),
    ("wbits", "weight-bits"),
    ("w-bits", "weight-bits"),
    ("abits", "activation-bits"),
    ("a-bits", "activation-bits"),
    ("act-bits", "activation-bits"),
    ("scheduler", "schedule"),
    ("lr-scheduler", "schedule"),
    ("warmup", "warmup-steps"),
    ("clip", "gradient-clip"),
    ("grad-clip", "gradient-clip"),
    ("clip-grad", "gradient-clip"),
    ("smoothing", "label-smoothing"),
    ("criterion", "loss"),
    ("drop-last", "last-batch"),
    ("val", "eval"),
    ("valid", "eval"),
    ("validation", "eval"),
    ("test", "eval"),
    ("data", "train"),
    ("dataset", "train"),
    ("calib", "calibration"),
    ("workers", "loader-threads"),
    ("num-workers", "loader-threads"),
    ("names", "classes"),
    ("labels", "classes"),
    ("ignore-index", "ignored-label"),
    ("size", "resize"),
    ("img-size", "resize"),
    ("imgsz", "resize"),
    ("image-size", "resize"),
    ("center-crop", "crop"),
    ("bgr", "channel-order"),
    ("color-order", "channel-order"),
    ("format", "style"),
    ("output-dir", "out"),
    ("run-dir", "out"),
    ("project", "out"),
];

/// What a word is called here, if it is a name of a key elsewhere.
pub(super) fn synonym(word: &str) -> Option<&'static str> {
    let word = word.replace('_', "-").to_lowercase();
    SYNONYMS.iter().find(|(other, _)| *other == word).map(|(_, name)| *name)
}

/// The candidate most like a word, if it is like it at all.
pub fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let scored = candidates.into_iter().map(|c| (strsim::damerau_levenshtein(word, c), c));
    let (distance, candidate) = scored.min_by_key(|(distance, _)| *distance)?;
    // A third of the letters may be wrong, two in a short word.
    (distance <= (word.chars().count() / 3).max(2) && distance < candidate.chars().count()).then_some(candidate)
}

/// The key, as `table.key`, that a word stands for: by its name in whichever table, by another tool's name, or misspelt.
pub fn key_meant(word: &str) -> Option<String> {
    let word = word.trim_start_matches('-').replace('_', "-");
    let name = word.rsplit('.').next().unwrap_or(&word);
    let named = |wanted: &str| keys().find(|(_, key)| key.name == wanted).map(|(table, key)| table.qualified(key.name));
    let whole: Vec<String> = keys().map(|(table, key)| table.qualified(key.name)).collect();
    let alike = || nearest(&word, whole.iter().map(String::as_str)).map(str::to_owned);
    named(name).or_else(|| named(synonym(name)?)).or_else(alike).or_else(|| named(nearest(name, keys().map(|(_, key)| key.name))?))
}

/// Every key that is set once.
fn keys() -> impl Iterator<Item = (&'static Table, &'static Key)> {
    TABLES.iter().filter(|table| !table.is_list()).flat_map(|table| table.keys.iter().map(move |key| (table, key)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_finds_its_word_and_nonsense_none() {
        let words = ["epochs", "batch-size", "seed"];
        assert_eq!(nearest("epoch", words), Some("epochs"));
        assert_eq!(nearest("batch_size", words), Some("batch-size"));
        assert_eq!(nearest("sede", words), Some("seed"));
        assert_eq!(nearest("temperature", words), None);
        assert_eq!(nearest("x", ["a", "b"]), None);
    }

    #[test]
    fn a_synonym_is_no_key_and_stands_for_one() {
        for (other, name) in SYNONYMS {
            assert!(keys().any(|(_, key)| key.name == *name), "{name}");
            // `train` is a key of [data] and the name of a table; what is a key somewhere is found as such.
            assert!(!keys().any(|(_, key)| key.name == *other), "{other}");
        }
    }

    #[test]
    fn a_key_is_meant_by_its_name_another_name_or_a_slip() {
        let rows = [
            ("epochs", "train.epochs"),
            ("train.epoch", "train.epochs"),
            ("lr", "train.learning-rate"),
            ("LR", "train.learning-rate"),
            ("data.batch_size", "train.batch-size"),
            ("quantization.wieght-bits", "quantization.weight-bits"),
            ("--letterbox_fil", "data.letterbox-fill"),
        ];
        for (word, key) in rows {
            assert_eq!(key_meant(word).as_deref(), Some(key), "{word}");
        }
        assert_eq!(key_meant("frobnicate"), None);
    }
}
