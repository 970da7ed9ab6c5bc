//! From slots to sentences: commands, and how they are joined, begged for and scheduled.

use super::answer::Command;
use super::chatter;
use super::courtesy::{CALLS, GERUND_PREFIXES, PREAMBLES, PREFIXES, SOFT_PREFIXES, SUFFIXES};
use super::frames as f;
use super::negation::{half_negated, near_miss, negated};
use super::noise;
use super::phrases;
use super::rng::Rng;
use super::several::several;
use super::words::{COLORS, DEVICES, Device, EVERYTHING, Room};

/// One who draws words: its stream of numbers, and whether it may use what the test of phrasings keeps.
pub(super) struct Speaker {
    pub(super) rng: Rng,
    may_hold: bool,
    /// Held-out phrases in the sentence so far.
    held: usize,
}

/// A sentence before it is accepted for a split.
pub(super) struct Draft {
    pub(super) sentence: String,
    /// What is to be done.
    pub(super) commands: Vec<Command>,
    /// What the sentence names, to be done or not.
    pub(super) named: Vec<Command>,
    pub(super) held: usize,
}

impl Speaker {
    pub(super) const fn new(rng: Rng, may_hold: bool) -> Self {
        Self { rng, may_hold, held: 0 }
    }

    /// One of `table`, without its mark; marked entries only where they may be used.
    pub(super) fn pick(&mut self, table: &[&'static str]) -> &'static str {
        loop {
            let entry = self.rng.one(table);
            match entry.strip_prefix('~') {
                None => return entry,
                Some(held) if self.may_hold => {
                    self.held += 1;
                    return held;
                }
                Some(_) => {}
            }
        }
    }

    /// As [`pick`](Self::pick), drawn again until it fits.
    pub(super) fn pick_fit(&mut self, table: &[&'static str], fits: impl Fn(&str) -> bool) -> &'static str {
        let held = self.held;
        loop {
            let entry = self.pick(table);
            if fits(entry) {
                return entry;
            }
            self.held = held;
        }
    }

    pub(super) fn room(&mut self, fits: impl Fn(&Room) -> bool) -> &'static Room {
        loop {
            let room = &phrases::rooms()[self.rng.below(phrases::rooms().len())];
            if fits(room) {
                return room;
            }
        }
    }

    /// "in the kitchen", "upstairs".
    pub(super) fn in_room(&mut self, room: &Room) -> String {
        let word = self.pick(room.words);
        if !room.is_place() {
            return word.to_owned();
        }
        let preposition = if room.pp == "in the" && self.rng.chance(3) { "inside the" } else { room.pp };
        if self.rng.chance(6) {
            let bare = preposition.trim_end_matches(" the");
            return format!("{bare} {}{word}", self.rng.one(&["my ", "our ", ""]));
        }
        format!("{preposition} {word}")
    }
}

/// One command with its words: what is asked for, and what is said around it.
pub(super) struct Clause {
    pub(super) command: Command,
    /// The frame filled in; begins with a verb unless `verbless`.
    pub(super) core: String,
    pub(super) verbless: bool,
    /// Phrases of place, time and condition, which may stand before or behind.
    pub(super) around: Vec<String>,
    pub(super) device: Option<&'static Device>,
    pub(super) room: Option<&'static Room>,
}

/// What may be said about when a command is carried out.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum When {
    Often,
    Seldom,
    Never,
}

/// Draws a sentence of any kind.
pub(super) fn draft(s: &mut Speaker) -> Draft {
    s.held = 0;
    let (mut sentence, commands, named) = match s.rng.below(100) {
        0..14 => (chatter::say(s), vec![], vec![]),
        14..18 => near_miss(s),
        18..22 => negated(s),
        22..24 => half_negated(s),
        24..82 => {
            let clause = clause(s, None, When::Often);
            let command = clause.command;
            (finish(s, clause), vec![command], vec![command])
        }
        _ => several(s),
    };
    if !commands.is_empty() && s.rng.chance(6) {
        let gap = s.rng.one(&[", ", ". ", ", so ", " so ", "! ", ", "]);
        sentence = format!("{}{gap}{sentence}", s.pick(PREAMBLES));
    }
    Draft { sentence: noise::disturb(s, sentence), commands, named, held: s.held }
}

/// Puts a clause together, with its phrases around it and the courtesy of an only sentence.
fn finish(s: &mut Speaker, clause: Clause) -> String {
    let (mut front, mut back) = (Vec::new(), Vec::new());
    for phrase in clause.around {
        if s.rng.chance(33) { front.push(phrase) } else { back.push(phrase) }
    }
    let core = polite(s, &clause.core, clause.verbless);
    let mut out = String::new();
    if s.rng.chance(9) {
        out.push_str(s.pick(CALLS));
        out.push(' ');
    }
    for phrase in front {
        out.push_str(&phrase);
        out.push_str(s.rng.one(&[", ", ", ", " "]));
    }
    out.push_str(&core);
    for phrase in back {
        out.push_str(s.rng.one(&[" ", " ", " ", " ", " ", " ", ", "]));
        out.push_str(&phrase);
    }
    if s.rng.chance(14) {
        out.push_str(s.rng.one(&[" ", ", "]));
        out.push_str(s.pick(SUFFIXES));
    }
    out
}

pub(super) fn polite(s: &mut Speaker, core: &str, verbless: bool) -> String {
    if !verbless && s.rng.chance(4) {
        return format!("{} {}", s.pick(GERUND_PREFIXES), gerund(core));
    }
    let prefix = s.pick(if verbless { SOFT_PREFIXES } else { PREFIXES });
    if prefix.is_empty() { core.to_owned() } else { format!("{prefix} {core}") }
}

/// "turn on" to "turning on".
fn gerund(core: &str) -> String {
    let (verb, rest) = core.split_at(core.find(' ').unwrap_or(core.len()));
    let doubled = ["set", "put", "shut", "get", "dim", "stop", "cut", "run", "hit", "flip", "drop", "skip"];
    let stem = if doubled.contains(&verb) {
        format!("{verb}{}", &verb[verb.len() - 1..])
    } else {
        verb.strip_suffix('e').filter(|v| !v.ends_with('e')).unwrap_or(verb).to_owned()
    };
    format!("{stem}ing{rest}")
}

pub(super) fn draw_device(s: &mut Speaker) -> &'static Device {
    let total: usize = DEVICES.iter().map(|d| d.weight).sum();
    let mut left = s.rng.below(total);
    for device in &DEVICES {
        if left < device.weight {
            return device;
        }
        left -= device.weight;
    }
    &DEVICES[0]
}

pub(super) fn draw_room(s: &mut Speaker, device: &Device) -> Option<&'static Room> {
    if !device.in_rooms || s.rng.chance(32) {
        return None;
    }
    let doors = device.name == "door";
    let lone = ["vacuum", "door", "camera", "humidifier"].contains(&device.name);
    Some(s.room(|r| {
        let elsewhere = doors && ["garage", "garden", "balcony", "outside", "stairs"].contains(&r.name);
        !elsewhere && (!lone || r.name != "all")
    }))
}

/// The device and its room as a noun phrase; the room as a phrase of its own in the second place.
pub(super) fn noun_phrase(
    s: &mut Speaker,
    device: &Device,
    room: Option<&Room>,
    separate: bool,
) -> (String, Option<String>, bool) {
    let plural = !device.plurals.is_empty() && s.rng.chance(45);
    let noun = s.pick(if plural { device.plurals } else { device.words });
    let adjective = if s.rng.chance(7) {
        s.pick(&[
            "big ", "small ", "new ", "old ", "main ", "little ", "smart ", "damn ", "other ", "second ",
            "stupid ", "lovely ", "noisy ", "good ", "nice ", "~tiny ",
        ])
    } else {
        ""
    };
    let mut determiner = match s.rng.below(20) {
        0..13 => "the ",
        13..17 => "",
        17 => "my ",
        18 => "our ",
        _ if plural => s.rng.one(&["all the ", "all ", "all of the ", "both "]),
        _ => "the ",
    };
    let Some(room) = room else {
        // "All lights" without a room are those of the whole house.
        if determiner.starts_with("all") {
            determiner = "the ";
        }
        return (format!("{determiner}{adjective}{noun}"), None, plural);
    };
    if room.name == "all" && plural && s.rng.chance(65) {
        let all = s.rng.one(&["all the ", "all ", "all of the ", "all my ", "every one of the "]);
        return (format!("{all}{adjective}{noun}"), None, true);
    }
    match s.rng.below(20) {
        0..9 if room.is_place() => {
            let word = s.pick(room.words);
            (format!("{determiner}{adjective}{word} {noun}"), None, plural)
        }
        0..7 if room.name != "all" => {
            let word = if room.name == "outside" {
                s.rng.one(&["outside", "outdoor", "outdoor"])
            } else {
                room.name
            };
            (format!("{determiner}{adjective}{word} {noun}"), None, plural)
        }
        9..14 if separate => (format!("{determiner}{adjective}{noun}"), Some(s.in_room(room)), plural),
        14 if room.is_place() && !plural => {
            let word = s.pick(room.words);
            (format!("the {noun} of the {word}"), None, plural)
        }
        _ => (format!("{determiner}{adjective}{noun} {}", s.in_room(room)), None, plural),
    }
}

/// Draws a value that `device` takes, and says it: number, unit, words. `by` is a difference.
pub(super) fn value(s: &mut Speaker, device: &str, by: bool) -> (u16, &'static str, String) {
    match device {
        "heating" | "ac" | "oven" => {
            let oven = device == "oven";
            let fahrenheit = !by && s.rng.chance(18);
            let n = match (oven, fahrenheit, by) {
                (_, _, true) => s.rng.range(1, 10),
                (true, true, _) => s.rng.range(8, 20) * 25,
                (true, false, _) => s.rng.range(6, 26) * 10 + s.rng.one(&[0, 0, 0, 5]),
                (false, true, _) => s.rng.range(55, 85),
                (false, false, _) => s.rng.range(5, 32),
            };
            let said = number_of(s, n);
            let many = if n == 1 { "degree" } else { "degrees" };
            let explicit = fahrenheit && oven;
            let digits = said.ends_with(|c: char| c.is_ascii_digit());
            let unit = match (fahrenheit, s.rng.below(10)) {
                (_, 0..5) if !explicit => format!(" {many}"),
                (_, 5..7) if !explicit && !by => String::new(),
                (_, 7) if !explicit && digits => "°".to_owned(),
                (true, _) if !digits => s.rng.one(&[" degrees fahrenheit", " fahrenheit"]).to_owned(),
                (false, _) if !digits => s.rng.one(&[" degrees celsius", " celsius"]).to_owned(),
                (true, _) => s
                    .rng
                    .one(&[
                        " degrees fahrenheit",
                        " degrees fahrenheit",
                        " fahrenheit",
                        "°F",
                        " F",
                        "f",
                        " degrees F",
                    ])
                    .to_owned(),
                (false, _) => s
                    .rng
                    .one(&[
                        " degrees celsius",
                        " degrees celsius",
                        " celsius",
                        "°C",
                        " C",
                        "c",
                        " degrees C",
                        " °C",
                    ])
                    .to_owned(),
            };
            (n, if fahrenheit { "fahrenheit" } else { "celsius" }, format!("{said}{unit}"))
        }
        "fan" | "tv" | "speaker" | "air_purifier" if s.rng.chance(50) => {
            let n = if device == "fan" || device == "air_purifier" {
                s.rng.range(1, 9)
            } else {
                s.rng.range(1, 40)
            };
            let said = number_of(s, n);
            let lead = if by {
                ""
            } else {
                s.rng.one(&["", "", "", "level ", "level ", if device == "fan" { "speed " } else { "" }])
            };
            let tail = if by { s.rng.one(&["", "", " steps", " points", " levels"]) } else { "" };
            (n, "level", format!("{lead}{said}{tail}"))
        }
        _ => {
            if !by && s.rng.chance(12) {
                let (n, said) = s.rng.one(&[
                    (50, "half"),
                    (100, "full"),
                    (100, "maximum"),
                    (100, "max"),
                    (25, "a quarter"),
                    (75, "three quarters"),
                    (100, "the max"),
                    (100, "the maximum"),
                    (50, "half power"),
                    (100, "full power"),
                    (50, "fifty fifty"),
                    (50, "halfway"),
                ]);
                return (n, "percent", said.to_owned());
            }
            let n = if s.rng.chance(55) { s.rng.range(1, 20) * 5 } else { s.rng.range(1, 100) };
            let n = if by { (n / 2).max(1) } else { n };
            let said = number_of(s, n);
            let bare = ["light", "blinds", "humidifier"].contains(&device) && s.rng.chance(15);
            let unit = if bare {
                ""
            } else {
                s.rng.one(&[" percent", " percent", " percent", "%", "%", "%", " %", " per cent", "percent"])
            };
            (n, "percent", format!("{said}{unit}"))
        }
    }
}

fn number_of(s: &mut Speaker, n: u16) -> String {
    phrases::number(s, n)
}

pub(super) const fn frames_of(action: &str) -> &'static [&'static str] {
    match action.as_bytes() {
        b"on" => f::ON,
        b"off" => f::OFF,
        b"set" => f::SET,
        b"color" => f::COLOR,
        b"up" => f::UP,
        b"up_by" => f::UP_BY,
        b"down" => f::DOWN,
        b"down_by" => f::DOWN_BY,
        b"open" => f::OPEN,
        b"close" => f::CLOSE,
        b"lock" => f::LOCK,
        b"unlock" => f::UNLOCK,
        b"pause" => f::PAUSE,
        b"mute" => f::MUTE,
        b"unmute" => f::UNMUTE,
        _ => &[],
    }
}

/// Draws a command and says it. `about` gives the device and room of the clause before, said as "it".
pub(super) fn clause(s: &mut Speaker, about: Option<&Clause>, when: When) -> Clause {
    if about.is_none() && s.rng.chance(2) {
        return everything(s, when);
    }
    let (device, room) = match about {
        Some(clause) => (clause.device.unwrap_or(&DEVICES[0]), clause.room),
        None => {
            let device = draw_device(s);
            (device, draw_room(s, device))
        }
    };
    let action = s.rng.one(device.actions);
    if about.is_none() && matches!((device.name, action), ("alarm" | "timer", _)) {
        return clock(s, device, action);
    }
    with_action(s, device, room, action, about.is_some(), when)
}

fn with_action(
    s: &mut Speaker,
    device: &'static Device,
    room: Option<&'static Room>,
    action: &'static str,
    it: bool,
    when: When,
) -> Clause {
    let mut command =
        Command { device: device.name, room: room.map_or("", |r| r.name), ..Command::default() };
    let by = matches!(action, "up" | "down") && s.rng.chance(35);
    let kind = match (action, by) {
        ("up", true) => "up_by",
        ("down", true) => "down_by",
        _ => action,
    };
    let mut said = String::new();
    match kind {
        "set" | "up_by" | "down_by" => {
            let (n, unit, words) = value(s, device.name, by);
            (command.value, command.unit, said) = (Some(n), unit, words);
        }
        "channel" => {
            let n = s.rng.range(1, 99);
            (command.value, command.unit, said) = (Some(n), "channel", number_of(s, n));
        }
        "color" => {
            let (color, words) = s.rng.one(&COLORS);
            (command.color, said) = (color, words.to_owned());
        }
        _ => {}
    }
    command.action = if matches!(action, "color" | "channel") { "set" } else { action };
    let mut around = Vec::new();
    let (core, verbless) = loop {
        let (general, special) = (frames_of(kind), f::special(device.name, kind));
        let use_special = !special.is_empty()
            && !it
            && (general.is_empty() || s.rng.chance(if special.len() > 8 { 42 } else { 25 }));
        let held_before = s.held;
        let frame = s.pick(if use_special || general.is_empty() { special } else { general });
        let fits =
            (!it || frame.contains("{x}")) && (!frame.contains("{r}") || room.is_some_and(Room::is_place));
        if !fits {
            s.held = held_before;
            continue;
        }
        let (frame, verbless) = frame.strip_prefix('=').map_or((frame, false), |frame| (frame, true));
        break (fill(s, frame, device, room, &said, it, &mut around), verbless);
    };
    schedule(s, &mut command, &mut around, when);
    Clause { command, core, verbless, around, device: Some(device), room }
}

/// Fills a frame; a place that it has no room for goes `around` it.
fn fill(
    s: &mut Speaker,
    frame: &str,
    device: &Device,
    room: Option<&Room>,
    value: &str,
    it: bool,
    around: &mut Vec<String>,
) -> String {
    let mut text = frame.to_owned();
    let mut placed = room.is_none() || it;
    if text.contains("{r}")
        && let Some(room) = room
    {
        text = text.replace("{r}", s.pick(room.words));
        placed = true;
    }
    if text.contains("{p}") {
        let place =
            if placed { String::new() } else { room.map_or(String::new(), |r| format!(" {}", s.in_room(r))) };
        text = text.replace("{p}", &place);
        placed = true;
    }
    if text.contains("{x}") {
        let (noun, place, plural) = if it {
            let plural = !device.plurals.is_empty() && s.rng.chance(30);
            ((if plural { "them" } else { "it" }).to_owned(), None, plural)
        } else {
            noun_phrase(s, device, if placed { None } else { room }, true)
        };
        placed = true;
        around.extend(place);
        if plural {
            text = text.replace("{x} is", "{x} are");
        }
        text = text.replace("{x}", &noun);
    }
    if !placed && let Some(room) = room {
        around.push(s.in_room(room));
    }
    text.replace("{v}", value)
}

/// Turning everything on or off.
fn everything(s: &mut Speaker, when: When) -> Clause {
    let action = s.rng.one(&["on", "off", "off"]);
    let room = if s.rng.chance(45) { Some(s.room(|r| r.name != "all")) } else { None };
    let mut command =
        Command { action, device: "all", room: room.map_or("", |r| r.name), ..Command::default() };
    let frame = s.pick(frames_of(action));
    let (frame, verbless) = frame.strip_prefix('=').map_or((frame, false), |frame| (frame, true));
    let mut noun = s.pick(EVERYTHING).to_owned();
    if let Some(room) = room {
        noun = format!("{noun} {}", s.in_room(room));
    }
    let mut around = Vec::new();
    schedule(s, &mut command, &mut around, when);
    Clause { command, core: frame.replace("{x}", &noun), verbless, around, device: None, room }
}

/// Alarms and timers, whose time is not when but what.
fn clock(s: &mut Speaker, device: &'static Device, action: &'static str) -> Clause {
    let mut command = Command { action, device: device.name, ..Command::default() };
    let mut around = Vec::new();
    let frame = match (device.name, action) {
        ("alarm", "set") => {
            if s.rng.chance(12) {
                let (span, said) = phrases::span(s);
                command.delay = Some(span);
                around.push(format!("in {said}"));
            } else {
                let (time, said, day) = phrases::time(s);
                (command.time, command.day) = (Some(time), day);
                let said = if s.rng.chance(20) { said.replacen("at ", "for ", 1) } else { said };
                if command.day.is_empty() && s.rng.chance(22) {
                    let (day, day_said) = phrases::day(s);
                    command.day = day;
                    around.push(if s.rng.chance(50) {
                        format!("{day_said} {said}")
                    } else {
                        format!("{said} {day_said}")
                    });
                } else {
                    around.push(said);
                }
            }
            s.pick(f::ALARM).to_owned()
        }
        ("timer", "set") => {
            let (span, said) = phrases::span(s);
            command.duration = Some(span);
            s.pick(f::TIMER).replace("{t}", &said)
        }
        ("timer", "pause") => s.pick(f::PAUSE).to_owned(),
        _ => s.pick(f::ALARM_OFF).to_owned(),
    };
    let (frame, verbless) = frame.strip_prefix('=').map_or((frame.as_str(), false), |frame| (frame, true));
    let (noun, _, _) = noun_phrase(s, device, None, false);
    let core = frame.replace("{x}", &noun);
    Clause { command, core, verbless, around, device: None, room: None }
}

/// Draws when a command is to be carried out.
pub(super) fn schedule(s: &mut Speaker, command: &mut Command, around: &mut Vec<String>, when: When) {
    let likely = match when {
        When::Often => 42,
        When::Seldom => 15,
        When::Never => 0,
    };
    if !s.rng.chance(likely) {
        return;
    }
    let lasting = matches!(command.action, "on" | "off" | "set" | "open" | "mute" | "pause" | "unlock");
    match s.rng.below(20) {
        0..9 => {
            let (time, said, day) = phrases::time(s);
            (command.time, command.day) = (Some(time), day);
            if day.is_empty() && s.rng.chance(14) {
                let (day, day_said) = phrases::day(s);
                command.day = day;
                around.push(if s.rng.chance(50) {
                    format!("{day_said} {said}")
                } else {
                    format!("{said} {day_said}")
                });
            } else {
                around.push(said);
            }
            if lasting && s.rng.chance(7) {
                lasting_for(s, command, around);
            }
        }
        9 => {
            let (day, said) = phrases::day(s);
            command.day = day;
            around.push(said.to_owned());
        }
        10..13 => {
            let (span, said) = phrases::span(s);
            command.delay = Some(span);
            around.push(match s.rng.below(10) {
                0..7 => format!("in {said}"),
                7 => format!("after {said}"),
                8 => format!("{said} from now"),
                _ => format!("{said} later"),
            });
            if lasting && s.rng.chance(7) {
                lasting_for(s, command, around);
            }
        }
        13..16 => {
            if lasting {
                lasting_for(s, command, around);
            }
        }
        _ => {
            let (condition, said) = phrases::condition(s);
            command.condition = Some(condition);
            around.push(said);
        }
    }
}

fn lasting_for(s: &mut Speaker, command: &mut Command, around: &mut Vec<String>) {
    let (span, said) = phrases::span(s);
    command.duration = Some(span);
    let lead = s.pick(&["for", "for", "for", "for", "for", "for the next", "for about", "~for another"]);
    // "For the next an hour" is nothing that anyone says.
    let lead = if said.starts_with("a ") || said.starts_with("an ") || said.starts_with("half") {
        "for"
    } else {
        lead
    };
    around.push(format!("{lead} {said}"));
}
