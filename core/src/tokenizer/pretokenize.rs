//! Cutting text into pieces before byte-level BPE.
//!
//! The patterns are the regular expressions of llama.cpp (`llm_tokenizer_bpe` and `unicode_regex_split`), matched
//! by hand: a pre-tokenizer is a list of [`Stage`]s, each of which cuts every segment that the one before left.
//! Text in which a stage's pattern does not match stays a segment of its own. No stage looks beyond its segment.

use super::EncodeError;
use super::unicode::{Class, decode};

/// The stages and habits of a kind of vocabulary.
#[derive(Clone, Copy, Debug)]
pub(super) struct PreTokenizer {
    stages: &'static [Stage],
    /// A piece that is a token as a whole is that token, whatever the merges give.
    ignore_merges: bool,
    adds_bos: bool,
}

/// One regular expression.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// `'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)`
    Gpt2,
    /// `(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,digits}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+`
    Llama3 { digits: u32 },
    /// ``[\p{P}\$\+<=>\^~\|`]+``, without the backtick where `backtick` is false.
    Punctuation { backtick: bool },
    /// `\s?\p{P}+`
    SpacedPunctuation,
    /// `\s?\p{L}+`
    SpacedLetters,
    /// `\p{N}`
    Number,
    /// `\p{N}+`
    Numbers,
    /// `[0-9][0-9][0-9]`
    ThreeDigits,
    /// `[\r\n]`
    LineEnd,
    /// `\s?[A-Za-zµÀ-Ö…]+`, the cased letters of [`CASED`].
    SpacedCased,
    /// `\s?[!-/:-~！-／：-～‘-‟　-。]+`
    SpacedMarks,
    /// `\s+$`
    TrailingSpace,
    /// `[一-龥ࠀ-一가-퟿]+`
    EastAsian,
}

use Stage::{
    EastAsian, Gpt2, LineEnd, Llama3, Number, Numbers, Punctuation, SpacedCased, SpacedLetters, SpacedMarks,
    SpacedPunctuation, ThreeDigits, TrailingSpace,
};

impl PreTokenizer {
    /// What llama.cpp does for files that name no pre-tokenizer.
    pub(super) const DEFAULT: Self =
        Self::plain(&[Punctuation { backtick: false }, Gpt2, Numbers, ThreeDigits]);

    const fn plain(stages: &'static [Stage]) -> Self {
        Self { stages, ignore_merges: false, adds_bos: false }
    }

    /// The pre-tokenizer of a `tokenizer.ggml.pre`.
    pub(super) fn named(name: &[u8]) -> Option<Self> {
        let (_, pre) =
            KINDS.iter().find(|(names, _)| names.split(|&b| b == b' ').any(|known| known == name))?;
        Some(*pre)
    }

    /// Whether this build has its patterns.
    pub(super) fn is_compiled(&self) -> bool {
        cfg!(feature = "bpe") || self.stages.iter().all(|stage| matches!(stage, Llama3 { .. }))
    }

    pub(super) const fn ignores_merges(&self) -> bool {
        self.ignore_merges
    }

    pub(super) const fn adds_bos(&self) -> bool {
        self.adds_bos
    }

    /// Calls `each` with the pieces of `text` in order. `text` is UTF-8, surrogates allowed.
    pub(super) fn split(
        &self,
        text: &[u8],
        each: &mut dyn FnMut(&[u8]) -> Result<(), EncodeError>,
    ) -> Result<(), EncodeError> {
        split(self.stages, text, each)
    }
}

/// The values of `tokenizer.ggml.pre`, a space between them, and what they mean. One list of text is a tenth of the code
/// of a `match`.
static KINDS: [(&[u8], PreTokenizer); 10] = [
    (b"default", PreTokenizer::DEFAULT),
    (
        b"llama3 llama-v3 llama-bpe falcon3 falcon-h1 pixtral midm-2.0 lfm2",
        PreTokenizer { stages: &[Llama3 { digits: 3 }], ignore_merges: true, adds_bos: true },
    ),
    (b"dbrx smaug-bpe chatglm-bpe", PreTokenizer::plain(&[Llama3 { digits: 3 }])),
    (b"glm4 glm5", PreTokenizer { stages: &[Llama3 { digits: 3 }], ignore_merges: true, adds_bos: false }),
    (
        b"qwen2 deepseek-r1-qwen kormo f2llmv2 stablelm2 megrez hunyuan solar-open grok-2",
        PreTokenizer::plain(&[Llama3 { digits: 1 }]),
    ),
    (
        b"gpt-2 phi-2 gigachat a.x-4.0 mellum mpt olmo jais exaone4 trillion granite-docling",
        PreTokenizer::plain(&[Gpt2]),
    ),
    (
        b"starcoder refact command-r smollm codeshell exaone minerva-7b mellum2",
        PreTokenizer::plain(&[Number, Gpt2]),
    ),
    (b"falcon", PreTokenizer::plain(&[Punctuation { backtick: true }, Gpt2, ThreeDigits])),
    (
        b"deepseek-llm",
        PreTokenizer::plain(&[LineEnd, SpacedCased, SpacedMarks, TrailingSpace, EastAsian, Numbers]),
    ),
    (b"deepseek-coder", PreTokenizer::plain(&[LineEnd, SpacedLetters, SpacedPunctuation, EastAsian, Number])),
];

/// As deep as there are stages.
fn split(
    stages: &[Stage],
    text: &[u8],
    each: &mut dyn FnMut(&[u8]) -> Result<(), EncodeError>,
) -> Result<(), EncodeError> {
    let Some((&stage, rest)) = stages.split_first() else { return each(text) };
    let mut at = 0;
    while at < text.len() {
        let end = stage.segment(text, at);
        debug_assert!(end > at);
        split(rest, text.get(at..end).unwrap_or(&[]), each)?;
        at = end;
    }
    Ok(())
}

/// A code point of the text with its class; past the end of the segment neither.
#[derive(Clone, Copy)]
struct Char {
    cp: u32,
    class: Class,
    next: usize,
}

#[inline]
fn char_at(text: &[u8], at: usize) -> Char {
    let (cp, len) = decode(text.get(at..).unwrap_or(&[]));
    if len == 0 {
        return Char { cp: u32::MAX, class: Class::NONE, next: at };
    }
    Char { cp, class: Class::of(cp), next: at + len }
}

/// The end of the run of characters from `at` for which `is` holds.
#[inline]
fn run(text: &[u8], mut at: usize, is: impl Fn(Char) -> bool) -> usize {
    while at < text.len() {
        let c = char_at(text, at);
        if !is(c) {
            break;
        }
        at = c.next;
    }
    at
}

const SPACE: u32 = b' ' as u32;

const fn is_line_end(cp: u32) -> bool {
    cp == b'\n' as u32 || cp == b'\r' as u32
}

impl Stage {
    /// The end of the segment that begins at `at`: of the match there, or of the text before the next match.
    fn segment(self, text: &[u8], at: usize) -> usize {
        if !cfg!(feature = "bpe") {
            return if let Llama3 { digits } = self { llama3(text, at, digits) } else { text.len() };
        }
        match self {
            Gpt2 => return gpt2(text, at),
            Llama3 { digits } => return llama3(text, at, digits),
            TrailingSpace => {
                let start = trailing_space(text);
                return if at < start { start } else { text.len() };
            }
            _ => {}
        }
        let mut from = at;
        while from < text.len() {
            if let Some(end) = self.matches(text, from) {
                return if from == at { end } else { from };
            }
            from = char_at(text, from).next;
        }
        text.len()
    }

    /// The end of the match that begins at `at`, if one does.
    fn matches(self, text: &[u8], at: usize) -> Option<usize> {
        let first = char_at(text, at);
        match self {
            Punctuation { backtick } => {
                let is = |c: Char| {
                    c.class.is_punctuation() || is_symbol(c.cp) || backtick && c.cp == u32::from(b'`')
                };
                Some(run(text, at, is)).filter(|&end| end > at)
            }
            SpacedPunctuation => spaced(text, at, |c| c.class.is_punctuation()),
            SpacedLetters => spaced(text, at, |c| c.class.is_letter()),
            SpacedCased => spaced(text, at, |c| in_ranges(&CASED, c.cp)),
            SpacedMarks => spaced(text, at, |c| in_ranges(&MARKS, c.cp)),
            Number => first.class.is_number().then_some(first.next),
            Numbers => Some(run(text, at, |c| c.class.is_number())).filter(|&end| end > at),
            EastAsian => {
                // The range from U+0800 holds spaces, which llama.cpp replaces before it matches.
                let is = |c: Char| in_ranges(&EAST_ASIAN, c.cp) && !c.class.is_whitespace();
                Some(run(text, at, is)).filter(|&end| end > at)
            }
            ThreeDigits => {
                let three = text.get(at..at + 3)?;
                three.iter().all(u8::is_ascii_digit).then_some(at + 3)
            }
            LineEnd => is_line_end(first.cp).then_some(first.next),
            Gpt2 | Llama3 { .. } | TrailingSpace => None,
        }
    }
}

/// `\s?` and then one or more for which `is` holds; none of these is a space.
fn spaced(text: &[u8], at: usize, is: impl Fn(Char) -> bool) -> Option<usize> {
    let first = char_at(text, at);
    let start = if first.class.is_whitespace() { first.next } else { at };
    Some(run(text, start, is)).filter(|&end| end > start)
}

const fn is_symbol(cp: u32) -> bool {
    matches!(cp, 0x24 | 0x2b | 0x3c..=0x3e | 0x5e | 0x7c | 0x7e)
}

/// Where the whitespace at the end of `text` begins.
fn trailing_space(text: &[u8]) -> usize {
    let mut end = text.len();
    loop {
        let mut start = end;
        // Back over continuation bytes to the character's first.
        while start > 0 && end - start < 4 {
            start -= 1;
            if text.get(start).is_some_and(|b| b & 0xc0 != 0x80) {
                break;
            }
        }
        let c = char_at(text, start);
        if start == end || c.next != end || !c.class.is_whitespace() {
            return end;
        }
        end = start;
    }
}

/// `'s`, `'re` and the like at `at`: where it ends.
fn contraction(text: &[u8], at: usize, lower: fn(&u8) -> u8) -> Option<usize> {
    let rest = text.get(at..)?;
    let letter = |i: usize| rest.get(i).map(lower);
    if rest.first() != Some(&b'\'') {
        return None;
    }
    match (letter(1)?, letter(2)) {
        (b's' | b't' | b'm' | b'd', _) => Some(at + 2),
        (b'r' | b'v', Some(b'e')) | (b'l', Some(b'l')) => Some(at + 3),
        _ => None,
    }
}

/// The end of the whitespace from `at`, the start of its last character, and the end of its last line end.
fn whitespace(text: &[u8], at: usize) -> (usize, usize, Option<usize>) {
    let (mut end, mut last, mut line_end) = (at, at, None);
    while end < text.len() {
        let c = char_at(text, end);
        if !c.class.is_whitespace() {
            break;
        }
        last = end;
        end = c.next;
        if is_line_end(c.cp) {
            line_end = Some(end);
        }
    }
    (end, last, line_end)
}

/// `\s+(?!\S)|\s+`: whitespace before text leaves its last character to that text, unless it is alone.
const fn before_text(text: &[u8], at: usize, end: usize, last: usize) -> usize {
    if last > at && end < text.len() { last } else { end }
}

fn gpt2(text: &[u8], at: usize) -> usize {
    if let Some(end) = contraction(text, at, |&b| b) {
        return end;
    }
    let first = char_at(text, at);
    let second = if first.cp == SPACE { char_at(text, first.next) } else { first };
    let class = second.class;
    if class.is_letter() {
        return run(text, second.next, |c| c.class.is_letter());
    }
    if class.is_number() {
        return run(text, second.next, |c| c.class.is_number());
    }
    if class.is_other() {
        return run(text, second.next, |c| c.class.is_other());
    }
    let (end, last, _) = whitespace(text, at);
    if end > at { before_text(text, at, end, last) } else { first.next }
}

fn llama3(text: &[u8], at: usize, digits: u32) -> usize {
    if let Some(end) = contraction(text, at, u8::to_ascii_lowercase) {
        return end;
    }
    let first = char_at(text, at);
    if first.class.is_letter() {
        return run(text, first.next, |c| c.class.is_letter());
    }
    if first.class.is_number() {
        let mut end = first.next;
        for _ in 1..digits {
            let c = char_at(text, end);
            if !c.class.is_number() {
                break;
            }
            end = c.next;
        }
        return end;
    }
    let second = char_at(text, first.next);
    if !is_line_end(first.cp) && second.class.is_letter() {
        return run(text, second.next, |c| c.class.is_letter());
    }
    let start = if first.cp == SPACE { second } else { first };
    if start.class.is_other() {
        let end = run(text, start.next, |c| c.class.is_other());
        return run(text, end, |c| is_line_end(c.cp));
    }
    let (end, last, line_end) = whitespace(text, at);
    match line_end {
        Some(end) => end,
        None if end > at => before_text(text, at, end, last),
        None => first.next,
    }
}

fn in_ranges(ranges: &[(u32, u32)], cp: u32) -> bool {
    let after = ranges.partition_point(|&(first, _)| first <= cp);
    ranges.get(after.wrapping_sub(1)).is_some_and(|&(_, last)| cp <= last)
}

/// `!-/:-~！-／：-～‘-‟　-。` in order, but for U+3000, which matches as a space.
static MARKS: [(u32, u32); 6] =
    [(0x21, 0x2f), (0x3a, 0x7e), (0x2018, 0x201f), (0x3001, 0x3002), (0xff01, 0xff0f), (0xff1a, 0xff5e)];

/// `一-龥ࠀ-一가-퟿` in order.
static EAST_ASIAN: [(u32, u32); 2] = [(0x800, 0x9fa5), (0xac00, 0xd7ff)];

/// The letters with case that DeepSeek's pattern lists.
#[rustfmt::skip]
static CASED: [(u32, u32); 87] = [
    (0x41, 0x5A), (0x61, 0x7A), (0xB5, 0xB5), (0xC0, 0xD6), (0xD8, 0xF6), (0xF8, 0x1BA),
    (0x1BC, 0x1BF), (0x1C4, 0x293), (0x295, 0x2AF), (0x370, 0x373), (0x376, 0x376), (0x377, 0x377),
    (0x37B, 0x37D), (0x37F, 0x37F), (0x386, 0x386), (0x388, 0x38A), (0x38C, 0x38C), (0x38E, 0x3A1),
    (0x3A3, 0x3F5), (0x3F7, 0x481), (0x48A, 0x52F), (0x531, 0x556), (0x10A0, 0x10C5), (0x13A0, 0x13F5),
    (0x13F8, 0x13FD), (0x1C90, 0x1CBA), (0x1CBD, 0x1CBF), (0x1D00, 0x1D2B), (0x1D6B, 0x1D77), (0x1D79, 0x1D9A),
    (0x1E00, 0x1F15), (0x1F18, 0x1F1D), (0x1F20, 0x1F45), (0x1F48, 0x1F4D), (0x1F50, 0x1F57), (0x1F59, 0x1F59),
    (0x1F5B, 0x1F5B), (0x1F5D, 0x1F5D), (0x1F5F, 0x1F7D), (0x1F80, 0x1FB4), (0x1FB6, 0x1FBC), (0x1FBE, 0x1FBE),
    (0x1FC2, 0x1FC4), (0x1FC6, 0x1FCC), (0x1FD0, 0x1FD3), (0x1FD6, 0x1FDB), (0x1FE0, 0x1FEC), (0x1FF2, 0x1FF4),
    (0x1FF6, 0x1FFC), (0x2102, 0x2102), (0x2107, 0x2107), (0x210A, 0x2113), (0x2115, 0x2115), (0x2119, 0x211D),
    (0x2124, 0x2124), (0x2126, 0x2126), (0x2128, 0x2128), (0x212A, 0x212D), (0x212F, 0x2134), (0x2139, 0x2139),
    (0x213C, 0x213F), (0x2145, 0x2149), (0x214E, 0x214E), (0x2183, 0x2183), (0x2184, 0x2184), (0x2C00, 0x2C7B),
    (0x2C7E, 0x2CE4), (0x2CEB, 0x2CEE), (0x2CF2, 0x2CF2), (0x2CF3, 0x2CF3), (0xA640, 0xA66D), (0xA680, 0xA69B),
    (0xA722, 0xA76F), (0xA771, 0xA787), (0xA78B, 0xA78E), (0xAB70, 0xABBF), (0xFB00, 0xFB06), (0xFB13, 0xFB17),
    (0xFF21, 0xFF3A), (0xFF41, 0xFF5A), (0x10400, 0x1044F), (0x104B0, 0x104D3), (0x104D8, 0x104FB), (0x10C80, 0x10CB2),
    (0x10CC0, 0x10CF2), (0x118A0, 0x118DF), (0x1E900, 0x1E943),
];

#[cfg(test)]
#[allow(clippy::indexing_slicing, clippy::unwrap_used, reason = "tests may panic")]
mod tests {
    use super::*;
    use std::string::String;
    use std::vec::Vec;

    fn pieces(name: &str, text: &str) -> Vec<String> {
        let mut out = Vec::new();
        let pre = PreTokenizer::named(name.as_bytes()).unwrap();
        pre.split(text.as_bytes(), &mut |piece| {
            out.push(String::from_utf8(piece.to_vec()).unwrap());
            Ok(())
        })
        .unwrap();
        out
    }

    #[test]
    fn words_contractions_numbers_and_spaces() {
        let text = "I'VE  it's 12345 x!?\n\n  y ";
        assert_eq!(
            pieces("gpt-2", text),
            ["I", "'", "VE", " ", " it", "'s", " 12345", " x", "!?", "\n\n ", " y", " "]
        );
        assert_eq!(
            pieces("llama-bpe", text),
            ["I", "'VE", " ", " it", "'s", " ", "123", "45", " x", "!?\n\n", " ", " y", " "]
        );
        assert_eq!(pieces("qwen2", " 123"), [" ", "1", "2", "3"]);
        assert_eq!(pieces("starcoder", "a12 b"), ["a", "1", "2", " b"]);
        assert_eq!(pieces("falcon", "f(x)=1234`"), ["f", "(", "x", ")=", "123", "4", "`"]);
    }

    #[test]
    fn deepseek_cuts_scripts_apart() {
        assert_eq!(
            pieces("deepseek-llm", "ab 字字12 \u{3000}。\n  "),
            ["ab", " ", "字字", "12", " ", "\u{3000}", "。", "\n", "  "]
        );
        assert_eq!(pieces("deepseek-coder", "x 12, y"), ["x", " ", "1", "2", ",", " y"]);
    }

    #[test]
    fn pieces_make_up_the_text() {
        let text = "a\u{85}b\u{a0}\u{2003} 字 ٣٤ 'll\r\n\t 💡́ \u{0}\u{d7ff}";
        for name in
            ["gpt-2", "llama3", "qwen2", "falcon", "starcoder", "deepseek-llm", "deepseek-coder", "default"]
        {
            assert_eq!(pieces(name, text).concat(), text, "{name}");
        }
    }

    #[test]
    fn an_unknown_name_is_not_replaced() {
        assert!(PreTokenizer::named(b"gpt-3").is_none());
        assert!(PreTokenizer::named(b"").is_none() && PreTokenizer::named(b"glm4 glm5").is_none());
        assert!(KINDS.iter().all(|(names, _)| !names.is_empty() && !names.windows(2).any(|w| w == b"  ")));
    }
}
