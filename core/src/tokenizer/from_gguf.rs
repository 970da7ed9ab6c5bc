//! The vocabulary of a GGUF file.

#![deny(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::arithmetic_side_effects
)]

use super::builder::MAX_VOCAB_TEXT;
use super::keys::{
    KEY_ADD_BOS, KEY_ADD_EOS, KEY_ADD_SPACE, KEY_MERGES, KEY_MODEL, KEY_PRE, KEY_SCORES, KEY_SUPPRESS,
    KEY_TOKENS, KEY_TYPES,
};
use super::{Role, Tokenizer, VocabBuilder, VocabError};
use crate::aside::{Aside, Failed};
use crate::gguf::{Gguf, GgufError, ValueType};
use crate::io::ReadAt;
use crate::part::resize;
use alloc::vec::Vec;

/// Ids under the keys of older files.
const OLD_KEYS: [(Role, &str); 3] = [
    (Role::FimPrefix, "tokenizer.ggml.prefix_token_id"),
    (Role::FimSuffix, "tokenizer.ggml.suffix_token_id"),
    (Role::FimMiddle, "tokenizer.ggml.middle_token_id"),
];

impl Tokenizer {
    /// Reads the vocabulary of `gguf` through the reader that it was opened with.
    ///
    /// At any error the heap has held at most twice the bytes read, and some kilobytes.
    ///
    /// # Errors
    /// [`VocabError`]; of a missing key, a wrong type or the reader as [`VocabError::Gguf`].
    pub fn from_gguf<R: ReadAt + ?Sized>(gguf: &Gguf, reader: &mut R) -> Result<Self, VocabError> {
        let aside = Aside::new(VocabError::MissingKey { key: KEY_MODEL });
        match collect(gguf, reader, &aside) {
            Ok(builder) => builder.build(),
            Err(failed) => Err(aside.take(failed)),
        }
    }
}

/// What the file says of its vocabulary.
#[inline(never)]
fn collect<R: ReadAt + ?Sized>(
    gguf: &Gguf,
    reader: &mut R,
    aside: &Aside<VocabError>,
) -> Result<VocabBuilder, Failed> {
    let require = |key| aside.check(gguf.require(key));
    let model = aside.check(require(KEY_MODEL)?.text())?;
    let pre = aside.check(gguf.text(KEY_PRE))?.map(str::as_bytes);
    let mut builder = aside.check(VocabBuilder::new(model.as_bytes(), pre))?;

    let tokens = aside.check(require(KEY_TOKENS)?.array_of(ValueType::String))?;
    let text_bytes = aside.check(tokens.text_bytes())?;
    if text_bytes > MAX_VOCAB_TEXT as u64 {
        let max = MAX_VOCAB_TEXT as u64;
        return Err(aside.fail(VocabError::Limit { what: "bytes of token text", got: text_bytes, max }));
    }
    let (text, ends) = aside.check(tokens.load_strings(reader))?.into_parts();
    aside.check(builder.set_tokens(text, ends))?;

    if let Some(entry) = gguf.get(KEY_SCORES) {
        let array = aside.check(entry.array())?;
        if array.element_type() == ValueType::I32 {
            let scores = aside.check(array.load::<i32, R>(reader))?;
            aside.check(scores.into_iter().try_for_each(|score| builder.push_score(score as f32)))?;
        } else {
            aside.check(builder.set_scores(aside.check(array.load(reader))?))?;
        }
    }
    if let Some(entry) = gguf.get(KEY_TYPES) {
        let types = aside.check(aside.check(entry.array())?.load::<i32, R>(reader))?;
        aside.check(builder.reserve_types(types.len()))?;
        aside.check(types.into_iter().try_for_each(|number| builder.push_type(number)))?;
    }
    if let Some(entry) = gguf.get(KEY_MERGES)
        && builder.reads_merges()
    {
        let merges = aside.check(entry.array_of(ValueType::String))?;
        builder.has_merges();
        aside.check(builder.reserve_merges(merges.len()))?;
        let longest = builder.longest_merge();
        let mut buf = Vec::new();
        let oom = |_| VocabError::OutOfMemory { what: KEY_MERGES, bytes: longest };
        aside.check(buf.try_reserve_exact(longest).map_err(oom))?;
        resize(&mut buf, longest, 0);
        let mut result = Ok(());
        let read = merges.for_each_string(reader, &mut buf, |_, merge| {
            result = builder.push_merge(merge);
            result.is_ok()
        });
        aside.check(result)?;
        aside.check(read.map_err(|e| match e {
            // Longer than any two tokens: no merge of this vocabulary.
            GgufError::BufferTooSmall { need, .. } => {
                VocabError::Limit { what: "bytes of a merge", got: need, max: longest as u64 }
            }
            e => VocabError::Gguf(e),
        }))?;
    }

    for (role, key) in OLD_KEYS.into_iter().chain(Role::ALL.map(|role| (role, role.key()))) {
        if let Some(id) = aside.check(gguf.uint(key))? {
            builder.set_id(role, id);
        }
    }
    if let Some(add) = aside.check(gguf.boolean(KEY_ADD_BOS))? {
        builder.set_add_bos(add);
    }
    if let Some(add) = aside.check(gguf.boolean(KEY_ADD_EOS))? {
        builder.set_add_eos(add);
    }
    if let Some(add) = aside.check(gguf.boolean(KEY_ADD_SPACE))? {
        builder.set_add_space_prefix(add);
    }
    if let Some(entry) = gguf.get(KEY_SUPPRESS) {
        let array = aside.check(entry.array())?;
        let array = if array.element_type() == ValueType::U32 {
            array
        } else {
            aside.check(entry.array_of(ValueType::I32))?
        };
        for index in 0..array.len() {
            let mut id = [0];
            aside.check(array.read_uint(reader, index, &mut id))?;
            let [id] = id;
            aside.check(builder.push_suppressed(id))?;
        }
    }
    #[cfg(feature = "special-tokens")]
    builder.set_strip_after_special(aside.check(is_phi3(gguf, reader))?);
    Ok(builder)
}

#[cfg(feature = "special-tokens")]
/// Whether the model's name says that it is a Phi-3, whose special tokens take the whitespace after them: no key of
/// the file says so, and llama.cpp goes by the name too.
fn is_phi3<R: ReadAt + ?Sized>(gguf: &Gguf, reader: &mut R) -> Result<bool, VocabError> {
    let mut buf = [0; 256];
    let Some(entry) = gguf.get("general.name") else { return Ok(false) };
    let name = match entry.read_bytes(reader, &mut buf) {
        Ok(name) => name,
        // A name that is no text, or longer than names are, names nothing known.
        Err(GgufError::WrongType { .. } | GgufError::BufferTooSmall { .. }) => return Ok(false),
        Err(e) => return Err(e.into()),
    };
    let names = |known: &[u8]| name.windows(known.len()).any(|part| part.eq_ignore_ascii_case(known));
    Ok(names(b"phi-3") || names(b"phi3"))
}
