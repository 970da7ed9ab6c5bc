//! One saved session, byte for byte the same on every machine: big-endian ones too, which Miri emulates.

use crate::gguf::Gguf;
use crate::gguf::writer::{Builder, Value};
use crate::kernels::{Kernels, KvType, Mode, Serial};
use crate::model::{Limits, Model, Plan, WeightPlacement};
use crate::quant::WeightFormat;
use crate::session::Session;
use std::vec;
use std::vec::Vec;

struct Sink(Vec<u8>);

impl embedded_io::ErrorType for Sink {
    type Error = embedded_io::ErrorKind;
}

impl embedded_io::Write for Sink {
    fn write(&mut self, buf: &[u8]) -> Result<usize, Self::Error> {
        self.0.extend_from_slice(buf);
        Ok(buf.len())
    }

    fn flush(&mut self) -> Result<(), Self::Error> {
        Ok(())
    }
}

/// One layer of width 32 in Q8_0, heads of `head_len` (two, and one of keys and values), and eight tokens.
fn file(head_len: u32) -> Vec<u8> {
    let mut header = Builder::new();
    let tokens: [&[u8]; 8] = [b"a", b"b", b"c", b"d", b"e", b"f", b"g", b"h"];
    for (key, value) in [
        ("general.architecture", Value::String(b"llama")),
        ("llama.block_count", Value::U32(1)),
        ("llama.embedding_length", Value::U32(32)),
        ("llama.context_length", Value::U32(8)),
        ("llama.feed_forward_length", Value::U32(32)),
        ("llama.attention.head_count", Value::U32(2)),
        ("llama.attention.head_count_kv", Value::U32(1)),
        ("llama.attention.key_length", Value::U32(head_len)),
        ("llama.attention.value_length", Value::U32(head_len)),
        ("llama.attention.layer_norm_rms_epsilon", Value::F32(1e-5)),
        ("tokenizer.ggml.tokens", Value::Strings(&tokens)),
    ] {
        header.kv(key, value).unwrap();
    }
    let heads = u64::from(head_len);
    let tensors = [
        ("output_norm.weight", 32, 1, WeightFormat::F32),
        ("blk.0.attn_norm.weight", 32, 1, WeightFormat::F32),
        ("blk.0.ffn_norm.weight", 32, 1, WeightFormat::F32),
        ("token_embd.weight", 32, 8, WeightFormat::Q8_0),
        ("blk.0.attn_q.weight", 32, 2 * heads, WeightFormat::Q8_0),
        ("blk.0.attn_k.weight", 32, heads, WeightFormat::Q8_0),
        ("blk.0.attn_v.weight", 32, heads, WeightFormat::Q8_0),
        ("blk.0.attn_output.weight", 2 * heads, 32, WeightFormat::Q8_0),
        ("blk.0.ffn_gate.weight", 32, 32, WeightFormat::Q8_0),
        ("blk.0.ffn_up.weight", 32, 32, WeightFormat::Q8_0),
        ("blk.0.ffn_down.weight", 32, 32, WeightFormat::Q8_0),
    ];
    for (name, k, n, format) in tensors {
        header.tensor(name, &[k, n], format).unwrap();
    }
    let mut writer = header.begin(Sink(Vec::new())).unwrap();
    let mut seed = 1u32;
    let mut byte = || {
        seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (seed >> 24) as u8
    };
    for (_, k, n, format) in tensors {
        let mut data = Vec::new();
        for _ in 0..n {
            match format {
                WeightFormat::F32 => (0..k).for_each(|i| data.extend((1.0 + i as f32 / 64.0).to_le_bytes())),
                // Blocks: a scale of 2^-9, then the weights.
                _ => (0..k / 32).for_each(|_| {
                    data.extend(0x1800u16.to_le_bytes());
                    data.extend((0..32).map(|_| byte()));
                }),
            }
        }
        writer.tensor(&data).unwrap();
    }
    writer.finish().unwrap().0
}

/// FNV-1a.
fn hash(bytes: impl Iterator<Item = u8>) -> u64 {
    bytes.fold(0xcbf2_9ce4_8422_2325, |h, b| (h ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3))
}

#[test]
fn a_saved_session_is_the_same_on_every_machine() {
    let kernels = Kernels::scalar();
    for ((kv, head_len), want) in
        [(KvType::F16, 16), (KvType::F32, 16), (KvType::Q8_0, 32)].into_iter().zip(WANT)
    {
        if !kv.is_compiled() {
            std::println!("{kv:?}: left out, as its feature is");
            continue;
        }
        let file = file(head_len);
        let mut reader = &file[..];
        let gguf = Gguf::open(&mut reader).unwrap();
        let model = Model::load(&gguf, &mut reader).unwrap();
        let limits = Limits {
            context: 4,
            batch: 2,
            kv,
            mode: Mode::Int8,
            threads: 1,
            weights: WeightPlacement::Mapped,
        };
        let plan = Plan::new(&model, &kernels, &limits).unwrap();
        let mut memory = vec![0xa5; plan.bytes() + Plan::ALIGN];
        let start = memory.as_ptr().align_offset(Plan::ALIGN);
        let arena = &mut memory[start..][..plan.bytes()];
        let mut session = Session::new(&model, reader, &plan, arena, &kernels, &Serial).unwrap();
        session.prefill(&[1, 5]).unwrap();
        let mut saved = Sink(Vec::new());
        session.save(&mut saved).unwrap();
        let next: Vec<u32> = session.step(7).unwrap().iter().map(|x| x.to_bits()).collect();
        let got = (hash(saved.0.iter().copied()), hash(next.iter().flat_map(|x| x.to_le_bytes())));
        assert_eq!(got, want, "{kv:?}: {got:#x?}");

        // Restored beside a live session, and by way of the scratch.
        let mut scratch = [0; 1 << 10];
        for live in [1, 3] {
            session.reset();
            session.prefill(&[6, 6, 6][..live]).unwrap();
            assert_eq!(session.restore(&mut &saved.0[..], &mut scratch), Ok(2));
        }
        let again = session.step(7).unwrap();
        assert!(again.iter().map(|x| x.to_bits()).eq(next.iter().copied()), "{kv:?}");
    }
}

/// Hashes of the saved session and of the logits that follow, by type of keys and values. Of the scalar code on
/// x86-64, as every other has them.
const WANT: [(u64, u64); 3] = [
    (0xfd1c_e799_72d6_60c9, 0x4ad3_ca2c_dc22_77b2),
    (0x81c5_3d34_d90a_91e4, 0xffbf_6580_5961_46b0),
    (0x943f_b850_7de2_cdea, 0xba65_226b_664b_0d10),
];
