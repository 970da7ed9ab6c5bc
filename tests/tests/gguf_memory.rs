//! What parsing holds on the heap: never more than twice what was read and 64 KiB, and nothing per token.

use barre_core::gguf::{Gguf, ValueType};
use barre_core::io::{AbsOffset, IoError, ReadAt};
use barre_tests::heap::{Counting, Span};
use barre_tests::raw::{Raw, ty};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// A slice that fails at `fail_at` and counts what it has given. It has no view: everything is read.
struct Failing<'a> {
    bytes: &'a [u8],
    fail_at: u64,
    read: usize,
}

impl ReadAt for Failing<'_> {
    fn read_at(&mut self, at: AbsOffset, buf: &mut [u8]) -> Result<(), IoError> {
        if at.get() + buf.len() as u64 > self.fail_at {
            let (need, have) = (buf.len() as u64, 0);
            return Err(IoError::Truncated { offset: at.get(), need, have });
        }
        self.bytes.read_at(at, buf)?;
        self.read += buf.len();
        Ok(())
    }

    fn len(&mut self) -> Result<u64, IoError> {
        Ok(self.bytes.len() as u64)
    }
}

/// Peak of the heap and calls of the allocator while `f` runs.
fn measure<T>(f: impl FnOnce() -> T) -> (T, usize, usize) {
    let heap = Span::begin();
    let out = f();
    (out, heap.peak(), heap.calls())
}

#[track_caller]
fn check(id: &str, bytes: &[u8]) {
    for fail_at in [u64::MAX, bytes.len() as u64 / 2, bytes.len() as u64 / 3, 4096] {
        let mut reader = Failing { bytes, fail_at, read: 0 };
        let (out, peak, _) = measure(|| Gguf::open(&mut reader).err());
        let most = 2 * reader.read + (64 << 10);
        assert!(peak <= most, "{id}, failing at {fail_at}: {out:?}, {peak} bytes held, {most} allowed");
    }
}

#[test]
fn tiny_pairs() {
    let mut raw = Raw::new(0, 4096);
    for i in 0..4095u32 {
        raw = raw.key(char::from_u32(0x100 + i).unwrap().to_string(), ty::U8).u8(0);
    }
    check("tiny pairs and one missing", &raw.0);
}

#[test]
fn long_keys() {
    for len in [255, 257, 2049, 65_535] {
        let mut raw = Raw::new(0, 1000);
        for i in 0..(8 << 20) / len {
            raw = raw.key(format!("{i:0len$}"), ty::U8).u8(0);
            if i == 998 {
                break;
            }
        }
        check("long keys", &raw.0);
    }
}

#[test]
fn short_strings() {
    let mut raw = Raw::new(0, 4096);
    for i in 0..4095 {
        raw = raw.kv_str(&format!("k{i}"), "0123456789".repeat(6));
    }
    check("short strings", &raw.0);
}

#[test]
fn many_tensors() {
    for dims in [&[0][..], &[0, 1, 1, 1]] {
        let mut raw = Raw::new(65_536, 0);
        for i in 0..65_535u32 {
            raw = raw.info(char::from_u32(0x1_0000 + i).unwrap().to_string(), dims, 0, 0);
        }
        check("tensors and one missing", &raw.0);
        let whole = raw.info("last", dims, 77, 0);
        check("tensors, the last of unknown type", &whole.0);
    }
}

#[test]
fn huge_counts_allocate_nothing() {
    for raw in [
        Raw::new(65_536, 4096),
        Raw::new(0, 1).key("k", ty::STRING).u64(1 << 30).data(50),
        Raw::new(0, 1).array("k", ty::STRING, 1 << 28).data(50),
        Raw::new(0, 1).u64(65_535).data(50),
    ] {
        check("huge counts", &raw.0);
        let (out, peak, _) = measure(|| Gguf::open(&mut &*raw.0).err());
        assert!(out.is_some() && peak < 8 << 10, "{out:?} {peak}");
    }
}

#[test]
fn a_vocabulary_of_32000_tokens_allocates_nothing_per_token() {
    const N: usize = 32_000;
    let mut raw =
        Raw::new(0, 3).kv_str("tokenizer.ggml.model", "llama").array("tokens", ty::STRING, N as u64);
    for i in 0..N {
        raw = raw.str(format!("token{i}"));
    }
    raw = raw.array("scores", 6, N as u64);
    for i in 0..N {
        raw = raw.raw(&(i as f32).to_le_bytes());
    }
    let mut reader = &*raw.0;
    let (gguf, peak, calls) = measure(|| Gguf::open(&mut reader).unwrap());
    assert!(calls < 16 && peak < 8 << 10, "{calls} allocations, {peak} bytes");
    let tokens = gguf.require("tokens").unwrap().array_of(ValueType::String).unwrap();
    let (strings, peak, calls) = measure(|| tokens.load_strings(&mut reader).unwrap());
    assert_eq!(calls, 2);
    assert_eq!(peak as u64, tokens.text_bytes().unwrap() + 4 * N as u64);
    assert_eq!((strings.len(), strings.get(31_999)), (N, Some(&b"token31999"[..])));
    assert!(strings.iter().enumerate().all(|(i, s)| s == format!("token{i}").as_bytes()));
    let scores = gguf.require("scores").unwrap().array().unwrap();
    let (all, _, calls) = measure(|| scores.load::<f32, _>(&mut reader).unwrap());
    assert_eq!((calls, all[N - 1]), (1, 31_999.0));
    let mut seen = 0;
    let mut buf = [0; 16];
    let (out, peak, _) = measure(|| {
        tokens.for_each_string(&mut reader, &mut buf, |_, _| {
            seen += 1;
            true
        })
    });
    assert_eq!((out, seen, peak), (Ok(()), N, 0));
}
