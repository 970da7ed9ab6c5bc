//! What a constraint costs: the index of a vocabulary, a schema, a mask in a literal and in a string.
//!
//! `cargo bench -p barre-tests --bench constrain [-- VOCABULARY.gguf ...]`; without files, the vocabularies of the
//! tests.

use barre_core::constrain::{Constraint, Schema, TokenIndex};
use barre_core::gguf::Gguf;
use barre_core::tokenizer::{EncodeOptions, EncodeScratch, Tokenizer};
use std::path::PathBuf;
use std::time::Instant;

const SCHEMA: &str = r#"{"type":"object","properties":{"title":{"type":"string","maxLength":200},
    "year":{"type":"integer","minimum":1900,"maximum":2100}},"required":["title","year"]}"#;

/// The fastest of some rounds, in microseconds.
fn least(mut f: impl FnMut()) -> f64 {
    (0..7)
        .map(|_| {
            let start = Instant::now();
            f();
            start.elapsed().as_secs_f64() * 1e6
        })
        .fold(f64::INFINITY, f64::min)
}

fn main() {
    let own = ["own-bpe.gguf", "own-spm.gguf"];
    let vectors = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/vectors/tokenizer"));
    let mut paths: Vec<PathBuf> =
        std::env::args().skip(1).filter(|a| !a.starts_with("--")).map(PathBuf::from).collect();
    if paths.is_empty() {
        paths = own.iter().map(|name| vectors.join(name)).collect();
    }
    let schema = Schema::parse(SCHEMA.as_bytes()).expect("a schema");
    let compile = least(|| drop(Schema::parse(SCHEMA.as_bytes())));
    println!("schema: {} states, {} bytes, compiled in {compile:.0} us\n", schema.states(), schema.bytes());
    println!(
        "| vocabulary | tokens | index KB | index us | constraint us | mask, literal us | mask, string us |"
    );
    println!("| --- | ---: | ---: | ---: | ---: | ---: | ---: |");
    for path in paths {
        let file = std::fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        let gguf = Gguf::open(&mut file.as_slice()).expect("a GGUF file");
        let tokenizer = Tokenizer::from_gguf(&gguf, &mut file.as_slice()).expect("a vocabulary");
        let index = TokenIndex::new(&tokenizer).expect("an index");
        let build = least(|| drop(TokenIndex::new(&tokenizer)));
        let start = least(|| drop(Constraint::new(&schema, &index)));
        let mut literal = Constraint::new(&schema, &index).expect("a constraint");
        let logits = vec![0.0f32; tokenizer.len() as usize];
        let mut masked = logits.clone();
        let mut mask = |constraint: &mut Constraint<'_>| {
            least(|| {
                masked.copy_from_slice(&logits);
                constraint.mask(&mut masked, usize::MAX).expect("a token");
            })
        };
        let in_literal = mask(&mut literal);
        let mut tokens = Vec::new();
        let options = EncodeOptions { add_special: false, parse_special: false };
        tokenizer
            .encode(br#"{"title":"A"#, options, &mut EncodeScratch::default(), &mut tokens)
            .expect("tokens");
        let mut string = literal.clone();
        // SentencePiece begins with a space of its own, which the schema has no place for.
        if tokens.iter().any(|&token| string.accept(token).is_err()) {
            string.reset();
            for byte in br#"{"title":"A"# {
                let one = (0..tokenizer.len())
                    .find(|&t| tokenizer.piece(t).eq([*byte]))
                    .expect("a token of the byte");
                string.accept(one).expect("a byte of the schema");
            }
        }
        let in_string = mask(&mut string);
        println!(
            "| {} | {} | {:.0} | {build:.0} | {start:.0} | {in_literal:.1} | {in_string:.1} |",
            path.file_stem().unwrap_or_default().display(),
            tokenizer.len(),
            index.bytes() as f64 / 1e3,
        );
    }
}
