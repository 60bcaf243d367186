//! Files of text that people write: recipes, targets, lists of names.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::Path;

/// Bytes of the longest: far more than anybody writes.
const LONGEST: u64 = 16 << 20;

/// The text of a regular file.
pub(super) fn read(path: &Path) -> io::Result<String> {
    String::from_utf8(bytes(path)?).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
}

/// The bytes of a regular file; pipes and devices may have no end.
pub(super) fn bytes(path: &Path) -> io::Result<Vec<u8>> {
    if !fs::metadata(path)?.is_file() {
        return Err(io::Error::other("no regular file"));
    }
    let file = File::open(path)?;
    let length = file.metadata()?.len();
    if length > LONGEST {
        return Err(io::Error::other(format!("{length} bytes, at most {LONGEST} allowed; is it a text?")));
    }
    let mut bytes = Vec::new();
    file.take(LONGEST).read_to_end(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_files_of_some_length_are_texts() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("recipe.toml");
        fs::write(&path, "seed = 1").unwrap();
        assert_eq!(read(&path).unwrap(), "seed = 1");
        File::create(&path).unwrap().set_len(LONGEST + 1).unwrap();
        assert!(read(&path).unwrap_err().to_string().contains("16777217 bytes"));
        assert!(read(folder.path()).unwrap_err().to_string().contains("no regular file"));
        #[cfg(unix)]
        assert!(read(Path::new("/dev/zero")).unwrap_err().to_string().contains("no regular file"));
    }
}
