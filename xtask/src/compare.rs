//! `cargo xtask compare`: training steps of Quantrain and of PyTorch, side by side in one run.
//!
//! Each round runs every program once, one after the other, so that what else the machine does meets all of them; a figure is the median
//! over the rounds of the median over the steps of a round.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

/// Networks of `pytorch_step.py` and their batch sizes.
const NETWORKS: [(&str, usize); 3] = [("resnet20", 64), ("mbv2_96", 16), ("mbv2_224", 4)];
const STEPS: usize = 15;
const THREADS: usize = 2;

/// What is run in each round, in this order.
const PROGRAMS: [Program; 6] = [
    Program { name: "PyTorch float", kind: Kind::PyTorch("float") },
    Program { name: "PyTorch pt2e", kind: Kind::PyTorch("pt2e") },
    Program { name: "float", kind: Kind::Own("float", THREADS) },
    Program { name: "quantized", kind: Kind::Own("quantized", THREADS) },
    Program { name: "float path", kind: Kind::Own("float-path", THREADS) },
    Program { name: "quantized, 1 thread", kind: Kind::Own("quantized", 1) },
];
// Their places in that order.
const PYTORCH_FLOAT: usize = 0;
const PYTORCH_PT2E: usize = 1;
const FLOAT: usize = 2;
const QUANTIZED: usize = 3;
const FLOAT_PATH: usize = 4;
const ONE_THREAD: usize = 5;

/// The ratios of a network: key in JSON, what it says, dividend and divisor, of time or of memory.
const RATIOS: [(&str, &str, usize, usize, bool); 6] = [
    ("qat_over_pt2e", "quantized / PyTorch pt2e", QUANTIZED, PYTORCH_PT2E, false),
    ("qat_over_float", "quantized / PyTorch float", QUANTIZED, PYTORCH_FLOAT, false),
    ("qat_over_own_float", "quantized / own float", QUANTIZED, FLOAT, false),
    ("float_path_over_own_float", "float path / own float", FLOAT_PATH, FLOAT, false),
    ("memory_over_pt2e", "memory / PyTorch pt2e", QUANTIZED, PYTORCH_PT2E, true),
    ("threads_2_over_1", "one thread / two", ONE_THREAD, QUANTIZED, false),
];

struct Program {
    name: &'static str,
    kind: Kind,
}

enum Kind {
    /// Mode of `pytorch_step.py`.
    PyTorch(&'static str),
    /// Mode and threads of the example `training_step`.
    Own(&'static str, usize),
}

/// One program's figures, a value for each round.
#[derive(Clone, Default)]
struct Figures {
    milliseconds: Vec<f64>,
    mebibytes: Vec<f64>,
}

/// Measures and prints. `arguments`: `--json`, `--rounds N`, `--net NAME`.
pub fn run(root: &Path, arguments: &[&str]) -> Result<(), String> {
    let options = Options::parse(arguments)?;
    let bench = Bench::prepare(root)?;
    for (net, batch) in NETWORKS.into_iter().filter(|(net, _)| options.net.as_deref().is_none_or(|wanted| wanted == *net)) {
        let mut figures = vec![Figures::default(); PROGRAMS.len()];
        for round in 0..options.rounds {
            for (program, figures) in PROGRAMS.iter().zip(&mut figures) {
                eprintln!("{net}, round {} of {}: {}", round + 1, options.rounds, program.name);
                let (milliseconds, mebibytes) = measured(bench.command(program, net, batch))?;
                figures.milliseconds.push(milliseconds);
                figures.mebibytes.push(mebibytes);
            }
        }
        if options.json { print_json(net, &figures) } else { print_table(net, batch, &figures) }
    }
    Ok(())
}

struct Options {
    json: bool,
    rounds: usize,
    net: Option<String>,
}

impl Options {
    fn parse(arguments: &[&str]) -> Result<Self, String> {
        let mut options = Options { json: false, rounds: 3, net: None };
        let mut arguments = arguments.iter();
        while let Some(argument) = arguments.next() {
            let mut value = || arguments.next().ok_or_else(|| format!("{argument}: a value is missing"));
            match *argument {
                "--json" => options.json = true,
                "--rounds" => options.rounds = value()?.parse().ok().filter(|n| *n > 0).ok_or("--rounds: expected a number above 0")?,
                "--net" => options.net = Some(value()?.to_string()),
                other => return Err(format!("compare: unknown argument `{other}`; expected --json, --rounds N or --net NAME")),
            }
        }
        match options.net.as_deref() {
            Some(net) if NETWORKS.iter().all(|(name, _)| *name != net) => Err(format!("--net: no network `{net}`")),
            _ => Ok(options),
        }
    }
}

/// Where the programs are.
struct Bench {
    python: PathBuf,
    script: PathBuf,
    own: PathBuf,
    networks: PathBuf,
}

impl Bench {
    /// Sets up PyTorch, writes the networks, builds the own half; what is there already stays.
    fn prepare(root: &Path) -> Result<Self, String> {
        let script = root.join("../shared/bench/pytorch_step.py");
        if !script.exists() {
            return Err(format!("{}: not found; the PyTorch half of the comparison lies beside the repository", script.display()));
        }
        let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from);
        let folder = target.join("compare");
        let (python, networks) = (folder.join("venv/bin/python"), folder.join("networks"));
        if !folder.join("venv/complete").exists() {
            eprintln!("installing PyTorch in {}, about 5 GB", folder.join("venv").display());
            checked(Command::new("python3").args(["-m", "venv"]).arg(folder.join("venv")))?;
            checked(Command::new(&python).args(["-m", "pip", "install", "--quiet", "torch", "torchvision", "torchao", "onnx"]))?;
            write(&folder.join("venv/complete"))?;
        }
        if !networks.join("complete").exists() {
            std::fs::create_dir_all(&networks).map_err(|e| format!("{}: {e}", networks.display()))?;
            checked(Command::new(&python).arg(&script).arg("--onnx").arg(&networks))?;
            write(&networks.join("complete"))?;
        }
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        checked(Command::new(cargo).args(["build", "--release", "-p", "quantrain", "--example", "training_step"]).current_dir(root))?;
        Ok(Bench { python, script, own: target.join("release/examples/training_step"), networks })
    }

    fn command(&self, program: &Program, net: &str, batch: usize) -> Command {
        let numbers = [batch, STEPS].map(|n| n.to_string());
        match program.kind {
            Kind::PyTorch(mode) => {
                let mut command = Command::new(&self.python);
                command.arg(&self.script).args(["--net", net, "--mode", mode, "--layout", "channels_last"]);
                command.args(["--steps", &numbers[1], "--threads", &THREADS.to_string()]);
                command
            }
            Kind::Own(mode, threads) => {
                let mut command = Command::new(&self.own);
                command.arg(self.networks.join(format!("{net}.onnx")));
                command.args([&numbers[0], mode, &numbers[1], &threads.to_string()]);
                command
            }
        }
    }
}

/// Runs a program that must succeed; what it prints goes to the standard error.
fn checked(command: &mut Command) -> Result<(), String> {
    let name = format!("{command:?}");
    let status = command.stdout(std::io::stderr()).status().map_err(|e| format!("{name}: {e}"))?;
    if status.success() { Ok(()) } else { Err(format!("{name}: {status}")) }
}

fn write(path: &Path) -> Result<(), String> {
    std::fs::write(path, "").map_err(|e| format!("{}: {e}", path.display()))
}

/// The median step in milliseconds that a program prints, and the most memory that it held, in MiB.
fn measured(mut command: Command) -> Result<(f64, f64), String> {
    let name = format!("{command:?}");
    let failed = |problem: String| format!("{name}: {problem}");
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().map_err(|e| failed(e.to_string()))?;
    // Linux keeps the high water mark of a process, so that looking now and then is enough.
    let status = format!("/proc/{}/status", child.id());
    let mut kibibytes = 0.0;
    while child.try_wait().map_err(|e| failed(e.to_string()))?.is_none() {
        kibibytes = std::fs::read_to_string(&status).ok().as_deref().and_then(high_water).unwrap_or(kibibytes);
        std::thread::sleep(Duration::from_millis(5));
    }
    let mut printed = String::new();
    child.stdout.take().expect("piped").read_to_string(&mut printed).map_err(|e| failed(e.to_string()))?;
    let median = step_median(&printed).ok_or_else(|| failed(format!("no line with `step median` in what it printed: {printed}")))?;
    Ok((median, kibibytes / 1024.0))
}

fn high_water(status: &str) -> Option<f64> {
    status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?.split_whitespace().next()?.parse().ok()
}

fn step_median(printed: &str) -> Option<f64> {
    printed.split_once("step median ")?.1.split_whitespace().next()?.parse().ok()
}

fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted[sorted.len() / 2]
}

fn ratio(figures: &[Figures], dividend: usize, divisor: usize, memory: bool) -> f64 {
    let of = |i: usize| if memory { &figures[i].mebibytes } else { &figures[i].milliseconds };
    median(of(dividend)) / median(of(divisor))
}

fn print_json(net: &str, figures: &[Figures]) {
    let ratios = RATIOS.map(|(key, _, a, b, memory)| format!(", \"{key}\": {:.3}", ratio(figures, a, b, memory)));
    println!("{{\"net\": \"{net}\"{}}}", ratios.concat());
}

fn print_table(net: &str, batch: usize, figures: &[Figures]) {
    println!("{net}, batch {batch}");
    for (program, figures) in PROGRAMS.iter().zip(figures) {
        println!("  {:<28}{:>9.1} ms {:>8.0} MiB", program.name, median(&figures.milliseconds), median(&figures.mebibytes));
    }
    for (_, what, a, b, memory) in RATIOS {
        println!("  {what:<28}{:>9.2}", ratio(figures, a, b, memory));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_of_a_printed_line_is_found() {
        let line = "resnet20 float quantrain: step median 154.1 min 146.5 max 166.2 ms, forward median 49.4 ms, n=9";
        assert_eq!(step_median(line), Some(154.1));
        assert_eq!(step_median("nothing"), None);
    }

    #[test]
    fn the_high_water_mark_is_found() {
        assert_eq!(high_water("Name:\tx\nVmHWM:\t    2048 kB\n"), Some(2048.0));
    }

    #[test]
    fn an_unknown_option_is_refused() {
        assert!(Options::parse(&["--jsn"]).is_err_and(|e| e.contains("--jsn")));
        assert!(Options::parse(&["--rounds", "0"]).is_err());
        assert!(Options::parse(&["--net", "vgg"]).is_err());
        assert!(Options::parse(&["--json", "--rounds", "2", "--net", "resnet20"]).is_ok_and(|o| o.json && o.rounds == 2));
    }
}
