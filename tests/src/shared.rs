//! The shared test data, which is too large or not ours to keep in the tree.

use std::path::PathBuf;

/// A file or folder of the shared test data, whose place `BARRE_SHARED` names. Without that variable `None`, and a
/// line on stderr says what is left out. With it, a missing file fails the test.
///
/// # Panics
/// If `BARRE_SHARED` is set but `path` does not exist below it.
#[must_use]
pub fn shared(path: &str) -> Option<PathBuf> {
    let Some(root) = std::env::var_os("BARRE_SHARED") else {
        eprintln!("LEFT OUT: BARRE_SHARED is not set, so nothing is checked against {path}");
        return None;
    };
    let path = PathBuf::from(root).join(path);
    assert!(path.exists(), "BARRE_SHARED is set, but {} is not there", path.display());
    Some(path)
}

/// The golden models that are kept in the tree, and, where `BARRE_SHARED` is set, all the others.
#[must_use]
pub fn golden_dirs() -> Vec<PathBuf> {
    let mut dirs = vec![PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/goldens"))];
    dirs.extend(shared("goldens"));
    dirs
}
