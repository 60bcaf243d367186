//! Files one after the other, each watched.

use std::any::Any;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{LazyLock, Mutex, MutexGuard, Once, PoisonError};
use std::time::{Duration, Instant};
use std::{env, panic, process, thread};

use crate::{Generator, memory};

/// What a file may take of time.
const PATIENCE: Duration = Duration::from_secs(20);

/// Memory is counted for the whole process, so one test runs at a time.
static ALONE: Mutex<()> = Mutex::new(());
static STARTED: LazyLock<Instant> = LazyLock::new(Instant::now);
static WATCH: Once = Once::new();
/// The file in work, and when it began, in milliseconds since the start.
static CURRENT: AtomicU64 = AtomicU64::new(NOTHING);
static BEGUN: AtomicU64 = AtomicU64::new(0);
const NOTHING: u64 = u64::MAX;

/// How many files, of what choices, and what they may take.
#[derive(Clone, Copy, Debug)]
pub struct Trials {
    count: u64,
    seed: u64,
    allowance: usize,
}

impl Trials {
    /// A thousand, always the same: the share of `cargo test`.
    pub fn few() -> Self {
        Trials { count: 1000, seed: 2, allowance: 256 << 20 }
    }

    /// As many as `QUANTRAIN_DAMAGED_COUNT` says (100,000), by the seed of `QUANTRAIN_DAMAGED_SEED`.
    ///
    /// # Panics
    /// One of them is no number.
    pub fn many() -> Self {
        let number = |name: &str, otherwise| env::var(name).map_or(otherwise, |text| text.parse().expect("a number"));
        Trials { count: number("QUANTRAIN_DAMAGED_COUNT", 100_000), seed: number("QUANTRAIN_DAMAGED_SEED", 3), ..Trials::few() }
    }

    /// What a file may take of memory; 256 MiB otherwise.
    pub fn with_allowance(self, bytes: usize) -> Self {
        Trials { allowance: bytes, ..self }
    }

    /// Makes each file by choices of its own and tries it; `attempt` tells how far it came, as one of `steps`.
    ///
    /// # Panics
    /// An attempt panicked, took more memory or time than it may, or all files came equally far: then the damage was none, or nothing but.
    pub fn run<F>(self, what: &str, steps: &[&str], make: impl Fn(&mut Generator) -> F, attempt: impl Fn(&F) -> usize) {
        let _alone = alone();
        watch();
        let (started, mut reached, mut failures, mut most) = (Instant::now(), vec![0u64; steps.len()], Vec::new(), 0);
        let silent = panic::take_hook();
        // A panic is found and reported with its file's number.
        panic::set_hook(Box::new(|_| {}));
        for number in 0..self.count {
            let file = make(&mut Generator::new(self.seed ^ number.wrapping_mul(0x9e37_79b9_7f4a_7c15)));
            begin(number);
            let before = memory::start();
            let step = panic::catch_unwind(panic::AssertUnwindSafe(|| attempt(&file)));
            let (taken, time) = (memory::peak().saturating_sub(before), in_work());
            most = most.max(taken);
            match step {
                Ok(step) => reached[step] += 1,
                Err(panic) => failures.push(format!("file {number}: panic: {}", words(panic.as_ref()))),
            }
            if taken > self.allowance {
                failures.push(format!("file {number}: {} MiB taken", taken >> 20));
            }
            if time > PATIENCE / 2 {
                failures.push(format!("file {number}: {} s", time.as_secs()));
            }
        }
        panic::set_hook(silent);
        CURRENT.store(NOTHING, Ordering::Relaxed);
        let counts: Vec<String> = reached.iter().zip(steps).map(|(count, step)| format!("{count} {step}")).collect();
        let (seconds, seed) = (started.elapsed().as_secs_f64(), self.seed);
        println!("{what}: {} files of seed {seed}: {}; at most {} MiB; {seconds:.1} s", self.count, counts.join(", "), most >> 20);
        assert!(failures.is_empty(), "{what}: {} failures:\n{}", failures.len(), failures[..failures.len().min(40)].join("\n"));
        assert!(reached.iter().filter(|count| **count > 0).count() > 1, "{what}: damage must both be found and be survived");
    }
}

/// Waits until no other test counts memory, and keeps others from it.
pub fn alone() -> MutexGuard<'static, ()> {
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The file in work.
pub(crate) fn current() -> u64 {
    CURRENT.load(Ordering::Relaxed)
}

/// Ends the test where a file hangs.
fn watch() {
    WATCH.call_once(|| {
        thread::spawn(|| {
            loop {
                thread::sleep(Duration::from_millis(500));
                if current() != NOTHING && in_work() > PATIENCE {
                    eprintln!("file {} hangs", current());
                    process::abort();
                }
            }
        });
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

fn words(panic: &(dyn Any + Send)) -> &str {
    panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no words")
}
