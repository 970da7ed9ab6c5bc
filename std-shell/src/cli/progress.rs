//! A bar on stderr while a long prompt is prefilled, on a terminal only.

use super::output::note;
use std::io::IsTerminal as _;
use std::time::{Duration, Instant};

const WIDTH: usize = 40;
const INTERVAL: Duration = Duration::from_millis(50);
/// What is done sooner needs no bar.
const DELAY: Duration = Duration::from_millis(300);

pub(super) struct Bar {
    shown: bool,
    start: Instant,
    last: Option<Instant>,
}

impl Bar {
    pub(super) fn new() -> Self {
        Self { shown: std::io::stderr().is_terminal(), start: Instant::now(), last: None }
    }

    pub(super) fn update(&mut self, done: usize, total: usize) {
        let now = Instant::now();
        if !self.shown
            || now - self.start < DELAY
            || self.last.is_some_and(|last| now - last < INTERVAL)
            || total == 0
        {
            return;
        }
        self.last = Some(now);
        let filled = WIDTH * done / total;
        note(format_args!("\rprefill [{:<WIDTH$}] {:3} %", "#".repeat(filled), 100 * done / total));
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        if self.last.is_some() {
            note(format_args!("\r\x1b[K"));
        }
    }
}
