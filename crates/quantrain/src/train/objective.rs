//! What a training minimises.

use quantrain_engine::Network;

use super::recipe_loss::RecipeLoss;
use crate::loss::{Loss, Power};

/// The recipe's losses, or a loss of the caller's.
pub(super) enum Objective<'r> {
    Recipe(Box<RecipeLoss>),
    Own(&'r mut dyn Loss),
}

impl Objective<'_> {
    pub fn loss(&mut self) -> &mut dyn Loss {
        match self {
            Objective::Recipe(loss) => loss.as_mut(),
            Objective::Own(loss) => *loss,
        }
    }

    pub fn taught_by(&mut self, teacher: impl FnOnce() -> Network) {
        if let Objective::Recipe(loss) = self {
            loss.taught_by(teacher);
        }
    }

    /// What a checkpoint holds of the recipe's losses.
    pub fn powers(&self) -> Vec<Power> {
        if let Objective::Recipe(loss) = self { loss.powers.clone() } else { Vec::new() }
    }

    pub fn set_powers(&mut self, powers: Vec<Power>) {
        if let Objective::Recipe(loss) = self {
            loss.powers = powers;
        }
    }
}
