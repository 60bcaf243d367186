//! The C functions that a file may need, each a text under `src/c`, and which of them need which.

use quantrain_graph::Rounding;

/// A function, or a type, of the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    Limit,
    LimitInteger,
    Round(Rounding),
    Shift,
    Fused,
    Addition,
    AddFused(Rounding),
    AddReal(Rounding),
    AddShift,
    Block,
    Multiply(Rounding),
    ShiftSums,
    Scale,
    Dense,
    Depthwise,
    LookUp,
    Flip,
    Join,
    Gather,
    Permute,
    Nearest,
    Linear(Rounding),
    Pool,
    Largest,
    Average(Rounding),
    GlobalAverage(Rounding),
}

impl Part {
    /// What must stand before it.
    fn needs(self) -> Vec<Part> {
        match self {
            Part::AddFused(r) => vec![Part::Addition, Part::Fused, Part::Limit, Part::Round(r)],
            Part::AddReal(r) => vec![Part::Addition, Part::Limit, Part::Round(r)],
            Part::AddShift => vec![Part::Addition, Part::LimitInteger, Part::Shift],
            Part::Multiply(r) => vec![Part::Block, Part::Limit, Part::Round(r)],
            Part::ShiftSums => vec![Part::Block, Part::LimitInteger, Part::Shift],
            Part::Scale => vec![Part::Block, Part::Limit],
            Part::Dense | Part::Depthwise => vec![Part::Block],
            Part::Linear(r) | Part::GlobalAverage(r) => vec![Part::Limit, Part::Round(r)],
            Part::Average(r) => vec![Part::Pool, Part::Limit, Part::Round(r)],
            Part::Largest => vec![Part::Pool],
            Part::Limit | Part::LimitInteger | Part::Round(_) | Part::Shift | Part::Fused | Part::Addition | Part::Block => vec![],
            Part::LookUp | Part::Flip | Part::Join | Part::Gather | Part::Permute | Part::Nearest | Part::Pool => vec![],
        }
    }

    fn text(self) -> String {
        let (text, rounding) = match self {
            Part::Limit => (include_str!("c/limit.c"), None),
            Part::LimitInteger => (include_str!("c/limit_integer.c"), None),
            Part::Round(Rounding::HalfToEven) => (include_str!("c/round_even.c"), None),
            Part::Round(Rounding::HalfUp) => (include_str!("c/round_up.c"), None),
            Part::Round(Rounding::HalfAwayFromZero) => (include_str!("c/round_away.c"), None),
            Part::Shift => (include_str!("c/shift.c"), None),
            Part::Fused => (include_str!("c/fused.c"), None),
            Part::Addition => (include_str!("c/addition.c"), None),
            Part::AddFused(r) => (include_str!("c/add_fused.c"), Some(r)),
            Part::AddReal(r) => (include_str!("c/add_real.c"), Some(r)),
            Part::AddShift => (include_str!("c/add_shift.c"), None),
            Part::Block => (include_str!("c/block.c"), None),
            Part::Multiply(r) => (include_str!("c/finish_multiply.c"), Some(r)),
            Part::ShiftSums => (include_str!("c/finish_shift.c"), None),
            Part::Scale => (include_str!("c/finish_real.c"), None),
            Part::Dense => (include_str!("c/dense.c"), None),
            Part::Depthwise => (include_str!("c/depthwise.c"), None),
            Part::LookUp => (include_str!("c/look_up.c"), None),
            Part::Flip => (include_str!("c/flip.c"), None),
            Part::Join => (include_str!("c/join.c"), None),
            Part::Gather => (include_str!("c/gather.c"), None),
            Part::Permute => (include_str!("c/permute.c"), None),
            Part::Nearest => (include_str!("c/nearest.c"), None),
            Part::Linear(r) => (include_str!("c/linear.c"), Some(r)),
            Part::Pool => (include_str!("c/pool.c"), None),
            Part::Largest => (include_str!("c/largest.c"), None),
            Part::Average(r) => (include_str!("c/average.c"), Some(r)),
            Part::GlobalAverage(r) => (include_str!("c/global_average.c"), Some(r)),
        };
        rounding.map_or_else(|| text.to_owned(), |rounding| text.replace("@round@", suffix(rounding)))
    }
}

/// What functions that round by a rule end with.
pub(crate) fn suffix(rounding: Rounding) -> &'static str {
    match rounding {
        Rounding::HalfToEven => "even",
        Rounding::HalfUp => "up",
        Rounding::HalfAwayFromZero => "away",
    }
}

/// The parts and all that they need, each once and behind what it needs.
pub(crate) fn in_order(parts: impl IntoIterator<Item = Part>) -> Vec<Part> {
    fn add(part: Part, order: &mut Vec<Part>) {
        if !order.contains(&part) {
            part.needs().into_iter().for_each(|needed| add(needed, order));
            order.push(part);
        }
    }
    let mut order = Vec::new();
    parts.into_iter().for_each(|part| add(part, &mut order));
    order
}

/// Their C text.
pub(crate) fn text(parts: &[Part]) -> String {
    parts.iter().map(|part| format!("{}\n", part.text())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_stands_behind_what_it_needs() {
        let order = in_order([Part::AddFused(Rounding::HalfToEven), Part::Multiply(Rounding::HalfToEven), Part::Dense]);
        let place = |part| order.iter().position(|p| *p == part).unwrap();
        assert!(place(Part::Fused) < place(Part::AddFused(Rounding::HalfToEven)));
        assert!(place(Part::Block) < place(Part::Dense));
        assert_eq!(order.iter().filter(|p| **p == Part::Limit).count(), 1);
        assert!(text(&order).contains("static void multiply_even("));
    }
}
