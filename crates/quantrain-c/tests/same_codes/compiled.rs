//! A printed file, compiled and run.

use std::collections::HashMap;
use std::fs;
use std::io::Write;
use std::process::{Command, Stdio};

use quantrain_graph::{Graph, QuantGraph, Quantizer, Settings, TensorId};
use quantrain_integer::{CodeMonitor, IntegerProgram};

use crate::draft::{quantized, spread};

/// Samples that are compared.
const SAMPLES: usize = 4;

const WARNINGS: [&str; 6] = ["-std=c99", "-Wall", "-Wextra", "-Wconversion", "-Wpedantic", "-Werror"];
/// A compiler's own contraction of products and sums must change nothing, so the dialect that contracts is tried too.
const WAYS: [&[&str]; 2] = [&["-O1", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"], &["-std=gnu11", "-O3", "-march=native"]];

/// Compares all outputs of a network for every target; tells what could not be compared here.
pub fn compare(name: &str, graph: &Graph) {
    if Command::new("cc").arg("--version").stdout(Stdio::null()).status().is_err() {
        return println!("skipped: {name}: no C compiler `cc`");
    }
    // The compiler takes longer than all else: 4 bits need no second way.
    for (target, bits, ways) in
        [("onnxruntime-vnni", 8, &WAYS[..]), ("tidl-pow2", 8, &WAYS[..]), ("onnxruntime", 4, &WAYS[..1]), ("tidl-pow2", 4, &WAYS[..1])]
    {
        let settings = Settings { weight_bits: Some(bits), activation_bits: Some(bits), ..Settings::default() };
        same_codes(&format!("{name}, {target}, {bits} bits"), &quantized(graph, target, &settings), ways);
    }
}

fn same_codes(name: &str, net: &QuantGraph, ways: &[&[&str]]) {
    let program = IntegerProgram::lower(net).unwrap_or_else(|e| panic!("{name}: {e}"));
    let files = quantrain_c::print(&program, "net").unwrap_or_else(|e| panic!("{name}: {e}"));
    let graph = net.graph();
    let inputs: Vec<Vec<f32>> = graph.inputs().iter().map(|&t| spread(t.0, graph.tensor(t).shape.elements(SAMPLES), -1.6, 1.6)).collect();
    let mut codes = Codes::default();
    let reals = program.run(SAMPLES, &inputs.iter().map(Vec::as_slice).collect::<Vec<_>>(), &mut codes).unwrap();
    let of = |t: TensorId, i: Option<usize>| -> Vec<u8> {
        match (codes.0.get(&t), i) {
            // The low byte is the code, signed or not.
            (Some(codes), _) => codes.iter().map(|&c| c as u8).collect(),
            (None, Some(output)) => reals[output].iter().flat_map(|v| v.to_le_bytes()).collect(),
            (None, None) => panic!("{name}: an input without codes"),
        }
    };
    let given: Vec<Vec<u8>> = graph.inputs().iter().map(|&t| of(t, None)).collect();
    let expected: Vec<Vec<u8>> = graph.outputs().iter().enumerate().map(|(i, &t)| of(t, Some(i))).collect();
    for output in &expected {
        let mut values = output.clone();
        values.sort_unstable();
        values.dedup();
        assert!(values.len() > 3, "{name}: an output of few codes compares nothing");
    }
    for &way in ways {
        let found = run(name, &files, &given, &expected, way);
        for (i, (found, expected)) in found.iter().zip(&expected).enumerate() {
            let differ = found.iter().zip(expected).filter(|(a, b)| a != b).count();
            assert_eq!((found.len(), differ), (expected.len(), 0), "{name}: output {i} as compiled by {way:?}");
        }
    }
}

/// The outputs of the compiled function, sample by sample.
fn run(name: &str, files: &quantrain_c::CFiles, inputs: &[Vec<u8>], outputs: &[Vec<u8>], way: &[&str]) -> Vec<Vec<u8>> {
    let folder = tempfile::tempdir().unwrap();
    let path = |file: &str| folder.path().join(file);
    fs::write(path("net.c"), &files.source).unwrap();
    fs::write(path("net.h"), &files.header).unwrap();
    fs::write(path("main.c"), driver(&files.header, inputs, outputs)).unwrap();
    let compile = |command: &mut Command| {
        command.args(WARNINGS).args(way).args(["-o", "net", "main.c", "net.c", "-lm"]).current_dir(folder.path()).output().unwrap()
    };
    let result = compile(&mut Command::new("cc"));
    assert!(result.status.success(), "{name}: {}", String::from_utf8_lossy(&result.stderr));
    let mut child = Command::new(path("net")).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    for sample in 0..SAMPLES {
        inputs.iter().for_each(|x| stdin.write_all(&x[sample * x.len() / SAMPLES..][..x.len() / SAMPLES]).unwrap());
    }
    drop(stdin);
    let result = child.wait_with_output().unwrap();
    assert!(result.status.success(), "{name}: {}", String::from_utf8_lossy(&result.stderr));
    let mut written = result.stdout.as_slice();
    let mut found = vec![Vec::new(); outputs.len()];
    for _ in 0..SAMPLES {
        for (found, expected) in found.iter_mut().zip(outputs) {
            let (own, rest) = written.split_at(expected.len() / SAMPLES);
            found.extend_from_slice(own);
            written = rest;
        }
    }
    found
}

/// A program that reads samples until there are none and writes their outputs. Types are those of the header's prototype.
fn driver(header: &str, inputs: &[Vec<u8>], outputs: &[Vec<u8>]) -> String {
    let prototype = header.lines().find(|l| l.starts_with("int net_run(")).unwrap();
    let parameters = prototype["int net_run(".len()..].split(',').map(|p| p.trim().trim_start_matches("const "));
    let types = parameters.map(|p| p.split(' ').next().unwrap_or_default());
    let sizes: Vec<usize> = inputs.iter().chain(outputs).map(|x| x.len() / SAMPLES).collect();
    let mut text = String::from("#include <stdio.h>\n#include \"net.h\"\n");
    for (i, (kind, size)) in types.zip(&sizes).enumerate() {
        text += &format!("static {kind} t{i}[{size} / sizeof({kind})];\n");
    }
    let all = (0..sizes.len()).map(|i| format!("t{i}")).collect::<Vec<_>>().join(", ");
    text += "int main(void)\n{\n    for (;;) {\n";
    for i in 0..inputs.len() {
        text += &format!("        if (fread(t{i}, 1, sizeof t{i}, stdin) != sizeof t{i}) {{ return 0; }}\n");
    }
    text += &format!("        if (net_run({all}) != 0) {{ return 1; }}\n");
    for i in inputs.len()..sizes.len() {
        text += &format!("        if (fwrite(t{i}, 1, sizeof t{i}, stdout) != sizeof t{i}) {{ return 2; }}\n");
    }
    text + "    }\n}\n"
}

/// Keeps every code.
#[derive(Default)]
struct Codes(HashMap<TensorId, Vec<i32>>);

impl CodeMonitor for Codes {
    fn codes(&mut self, tensor: TensorId, _: &Quantizer, codes: &[i32]) {
        self.0.insert(tensor, codes.to_vec());
    }
}
