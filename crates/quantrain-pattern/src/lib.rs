//! Patterns in which `*` stands for any text: of layers in a recipe, of files in a path.
//!
//! ```
//! assert!(quantrain_pattern::matches("train-*.parquet", "train-00000-of-00002.parquet"));
//! ```
#![forbid(unsafe_code)]

/// Whether `name` fits `pattern`, in time that grows with the lengths of both, however many stars there are: the first place of each part
/// leaves the most for those behind it.
pub fn matches(pattern: &str, name: &str) -> bool {
    let Some((first, rest)) = pattern.split_once('*') else { return pattern == name };
    let Some(mut name) = name.strip_prefix(first) else { return false };
    let mut parts = rest.split('*').peekable();
    while let Some(part) = parts.next() {
        if parts.peek().is_none() {
            return name.ends_with(part);
        }
        match name.find(part) {
            Some(at) => name = &name[at + part.len()..],
            None => return false,
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn a_star_stands_for_any_text() {
        for (pattern, name, expected) in [
            ("train-*.parquet", "train-00000-of-00002.parquet", true),
            ("train-*.parquet", "test-00000-of-00002.parquet", false),
            ("*", "", true),
            ("a*b*c", "a-b-b-c", true),
            ("a*b*c", "a-c-b", false),
            ("a*a", "a", false),
            ("*ab", "aab", true),
            ("**a**", "bab", true),
            ("plain", "plain", true),
            ("plain", "plainer", false),
            ("é*", "éé", true),
        ] {
            assert_eq!(matches(pattern, name), expected, "{pattern} {name}");
        }
    }

    #[test]
    fn many_stars_cost_no_more_than_few() {
        let pattern = "a*".repeat(10_000) + "b";
        assert!(!matches(&pattern, &"a".repeat(100_000)));
    }
}
