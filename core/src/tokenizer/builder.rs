//! A vocabulary's tables from its parts, wherever these come from.

#![deny(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::arithmetic_side_effects
)]

use super::error::{VocabError, VocabProblem};
use super::index::{Index, MAX_ITEMS, hash_bytes, hash_pair};
use super::keys::{
    KEY_ADD_BOS, KEY_ADD_EOS, KEY_MERGES, KEY_MODEL, KEY_PRE, KEY_SCORES, KEY_SUPPRESS, KEY_TOKENS,
    KEY_TYPES, Role,
};
use super::names::{END_OF_GENERATION, FILL_IN_MIDDLE, known};
use super::pretokenize::PreTokenizer;
#[cfg(feature = "special-tokens")]
use super::special::Specials;
use super::vocab::{Attr, Merge, Model, NO_TOKEN, SPACE_MARK, Vocab, parse_byte, text_of};
use super::{Notes, SpecialIds, Tokenizer, byte_chars, unicode};
use crate::gguf::Name;
use crate::part::{append, extend, push, resize};
use crate::sort::sort_by_key;
use alloc::vec::Vec;

/// Bytes of the longest text that a token may have.
pub const MAX_TOKEN_LEN: usize = 1 << 16;
/// Bytes of all texts together.
pub const MAX_VOCAB_TEXT: usize = 128 << 20;

/// Collects the parts of a vocabulary: first all tokens, then merges; scores, types, ids and flags at any time.
pub struct VocabBuilder {
    model: Model,
    pre: PreTokenizer,
    text: Vec<u8>,
    ends: Vec<u32>,
    scores: Vec<f32>,
    attrs: Vec<Attr>,
    merges: Vec<Merge>,
    /// The text that the present merge gives.
    whole: Vec<u8>,
    by_text: Option<Index>,
    saw_merges: bool,
    merge_count: u64,
    add_bos: Option<bool>,
    add_eos: Option<bool>,
    add_space_prefix: bool,
    #[cfg(feature = "special-tokens")]
    strip_after_special: bool,
    ids: [Option<u64>; Role::ALL.len()],
    suppressed: Vec<u32>,
    notes: Notes,
    longest: usize,
    empty_tokens: u32,
}

impl VocabBuilder {
    /// For a tokenizer `model` and pre-tokenizer `pre`, as `tokenizer.ggml.model` and `tokenizer.ggml.pre` name
    /// them. Without `pre`, byte-level BPE cuts text as llama.cpp's "default" does, which [`Notes`] says.
    ///
    /// # Errors
    /// [`VocabError::UnsupportedTokenizer`].
    pub fn new(model: &[u8], pre: Option<&[u8]>) -> Result<Self, VocabError> {
        let unsupported = |key, name| VocabError::UnsupportedTokenizer { key, name: Name::new(name) };
        let model = match model {
            b"llama" => Model::SentencePiece,
            b"gpt2" => Model::Bpe,
            _ => return Err(unsupported(KEY_MODEL, model)),
        };
        if !model.is_compiled() {
            return Err(VocabError::NotCompiled { key: KEY_MODEL, feature: model.feature() });
        }
        let pre_name = if model.is_bpe() { pre } else { None };
        let pre = match pre_name {
            Some(name) => PreTokenizer::named(name).ok_or_else(|| unsupported(KEY_PRE, name))?,
            None => PreTokenizer::DEFAULT,
        };
        if model.is_bpe() && !pre.is_compiled() {
            return Err(VocabError::NotCompiled { key: KEY_PRE, feature: "bpe" });
        }
        let assumed = model.is_bpe() && pre_name.is_none();
        Ok(Self {
            model,
            pre,
            text: Vec::new(),
            ends: Vec::new(),
            scores: Vec::new(),
            attrs: Vec::new(),
            merges: Vec::new(),
            whole: Vec::new(),
            by_text: None,
            saw_merges: false,
            merge_count: 0,
            add_bos: None,
            add_eos: None,
            add_space_prefix: !model.is_bpe(),
            #[cfg(feature = "special-tokens")]
            strip_after_special: false,
            ids: [None; Role::ALL.len()],
            suppressed: Vec::new(),
            notes: Notes { pre_tokenizer_assumed: assumed, ..Notes::default() },
            longest: 0,
            empty_tokens: 0,
        })
    }

    /// Makes room for `tokens` with `text_bytes` of text in all, so that the tables need not grow. The numbers
    /// must have been checked against the file's length.
    ///
    /// # Errors
    /// [`VocabError::Limit`], [`VocabError::OutOfMemory`].
    pub fn reserve(&mut self, tokens: u64, text_bytes: u64) -> Result<(), VocabError> {
        let tokens = within("tokens", tokens, MAX_ITEMS.into())?;
        let text_bytes = within("bytes of token text", text_bytes, MAX_VOCAB_TEXT as u64)?;
        reserve_exact(&mut self.ends, tokens, KEY_TOKENS)?;
        reserve_exact(&mut self.text, text_bytes, KEY_TOKENS)
    }

    /// All tokens at once: their texts back to back, and where each ends.
    pub(super) fn set_tokens(&mut self, text: Vec<u8>, ends: Vec<u32>) -> Result<(), VocabError> {
        within("tokens", ends.len() as u64, MAX_ITEMS.into())?;
        within("bytes of token text", text.len() as u64, MAX_VOCAB_TEXT as u64)?;
        let mut start = 0;
        for &end in &ends {
            let len = end.saturating_sub(start) as usize;
            self.longest = self.longest.max(len);
            self.empty_tokens = self.empty_tokens.saturating_add(u32::from(len == 0));
            start = end;
        }
        within("bytes of a token", self.longest as u64, MAX_TOKEN_LEN as u64)?;
        (self.text, self.ends, self.by_text) = (text, ends, None);
        Ok(())
    }

    /// All scores at once.
    pub(super) fn set_scores(&mut self, scores: Vec<f32>) -> Result<(), VocabError> {
        if let Some(id) = scores.iter().position(|score| score.is_nan()) {
            let problem = VocabProblem::Score { id: id as u32 };
            return Err(VocabError::BadVocab { key: KEY_SCORES, problem });
        }
        self.scores = scores;
        Ok(())
    }

    /// Makes room for as many types.
    pub(super) fn reserve_types(&mut self, types: usize) -> Result<(), VocabError> {
        reserve_exact(&mut self.attrs, types, KEY_TYPES)
    }

    /// Bytes of the longest merge that the tokens pushed so far allow.
    pub(super) fn longest_merge(&self) -> usize {
        self.longest.saturating_mul(2).saturating_add(1)
    }

    /// Makes room for `merges`, a number that must have been checked against the file's length.
    ///
    /// # Errors
    /// [`VocabError::Limit`], [`VocabError::OutOfMemory`].
    pub fn reserve_merges(&mut self, merges: u64) -> Result<(), VocabError> {
        let merges = within("merges", merges, MAX_ITEMS.into())?;
        reserve_exact(&mut self.merges, merges, KEY_MERGES)
    }

    /// The next token's text, as the file has it.
    ///
    /// # Errors
    /// [`VocabError::Limit`], [`VocabError::OutOfMemory`].
    pub fn push_token(&mut self, text: &[u8]) -> Result<(), VocabError> {
        within("bytes of a token", text.len() as u64, MAX_TOKEN_LEN as u64)?;
        let end = self.text.len().saturating_add(text.len());
        within("bytes of token text", end as u64, MAX_VOCAB_TEXT as u64)?;
        within("tokens", (self.ends.len() as u64).saturating_add(1), MAX_ITEMS.into())?;
        reserve(&mut self.text, text.len(), KEY_TOKENS)?;
        reserve(&mut self.ends, 1, KEY_TOKENS)?;
        append(&mut self.text, text);
        push(&mut self.ends, end as u32);
        self.longest = self.longest.max(text.len());
        self.empty_tokens = self.empty_tokens.saturating_add(u32::from(text.is_empty()));
        self.by_text = None;
        Ok(())
    }

    /// The next token's score. Scores past the last token are ignored.
    ///
    /// # Errors
    /// [`VocabError::BadVocab`] if it is not a number, [`VocabError::OutOfMemory`].
    pub fn push_score(&mut self, score: f32) -> Result<(), VocabError> {
        if score.is_nan() {
            let id = self.scores.len() as u32;
            return Err(VocabError::BadVocab { key: KEY_SCORES, problem: VocabProblem::Score { id } });
        }
        reserve(&mut self.scores, 1, KEY_SCORES)?;
        push(&mut self.scores, score);
        Ok(())
    }

    /// The next token's type, a number of `tokenizer.ggml.token_type`. Types past the last token are ignored.
    ///
    /// # Errors
    /// [`VocabError::OutOfMemory`].
    pub fn push_type(&mut self, number: i32) -> Result<(), VocabError> {
        reserve(&mut self.attrs, 1, KEY_TYPES)?;
        push(&mut self.attrs, Attr::of_type(number));
        Ok(())
    }

    /// The next merge: two texts with a space between. One whose halves or whole are no tokens is left out and
    /// counted.
    ///
    /// # Errors
    /// [`VocabError::BadMerge`], [`VocabError::Limit`], [`VocabError::OutOfMemory`].
    pub fn push_merge(&mut self, merge: &[u8]) -> Result<(), VocabError> {
        let index = self.merge_count;
        self.merge_count = within("merges", index.saturating_add(1), MAX_ITEMS.into())? as u64;
        self.saw_merges = true;
        let mut halves = merge.split(|&b| b == b' ');
        let (Some(left), Some(right), None) = (halves.next(), halves.next(), halves.next()) else {
            return Err(VocabError::BadMerge { index });
        };
        if left.is_empty() || right.is_empty() {
            return Err(VocabError::BadMerge { index });
        }
        self.index_texts()?;
        self.whole.clear();
        reserve(&mut self.whole, merge.len(), KEY_MERGES)?;
        append(&mut self.whole, left);
        append(&mut self.whole, right);
        let found = (self.find(left), self.find(right), self.find(&self.whole));
        let (Some(left), Some(right), Some(result)) = found else {
            self.notes.merges_ignored = self.notes.merges_ignored.saturating_add(1);
            return Ok(());
        };
        reserve(&mut self.merges, 1, KEY_MERGES)?;
        push(&mut self.merges, Merge { left, right, result });
        Ok(())
    }

    /// Whether this kind of vocabulary is merged by rank: SentencePiece goes by score, and a list of merges that some
    /// converters add to it would only take memory.
    pub(super) const fn reads_merges(&self) -> bool {
        self.model.is_bpe()
    }

    /// Says that the file has merges, if only an empty list of them.
    pub fn has_merges(&mut self) {
        self.saw_merges = true;
    }

    /// The id of a token with a part to play.
    pub fn set_id(&mut self, role: Role, id: u64) {
        if let Some(slot) = self.ids.get_mut(role as usize) {
            *slot = Some(id);
        }
    }

    /// Whether encoding puts the beginning-of-sequence token first. Without it, SentencePiece and the Llama 3
    /// family do where there is such a token, as in llama.cpp.
    pub fn set_add_bos(&mut self, add: bool) {
        self.add_bos = Some(add);
    }

    /// Whether encoding puts the end-of-sequence token last. Without it, none does.
    pub fn set_add_eos(&mut self, add: bool) {
        self.add_eos = Some(add);
    }

    /// Whether SentencePiece text gets a space in front. Without it, it does.
    pub fn set_add_space_prefix(&mut self, add: bool) {
        self.add_space_prefix = add;
    }

    /// Whether whitespace after a special token belongs to it, as for Phi-3.
    #[cfg_attr(not(feature = "special-tokens"), expect(unused_variables, reason = "text names no tokens"))]
    pub fn set_strip_after_special(&mut self, strip: bool) {
        #[cfg(feature = "special-tokens")]
        {
            self.strip_after_special = strip;
        }
    }

    /// A token that should never be sampled.
    ///
    /// # Errors
    /// [`VocabError::BadVocab`] if no token pushed so far has this id, [`VocabError::OutOfMemory`].
    pub fn push_suppressed(&mut self, id: u64) -> Result<(), VocabError> {
        let id = self.checked_id(KEY_SUPPRESS, id)?;
        reserve(&mut self.suppressed, 1, KEY_SUPPRESS)?;
        push(&mut self.suppressed, id);
        Ok(())
    }

    /// Checks the parts against each other and builds the tables.
    ///
    /// # Errors
    /// [`VocabError`].
    #[inline(never)]
    pub fn build(mut self) -> Result<Tokenizer, VocabError> {
        let n = self.ends.len();
        if n == 0 {
            return Err(VocabError::BadVocab { key: KEY_TOKENS, problem: VocabProblem::Empty });
        }
        if self.model.is_bpe() && !self.saw_merges {
            return Err(VocabError::MissingKey { key: KEY_MERGES });
        }
        self.check_len(KEY_SCORES, self.scores.len())?;
        self.scores.truncate(n);
        if self.attrs.is_empty() {
            reserve_exact(&mut self.attrs, n, KEY_TYPES)?;
            resize(&mut self.attrs, n, Attr::NORMAL);
        }
        self.check_len(KEY_TYPES, self.attrs.len())?;
        self.attrs.truncate(n);
        for (id, attr) in (0u32..).zip(&self.attrs) {
            if attr.has(Attr::BYTE) && parse_byte(self.text_of(id)).is_none() {
                return Err(VocabError::BadVocab { key: KEY_TYPES, problem: VocabProblem::ByteToken { id } });
            }
        }
        self.index_texts()?;
        let ids = self.special_ids()?;
        let eog = self.mark_known_names(&ids)?;
        let byte_ids = self.byte_ids();
        self.check_bytes(&byte_ids, ids.unknown)?;
        #[cfg(feature = "special-tokens")]
        let specials = self.specials()?;
        // Every text may name these.
        #[cfg(not(feature = "special-tokens"))]
        if self.attrs.iter().any(|attr| attr.has(Attr::USER_DEFINED) && !attr.is_hidden()) {
            return Err(VocabError::NotCompiled { key: KEY_TYPES, feature: "special-tokens" });
        }
        let add_bos =
            self.add_special(self.add_bos, KEY_ADD_BOS, Role::Bos, ids.bos, self.adds_bos_by_default())?;
        let add_eos = self.add_special(self.add_eos, KEY_ADD_EOS, Role::Eos, ids.eos, false)?;
        let (merges, text, ends) = (self.merges, self.text, self.ends);
        let mut by_pair = Index::default();
        if self.model.is_bpe() {
            let repeated;
            (by_pair, repeated) = Index::build(
                KEY_MERGES,
                || 0..merges.len() as u32,
                |seed, i| merges.get(i as usize).map_or(0, |m| hash_pair(seed, m.left, m.right)),
                |a, b| match (merges.get(a as usize), merges.get(b as usize)) {
                    (Some(a), Some(b)) => a.left == b.left && a.right == b.right,
                    _ => false,
                },
            )?;
            self.notes.merges_repeated = repeated;
        }
        self.notes.tokens_empty = self.empty_tokens;
        let by_text = self.by_text.ok_or(VocabError::MissingKey { key: KEY_TOKENS })?;
        let words_stand_alone = !(0..n as u32).any(|id| mark_after_other(text_of(&text, &ends, id)));
        sort_by_key(&mut self.suppressed, |id| id);
        Ok(Tokenizer {
            vocab: Vocab {
                model: self.model,
                text,
                ends,
                attrs: self.attrs,
                scores: self.scores,
                merges,
                by_text,
                by_pair,
                byte_ids,
                longest: self.longest,
            },
            pre: self.pre,
            ids,
            eog,
            #[cfg(feature = "special-tokens")]
            specials,
            suppressed: self.suppressed,
            add_bos,
            add_eos,
            add_space_prefix: self.add_space_prefix,
            words_stand_alone,
            notes: self.notes,
        })
    }

    fn text_of(&self, id: u32) -> &[u8] {
        text_of(&self.text, &self.ends, id)
    }

    fn index_texts(&mut self) -> Result<(), VocabError> {
        if self.by_text.is_some() {
            return Ok(());
        }
        let text = |id| text_of(&self.text, &self.ends, id);
        let (index, repeated) = Index::build(
            KEY_TOKENS,
            || (0..self.ends.len() as u32).filter(|&id| !text(id).is_empty()),
            |seed, id| hash_bytes(seed, text(id)),
            |a, b| text(a) == text(b),
        )?;
        self.by_text = Some(index);
        self.notes.tokens_repeated = repeated;
        Ok(())
    }

    fn find(&self, text: &[u8]) -> Option<u32> {
        let index = self.by_text.as_ref()?;
        index.find(hash_bytes(index.seed(), text), |id| self.text_of(id) == text)
    }

    fn check_len(&self, key: &'static str, got: usize) -> Result<(), VocabError> {
        let want = self.ends.len();
        if got != 0 && got < want {
            let problem = VocabProblem::Len { got: got as u64, want: want as u64 };
            return Err(VocabError::BadVocab { key, problem });
        }
        Ok(())
    }

    fn checked_id(&self, key: &'static str, id: u64) -> Result<u32, VocabError> {
        let n = self.ends.len() as u64;
        match u32::try_from(id) {
            Ok(small) if id < n => Ok(small),
            _ => Err(VocabError::BadVocab { key, problem: VocabProblem::Id { id, n } }),
        }
    }

    fn special_ids(&self) -> Result<SpecialIds, VocabError> {
        let mut checked = [None; Role::ALL.len()];
        for (role, (to, from)) in Role::ALL.iter().zip(checked.iter_mut().zip(&self.ids)) {
            *to = match *from {
                Some(id) => Some(self.checked_id(role.key(), id)?),
                None => None,
            };
        }
        let [bos, eos, unknown, padding, separator, mask, end_of_turn, end_of_message, ..] = checked;
        let [.., fim_prefix, fim_suffix, fim_middle, fim_pad, fim_repo, fim_separator] = checked;
        Ok(SpecialIds {
            bos,
            eos,
            unknown,
            padding,
            separator,
            mask,
            end_of_turn,
            end_of_message,
            fim_prefix,
            fim_suffix,
            fim_middle,
            fim_pad,
            fim_repo,
            fim_separator,
        })
    }

    const fn adds_bos_by_default(&self) -> bool {
        !self.model.is_bpe() || self.pre.adds_bos()
    }

    /// Whether a token is added: as the file says, which must then have it, else `default` where there is one.
    fn add_special(
        &self,
        flag: Option<bool>,
        key: &'static str,
        role: Role,
        id: Option<u32>,
        default: bool,
    ) -> Result<Option<u32>, VocabError> {
        match (flag, id) {
            (Some(true), None) => {
                Err(VocabError::BadVocab { key, problem: VocabProblem::NoId { id_key: role.key() } })
            }
            (Some(true), id) => Ok(id),
            (Some(false), _) => Ok(None),
            (None, id) => Ok(if default { id } else { None }),
        }
    }

    /// Corrects the types of tokens with well-known names and collects those that end generation, by llama.cpp's
    /// rules.
    fn mark_known_names(&mut self, ids: &SpecialIds) -> Result<Vec<u32>, VocabError> {
        let mut eog = Vec::new();
        reserve_exact(
            &mut eog,
            known(END_OF_GENERATION).count().saturating_add(FILL_IN_MIDDLE.len()).saturating_add(8),
            "eog",
        )?;
        let given =
            [ids.fim_prefix, ids.fim_suffix, ids.fim_middle, ids.fim_pad, ids.fim_repo, ids.fim_separator];
        for ((names, ends), given) in FILL_IN_MIDDLE.into_iter().zip(given) {
            let id = given.or_else(|| {
                let id = known(names).filter_map(|name| self.find(name)).min()?;
                self.mark(id, Attr::CONTROL);
                Some(id)
            });
            if ends {
                extend(&mut eog, id);
            }
        }
        for name in known(END_OF_GENERATION) {
            if let Some(id) = self.find(name) {
                self.mark(id, Attr::CONTROL);
                push(&mut eog, id);
            }
        }
        extend(&mut eog, [ids.eos, ids.end_of_turn, ids.end_of_message].into_iter().flatten());
        // gpt-oss renders these as text.
        for name in ["<|channel|>", "<|message|>", "<|start|>", "<|constrain|>"] {
            if let Some(id) = self.find(name.as_bytes()) {
                self.set_attr(id, Attr::USER_DEFINED);
            }
        }
        let ends = |name: &str, eog: &[u32]| self.find(name.as_bytes()).filter(|id| eog.contains(id));
        let call = ends("<|call|>", &eog).or(ends("<|calls|>", &eog));
        let harmony =
            call.is_some() && (ends("<|return|>", &eog).is_some() || ends("<|flush|>", &eog).is_some());
        let end = ends("<|end|>", &eog).filter(|_| harmony);
        let plain_s = ends("<|tool_response>", &eog).or(ends("<|plamo:eos|>", &eog)).is_some();
        let s = ends("</s>", &eog).filter(|_| plain_s);
        for (id, attr) in [(end, Attr::USER_DEFINED), (s, Attr::NORMAL)] {
            if let Some(id) = id {
                eog.retain(|&other| other != id);
                self.set_attr(id, attr);
            }
        }
        sort_by_key(&mut eog, |id| id);
        eog.dedup();
        Ok(eog)
    }

    fn mark(&mut self, id: u32, attr: Attr) {
        if let Some(slot) = self.attrs.get_mut(id as usize) {
            *slot = slot.with(attr);
        }
    }

    fn set_attr(&mut self, id: u32, attr: Attr) {
        if let Some(slot) = self.attrs.get_mut(id as usize) {
            *slot = attr;
        }
    }

    fn byte_ids(&self) -> [u32; 256] {
        core::array::from_fn(|byte| {
            let byte = byte as u8;
            let id = if self.model.is_bpe() {
                let (bytes, len) = unicode::encode(byte_chars::char_of(byte));
                self.find(bytes.get(..len).unwrap_or(&[]))
            } else {
                let hex = |d: u8| char::from_digit(d.into(), 16).map_or(0, |c| c.to_ascii_uppercase() as u8);
                let token = [b'<', b'0', b'x', hex(byte >> 4), hex(byte & 15), b'>'];
                self.find(&token).or_else(|| self.find(&[byte]))
            };
            id.unwrap_or(NO_TOKEN)
        })
    }

    /// SentencePiece must have a token for every byte or else an unknown token.
    fn check_bytes(&mut self, byte_ids: &[u32; 256], unknown: Option<u32>) -> Result<(), VocabError> {
        let mut missing = (0u8..=255).zip(byte_ids).filter(|&(_, &id)| id == NO_TOKEN).map(|(byte, _)| byte);
        match missing.next() {
            Some(byte) if !self.model.is_bpe() && unknown.is_none() => {
                Err(VocabError::BadVocab { key: KEY_TOKENS, problem: VocabProblem::MissingByte { byte } })
            }
            first => {
                self.notes.bytes_missing = first.into_iter().chain(missing).count() as u32;
                Ok(())
            }
        }
    }

    /// The tokens that text may name.
    #[cfg(feature = "special-tokens")]
    fn specials(&mut self) -> Result<Specials, VocabError> {
        let special = Attr::CONTROL.with(Attr::USER_DEFINED).with(Attr::UNKNOWN);
        let is_special = |(id, attr): &(u32, &Attr)| attr.has(special) && !self.text_of(*id).is_empty();
        let mut specials = Vec::new();
        let count = (0u32..).zip(&self.attrs).filter(is_special).count();
        reserve_exact(&mut specials, count, KEY_TYPES)?;
        extend(&mut specials, (0u32..).zip(&self.attrs).filter(is_special).map(|(id, _)| id));
        sort_by_key(&mut specials, |id| (core::cmp::Reverse(self.text_of(id).len()), id));
        if self.strip_after_special {
            for &id in &specials {
                self.mark(id, Attr::RSTRIP);
            }
            for name in ["<unk>", "<s>", "<|endoftext|>"] {
                let id = self.find(name.as_bytes());
                if let Some(slot) = id.and_then(|id| self.attrs.get_mut(id as usize)) {
                    *slot = slot.without(Attr::RSTRIP);
                }
            }
        }
        Specials::new(specials, |id| text_of(&self.text, &self.ends, id))
    }
}

/// Whether U+2581 comes after something else: only such a token can join two words.
fn mark_after_other(text: &[u8]) -> bool {
    let mut rest = text;
    while let Some(after) = rest.strip_prefix(SPACE_MARK) {
        rest = after;
    }
    rest.windows(SPACE_MARK.len()).any(|window| window == SPACE_MARK)
}

fn within(what: &'static str, got: u64, max: u64) -> Result<usize, VocabError> {
    match usize::try_from(got) {
        Ok(small) if got <= max => Ok(small),
        _ => Err(VocabError::Limit { what, got, max }),
    }
}

fn reserve<T>(to: &mut Vec<T>, more: usize, what: &'static str) -> Result<(), VocabError> {
    let oom = |_| VocabError::OutOfMemory { what, bytes: more.saturating_mul(size_of::<T>()) };
    to.try_reserve(more).map_err(oom)
}

fn reserve_exact<T>(to: &mut Vec<T>, more: usize, what: &'static str) -> Result<(), VocabError> {
    let oom = |_| VocabError::OutOfMemory { what, bytes: more.saturating_mul(size_of::<T>()) };
    to.try_reserve_exact(more).map_err(oom)
}
