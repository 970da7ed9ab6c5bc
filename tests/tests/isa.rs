//! Which instruction set is chosen.

use barre::detect;
use barre_core::simd::IsaKind;

/// Names the set that must be chosen where a script knows the machine, as emulators' CPUs are known.
const EXPECTED: &str = "BARRE_EXPECT_ISA";

#[test]
fn the_machines_best_is_chosen() {
    let chosen = detect::kernels(None).expect("kernels").isa();
    println!("{chosen} of {:?}", detect::available());
    match std::env::var(EXPECTED) {
        Ok(name) => assert_eq!(chosen.name(), name),
        Err(_) => println!("left out: whether that is this machine's best, which {EXPECTED} would tell"),
    }
}

#[test]
fn what_is_missing_cannot_be_forced() {
    let available = detect::available();
    let missing: Vec<IsaKind> = IsaKind::ALL.into_iter().filter(|isa| !available.contains(isa)).collect();
    assert!(!missing.is_empty(), "no machine has the sets of two architectures");
    for isa in missing {
        assert_eq!(detect::kernels(Some(isa)).unwrap_err(), detect::IsaError::Missing(isa));
        assert_eq!(detect::kernels_named(Some(isa.name())).unwrap_err(), detect::IsaError::Missing(isa));
    }
}
