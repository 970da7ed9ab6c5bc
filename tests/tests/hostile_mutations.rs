//! Sound files with every byte and field changed, cut at every length, pieces doubled and swapped: no panic, one verdict
//! for all readers, and at an error a heap of at most twice what was read and 64 KiB.

use barre_core::gguf::{Gguf, GgufError};
use barre_core::io::{AbsOffset, IoError, ReadAt, Stream};
use barre_core::model::Model;
use barre_core::tokenizer::Tokenizer;
use barre_tests::faults::small_file;
use barre_tests::fuzz::{self, byte_level_file, saved_session};
use barre_tests::heap::{Counting, Span};
use barre_tests::readers::Std;
use barre_tests::shared::shared;
use barre_tests::synthetic::Rng;
use std::path::{Path, PathBuf};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// A slice that counts what it has given.
struct Counted<'a> {
    bytes: &'a [u8],
    read: usize,
}

impl ReadAt for Counted<'_> {
    fn read_at(&mut self, at: AbsOffset, buf: &mut [u8]) -> Result<(), IoError> {
        self.bytes.read_at(at, buf)?;
        self.read += buf.len();
        Ok(())
    }

    fn len(&mut self) -> Result<u64, IoError> {
        Ok(self.bytes.len() as u64)
    }
}

#[derive(Debug, Default)]
struct Count {
    files: usize,
    refused: usize,
    models: usize,
    vocabularies: usize,
    /// The largest single request of all.
    largest: usize,
    /// The most that was held beyond twice what was read.
    beyond: usize,
}

impl Count {
    /// Opens, loads and builds a tokenizer of `bytes`, within bounds.
    fn try_file(&mut self, bytes: &[u8]) -> Option<GgufError> {
        self.files += 1;
        let heap = Span::begin();
        let mut reader = Counted { bytes, read: 0 };
        let gguf = match Gguf::open(&mut reader) {
            Ok(gguf) => gguf,
            Err(e) => {
                self.refused += 1;
                self.bounded(&heap, reader.read);
                return Some(e);
            }
        };
        let model = Model::load(&gguf, &mut reader);
        if model.is_err() {
            self.bounded(&heap, reader.read);
        }
        self.models += usize::from(model.is_ok());
        let tokenizer = Tokenizer::from_gguf(&gguf, &mut reader);
        if tokenizer.is_err() {
            self.bounded(&heap, reader.read);
        }
        self.vocabularies += usize::from(tokenizer.is_ok());
        self.largest = self.largest.max(heap.largest());
        None
    }

    fn bounded(&mut self, heap: &Span, read: usize) {
        let (peak, most) = (heap.peak(), 2 * read + (64 << 10));
        assert!(peak <= most, "F15: {peak} bytes held after {read} were read");
        self.largest = self.largest.max(heap.largest());
        self.beyond = self.beyond.max(peak.saturating_sub(2 * read));
    }
}

/// Every variant of `file` whose first `header` bytes are damaged.
fn mutations(file: &[u8], header: usize, each: &mut dyn FnMut(&[u8])) {
    let mut bytes = file.to_vec();
    let mut changed = |at: usize, with: &[u8]| {
        if let Some(place) = bytes.get_mut(at..at + with.len()) {
            place.copy_from_slice(with);
            each(&bytes);
            bytes[at..at + with.len()].copy_from_slice(&file[at..at + with.len()]);
        }
    };
    for (at, &old) in file.iter().enumerate().take(header) {
        for new in
            [0, 1, 0x20, 0x7f, 0x80, 0xff, old ^ 1, old ^ 0x80, old.wrapping_add(1), old.wrapping_sub(1)]
        {
            if new != old {
                changed(at, &[new]);
            }
        }
        for n in [13, 1 << 20, i32::MAX as u32, u32::MAX] {
            changed(at, &n.to_le_bytes());
        }
        for n in [1 << 31, 1 << 32, 1 << 40, (1 << 61) + 1, i64::MAX as u64, u64::MAX] {
            changed(at, &n.to_le_bytes());
        }
    }
    for cut in 0..header {
        each(&file[..cut]);
    }
    // A piece gone, doubled, or in another place.
    let mut rng = Rng(9);
    for _ in 0..header {
        let (from, to) = (rng.below(header), rng.below(header));
        let len = rng.below(64) + 1;
        let piece = &file[from..(from + len).min(file.len())];
        each(&[&file[..from], &file[from + piece.len()..]].concat());
        each(&[&file[..to], piece, &file[to..]].concat());
        changed_with(file, to, piece, each);
    }
}

fn changed_with(file: &[u8], at: usize, piece: &[u8], each: &mut dyn FnMut(&[u8])) {
    let mut bytes = file.to_vec();
    let end = (at + piece.len()).min(bytes.len());
    bytes[at..end].copy_from_slice(&piece[..end - at]);
    each(&bytes);
}

#[test]
fn f13_f15_damaged_models_and_vocabularies() {
    for (name, file) in [("model", small_file()), ("byte-level vocabulary", byte_level_file("qwen2"))] {
        let header = Gguf::open(&mut &file[..]).expect("sound").data().base().get() as usize;
        let mut count = Count::default();
        let mut sample = 0;
        mutations(&file, header.min(4096), &mut |bytes| {
            let slice = count.try_file(bytes);
            sample += 1;
            // The other readers take the same path; each thirteenth file is enough to see that they do.
            if sample % 13 == 0 {
                let stream = Gguf::open(&mut Stream::new(Std::short(bytes, 1)));
                assert_eq!(stream.err(), slice);
            }
        });
        println!("F13 F15: {name} of {} bytes: {count:?}", file.len());
        assert!(count.refused > 0 && count.vocabularies > 0);
    }
}

#[test]
fn damaged_models_run_or_are_refused() {
    let file = std::fs::read(seed_folder("gguf").join("tiny-model")).expect("a seed");
    let header = Gguf::open(&mut &file[..]).expect("sound").data().base().get() as usize;
    let (mut n, mut sample) = (0, 0);
    mutations(&file, header, &mut |bytes| {
        sample += 1;
        if sample % 7 == 0 {
            fuzz::gguf(bytes);
            n += 1;
        }
    });
    println!("{n} damaged models through the fuzzer's function");
}

#[test]
fn damaged_sessions_leave_the_live_one_alone() {
    let saved = saved_session(&[1, 2, 3]);
    let mut n = 0;
    for kind in [0, 1, 6, 7, 16] {
        let file = [&[kind][..], &saved].concat();
        let mut sample = 0;
        mutations(&file, file.len(), &mut |bytes| {
            sample += 1;
            if bytes.first() == Some(&kind) && sample % 5 == 0 {
                fuzz::session(bytes);
                n += 1;
            }
        });
    }
    println!("{n} damaged sessions through the fuzzer's function");
}

fn seed_folder(target: &str) -> PathBuf {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../fuzz/corpus")).join(target)
}

/// What has been found is kept: every file of the corpora through the function that it is for, and 40 seeded changes
/// of each.
#[test]
fn the_corpora_of_the_fuzzers_pass() {
    type Target = (&'static str, fn(&[u8]));
    let targets: [Target; 4] = [
        ("gguf", fuzz::gguf),
        ("tokenizer", fuzz::tokenizer),
        ("session", fuzz::session),
        ("schema", fuzz::schema),
    ];
    for (target, run) in targets {
        let mut n = 0;
        let mut rng = Rng(17);
        for entry in std::fs::read_dir(seed_folder(target)).expect("a corpus") {
            let bytes = std::fs::read(entry.expect("an entry").path()).expect("a file");
            run(&bytes);
            for _ in 0..40 {
                let mut changed = bytes.clone();
                for _ in 0..=rng.below(4) {
                    let at = rng.below(changed.len().max(1));
                    match (rng.below(4), changed.get_mut(at)) {
                        (0, Some(byte)) => *byte = rng.bits() as u8,
                        (1, Some(byte)) => *byte ^= 1 << rng.below(8),
                        (2, Some(_)) => changed.truncate(at),
                        _ => changed.insert(at.min(changed.len()), rng.bits() as u8),
                    }
                }
                run(&changed);
                n += 1;
            }
            n += 1;
        }
        println!("{target}: {n} inputs");
    }
}

#[test]
fn f12_vocabularies_cut_at_every_length() {
    let Some(folder) = shared("vocabs") else { return };
    let mut rng = Rng(12);
    for entry in std::fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.extension().is_none_or(|e| e != "gguf") {
            continue;
        }
        let file = std::fs::read(&path).expect("a file");
        let gguf = Gguf::open(&mut &file[..]).expect("sound");
        let end = gguf.data().base().get().min(file.len() as u64) as usize;
        // Every length of the first 64 KiB, nine around every boundary, and 2000 of any. For all but one vocabulary a
        // sample of that: they differ in content, not in structure.
        let whole = path.ends_with("ggml-vocab-llama-bpe.gguf");
        let (step, random) = if whole { (1, 2000) } else { (61, 100) };
        let mut cuts: Vec<usize> = (0..2048).chain((2048..64 << 10).step_by(step)).collect();
        for entry in gguf.metadata() {
            let at = entry.array().map_or(entry.offset().get(), |a| a.offset().get() + a.byte_len()) as usize;
            cuts.extend(at.saturating_sub(9)..at + 9);
        }
        cuts.extend((0..random).map(|_| rng.below(end)));
        cuts.retain(|&cut| cut < end);
        for &cut in &cuts {
            match Gguf::open(&mut &file[..cut]) {
                // Padding at the end is no byte that is needed.
                Ok(_) => assert!(file[cut..end].iter().all(|&b| b == 0) && end - cut < 32, "cut at {cut}"),
                Err(e) => assert!(
                    matches!(e, GgufError::Truncated { offset, .. } if offset == cut as u64),
                    "{}: cut at {cut}: {e}",
                    path.display()
                ),
            }
        }
        println!("F12: {}: {} lengths", path.display(), cuts.len());
    }
}
