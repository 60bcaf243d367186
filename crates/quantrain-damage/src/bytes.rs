//! Damage that knows nothing of the format.

use crate::Generator;

/// Flips, cuts, zeroes, repeats and splices, up to four times.
pub fn damage(mut file: Vec<u8>, other: &[u8], generator: &mut Generator) -> Vec<u8> {
    // Whatever moves bytes breaks the lengths of the messages around them, so it is done in half of the files only.
    let kinds = if generator.below(2) == 0 { 8 } else { 4 };
    for _ in 0..1 + generator.below(4) {
        // Names, extents and attributes lie between the weights: the first and the last part of a file are hit more often.
        let at = match generator.below(3) {
            0 => generator.below(file.len().min(4096)),
            1 => file.len() - 1 - generator.below(file.len().min(4096)),
            _ => generator.below(file.len()),
        };
        let run = 1 + generator.below(64);
        let end = file.len().min(at + run);
        match generator.below(kinds) {
            0 | 1 => file[at] ^= 1 << generator.below(8),
            2 => file[at] = generator.below(256).to_le_bytes()[0],
            3 => file[at..end].fill(0),
            4 => file.truncate(at.max(1)),
            5 => drop(file.drain(at..end)),
            6 => {
                let part = file[at..end].to_vec();
                file.splice(at..at, part);
            }
            _ => {
                let from = generator.below(other.len());
                file.splice(at..at, other[from..other.len().min(from + run)].iter().copied());
            }
        }
        if file.len() < 2 {
            break;
        }
    }
    file
}
