//! Damage to text that has keys and values.

use crate::Generator;

/// Values that no key should crash on, in TOML and in JSON.
const EXTREMES: [&str; 30] = [
    "0",
    "-1",
    "-0.0",
    "nan",
    "inf",
    "-inf",
    "1e308",
    "-1e308",
    "1e-320",
    "9223372036854775807",
    "-9223372036854775808",
    "9223372036854775808",
    "18446744073709551615",
    "99999999999999999999999",
    "2147483648",
    "4294967296",
    "\"\"",
    "\"a\\u0000b\"",
    "\"\\u202Eabc\"",
    "\"\\u001b[31m\"",
    "true",
    "false",
    "[]",
    "{}",
    "[[]]",
    "[1, 2, 3, 4, 5, 6, 7, 8, 9]",
    "[\"\"]",
    "null",
    "1979-05-27",
    "0x7fffffffffffffff",
];

/// Puts an extreme in the place of some values, or deep or long ones; `assigns` stands between a key and its value.
pub fn extremes(text: &str, assigns: char, generator: &mut Generator) -> String {
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    for _ in 0..1 + generator.below(3) {
        let at = generator.below(lines.len());
        let Some(line) = lines.get_mut(at) else { break };
        let value = match generator.below(12) {
            0 => "[".repeat(20_000),
            1 => format!("\"{}\"", "x".repeat(1_000_000)),
            2 => format!("{}1{}", "[".repeat(300), "]".repeat(300)),
            _ => (*generator.pick(&EXTREMES)).to_owned(),
        };
        match line.split_once(assigns) {
            // JSON goes on behind a comma.
            Some((key, rest)) => *line = format!("{key}{assigns} {value}{}", if rest.ends_with(',') { "," } else { "" }),
            None if generator.below(2) == 0 => line.clear(),
            None => line.push_str(&value),
        }
    }
    lines.join("\n")
}
