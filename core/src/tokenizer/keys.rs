//! The metadata keys of a vocabulary.

pub(super) const KEY_MODEL: &str = "tokenizer.ggml.model";
pub(super) const KEY_PRE: &str = "tokenizer.ggml.pre";
pub(super) const KEY_TOKENS: &str = "tokenizer.ggml.tokens";
pub(super) const KEY_SCORES: &str = "tokenizer.ggml.scores";
pub(super) const KEY_TYPES: &str = "tokenizer.ggml.token_type";
pub(super) const KEY_MERGES: &str = "tokenizer.ggml.merges";
pub(super) const KEY_ADD_BOS: &str = "tokenizer.ggml.add_bos_token";
pub(super) const KEY_ADD_EOS: &str = "tokenizer.ggml.add_eos_token";
pub(super) const KEY_ADD_SPACE: &str = "tokenizer.ggml.add_space_prefix";
pub(super) const KEY_SUPPRESS: &str = "tokenizer.ggml.suppress_tokens";

/// A token with a part to play, named by its metadata key.
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
#[expect(missing_docs, reason = "the keys below say it")]
pub enum Role {
    Bos,
    Eos,
    Unknown,
    Padding,
    Separator,
    Mask,
    EndOfTurn,
    EndOfMessage,
    FimPrefix,
    FimSuffix,
    FimMiddle,
    FimPad,
    FimRepo,
    FimSeparator,
}

impl Role {
    /// All of them.
    pub const ALL: [Self; 14] = [
        Self::Bos,
        Self::Eos,
        Self::Unknown,
        Self::Padding,
        Self::Separator,
        Self::Mask,
        Self::EndOfTurn,
        Self::EndOfMessage,
        Self::FimPrefix,
        Self::FimSuffix,
        Self::FimMiddle,
        Self::FimPad,
        Self::FimRepo,
        Self::FimSeparator,
    ];

    /// The metadata key of the id.
    #[must_use]
    pub const fn key(self) -> &'static str {
        match self {
            Self::Bos => "tokenizer.ggml.bos_token_id",
            Self::Eos => "tokenizer.ggml.eos_token_id",
            Self::Unknown => "tokenizer.ggml.unknown_token_id",
            Self::Padding => "tokenizer.ggml.padding_token_id",
            Self::Separator => "tokenizer.ggml.seperator_token_id",
            Self::Mask => "tokenizer.ggml.mask_token_id",
            Self::EndOfTurn => "tokenizer.ggml.eot_token_id",
            Self::EndOfMessage => "tokenizer.ggml.eom_token_id",
            Self::FimPrefix => "tokenizer.ggml.fim_pre_token_id",
            Self::FimSuffix => "tokenizer.ggml.fim_suf_token_id",
            Self::FimMiddle => "tokenizer.ggml.fim_mid_token_id",
            Self::FimPad => "tokenizer.ggml.fim_pad_token_id",
            Self::FimRepo => "tokenizer.ggml.fim_rep_token_id",
            Self::FimSeparator => "tokenizer.ggml.fim_sep_token_id",
        }
    }
}
