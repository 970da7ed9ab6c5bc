//! Tokens known by their names, whatever type a file gives them.

/// Names of tokens that end a turn or a text, in llama.cpp's list, a space between them.
pub(super) const END_OF_GENERATION: &str = "<|eot_id|> <|im_end|> <|end|> <|return|> <|call|> <|flush|> <|calls|> <end_of_turn> \
    <|endoftext|> </s> <|eom_id|> <EOT> _<EOT> [EOT] [EOS] <|end_of_text|> <end_of_utterance> <eos> \
    <turn|> <|tool_response> <｜end▁of▁sentence｜> [e~[";

/// Names of the tokens of fill-in-the-middle: before the hole, after it, in it, padding, repository, file. The lowest
/// of each that a vocabulary has is a control token where the file does not give it; some end generation. A space is between
/// the names.
pub(super) const FILL_IN_MIDDLE: [(&str, bool); 6] = [
    (
        "<|fim_prefix|> <fim-prefix> <fim_prefix> <｜fim▁begin｜> <PRE> ▁<PRE> <|code_prefix|> <|prefix|>",
        false,
    ),
    (
        "<|fim_suffix|> <fim-suffix> <fim_suffix> <｜fim▁hole｜> <SUF> ▁<SUF> <|code_suffix|> <|suffix|>",
        false,
    ),
    ("<|fim_middle|> <fim-middle> <fim_middle> <｜fim▁end｜> <MID> ▁<MID> <|code_middle|> <|middle|>", false),
    ("<|fim_pad|> <fim-pad> <fim_pad> <PAD> [PAD]", true),
    ("<|fim_repo|> <|repo_name|> <fim-repo> <REPO> <reponame>", true),
    ("<|file_sep|>", true),
];

/// The names of such a list.
pub(super) fn known(names: &'static str) -> impl Iterator<Item = &'static [u8]> {
    names.as_bytes().split(|&b| b == b' ')
}
