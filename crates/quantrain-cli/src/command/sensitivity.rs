//! `quantrain sensitivity`: what each quantizer costs, and a mix of widths under a budget.

use std::fmt;
use std::path::PathBuf;
use std::time::Instant;

use clap::Args;
use quantrain::sensitivity::{Budget, EQUAL, Kind, Mix, Nearness, Sensitivity as Found, search};
use quantrain::{Job, write_whole};
use serde::Serialize;

use crate::error::CliError;
use crate::flags::RecipeFlags;
use crate::progress::Console;
use crate::report::{self, seconds};
use crate::stored::Stored;
use crate::table::{Align, Table};

/// Measure what each quantizer costs; choose 4, 8 or 16 bits for each layer under a budget
#[derive(Debug, Args)]
pub struct Sensitivity {
    #[command(flatten)]
    flags: RecipeFlags,
    /// Calibration images to measure on
    #[arg(long, value_name = "N", default_value_t = 32, value_parser = clap::value_parser!(u32).range(1..))]
    images: u32,
    /// Choose widths of weights so that all have at most this percentage of their size in 8 bits
    #[arg(long, value_name = "PERCENT", help_heading = "Mixed precision", conflicts_with = "bit_operations", value_parser = percentage)]
    size: Option<f64>,
    /// Choose widths of weights and activations so that bit operations are at most this percentage of those in 8 bits
    #[arg(long, value_name = "PERCENT", help_heading = "Mixed precision", value_parser = percentage)]
    bit_operations: Option<f64>,
    /// Write the recipe with a rule for each layer to this file
    #[arg(long, value_name = "FILE", help_heading = "Mixed precision")]
    rules: Option<PathBuf>,
}

/// What was found.
#[derive(Debug, Serialize)]
pub struct SensitivityReport {
    model: PathBuf,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    notes: Vec<String>,
    #[serde(flatten)]
    found: Found,
    #[serde(skip_serializing_if = "Option::is_none")]
    mix: Option<Mix>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rules: Option<PathBuf>,
    seconds: f64,
}

fn percentage(text: &str) -> Result<f64, String> {
    let value: f64 = text.parse().map_err(|_| format!("`{text}` found, a percentage expected"))?;
    if value > 0.0 && value.is_finite() { Ok(value) } else { Err(format!("{value} found, a percentage above 0 expected")) }
}

impl Sensitivity {
    /// Calibrates, measures and searches.
    pub fn run(self, console: &mut Console) -> Result<SensitivityReport, CliError> {
        let started = Instant::now();
        let recipe = self.flags.load()?;
        if !recipe.quantization().enabled {
            return Err(CliError::NothingToQuantize);
        }
        let _listening = super::start(&recipe)?;
        // Of a run the network that training made.
        let (mut job, has_ranges) = match self.flags.run()? {
            Some(run) => Stored::open(&run, recipe, None).map(|stored| (stored.job, stored.has_ranges))?,
            None => (Job::open(recipe)?, false),
        };
        job.check_data(false)?;
        let recipe = job.recipe().clone();
        let notes = super::told(&job, console);
        if !has_ranges {
            job.calibrate(console)?;
        }
        let found = job.sensitivity(self.images as usize, console)?;
        let budget = self.size.map(|p| Budget::Size(p / 100.0)).or(self.bit_operations.map(|p| Budget::BitOperations(p / 100.0)));
        let mix = budget.map(|budget| search(job.net(), &found, budget));
        if let (Some(mix), Some(file)) = (&mix, &self.rules) {
            let recipe = recipe.with_layers(&mix.rules())?;
            write_whole(file, recipe.to_toml().as_bytes())?;
        }
        let rules = self.rules.filter(|_| mix.is_some());
        Ok(SensitivityReport { model: recipe.model().into(), notes, found, mix, rules, seconds: seconds(started.elapsed()) })
    }
}

impl SensitivityReport {
    /// Which kind of integers hurts.
    fn kinds(&self) -> Table {
        let mut table = Table::new(&[("integers", Align::Left), ("output SQNR", Align::Right)]);
        let kinds = &self.found.kinds;
        for (name, found) in [
            ("weights alone", &kinds.weights),
            ("activations alone", &kinds.activations),
            ("both, biases in float", &kinds.without_biases),
            ("all, with biases", &kinds.with_biases),
        ] {
            table.row(vec![name.into(), alone(found, &self.found.float)]);
        }
        table
    }

    fn costs(&self) -> Table {
        let columns = [
            ("quantizer", Align::Left),
            ("of", Align::Left),
            ("alone at 8 bits", Align::Right),
            ("alone at 4 bits", Align::Right),
            ("left in float", Align::Right),
        ];
        let mut table = Table::new(&columns);
        let (float, quantized) = (&self.found.float, &self.found.quantized);
        for cost in &self.found.costs {
            let kind = match cost.kind {
                Kind::Weights => "weights",
                Kind::Activations => "activations",
            };
            let (left, gain) = (&cost.left_in_float, cost.left_in_float.sqnr - quantized.sqnr);
            let gain = if left.sqnr < EQUAL { format!("{gain:+.2} dB") } else { "equal".into() } + &points(left, quantized);
            table.row(vec![cost.name.clone(), kind.into(), alone(&cost.alone_8, float), alone(&cost.alone_4, float), gain]);
        }
        table
    }
}

/// SQNR, and the change of accuracy from the float network.
fn alone(found: &Nearness, float: &Nearness) -> String {
    let sqnr = if found.sqnr < EQUAL { format!("{:.2} dB", found.sqnr) } else { "equal".into() };
    sqnr + &points(found, float)
}

fn points(found: &Nearness, from: &Nearness) -> String {
    found.top1.zip(from.top1).map_or_else(String::new, |(a, b)| format!(" {:>+7.2} %", a - b))
}

impl fmt::Display for SensitivityReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let found = &self.found;
        let accuracy = |n: &Nearness| n.top1.map_or_else(String::new, |t| format!(", top-1 {t:.2} %"));
        writeln!(f, "{} on {} images, {:.1} s", self.model.display(), found.images, self.seconds)?;
        report::data(f, None, &self.notes)?;
        let (quantized, float) = (&found.quantized, &found.float);
        writeln!(f, "all quantized: output SQNR {:.2} dB{}; float{}", quantized.sqnr, accuracy(quantized), accuracy(float))?;
        writeln!(f)?;
        writeln!(f, "{}", self.kinds())?;
        write!(f, "{}", self.costs().fitted(f.width()))?;
        let Some(mix) = &self.mix else { return Ok(()) };
        writeln!(f)?;
        let mut table = Table::new(&[("layer", Align::Left), ("weights", Align::Right), ("output", Align::Right)]);
        for choice in &mix.choices {
            let output = choice.activation_bits.map_or_else(String::new, |b| format!("{b} bit"));
            table.row(vec![choice.node.clone(), format!("{} bit", choice.weight_bits), output]);
        }
        writeln!(f, "{}", table.fitted(f.width()))?;
        let (size, operations) = (100.0 * mix.size, 100.0 * mix.bit_operations);
        writeln!(f, "{size:.1} % of the 8-bit size, {operations:.1} % of the 8-bit bit operations, {:.2} dB expected", mix.expected_sqnr)?;
        if let Some(rules) = &self.rules {
            writeln!(f, "recipe written to {}", rules.display())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_outputs_are_no_number() {
        let nearness = |sqnr, top1| Nearness { sqnr, top1 };
        assert_eq!(alone(&nearness(12.345, None), &nearness(EQUAL, None)), "12.35 dB");
        assert_eq!(alone(&nearness(EQUAL, Some(50.0)), &nearness(EQUAL, Some(60.0))), "equal  -10.00 %");
    }
}
