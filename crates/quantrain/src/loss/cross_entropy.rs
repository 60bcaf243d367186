//! Cross entropy of logits and labels.

use rayon::prelude::*;

use crate::LossError;

/// Rows of a task: fixed, so that sums are the same on any number of threads.
const ROWS: usize = 1 << 12;

/// `−Σ_c t_c·ln softmax(x)_c`, with targets `t_c = w_c·((1 − ε)·[c = label] + ε/K)`, summed over the rows and divided by `Σ w_label`.
///
/// ε smooths the labels (Szegedy et al. 2015, section 7); the weights w enter as in PyTorch's `CrossEntropyLoss`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CrossEntropy {
    /// ε: the share of a label that is spread over all K classes, 0 to 1.
    pub label_smoothing: f32,
    /// The label of rows that do not count, such as void pixels. If no row counts, loss and gradient are 0.
    pub ignored_label: Option<i64>,
    /// A weight for each class; all 1 if absent.
    pub class_weights: Option<Vec<f32>>,
}

impl CrossEntropy {
    /// Loss of `logits`, `[rows, classes]`, against a label for each row, and its gradient, of the shape of the logits.
    ///
    /// # Errors
    /// Slices whose lengths do not fit, a label outside `0..classes`, a loss that is not finite.
    pub fn loss_and_gradient<L: Copy + Into<i64> + Sync>(
        &self,
        logits: &[f32],
        labels: &[L],
        classes: usize,
        gradient: &mut [f32],
    ) -> Result<f32, LossError> {
        super::rows("logits", logits.len(), classes, Some(labels.len()))?;
        super::same_length("gradient", gradient.len(), logits.len())?;
        if let Some(weights) = &self.class_weights {
            super::same_length("class weights", weights.len(), classes)?;
        }
        let tasks = (logits.par_chunks(ROWS * classes), labels.par_chunks(ROWS), gradient.par_chunks_mut(ROWS * classes));
        let of_task = |(task, (logits, labels, gradient))| self.add(task * ROWS, logits, labels, classes, gradient);
        let sums: Vec<_> = tasks.into_par_iter().enumerate().map(of_task).collect();
        let (mut loss, mut total_weight) = (0.0f64, 0.0f64);
        for sum in sums {
            let (task_loss, task_weight) = sum?;
            loss += task_loss;
            total_weight += task_weight;
        }
        if total_weight == 0.0 {
            gradient.fill(0.0);
            return Ok(0.0);
        }
        let mean = (1.0 / total_weight) as f32;
        gradient.par_chunks_mut(ROWS * classes).for_each(|rows| rows.iter_mut().for_each(|g| *g *= mean));
        super::finite(loss / total_weight)
    }

    /// The sums of losses and of weights over some rows, the first of which is at `first`, and the gradient of the former.
    fn add<L: Copy + Into<i64>>(
        &self,
        first: usize,
        logits: &[f32],
        labels: &[L],
        classes: usize,
        gradient: &mut [f32],
    ) -> Result<(f64, f64), LossError> {
        let weight = |class: usize| self.class_weights.as_ref().map_or(1.0, |w| w[class]);
        let spread = self.label_smoothing / classes as f32;
        let (mut loss, mut total_weight) = (0.0f64, 0.0f64);
        let rows = logits.chunks_exact(classes).zip(labels).zip(gradient.chunks_exact_mut(classes));
        for (position, ((row, &label), gradient)) in (first..).zip(rows) {
            let label = label.into();
            if Some(label) == self.ignored_label {
                gradient.fill(0.0);
                continue;
            }
            let class = usize::try_from(label).ok().filter(|&c| c < classes).ok_or(LossError::Label { label, position, classes })?;
            total_weight += f64::from(weight(class));
            let log_sum = super::softmax(row, 1.0, gradient);
            let mut target_sum = 0.0;
            let mut row_loss = 0.0;
            let mut target = |c: usize, share: f32| {
                let t = weight(c) * share;
                target_sum += t;
                row_loss += t * (log_sum - row[c]);
            };
            target(class, 1.0 - self.label_smoothing);
            if spread > 0.0 {
                (0..classes).for_each(|c| target(c, spread));
            }
            loss += f64::from(row_loss);
            // ∂/∂x_c = softmax(x)_c·Σt − t_c
            for (c, g) in gradient.iter_mut().enumerate() {
                *g = *g * target_sum - weight(c) * spread;
            }
            gradient[class] -= weight(class) * (1.0 - self.label_smoothing);
        }
        Ok((loss, total_weight))
    }
}
