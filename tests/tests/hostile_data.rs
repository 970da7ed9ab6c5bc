//! Tensor data that is cut, padded, all zero or a terabyte long; parts of split models; templates.

use barre::source::{Access, Source};
use barre_core::gguf::{Gguf, GgufError, Name, Quantity};
use barre_core::io::{AbsOffset, IoError, ReadAt, Stream};
use barre_core::kernels::{Kernels, Serial};
use barre_core::model::{Model, ModelError, TensorName};
use barre_core::sampler::{Sampler, SamplerParams};
use barre_tests::models::Run;
use barre_tests::raw::{Raw, ty};
use barre_tests::readers::Std;
use barre_tests::synthetic::{Kv, LayerSpec, Spec, Synthetic, Tensor};
use std::fs::File;
use std::io::Write as _;

fn small() -> Synthetic {
    Spec::small().build()
}

/// The verdict on `bytes` from memory, a stream, byte by byte and inside a larger file.
fn open(bytes: &[u8]) -> Result<Gguf, GgufError> {
    let slice = Gguf::open(&mut &*bytes);
    for most in [usize::MAX, 1] {
        let stream = Gguf::open(&mut Stream::new(Std::short(bytes, most)));
        assert_eq!(stream.as_ref().err(), slice.as_ref().err());
    }
    let larger = [&[0xee; 7][..], bytes, b"more"].concat();
    let end = AbsOffset::new(7 + bytes.len() as u64);
    let mut reader = &larger[..];
    let inside = Gguf::open_with(&mut reader, AbsOffset::new(7), Some(end), &Default::default());
    let moved = |e: &GgufError| e.offset().map(|o| o + 7);
    assert_eq!(inside.as_ref().err().and_then(GgufError::offset), slice.as_ref().err().and_then(moved));
    slice
}

fn load(bytes: &[u8]) -> Result<Model, ModelError> {
    let gguf = open(bytes).expect("the container is in order");
    Model::load(&gguf, &mut &*bytes)
}

fn logits(file: &[u8]) -> Vec<f32> {
    Run::new(&Kernels::scalar(), &Serial).logits(file, &[1, 2, 3])
}

/// The file without the padding behind its last tensor.
fn unpadded(model: &Synthetic) -> Vec<u8> {
    let last = model.tensors.last().expect("a tensor");
    let mut file = model.file();
    file.truncate(file.len() - last.data.len().next_multiple_of(32) + last.data.len());
    file
}

#[test]
fn d01_d02_d03_missing_data_is_found_at_open_and_the_first_tensor_without_it_named() {
    let model = small();
    let whole = unpadded(&model);
    let gguf = open(&whole).expect("sound");
    let base = gguf.data().base().get();
    let places: Vec<(String, u64, u64, u64)> = gguf
        .tensors()
        .map(|t| {
            (t.name().to_owned(), t.abs().get(), t.abs().get() + t.bytes().unwrap(), t.info_offset().get())
        })
        .collect();
    // Every length of the data section: a byte short, half, at every boundary of a tensor.
    for cut in base..whole.len() as u64 {
        let (name, _, end, offset) = places.iter().find(|(_, _, end, _)| *end > cut).expect("one is cut");
        let want = GgufError::TensorOutOfFile {
            tensor: Name::from(name.as_str()),
            end: *end,
            file_end: cut,
            offset: *offset,
        };
        let got = Gguf::open(&mut &whole[..cut as usize]).expect_err("D01 D02 D03");
        assert_eq!(got, want, "cut at {cut}");
        if cut == places[0].2 || cut + 1 == whole.len() as u64 || cut == (whole.len() / 2) as u64 {
            assert_eq!(open(&whole[..cut as usize]).expect_err("the same"), want);
        }
    }
}

#[test]
fn d04_d05_d06_what_lies_around_tensors_does_not_matter() {
    let layers = vec![LayerSpec { heads: 4, heads_kv: 2, feed_forward: 25 }; 2];
    let model = Spec { layers, biases: true, ..Spec::small() }.build();
    let want = logits(&model.file());
    let short = unpadded(&model);
    assert!(logits(&short) == want, "D05: no padding after the last tensor");
    let mut trailing = model.file();
    trailing.extend_from_slice(&[0x77; 1000]);
    assert_eq!(open(&trailing).expect("D04").trailing_bytes(), 1000);
    assert!(logits(&trailing) == want, "D04");
    let mut dirty = model.file();
    let gguf = open(&dirty).expect("sound");
    let mut used = vec![false; dirty.len()];
    for t in gguf.tensors() {
        used[t.abs().get() as usize..][..t.bytes().unwrap() as usize].fill(true);
    }
    let infos = gguf.data().base().get() as usize;
    let mut padding = 0;
    for (byte, _) in dirty.iter_mut().zip(used).skip(infos).filter(|(_, used)| !used) {
        *byte = 0xff;
        padding += 1;
    }
    assert!(padding > 0 && logits(&dirty) == want, "D06: {padding} bytes of padding");
}

#[test]
fn d08_a_format_that_is_not_computed_with_is_refused_at_load() {
    // MXFP4 (39): 17 bytes for 32 weights, the first an exponent.
    let mxfp4 = Spec { embedding: 32, ..Spec::small() }.build().edit("blk.0.attn_q.weight", |t| {
        t.ggml_type = 39;
        t.data = vec![0xff; 17 * 32];
    });
    let want = ModelError::TypeNotSupported { tensor: TensorName::new("blk.0.attn_q.weight"), ggml_type: 39 };
    assert_eq!(load(&mxfp4.file()).expect_err("D08"), want);
    // Where nobody needs it, it does no harm.
    let unused = small().plus(Tensor::of("mtp.weight", &[32, 2], 39, vec![0xff; 34]));
    assert!(logits(&unused.file()) == logits(&small().file()), "D08 M13");
}

#[test]
fn d09_weights_of_zero_give_uniform_logits() {
    let mut model = small();
    for t in &mut model.tensors {
        t.data.fill(0);
    }
    let logits = logits(&model.file());
    assert!(logits.iter().all(|&x| x == 0.0), "D09");
    for params in [SamplerParams::GREEDY, SamplerParams { seed: 3, ..SamplerParams::default() }] {
        let mut sampler = Sampler::new(params, 32).expect("sound parameters");
        assert!(sampler.sample(&logits[..32], &[]).is_ok_and(|t| t < 32), "D09");
    }
}

/// Counts what is read.
struct Counted<R> {
    inner: R,
    read: u64,
}

impl<R: ReadAt> ReadAt for Counted<R> {
    fn read_at(&mut self, at: AbsOffset, buf: &mut [u8]) -> Result<(), IoError> {
        self.read += buf.len() as u64;
        self.inner.read_at(at, buf)
    }

    fn len(&mut self) -> Result<u64, IoError> {
        self.inner.len()
    }
}

#[test]
fn d13_a_sparse_terabyte_opens_by_its_header() {
    const TIB: u64 = 1 << 40;
    let path = std::env::temp_dir().join(format!("barre-sparse-{}", std::process::id()));
    let mut raw = Raw::new(1, 0).info("t", &[TIB / 8, 1], 0, 0).pad(32);
    let header = raw.0.len() as u64;
    raw = raw.data(0);
    let mut file = File::create(&path).expect("a temporary file");
    file.write_all(&raw.0).expect("a header");
    let sparse = file.set_len(TIB);
    drop(file);
    if let Err(e) = sparse {
        std::fs::remove_file(&path).expect("it was there");
        eprintln!("LEFT OUT: D13: the temporary folder's file system has no files of a terabyte: {e}");
        return;
    }
    let source = Source::open(&path, Access::Read).expect("a file");
    let mut reader = Counted { inner: &source, read: 0 };
    let gguf = Gguf::open(&mut reader).expect("D13");
    assert_eq!(gguf.tensor("t").and_then(|t| t.bytes()), Some(TIB / 2));
    // The header is read in pages of 4096 bytes.
    assert!(reader.read <= header.next_multiple_of(4096), "D13: {} bytes read", reader.read);
    drop(source);
    std::fs::remove_file(&path).expect("it was there");
}

#[test]
fn s02_s07_s08_s09_a_part_of_a_split_model_is_named() {
    let split = |no: Kv, count: Kv| {
        let with = |model: Synthetic| model.with("split.no", no.clone()).with("split.count", count.clone());
        // The first part has everything, the others nothing but their tensors.
        let later = Synthetic { kv: Vec::new(), tensors: small().tensors };
        (load(&with(small()).file()), load(&with(later).file()))
    };
    for (no, count, want) in [
        (Kv::U16(0), Kv::U16(3), ModelError::Split { no: 0, count: 3 }),
        (Kv::U16(2), Kv::U16(3), ModelError::Split { no: 2, count: 3 }),
        (Kv::U32(1), Kv::U32(2), ModelError::Split { no: 1, count: 2 }),
        (Kv::U16(9), Kv::U16(65_535), ModelError::Split { no: 9, count: 65_535 }),
    ] {
        let (first, later) = split(no, count);
        assert_eq!((first.err(), later.err()), (Some(want), Some(want)), "S02 S08 S09");
        assert!(want.to_string().contains("llama-gguf-split --merge"), "S07: {want}");
    }
    // One part is no split; and parts glued together are the first part with something behind it.
    assert!(split(Kv::U16(0), Kv::U16(1)).0.is_ok());
    let first = small().with("split.no", Kv::U16(0)).with("split.count", Kv::U16(2)).file();
    let glued = [&first[..], &first].concat();
    assert_eq!(load(&glued).err(), Some(ModelError::Split { no: 0, count: 2 }), "S07");
    let wrong = small().with("split.count", Kv::text("2")).file();
    assert!(matches!(load(&wrong), Err(ModelError::Gguf(GgufError::WrongType { .. }))), "S08");
}

#[test]
fn c06_a_template_too_long_or_of_no_text_is_never_interpreted() {
    const KEY: &str = "tokenizer.chat_template";
    // All of its bytes are there, so it is its length that is refused.
    struct Long(Vec<u8>);
    impl ReadAt for Long {
        fn read_at(&mut self, at: AbsOffset, buf: &mut [u8]) -> Result<(), IoError> {
            buf.fill(b'x');
            if let Some(bytes) = self.0.get(at.get() as usize..) {
                let n = bytes.len().min(buf.len());
                buf[..n].copy_from_slice(&bytes[..n]);
            }
            Ok(())
        }
        fn len(&mut self) -> Result<u64, IoError> {
            Ok(200 << 20)
        }
    }
    let got = 100 << 20;
    let mut reader = Long(Raw::new(0, 1).key(KEY, ty::STRING).u64(got).0);
    let what = Quantity::StringLen;
    let want = GgufError::Limit { what, name: Name::from(KEY), got, max: 16 << 20, offset: 24 + 8 + 23 + 4 };
    assert_eq!(Gguf::open(&mut reader).expect_err("C06"), want);
    // C02, C04: a template is text to the core, whatever it says.
    for template in
        [&b"{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}"[..], b"{{ range(10**12) }}", b"\xff\xfe"]
    {
        let raw = Raw::new(0, 1).kv_str(KEY, template);
        let gguf = open(&raw.0).expect("C02 C04 C06");
        match std::str::from_utf8(template) {
            Ok(text) => assert_eq!(gguf.text(KEY), Ok(Some(text)), "C02 C04"),
            Err(_) => {
                let want = GgufError::BadUtf8 { key: Name::from(KEY), offset: 24 + 8 + 23 + 4 + 8 };
                assert_eq!(gguf.text(KEY), Err(want), "C06");
            }
        }
    }
}
