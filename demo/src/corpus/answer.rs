//! What a sentence means: commands, and their one line of JSON.

use super::rng::mix;
use core::fmt::Write as _;

/// A time of the day.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Time {
    /// Hours and minutes on the 24-hour clock.
    Clock(u16, u16),
    Sunrise,
    Sunset,
}

/// So many seconds, minutes or hours (`s`, `m`, `h`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Span(pub(super) u16, pub(super) char);

/// What must hold before a command is carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Condition {
    pub(super) sensor: &'static str,
    pub(super) room: &'static str,
    pub(super) is: &'static str,
    pub(super) value: Option<u16>,
}

/// One command; an empty text is a property that the answer leaves out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Command {
    pub(super) action: &'static str,
    pub(super) device: &'static str,
    pub(super) room: &'static str,
    pub(super) value: Option<u16>,
    pub(super) unit: &'static str,
    pub(super) color: &'static str,
    pub(super) day: &'static str,
    pub(super) time: Option<Time>,
    pub(super) delay: Option<Span>,
    pub(super) duration: Option<Span>,
    pub(super) condition: Option<Condition>,
}

impl Command {
    /// Whether this combination of slots is kept for the test split.
    ///
    /// One in 16 triples of device, action and room is held out with all its values, and of the rest one in 8
    /// combinations with a value. A command with neither room nor value is one that the model must know.
    pub(super) fn is_held_out(&self) -> bool {
        let triple = hash(&[self.device, self.action, self.room]);
        if !self.room.is_empty() && triple.is_multiple_of(16) {
            return true;
        }
        self.value.is_some_and(|value| mix(triple ^ u64::from(value)).is_multiple_of(8))
    }

    fn write(&self, out: &mut String) {
        let _ = write!(out, "{{\"action\":\"{}\"", self.action);
        for (key, text) in [("device", self.device), ("room", self.room)] {
            property(out, key, text);
        }
        if let Some(value) = self.value {
            let _ = write!(out, ",\"value\":{value}");
        }
        for (key, text) in [("unit", self.unit), ("color", self.color), ("day", self.day)] {
            property(out, key, text);
        }
        match self.time {
            Some(Time::Clock(h, m)) => drop(write!(out, ",\"time\":\"{h:02}:{m:02}\"")),
            Some(Time::Sunrise) => property(out, "time", "sunrise"),
            Some(Time::Sunset) => property(out, "time", "sunset"),
            None => {}
        }
        for (key, span) in [("delay", self.delay), ("duration", self.duration)] {
            if let Some(Span(n, unit)) = span {
                let _ = write!(out, ",\"{key}\":\"{n}{unit}\"");
            }
        }
        if let Some(condition) = self.condition {
            let _ = write!(out, ",\"if\":{{\"sensor\":\"{}\"", condition.sensor);
            property(out, "room", condition.room);
            property(out, "is", condition.is);
            if let Some(value) = condition.value {
                let _ = write!(out, ",\"value\":{value}");
            }
            out.push('}');
        }
        out.push('}');
    }
}

/// The line of JSON for `commands`: one object, or an array of several; without any, the action `none`.
pub(super) fn json(commands: &[Command]) -> String {
    let mut out = String::new();
    match commands {
        [] => out.push_str("{\"action\":\"none\"}"),
        [command] => command.write(&mut out),
        several => {
            for (i, command) in several.iter().enumerate() {
                out.push(if i == 0 { '[' } else { ',' });
                command.write(&mut out);
            }
            out.push(']');
        }
    }
    out
}

fn property(out: &mut String, key: &str, text: &str) {
    if !text.is_empty() {
        let _ = write!(out, ",\"{key}\":\"{text}\"");
    }
}

/// FNV-1a over the texts and their ends, mixed.
fn hash(texts: &[&str]) -> u64 {
    let bytes = texts.iter().flat_map(|t| t.bytes().chain([0]));
    mix(bytes.fold(0xcbf2_9ce4_8422_2325, |h, b| (h ^ u64::from(b)).wrapping_mul(0x100_0000_01b3)))
}
