//! Numbers, names and comments as C spells them.

use std::fmt::Display;

/// Columns of a line of numbers.
const COLUMNS: usize = 120;

/// A constant of the file; its text is made when it is printed.
pub(crate) struct Constant {
    kind: &'static str,
    name: String,
    values: Values,
    /// What it takes of flash where a pointer has four bytes.
    pub bytes: usize,
    pub is_weights: bool,
}

enum Values {
    Integers(Vec<i32>),
    Floats(Vec<f32>),
    Words(Vec<String>),
    Fields(Vec<(&'static str, String)>),
}

impl Constant {
    fn new(kind: &'static str, name: String, values: Values, bytes: usize) -> Self {
        Constant { kind, name, values, bytes, is_weights: false }
    }

    /// `static const int8_t NAME[]`, or one of another integer type of so many bytes.
    pub fn integers(kind: &'static str, bytes: usize, name: String, values: Vec<i32>) -> Self {
        let bytes = bytes * values.len();
        Constant::new(kind, name, Values::Integers(values), bytes)
    }

    /// The same, counted among weights.
    pub fn of_weights(self) -> Self {
        Constant { is_weights: true, ..self }
    }

    /// `static const int32_t NAME[]` of places and counts.
    pub fn places(name: String, values: impl IntoIterator<Item = usize>) -> Result<Self, String> {
        let place = |n: usize| i32::try_from(n).map_err(|_| "it has more elements than 32 bits count".to_owned());
        Ok(Constant::integers("int32_t", 4, name, values.into_iter().map(place).collect::<Result<_, _>>()?))
    }

    /// `static const float NAME[]`.
    pub fn floats(name: String, values: Vec<f32>) -> Self {
        let bytes = 4 * values.len();
        Constant::new("float", name, Values::Floats(values), bytes)
    }

    /// An array of a struct of so many bytes.
    pub fn words(kind: &'static str, bytes: usize, name: String, values: Vec<String>) -> Self {
        let bytes = bytes * values.len();
        Constant::new(kind, name, Values::Words(values), bytes)
    }

    /// `static const struct KIND NAME = { … };`, a struct of so many words of four bytes.
    pub fn record(kind: &'static str, words: usize, name: String, fields: Vec<(&'static str, String)>) -> Self {
        Constant::new(kind, name, Values::Fields(fields), 4 * words)
    }

    /// Its definition.
    pub fn text(&self) -> String {
        let Constant { kind, name, .. } = self;
        match &self.values {
            Values::Integers(values) => array(kind, name, values),
            Values::Floats(values) => array(kind, name, values.iter().map(|&v| float(v))),
            Values::Words(values) => array(kind, name, values),
            Values::Fields(fields) => {
                let lines: String = fields.iter().map(|(field, value)| format!("    .{field} = {value},\n")).collect();
                format!("static const struct {kind} {name} = {{\n{lines}}};\n")
            }
        }
    }
}

/// `static const KIND NAME[] = { … };`
fn array<T: Display>(kind: &str, name: &str, values: impl IntoIterator<Item = T>) -> String {
    let (mut lines, mut line, mut count) = (String::new(), String::from("   "), 0);
    for value in values {
        let word = format!(" {value},");
        if line.len() + word.len() > COLUMNS {
            lines += &line;
            lines.push('\n');
            line.replace_range(.., "   ");
        }
        line += &word;
        count += 1;
    }
    format!("static const {kind} {name}[{count}] = {{\n{lines}{line}\n}};\n")
}

/// A float by the fewest digits that give just it.
pub(crate) fn float(value: f32) -> String {
    match value {
        f32::INFINITY => "INFINITY".into(),
        f32::NEG_INFINITY => "-INFINITY".into(),
        value => format!("{value:?}f"),
    }
}

/// A name as an identifier that no keyword is.
pub fn identifier(name: &str) -> String {
    let mut text: String = name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
    if text.is_empty() || text.starts_with(|c: char| c.is_ascii_digit()) || text.starts_with('_') {
        text.insert(0, 'n');
    }
    if KEYWORDS.contains(&text.as_str()) {
        text.push('_');
    }
    text
}

/// Identifiers of several names, each another one.
pub(crate) fn identifiers<'n>(names: impl IntoIterator<Item = &'n str>) -> Vec<String> {
    let mut seen: Vec<String> = Vec::new();
    for name in names {
        let plain = identifier(name);
        let same = |text: &str| seen.iter().any(|s| s.eq_ignore_ascii_case(text));
        let free = (2..).map(|i| format!("{plain}_{i}")).find(|text| !same(text));
        seen.push(if same(&plain) { free.unwrap_or_default() } else { plain });
    }
    seen
}

/// Text of a file that neither ends a comment nor its line.
pub(crate) fn comment(text: &str) -> String {
    let harmless = |c: char| if c.is_ascii_graphic() && !matches!(c, '*' | '\\' | '?') || c == ' ' { c } else { '.' };
    text.chars().map(harmless).collect()
}

/// Words of C99 and C++ that no parameter may be called, and types and macros of the headers.
const KEYWORDS: [&str; 101] = [
    "alignas",
    "alignof",
    "and",
    "and_eq",
    "asm",
    "auto",
    "bitand",
    "bitor",
    "bool",
    "break",
    "case",
    "catch",
    "char",
    "char16_t",
    "char32_t",
    "class",
    "compl",
    "const",
    "const_cast",
    "constexpr",
    "continue",
    "decltype",
    "default",
    "delete",
    "do",
    "double",
    "dynamic_cast",
    "else",
    "enum",
    "explicit",
    "export",
    "extern",
    "false",
    "float",
    "for",
    "friend",
    "goto",
    "if",
    "inline",
    "int",
    "int16_t",
    "int32_t",
    "int64_t",
    "int8_t",
    "long",
    "mutable",
    "namespace",
    "new",
    "noexcept",
    "not",
    "not_eq",
    "nullptr",
    "operator",
    "or",
    "or_eq",
    "private",
    "protected",
    "public",
    "register",
    "reinterpret_cast",
    "restrict",
    "return",
    "short",
    "signed",
    "sizeof",
    "static",
    "static_assert",
    "static_cast",
    "struct",
    "switch",
    "template",
    "this",
    "thread_local",
    "throw",
    "true",
    "try",
    "typedef",
    "typeid",
    "typename",
    "uint16_t",
    "uint32_t",
    "uint64_t",
    "uint8_t",
    "union",
    "unsigned",
    "using",
    "virtual",
    "void",
    "volatile",
    "wchar_t",
    "while",
    "xor",
    "xor_eq",
    "NULL",
    "INFINITY",
    "linux",
    "unix",
    "far",
    "near",
    "interrupt",
    "main",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_become_identifiers_that_differ() {
        assert_eq!(
            identifiers(["input", "Input", "input.1", "3d", "int", "", "größe"]),
            ["input", "Input_2", "input_1", "n3d", "int_", "n", "gr__e"]
        );
    }

    #[test]
    fn no_name_leaves_its_comment() {
        assert_eq!(comment("conv */ int x; /*\n\\ ??/ é"), "conv ./ int x; /... ../ .");
    }

    #[test]
    fn floats_are_read_back_as_they_are() {
        for value in [0.1, 1.0, 1e-7, -0.0, f32::MAX, f32::MIN_POSITIVE, 16_777_216.0] {
            let text = float(value);
            assert_eq!(text.strip_suffix('f').unwrap().parse::<f32>().unwrap().to_bits(), value.to_bits());
            assert!(text.contains('.') || text.contains('e'), "{text} is no integer with a suffix");
        }
        assert_eq!(float(f32::NEG_INFINITY), "-INFINITY");
    }
}
