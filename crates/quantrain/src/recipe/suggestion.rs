//! What was meant by a misspelt word.

/// The candidate most like a word, if it is like it at all.
pub(super) fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let scored = candidates.into_iter().map(|c| (strsim::damerau_levenshtein(word, c), c));
    let (distance, candidate) = scored.min_by_key(|(distance, _)| *distance)?;
    // A third of the letters may be wrong, two in a short word.
    (distance <= (word.chars().count() / 3).max(2) && distance < candidate.chars().count()).then_some(candidate)
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
}
