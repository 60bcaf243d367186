//! The macro that makes the structs of a recipe file: each key is written once, with its type, its documentation and its default.

/// A key of the recipe, for documentation.
#[derive(Clone, Copy, Debug)]
pub struct Key {
    /// The name in the file.
    pub name: &'static str,
    /// What it does: unit, range, effect. Lines end in a newline and begin with a space.
    pub doc: &'static str,
    /// What holds where the key is absent.
    pub default: Default,
    /// The names that its values have, where it is one of a few.
    pub choices: &'static [&'static str],
}

/// A type of values, for documentation.
pub trait Choices {
    /// The names of all its values; empty where they are not a few with names.
    const NAMES: &'static [&'static str] = &[];
}

macro_rules! not_a_choice {
    ($($type:ty),+) => { $( impl Choices for $type {} )+ };
}

not_a_choice!(bool, u8, u32, u64, usize, i64, f64, [f64; 2], String, std::path::PathBuf);

/// A list of some.
impl<T: Choices> Choices for Vec<T> {
    const NAMES: &'static [&'static str] = T::NAMES;
}

impl Choices for crate::observe::ObserverKind {
    const NAMES: &'static [&'static str] = &crate::observe::ObserverKind::NAMES;
}

impl Choices for quantrain_graph::BiasLimit {
    const NAMES: &'static [&'static str] = &quantrain_graph::BiasLimit::NAMES;
}

/// What holds where a key is absent.
#[derive(Clone, Copy, Debug)]
pub enum Default {
    /// This value, in TOML.
    Value(&'static str),
    /// No fixed value.
    Words {
        /// What holds then.
        words: &'static str,
        /// A possible value, in TOML.
        example: &'static str,
    },
}

/// A table of the recipe, for documentation.
#[derive(Clone, Copy, Debug)]
pub struct Table {
    /// The name in the file; empty for the keys before the first table.
    pub name: &'static str,
    /// What it is about, as in [`Key::doc`].
    pub doc: &'static str,
    /// Its keys, in order.
    pub keys: &'static [Key],
}

impl Table {
    /// A key of this table as `table.key`.
    pub fn qualified(&self, key: &str) -> String {
        if self.name.is_empty() { key.to_owned() } else { format!("{}.{key}", self.name) }
    }

    /// Whether the table may be there several times, `[[name]]` or `[name.NAME]`.
    pub fn is_list(&self) -> bool {
        self.name.contains('.')
    }

    /// Of a table that is there for each of some names, `[table.key.NAME]`, table and key.
    pub fn by_name(&self) -> Option<(&'static str, &'static str)> {
        self.name.strip_suffix(".NAME")?.split_once('.')
    }

    /// The header of the table, as recipes have it.
    pub fn header(&self) -> String {
        let name = self.name;
        if self.is_list() && self.by_name().is_none() { format!("[[{name}]]") } else { format!("[{name}]") }
    }

    /// The keys that are no tables.
    pub(super) fn values(&self) -> impl Iterator<Item = &Key> {
        let holds = move |t: &Table, key: &Key| t.by_name().or(t.name.split_once('.')) == Some((self.name, key.name));
        let holds_tables = move |key: &&Key| super::TABLES.iter().any(|t| holds(t, key));
        self.keys.iter().filter(move |key| !holds_tables(key))
    }
}

macro_rules! recipe_tables {
    ($(
        $(#[doc = $about:literal])+
        $table:literal $struct:ident {
            $( $(#[doc = $doc:literal])+ $name:literal $field:ident: $type:ty, $($default:literal)? $(words $words:literal, example $example:literal)?; )+
        }
        $( then { $( $(#[doc = $sub_doc:literal])+ $sub:ident: $sub_type:ty; )+ } )?
    )+) => {
        $(
            impl crate::recipe::table::Choices for $struct {}

            $(#[doc = $about])+
            #[derive(Clone, Debug, Default, PartialEq, serde::Serialize, serde::Deserialize)]
            #[serde(deny_unknown_fields)]
            pub struct $struct {
                $(
                    $(#[doc = $doc])+
                    #[doc = concat!("\n\nDefault: ", $("`", $default, "`")? $($words)?, ".")]
                    #[serde(rename = $name, skip_serializing_if = "Option::is_none")]
                    pub $field: Option<$type>,
                )+
                $($(
                    $(#[doc = $sub_doc])+
                    #[serde(default, skip_serializing_if = "crate::recipe::table::is_empty")]
                    pub $sub: $sub_type,
                )+)?
            }

            impl $struct {
                pub(crate) const TABLE: crate::recipe::table::Table = crate::recipe::table::Table {
                    name: $table,
                    doc: concat!($($about, "\n"),+),
                    keys: &[$(crate::recipe::table::Key {
                        name: $name,
                        doc: concat!($($doc, "\n"),+),
                        default: $(crate::recipe::table::Default::Value($default))?
                            $(crate::recipe::table::Default::Words { words: $words, example: $example })?,
                        choices: <$type as crate::recipe::table::Choices>::NAMES,
                    }),+],
                };

                /// The keys that are set here, and those of `other` where they are not.
                pub fn or(self, other: Self) -> Self {
                    Self {
                        $($field: self.$field.or(other.$field),)+
                        $($($sub: self.$sub.or(other.$sub),)+)?
                    }
                }

                /// The keys that are set, as `table.key`, in order.
                pub fn keys(&self) -> Vec<String> {
                    let own = [$(($name, self.$field.is_some())),+].into_iter().filter(|(_, set)| *set);
                    own.map(|(name, _)| Self::TABLE.qualified(name))$($(.chain(self.$sub.keys()))+)?.collect()
                }

                /// Without the values that are as in `usual`, but for the keys `kept`.
                pub fn without(self, usual: Self, kept: &[String]) -> Self {
                    let keeps = |name| kept.contains(&Self::TABLE.qualified(name));
                    Self {
                        $($field: self.$field.filter(|value| keeps($name) || usual.$field.as_ref() != Some(value)),)+
                        $($($sub: self.$sub.without(usual.$sub, kept),)+)?
                    }
                }
            }
        )+

        /// Every table of the recipe, in order.
        pub const TABLES: &[crate::recipe::table::Table] = &[$($struct::TABLE),+];
    };
}
pub(crate) use recipe_tables;

/// Whether no key of a table is set.
pub(crate) fn is_empty<T: std::default::Default + PartialEq>(table: &T) -> bool {
    *table == T::default()
}
