use super::*;
use crate::observe::{ObserverKind, ObserverState};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Position {
    step: u64,
    best: Option<f64>,
    range: (f32, f32),
    observers: Vec<(String, ObserverState)>,
}

fn identity() -> Identity {
    Identity { network: Fingerprint::of("network"), recipe: Fingerprint::of("recipe") }
}

fn position() -> Position {
    let scheme = quantrain_graph::Target::onnxruntime().activations();
    let observers = ObserverKind::ALL.map(|kind| {
        let mut observer = kind.build(&scheme);
        observer.observe(&[0.1, -0.7, 1e-9, 3.3333], 1);
        (kind.to_string(), observer.state())
    });
    Position { step: u64::MAX, best: Some(88.57), range: (f32::MIN_POSITIVE, 0.1), observers: observers.into() }
}

fn tensors() -> Tensors {
    vec![
        ("z".into(), vec![0.1, -0.0, f32::MAX]),
        ("a/momentum".into(), vec![]),
        ("b".into(), (0..1000).map(|i| (i as f32).sin()).collect()),
    ]
}

#[test]
fn a_checkpoint_comes_back_bit_for_bit_and_in_order() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("last.safetensors");
    write(&path, &identity(), &position(), &tensors()).unwrap();
    let (p, t): (Position, Tensors) = read(&path, &identity()).unwrap();
    assert_eq!(p, position());
    let bits = |t: &Tensors| t.iter().map(|(n, v)| (n.clone(), v.iter().map(|x| x.to_bits()).collect::<Vec<_>>())).collect::<Vec<_>>();
    assert_eq!(bits(&t), bits(&tensors()));
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn other_readers_of_safetensors_see_the_tensors() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a");
    write(&path, &identity(), &(), &tensors()).unwrap();
    let bytes = fs::read(&path).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    assert_eq!(file.tensor("b").unwrap().shape(), [1000]);
}

#[test]
fn a_truncated_file_is_damaged_wherever_it_ends() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a");
    write(&path, &identity(), &position(), &tensors()).unwrap();
    let whole = fs::read(&path).unwrap();
    for length in [0, 4, 8, 100, whole.len() / 2, whole.len() - 1] {
        fs::write(&path, &whole[..length]).unwrap();
        let error = read::<Position>(&path, &identity()).unwrap_err();
        assert!(matches!(error, CheckpointError::Damaged { .. }), "{length}: {error}");
    }
    fs::write(&path, "not a checkpoint at all, but long enough to have a header").unwrap();
    assert!(matches!(read::<Position>(&path, &identity()), Err(CheckpointError::Damaged { .. })));
}

#[test]
fn each_mismatch_has_its_error() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a");
    write(&path, &identity(), &1u64, &tensors()).unwrap();
    let other = Identity { network: Fingerprint::of("other"), ..identity() };
    assert!(matches!(read::<u64>(&path, &other), Err(CheckpointError::OtherNetwork { .. })));
    let other = Identity { recipe: Fingerprint::of("other"), ..identity() };
    assert!(matches!(read::<u64>(&path, &other), Err(CheckpointError::OtherRecipe { .. })));
    assert!(matches!(read::<String>(&path, &identity()), Err(CheckpointError::Damaged { .. })));
    let missing = read::<u64>(&folder.path().join("b"), &identity()).unwrap_err();
    assert!(matches!(missing, CheckpointError::File(FileError::Other { .. })));
    // The same length, so that the file stays whole.
    let text = fs::read(&path).unwrap();
    let at = text.windows(11).position(|w| w == b"version\\\":2").unwrap();
    let mut newer = text.clone();
    newer[at + 10] = b'3';
    fs::write(&path, newer).unwrap();
    assert!(matches!(read::<u64>(&path, &identity()), Err(CheckpointError::Version { found: 3, expected: 2, .. })));
    let twice = write(&path, &identity(), &1u64, &[("a".into(), vec![]), ("a".into(), vec![])]);
    assert!(matches!(twice, Err(CheckpointError::Unwritable { .. })));
    let empty = serialize(HashMap::<String, TensorView<'_>>::new(), None).unwrap();
    fs::write(&path, empty).unwrap();
    assert!(matches!(read::<u64>(&path, &identity()), Err(CheckpointError::Damaged { .. })));
}

/// Bits flipped, bytes zeroed and halves swapped, in the header as in the tensors: nothing of it may be taken for a checkpoint.
#[test]
fn a_damaged_file_is_never_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a");
    write(&path, &identity(), &position(), &tensors()).unwrap();
    let whole = fs::read(&path).unwrap();
    let half = whole.len() / 2;
    let mut damaged: Vec<Vec<u8>> = vec![[&whole[half..], &whole[..half]].concat()];
    for at in (0..whole.len()).step_by(41) {
        let mut flipped = whole.clone();
        flipped[at] ^= 1 << (at % 8);
        damaged.push(flipped);
    }
    for start in (0..whole.len()).step_by(whole.len() / 40) {
        let mut zeroed = whole.clone();
        zeroed[start..].fill(0);
        // The last byte of the file may be 0 already.
        damaged.extend((zeroed != whole).then_some(zeroed));
    }
    for (trial, bytes) in damaged.iter().enumerate() {
        fs::write(&path, bytes).unwrap();
        match read::<Position>(&path, &identity()) {
            Err(CheckpointError::Damaged { .. } | CheckpointError::Version { .. }) => {}
            // Spaces that pad the header say nothing.
            Ok((p, t)) => assert!(p == position() && t == tensors(), "trial {trial}"),
            Err(other) => panic!("trial {trial}: {other}"),
        }
    }
}

#[test]
fn values_that_are_not_finite_are_neither_written_nor_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a");
    write(&path, &identity(), &1u64, &tensors()).unwrap();
    for value in [f32::NAN, f32::INFINITY] {
        let error = write(&path, &identity(), &2u64, &[("w".into(), vec![1.0, value])]).unwrap_err();
        assert!(matches!(&error, CheckpointError::NotFinite { tensor, .. } if tensor == "w"), "{error}");
    }
    assert_eq!(read::<u64>(&path, &identity()).unwrap().0, 1);
}
