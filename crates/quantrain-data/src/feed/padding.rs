//! Positions that a mask hides: what they hold is nothing that a network should be judged, or its ranges be found, by

use super::InputSpec;

/// An input of which a mask hides positions along an axis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Padding {
    /// The position of the mask among the inputs.
    pub mask: usize,
    /// That of the input.
    pub input: usize,
    /// Elements before the axis, along it and behind it.
    extents: [usize; 3],
}

impl Padding {
    /// What the masks among some inputs hide: of every other input that lies in memory as it is stored the first axis of a mask's length.
    pub fn of(inputs: &[InputSpec]) -> Vec<Self> {
        let length = |mask: &InputSpec| if mask.extents.len() == 1 { mask.extents.first().copied() } else { None };
        let masks = inputs.iter().enumerate().filter(|(_, spec)| spec.padding_mask);
        let masks: Vec<(usize, usize)> = masks.filter_map(|(mask, spec)| Some((mask, length(spec)?))).collect();
        let hidden = |(mask, length): (usize, usize)| {
            let others = inputs.iter().enumerate().filter(|(_, spec)| !spec.padding_mask && spec.order.is_sorted());
            others.filter_map(move |(input, spec)| {
                let axis = spec.extents.iter().position(|&n| n == length)?;
                let product = |extents: &[usize]| extents.iter().product();
                Some(Padding { mask, input, extents: [product(&spec.extents[..axis]), length, product(&spec.extents[axis + 1..])] })
            })
        };
        masks.into_iter().flat_map(hidden).collect()
    }

    /// Puts what the visible positions of a sample hold, one after the other, into those that are hidden.
    pub fn fill(&self, mask: &[f32], values: &mut [f32]) {
        let [_, length, inner] = self.extents;
        let (visible, hidden): (Vec<usize>, Vec<usize>) = (0..length.min(mask.len())).partition(|&at| mask[at] != 0.0);
        if visible.is_empty() {
            return;
        }
        for part in values.chunks_exact_mut(length * inner) {
            for (&to, &from) in hidden.iter().zip(visible.iter().cycle()) {
                part.copy_within(from * inner..(from + 1) * inner, to * inner);
            }
        }
    }
}
