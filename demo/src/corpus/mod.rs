//! The corpus: sentences and the answers to them, drawn from a grammar by number.
//!
//! A sample is a function of its split and index alone, the same on every machine, so that a split has as many
//! samples as one cares to draw and no file needs to be kept. The two test splits measure different things:
//!
//! - [`Split::TestCombinations`]: a device, an action, a room and a value that training never joins. One in 16
//!   (device, action, room), and one in 8 (device, action, room, value), are held out by a hash of them.
//! - [`Split::TestPhrasings`]: at least one frame, preposition or courtesy that training never uses; they are marked
//!   in the tables.
//!
//! Neither sees the other's: a sample of the training split has no held-out combination and no held-out phrase.

mod answer;
mod chatter;
mod courtesy;
mod frames;
mod grammar;
mod negation;
mod noise;
mod phrases;
mod rng;
mod several;
mod words;

use answer::Command;
use grammar::Speaker;
use rng::{Rng, mix};

/// What a sample is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Split {
    /// What the model is trained on.
    Train,
    /// At least one combination of slots that training never has.
    TestCombinations,
    /// At least one phrase that training never has.
    TestPhrasings,
}

impl Split {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Train, Self::TestCombinations, Self::TestPhrasings];

    /// The name on a command line.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Train => "train",
            Self::TestCombinations => "test_combinations",
            Self::TestPhrasings => "test_phrasings",
        }
    }

    /// The split of a name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|split| split.name() == name)
    }
}

/// A sentence and the right answer to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sample {
    /// What was said, in one line, with no space at either end.
    pub sentence: String,
    /// One line of JSON that the schema accepts, without spaces.
    pub answer: String,
}

/// Bytes of the longest sentence. Longer drafts are drawn again.
pub const MAX_SENTENCE_BYTES: usize = 220;

/// The family of streams that samples are drawn from; another seed is another corpus.
const SEED: u64 = 0x6261_7272_6520_0001;

/// Sample number `index` of `split`.
#[must_use]
pub fn sample(split: Split, index: u64) -> Sample {
    let seed = SEED ^ mix(split as u64 + 1);
    let mut speaker = Speaker::new(Rng::new(seed, index), split == Split::TestPhrasings);
    loop {
        let draft = grammar::draft(&mut speaker);
        let sentence = draft.sentence.trim();
        let combination = draft.named.iter().any(Command::is_held_out);
        let fits = match split {
            Split::Train => !combination,
            Split::TestCombinations => draft.commands.iter().any(Command::is_held_out),
            Split::TestPhrasings => draft.held > 0 && !combination,
        };
        if fits && !sentence.is_empty() && sentence.len() <= MAX_SENTENCE_BYTES {
            return Sample { sentence: sentence.to_owned(), answer: answer::json(&draft.commands) };
        }
    }
}
