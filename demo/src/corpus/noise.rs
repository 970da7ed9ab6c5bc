//! What hands and ears do to a sentence: case, punctuation, slips, fillers, missing words.

use super::grammar::Speaker;

/// Disturbs `text` as a hasty writer or a speech recognizer would.
pub(super) fn disturb(s: &mut Speaker, text: String) -> String {
    let mut text = text;
    if s.rng.chance(12) {
        text = text.replace(" the ", " ");
    }
    if s.rng.chance(6) {
        text = insert_filler(s, &text);
    }
    if s.rng.chance(8) {
        text = text.replace('\'', "");
    }
    if s.rng.chance(30) {
        text = text.replace(", ", " ");
    }
    let slips = if s.rng.chance(9) { s.rng.range(1, 2) } else { 0 };
    for _ in 0..slips {
        text = slip(s, &text);
    }
    text = match s.rng.below(100) {
        0..55 => text,
        55..90 => capitalized(&text),
        90..93 => text.to_uppercase(),
        93..96 => text.split(' ').map(capitalized).collect::<Vec<_>>().join(" "),
        _ => text.to_lowercase(),
    };
    text.push_str(match s.rng.below(100) {
        0..50 => "",
        50..80 => ".",
        80..88 => "!",
        88..97 => "?",
        97 => "...",
        98 => "!!",
        _ => " .",
    });
    text
}

fn capitalized(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or(String::new(), |c| c.to_uppercase().chain(chars).collect())
}

fn insert_filler(s: &mut Speaker, text: &str) -> String {
    let mut words: Vec<&str> = text.split(' ').collect();
    let filler = s.pick(&[
        "um",
        "uh",
        "just",
        "maybe",
        "actually",
        "um,",
        "uh,",
        "er",
        "well",
        "really",
        "kindly",
        "please",
        "now",
        "quickly",
        "you know",
        "hmm",
        "so",
        "~basically",
        "~perhaps",
    ]);
    words.insert(s.rng.below(words.len().min(6)), filler);
    words.join(" ")
}

/// One slip of a finger in a word of five letters or more: two letters swapped, one dropped, doubled or missed.
fn slip(s: &mut Speaker, text: &str) -> String {
    let mut words: Vec<String> = text.split(' ').map(str::to_owned).collect();
    let i = s.rng.below(words.len());
    let mut letters: Vec<char> = words[i].chars().collect();
    if letters.len() < 5 || !letters.iter().all(char::is_ascii_alphabetic) {
        return text.to_owned();
    }
    let at = 1 + s.rng.below(letters.len() - 2);
    match s.rng.below(4) {
        0 => letters.swap(at, at + 1),
        1 => drop(letters.remove(at)),
        2 => letters.insert(at, letters[at]),
        _ => letters[at] = neighbour(s, letters[at]),
    }
    words[i] = letters.into_iter().collect();
    words.join(" ")
}

/// A key beside `c` on a QWERTY keyboard.
fn neighbour(s: &mut Speaker, c: char) -> char {
    let rows = ["qwertyuiop", "asdfghjkl", "zxcvbnm"];
    for row in rows {
        if let Some(at) = row.find(c.to_ascii_lowercase()) {
            let other = if at == 0 || (at + 1 < row.len() && s.rng.chance(50)) { at + 1 } else { at - 1 };
            return row.chars().nth(other).unwrap_or(c);
        }
    }
    c
}
