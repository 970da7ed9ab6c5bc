//! The line of figures that ends a run.

use super::output::note;
use barre::engine::Engine;
use barre::memory;
use barre::source::{Access, ReadFigures};
use barre_core::kernels::Executor as _;
use barre_core::model::Plan;
use serde_json::json;
use std::time::Duration;

/// What the line at the end tells.
#[derive(Default)]
pub(super) struct Figures {
    pub(super) load: Duration,
    /// Tokens, and the time that they took.
    pub(super) prefill: (usize, Duration),
    pub(super) decode: (usize, Duration),
    /// What each of them has read.
    pub(super) read_by_prefill: ReadFigures,
    pub(super) read_by_decode: ReadFigures,
}

impl Figures {
    pub(super) fn show(&self, engine: &Engine, plan: &Plan) {
        let speed = |(tokens, time)| format!("{tokens} tokens, {:.1} tokens/s", rate(tokens, time));
        let peak = memory::peak().map_or("unknown".to_owned(), |bytes| format!("{:.1} MiB", mib(bytes)));
        let huge = match engine.source().huge_bytes() {
            0 => String::new(),
            bytes => format!(" and {:.1} MiB of weights moved to huge pages", mib(bytes)),
        };
        note(format_args!(
            "{}, {} threads | load {:.0} ms | prefill {} | decode {}{} | planned {:.1} MiB{huge}, peak memory {peak}{}\n",
            engine.kernels().isa(),
            engine.pool().threads(),
            self.load.as_secs_f64() * 1e3,
            speed(self.prefill),
            speed(self.decode),
            self.storage(plan),
            mib(plan.total_bytes()),
            if engine.source().access() == Access::Map { " with the mapped file" } else { " in all" },
        ));
    }

    /// What was read for each decoded token; nothing to tell of a mapped file.
    fn storage(&self, plan: &Plan) -> String {
        let (read, tokens) = (&self.read_by_decode, self.decode.0);
        if tokens == 0 || plan.streamed_bytes_per_token() == 0 {
            return String::new();
        }
        format!(
            " | {:.1} % of weights resident, {:.1} MB read a token at {:.0} MB/s, {:.1} ms storage stall a token{}",
            100.0 * plan.resident_fraction(),
            read.bytes as f64 / tokens as f64 / 1e6,
            read_speed(read) / 1e6,
            read.stalled.as_secs_f64() * 1e3 / tokens as f64,
            if read.retries == 0 { String::new() } else { format!(", {} reads tried again", read.retries) },
        )
    }

    pub(super) fn json(&self, engine: &Engine, plan: &Plan) -> serde_json::Value {
        let part = |(tokens, time): (usize, Duration), read: &ReadFigures| {
            json!({
                "tokens": tokens,
                "seconds": time.as_secs_f64(),
                "tokens_per_second": rate(tokens, time),
                "bytes_read": read.bytes,
                "read_bytes_per_second": read_speed(read),
                "storage_busy_seconds": read.busy.as_secs_f64(),
                "storage_stall_seconds": read.stalled.as_secs_f64(),
                "reads_tried_again": read.retries,
            })
        };
        json!({
            "isa": engine.kernels().isa().name(),
            "threads": engine.pool().threads(),
            "load_seconds": self.load.as_secs_f64(),
            "prefill": part(self.prefill, &self.read_by_prefill),
            "decode": part(self.decode, &self.read_by_decode),
            "context": plan.limits().context,
            "batch": plan.limits().batch,
            "arena_bytes": plan.bytes(),
            "reader_bytes": plan.reader_bytes(),
            "planned_bytes": plan.total_bytes(),
            "huge_page_bytes": engine.source().huge_bytes(),
            "peak_bytes": memory::peak(),
            "resident_fraction": plan.resident_fraction(),
            "streamed_bytes_per_token": plan.streamed_bytes_per_token(),
        })
    }
}

fn mib(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

fn rate(tokens: usize, time: Duration) -> f64 {
    if tokens == 0 { 0.0 } else { tokens as f64 / time.as_secs_f64() }
}

/// Bytes a second while any read was under way.
fn read_speed(read: &ReadFigures) -> f64 {
    if read.bytes == 0 { 0.0 } else { read.bytes as f64 / read.busy.as_secs_f64() }
}
