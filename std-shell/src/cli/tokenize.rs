//! `barre tokenize`: the tokens of a text.

use super::output::{Failure, of_file, write};
use barre::source::{Access, Source};
use barre_core::gguf::Gguf;
use barre_core::tokenizer::{EncodeOptions, EncodeScratch, Tokenizer};
use std::ffi::OsString;
use std::fmt::Write as _;
use std::io::Read as _;
use std::path::PathBuf;

#[derive(clap::Args)]
pub(super) struct Args {
    /// Model or vocabulary file (GGUF)
    #[arg(short, long, value_name = "FILE")]
    model: PathBuf,
    /// Text
    #[arg(short, long, value_name = "TEXT", required_unless_present = "stdin", conflicts_with = "stdin")]
    prompt: Option<OsString>,
    /// Take the text from stdin, byte by byte as it is
    #[arg(long)]
    stdin: bool,
    /// Print the ids only, as a list
    #[arg(long)]
    ids: bool,
    /// Do not put the beginning-of-sequence token first, even where the vocabulary asks for it
    #[arg(long)]
    no_bos: bool,
    /// Take names of control tokens in the text as plain text
    #[arg(long)]
    no_parse_special: bool,
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    // A vocabulary is read once: mapping all pages of a model for it would only cost time.
    let source = Source::open(&args.model, Access::Read)?;
    let gguf = Gguf::open(&mut &source).map_err(of_file(&args.model))?;
    let tokenizer = Tokenizer::from_gguf(&gguf, &mut &source).map_err(of_file(&args.model))?;
    let text = match &args.prompt {
        Some(prompt) => prompt.clone().into_encoded_bytes(),
        None => {
            let mut text = Vec::new();
            std::io::stdin().lock().read_to_end(&mut text)?;
            text
        }
    };
    let options = EncodeOptions { add_special: !args.no_bos, parse_special: !args.no_parse_special };
    let mut tokens = Vec::new();
    tokenizer.encode(&text, options, &mut EncodeScratch::default(), &mut tokens)?;
    if args.ids {
        return write(&format!("{tokens:?}\n"));
    }
    let mut lines = String::new();
    for token in tokens {
        let piece: Vec<u8> = tokenizer.piece(token).collect();
        let _ = writeln!(lines, "{token:6} -> '{}'", String::from_utf8_lossy(&piece));
    }
    write(&lines)
}
