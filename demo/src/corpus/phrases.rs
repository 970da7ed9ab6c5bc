//! How numbers, times, durations and conditions are said.

use super::answer::{Condition, Span, Time};
use super::grammar::Speaker;
use super::words::{ROOMS, Room};

const ONES: [&str; 20] = [
    "zero",
    "one",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
    "eleven",
    "twelve",
    "thirteen",
    "fourteen",
    "fifteen",
    "sixteen",
    "seventeen",
    "eighteen",
    "nineteen",
];
const TENS: [&str; 10] =
    ["", "", "twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"];

/// A number in words, up to 599.
pub(super) fn in_words(s: &mut Speaker, n: u16) -> String {
    match n {
        0..20 => ONES[usize::from(n)].to_owned(),
        20..100 => {
            let tens = TENS[usize::from(n / 10)];
            if n.is_multiple_of(10) {
                return tens.to_owned();
            }
            let gap = if s.rng.chance(50) { "-" } else { " " };
            format!("{tens}{gap}{}", ONES[usize::from(n % 10)])
        }
        _ => {
            let hundreds = if n / 100 == 1 && s.rng.chance(50) { "a" } else { ONES[usize::from(n / 100)] };
            if n.is_multiple_of(100) {
                return format!("{hundreds} hundred");
            }
            let rest = in_words(s, n % 100);
            match s.rng.below(3) {
                0 => format!("{hundreds} hundred {rest}"),
                1 if n % 100 >= 10 => format!("{} {rest}", ONES[usize::from(n / 100)]),
                _ => format!("{hundreds} hundred and {rest}"),
            }
        }
    }
}

/// A number in digits or in words.
pub(super) fn number(s: &mut Speaker, n: u16) -> String {
    if s.rng.chance(60) { n.to_string() } else { in_words(s, n) }
}

/// Draws a time and says it, with the preposition: "at quarter past seven in the evening".
/// The second text is the day that the phrase names, if it does.
pub(super) fn time(s: &mut Speaker) -> (Time, String, &'static str) {
    if s.rng.chance(7) {
        let (time, said) = s.rng.one(&[
            (Time::Sunset, "at sunset"),
            (Time::Sunset, "when the sun sets"),
            (Time::Sunset, "at dusk"),
            (Time::Sunset, "when the sun goes down"),
            (Time::Sunrise, "at sunrise"),
            (Time::Sunrise, "when the sun comes up"),
            (Time::Sunrise, "when the sun rises"),
            (Time::Sunrise, "at dawn"),
        ]);
        return (time, said.to_owned(), "");
    }
    if s.rng.chance(7) {
        let (hour, said) =
            s.rng.one(&[(12, "noon"), (12, "midday"), (0, "midnight"), (12, "12 noon"), (12, "lunchtime")]);
        return (Time::Clock(hour, 0), format!("at {said}"), "");
    }
    let hour = s.rng.range(0, 23);
    let minute = match s.rng.below(20) {
        0..8 => 0,
        8..12 => 30,
        12..15 => s.rng.one(&[15, 45]),
        15..18 => s.rng.range(0, 11) * 5,
        _ => s.rng.range(0, 59),
    };
    let at = s.pick(&["at", "at", "at", "at", "at", "at", "around", "@", "by", "~at exactly"]);
    if s.rng.chance(18) {
        let sep = if s.rng.chance(92) { ":" } else { "." };
        let said = if s.rng.chance(75) {
            format!("{hour:02}{sep}{minute:02}")
        } else {
            format!("{hour}{sep}{minute:02}")
        };
        // Without a part of the day, the clock has 24 hours.
        return (Time::Clock(hour, minute), format!("{at} {said}"), "");
    }
    let clock = on_twelve_hours(s, hour, minute);
    let (said, day) = with_day_part(s, hour, &clock, at);
    match said {
        Some(said) => (Time::Clock(hour, minute), said, day),
        // "at seven" without more is the hour that the dial shows.
        None => (Time::Clock((hour + 11) % 12 + 1, minute), format!("{at} {clock}"), ""),
    }
}

/// The dial's reading: "7:15", "quarter past seven", "half seven", "seven fifteen".
fn on_twelve_hours(s: &mut Speaker, hour: u16, minute: u16) -> String {
    let dial = |h: u16| (h + 11) % 12 + 1;
    let (this, next) = (dial(hour), dial(hour + 1));
    let said_hour = |s: &mut Speaker, h: u16| if s.rng.chance(70) { in_words(s, h) } else { h.to_string() };
    let this_said = said_hour(s, this);
    if minute == 0 {
        return match s.rng.below(10) {
            0..4 => this.to_string(),
            4..7 => this_said,
            7 => format!("{this}:00"),
            _ => format!("{this_said} o'clock"),
        };
    }
    let digits = format!("{this}:{minute:02}");
    match s.rng.below(10) {
        0..4 => digits,
        4 => format!("{this}.{minute:02}"),
        5..7 => {
            let minutes = match minute {
                1..10 => format!("oh {}", in_words(s, minute)),
                _ => in_words(s, minute),
            };
            if s.rng.chance(80) {
                format!("{} {minutes}", in_words(s, this))
            } else {
                format!("{this} {minute:02}")
            }
        }
        _ => {
            let next_said = said_hour(s, next);
            match minute {
                30 if s.rng.chance(35) => format!("half {}", in_words(s, this)),
                30 => format!("half past {this_said}"),
                15 => format!(
                    "{}quarter {} {this_said}",
                    s.rng.one(&["", "", "a "]),
                    s.rng.one(&["past", "past", "after"])
                ),
                45 => format!(
                    "{}quarter {} {next_said}",
                    s.rng.one(&["", "", "a "]),
                    s.rng.one(&["to", "to", "till"])
                ),
                1..30 if minute.is_multiple_of(5) => {
                    let minutes = if s.rng.chance(70) { in_words(s, minute) } else { minute.to_string() };
                    format!("{minutes} {} {this_said}", s.rng.one(&["past", "past", "after", "minutes past"]))
                }
                31..60 if minute.is_multiple_of(5) => {
                    let left = 60 - minute;
                    let minutes = if s.rng.chance(70) { in_words(s, left) } else { left.to_string() };
                    format!("{minutes} {} {next_said}", s.rng.one(&["to", "to", "before", "minutes to"]))
                }
                _ => digits,
            }
        }
    }
}

/// `clock` with am, pm or a part of the day before or after it; `None` leaves it bare.
fn with_day_part(s: &mut Speaker, hour: u16, clock: &str, at: &str) -> (Option<String>, &'static str) {
    let half = if hour < 12 { ["am", "a.m.", "AM"] } else { ["pm", "p.m.", "PM"] };
    let part = match hour {
        0..3 => "at night",
        3..12 => "in the morning",
        12..17 => "in the afternoon",
        17..21 => "in the evening",
        21..22 => s.rng.one(&["in the evening", "at night"]),
        _ => "at night",
    };
    let said = match s.rng.below(20) {
        0..7 => {
            let gap =
                if clock.ends_with(|c: char| c.is_ascii_digit()) && s.rng.chance(60) { "" } else { " " };
            let half = half[[0, 0, 0, 1, 2][s.rng.below(5)]];
            if clock.ends_with("o'clock") {
                format!("{at} {clock} {part}")
            } else {
                format!("{at} {clock}{gap}{half}")
            }
        }
        7..12 => format!("{at} {clock} {part}"),
        12..14 => match hour {
            4..12 => format!("{} {at} {clock}", s.rng.one(&["this morning", "in the morning"])),
            12..17 => format!("{} {at} {clock}", s.rng.one(&["this afternoon", "in the afternoon"])),
            17..22 => format!("{} {at} {clock}", s.rng.one(&["this evening", "tonight", "in the evening"])),
            22..24 => format!("tonight {at} {clock}"),
            _ => format!("{at} {clock} {part}"),
        },
        14 => match hour {
            18..24 => format!("{at} {clock} {}", s.rng.one(&["tonight", "tonight", "this evening"])),
            5..12 => format!("{at} {clock} this morning"),
            _ => format!("{at} {clock} {part}"),
        },
        15 => match hour {
            4..12 => return (Some(format!("tomorrow morning {at} {clock}")), "tomorrow"),
            12..17 => return (Some(format!("tomorrow afternoon {at} {clock}")), "tomorrow"),
            17..22 => return (Some(format!("tomorrow evening {at} {clock}")), "tomorrow"),
            _ => format!("{at} {clock} {part}"),
        },
        _ => return (None, ""),
    };
    (Some(said), "")
}

/// Draws a day and says it.
pub(super) fn day(s: &mut Speaker) -> (&'static str, &'static str) {
    s.rng.one(&[
        ("tomorrow", "tomorrow"),
        ("tomorrow", "tomorrow"),
        ("tomorrow", "tomorrow"),
        ("tomorrow", "tmrw"),
        ("monday", "on monday"),
        ("tuesday", "on tuesday"),
        ("wednesday", "on wednesday"),
        ("thursday", "on thursday"),
        ("friday", "on friday"),
        ("saturday", "on saturday"),
        ("sunday", "on sunday"),
        ("every_day", "every day"),
        ("every_day", "daily"),
        ("every_day", "each day"),
        ("weekdays", "on weekdays"),
        ("weekdays", "every weekday"),
        ("weekend", "on the weekend"),
        ("weekend", "at the weekend"),
        ("weekend", "on weekends"),
    ])
}

/// Draws a span and says it, without a preposition: "ten minutes", "half an hour".
pub(super) fn span(s: &mut Speaker) -> (Span, String) {
    if s.rng.chance(22) {
        let (span, said) = s.rng.one(&[
            (Span(30, 'm'), "half an hour"),
            (Span(30, 'm'), "a half hour"),
            (Span(1, 'h'), "an hour"),
            (Span(1, 'm'), "a minute"),
            (Span(90, 'm'), "an hour and a half"),
            (Span(90, 'm'), "one and a half hours"),
            (Span(15, 'm'), "a quarter of an hour"),
            (Span(15, 'm'), "quarter of an hour"),
            (Span(2, 'h'), "a couple of hours"),
            (Span(2, 'm'), "a couple of minutes"),
            (Span(2, 'h'), "two hours"),
            (Span(45, 'm'), "three quarters of an hour"),
        ]);
        return (span, said.to_owned());
    }
    let (n, unit) = match s.rng.below(10) {
        0..6 => (
            if s.rng.chance(60) {
                s.rng.one(&[5, 10, 15, 20, 25, 30, 40, 45, 50, 60, 90])
            } else {
                s.rng.range(1, 99)
            },
            'm',
        ),
        6..9 => (s.rng.range(1, 12), 'h'),
        _ => (
            if s.rng.chance(60) { s.rng.one(&[5, 10, 15, 20, 30, 45, 60, 90]) } else { s.rng.range(1, 99) },
            's',
        ),
    };
    let words: &[&str] = match (unit, n == 1) {
        ('m', true) => &["minute", "min"],
        ('m', false) => &["minutes", "minutes", "mins", "min"],
        ('h', true) => &["hour", "hr"],
        ('h', false) => &["hours", "hours", "hrs", "h"],
        (_, true) => &["second", "sec"],
        (_, false) => &["seconds", "seconds", "secs", "sec"],
    };
    let said = number(s, n);
    (Span(n, unit), format!("{said} {}", s.rng.one(words)))
}

/// Draws a condition and says it: "when the temperature drops below 18 degrees".
pub(super) fn condition(s: &mut Speaker) -> (Condition, String) {
    let when = s.pick(&[
        "if",
        "when",
        "if",
        "when",
        "once",
        "as soon as",
        "whenever",
        "in case",
        "~the moment",
        "~every time",
    ]);
    let room = *s.room(|r| !r.pp.is_empty());
    let (place, room_name) =
        if s.rng.chance(45) { (format!(" {}", s.in_room(&room)), room.name) } else { (String::new(), "") };
    let (mut said, sensor, is, value, mut room_name) = match s.rng.below(12) {
        0..5 => {
            let above = s.rng.chance(50);
            let n = if above { s.rng.range(18, 35) } else { s.rng.range(0, 24) };
            let mut n_said = number(s, n);
            let digits = n_said.ends_with(|c: char| c.is_ascii_digit());
            let units: &[&str] = &["", "", " degrees", " degrees", " degrees celsius", "°", "°C", "c"];
            n_said.push_str(s.rng.one(if digits { units } else { &units[..5] }));
            let verb = if above {
                s.pick(&[
                    "rises above",
                    "goes above",
                    "is above",
                    "gets above",
                    "exceeds",
                    "is over",
                    "goes over",
                    "is higher than",
                    "climbs above",
                    "reaches more than",
                    "~gets over",
                    "is more than",
                    "hits more than",
                ])
            } else {
                s.pick(&[
                    "drops below",
                    "falls below",
                    "goes below",
                    "is below",
                    "gets below",
                    "is under",
                    "drops under",
                    "is lower than",
                    "sinks below",
                    "falls under",
                    "~gets under",
                    "is less than",
                    "dips below",
                ])
            };
            let said = match (s.rng.below(6), above) {
                (0, true) => format!(
                    "it {} than {n_said}{place}",
                    s.pick(&["is warmer", "gets hotter", "is hotter", "gets warmer", "'s hotter"])
                ),
                (0, false) => format!(
                    "it {} than {n_said}{place}",
                    s.pick(&["is colder", "gets colder", "is cooler", "gets cooler", "'s colder"])
                ),
                (1, _) => format!("it {verb} {n_said}{place}"),
                (2, _) => format!("the temperature {verb} {n_said}{place}"),
                _ => format!("{}temperature{place} {verb} {n_said}", s.pick(&["the ", "the ", ""])),
            };
            (said, "temperature", if above { "above" } else { "below" }, Some(n), room_name)
        }
        5 => {
            let above = s.rng.chance(60);
            let n = s.rng.range(20, 90);
            let mut n_said = number(s, n);
            n_said.push_str(s.rng.one(&["", " percent", "%"]));
            let verb = if above {
                s.pick(&["rises above", "goes above", "is above", "exceeds", "is over", "gets above"])
            } else {
                s.pick(&["drops below", "falls below", "goes below", "is below", "is under"])
            };
            (
                format!("{}humidity{place} {verb} {n_said}", s.pick(&["the ", ""])),
                "humidity",
                if above { "above" } else { "below" },
                Some(n),
                room_name,
            )
        }
        6..8 => {
            let (said, is, with_room) = if s.rng.chance(50) { nobody(s, &room) } else { somebody(s, &room) };
            (said, "presence", is, None, if with_room { room.name } else { "" })
        }
        8 => {
            let (said, is) = s.rng.one(&[
                ("it rains", "yes"),
                ("it starts raining", "yes"),
                ("it is raining", "yes"),
                ("it's raining", "yes"),
                ("it starts to rain", "yes"),
                ("rain is coming", "yes"),
                ("it stops raining", "no"),
                ("the rain stops", "no"),
                ("it is not raining", "no"),
                ("it isn't raining", "no"),
            ]);
            (said.to_owned(), "rain", is, None, "")
        }
        9 => {
            let (said, is) = s.rng.one(&[
                ("it gets dark", "no"),
                ("it is dark", "no"),
                ("it's dark", "no"),
                ("it is getting dark", "no"),
                ("it gets dark outside", "no"),
                ("it gets light", "yes"),
                ("it is light outside", "yes"),
                ("it's bright outside", "yes"),
            ]);
            (said.to_owned(), "daylight", is, None, "")
        }
        _ => {
            let (sensor, thing) = s.rng.one(&[
                ("front_door", "the front door"),
                ("back_door", "the back door"),
                ("garage_door", "the garage door"),
                ("window", "the window"),
                ("window", "a window"),
                ("door", "the door"),
                ("gate", "the gate"),
            ]);
            let open = s.rng.chance(55);
            let verb = if open {
                s.pick(&[
                    "opens",
                    "is open",
                    "is opened",
                    "gets opened",
                    "is left open",
                    "has been opened",
                    "~stands open",
                ])
            } else {
                s.pick(&["closes", "is closed", "is shut", "gets closed", "shuts"])
            };
            (format!("{thing} {verb}"), sensor, if open { "open" } else { "closed" }, None, "")
        }
    };
    if sensor == "presence" && room_name == "all" {
        room_name = "";
    }
    if said.starts_with("it 's") {
        said = said.replacen("it 's", "it's", 1);
    }
    (Condition { sensor, room: room_name, is, value }, format!("{when} {said}"))
}

fn nobody(s: &mut Speaker, room: &Room) -> (String, &'static str, bool) {
    let who = s.pick(&["nobody", "no one", "no body", "no-one", "nobody"]);
    let place = s.in_room(room);
    let noun = s.pick(room.words);
    match s.rng.below(8) {
        0 | 1 => (format!("{who} is {place}"), "no", true),
        2 => (format!("there is {who} {place}"), "no", true),
        3 if room.is_place() => (format!("the {noun} is empty"), "no", true),
        4 => (
            format!("{who} {}", s.pick(&["is home", "is at home", "is in", "is around", "is there"])),
            "no",
            false,
        ),
        5 => (
            s.pick(&[
                "everyone has left",
                "everybody is gone",
                "everyone is out",
                "we are out",
                "we are away",
                "i am away",
                "i'm not home",
                "everybody leaves",
                "~we're all gone",
            ])
            .to_owned(),
            "no",
            false,
        ),
        6 => (
            s.pick(&[
                "i leave",
                "we leave",
                "i leave the house",
                "we leave the house",
                "i go out",
                "the house is empty",
                "i leave home",
            ])
            .to_owned(),
            "no",
            false,
        ),
        _ => (format!("no motion is detected {place}"), "no", true),
    }
}

fn somebody(s: &mut Speaker, room: &Room) -> (String, &'static str, bool) {
    let who = s.pick(&["someone", "somebody", "anyone", "anybody", "a person"]);
    let place = s.in_room(room);
    let noun = s.pick(room.words);
    match s.rng.below(8) {
        0 | 1 => (format!("{who} is {place}"), "yes", true),
        2 if room.is_place() => (
            format!(
                "{who} {} the {noun}",
                s.pick(&["enters", "walks into", "comes into", "goes into", "steps into"])
            ),
            "yes",
            true,
        ),
        3 if room.is_place() => (
            format!("i {} the {noun}", s.pick(&["enter", "walk into", "come into", "go into", "am in"])),
            "yes",
            true,
        ),
        4 => (
            s.pick(&[
                "i get home",
                "i come home",
                "i'm home",
                "i arrive home",
                "we get home",
                "we come back",
                "i get back",
                "i am home",
                "we are home",
                "~i return home",
            ])
            .to_owned(),
            "yes",
            false,
        ),
        5 => (
            format!("{who} {}", s.pick(&["is home", "is at home", "comes home", "gets home", "is there"])),
            "yes",
            false,
        ),
        6 => (
            format!("there is {} {place}", s.pick(&["motion", "movement", "somebody", "someone"])),
            "yes",
            true,
        ),
        _ => (
            format!(
                "{} {place}",
                s.pick(&[
                    "motion is detected",
                    "movement is detected",
                    "you detect motion",
                    "you see someone",
                    "something moves"
                ])
            ),
            "yes",
            true,
        ),
    }
}

/// All rooms, for callers that draw one themselves.
pub(super) const fn rooms() -> &'static [Room] {
    &ROOMS
}
