//! `--trace-dispatch`: one line a multiplication, and how many of the model's matrices were seen.

use super::output::note;
use barre_core::kernels::{MatmulEvent, Trace};
use barre_core::model::Model;
use std::cell::RefCell;
use std::collections::BTreeSet;

/// Writes every multiplication to stderr and remembers its matrix.
#[derive(Default)]
pub(super) struct DispatchTrace {
    seen: RefCell<BTreeSet<String>>,
}

impl DispatchTrace {
    /// Whether the flag or the environment variable asks for it.
    pub(super) fn wanted(flag: bool) -> bool {
        flag || std::env::var("DEBUG_DISPATCH").is_ok_and(|v| !v.is_empty() && v != "0")
    }

    /// How many of the model's matrices ran on a fused kernel of their own format.
    pub(super) fn summary(&self, model: &Model) {
        let seen = self.seen.borrow();
        let mut total = 0;
        let mut missed = Vec::new();
        for matrix in model.matrices() {
            total += 1;
            if !seen.contains(&key(matrix.name().as_str(), matrix.format().name())) {
                missed.push(matrix.name());
            }
        }
        for name in &missed {
            note(format_args!("[dispatch_matmul] not seen: {name}\n"));
        }
        note(format_args!("fused: {} of {total}\n", total - missed.len()));
    }
}

impl Trace for DispatchTrace {
    fn matmul(&self, event: &MatmulEvent<'_>) {
        let MatmulEvent { tensor, format, batch, k, n } = event;
        note(format_args!("[dispatch_matmul] format={format}, shape=[{batch}, {k}, {n}]  # {tensor}\n"));
        self.seen.borrow_mut().insert(key(tensor, format.name()));
    }
}

fn key(tensor: &str, format: &str) -> String {
    format!("{tensor} {format}")
}
