//! The recipe's losses: the distance from labels, from a teacher's outputs, or a weighted sum of both.

use quantrain_data::{Batch, LabelKind, TargetValues};
use quantrain_engine::{Mode, Network, Purpose};

use crate::RunError;
use crate::loss::{BinaryCrossEntropy, CrossEntropy, Distillation, Loss, Power, relative};
use crate::metric::Output;
use crate::recipe::Losses;
use crate::runner::Runner;

/// The weighted sum of a recipe's losses.
pub(super) struct RecipeLoss {
    losses: Losses,
    /// The float network, where there is a distance from its outputs.
    teacher: Option<Network>,
    runner: Runner,
    taught: Vec<Vec<f32>>,
    gradient: Vec<f32>,
    /// Of each output of the teacher, the power that squared errors are relative to, so far.
    pub powers: Vec<Power>,
}

impl RecipeLoss {
    /// Of a recipe, taught by `teacher` where a teacher is wanted.
    pub fn new(losses: Losses, teacher: impl FnOnce() -> Network) -> Self {
        let teacher = losses.teacher.is_some().then(teacher);
        RecipeLoss {
            losses,
            teacher,
            runner: Runner::new(Purpose::Inference),
            taught: Vec::new(),
            gradient: Vec::new(),
            powers: Vec::new(),
        }
    }

    /// Lets another network teach, where a teacher is wanted.
    pub fn taught_by(&mut self, teacher: impl FnOnce() -> Network) {
        self.teacher = self.teacher.as_ref().map(|_| teacher());
    }
}

impl RecipeLoss {
    /// The weighted losses of labels that are not the classes of the first output; writes their gradients.
    fn targets(&self, batch: &Batch, outputs: &[Output<'_>], gradients: &mut [Vec<f32>]) -> Result<f32, RunError> {
        let mut total = 0.0;
        for target in &batch.targets {
            let Some((output, gradient)) = outputs.get(target.output).zip(gradients.get_mut(target.output)) else { continue };
            let of_values = self.losses.of_values(output.name);
            let (weight, loss) = match &target.values {
                TargetValues::Values(values) => match of_values {
                    Some((weight, loss)) => (weight, loss.loss_and_gradient(output.values, values, gradient)?),
                    None => continue,
                },
                TargetValues::Truths(truths) => match of_values {
                    Some((weight, _)) => (weight, BinaryCrossEntropy.loss_and_gradient(output.values, truths, gradient)?),
                    None => continue,
                },
                TargetValues::Classes(labels) => match &self.losses.labels {
                    Some((weight, loss)) => {
                        let classes = output.values.len() / batch.size.max(1);
                        (weight * self.losses.weight_of(output.name), loss.loss_and_gradient(output.values, labels, classes, gradient)?)
                    }
                    None => continue,
                },
            };
            total += weight * loss;
            gradient.iter_mut().for_each(|g| *g *= weight);
        }
        Ok(total)
    }
}

impl Loss for RecipeLoss {
    fn loss(&mut self, batch: &Batch, outputs: &[Output<'_>], gradients: &mut [Vec<f32>]) -> Result<f32, RunError> {
        if let Some(teacher) = &mut self.teacher {
            self.runner.outputs(teacher, Mode::FLOAT, batch.size, &batch.inputs(), &mut self.taught)?;
        }
        let mut total = self.targets(batch, outputs, gradients)?;
        // Values and truths alone may be what there is to learn.
        let has_classes = batch.masks.is_some() || !batch.labels.is_empty() || batch.targets.is_empty();
        if let (Some((weight, cross_entropy)), Some(output), Some(gradient), true) =
            (&self.losses.labels, outputs.first(), gradients.first_mut(), has_classes)
        {
            let weight = weight * if self.losses.teacher.is_none() { self.losses.weight_of(output.name) } else { 1.0 };
            total += weight * labelled(cross_entropy, batch, output, gradient)?;
            gradient.iter_mut().for_each(|g| *g *= weight);
        }
        let names: Vec<&str> = outputs.iter().map(|output| output.name).collect();
        let mut distances = self.losses.distances(&names)?;
        for target in &batch.targets {
            // Squared errors are those from the labels, where these are numbers.
            let of_output = distances.get_mut(target.output).filter(|_| target.values.kind() != LabelKind::Class);
            if let Some(distance) = of_output.filter(|d| matches!(d, Some((_, Distillation::MeanSquaredError)))) {
                *distance = None;
            }
        }
        self.powers.resize(self.taught.len(), Power::default());
        let mut squared = Vec::with_capacity(distances.len());
        for ((distance, power), taught) in distances.iter().zip(&mut self.powers).zip(&self.taught) {
            let is_squared = matches!(distance, Some((_, Distillation::MeanSquaredError)));
            if is_squared {
                power.add(taught);
            }
            squared.push(is_squared.then_some(*power));
        }
        let factors = relative(&squared);
        for ((((distance, factor), output), taught), gradient) in
            distances.iter().zip(factors).zip(outputs).zip(&self.taught).zip(gradients)
        {
            let Some((weight, distance)) = distance else { continue };
            let weight = weight * factor;
            let width = match distance {
                // Probabilities are those of a row, be it an image's or a pixel's.
                Distillation::KullbackLeibler { .. } => row_of(output),
                Distillation::MeanSquaredError | Distillation::Cosine => output.values.len() / batch.size.max(1),
            };
            self.gradient.resize(output.values.len(), 0.0);
            let distance = distance.loss_and_gradient(output.values, taught, width, &mut self.gradient);
            if distance.is_err() && !taught.iter().all(|t| t.is_finite()) {
                return Err(RunError::TeacherNotFinite { output: output.name.to_owned() });
            }
            total += weight * distance?;
            gradient.iter_mut().zip(&self.gradient).for_each(|(g, t)| *g += weight * t);
        }
        Ok(total)
    }
}

/// The length of an output's rows: the last extent in memory.
fn row_of(output: &Output<'_>) -> usize {
    output.shape.last().copied().unwrap_or(1)
}

/// Cross entropy with the class of each image, or with that of each pixel.
fn labelled(loss: &CrossEntropy, batch: &Batch, output: &Output<'_>, gradient: &mut [f32]) -> Result<f32, RunError> {
    match &batch.masks {
        Some(masks) => Ok(loss.loss_and_gradient(output.values, masks, row_of(output), gradient)?),
        None if batch.labels.len() == batch.size => {
            Ok(loss.loss_and_gradient(output.values, &batch.labels, output.values.len() / batch.size.max(1), gradient)?)
        }
        None => Err(RunError::NoLabels),
    }
}
