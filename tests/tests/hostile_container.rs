//! Damaged containers: each gets its one error, whichever way the bytes arrive.

use barre_core::gguf::{Field, Gguf, GgufError, Limits, Name, NotGguf, Quantity, ValueType};
use barre_core::io::{AbsOffset, Stream};
use barre_tests::clock::processor_time;
use barre_tests::raw::{Raw, ty};
use barre_tests::readers::Std;
use std::mem::discriminant;

/// Opens `bytes` from a slice, a file, byte by byte, and inside a larger file: the verdict is one.
fn open(bytes: &[u8]) -> Result<Gguf, GgufError> {
    let slice = Gguf::open(&mut &*bytes);
    for most in [usize::MAX, 1, 3] {
        let stream = Gguf::open(&mut Stream::new(Std::short(bytes, most)));
        assert_eq!(stream.as_ref().err(), slice.as_ref().err(), "at most {most} bytes a read");
    }
    const START: u64 = 7;
    let larger = [&[0xee; START as usize][..], bytes, b"GGUF and more"].concat();
    let end = AbsOffset::new(START + bytes.len() as u64);
    for most in [usize::MAX, 1] {
        let mut reader = Stream::new(Std::short(&larger, most));
        let inside = Gguf::open_with(&mut reader, AbsOffset::new(START), Some(end), &Limits::DEFAULT);
        match (&slice, &inside) {
            (Ok(a), Ok(b)) => assert_eq!(a.data().base().get() + START, b.data().base().get()),
            (Err(a), Err(b)) => {
                assert_eq!(discriminant(a), discriminant(b), "{a} | {b}");
                assert_eq!(a.offset().map(|o| o + START), b.offset(), "{a} | {b}");
            }
            _ => panic!("inside a larger file: {slice:?} {inside:?}"),
        }
    }
    slice
}

#[track_caller]
fn refused(id: &str, raw: Raw, want: GgufError) {
    let got = open(&raw.0).expect_err(id);
    assert_eq!(got, want, "{id}: {got}");
    assert!(!got.to_string().contains('\n'), "{id}");
}

#[track_caller]
fn accepted(id: &str, raw: Raw) -> Gguf {
    open(&raw.0).unwrap_or_else(|e| panic!("{id}: {e}"))
}

fn name(s: &str) -> Name {
    Name::from(s)
}

fn truncated(what: Field, n: &str, index: u64, offset: u64, need: u64, have: u64) -> GgufError {
    GgufError::Truncated { what, name: name(n), index, offset, need, have }
}

fn limit(what: Quantity, n: &str, got: u64, max: u64, offset: u64) -> GgufError {
    GgufError::Limit { what, name: name(n), got, max, offset }
}

/// Opens `whole` cut at every length from `from`: truncated, at the cut.
#[track_caller]
fn cut_everywhere(id: &str, whole: &[u8], from: usize) {
    for cut in from..whole.len() {
        let got = open(&whole[..cut]).expect_err(id);
        assert!(matches!(got, GgufError::Truncated { .. }), "{id}: {got}");
        assert_eq!(got.offset(), Some(cut as u64), "{id}: {got}");
    }
}

const KV: u64 = 24;

#[test]
fn header() {
    refused("H01", Raw::default(), truncated(Field::Magic, "", 0, 0, 4, 0));
    refused("H03", Raw(b"GGUF".to_vec()), truncated(Field::Version, "", 0, 4, 4, 0));
    let magic = |got: &[u8; 4], hint| GgufError::BadMagic { got: *got, hint, offset: 0 };
    refused("H04", Raw(b"FUGG".to_vec()), magic(b"FUGG", NotGguf::Unknown));
    for old in [b"lmgg", b"tjgg", b"fmgg"] {
        refused("H05", Raw(old.to_vec()).u32(1), magic(old, NotGguf::Ggml));
    }
    let lfs = b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n";
    refused("LFS", Raw(lfs.to_vec()), magic(b"vers", NotGguf::GitLfsPointer));
    let safetensors = Raw::default().u64(19).raw(b"{\"__metadata__\":{}}");
    refused("safetensors", safetensors, magic(&[19, 0, 0, 0], NotGguf::Safetensors));
    refused("zip", Raw(b"PK\x03\x04....".to_vec()), magic(b"PK\x03\x04", NotGguf::Zip));
    refused("pickle", Raw(b"\x80\x02}q\0".to_vec()), magic(b"\x80\x02}q", NotGguf::Pickle));
    let version = |version| GgufError::UnsupportedVersion { version, offset: 4 };
    refused("H08", Raw::with_version(1, 0, 0), version(1));
    refused("H08", Raw::with_version(0, 0, 0), version(0));
    refused("H10", Raw::with_version(0x0300_0000, 0, 0), GgufError::WrongEndian { offset: 4 });
    refused("H11", Raw::with_version(u32::MAX, 0, 0), version(u32::MAX));
    for n in [u64::MAX, 1 << 60] {
        refused("H12 H15", Raw::new(n, 0).data(100), limit(Quantity::TensorCount, "", n, 3, 8));
        refused("H13", Raw::new(0, n).data(100), limit(Quantity::KvCount, "", n, 7, 16));
    }
    let one = Raw::new(2, 0).info("a", &[8], 0, 0);
    let want = GgufError::BadName { index: 1, name: Name::EMPTY, offset: one.at() };
    refused("H16", one.pad(32).raw(&[0; 32]), want);
    let two = Raw::new(1, 0).info("a", &[8], 0, 0).info("b", &[8], 0, 32).pad(32).data(64);
    let gguf = accepted("H17", two);
    assert_eq!(gguf.tensors().len(), 1);
    assert!(gguf.tensor("b").is_none());
    cut_everywhere("H19", &Raw::new(0, 0).0, 0);
}

#[test]
fn metadata_keys_and_strings() {
    let kv = || Raw::new(0, 1);
    for len in [u64::MAX, 1 << 63, 11] {
        refused("K01 K02 K03", kv().u64(len).data(10), truncated(Field::Key, "", 0, 42, len, 10));
    }
    refused("K04", kv().str("").u32(0).u8(1), GgufError::EmptyKey { index: 0, offset: KV });
    let long = kv().key(vec![b'k'; 65_536], ty::U8).u8(1);
    refused("K05", long, limit(Quantity::KeyLen, "", 65_536, 65_535, KV));
    accepted("K05, one less", kv().key(vec![b'k'; 65_535], ty::U8).u8(1));
    let twice = Raw::new(0, 3).kv_u32("b", 1).kv_u32("a", 1);
    let at = twice.at();
    refused("K08", twice.kv_u32("b", 2), GgufError::DuplicateKey { key: name("b"), offset: at });
    let twice = Raw::new(0, 2).kv_str("b", "x").array("b", ty::U8, 1).u8(0);
    refused("K08", twice, GgufError::DuplicateKey { key: name("b"), offset: KV + 22 });
    let twice = Raw::new(0, 2).kv_u32("b", 1).kv_str("b", "x");
    refused("K08", twice, GgufError::DuplicateKey { key: name("b"), offset: KV + 17 });
    for got in [13, u32::MAX] {
        let want = GgufError::BadValueType { key: name("key"), got, offset: KV + 11 };
        refused("K10", kv().key("key", got).u64(0), want);
        let want = GgufError::BadValueType { key: name("key"), got, offset: KV + 15 };
        refused("K14", kv().array("key", got, 1).u64(0), want);
    }
    for len in [u64::MAX, 1 << 30] {
        let cut = kv().key("key", ty::STRING).u64(len).data(30);
        refused("K11 K12", cut, truncated(Field::String, "key", 0, KV + 53, len, 30));
    }
    cut_everywhere("K13", &kv().kv_str("key", "a string of some length").0, 24);
    for value in [2, 255] {
        let bad = |offset| GgufError::BadBool { key: name("key"), value, offset };
        refused("K22", kv().key("key", ty::BOOL).u8(value), bad(KV + 15));
        refused("K22", kv().array("key", ty::BOOL, 2).u8(1).u8(value), bad(KV + 28));
    }
    let free = kv().kv_str("key", b"ab\xff");
    let gguf = accepted("K25", free.clone());
    let want = GgufError::BadUtf8 { key: name("key"), offset: KV + 25 };
    assert_eq!(gguf.text("key"), Err(want), "K25");
    let entry = gguf.require("key").unwrap();
    assert_eq!(entry.read_bytes(&mut &*free.0, &mut [0; 8]), Ok(&b"ab\xff"[..]), "K25");
    assert_eq!(entry.read_str(&mut &*free.0, &mut [0; 8]), Err(want), "K25");
    let small = GgufError::BufferTooSmall { key: name("key"), need: 3 };
    assert_eq!(entry.read_bytes(&mut &*free.0, &mut [0; 2]), Err(small));
    let gguf = accepted("K28", Raw::new(0, 2).kv_u32("n", 7).kv_str("s", "x"));
    let wrong = |key, got, want, offset| GgufError::WrongType { key: name(key), got, want, offset };
    assert_eq!(gguf.uint("s"), Err(wrong("s", ValueType::String, "an integer", KV + 17 + 21)), "K28");
    assert_eq!(gguf.text("n"), Err(wrong("n", ValueType::U32, "string", KV + 13)), "K28");
    assert_eq!(gguf.uint("n"), Ok(Some(7)));
    assert_eq!(gguf.require("x").err(), Some(GgufError::MissingKey { key: name("x") }));
    let gguf = accepted("P28", kv().key("n", ty::I32).u32(u32::MAX));
    assert_eq!(gguf.uint("n"), Err(GgufError::OutOfRange { key: name("n"), offset: KV + 13 }));
    assert_eq!(gguf.require("n").unwrap().int(), Ok(-1));
}

#[test]
fn metadata_arrays() {
    let kv = || Raw::new(0, 1);
    let nested =
        kv().array("key", ty::ARRAY, 2).u32(ty::U8).u64(3).raw(b"abc").u32(ty::STRING).u64(1).str("x");
    let gguf = accepted("K15", nested);
    let got = gguf.require("key").unwrap().array_of(ValueType::String).unwrap_err();
    let want =
        GgufError::WrongType { key: name("key"), got: ValueType::Array, want: "string", offset: KV + 27 };
    assert_eq!(got, want, "K15");
    let mut deep = kv().array("key", ty::ARRAY, 1);
    for _ in 0..3000 {
        deep = deep.u32(ty::ARRAY).u64(1);
    }
    refused("K16", deep, limit(Quantity::ArrayDepth, "key", 5, 4, KV + 15 + 36));
    let mut four = Raw::new(0, 2).array("key", ty::ARRAY, 2);
    for _ in 0..2 {
        four = four.u32(ty::ARRAY).u64(2);
        for _ in 0..2 {
            four = four.u32(ty::ARRAY).u64(1).u32(ty::U8).u64(0);
        }
    }
    assert_eq!(accepted("K16, 4 deep", four.kv_u32("next", 5)).uint("next"), Ok(Some(5)));
    let wide = kv().array("key", ty::U8, u64::MAX).data(10);
    refused("K17", wide, limit(Quantity::ArrayLen, "key", u64::MAX, 10, KV + 19));
    let wrap = (1 << 61) + 1;
    let wraps = kv().array("key", ty::U64, wrap).data(16);
    refused("K18", wraps, limit(Quantity::ArrayLen, "key", wrap, 2, KV + 19));
    let cut = kv().array("key", ty::U32, 9).data(10);
    refused("K17", cut, truncated(Field::Element, "key", 2, KV + 37, 36, 10));
    let last = kv().array("key", ty::STRING, 3).str("a").str("b").u64(5).raw(b"abc");
    let end = last.at();
    refused("K20", last, truncated(Field::Element, "key", 2, end, 5, 3));
}

#[test]
fn a_value_over_its_limit_is_an_error_and_never_skipped() {
    let raw = Raw::new(0, 2).kv_str("long", "123456789").kv_u32("next", 1);
    let limits = Limits { string: 8, ..Limits::DEFAULT };
    let got = Gguf::open_with(&mut &*raw.0, AbsOffset::ZERO, None, &limits).expect_err("K24");
    assert_eq!(got, limit(Quantity::StringLen, "long", 9, 8, KV + 16));
}

/// `n` pairs of 21 bytes, their keys in no order.
fn pairs(n: u32) -> Raw {
    let mut raw = Raw::new(0, u64::from(n));
    for i in 0..n {
        raw.0.extend(8u64.to_le_bytes());
        raw.0.extend(format!("{:08x}", i.reverse_bits()).as_bytes());
        raw.0.extend([0, 0, 0, 0, 1]);
    }
    raw
}

#[test]
fn a_million_pairs_are_refused_at_once_and_take_no_square_time_if_allowed() {
    let many = pairs(1_000_000);
    let got = Gguf::open(&mut &*many.0).expect_err("K26");
    assert_eq!(got, limit(Quantity::KvCount, "", 1_000_000, 4096, 16));
    let limits = Limits { n_kv: 1 << 20, ..Limits::DEFAULT };
    let time = |raw: &Raw| {
        let once = |_| {
            let start = processor_time();
            let gguf = Gguf::open_with(&mut &*raw.0, AbsOffset::ZERO, None, &limits).expect("K26 K27");
            assert_eq!(gguf.uint("00000000"), Ok(Some(1)));
            processor_time() - start
        };
        (0..3).map(once).min().expect("three runs")
    };
    let (few, many) = (time(&pairs(50_000)), time(&many));
    // 20 times the pairs: 400 in square time; measured about 60, for the larger directory leaves the cache.
    assert!(many < 150 * few, "{few:?} {many:?}");
    println!("{few:?} for 50,000 pairs, {many:?} for a million");
}

#[test]
fn alignment() {
    const KEY: &str = "general.alignment";
    const AT: u64 = KV + 8 + 17 + 4;
    let with = |v| Raw::new(0, 1).kv_u32(KEY, v);
    for got in [0, 13, 3, 12] {
        refused("A01 A02", with(got), GgufError::BadAlignment { got, offset: AT });
    }
    let wrong = |got, offset| GgufError::WrongType { key: name(KEY), got, want: "u32", offset };
    let kv = || Raw::new(0, 1);
    refused("A03", kv().key(KEY, ty::I32).u32(32), wrong(ValueType::I32, AT));
    refused("A04", kv().key(KEY, ty::U64).u64(32), wrong(ValueType::U64, AT));
    refused("A04", kv().kv_str(KEY, "32"), wrong(ValueType::String, AT + 8));
    refused("A04", kv().array(KEY, ty::U32, 1).u32(32), wrong(ValueType::Array, AT + 12));
    refused("A04", kv().key(KEY, ty::BOOL).u8(1), wrong(ValueType::Bool, AT));
    for v in [1 << 31, 1 << 30, (1 << 20) + 8] {
        refused("A05 A06", with(v), limit(Quantity::Alignment, KEY, u64::from(v), 1 << 20, AT));
    }
    for v in [1, 2, 4, 8, 24, 32, 64, 4096, 1 << 20] {
        assert_eq!(accepted("A08", with(v)).alignment(), v);
    }
    let raw = Raw::new(2, 1).kv_u32(KEY, 64).info("a", &[8], 0, 0);
    let offset = raw.at();
    let raw = raw.info("b", &[8], 0, 32).pad(64).data(128);
    refused("A09", raw, GgufError::BadOffset { tensor: name("b"), rel: 32, alignment: 64, offset });
    let raw = Raw::new(2, 1).kv_u32(KEY, 24).info("a", &[8], 0, 0).info("b", &[8], 0, 48);
    let base = raw.at().next_multiple_of(24);
    let gguf = accepted("A08", raw.pad(24).data(80));
    assert_eq!(gguf.tensor("b").unwrap().abs().get(), base + 48);
}

#[test]
fn tensor_names_and_shapes() {
    let one = || Raw::new(1, 0);
    for len in [u64::MAX, 1 << 63, 41] {
        refused("T01", one().u64(len).data(40), truncated(Field::TensorName, "", 0, KV + 48, len, 40));
    }
    let long = "n".repeat(64);
    assert!(accepted("T02", one().info(&long, &[8], 0, 0).pad(32).data(32)).tensor(&long).is_some());
    let longer = one().info("n".repeat(65), &[8], 0, 0).pad(32).data(32);
    refused("T03", longer, limit(Quantity::TensorName, "", 65, 64, KV));
    for bad in [&b""[..], b"a\0b", b"\xff"] {
        let want = GgufError::BadName { index: 0, name: Name::new(bad), offset: KV };
        refused("T04 T06", one().info(bad, &[8], 0, 0).pad(32).data(32), want);
    }
    for got in [0, 5, 1_000_000, u32::MAX] {
        let want = GgufError::BadNDims { tensor: name("t"), got, offset: KV + 9 };
        refused("T07 T09", one().str("t").u32(got).data(64), want);
    }
    let file = |dims: &[u64], ty, rel| one().info("t", dims, ty, rel).pad(32).data(64);
    let overflow = GgufError::ShapeOverflow { tensor: name("t"), offset: KV + 13 };
    refused("T10", file(&[u64::MAX], 0, 0), overflow);
    refused("T10", file(&[8, u64::MAX], 0, 0), overflow);
    let gguf = accepted("T11 M14", file(&[8, 0], 0, 0));
    assert_eq!(gguf.tensor("t").unwrap().bytes(), Some(0));
    refused("T12", file(&[4_194_305, 4_194_305, 211_106_198_978_564], 0, 0), overflow);
    refused("T13", file(&[u64::MAX, 2], 0, 0), overflow);
    refused("T14", file(&[1 << 62], 0, 0), overflow);
    refused("T15", file(&[4, (1 << 30) - 1, (1 << 30) + 1], 0, 0), overflow);
    for got in [43, u32::MAX, 1 << 31] {
        let want = GgufError::UnknownTensorType { tensor: name("t"), got, offset: KV + 21 };
        refused("T18", file(&[8], got, 0), want);
    }
    let row = GgufError::RowNotBlockMultiple { tensor: name("t"), k: 257, block_len: 256, offset: KV + 13 };
    refused("T20", file(&[257], 12, 0), row);
    cut_everywhere("T30", &one().info("name", &[8, 2], 0, 0).0, 24);
}

#[test]
fn tensor_places() {
    let one = || Raw::new(1, 0);
    let file = |dims: &[u64], rel| one().info("t", dims, 0, rel).pad(32).data(64);
    let outside = |tensor, end, file_end, offset| {
        let tensor = name(tensor);
        GgufError::TensorOutOfFile { tensor, end, file_end, offset }
    };
    const BIG: u64 = 0x7fff_ffff_ffff_ffc0;
    let two = Raw::new(2, 0).info("a", &[BIG], 24, 0).info("b", &[BIG], 24, BIG).pad(32).data(64);
    let file_end = two.at();
    refused("T16", two, outside("a", file_end - 64 + BIG, file_end, KV));
    for rel in [u64::MAX, u64::MAX - 31] {
        let want = GgufError::OffsetOverflow { tensor: name("t"), rel, offset: KV };
        refused("T24", file(&[8], rel), want);
    }
    let end = file(&[8], 0).at();
    let base = end - 64;
    for rel in [65, 96, 1 << 40] {
        refused("T25", file(&[8], rel), outside("t", base + rel + 32, end, KV));
    }
    refused("T26", file(&[17], 0), outside("t", base + 68, end, KV));
    refused("T26", file(&[9], 32), outside("t", base + 68, end, KV));
    accepted("T26, one less", file(&[16], 0));
    let twice = Raw::new(2, 0).info("b", &[8], 0, 32).info("a", &[16], 0, 0).pad(32).data(64);
    let offset = twice.at() - 32;
    refused("T27", twice, GgufError::Overlap { a: name("a"), b: name("b"), offset });
    let same = Raw::new(2, 0).info("t", &[8], 0, 0).info("t", &[8], 0, 32).pad(32).data(64);
    refused("T05", same, GgufError::DuplicateTensor { tensor: name("t"), offset: KV + 33 });
    let gguf = accepted("T28", Raw::new(2, 0).info("b", &[8], 0, 32).info("a", &[8], 0, 0).pad(32).data(64));
    assert_eq!((gguf.gap_bytes(), gguf.trailing_bytes()), (0, 0));
    let gap = Raw::new(2, 0).info("a", &[8], 0, 32).info("b", &[3], 0, 128).pad(32).data(192);
    let gguf = accepted("T29 D04", gap);
    assert_eq!((gguf.gap_bytes(), gguf.trailing_bytes()), (32 + 64, 32));
    let cut = one().info("t", &[8], 0, 0).raw(&[0; 6]);
    refused("T31", cut, truncated(Field::DataStart, "", 0, 63, 7, 6));
}

#[test]
fn what_must_be_accepted() {
    let v2 = Raw::with_version(2, 1, 0).info("t", &[3], 0, 0).pad(32).data(12);
    let gguf = accepted("M01 M03 M05", v2);
    assert_eq!((gguf.version(), gguf.alignment()), (2, 32));
    let empty = accepted("M02", Raw::new(0, 0));
    assert_eq!((empty.tensors().len(), empty.metadata().len()), (0, 0));
    let mut all = Raw::new(0, 25);
    for (number, t) in ValueType::ALL.into_iter().enumerate() {
        let number = number as u32;
        let value = |raw: Raw| match t {
            ValueType::String => raw.str("text"),
            ValueType::Array => raw.u32(ty::U8).u64(2).raw(b"xy"),
            _ => raw.raw(&[1, 0, 0, 0, 0, 0, 0, 0][..t.fixed_bytes().unwrap() as usize]),
        };
        all = value(all.key(format!("scalar.{number}"), number));
        if t != ValueType::Array {
            all = value(value(all.array(&format!("array.{number}"), number, 2)));
        }
    }
    assert_eq!(accepted("M06", all).metadata().len(), 25);
    let arch = Raw::new(0, 2).kv_str("general.architecture", "nemotron_h_moe").kv_str("b", "gpt-oss");
    assert_eq!(accepted("M07", arch).text("general.architecture"), Ok(Some("nemotron_h_moe")));
    let counts = Raw::new(0, 2).kv_u32("a", 7).key("b", ty::U64).u64(7);
    let gguf = accepted("M08", counts);
    assert_eq!((gguf.uint("a"), gguf.uint("b")), (Ok(Some(7)), Ok(Some(7))));
    for (known, size) in [(20, 144), (39, 136)] {
        let gguf = accepted("M13", Raw::new(1, 0).info("mtp", &[256], known, 0).pad(32).data(144));
        assert!(gguf.tensor("mtp").unwrap().format().is_err());
        assert_eq!(gguf.tensor("mtp").unwrap().bytes(), Some(size));
    }
    let gguf = accepted("M13", Raw::new(1, 0).info("mtp", &[256], 42, 0).pad(32).data(1));
    assert_eq!(gguf.tensor("mtp").unwrap().bytes(), None);
}

fn small() -> Raw {
    Raw::new(2, 4)
        .kv_str("general.architecture", "llama")
        .kv_u32("general.alignment", 32)
        .array("tokens", ty::STRING, 3)
        .str("a")
        .str("bc")
        .str("")
        .array("nested", ty::ARRAY, 1)
        .u32(ty::BOOL)
        .u64(2)
        .raw(&[0, 1])
        .info("a.weight", &[32, 2], 8, 0)
        .info("b.weight", &[8], 0, 96)
        .pad(32)
        .data(128)
}

#[test]
fn a_file_cut_anywhere_names_the_cut() {
    let whole = small().0;
    let base = open(&whole).unwrap().data().base().get() as usize;
    for cut in 0..whole.len() {
        match open(&whole[..cut]).expect_err("a needed byte is missing") {
            GgufError::Truncated { offset, .. } => {
                assert!(cut < base);
                assert_eq!(offset, cut as u64);
            }
            GgufError::TensorOutOfFile { file_end, .. } => {
                assert!(cut >= base);
                assert_eq!(file_end, cut as u64);
            }
            other => panic!("cut at {cut}: {other}"),
        }
    }
}

#[test]
fn no_flipped_bit_panics_and_all_readers_agree() {
    let whole = small().0;
    let (mut refused, mut accepted) = (0, 0);
    for bit in 0..whole.len() * 8 {
        let mut bytes = whole.clone();
        bytes[bit / 8] ^= 1 << (bit % 8);
        match open(&bytes) {
            Ok(gguf) => {
                accepted += 1;
                for tensor in gguf.tensors() {
                    let end = tensor.abs().get() + tensor.bytes().unwrap_or(0);
                    assert!(end <= bytes.len() as u64);
                }
            }
            Err(_) => refused += 1,
        }
    }
    println!("{refused} flipped bits refused, {accepted} give another valid file");
    assert!(refused > 0 && accepted > 0);
}
