//! Which instruction sets this machine has.

#[cfg(target_arch = "x86_64")]
use crate::tiles;
use barre_core::kernels::Kernels;
use barre_core::simd::IsaKind;
#[cfg(target_arch = "x86_64")]
use barre_core::simd::{amx::Amx, avx512::Avx512};
use std::fmt;
#[cfg(target_arch = "x86_64")]
use std::sync::OnceLock;

/// The environment variable that forces an instruction set, as `--isa` does.
pub const ISA_VARIABLE: &str = "BARRE_ISA";

/// Why there are no kernels of the kind asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum IsaError {
    /// No instruction set has that name.
    Unknown(String),
    /// This machine does not have it.
    Missing(IsaKind),
}

impl fmt::Display for IsaError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = |isas: &[IsaKind]| isas.iter().map(|i| i.name()).collect::<Vec<_>>().join(", ");
        match self {
            Self::Unknown(name) => {
                write!(f, "no instruction set is called `{name}`; there are {}", list(&IsaKind::ALL))
            }
            Self::Missing(isa) => {
                let missing = missing(*isa).join(", ");
                write!(
                    f,
                    "{isa} does not run on this machine, which lacks {missing}; {} would",
                    list(&available())
                )
            }
        }
    }
}

impl std::error::Error for IsaError {}

/// The instruction sets of this machine, slowest first. Never empty: scalar code runs everywhere.
#[must_use]
pub fn available() -> Vec<IsaKind> {
    IsaKind::ALL.into_iter().filter(|&isa| of(isa).is_some()).collect()
}

/// The kernels of `isa`, or of this machine's best.
///
/// # Errors
/// [`IsaError::Missing`] if the machine lacks `isa`.
pub fn kernels(isa: Option<IsaKind>) -> Result<Kernels, IsaError> {
    match isa {
        Some(isa) => of(isa).ok_or(IsaError::Missing(isa)),
        None => Ok(best()),
    }
}

/// The machine's best, which where it has tiles is a matter of measurement.
fn best() -> Kernels {
    let pays = |kernels: &Kernels| {
        #[cfg(target_arch = "x86_64")]
        if kernels.isa() == IsaKind::Amx {
            // SAFETY: there are kernels only where neither features nor the system's leave are missing.
            return unsafe { trial() }.is_some_and(|trial| trial.faster);
        }
        let _ = kernels;
        true
    };
    IsaKind::ALL.into_iter().rev().filter_map(of).find(pays).unwrap_or(Kernels::scalar())
}

/// As [`kernels`], of the instruction set of that name; without one, of what [`ISA_VARIABLE`] names, if it is set.
///
/// # Errors
/// [`IsaError`].
pub fn kernels_named(name: Option<&str>) -> Result<Kernels, IsaError> {
    let variable = std::env::var_os(ISA_VARIABLE).map(|v| v.to_string_lossy().into_owned());
    let isa = match name.or(variable.as_deref().filter(|v| !v.is_empty())) {
        Some(name) => Some(name.parse().map_err(|_| IsaError::Unknown(name.to_owned()))?),
        None => None,
    };
    kernels(isa)
}

/// The features of this machine's CPU that `isa` needs and that are not there, or another architecture's name.
///
/// The standard library's detection reads CPUID and XCR0 on x86-64 (so AVX that the system does not save counts as
/// missing), and what the kernel says in HWCAP and
/// HWCAP2 on aarch64.
fn missing(isa: IsaKind) -> Vec<&'static str> {
    let needs: &[(&'static str, bool)] = match isa {
        IsaKind::Scalar => &[],
        #[cfg(target_arch = "x86_64")]
        IsaKind::Avx2 => {
            use std::arch::is_x86_feature_detected as has;
            &[("avx2", has!("avx2")), ("fma", has!("fma")), ("f16c", has!("f16c"))]
        }
        #[cfg(target_arch = "x86_64")]
        IsaKind::AvxVnni => {
            use std::arch::is_x86_feature_detected as has;
            &[
                ("avxvnni", has!("avxvnni")),
                ("avx2", has!("avx2")),
                ("fma", has!("fma")),
                ("f16c", has!("f16c")),
            ]
        }
        #[cfg(target_arch = "x86_64")]
        IsaKind::Amx => {
            let mut missing = missing(IsaKind::Avx512);
            missing.extend(absent(tiles::needs()));
            // SAFETY: neither the features that the proofs stand for are missing, nor the system's leave.
            if missing.is_empty() && !unsafe { trial() }.is_some_and(|trial| trial.equal) {
                missing.push("tiles that multiply as they should");
            }
            return missing;
        }
        #[cfg(target_arch = "x86_64")]
        IsaKind::Avx512 => {
            use std::arch::is_x86_feature_detected as has;
            &[
                ("avx512f", has!("avx512f")),
                ("avx512bw", has!("avx512bw")),
                ("avx512dq", has!("avx512dq")),
                ("avx512vl", has!("avx512vl")),
                ("avx512vnni", has!("avx512vnni")),
                ("avx2", has!("avx2")),
                ("fma", has!("fma")),
                ("f16c", has!("f16c")),
            ]
        }
        #[cfg(target_arch = "aarch64")]
        IsaKind::Neon => &[("neon", std::arch::is_aarch64_feature_detected!("neon"))],
        #[cfg(target_arch = "aarch64")]
        IsaKind::Dotprod => {
            use std::arch::is_aarch64_feature_detected as has;
            &[("neon", has!("neon")), ("dotprod", has!("dotprod"))]
        }
        #[cfg(target_arch = "aarch64")]
        IsaKind::I8mm => {
            use std::arch::is_aarch64_feature_detected as has;
            &[("neon", has!("neon")), ("dotprod", has!("dotprod")), ("i8mm", has!("i8mm"))]
        }
        #[cfg(not(target_arch = "x86_64"))]
        IsaKind::Avx2 | IsaKind::AvxVnni | IsaKind::Avx512 | IsaKind::Amx => &[("x86-64", false)],
        #[cfg(not(target_arch = "aarch64"))]
        IsaKind::Neon | IsaKind::Dotprod | IsaKind::I8mm => &[("aarch64", false)],
        _ => &[("an instruction set of this build", false)],
    };
    absent(needs).collect()
}

/// The names of what is not there.
fn absent<'a>(needs: &'a [(&'static str, bool)]) -> impl Iterator<Item = &'static str> + 'a {
    needs.iter().filter(|(_, there)| !there).map(|&(name, _)| name)
}

fn of(isa: IsaKind) -> Option<Kernels> {
    if !missing(isa).is_empty() {
        return None;
    }
    match isa {
        IsaKind::Scalar => Some(Kernels::scalar()),
        #[cfg(target_arch = "x86_64")]
        // SAFETY: none of the features that the proof stands for is missing.
        IsaKind::Avx2 => Some(Kernels::avx2(unsafe { barre_core::simd::avx2::Avx2::assume() })),
        #[cfg(target_arch = "x86_64")]
        // SAFETY: none of the features that the proof stands for is missing.
        IsaKind::Avx512 => Some(unsafe { avx512() }),
        #[cfg(target_arch = "x86_64")]
        IsaKind::AvxVnni => {
            // SAFETY: none of the features that the proof stands for is missing.
            Some(Kernels::avxvnni(unsafe { barre_core::simd::avxvnni::AvxVnni::assume() }))
        }
        #[cfg(target_arch = "x86_64")]
        // SAFETY: neither the features that the proofs stand for are missing, nor the system's leave.
        IsaKind::Amx => Some(unsafe { amx() }),
        #[cfg(target_arch = "aarch64")]
        // SAFETY: none of the features that the proof stands for is missing.
        IsaKind::Neon => Some(Kernels::neon(unsafe { barre_core::simd::neon::Neon::assume() })),
        #[cfg(target_arch = "aarch64")]
        // SAFETY: none of the features that the proof stands for is missing.
        IsaKind::Dotprod => Some(Kernels::dotprod(unsafe { barre_core::simd::dotprod::Dotprod::assume() })),
        #[cfg(target_arch = "aarch64")]
        // SAFETY: none of the features that the proof stands for is missing.
        IsaKind::I8mm => Some(Kernels::i8mm(unsafe { barre_core::simd::i8mm::I8mm::assume() })),
        _ => None,
    }
}

/// # Safety
/// None of the features that [`Avx512`] stands for is missing.
#[cfg(target_arch = "x86_64")]
unsafe fn avx512() -> Kernels {
    // SAFETY: the caller's promise.
    Kernels::avx512(unsafe { Avx512::assume() })
}

/// # Safety
/// None of the features that [`Amx`] stands for is missing, and the system has given leave to use them.
#[cfg(target_arch = "x86_64")]
unsafe fn amx() -> Kernels {
    // SAFETY: the caller's promise.
    Kernels::amx(unsafe { Amx::assume(Avx512::assume()) })
}

/// Tiles beside AVX-512, tried once.
///
/// # Safety
/// As of [`amx`].
#[cfg(target_arch = "x86_64")]
unsafe fn trial() -> Option<tiles::Trial> {
    static TRIAL: OnceLock<Option<tiles::Trial>> = OnceLock::new();
    // SAFETY: the caller's promise.
    *TRIAL.get_or_init(|| unsafe { tiles::compare(&amx(), &avx512()) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_available_can_be_forced_and_nothing_else() {
        for isa in IsaKind::ALL {
            match kernels(Some(isa)) {
                Ok(kernels) => assert_eq!(kernels.isa(), isa),
                Err(e) => {
                    assert_eq!(e, IsaError::Missing(isa));
                    assert!(!available().contains(&isa));
                }
            }
        }
        let (best, available) = (kernels(None).unwrap().isa(), available());
        let after = available.iter().rev().take_while(|&&isa| isa != best).collect::<Vec<_>>();
        assert!(after.is_empty() || after == [&IsaKind::Amx], "{best} of {available:?}");
        assert_eq!(kernels_named(Some("mmx")).unwrap_err(), IsaError::Unknown("mmx".into()));
    }

    #[test]
    fn the_error_names_what_is_missing() {
        let foreign = if cfg!(target_arch = "x86_64") { IsaKind::Neon } else { IsaKind::Avx2 };
        let text = IsaError::Missing(foreign).to_string();
        let lacks = if cfg!(target_arch = "x86_64") { "aarch64" } else { "x86-64" };
        assert!(text.contains(lacks) && text.contains("scalar"), "{text}");
    }
}
