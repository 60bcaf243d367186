//! Random choices that are the same on every machine.

/// Knuth's MMIX generator.
pub struct Generator(u64);

impl Generator {
    /// The choices of a seed.
    pub fn new(seed: u64) -> Self {
        let mut generator = Generator(seed);
        // Seeds that differ little begin alike.
        (0..4).for_each(|_| generator.0 ^= generator.next());
        generator
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        self.0 >> 33
    }

    /// A number below `end`; 0 where there is none.
    pub fn below(&mut self, end: usize) -> usize {
        let bits = self.next() << 31 ^ self.next();
        usize::try_from(bits).unwrap_or(0).checked_rem(end).unwrap_or(0)
    }

    /// One of some things.
    pub fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.below(from.len())]
    }

    /// An integer that files should not hold, or a usual one.
    pub fn integer(&mut self) -> i64 {
        const EXTREMES: [i64; 18] = [
            0,
            -1,
            1,
            2,
            3,
            7,
            255,
            -2,
            65_535,
            1 << 20,
            (1 << 31) - 1,
            1 << 31,
            -(1 << 31),
            1 << 33,
            1 << 40,
            1 << 62,
            i64::MAX,
            i64::MIN,
        ];
        *self.pick(&EXTREMES)
    }

    /// A small number; one time in eight one that files should not hold.
    pub fn mostly_small(&mut self, small: std::ops::Range<i64>) -> i64 {
        if self.below(8) == 0 { self.integer() } else { small.start + self.below((small.end - small.start) as usize) as i64 }
    }

    /// A float that files should not hold, or a usual one.
    pub fn float(&mut self) -> f32 {
        const EXTREMES: [f32; 10] = [0.0, 1.0, -1.0, 0.5, 2.0, 1e30, f32::MAX, f32::MIN_POSITIVE, f32::INFINITY, f32::NAN];
        *self.pick(&EXTREMES)
    }
}
