//! Depthwise convolution: two taps at a time, their channels interleaved to pairs.

use super::Convolution;
use super::dense::copy_few;
#[cfg(target_arch = "x86_64")]
use super::pairs::{Avx2, Avx512, Vnni};
use super::pairs::{Pairs, Path, Portable, pair};
use super::requantize::Finish;
use super::window::{Target, Window};
use crate::convolution::ConvolutionShape;
use rayon::prelude::*;

/// Weights as `[strip of channels][pair of taps][part][lane]`, biases as `[strip][part][lane]`, in the order that interleaving gives.
pub(super) fn pack(path: Path, shape: &ConvolutionShape, weights: &[i8], bias: &[i32]) -> (Vec<i32>, Vec<i32>) {
    let (taps, lanes) = (shape.kernel[0] * shape.kernel[1], path.lanes());
    let (mut packed, mut biases) = (Vec::new(), Vec::new());
    for strip in (0..shape.out_channels).step_by(2 * lanes) {
        let places = || (0..2).flat_map(|part| (0..lanes).map(move |lane| strip + path.channel_of(part, lane)));
        let weight = |c: usize, tap: usize| if c < shape.out_channels && tap < taps { i16::from(weights[c * taps + tap]) } else { 0 };
        for tap in (0..taps).step_by(2) {
            packed.extend(places().map(|c| pair(weight(c, tap), weight(c, tap + 1))));
        }
        biases.extend(places().map(|c| bias.get(c).copied().unwrap_or(0)));
    }
    (packed, biases)
}

/// Where both taps of every pair are, from a position's place on; the missing one of an odd number, whose weights are zero, repeats the last.
fn taps(window: &Window) -> Vec<[u32; 2]> {
    let columns = window.shape.kernel[1];
    let count = window.shape.kernel[0] * columns;
    let tap = |t: usize| window.tap(t.min(count - 1) / columns, t.min(count - 1) % columns) as u32;
    (0..count).step_by(2).map(|t| [tap(t), tap(t + 1)]).collect()
}

pub(super) fn run<F: Finish>(convolution: &Convolution, window: &Window, x: &[u8], finish: F, y: &mut [F::Out]) {
    let shape = &window.shape;
    let (places, taps) = (window.places(), taps(window));
    let strip = 2 * convolution.path.lanes();
    let target = Target(y.as_mut_ptr());
    (0..window.tasks()).into_par_iter().for_each(|task| {
        let part = window.part(task);
        let start = (part.image * shape.out_height + part.row) * shape.out_width * shape.out_channels;
        window.with_copy(part, x, |copy: &[i16]| {
            for channel in (0..shape.out_channels).step_by(strip) {
                let strip = Strip {
                    source: copy[channel..].as_ptr(),
                    taps: &taps,
                    weights: convolution.weights[channel * taps.len()..].as_ptr(),
                    bias: convolution.bias[channel..].as_ptr(),
                    target: target.at(start + channel),
                    step: shape.out_channels,
                    channel,
                    columns: strip.min(shape.out_channels - channel),
                    finish,
                };
                // SAFETY: places and taps lie in the copy, whose pixels are whole strips; positions of different tasks and channels of
                // different strips are written to different places of y.
                unsafe { strip.run(convolution.path, &places[..part.rows * shape.out_width]) };
            }
        });
    });
}

/// The channels of one strip at some positions.
struct Strip<'a, F: Finish> {
    source: *const i16,
    taps: &'a [[u32; 2]],
    weights: *const i32,
    bias: *const i32,
    target: *mut F::Out,
    /// Elements from one position of the target to the next.
    step: usize,
    channel: usize,
    columns: usize,
    finish: F,
}

impl<F: Finish> Strip<'_, F> {
    /// # Safety
    /// For every place and tap, a whole strip is readable, and `columns` elements of the target, `step` apart, are this call's own; the
    /// path is this machine's.
    unsafe fn run(&self, path: Path, places: &[u32]) {
        // SAFETY: the path proves its instructions; the rest is the caller's promise.
        unsafe {
            match path {
                Path::Portable => self.positions::<Portable, 1, 16>(places),
                #[cfg(target_arch = "x86_64")]
                Path::Avx2 => self.avx2(places),
                #[cfg(target_arch = "x86_64")]
                Path::Avx512 => self.avx512(places),
                #[cfg(target_arch = "x86_64")]
                Path::Vnni => self.vnni(places),
            }
        }
    }

    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx2,fma")]
    unsafe fn avx2(&self, places: &[u32]) {
        // SAFETY: the features are enabled here; the rest is the caller's promise.
        unsafe { self.positions::<Avx2, 4, 16>(places) }
    }

    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx512f,avx512vl,avx512dq,avx512bw,avx2,fma")]
    unsafe fn avx512(&self, places: &[u32]) {
        // SAFETY: the features are enabled here; the rest is the caller's promise.
        unsafe { self.positions::<Avx512, 8, 32>(places) }
    }

    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx512vnni,avx512f,avx512vl,avx512dq,avx512bw,avx2,fma")]
    unsafe fn vnni(&self, places: &[u32]) {
        // SAFETY: the features are enabled here; the rest is the caller's promise.
        unsafe { self.positions::<Vnni, 8, 32>(places) }
    }

    /// `P` positions at a time; missing ones repeat the last and are not stored.
    ///
    /// # Safety
    /// As [`Strip::run`], with the instructions of `V`; `W` is twice its lanes.
    #[inline(always)]
    unsafe fn positions<V: Pairs, const P: usize, const W: usize>(&self, places: &[u32]) {
        // SAFETY: reads stay within the caller's promise, writes within `columns`.
        unsafe {
            let bias = [V::load(self.bias), V::load(self.bias.add(V::LANES))];
            for (p, some) in places.chunks(P).enumerate() {
                let mut places = [some[some.len() - 1]; P];
                places[..some.len()].copy_from_slice(some);
                let starts = places.map(|place| self.source.add(place as usize));
                let mut sums = [bias; P];
                let mut weights = self.weights;
                for taps in self.taps {
                    let w = [V::load(weights), V::load(weights.add(V::LANES))];
                    weights = weights.add(W);
                    for i in 0..P {
                        let [low, high] = V::interleave(starts[i].add(taps[0] as usize), starts[i].add(taps[1] as usize));
                        sums[i] = [sums[i][0].add_products(low, w[0]), sums[i][1].add_products(high, w[1])];
                    }
                }
                let to = |i: usize| self.target.wrapping_add((p * P + i) * self.step);
                if F::is_short::<V>() {
                    // A loop of known length, so that sums stay in registers.
                    for i in 0..P {
                        if i < some.len() {
                            self.write::<V, W>(sums[i], to(i));
                        }
                    }
                } else {
                    for (i, sums) in sums.into_iter().enumerate().take(some.len()) {
                        self.write::<V, W>(sums, to(i));
                    }
                }
            }
        }
    }

    /// # Safety
    /// As [`Strip::positions`], for the position at `to`.
    #[inline(always)]
    unsafe fn write<V: Pairs, const W: usize>(&self, sums: [V; 2], to: *mut F::Out) {
        // SAFETY: the caller's promise.
        unsafe {
            let [first, second] = V::in_order(sums);
            if self.columns == W {
                self.finish.write(self.channel, first, to);
                self.finish.write(self.channel + V::LANES, second, to.add(V::LANES));
            } else {
                let mut line = [F::Out::default(); W];
                self.finish.write(self.channel, first, line.as_mut_ptr());
                self.finish.write(self.channel + V::LANES, second, line.as_mut_ptr().add(V::LANES));
                copy_few(line.as_ptr(), to, self.columns);
            }
        }
    }
}
