//! What a command works on: a model, a recipe or a run, told apart by what lies at a path.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use quantrain::{RunDirectory, RunDirectoryError};

use crate::error::CliError;

/// What lies at a path.
pub enum Subject {
    /// A network, an ONNX file.
    Model(PathBuf),
    /// A recipe.
    Recipe(PathBuf),
    /// The directory of a run.
    Run(RunDirectory),
}

/// First bytes of files that are none of these, where they begin, and what such a file is.
const OTHERS: &[(usize, &[u8], &str)] = &[
    (0, b"PK\x03\x04", "a zip archive (PyTorch's, NumPy's?)"),
    (0, b"PAR1", "a parquet file"),
    (0, b"\x1f\x8b", "a gzip archive"),
    (0, b"\x89PNG", "an image"),
    (0, b"\xff\xd8\xff", "an image"),
    (4, b"TFL3", "a TFLite model"),
    (0, b"\x80", "a Python pickle (PyTorch's?)"),
    (0, b"\x89HDF", "an HDF5 file (Keras's?)"),
];

/// Bytes looked at.
const HEAD: u64 = 4096;

impl Subject {
    /// By the ending of a file's name, or by how it begins; a folder is that of a run. What does not exist is what its name says.
    ///
    /// # Errors
    /// A folder that is no run's, or a file of a known other kind.
    pub fn of(path: &Path) -> Result<Self, CliError> {
        if path.is_dir() {
            return match RunDirectory::open(path) {
                Ok(run) => Ok(Subject::Run(run)),
                Err(RunDirectoryError::NotARun { .. }) => {
                    Err(CliError::NoSubject { path: path.into(), found: "a folder that is no run's" })
                }
                Err(error) => Err(error.into()),
            };
        }
        let head = head(path);
        if let Some((.., found)) = OTHERS.iter().find(|(at, magic, _)| head.get(*at..).is_some_and(|head| head.starts_with(magic))) {
            return Err(CliError::NoSubject { path: path.into(), found });
        }
        let ends = |ending: &str| path.extension().is_some_and(|e| e.eq_ignore_ascii_case(ending));
        // A file that ends amid a character is text all the same.
        let text = |bytes: &[u8]| !bytes.contains(&0) && std::str::from_utf8(bytes).map_or_else(|e| e.error_len().is_none(), |_| true);
        Ok(match ends("toml") || !ends("onnx") && !head.is_empty() && text(&head) {
            true => Subject::Recipe(path.into()),
            false => Subject::Model(path.into()),
        })
    }

    /// What it is, with its article.
    pub fn kind(&self) -> &'static str {
        match self {
            Subject::Model(_) => "a model",
            Subject::Recipe(_) => "a recipe",
            Subject::Run(_) => "a run directory",
        }
    }

    /// A recipe, or that of a run: what a flag for recipes takes.
    ///
    /// # Errors
    /// Neither is there.
    pub fn recipe(path: &Path) -> Result<PathBuf, CliError> {
        match Subject::of(path)? {
            Subject::Recipe(recipe) => Ok(recipe),
            Subject::Run(run) => Ok(run.recipe()),
            Subject::Model(_) if !path.exists() => Ok(path.into()),
            model => Err(CliError::OtherSubject { path: path.into(), found: model.kind(), expected: "a recipe or a run directory" }),
        }
    }
}

/// How a file begins; nothing where it cannot be read, which whoever reads it tells.
fn head(path: &Path) -> Vec<u8> {
    let mut head = Vec::new();
    // A pipe would lose what is read of it here.
    if path.is_file() {
        let _ = File::open(path).and_then(|file| file.take(HEAD).read_to_end(&mut head));
    }
    head
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_told_by_their_ending_or_their_beginning() {
        let folder = std::env::temp_dir().join(format!("quantrain-subject-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let rows: &[(&str, &[u8], &str)] = &[
            ("a.toml", b"\x08\x07", "a recipe"),
            ("a.onnx", b"model = 'x'", "a model"),
            ("recipe.txt", b"model = 'x'", "a recipe"),
            ("recipe", "model = '\u{e9}'".as_bytes(), "a recipe"),
            ("net.bin", b"\x08\x07\x12\x00", "a model"),
            ("empty", b"", "a model"),
            ("net.pt", b"PK\x03\x04rest", "a zip archive (PyTorch's, NumPy's?)"),
            ("net.onnx", b"PAR1", "a parquet file"),
            ("net.tflite", b"\x1c\0\0\0TFL3", "a TFLite model"),
        ];
        for (name, bytes, expected) in rows {
            let path = folder.join(name);
            std::fs::write(&path, bytes).unwrap();
            let found = match Subject::of(&path) {
                Ok(subject) => subject.kind(),
                Err(CliError::NoSubject { found, .. }) => found,
                Err(error) => panic!("{error}"),
            };
            assert_eq!(found, *expected, "{name}");
        }
        assert_eq!(Subject::of(&folder.join("absent.toml")).unwrap().kind(), "a recipe");
        assert_eq!(Subject::of(&folder.join("absent")).unwrap().kind(), "a model");
        assert!(Subject::of(&folder).is_err(), "no run's");
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
