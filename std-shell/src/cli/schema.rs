//! `--schema`: a JSON Schema from a file, and the one line of JSON that comes of it.

use super::output::{Failure, of_file, write};
use barre::constrained::Error;
use barre_core::constrain::{ConstrainError, Constraint, Schema};
use std::path::Path;

/// The schema in the file at `path`.
pub(super) fn read(path: &Path) -> Result<Schema, Failure> {
    let text = std::fs::read(path)
        .map_err(|e| Failure::because(format!("cannot read the schema {}: {e}", path.display())))?;
    Schema::parse(&text).map_err(of_file(path))
}

/// Fails if no output fits behind the prompt, which is better known before the model has read it.
pub(super) fn check_room(
    constraint: &Constraint<'_>,
    context: usize,
    prompt: usize,
    most: usize,
) -> Result<(), Failure> {
    // The last token needs no position.
    let left = most.min(context.saturating_sub(prompt) + 1);
    match constraint.min_tokens() {
        Some(need) if need > left => Err(ConstrainError::Budget { left, need }.into()),
        _ => Ok(()),
    }
}

/// Writes a whole output, or nothing.
pub(super) fn write_output(output: Result<String, Error>) -> Result<(), Failure> {
    match output {
        Ok(mut json) => {
            json.push('\n');
            write(&json)
        }
        Err(Error::Stopped) => Err(Failure::Interrupted),
        Err(e) => Err(e.into()),
    }
}
