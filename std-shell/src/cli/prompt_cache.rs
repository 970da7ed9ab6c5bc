//! `--prompt-cache`: what a session has taken in, kept in a file from one run to the next.

use super::output::{Failure, note, of_file};
use barre::source::Reader;
use barre_core::session::Session;
use embedded_io::{ErrorType, Read, Write};
use std::fs::{self, File};
use std::io::{self, BufReader, BufWriter, ErrorKind};
use std::path::{Path, PathBuf};

#[derive(clap::Args)]
#[command(next_help_heading = "Session")]
pub(super) struct CacheArgs {
    /// File that keeps the keys and values of the prompt: what a later prompt begins with too is not computed again.
    /// Without a prompt the text in the file goes on
    #[arg(long, value_name = "FILE")]
    prompt_cache: Option<PathBuf>,
    /// Keep the added text in the file as well
    #[arg(long, requires = "prompt_cache")]
    prompt_cache_all: bool,
    /// Use the file, but do not write it
    #[arg(long, requires = "prompt_cache", conflicts_with = "prompt_cache_all")]
    prompt_cache_ro: bool,
}

impl CacheArgs {
    /// Whether there is to be a file.
    #[cfg(feature = "demo")]
    pub(super) const fn is_given(&self) -> bool {
        self.prompt_cache.is_some()
    }

    /// Whether the added text belongs into the file.
    pub(super) const fn keeps_all(&self) -> bool {
        self.prompt_cache_all
    }

    /// Restores the file's session, if there is one, as far as `prompt` begins with its tokens; the tokens that are
    /// still to be taken in, at least one. Without a prompt of the user's the file's own tokens are the prompt.
    pub(super) fn restore(
        &self,
        session: &mut Session<'_, Reader<'_>>,
        prompt: Vec<u32>,
        has_prompt: bool,
    ) -> Result<Vec<u32>, Failure> {
        let Some(path) = &self.prompt_cache else { return Ok(prompt) };
        match File::open(path) {
            Ok(file) => {
                // A new session has no positions to lose, so there is no need for scratch.
                session.restore(&mut Std(BufReader::new(file)), &mut []).map_err(of_file(path))?;
            }
            Err(e) if e.kind() == ErrorKind::NotFound && !self.prompt_cache_ro => return Ok(prompt),
            Err(e) => return Err(Failure::because(format!("cannot open {}: {e}", path.display()))),
        }
        let prompt = match has_prompt || session.position() == 0 {
            true => prompt,
            false => session.tokens().to_vec(),
        };
        let same = session.tokens().iter().zip(&prompt).take_while(|(a, b)| a == b).count();
        // The logits are not in the file: the last token gives the same ones again.
        let kept = same.min(prompt.len().saturating_sub(1));
        session.rewind(kept)?;
        note(format_args!("{kept} of {} tokens of the prompt come from {}\n", prompt.len(), path.display()));
        Ok(prompt[kept..].to_vec())
    }

    /// Writes the session to the file, as a whole or not at all.
    pub(super) fn save(&self, session: &mut Session<'_, Reader<'_>>) -> Result<(), Failure> {
        let Some(path) = self.prompt_cache.as_ref().filter(|_| !self.prompt_cache_ro) else { return Ok(()) };
        let mut name = path.clone().into_os_string();
        name.push(format!(".{}.tmp", std::process::id()));
        let temporary = PathBuf::from(name);
        let written = write(&temporary, session)
            .and_then(|()| fs::rename(&temporary, path).map_err(|e| cannot_write(path, &e)));
        if written.is_err() {
            let _ = fs::remove_file(&temporary);
        }
        written
    }
}

/// Everything is on the disk before the file gets its name.
fn write(path: &Path, session: &mut Session<'_, Reader<'_>>) -> Result<(), Failure> {
    let file = File::create(path).map_err(|e| cannot_write(path, &e))?;
    let mut writer = Std(BufWriter::new(file));
    session.save(&mut writer).map_err(of_file(path))?;
    writer.0.get_ref().sync_all().map_err(|e| cannot_write(path, &e))
}

fn cannot_write(path: &Path, e: &io::Error) -> Failure {
    Failure::because(format!("cannot write {}: {e}", path.display()))
}

/// A reader or writer of the standard library's as the core knows it.
struct Std<T>(T);

impl<T> ErrorType for Std<T> {
    type Error = io::Error;
}

impl<T: io::Read> Read for Std<T> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.0.read(buf)
    }
}

impl<T: io::Write> Write for Std<T> {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.0.write(buf)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}
