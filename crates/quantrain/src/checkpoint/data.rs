//! What a data set is known by, so that a resumed training meets the images that it began with.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{self, Path, PathBuf};

use quantrain_data::DataError;
use serde::{Deserialize, Serialize};

use super::Fingerprint;

/// Of more files than this only some are looked into, and their names are told in groups.
const MOST_FILES: usize = 1024;

/// Bytes that are read at the start, in the middle and at the end of a file.
const SAMPLE: u64 = 4096;

/// A data set: how many samples it gives, and names, sizes and some bytes of its files. A change in the middle of a large file that keeps its
/// length may go unseen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DataFingerprint {
    /// The recipe's key.
    pub key: String,
    samples: usize,
    files: Vec<Files>,
}

/// A file, or some that stand in one folder after the other.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Files {
    /// The first.
    name: String,
    count: usize,
    /// Of those that were looked into.
    bytes: u64,
    contents: Fingerprint,
}

impl DataFingerprint {
    /// Of the data set that a key names, which gives so many samples.
    ///
    /// # Errors
    /// A file or folder cannot be read.
    pub fn new(key: &str, data: &Path, samples: usize) -> Result<Self, DataError> {
        let found = quantrain_data::files(data)?;
        // However the path is written, from whatever folder.
        let found: Vec<PathBuf> = found.into_iter().map(|file| path::absolute(&file).unwrap_or(file)).collect();
        let group = found.len().div_ceil(MOST_FILES).max(1);
        let files = found.chunks(group).map(Files::new).collect::<Result<_, _>>()?;
        Ok(DataFingerprint { key: key.to_owned(), samples, files })
    }

    /// What is other in `now` than it was; `None` where all is the same.
    pub fn change(&self, now: &DataFingerprint) -> Option<String> {
        if let Some((was, is)) = self.files.iter().zip(&now.files).find(|(was, is)| was != is) {
            return Some(was.change(is));
        }
        let of_more = |more: &[Files]| more.first().map(|files| files.name.clone());
        let more = of_more(&now.files[self.files.len().min(now.files.len())..]).map(|name| format!("`{name}` was not there"));
        let less = of_more(&self.files[now.files.len().min(self.files.len())..]).map(|name| format!("`{name}` is not there any more"));
        let samples = (self.samples != now.samples).then(|| format!("it gives {} samples, {} before", now.samples, self.samples));
        more.or(less).or(samples)
    }
}

impl Files {
    fn new(paths: &[PathBuf]) -> Result<Self, DataError> {
        let name = |path: &Path| path.to_string_lossy().into_owned();
        let mut files = Files {
            name: paths.first().map(|path| name(path)).unwrap_or_default(),
            count: paths.len(),
            bytes: 0,
            contents: Fingerprint::new(),
        };
        // Names count of all; a folder of a million images is not read.
        for path in paths {
            let place = path.file_name().unwrap_or_default().to_string_lossy();
            files.contents = files.contents.and(place.as_bytes());
        }
        if let Some(first) = paths.first() {
            let (bytes, sample) = look_into(first).map_err(|source| DataError::Read { path: first.clone(), source })?;
            files.bytes = bytes;
            files.contents = files.contents.and(&bytes.to_le_bytes()).and(&sample);
        }
        Ok(files)
    }

    fn change(&self, now: &Files) -> String {
        let of_group = if self.count > 1 { format!(" or one of the {} files behind it", self.count - 1) } else { String::new() };
        if self.name != now.name {
            return format!("`{}` found where `{}` was", now.name, self.name);
        }
        match (self.bytes, now.bytes) {
            (before, bytes) if before != bytes => format!("`{}` has {bytes} bytes, {before} before", now.name),
            _ => format!("the contents of `{}`{of_group} are others", now.name),
        }
    }
}

/// The length of a file, and its bytes at the start, in the middle and at the end.
fn look_into(path: &Path) -> io::Result<(u64, Vec<u8>)> {
    let mut file = File::open(path)?;
    let length = file.metadata()?.len();
    let mut sample = Vec::new();
    for at in [0, (length / 2).saturating_sub(SAMPLE / 2), length.saturating_sub(SAMPLE)] {
        file.seek(SeekFrom::Start(at))?;
        file.by_ref().take(SAMPLE).read_to_end(&mut sample)?;
    }
    Ok((length, sample))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_change_says_which_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        for name in ["a.png", "b.png"] {
            fs::write(path(name), vec![7; 20_000]).unwrap();
        }
        let of = |samples| DataFingerprint::new("data.train", folder.path(), samples).unwrap();
        let before = of(2);
        assert_eq!(before.change(&of(2)), None);
        assert_eq!(before.change(&of(3)).unwrap(), "it gives 3 samples, 2 before");
        let name = |file: &str| path(file).display().to_string();
        for at in [0, 10_000, 19_999] {
            let mut bytes = vec![7; 20_000];
            bytes[at] = 8;
            fs::write(path("b.png"), bytes).unwrap();
            assert_eq!(before.change(&of(2)).unwrap(), format!("the contents of `{}` are others", name("b.png")), "byte {at}");
        }
        fs::write(path("b.png"), [7; 3]).unwrap();
        assert_eq!(before.change(&of(2)).unwrap(), format!("`{}` has 3 bytes, 20000 before", name("b.png")));
        fs::write(path("b.png"), vec![7; 20_000]).unwrap();
        fs::write(path("c.png"), "").unwrap();
        assert_eq!(before.change(&of(2)).unwrap(), format!("`{}` was not there", name("c.png")));
        fs::remove_file(path("b.png")).unwrap();
        assert_eq!(before.change(&of(2)).unwrap(), format!("`{}` found where `{}` was", name("c.png"), name("b.png")));
        fs::remove_file(path("c.png")).unwrap();
        assert_eq!(before.change(&of(2)).unwrap(), format!("`{}` is not there any more", name("b.png")));
    }
}
