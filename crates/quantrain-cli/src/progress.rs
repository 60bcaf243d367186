//! Bars and notes on standard error, where that is a terminal.

use std::io::{self, IsTerminal, Write};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use quantrain::{Progress, printable};

use crate::stop;

/// Draws one bar at a time.
pub struct Console {
    shown: bool,
    bar: Option<ProgressBar>,
}

impl Console {
    /// A console; a quiet one shows warnings only.
    pub fn new(quiet: bool) -> Self {
        Console { shown: !quiet && io::stderr().is_terminal(), bar: None }
    }

    /// Tells how things go, above the bar.
    pub fn note(&self, text: &str) {
        if self.shown {
            self.warn(text);
        }
    }

    /// Tells what the user should know, terminal or not.
    pub fn warn(&self, text: &str) {
        // Where standard error is closed nobody can be told.
        let tell = || drop(writeln!(io::stderr(), "{}", printable(text)));
        self.bar.as_ref().map_or_else(tell, |bar| bar.suspend(tell));
    }
}

impl Progress for Console {
    fn begin(&mut self, stage: &str, total: u64) {
        if !self.shown {
            return;
        }
        let bar = ProgressBar::with_draw_target(Some(total), ProgressDrawTarget::stderr());
        let style = ProgressStyle::with_template("{prefix:>20} {bar:30.cyan} {human_pos:>8}/{human_len} {eta:>4} {msg}");
        bar.set_style(style.expect("the template is well formed"));
        bar.set_prefix(printable(stage).into_owned());
        bar.enable_steady_tick(Duration::from_millis(200));
        self.bar = Some(bar);
    }

    fn advance(&mut self, steps: u64, note: &str) {
        if let Some(bar) = &self.bar {
            bar.inc(steps);
            if !note.is_empty() {
                bar.set_message(printable(note).into_owned());
            }
        }
    }

    fn end(&mut self) {
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
    }

    fn stop_requested(&self) -> bool {
        stop::requested()
    }
}
