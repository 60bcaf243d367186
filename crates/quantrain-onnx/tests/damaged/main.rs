//! Damaged files: networks with bytes flipped, cut and spliced, and with extents, types, names, edges and attributes that make no sense.
//!
//! None of them may make reading, placing quantizers, planning or inspecting panic, hang, or take more memory than 4 times the file and 256 MiB.
//! `cargo test` runs a share; all of them:
//!
//! ```sh
//! cargo test --release -p quantrain-onnx --test damaged -- --ignored --nocapture
//! ```

mod bytes;
mod generator;
mod grow;
mod large;
mod memory;
mod structure;
mod walk;

#[path = "../../src/proto.rs"]
#[allow(dead_code, reason = "the tests change some messages only")]
mod proto;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{LazyLock, Mutex};
use std::time::{Duration, Instant};
use std::{fs, panic, process, thread};

use generator::Generator;
use walk::Step;

#[global_allocator]
static MEMORY: memory::Counting = memory::Counting;

/// What a file may take beyond 4 times its size.
const ALLOWANCE: usize = 256 << 20;
/// What reading may take of time. The largest network takes a tenth of a second.
const PATIENCE: Duration = Duration::from_secs(20);
/// Networks beyond this size take most of the time; few files are made of them.
const LARGE: usize = 4 << 20;
const SEED: u64 = 2;

/// Memory is counted for the whole process, so one test runs at a time.
static ALONE: Mutex<()> = Mutex::new(());
static STARTED: LazyLock<Instant> = LazyLock::new(Instant::now);
/// The file in work, and when it began, in milliseconds since the start.
static CURRENT: AtomicU64 = AtomicU64::new(NOTHING);
static BEGUN: AtomicU64 = AtomicU64::new(0);
const NOTHING: u64 = u64::MAX;

#[test]
fn a_thousand_damaged_files_do_no_harm() {
    check(0..1000);
}

#[test]
#[ignore = "takes minutes; the command is at the head of the file"]
fn ten_thousand_damaged_files_do_no_harm() {
    check(0..10_000);
}

#[test]
fn a_network_of_many_nodes_takes_time_in_proportion() {
    // Were anything quadratic, this would take minutes and the watch would end it.
    let _alone = ALONE.lock();
    let bytes = large::network(50_000);
    watch();
    begin(0);
    assert_eq!(walk::walk(&bytes), Step::Planned);
    CURRENT.store(NOTHING, Ordering::Relaxed);
}

#[test]
fn a_plan_is_small_whatever_the_extents() {
    let _alone = ALONE.lock();
    let bytes = large::padded(1 << 30);
    let before = memory::start();
    assert_eq!(walk::walk(&bytes), Step::Planned);
    assert!(memory::peak() - before < ALLOWANCE / 16, "{} bytes", memory::peak() - before);
}

fn check(numbers: std::ops::Range<u64>) {
    let _alone = ALONE.lock();
    let networks = networks();
    let started = Instant::now();
    watch();
    // A panic is found and reported with its file's number.
    panic::set_hook(Box::new(|_| {}));
    let (mut steps, mut failures, mut most) = ([0usize; Step::Planned as usize + 1], Vec::new(), 0);
    for number in numbers.clone() {
        let (bytes, what) = damaged(number, &networks);
        begin(number);
        let before = memory::start();
        let reached = panic::catch_unwind(|| walk::walk(&bytes));
        let taken = memory::peak().saturating_sub(before);
        let time = in_work();
        most = most.max(taken.saturating_sub(4 * bytes.len()));
        match reached {
            Ok(step) => steps[step as usize] += 1,
            Err(panic) => failures.push(format!("file {number} ({what}): panic: {}", words(panic.as_ref()))),
        }
        if taken > 4 * bytes.len() + ALLOWANCE {
            failures.push(format!("file {number} ({what}): {taken} bytes taken by a file of {}", bytes.len()));
        }
        if time > PATIENCE / 2 {
            failures.push(format!("file {number} ({what}): {} s", time.as_secs()));
        }
    }
    let _ = panic::take_hook();
    CURRENT.store(NOTHING, Ordering::Relaxed);
    let [refused, read, placed, planned] = steps;
    println!(
        "{} files of {} networks: {refused} refused, {read} read only, {placed} placed only, {planned} planned; at most {} MiB beyond 4 times the file; {:.0} s",
        numbers.end - numbers.start,
        networks.len(),
        most >> 20,
        started.elapsed().as_secs_f64()
    );
    assert!(failures.is_empty(), "{} failures:\n{}", failures.len(), failures[..failures.len().min(40)].join("\n"));
    assert!(refused > 0 && planned > 0, "damage must both be found and be survived");
}

/// The networks in the repository, and those beside it.
fn networks() -> Vec<Vec<u8>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let shared = root.join("../shared/models");
    let mut found: Vec<PathBuf> = vec![root.join("examples/fashion-mnist/fashion_mobilenet.onnx")];
    match fs::read_dir(&shared) {
        Ok(entries) => found.extend(entries.filter_map(|e| Some(e.ok()?.path())).filter(|p| p.extension().is_some_and(|e| e == "onnx"))),
        Err(_) => println!("skipped: the networks of {} are missing", shared.display()),
    }
    found.sort();
    found.iter().map(|path| fs::read(path).expect("networks can be read")).collect()
}

/// File `number`, always the same, and what was done to it.
fn damaged(number: u64, networks: &[Vec<u8>]) -> (Vec<u8>, &'static str) {
    let mut generator = Generator::new(SEED ^ number.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    let small: Vec<&Vec<u8>> = networks.iter().filter(|n| n.len() <= LARGE).collect();
    let network = if number.is_multiple_of(50) { generator.pick(networks) } else { *generator.pick(&small) };
    if number.is_multiple_of(2) {
        let other = *generator.pick(&small);
        (bytes::damage(network.clone(), other, &mut generator), "bytes")
    } else {
        (structure::damage(network, &mut generator), "structure")
    }
}

/// Ends the test where a file hangs.
fn watch() {
    thread::spawn(|| {
        loop {
            thread::sleep(Duration::from_millis(500));
            let (current, time) = (CURRENT.load(Ordering::Relaxed), in_work());
            if current != NOTHING && time > PATIENCE {
                eprintln!("file {current} hangs");
                process::abort();
            }
        }
    });
}

/// Says which file is in work from now on.
fn begin(number: u64) {
    BEGUN.store(milliseconds(), Ordering::Relaxed);
    CURRENT.store(number, Ordering::Relaxed);
}

/// How long the file has been in work.
fn in_work() -> Duration {
    Duration::from_millis(milliseconds().saturating_sub(BEGUN.load(Ordering::Relaxed)))
}

fn milliseconds() -> u64 {
    u64::try_from(STARTED.elapsed().as_millis()).unwrap_or(u64::MAX)
}

fn words(panic: &(dyn std::any::Any + Send)) -> &str {
    panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no words")
}
