//! Text for terminals: names from a file may hold what moves a cursor, sets a colour or turns the direction of writing.

use std::borrow::Cow;

/// Whether a terminal would act on a character instead of showing it. The end of a line is the writer's own.
fn acts(c: char) -> bool {
    let turns_direction = matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    (c.is_control() && c != '\n') || turns_direction
}

/// A text with every character that a terminal would act on written as `\u001b`, a form that JSON knows too; lines stay lines.
pub fn printable(text: &str) -> Cow<'_, str> {
    if !text.contains(acts) {
        return Cow::Borrowed(text);
    }
    let escaped = |c: char| if acts(c) { format!("\\u{:04x}", u32::from(c)) } else { c.to_string() };
    Cow::Owned(text.chars().map(escaped).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_terminal_would_act_on_is_spelled_out() {
        assert_eq!(printable("a\u{1b}[31mb\u{7f}\u{9b}2J\r\tc\u{202e}d"), "a\\u001b[31mb\\u007f\\u009b2J\\u000d\\u0009c\\u202ed");
        assert!(matches!(printable("layer σ ✓\nnext"), Cow::Borrowed("layer σ ✓\nnext")));
    }

    #[test]
    fn json_stays_the_same_json() {
        let name = "\u{9b}31m\u{7f}\u{202e}";
        let json = serde_json::to_string_pretty(&serde_json::json!({ "name": name })).unwrap();
        assert_ne!(printable(&json), json);
        assert_eq!(serde_json::from_str::<serde_json::Value>(&printable(&json)).unwrap()["name"], name);
    }
}
