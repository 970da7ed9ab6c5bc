//! What asks for nothing though it speaks of devices: commands taken back, and talk.

use super::answer::Command;
use super::chatter::ABOUT_DEVICES;
use super::courtesy::{CALLS, NEGATIONS};
use super::grammar::{Speaker, When, clause, draw_device, draw_room, noun_phrase, polite};
use super::phrases;

/// What is not to be done, and so nothing: "don't turn off the lights".
pub(super) fn negated(s: &mut Speaker) -> (String, Vec<Command>, Vec<Command>) {
    let clause = loop {
        let clause = clause(s, None, When::Seldom);
        if !clause.verbless {
            break clause;
        }
    };
    let lead = s.pick(NEGATIONS);
    let call = if s.rng.chance(12) { format!("{} ", s.pick(CALLS)) } else { String::new() };
    let mut text = format!("{call}{lead} {}", clause.core);
    for phrase in clause.around {
        text.push(' ');
        text.push_str(&phrase);
    }
    if s.rng.chance(10) {
        text.push_str(s.pick(&[" please", ", please", " yet", " ok", " again", " anymore"]));
    }
    (text, vec![], vec![clause.command])
}

/// "Don't turn off the lights, just lower the blinds."
pub(super) fn half_negated(s: &mut Speaker) -> (String, Vec<Command>, Vec<Command>) {
    let draw = |s: &mut Speaker| loop {
        let clause = clause(s, None, When::Never);
        if !clause.verbless && clause.around.is_empty() {
            return clause;
        }
    };
    let (not, yes) = (draw(s), draw(s));
    let dont = s.pick(&["don't", "do not", "don't", "dont", "never"]);
    let text = if s.rng.chance(50) {
        let joint =
            s.pick(&[", just ", ", ", " but ", ", but ", ". just ", ", instead ", ". ", "; ", "~, rather "]);
        format!("{dont} {}{joint}{}", not.core, yes.core)
    } else {
        let joint = s.pick(&[" but ", ", but ", ", ", " and ", ". ", ", but please "]);
        format!("{}{joint}{dont} {}", polite(s, &yes.core, false), not.core)
    };
    (text, vec![yes.command], vec![not.command, yes.command])
}

/// Talk about a device that asks for nothing: "the bedroom lights are nice".
pub(super) fn near_miss(s: &mut Speaker) -> (String, Vec<Command>, Vec<Command>) {
    let device = draw_device(s);
    let room = draw_room(s, device);
    let (noun, _, plural) = noun_phrase(s, device, room, false);
    let (is, was, does, has) =
        if plural { ("are", "were", "do", "have") } else { ("is", "was", "does", "has") };
    let frame = s.pick(ABOUT_DEVICES);
    let mut text = frame
        .replace("{x}", &noun)
        .replace("{is}", is)
        .replace("{was}", was)
        .replace("{does}", does)
        .replace("{has}", has);
    if text.contains("{state}") {
        text = text.replace(
            "{state}",
            s.rng.one(&["on", "off", "open", "closed", "locked", "broken", "running", "on", "off"]),
        );
    }
    if text.contains("{at}") {
        let said = phrases::time(s).1;
        text = text.replace("{at}", &said);
    }
    if text.contains("{if}") {
        let said = phrases::condition(s).1;
        text = text.replace("{if}", &said);
    }
    let named = Command { device: device.name, room: room.map_or("", |r| r.name), ..Command::default() };
    (text, vec![], vec![named])
}
