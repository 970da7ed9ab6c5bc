//! A small model of barre's own: an English command for a house in, one line of JSON out.
//!
//! The crate is data: the model, the schema of its answers, and how a prompt is put together. With the feature
//! `corpus` it has the generator of the sentences that the model was trained on and is measured with. `model/CARD.md`
//! tells what it can do and how it was made.
//!
//! A prompt is the tokenizer's BOS and the bytes of [`prompt`]; the answer is decoded greedily under the constraint
//! of [`SCHEMA`].

#![cfg_attr(not(feature = "corpus"), no_std)]
#![forbid(unsafe_code)]

#[cfg(feature = "corpus")]
pub mod corpus;

/// Bytes at an address that every kernel and block format may read in place.
#[repr(C, align(64))]
struct Aligned<T: ?Sized>(T);

static MODEL_FILE: &Aligned<[u8]> = &Aligned(*include_bytes!("../model/commands-q4_k_m.gguf"));

// Firmware counts on it.
const _: () = assert!(MODEL_FILE.0.len() <= 2_000_000);

/// The model in Q4_K_M, a GGUF file whose tensors lie at addresses divisible by its alignment.
pub static MODEL: &[u8] = &MODEL_FILE.0;

/// The JSON Schema of the answers.
pub const SCHEMA: &str = include_str!("../model/schema.json");

/// The text of the prompt for `sentence`: without space at its ends, in lower case, and a line end.
///
/// Case says nothing of what a command asks for, but a word in another case is made of other tokens, rarer ones: of
/// 4,000 held-out sentences the model gets 97.1 % right as they are written and 98.3 % in lower case. Only ASCII
/// is changed: what a firmware can do without tables, and all that English commands need.
pub fn prompt(sentence: &[u8]) -> impl Iterator<Item = u8> {
    sentence.trim_ascii().iter().map(u8::to_ascii_lowercase).chain(core::iter::once(b'\n'))
}

/// Tokens, the end of the text included, that no right answer exceeds.
pub const MAX_OUTPUT_TOKENS: usize = 96;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_model_is_an_aligned_gguf_file() {
        assert!(MODEL.starts_with(b"GGUF"));
        assert_eq!(MODEL.as_ptr().addr() % 64, 0);
    }

    #[test]
    fn a_prompt_is_one_line_in_lower_case() {
        assert!(prompt(" Turn ON the \u{c9}clair\r\n".as_bytes()).eq("turn on the \u{c9}clair\n".bytes()));
        assert!(prompt(b" \t").eq(*b"\n"));
    }
}
