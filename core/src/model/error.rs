//! Why a GGUF file is not a model that barre can run.

use super::TensorName;
use crate::gguf::{GgufError, MAX_DIMS};
use crate::quant::WeightFormat;
use crate::text::{Figure, Listed};
use core::fmt;

/// Why a container does not hold a model that barre can run.
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum ModelError {
    /// The container or the reader failed.
    Gguf(GgufError),
    /// `general.architecture` names one that barre does not know.
    UnsupportedArch {
        /// The name in the file, cut to fit.
        name: TensorName,
    },
    /// `general.type` says that the file is no model (an adapter, a projector).
    UnsupportedKind {
        /// The kind in the file, cut to fit.
        kind: TensorName,
    },
    /// The file is one part of a model that was split over several, which nobody has joined.
    Split {
        /// The part's number, from 0 on.
        no: u64,
        /// Parts in all.
        count: u64,
    },
    /// A key that the architecture needs is not there.
    MissingKey {
        /// The key, without the architecture's prefix.
        key: &'static str,
    },
    /// A hyperparameter has a value that no model can have.
    BadHparam {
        /// The key, without the architecture's prefix.
        key: &'static str,
        /// The value, as far as a double can hold it.
        value: f64,
        /// What it must be.
        must: &'static str,
    },
    /// A per-layer array has the wrong number of elements.
    BadLayerArray {
        /// The key, without the architecture's prefix.
        key: &'static str,
        /// Elements in the file.
        len: u64,
        /// Layers in the model.
        layers: usize,
    },
    /// A hyperparameter is above what barre accepts.
    Limit {
        /// The key, without the architecture's prefix.
        key: &'static str,
        /// The value.
        value: u64,
        /// The largest accepted.
        max: u64,
    },
    /// The model uses something that barre does not compute.
    Unsupported {
        /// The key, without the architecture's prefix.
        key: &'static str,
        /// What it is.
        what: &'static str,
    },
    /// A tensor that the architecture needs is not there.
    MissingTensor {
        /// Its name.
        name: TensorName,
    },
    /// A tensor has another shape than the hyperparameters ask for. GGUF's order: inputs first.
    ShapeMismatch {
        /// Its name.
        tensor: TensorName,
        /// The shape asked for, 1 in the unused places.
        want: [u64; 2],
        /// The shape in the file, 1 in the unused places.
        got: [u64; MAX_DIMS],
    },
    /// A tensor has no elements.
    BadDim {
        /// Its name.
        tensor: TensorName,
    },
    /// A tensor's type is not one that its role can have.
    TypeNotSupported {
        /// Its name.
        tensor: TensorName,
        /// Its GGML type number.
        ggml_type: u32,
    },
    /// This build leaves the format of a matrix out.
    FormatNotCompiled {
        /// The matrix.
        tensor: TensorName,
        /// Its format; [`WeightFormat::feature`] names the feature of `barre-core` that brings it.
        format: WeightFormat,
    },
    /// The rows of a matrix are no whole number of its format's blocks.
    RowNotBlockMultiple {
        /// The matrix.
        tensor: TensorName,
        /// Its format.
        format: WeightFormat,
        /// Inputs of a row.
        k: usize,
    },
    /// A size does not fit this target's address space.
    TooBigForTarget {
        /// The tensor.
        tensor: TensorName,
        /// Its bytes.
        bytes: u64,
    },
    /// A small allocation failed.
    OutOfMemory {
        /// What it was for.
        what: &'static str,
    },
}

impl From<GgufError> for ModelError {
    fn from(e: GgufError) -> Self {
        Self::Gguf(e)
    }
}

impl fmt::Display for ModelError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !cfg!(feature = "messages") {
            return f.write_str("the model is refused");
        }
        match self {
            Self::Gguf(e) => e.fmt(f),
            Self::UnsupportedArch { name } => write!(f, "architecture `{name}` is not supported"),
            Self::UnsupportedKind { kind } => write!(f, "this is a file of type `{kind}`, not a model"),
            Self::Split { no, count } => write!(
                f,
                "this is part {} of a model in {count} files: join them with `llama-gguf-split --merge`",
                no.saturating_add(1)
            ),
            Self::MissingKey { key } => write!(f, "the file lacks the hyperparameter `{key}`"),
            Self::BadHparam { key, value, must } => {
                write!(f, "hyperparameter `{key}` is {}; it must be {must}", Figure(*value))
            }
            Self::BadLayerArray { key, len, layers } => {
                write!(f, "hyperparameter `{key}` has {len} elements for {layers} layers")
            }
            Self::Limit { key, value, max } => {
                write!(f, "hyperparameter `{key}` is {value}; barre accepts at most {max}")
            }
            Self::Unsupported { key, what } => write!(f, "`{key}`: {what} is not supported"),
            Self::MissingTensor { name } => write!(f, "the file lacks the tensor `{name}`"),
            Self::ShapeMismatch { tensor, want, got } => {
                let rank = got.iter().rposition(|&n| n != 1).map_or(0, |last| last.saturating_add(1)).max(2);
                let got = got.get(..rank).unwrap_or(got);
                let (got, want) = (Listed(got), Listed(want));
                write!(f, "tensor `{tensor}` has shape {got}, the hyperparameters ask for {want}")
            }
            Self::BadDim { tensor } => write!(f, "tensor `{tensor}` has no elements"),
            Self::TypeNotSupported { tensor, ggml_type } => {
                write!(f, "tensor `{tensor}` has GGML type {ggml_type}, which its role cannot have")
            }
            Self::FormatNotCompiled { tensor, format } => {
                let feature = format.feature();
                write!(f, "tensor `{tensor}` is {format}, which this build leaves out (feature `{feature}`)")
            }
            Self::RowNotBlockMultiple { tensor, format, k } => {
                write!(f, "rows of `{tensor}` have {k} weights, no whole number of {format} blocks")
            }
            Self::TooBigForTarget { tensor, bytes } => {
                write!(f, "tensor `{tensor}` of {bytes} bytes is too big for this target")
            }
            Self::OutOfMemory { what } => write!(f, "out of memory for {what}"),
        }
    }
}

impl core::error::Error for ModelError {}
