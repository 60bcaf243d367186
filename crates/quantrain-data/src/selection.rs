//! Which samples a limit leaves: a draw that is spread over the classes

use std::collections::BTreeMap;

/// The first `count` of `order` as far as each class has its share: the draw holds of each class as many samples as the whole does in
/// proportion, and a smaller draw is the start of a larger one. Without classes it is the start of `order`.
pub(crate) fn spread(order: &[usize], count: usize, class: impl Fn(usize) -> Option<i64>) -> Vec<usize> {
    let classes: Vec<Option<i64>> = order.iter().map(|&index| class(index)).collect();
    let mut sizes: BTreeMap<Option<i64>, usize> = BTreeMap::new();
    classes.iter().for_each(|class| *sizes.entry(*class).or_default() += 1);
    let mut seen: BTreeMap<Option<i64>, usize> = BTreeMap::new();
    // Where in its class a sample stands, from 0 to 1: classes that are taken up to the same place are taken in proportion.
    let mut places: Vec<(f64, usize)> = Vec::with_capacity(order.len());
    for (at, class) in classes.iter().enumerate() {
        let before = seen.entry(*class).or_default();
        places.push(((*before as f64 + 0.5) / sizes[class] as f64, at));
        *before += 1;
    }
    places.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
    places.into_iter().take(count).map(|(_, at)| order[at]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Random;

    fn order(n: usize) -> Vec<usize> {
        Random::of_order(3, 0).permutation(n)
    }

    #[test]
    fn each_class_has_its_share() {
        // Sorted, as class folders are: 60 of class 0, 30 of class 1, 10 of class 2.
        let class = |index: usize| Some(if index < 60 { 0 } else { i64::from(index >= 90) + 1 });
        for count in [10, 20, 50] {
            let drawn = spread(&order(100), count, class);
            let of = |wanted| drawn.iter().filter(|&&index| class(index) == Some(wanted)).count();
            assert_eq!([of(0), of(1), of(2)], [6 * count / 10, 3 * count / 10, count / 10], "{count}");
        }
    }

    #[test]
    fn as_many_samples_as_classes_are_one_of_each() {
        let mut classes: Vec<usize> =
            spread(&order(360), 12, |index| Some(index as i64 / 30)).into_iter().map(|index| index / 30).collect();
        classes.sort_unstable();
        assert_eq!(classes, (0..12).collect::<Vec<_>>());
    }

    #[test]
    fn a_smaller_draw_is_the_start_of_a_larger_one() {
        let class = |index: usize| Some(index as i64 % 7);
        let (few, many) = (spread(&order(100), 9, class), spread(&order(100), 40, class));
        assert_eq!((few.len(), many.len()), (9, 40));
        assert_eq!(few, many[..9]);
    }

    #[test]
    fn without_classes_it_is_the_start_of_the_order() {
        assert_eq!(spread(&order(50), 20, |_| None), order(50)[..20]);
    }
}
