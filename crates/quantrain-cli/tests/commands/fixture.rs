//! A tiny network, tiny images, and the command itself.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use quantrain_graph::{Graph, GraphBuilder};
use tempfile::TempDir;

/// Height and width of the images.
pub const SIDE: usize = 8;

/// Number of classes: the quarter of the image that is bright.
pub const CLASSES: usize = 4;

/// A folder with `net.onnx`, `train-images-idx3-ubyte`, `test-images-idx3-ubyte` and their labels.
pub struct Fixture {
    folder: TempDir,
}

impl Fixture {
    /// With 96 images to train on and 40 to test with.
    pub fn new() -> Self {
        let fixture = Fixture { folder: tempfile::tempdir().unwrap() };
        write_network(&fixture.path("net.onnx"));
        fixture.write_images("train", 96, |i| (i % CLASSES) as u8);
        fixture.write_images("test", 40, |i| (i % CLASSES) as u8);
        fixture
    }

    /// A path in the folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes `count` images with labels as an IDX dataset.
    pub fn write_images(&self, name: &str, count: usize, label: impl Fn(usize) -> u8) {
        let mut random = Random(count as u64);
        let mut images = Vec::new();
        for i in 0..count {
            let (bright_row, bright_column) = (i % CLASSES / 2, i % CLASSES % 2);
            for pixel in 0..SIDE * SIDE {
                let bright = pixel / SIDE / (SIDE / 2) == bright_row && pixel % SIDE / (SIDE / 2) == bright_column;
                images.push(if bright { 128 } else { 0 } + (random.next() * 120.0) as u8);
            }
        }
        let labels: Vec<u8> = (0..count).map(label).collect();
        let side = SIDE as u32;
        fs::write(self.path(&format!("{name}-images-idx3-ubyte")), idx(&[count as u32, side, side], &images)).unwrap();
        fs::write(self.path(&format!("{name}-labels-idx1-ubyte")), idx(&[count as u32], &labels)).unwrap();
    }

    /// Writes a network into the folder.
    pub fn write_graph(&self, name: &str, graph: &Graph) {
        quantrain_onnx::write_float(graph, self.path(name)).unwrap();
    }

    /// Writes a NumPy archive of arrays of bytes, stored as they are.
    pub fn write_npz(&self, name: &str, arrays: &[(&str, &[usize], Vec<u8>)]) {
        let (mut file, mut directory) = (Vec::new(), Vec::new());
        for (name, shape, bytes) in arrays {
            let extents: String = shape.iter().map(|extent| format!("{extent}, ")).collect();
            let header = format!("{{'descr': '|u1', 'fortran_order': False, 'shape': ({extents}), }}");
            let mut array = b"\x93NUMPY\x01\x00".to_vec();
            array.extend((header.len() as u16).to_le_bytes());
            array.extend(header.as_bytes());
            array.extend(bytes);
            let mut checksum = flate2::Crc::new();
            checksum.update(&array);
            let (name, size) = (format!("{name}.npy"), (array.len() as u32).to_le_bytes());
            let fields = [
                &[20, 0, 0, 0, 0, 0, 0, 0, 0, 0],
                &checksum.sum().to_le_bytes()[..],
                &size,
                &size,
                &(name.len() as u16).to_le_bytes(),
                &[0, 0],
            ]
            .concat();
            let start = (file.len() as u32).to_le_bytes();
            directory.extend([&b"PK\x01\x02\x14\x00"[..], &fields, &[0; 10], &start, name.as_bytes()].concat());
            file.extend([&b"PK\x03\x04"[..], &fields, name.as_bytes(), &array].concat());
        }
        let (count, start) = ((arrays.len() as u16).to_le_bytes(), (file.len() as u32).to_le_bytes());
        file.extend(&directory);
        file.extend([b"PK\x05\x06\x00\x00\x00\x00", &count[..], &count, &(directory.len() as u32).to_le_bytes(), &start, &[0, 0]].concat());
        fs::write(self.path(name), file).unwrap();
    }

    /// Writes a recipe for the network and the images, with more keys behind; gives its path.
    pub fn recipe(&self, name: &str, out: &str, more: &str) -> PathBuf {
        let path = self.path(name);
        let data = "train = 'train-images-idx3-ubyte'\neval = 'test-images-idx3-ubyte'\nmean = [0.3]\nstd = [0.25]";
        fs::write(&path, format!("model = 'net.onnx'\nout = '{out}'\nthreads = 1\n[data]\n{data}\ncalibration-images = 64\n{more}"))
            .unwrap();
        path
    }

    /// The command in this folder.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_quantrain"));
        command.current_dir(self.folder.path()).args(arguments).env_remove("QUANTRAIN_SIMD").env_remove("COLUMNS");
        command
    }

    /// Runs the command in this folder.
    pub fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    /// Runs the command, which must succeed, and gives its JSON.
    pub fn json(&self, arguments: &[&str]) -> serde_json::Value {
        let output = self.run(&[arguments, &["--json"]].concat());
        assert!(output.status.success(), "{arguments:?}: {}", text(&output.stderr));
        assert_eq!(text(&output.stderr), "", "{arguments:?}");
        serde_json::from_slice(&output.stdout).unwrap()
    }

    /// The names of what lies in the folder.
    pub fn entries(&self) -> Vec<String> {
        let entries = fs::read_dir(self.folder.path()).unwrap();
        let mut names: Vec<String> = entries.map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }
}

/// What a process printed.
pub fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// A depthwise-separable network on gray images.
fn write_network(path: &Path) {
    let mut random = Random(7);
    let mut values = |count: usize, limit: f32| -> Vec<f32> { (0..count).map(|_| (random.next() * 2.0 - 1.0) * limit).collect() };
    let mut b = GraphBuilder::new("tiny");
    let x = b.input("image", &[1, SIDE, SIDE]);
    let x = b.convolution("stem", x, 8, [3, 3]).padding([1, 1, 1, 1]).weights(values(72, 0.5)).done().unwrap();
    let x = b.batch_norm("stem_norm", x).unwrap();
    let x = b.relu("stem_relu", x).unwrap();
    let y = b.convolution("depthwise", x, 8, [3, 3]).padding([1, 1, 1, 1]).groups(8).weights(values(72, 0.5)).done().unwrap();
    let y = b.batch_norm("depthwise_norm", y).unwrap();
    let y = b.relu("depthwise_relu", y).unwrap();
    let y = b.add("sum", x, y).unwrap();
    let y = b.convolution("quarters", y, 8, [4, 4]).strides([4, 4]).weights(values(8 * 8 * 16, 0.1)).done().unwrap();
    let y = b.flatten("flat", y).unwrap();
    let y = b.gemm("classifier", y, CLASSES, values(32 * CLASSES, 0.3), values(CLASSES, 0.1)).unwrap();
    b.output(y);
    quantrain_onnx::write_float(&b.finish().unwrap(), path).unwrap();
}

fn idx(extents: &[u32], bytes: &[u8]) -> Vec<u8> {
    let mut file = vec![0, 0, 8, extents.len() as u8];
    extents.iter().for_each(|e| file.extend(e.to_be_bytes()));
    file.extend(bytes);
    file
}

/// Numbers in 0..1 that are the same everywhere (SplitMix64).
struct Random(u64);

impl Random {
    fn next(&mut self) -> f32 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 40) as f32 / (1u64 << 24) as f32
    }
}
