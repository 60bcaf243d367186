//! Bars and notes on standard error, where that is a terminal; else plain lines, seldom.

use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use quantrain::{Progress, printable};

use crate::stop;

/// Time between two lines on the same stage, where no bar is drawn.
const BETWEEN_LINES: Duration = Duration::from_secs(15);

/// Tells how work goes.
pub struct Console {
    form: Form,
}

/// How it is told.
enum Form {
    /// Not at all, but for warnings.
    Quiet,
    /// One bar at a time.
    Bars(Option<ProgressBar>),
    /// Lines, for a log.
    Lines(Option<Stage>),
}

/// What is worked on, for lines.
struct Stage {
    name: String,
    done: u64,
    total: u64,
    started: Instant,
    told: Instant,
}

impl Console {
    /// A console; a quiet one shows warnings only.
    pub fn new(quiet: bool) -> Self {
        let form = match (quiet, io::stderr().is_terminal()) {
            (true, _) => Form::Quiet,
            (false, true) => Form::Bars(None),
            (false, false) => Form::Lines(None),
        };
        Console { form }
    }

    /// Tells how things go, above the bar.
    pub fn note(&self, text: &str) {
        if !matches!(self.form, Form::Quiet) {
            self.warn(text);
        }
    }

    /// Tells what the user should know, terminal or not.
    pub fn warn(&self, text: &str) {
        // Where standard error is closed nobody can be told.
        let tell = || drop(writeln!(io::stderr(), "{}", printable(text)));
        match &self.form {
            Form::Bars(Some(bar)) => bar.suspend(tell),
            _ => tell(),
        }
    }
}

impl Progress for Console {
    fn begin(&mut self, stage: &str, total: u64) {
        match &mut self.form {
            Form::Quiet => {}
            Form::Bars(drawn) => {
                let bar = ProgressBar::with_draw_target(Some(total), ProgressDrawTarget::stderr());
                let style = ProgressStyle::with_template("{prefix:>20} {bar:24.cyan} {human_pos:>7}/{human_len} {eta:>4} {msg}");
                bar.set_style(style.expect("the template is well formed"));
                bar.set_prefix(printable(stage).into_owned());
                bar.enable_steady_tick(Duration::from_millis(200));
                *drawn = Some(bar);
            }
            Form::Lines(current) => {
                let now = Instant::now();
                *current = Some(Stage { name: stage.to_owned(), done: 0, total, started: now, told: now });
            }
        }
    }

    fn advance(&mut self, steps: u64, note: &str) {
        match &mut self.form {
            Form::Bars(Some(bar)) => {
                bar.inc(steps);
                if !note.is_empty() {
                    bar.set_message(printable(note).into_owned());
                }
            }
            Form::Lines(Some(stage)) => {
                let due = stage.advance(steps, note);
                due.into_iter().for_each(|line| self.warn(&line));
            }
            _ => {}
        }
    }

    fn end(&mut self) {
        match &mut self.form {
            Form::Bars(bar) => bar.take().into_iter().for_each(|bar| bar.finish_and_clear()),
            Form::Lines(stage) => *stage = None,
            Form::Quiet => {}
        }
    }

    fn tell(&mut self, text: &str) {
        self.note(text);
    }

    fn stop_requested(&self) -> bool {
        stop::requested()
    }
}

impl Stage {
    /// Counts steps; a line, where the last one is some time ago.
    fn advance(&mut self, steps: u64, note: &str) -> Option<String> {
        self.done += steps;
        let now = Instant::now();
        (now.duration_since(self.told) >= BETWEEN_LINES).then(|| {
            self.told = now;
            let seconds = now.duration_since(self.started).as_secs();
            let note = if note.is_empty() { String::new() } else { format!(", {note}") };
            format!("{}: {} of {}{note}, {seconds} s", self.name, self.done, self.total)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_comes_when_the_last_is_some_time_ago() {
        let now = Instant::now();
        let mut stage = Stage { name: "epoch 1/2".into(), done: 0, total: 40, started: now, told: now };
        assert_eq!(stage.advance(3, "loss 1.5"), None);
        let past = now.checked_sub(2 * BETWEEN_LINES).unwrap();
        (stage.started, stage.told) = (past, past);
        let line = stage.advance(1, "loss 1.25").unwrap();
        assert!(line.starts_with("epoch 1/2: 4 of 40, loss 1.25, ") && line.ends_with(" s"), "{line}");
        assert_eq!(stage.advance(1, ""), None);
    }
}
