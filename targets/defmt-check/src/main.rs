//! Prints the frames that an image with defmt has written: `barre-defmt-check IMAGE FRAMES`, a line each.
//!
//! The texts are in the image's symbol table, the frames have their numbers and the arguments.

use defmt_decoder::{DecodeError, Table};
use std::error::Error;
use std::path::Path;

fn main() -> Result<(), Box<dyn Error>> {
    let [image, frames] =
        std::env::args_os().skip(1).collect::<Vec<_>>().try_into().map_err(|_| "IMAGE FRAMES")?;
    let read = |path: &Path| std::fs::read(path).map_err(|e| format!("{}: {e}", path.display()));
    let table = Table::parse(&read(image.as_ref())?)?.ok_or("the image has no section .defmt")?;
    let mut decoder = table.new_stream_decoder();
    decoder.received(&read(frames.as_ref())?);
    loop {
        match decoder.decode() {
            Ok(frame) => println!("{}", frame.display(false)),
            Err(DecodeError::UnexpectedEof) => return Ok(()),
            Err(DecodeError::Malformed) => return Err("a frame cannot be decoded".into()),
        }
    }
}
