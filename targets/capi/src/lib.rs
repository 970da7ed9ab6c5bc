//! barre for C: one static library, one block of memory, no operating system, no allocator, no panic.
//!
//! `docs/firmware-c.md` leads from nothing to the first token; `include/barre.h` is made from this file by cbindgen.
//!
//! The caller hands over one block. [`barre_plan_memory`] says how large it must be, [`barre_init`] puts an engine into it, and
//! there is nothing to free: the block is the caller's again when the last call has returned. Engines in different blocks
//! have nothing in common and may be used by different threads at once; one engine is used by one thread at a time.
//! [`barre_plan_memory`], [`barre_init`], [`barre_begin`] and [`barre_generate`]'s start take memory from their block through
//! a lock of the process: when two meet, one answers `BARRE_STATUS_BUSY` and can be made again.

#![no_std]

#[cfg(test)]
extern crate std;

mod config;
mod engine;
mod heap;
mod reader;
mod status;

pub use config::{Config, Cpu, Kv, ModeKind, Plan, Weights};
pub use engine::End;
pub use reader::Reader;
pub use status::{ErrorInfo, Status, barre_status_text};

use core::ffi::{c_char, c_void};
use core::ptr::NonNull;
use engine::{Engine as Inner, Step};
use reader::Source;

/// Changes when a struct or the meaning of a call does.
pub const BARRE_ABI_VERSION: u32 = 1;

/// An engine in a block of the caller's.
#[derive(Debug)]
pub struct Engine(());

/// What an advance has brought.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventKind {
    /// Nothing yet: `done` of `total` pieces.
    Working = 0,
    /// A token of output; `text` is what it adds, perhaps nothing.
    Token = 1,
    /// The end; `text` is what was held back, most often nothing.
    End = 2,
}

/// What an advance has brought.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Event {
    /// What it is.
    pub kind: EventKind,
    /// With `BARRE_EVENT_KIND_END`: why.
    pub end: End,
    /// With `BARRE_EVENT_KIND_TOKEN`: which.
    pub token: u32,
    /// Bytes of `text`.
    pub text_bytes: u32,
    /// Whole characters of UTF-8, without a NUL; the engine's until its next call.
    pub text: *const c_char,
    /// With `BARRE_EVENT_KIND_WORKING`: pieces done of the present prompt or token.
    pub done: u32,
    /// Pieces in all.
    pub total: u32,
}

/// Sizes of the structs, as one side of the interface sees them.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Abi {
    /// `BARRE_ABI_VERSION`.
    pub version: u32,
    /// `sizeof(barre_reader)`.
    pub reader: u32,
    /// `sizeof(barre_config)`.
    pub config: u32,
    /// `sizeof(barre_plan)`.
    pub plan: u32,
    /// `sizeof(barre_event)`.
    pub event: u32,
    /// `sizeof(barre_error_info)`.
    pub error_info: u32,
}

/// Called for each token: its text (whole characters, perhaps none) and number. False ends the generation.
pub type OnToken = Option<
    unsafe extern "C" fn(context: *mut c_void, text: *const c_char, text_bytes: usize, token: u32) -> bool,
>;

/// The library's version, as in "0.1.0".
#[unsafe(no_mangle)]
pub extern "C" fn barre_version() -> *const c_char {
    concat!(env!("CARGO_PKG_VERSION"), "\0").as_ptr().cast()
}

/// Whether header and library agree: give it `BARRE_ABI`. `BARRE_STATUS_ABI` if not.
///
/// # Safety
/// `header` is null or points to a `barre_abi`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn barre_check_abi(header: *const Abi) -> Status {
    let own = Abi {
        version: BARRE_ABI_VERSION,
        reader: size_of::<Reader>() as u32,
        config: size_of::<Config>() as u32,
        plan: size_of::<Plan>() as u32,
        event: size_of::<Event>() as u32,
        error_info: size_of::<ErrorInfo>() as u32,
    };
    // SAFETY: the caller's word.
    match unsafe { header.as_ref() } {
        None => Status::BadArgument,
        Some(header) if *header == own => Status::Ok,
        Some(_) => Status::Abi,
    }
}

/// Fills `config` with: the model's own context, batches of 16 tokens, prompts of up to 1024 bytes, weights in place or
/// streamed, the likeliest token each time.
///
/// # Safety
/// `config` is null or points to a `barre_config`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn barre_config_default(config: *mut Config) {
    if !config.is_null() {
        // SAFETY: the caller's word.
        unsafe { config.write(Config::DEFAULT) };
    }
}

/// How large a block `barre_init` needs for the same reader and configuration. `scratch` is any memory that the
/// model's tables fit into, the intended block for example; what is in it is lost. `error` may be null.
///
/// # Safety
/// Each pointer is null or points to what its type says, `scratch` to `scratch_bytes` writable bytes; `reader.base` and
/// `config.schema` are null or have the bytes that go with them; `reader.read_at` may be called with `reader.context`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn barre_plan_memory(
    reader: *const Reader,
    config: *const Config,
    scratch: *mut c_void,
    scratch_bytes: usize,
    plan: *mut Plan,
    error: *mut ErrorInfo,
) -> Status {
    // SAFETY: the caller's word.
    let (reader, config, plan) = unsafe { (reader.as_ref(), config.as_ref(), plan.as_mut()) };
    let result = match (reader, config, plan) {
        (Some(&reader), Some(config), Some(plan)) if !scratch.is_null() => {
            // SAFETY: the caller's word.
            unsafe {
                Source::new(reader)
                    .ok_or(Status::BadArgument.into())
                    .and_then(|source| engine::plan(scratch.cast(), scratch_bytes, source, config))
                    .map(|own| *plan = own)
            }
        }
        _ => Err(Status::BadArgument.into()),
    };
    // SAFETY: the caller's word.
    unsafe { answer(result, error) }
}

/// Opens the model, puts an engine into `block` and the engine's address into `engine`. `error` may be null.
///
/// # Safety
/// As `barre_plan_memory`; and the block, `reader.context` and the bytes at `reader.base` stay the engine's until the last call
/// with it. There is nothing to free.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn barre_init(
    reader: *const Reader,
    config: *const Config,
    block: *mut c_void,
    block_bytes: usize,
    engine: *mut *mut Engine,
    error: *mut ErrorInfo,
) -> Status {
    // SAFETY: the caller's word.
    let (reader, config, engine) = unsafe { (reader.as_ref(), config.as_ref(), engine.as_mut()) };
    let result = match (reader, config, engine) {
        (Some(&reader), Some(config), Some(engine)) if !block.is_null() => {
            *engine = core::ptr::null_mut();
            // SAFETY: the caller's word.
            unsafe {
                Source::new(reader)
                    .ok_or(Status::BadArgument.into())
                    .and_then(|source| engine::init(block.cast(), block_bytes, source, config))
                    .map(|place| *engine = place.as_ptr().cast())
            }
        }
        _ => Err(Status::BadArgument.into()),
    };
    // SAFETY: the caller's word.
    unsafe { answer(result, error) }
}

/// Makes of a JSON Schema what `config.schema` takes as well, to be kept in flash: it is read without the memory and the
/// time that the text takes, and a library without the feature `schema` takes nothing else. `compiled` is an address in
/// `scratch` afterwards, `compiled_bytes` how much lies there. `BARRE_STATUS_UNSUPPORTED` where this build has no schemas.
///
/// # Safety
/// Each pointer is null or points to what its type says; `schema` has `schema_bytes` bytes, `scratch` `scratch_bytes`
/// writable ones.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn barre_compile_schema(
    schema: *const c_char,
    schema_bytes: usize,
    scratch: *mut c_void,
    scratch_bytes: usize,
    compiled: *mut *const c_char,
    compiled_bytes: *mut usize,
    error: *mut ErrorInfo,
) -> Status {
    // SAFETY: the caller's word.
    let out =
        unsafe { (slice(schema.cast::<u8>(), schema_bytes), compiled.as_mut(), compiled_bytes.as_mut()) };
    let result = match out {
        #[cfg(feature = "schema")]
        (Some(text), Some(compiled), Some(compiled_bytes)) if !scratch.is_null() => {
            // SAFETY: the caller's word.
            unsafe { engine::compile_schema(text, scratch.cast(), scratch_bytes) }.map(|bytes| {
                *compiled = bytes.as_ptr().cast::<c_char>().cast_const();
                *compiled_bytes = bytes.len();
            })
        }
        #[cfg(not(feature = "schema"))]
        (Some(_), Some(_), Some(_)) if !scratch.is_null() && scratch_bytes > 0 => {
            Err(Status::Unsupported.into())
        }
        _ => Err(Status::BadArgument.into()),
    };
    // SAFETY: the caller's word.
    unsafe { answer(result, error) }
}

/// Prepares to take `text` in after what the engine knows, and to add up to `max_tokens` tokens. Nothing is computed yet;
/// `barre_advance` does it.
///
/// # Safety
/// `engine` is null or of `barre_init`; `text` has `text_bytes` bytes; `error` is null or a `barre_error_info`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn barre_begin(
    engine: *mut Engine,
    text: *const c_char,
    text_bytes: usize,
    max_tokens: u32,
    error: *mut ErrorInfo,
) -> Status {
    // SAFETY: the caller's word.
    let result = match unsafe { (inner(engine), slice(text.cast(), text_bytes)) } {
        (Some(engine), Some(text)) => engine.begin(text, max_tokens as usize),
        _ => Err(Status::BadArgument.into()),
    };
    // SAFETY: the caller's word.
    unsafe { answer(result, error) }
}

/// As `barre_begin`, with tokens instead of a text.
///
/// # Safety
/// As `barre_begin`; `tokens` has `count` numbers.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn barre_begin_tokens(
    engine: *mut Engine,
    tokens: *const u32,
    count: usize,
    max_tokens: u32,
    error: *mut ErrorInfo,
) -> Status {
    // SAFETY: the caller's word.
    let result = match unsafe { (inner(engine), slice(tokens, count)) } {
        (Some(engine), Some(tokens)) => engine.begin_tokens(tokens, max_tokens as usize),
        _ => Err(Status::BadArgument.into()),
    };
    // SAFETY: the caller's word.
    unsafe { answer(result, error) }
}

/// Does a bounded piece of work, half a layer at most, and says what it brought. Feed the watchdog between calls. After
/// `BARRE_STATUS_READER` the same call can be made again and loses nothing.
///
/// # Safety
/// `engine` is null or of `barre_init`; `event` is null or a `barre_event`; `error` is null or a `barre_error_info`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn barre_advance(
    engine: *mut Engine,
    event: *mut Event,
    error: *mut ErrorInfo,
) -> Status {
    // SAFETY: the caller's word.
    let result = match unsafe { (inner(engine), event.as_mut()) } {
        (Some(engine), Some(event)) => engine.advance().map(|step| {
            let text = engine.text();
            let (kind, end, token, done, total) = match step {
                Step::Working { done, total } => (EventKind::Working, End::None, 0, done, total),
                Step::Token(token) => (EventKind::Token, End::None, token, 0, 0),
                Step::End(end) => (EventKind::End, end, 0, 0, 0),
            };
            let (done, total) = (done as u32, total as u32);
            let text_bytes = text.len() as u32;
            *event = Event { kind, end, token, text_bytes, text: text.as_ptr().cast(), done, total };
        }),
        _ => Err(Status::BadArgument.into()),
    };
    // SAFETY: the caller's word.
    unsafe { answer(result, error) }
}

/// `barre_begin` and `barre_advance` until the end: `on_token` gets each token. `end` and `error` may be null.
///
/// # Safety
/// As `barre_begin`; `on_token` may be called with `context`; `end` is null or a `barre_end`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn barre_generate(
    engine: *mut Engine,
    text: *const c_char,
    text_bytes: usize,
    max_tokens: u32,
    on_token: OnToken,
    context: *mut c_void,
    end: *mut End,
    error: *mut ErrorInfo,
) -> Status {
    // SAFETY: the caller's word.
    let result = match unsafe { (inner(engine), slice(text.cast(), text_bytes)) } {
        (Some(engine), Some(text)) => {
            generate(engine, text, max_tokens as usize, &mut |text, token| match on_token {
                // SAFETY: the caller's word.
                Some(on_token) => unsafe { on_token(context, text.as_ptr().cast(), text.len(), token) },
                None => true,
            })
        }
        _ => Err(Status::BadArgument.into()),
    };
    let result = result.map(|why| {
        // SAFETY: the caller's word.
        if let Some(end) = unsafe { end.as_mut() } {
            *end = why;
        }
    });
    // SAFETY: the caller's word.
    unsafe { answer(result, error) }
}

/// Drops the generation under way; what has been taken in whole stays.
///
/// # Safety
/// `engine` is null or of `barre_init`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn barre_cancel(engine: *mut Engine) {
    // SAFETY: the caller's word.
    if let Some(engine) = unsafe { inner(engine) } {
        engine.cancel();
    }
}

/// Forgets everything after the first `position` tokens; 0 forgets all.
///
/// # Safety
/// As `barre_cancel`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn barre_rewind(engine: *mut Engine, position: u32) -> Status {
    // SAFETY: the caller's word.
    match unsafe { inner(engine) } {
        Some(engine) => engine.rewind(position as usize).map_or_else(|e| e.status, |()| Status::Ok),
        None => Status::BadArgument,
    }
}

/// Tokens taken in.
///
/// # Safety
/// As `barre_cancel`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn barre_position(engine: *mut Engine) -> u32 {
    // SAFETY: the caller's word.
    unsafe { inner(engine) }.map_or(0, |engine| engine.position() as u32)
}

/// The logits after the last token taken in, `count` of them, one a token of the vocabulary; null while there are none.
/// They are the engine's until its next call.
///
/// # Safety
/// As `barre_cancel`; `count` is null or a `uint32_t`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn barre_logits(engine: *mut Engine, count: *mut u32) -> *const f32 {
    // SAFETY: the caller's word.
    let logits = unsafe { inner(engine) }.map_or(&[][..], |engine| engine.logits());
    // SAFETY: the caller's word.
    if let Some(count) = unsafe { count.as_mut() } {
        *count = logits.len() as u32;
    }
    if logits.is_empty() { core::ptr::null() } else { logits.as_ptr() }
}

fn generate(
    engine: &mut Inner,
    text: &[u8],
    max_tokens: usize,
    on_token: &mut dyn FnMut(&[u8], u32) -> bool,
) -> Result<End, ErrorInfo> {
    engine.begin(text, max_tokens)?;
    loop {
        match engine.advance() {
            Ok(Step::Working { .. }) => {}
            Ok(Step::Token(token)) => {
                if !on_token(engine.text(), token) {
                    engine.cancel();
                    return Ok(End::None);
                }
            }
            Ok(Step::End(end)) => {
                if !engine.text().is_empty() {
                    on_token(engine.text(), u32::MAX);
                }
                return Ok(end);
            }
            Err(e) => {
                engine.cancel();
                return Err(e);
            }
        }
    }
}

/// # Safety
/// `engine` is null or of `barre_init`, its block is still its own, and no other call with it is under way.
unsafe fn inner<'a>(engine: *mut Engine) -> Option<&'a mut Inner> {
    // SAFETY: the caller's word.
    NonNull::new(engine.cast::<Inner>()).map(|mut inner| unsafe { inner.as_mut() })
}

/// # Safety
/// `at` is null or the address of `len` values.
unsafe fn slice<'a, T>(at: *const T, len: usize) -> Option<&'a [T]> {
    if at.is_null() {
        return if len == 0 { Some(&[]) } else { None };
    }
    // SAFETY: the caller's word.
    Some(unsafe { core::slice::from_raw_parts(at, len) })
}

/// # Safety
/// `error` is null or points to an `ErrorInfo`.
unsafe fn answer(result: Result<(), ErrorInfo>, error: *mut ErrorInfo) -> Status {
    let info = result.err().unwrap_or(ErrorInfo::new(Status::Ok));
    if !error.is_null() {
        // SAFETY: the caller's word.
        unsafe { error.write(info) };
    }
    info.status
}

/// No call panics (the size gate counts the places that could: `./ci.sh capi`). Should one all the same, it stops here.
#[cfg(not(test))]
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {
        core::hint::spin_loop();
    }
}
