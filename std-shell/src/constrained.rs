//! One output under a constraint.

use barre_core::constrain::{ConstrainError, Constraint};
use barre_core::io::ReadAt;
use barre_core::sampler::{SampleError, Sampler};
use barre_core::session::{Session, SessionError};
use barre_core::tokenizer::{EncodeError, Tokenizer};
use std::fmt;

/// Why there is no output. There is never a part of one.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// The model failed at work.
    Session(SessionError),
    /// No output of the schema fits, or the logits leave none.
    Constrain(ConstrainError),
    /// The sampler refused the logits.
    Sample(SampleError),
    /// The prompt has no tokens.
    Encode(EncodeError),
    /// The caller wanted no more.
    Stopped,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Session(e) => e.fmt(f),
            Self::Constrain(e) => e.fmt(f),
            Self::Sample(e) => e.fmt(f),
            Self::Encode(e) => e.fmt(f),
            Self::Stopped => f.write_str("stopped before the output was complete"),
        }
    }
}

impl std::error::Error for Error {}

impl From<SessionError> for Error {
    fn from(e: SessionError) -> Self {
        Self::Session(e)
    }
}

impl From<ConstrainError> for Error {
    fn from(e: ConstrainError) -> Self {
        Self::Constrain(e)
    }
}

impl From<EncodeError> for Error {
    fn from(e: EncodeError) -> Self {
        Self::Encode(e)
    }
}

impl From<SampleError> for Error {
    fn from(e: SampleError) -> Self {
        Self::Sample(e)
    }
}

/// Decodes one output after the prompt that `session` holds: at most `most` tokens, fewer if the context has not that
/// much room, and always a whole one. `go_on` is asked before every further token that the model computes.
///
/// # Errors
/// [`Error`]; [`ConstrainError::Budget`] before the first token if no output is as short as `most` and the context
/// demand.
pub fn complete<R: ReadAt>(
    session: &mut Session<'_, R>,
    tokenizer: &Tokenizer,
    constraint: &mut Constraint<'_>,
    sampler: &mut Sampler,
    most: usize,
    mut go_on: impl FnMut() -> bool,
) -> Result<String, Error> {
    constraint.reset();
    // The last token of all need not pass through the model.
    let room = session.plan().limits().context - session.position() + 1;
    let mut left = most.min(room);
    let mut logits = Vec::new();
    let mut text = Vec::new();
    loop {
        logits.clear();
        logits.extend_from_slice(session.logits());
        constraint.mask(&mut logits, left)?;
        let token = sampler.sample(&logits, session.tokens())?;
        constraint.accept(token)?;
        if !tokenizer.is_end_of_generation(token) {
            text.extend(tokenizer.piece(token));
            left -= 1;
        }
        if constraint.is_final() || left == 0 {
            // The automaton knows nothing but UTF-8.
            return Ok(String::from_utf8_lossy(&text).into_owned());
        }
        if !go_on() {
            return Err(Error::Stopped);
        }
        session.step(token)?;
    }
}
