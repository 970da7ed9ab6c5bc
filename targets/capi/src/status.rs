//! What a call answers.

use barre_core::constrain::{ConstrainError, SchemaError};
use barre_core::gguf::GgufError;
use barre_core::io::IoError;
use barre_core::model::{ModelError, PlanError};
use barre_core::sampler::SampleError;
use barre_core::session::SessionError;
use barre_core::tokenizer::{EncodeError, VocabError};
use core::ffi::{CStr, c_char};

/// The answer of every call that can fail. Numbers are never given another meaning.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// It worked.
    Ok = 0,
    /// A pointer is null that must not be, or the handle is none.
    BadArgument = 1,
    /// Header and library are of different versions.
    Abi = 2,
    /// A field of the configuration is out of its range, or this build leaves out what it asks for.
    BadConfig = 3,
    /// Another call that takes memory is under way in this process. Call again.
    Busy = 4,
    /// The block is too small: `need` bytes in all, or 0 if the header could not be read to its end.
    Memory = 5,
    /// The reader callback failed; `reader_code` is what it returned. Call again once the cause is gone.
    Reader = 6,
    /// The data end too early.
    Truncated = 7,
    /// This is no GGUF file, or a damaged one.
    BadFile = 8,
    /// The model, its tokenizer or a tensor's format is not one that this build runs.
    Unsupported = 9,
    /// The model's tensors or hyperparameters contradict each other.
    BadModel = 10,
    /// The vocabulary cannot be used.
    BadVocabulary = 11,
    /// The schema is no JSON Schema of the supported subset, or has no value.
    BadSchema = 12,
    /// The weights are to be mapped and the reader has no `base`.
    NotMapped = 13,
    /// The text has no tokens.
    NoTokens = 14,
    /// The text does not fit the context: `need` positions.
    ContextFull = 15,
    /// A number is no token of the model's.
    BadToken = 16,
    /// A logit is not a finite number: the weights are damaged.
    NonFinite = 17,
    /// The shortest output of the schema takes more tokens than are allowed: `need`.
    Budget = 18,
    /// The calls came in an order that they cannot come in.
    BadOrder = 19,
    /// A defect of the library.
    Internal = 20,
}

impl Status {
    const fn text(self) -> &'static CStr {
        match self {
            Self::Ok => c"no error",
            Self::BadArgument => c"a pointer is null or a handle is none",
            Self::Abi => c"header and library are of different versions",
            Self::BadConfig => c"a field of the configuration is out of range or left out of this build",
            Self::Busy => c"another call that takes memory is under way",
            Self::Memory => c"the block is too small",
            Self::Reader => c"the reader failed",
            Self::Truncated => c"the data end too early",
            Self::BadFile => c"not a GGUF file, or a damaged one",
            Self::Unsupported => c"this build does not run such a model",
            Self::BadModel => c"tensors and hyperparameters contradict each other",
            Self::BadVocabulary => c"the vocabulary cannot be used",
            Self::BadSchema => c"the schema cannot be used",
            Self::NotMapped => c"weights are to be mapped, but the reader has no base address",
            Self::NoTokens => c"the text has no tokens",
            Self::ContextFull => c"the context is full",
            Self::BadToken => c"a number is no token of the model",
            Self::NonFinite => c"a logit is not a finite number",
            Self::Budget => c"too few tokens are allowed for any output of the schema",
            Self::BadOrder => c"the calls came in the wrong order",
            Self::Internal => c"a defect of the library",
        }
    }
}

/// What a failed call can say besides its status. Unknown fields are 0 or empty.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct ErrorInfo {
    /// The call's answer.
    pub status: Status,
    /// What the reader callback returned.
    pub reader_code: i32,
    /// The byte of the file (of the schema for `BARRE_STATUS_BAD_SCHEMA`) at fault.
    pub offset: u64,
    /// What would have been enough: bytes, positions or tokens.
    pub need: u64,
    /// The tensor, key or field at fault, NUL-terminated, cut to fit.
    pub name: [c_char; 64],
}

impl ErrorInfo {
    /// Nothing but a status.
    pub(crate) const fn new(status: Status) -> Self {
        Self { status, reader_code: 0, offset: 0, need: 0, name: [0; 64] }
    }

    fn at(self, offset: u64) -> Self {
        Self { offset, ..self }
    }

    pub(crate) fn needing(self, need: u64) -> Self {
        Self { need, ..self }
    }

    pub(crate) fn named(mut self, name: &[u8]) -> Self {
        // The last byte stays 0.
        for (to, from) in self.name.iter_mut().take(63).zip(name) {
            *to = *from as c_char;
        }
        self
    }
}

impl From<Status> for ErrorInfo {
    fn from(status: Status) -> Self {
        Self::new(status)
    }
}

impl From<IoError> for ErrorInfo {
    fn from(e: IoError) -> Self {
        match e {
            IoError::Truncated { offset, need, .. } => Self::new(Status::Truncated).at(offset).needing(need),
            IoError::Io { offset, .. } | IoError::Contract { offset, .. } => {
                Self::new(Status::Reader).at(offset)
            }
            _ => Self::new(Status::Reader),
        }
    }
}

impl From<GgufError> for ErrorInfo {
    fn from(e: GgufError) -> Self {
        let info = match e {
            GgufError::Io(e) => return e.into(),
            GgufError::OutOfMemory { .. } => Self::new(Status::Memory),
            GgufError::UnsupportedVersion { .. } | GgufError::WrongEndian { .. } => {
                Self::new(Status::Unsupported)
            }
            GgufError::UnknownTensorType { tensor, .. } => {
                Self::new(Status::Unsupported).named(tensor.as_bytes())
            }
            GgufError::Truncated { name, .. } => Self::new(Status::Truncated).named(name.as_bytes()),
            GgufError::TensorOutOfFile { tensor, .. } => {
                Self::new(Status::Truncated).named(tensor.as_bytes())
            }
            GgufError::MissingKey { key }
            | GgufError::DuplicateKey { key, .. }
            | GgufError::BadValueType { key, .. }
            | GgufError::WrongType { key, .. } => Self::new(Status::BadFile).named(key.as_bytes()),
            _ => Self::new(Status::BadFile),
        };
        info.at(e.offset().unwrap_or(0))
    }
}

impl From<ModelError> for ErrorInfo {
    fn from(e: ModelError) -> Self {
        let unsupported = Self::new(Status::Unsupported);
        let bad = Self::new(Status::BadModel);
        match e {
            ModelError::Gguf(e) => e.into(),
            ModelError::OutOfMemory { .. } => Self::new(Status::Memory),
            ModelError::UnsupportedArch { name } | ModelError::UnsupportedKind { kind: name } => {
                unsupported.named(name.as_str().as_bytes())
            }
            ModelError::Unsupported { key, .. } | ModelError::Limit { key, .. } => {
                unsupported.named(key.as_bytes())
            }
            ModelError::TypeNotSupported { tensor, .. } | ModelError::FormatNotCompiled { tensor, .. } => {
                unsupported.named(tensor.as_str().as_bytes())
            }
            ModelError::TooBigForTarget { tensor, bytes } => {
                unsupported.named(tensor.as_str().as_bytes()).needing(bytes)
            }
            ModelError::MissingKey { key }
            | ModelError::BadHparam { key, .. }
            | ModelError::BadLayerArray { key, .. } => bad.named(key.as_bytes()),
            ModelError::MissingTensor { name: tensor }
            | ModelError::ShapeMismatch { tensor, .. }
            | ModelError::BadDim { tensor }
            | ModelError::RowNotBlockMultiple { tensor, .. } => bad.named(tensor.as_str().as_bytes()),
            _ => bad,
        }
    }
}

impl From<PlanError> for ErrorInfo {
    fn from(e: PlanError) -> Self {
        match e {
            PlanError::BadLimit { limit, max, .. } => {
                Self::new(Status::BadConfig).named(limit.as_bytes()).needing(max as u64)
            }
            PlanError::BrokenBlock { key, .. } => Self::new(Status::BadConfig).named(key.as_bytes()),
            PlanError::TooBig { region, need, .. } => {
                Self::new(Status::Memory).named(region.as_bytes()).needing(need)
            }
            _ => Self::new(Status::BadConfig),
        }
    }
}

impl From<VocabError> for ErrorInfo {
    fn from(e: VocabError) -> Self {
        match e {
            VocabError::Gguf(e) => e.into(),
            VocabError::OutOfMemory { .. } => Self::new(Status::Memory),
            VocabError::UnsupportedTokenizer { name, .. } => {
                Self::new(Status::Unsupported).named(name.as_bytes())
            }
            VocabError::MissingKey { key } | VocabError::BadVocab { key, .. } => {
                Self::new(Status::BadVocabulary).named(key.as_bytes())
            }
            _ => Self::new(Status::BadVocabulary),
        }
    }
}

impl From<SchemaError> for ErrorInfo {
    fn from(e: SchemaError) -> Self {
        match e {
            SchemaError::OutOfMemory { .. } => Self::new(Status::Memory),
            SchemaError::Syntax { offset, .. }
            | SchemaError::UnknownKeyword { offset, .. }
            | SchemaError::Unsupported { offset, .. }
            | SchemaError::WrongValue { offset, .. }
            | SchemaError::Pattern { offset, .. }
            | SchemaError::NoValue { offset }
            | SchemaError::BadReference { offset, .. } => Self::new(Status::BadSchema).at(offset as u64),
            _ => Self::new(Status::BadSchema),
        }
    }
}

impl From<ConstrainError> for ErrorInfo {
    fn from(e: ConstrainError) -> Self {
        match e {
            ConstrainError::OutOfMemory { .. } => Self::new(Status::Memory),
            ConstrainError::Vocabulary => Self::new(Status::BadSchema),
            ConstrainError::Budget { need, .. } => Self::new(Status::Budget).needing(need as u64),
            ConstrainError::NonFiniteLogits { .. } | ConstrainError::AllMasked => {
                Self::new(Status::NonFinite)
            }
            _ => Self::new(Status::Internal),
        }
    }
}

impl From<EncodeError> for ErrorInfo {
    fn from(e: EncodeError) -> Self {
        match e {
            EncodeError::BufferTooSmall { need } => Self::new(Status::ContextFull).needing(need as u64),
            EncodeError::TooLong { max, .. } => Self::new(Status::BadArgument).needing(max as u64),
            _ => Self::new(Status::Memory),
        }
    }
}

impl From<SampleError> for ErrorInfo {
    fn from(e: SampleError) -> Self {
        match e {
            SampleError::BadSampler { param } => Self::new(Status::BadConfig).named(param.as_bytes()),
            SampleError::NonFiniteLogits { .. } => Self::new(Status::NonFinite),
            SampleError::OutOfMemory { .. } => Self::new(Status::Memory),
            _ => Self::new(Status::Internal),
        }
    }
}

impl From<SessionError> for ErrorInfo {
    fn from(e: SessionError) -> Self {
        match e {
            SessionError::Vector(e) => e.into(),
            SessionError::Weights { tensor, error } => Self::from(error).named(tensor.as_str().as_bytes()),
            SessionError::NotMapped { tensor } => {
                Self::new(Status::NotMapped).named(tensor.as_str().as_bytes())
            }
            SessionError::NoTokens => Self::new(Status::NoTokens),
            SessionError::ContextFull { need, .. } => Self::new(Status::ContextFull).needing(need as u64),
            SessionError::BadToken { index, .. } => Self::new(Status::BadToken).at(index as u64),
            SessionError::Busy | SessionError::BadPosition { .. } => Self::new(Status::BadOrder),
            _ => Self::new(Status::Internal),
        }
    }
}

/// What `status` means, in English. Any number has a text.
#[unsafe(no_mangle)]
pub extern "C" fn barre_status_text(status: u32) -> *const c_char {
    const ALL: [Status; 21] = [
        Status::Ok,
        Status::BadArgument,
        Status::Abi,
        Status::BadConfig,
        Status::Busy,
        Status::Memory,
        Status::Reader,
        Status::Truncated,
        Status::BadFile,
        Status::Unsupported,
        Status::BadModel,
        Status::BadVocabulary,
        Status::BadSchema,
        Status::NotMapped,
        Status::NoTokens,
        Status::ContextFull,
        Status::BadToken,
        Status::NonFinite,
        Status::Budget,
        Status::BadOrder,
        Status::Internal,
    ];
    ALL.get(status as usize).map_or(c"unknown status", |s| s.text()).as_ptr()
}
