//! Two or three commands in one sentence, in the ways in which people join them.

use super::answer::Command;
use super::courtesy::{CALLS, JOINTS, SUFFIXES};
use super::grammar::{
    Speaker, When, clause, draw_device, draw_room, frames_of, noun_phrase, polite, schedule, value,
};
use super::words::{Device, Room};

/// Two or three commands in one sentence.
pub(super) fn several(s: &mut Speaker) -> (String, Vec<Command>, Vec<Command>) {
    let (text, commands) = match s.rng.below(10) {
        0..5 => joined(s),
        5 => with_it(s),
        6 => on_and_off(s),
        7 => devices_together(s),
        _ => rooms_together(s),
    };
    (text, commands.clone(), commands)
}

/// Clauses of their own; what stands behind one belongs to it, what stands before the first to all.
fn joined(s: &mut Speaker) -> (String, Vec<Command>) {
    let count = if s.rng.chance(25) { 3 } else { 2 };
    let mut shared = Command::default();
    let mut front = Vec::new();
    if s.rng.chance(14) {
        schedule(s, &mut shared, &mut front, When::Often);
        // A span before several commands would be said of the first alone.
        if shared.duration.is_some() {
            (shared, front) = (Command::default(), Vec::new());
        }
    }
    let mut out = String::new();
    let mut commands = Vec::new();
    for i in 0..count {
        let when = if front.is_empty() { When::Seldom } else { When::Never };
        let mut clause = loop {
            let clause = clause(s, None, when);
            let is_clock = matches!(clause.command.device, "alarm" | "timer");
            if !is_clock || front.is_empty() {
                break clause;
            }
        };
        if !front.is_empty() {
            let own = clause.command;
            clause.command = Command {
                action: own.action,
                device: own.device,
                room: own.room,
                value: own.value,
                unit: own.unit,
                color: own.color,
                ..shared
            };
        }
        commands.push(clause.command);
        if i == 0 {
            if s.rng.chance(9) {
                out.push_str(s.pick(CALLS));
                out.push(' ');
            }
            for phrase in &front {
                out.push_str(phrase);
                out.push_str(s.rng.one(&[", ", ", ", " "]));
            }
            out.push_str(&polite(s, &clause.core, clause.verbless));
        } else {
            out.push_str(s.pick(JOINTS));
            out.push_str(&clause.core);
        }
        for phrase in clause.around {
            out.push(' ');
            out.push_str(&phrase);
        }
    }
    if s.rng.chance(10) {
        out.push_str(s.rng.one(&[" ", ", "]));
        out.push_str(s.pick(SUFFIXES));
    }
    (out, commands)
}

/// "Turn on the tv and mute it."
fn with_it(s: &mut Speaker) -> (String, Vec<Command>) {
    let first = loop {
        let clause = clause(s, None, When::Never);
        if clause.device.is_some_and(|d| d.actions.len() > 2) && clause.around.is_empty() {
            break clause;
        }
    };
    let second = loop {
        let clause = clause(s, Some(&first), When::Seldom);
        if !clause.verbless && clause.command.action != first.command.action {
            break clause;
        }
    };
    let commands = vec![first.command, second.command];
    let mut out = polite(s, &first.core, first.verbless);
    out.push_str(s.pick(JOINTS));
    out.push_str(&second.core);
    for phrase in second.around {
        out.push(' ');
        out.push_str(&phrase);
    }
    (out, commands)
}

fn device_with(s: &mut Speaker, action: &str) -> &'static Device {
    loop {
        let device = draw_device(s);
        if device.actions.contains(&action) && !matches!(device.name, "alarm" | "timer") {
            return device;
        }
    }
}

fn plain(action: &'static str, device: &Device, room: Option<&Room>) -> Command {
    Command { action, device: device.name, room: room.map_or("", |r| r.name), ..Command::default() }
}

/// "Turn the tv on and the hall lights off."
fn on_and_off(s: &mut Speaker) -> (String, Vec<Command>) {
    let (a, b, actions) = s.rng.one(&[
        ("on", "off", ["on", "off"]),
        ("off", "on", ["off", "on"]),
        ("up", "down", ["up", "down"]),
        ("down", "up", ["down", "up"]),
        ("on", "on", ["on", "on"]),
        ("off", "off", ["off", "off"]),
    ]);
    let mut nouns = Vec::new();
    let mut commands = Vec::new();
    for action in actions {
        let device = device_with(s, action);
        let room = draw_room(s, device);
        nouns.push(noun_phrase(s, device, room, false).0);
        commands.push(plain(action, device, room));
    }
    let (x, y) = (&nouns[0], &nouns[1]);
    let verb = s.pick(&["turn ", "switch ", "turn ", "put ", "", "", "get "]);
    let verb = if verb.is_empty() && a == "up" { "turn " } else { verb };
    let text = if s.rng.chance(50) || verb.is_empty() {
        format!("{verb}{x} {a}{}{y} {b}", s.pick(&[" and ", ", ", " but ", ", and ", " and "]))
    } else {
        format!("{verb}{a} {x}{}{b} {y}", s.pick(&[" and ", " and ", " but "]))
    };
    let mut out = polite(s, &text, verb.is_empty());
    when_for_all(s, &mut commands, &mut out);
    (out, commands)
}

/// "Turn off the tv and the hall lights."
fn devices_together(s: &mut Speaker) -> (String, Vec<Command>) {
    let action =
        s.rng.one(&["on", "on", "off", "off", "off", "open", "close", "lock", "up", "down", "pause"]);
    let count = if s.rng.chance(30) { 3 } else { 2 };
    let (mut nouns, mut commands): (Vec<String>, Vec<Command>) = (Vec::new(), Vec::new());
    while commands.len() < count {
        let device = device_with(s, action);
        let room = draw_room(s, device);
        let command = plain(action, device, room);
        if !commands.contains(&command) {
            nouns.push(noun_phrase(s, device, room, false).0);
            commands.push(command);
        }
    }
    let frame = s.pick_fit(frames_of(action), |frame| !frame.contains("{x} is"));
    let (frame, verbless) = frame.strip_prefix('=').map_or((frame, false), |frame| (frame, true));
    let list = listed(s, &nouns);
    let mut out = polite(s, &frame.replace("{x}", &list), verbless);
    when_for_all(s, &mut commands, &mut out);
    (out, commands)
}

/// "Set the lights in the kitchen and the hall to 30 percent."
fn rooms_together(s: &mut Speaker) -> (String, Vec<Command>) {
    let device = loop {
        let device = draw_device(s);
        if device.in_rooms && !["door", "vacuum", "camera"].contains(&device.name) {
            break device;
        }
    };
    let action = loop {
        let action = s.rng.one(device.actions);
        if !matches!(action, "color" | "channel" | "next") {
            break action;
        }
    };
    let count = if s.rng.chance(30) { 3 } else { 2 };
    let mut rooms: Vec<&Room> = Vec::new();
    while rooms.len() < count {
        let room = s.room(Room::is_place);
        if !rooms.iter().any(|r| r.name == room.name) {
            rooms.push(room);
        }
    }
    let plural = !device.plurals.is_empty() && s.rng.chance(75);
    let noun = s.pick(if plural { device.plurals } else { device.words });
    let words: Vec<String> = rooms.iter().map(|r| s.pick(r.words).to_owned()).collect();
    let phrase = match s.rng.below(3) {
        0 => format!("the {} {noun}", listed(s, &words)),
        1 => {
            let with: Vec<String> = words.iter().map(|w| format!("the {w}")).collect();
            format!("the {noun} in {}", listed(s, &with))
        }
        _ => format!("the {noun} in the {}", listed(s, &words)),
    };
    let mut commands: Vec<Command> = rooms.iter().map(|r| plain(action, device, Some(r))).collect();
    let mut said = String::new();
    if action == "set" {
        let (n, unit, words) = value(s, device.name, false);
        said = words;
        for command in &mut commands {
            (command.value, command.unit) = (Some(n), unit);
        }
    }
    let frame = s.pick_fit(frames_of(action), |frame| !frame.contains("{x} is"));
    let (frame, verbless) = frame.strip_prefix('=').map_or((frame, false), |frame| (frame, true));
    let mut out = polite(s, &frame.replace("{x}", &phrase).replace("{v}", &said), verbless);
    when_for_all(s, &mut commands, &mut out);
    (out, commands)
}

/// A phrase of time at the end of commands with one verb belongs to all of them.
fn when_for_all(s: &mut Speaker, commands: &mut [Command], out: &mut String) {
    let (mut shared, mut around) = (commands[0], Vec::new());
    schedule(s, &mut shared, &mut around, When::Seldom);
    for command in commands {
        (command.day, command.time, command.delay) = (shared.day, shared.time, shared.delay);
        (command.duration, command.condition) = (shared.duration, shared.condition);
    }
    for phrase in around {
        out.push(' ');
        out.push_str(&phrase);
    }
}

fn listed(s: &mut Speaker, items: &[String]) -> String {
    let and = s.pick(&[" and ", " and ", " and ", ", ", " & ", " plus ", " and also ", "~ along with "]);
    match items {
        [a, b] => format!("{a}{and}{b}"),
        [a, b, c] => {
            let comma = s.rng.one(&[", ", ", ", " and "]);
            let and = s.rng.one(&[" and ", ", and ", " and ", ", "]);
            format!("{a}{comma}{b}{and}{c}")
        }
        _ => items.join(", "),
    }
}
