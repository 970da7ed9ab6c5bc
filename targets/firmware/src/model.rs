//! The model that images carry in flash, and what they ask it.

/// The file's bytes, in a static aligned so that its tensors can be multiplied where they lie.
pub static MODEL: &[u8] = &FILE.bytes;

/// What images ask.
pub const PROMPT: &str = "turn on the light";

/// Tokens that images let it add.
pub const NEW_TOKENS: usize = 24;

/// Positions that images plan for.
pub const CONTEXT: usize = 64;

#[repr(C, align(64))]
struct Aligned<T: ?Sized> {
    bytes: T,
}

static FILE: &Aligned<[u8]> = &Aligned { bytes: *include_bytes!("../../../tests/goldens/llama-q4_k_m.gguf") };
