//! Which vector instructions the kernels use: decided once, at run time.

use std::sync::OnceLock;

/// The environment variable that forces a path: `avx512`, `avx2` or `portable`.
pub const ENVIRONMENT_VARIABLE: &str = "QUANTRAIN_SIMD";

/// Proof that this machine has a set of vector instructions: only detection makes one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Simd(Level);

/// The instruction sets that kernels are compiled for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Level {
    /// The compilation target's own baseline: SSE2 on x86-64, NEON on AArch64.
    Portable,
    #[cfg(target_arch = "x86_64")]
    Avx2,
    #[cfg(target_arch = "x86_64")]
    Avx512,
}

/// Why no [`Simd`] could be chosen.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SimdError {
    /// The environment variable holds a word that names no path.
    #[error("{ENVIRONMENT_VARIABLE}: unknown value `{found}`, expected avx512, avx2 or portable; unset it to let the machine decide")]
    Unknown {
        /// What the variable holds.
        found: String,
    },
    /// The environment variable names a path that this machine lacks.
    #[error("{ENVIRONMENT_VARIABLE}: this machine has no `{found}`, its best path is `{best}`; unset the variable to use it")]
    Unsupported {
        /// The path asked for.
        found: String,
        /// The best path of this machine.
        best: &'static str,
    },
}

impl Simd {
    /// The path to use: what `QUANTRAIN_SIMD` names, else the best one of this machine.
    ///
    /// # Errors
    /// The variable names a path that does not exist, or that this machine cannot run.
    pub fn detect() -> Result<Simd, SimdError> {
        match std::env::var_os(ENVIRONMENT_VARIABLE) {
            None => Ok(Self::best()),
            Some(value) => Self::named(&value.to_string_lossy()),
        }
    }

    /// Every path that this machine can run, the best one first.
    pub fn available() -> Vec<Simd> {
        let mut paths = Vec::new();
        #[cfg(target_arch = "x86_64")]
        {
            let avx2 = is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma");
            if avx2
                && is_x86_feature_detected!("avx512f")
                && is_x86_feature_detected!("avx512vl")
                && is_x86_feature_detected!("avx512dq")
                && is_x86_feature_detected!("avx512bw")
            {
                paths.push(Simd(Level::Avx512));
            }
            if avx2 {
                paths.push(Simd(Level::Avx2));
            }
        }
        paths.push(Simd(Level::Portable));
        paths
    }

    /// The name that `QUANTRAIN_SIMD` knows this path by.
    pub fn name(self) -> &'static str {
        match self.0 {
            Level::Portable => "portable",
            #[cfg(target_arch = "x86_64")]
            Level::Avx2 => "avx2",
            #[cfg(target_arch = "x86_64")]
            Level::Avx512 => "avx512",
        }
    }

    pub(crate) fn level(self) -> Level {
        self.0
    }

    fn best() -> Simd {
        Self::available()[0]
    }

    fn named(name: &str) -> Result<Simd, SimdError> {
        if !["avx512", "avx2", "portable"].contains(&name) {
            return Err(SimdError::Unknown { found: name.to_owned() });
        }
        Self::available()
            .into_iter()
            .find(|simd| simd.name() == name)
            .ok_or_else(|| SimdError::Unsupported { found: name.to_owned(), best: Self::best().name() })
    }
}

/// The path that every kernel of this process uses, detected at the first call.
///
/// # Panics
/// If [`Simd::detect`] fails: a program checks that once, at its start, to report the error itself.
pub fn simd() -> Simd {
    #[cfg(test)]
    if let Some(simd) = FORCED.get() {
        return simd;
    }
    static SIMD: OnceLock<Simd> = OnceLock::new();
    *SIMD.get_or_init(|| Simd::detect().unwrap_or_else(|error| panic!("{error}")))
}

#[cfg(test)]
thread_local! {
    static FORCED: std::cell::Cell<Option<Simd>> = const { std::cell::Cell::new(None) };
}

/// Runs `test` once for each path of this machine; kernels called from this thread use that path.
#[cfg(test)]
pub(crate) fn on_every_path(mut test: impl FnMut(Simd)) {
    for simd in Simd::available() {
        FORCED.set(Some(simd));
        test(simd);
        FORCED.set(None);
    }
}

/// Compiles a function once for each instruction set and calls the one that a [`Simd`], its new first argument, proves.
///
/// The body is plain Rust that LLVM vectorises; everything it calls must be `#[inline(always)]`, or it is compiled for
/// the baseline.
macro_rules! simd_kernel {
    ($(#[$meta:meta])* $vis:vis fn $name:ident $(<$($generic:ident : $bound:path),+>)? (
        $($argument:ident : $type:ty),* $(,)?
    ) $(-> $result:ty)? $body:block) => {
        $(#[$meta])*
        $vis fn $name $(<$($generic: $bound),+>)? (simd: $crate::simd::Simd, $($argument: $type),*) $(-> $result)? {
            #[inline(always)]
            fn body $(<$($generic: $bound),+>)? ($($argument: $type),*) $(-> $result)? $body

            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx2,fma")]
            fn avx2 $(<$($generic: $bound),+>)? ($($argument: $type),*) $(-> $result)? {
                body $(::<$($generic),+>)? ($($argument),*)
            }

            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx512f,avx512vl,avx512dq,avx512bw,avx2,fma")]
            fn avx512 $(<$($generic: $bound),+>)? ($($argument: $type),*) $(-> $result)? {
                body $(::<$($generic),+>)? ($($argument),*)
            }

            match simd.level() {
                $crate::simd::Level::Portable => body $(::<$($generic),+>)? ($($argument),*),
                // SAFETY: a `Simd` of this level exists only where detection found these features.
                #[cfg(target_arch = "x86_64")]
                $crate::simd::Level::Avx2 => unsafe { avx2 $(::<$($generic),+>)? ($($argument),*) },
                // SAFETY: as above.
                #[cfg(target_arch = "x86_64")]
                $crate::simd::Level::Avx512 => unsafe { avx512 $(::<$($generic),+>)? ($($argument),*) },
            }
        }
    };
}
pub(crate) use simd_kernel;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_that_names_no_path_is_an_error() {
        assert_eq!(Simd::named("sse9"), Err(SimdError::Unknown { found: "sse9".into() }));
    }

    #[test]
    fn every_available_path_is_found_by_its_name() {
        for simd in Simd::available() {
            assert_eq!(Simd::named(simd.name()), Ok(simd));
        }
    }

    #[test]
    fn a_path_that_the_machine_lacks_is_an_error_naming_the_best() {
        for name in ["avx512", "avx2"] {
            if Simd::available().iter().all(|simd| simd.name() != name) {
                let best = Simd::available()[0].name();
                assert_eq!(Simd::named(name), Err(SimdError::Unsupported { found: name.into(), best }));
            }
        }
    }
}
