//! The parser: header, pairs, tensor infos, and the checks that need them all.

use super::cursor::{BUFFER_BYTES, Cursor};
use super::meta::{NOT_RETAINED, Pair, RETAINED_STRING};
use super::store::{NoRoom, Place, Segmented, TextError, Texts, reserve};
use super::tensor::{MAX_DIMS, Record, UNKNOWN_BYTES};
use super::types::ggml_block;
use super::{
    ALIGNMENT_KEY, DEFAULT_ALIGNMENT, Field, GGML_TYPE_COUNT, Gguf, GgufError, Limits, MAX_ARRAY_DEPTH, Name,
    NotGguf, Quantity, ValueType,
};
use crate::aside::{Aside, Failed};
use crate::io::{AbsOffset, DataSection, OffsetError, ReadAt, RelOffset};
use crate::part::extend;
use crate::sort::sort_by_key;
use alloc::vec::Vec;

/// The least bytes of a pair: length and byte of a key, type, one byte of value.
const MIN_PAIR: u64 = 14;
/// The least bytes of a tensor's info: name length, number of dimensions, one dimension, type, offset.
const MIN_INFO: u64 = 32;

pub(super) fn parse<R: ReadAt + ?Sized>(
    reader: &mut R,
    start: AbsOffset,
    end: Option<AbsOffset>,
    limits: &Limits,
) -> Result<Gguf, GgufError> {
    let len = reader.len()?;
    let end = end.map_or(len, AbsOffset::get);
    if end > len {
        let need = end.saturating_sub(start.get());
        let have = len.saturating_sub(start.get());
        let offset = start.get().max(len);
        return Err(GgufError::Truncated {
            what: Field::Container,
            name: Name::EMPTY,
            index: 0,
            offset,
            need,
            have,
        });
    }
    let aside = Aside::new(GgufError::OutOfMemory { bytes: 0 });
    let mut window = [0; BUFFER_BYTES];
    let cursor = Cursor::new(reader, &mut window, start.get(), end);
    directory(cursor, start, limits, &aside).map_err(|failed| aside.take(failed))
}

/// The directory of a file that `cursor` is at the beginning of. Apart from the frame that has the cursor's buffer, whose
/// other variables take two instructions each to address.
#[inline(never)]
fn directory<R: ReadAt + ?Sized>(
    cursor: Cursor<'_, R>,
    start: AbsOffset,
    limits: &Limits,
    aside: &Aside<GgufError>,
) -> Result<Gguf, Failed> {
    let end = cursor.end();
    let mut parser = Parser { cursor, limits, texts: Texts::new(), aside };

    let (version, n_tensors, n_kv) = parser.header()?;
    let mut pairs = Segmented::new();
    for index in 0..n_kv {
        let pair = parser.pair(index)?;
        aside.check(pairs.push(pair, n_kv))?;
    }
    let by_key =
        aside.check(sorted(pairs.len(), |i| pairs.get(i).map_or(&[], |p| parser.texts.get(p.key))))?;
    if let Some(i) = repeated(&by_key, |i| pairs.get(i).map_or(&[], |p| parser.texts.get(p.key)))
        && let Some(pair) = pairs.get(i)
    {
        let key = parser.texts.get(pair.key);
        // A key lies before its value, whose place is known: the type's number is between them.
        return Err(aside.fail(GgufError::DuplicateKey { key: Name::new(key), offset: key_offset(pair) }));
    }
    let alignment = alignment(&pairs, &by_key, &parser.texts, limits, aside)?;

    let mut records = Segmented::new();
    let mut dims = Segmented::new();
    for index in 0..n_tensors {
        let record = parser.tensor(index, &mut dims)?;
        aside.check(records.push(record, n_tensors))?;
    }
    let by_name = aside.check(sorted(records.len(), |i| {
        records.get(i).map_or(&[], |r: &Record| parser.texts.get(r.name))
    }))?;
    if let Some(i) = repeated(&by_name, |i| records.get(i).map_or(&[], |r| parser.texts.get(r.name)))
        && let Some(record) = records.get(i)
    {
        let tensor = Name::new(parser.texts.get(record.name));
        return Err(aside.fail(GgufError::DuplicateTensor { tensor, offset: record.info_at }));
    }

    let infos_end = parser.cursor.at();
    let texts = parser.texts;
    let data =
        data_section(start, AbsOffset::new(infos_end), AbsOffset::new(end), alignment, n_tensors, aside)?;
    let mut gguf = Gguf {
        version,
        alignment,
        start,
        data,
        gap_bytes: 0,
        trailing_bytes: 0,
        texts,
        pairs,
        by_key,
        records,
        dims,
        by_name,
    };
    place(&mut gguf, aside)?;
    check_overlaps(&mut gguf, aside)?;
    Ok(gguf)
}

/// Absolute offset of a pair's key (of its length): what stands between it and the value has a fixed size.
fn key_offset(pair: &Pair) -> u64 {
    let head: u64 = match pair.ty {
        // Key length and type's number; string length; element type and count.
        ValueType::String => 20,
        ValueType::Array => 24,
        _ => 12,
    };
    pair.at.saturating_sub(head).saturating_sub(u64::from(pair.key.len))
}

struct Parser<'a, R: ReadAt + ?Sized> {
    cursor: Cursor<'a, R>,
    limits: &'a Limits,
    texts: Texts,
    aside: &'a Aside<GgufError>,
}

/// What follows a key and its type.
struct Value {
    element: ValueType,
    bits: u64,
    at: u64,
    bytes: u64,
}

impl<R: ReadAt + ?Sized> Parser<'_, R> {
    /// Puts aside why the cursor failed, with the name of what was being read.
    #[cold]
    #[inline(never)]
    fn short(&self, failed: Failed, what: Field, name: &Name, index: u64) -> Failed {
        self.aside.fail(self.cursor.why(failed).of(what, *name, index))
    }

    /// Version, number of tensors, number of pairs.
    fn header(&mut self) -> Result<(u32, u64, u64), Failed> {
        let aside = self.aside;
        let offset = self.cursor.at();
        let mut magic = [0; 4];
        self.cursor.take(&mut magic).map_err(|e| self.short(e, Field::Magic, &Name::EMPTY, 0))?;
        if magic != *b"GGUF" {
            let mut rest = [0; 20];
            let n = self.cursor.remaining().min(rest.len() as u64) as usize;
            if let Some(rest) = rest.get_mut(..n) {
                self.cursor.take(rest).map_err(|e| self.short(e, Field::Magic, &Name::EMPTY, 0))?;
            }
            return Err(aside.fail(GgufError::BadMagic { got: magic, hint: not_gguf(magic, &rest), offset }));
        }
        let offset = self.cursor.at();
        let version = self.cursor.u32().map_err(|e| self.short(e, Field::Version, &Name::EMPTY, 0))?;
        match version {
            2 | 3 => {}
            // A big-endian file's version has its low half empty, as llama.cpp tests it.
            _ if version != 0 && version.trailing_zeros() >= 16 => {
                return Err(aside.fail(GgufError::WrongEndian { offset }));
            }
            _ => return Err(aside.fail(GgufError::UnsupportedVersion { version, offset })),
        }
        let tensors_at = self.cursor.at();
        let n_tensors = self.cursor.u64().map_err(|e| self.short(e, Field::TensorCount, &Name::EMPTY, 0))?;
        let kv_at = self.cursor.at();
        let n_kv = self.cursor.u64().map_err(|e| self.short(e, Field::KvCount, &Name::EMPTY, 0))?;
        let rest = self.cursor.remaining();
        // A count within the limits that the bytes do not cover is left to be found where the bytes end, because
        // that is where the file is damaged; nothing is allocated by count.
        let check = |what, got: u64, limit: u64, least: u64, offset| {
            if got <= limit {
                return Ok(());
            }
            let max = limit.min(rest.checked_div(least).unwrap_or(0));
            Err(aside.fail(GgufError::Limit { what, name: Name::EMPTY, got, max, offset }))
        };
        let indices = u64::from(u32::MAX);
        check(Quantity::TensorCount, n_tensors, self.limits.n_tensors.min(indices), MIN_INFO, tensors_at)?;
        check(Quantity::KvCount, n_kv, self.limits.n_kv.min(indices), MIN_PAIR, kv_at)?;
        Ok((version, n_tensors, n_kv))
    }

    fn pair(&mut self, index: u64) -> Result<Pair, Failed> {
        let aside = self.aside;
        let short = |e, parser: &Self| parser.short(e, Field::Key, &Name::EMPTY, index);
        let offset = self.cursor.at();
        let len = self.cursor.u64().map_err(|e| short(e, self))?;
        self.cursor.need(len).map_err(|e| short(e, self))?;
        if len == 0 {
            return Err(aside.fail(GgufError::EmptyKey { index, offset }));
        }
        let key =
            self.text(len, self.limits.key.min(u64::from(u16::MAX)), Quantity::KeyLen, Field::Key, index)?;
        let name = &Name::new(self.texts.get(key));

        let ty = self.value_type(Field::ValueType, name, index)?;
        let value = match ty {
            ValueType::String => self.string(name, index)?,
            ValueType::Array => self.array(name, index)?,
            _ => self.scalar(ty, name, index)?,
        };
        let Value { element, bits, at, bytes } = value;
        Ok(Pair { key, ty, element, bits, at, bytes })
    }

    /// Keeps a text of `len` bytes, of which at most `max` are allowed.
    fn text(
        &mut self,
        len: u64,
        max: u64,
        what: Quantity,
        field: Field,
        index: u64,
    ) -> Result<Place, Failed> {
        let aside = self.aside;
        let offset = self.cursor.at().saturating_sub(8);
        let fits = u16::try_from(len).ok().filter(|_| len <= max);
        let Some(len16) = fits else {
            return Err(aside.fail(GgufError::Limit { what, name: Name::EMPTY, got: len, max, offset }));
        };
        self.texts.read(&mut self.cursor, len16).map_err(|e| match e {
            TextError::Cursor(failed) => self.short(failed, field, &Name::EMPTY, index),
            TextError::Memory(e) => aside.fail(e.into()),
        })
    }

    fn value_type(&mut self, field: Field, key: &Name, index: u64) -> Result<ValueType, Failed> {
        let aside = self.aside;
        let offset = self.cursor.at();
        let got = self.cursor.u32().map_err(|e| self.short(e, field, key, index))?;
        ValueType::from_number(got)
            .ok_or_else(|| aside.fail(GgufError::BadValueType { key: *key, got, offset }))
    }

    fn scalar(&mut self, ty: ValueType, key: &Name, index: u64) -> Result<Value, Failed> {
        let aside = self.aside;
        let at = self.cursor.at();
        let bytes = ty.fixed_bytes().unwrap_or(0);
        let bits = self.cursor.number(bytes as usize).map_err(|e| self.short(e, Field::Value, key, index))?;
        if ty == ValueType::Bool && bits > 1 {
            return Err(aside.fail(GgufError::BadBool { key: *key, value: bits as u8, offset: at }));
        }
        Ok(Value { element: ty, bits, at, bytes })
    }

    fn string(&mut self, key: &Name, index: u64) -> Result<Value, Failed> {
        let bytes = self.string_len(Field::String, key, index)?;
        let at = self.cursor.at();
        let bits = if bytes <= RETAINED_STRING as u64 {
            self.text(bytes, bytes, Quantity::StringLen, Field::String, index)?.to_bits()
        } else {
            self.cursor.skip(bytes).map_err(|e| self.short(e, Field::String, key, index))?;
            NOT_RETAINED
        };
        Ok(Value { element: ValueType::String, bits, at, bytes })
    }

    /// The length of a string, all of whose bytes are there.
    fn string_len(&mut self, field: Field, key: &Name, index: u64) -> Result<u64, Failed> {
        let aside = self.aside;
        let offset = self.cursor.at();
        let got = self.cursor.u64().map_err(|e| self.short(e, field, key, index))?;
        self.cursor.need(got).map_err(|e| self.short(e, field, key, index))?;
        let max = self.limits.string;
        if got > max {
            return Err(aside.fail(GgufError::Limit {
                what: Quantity::StringLen,
                name: *key,
                got,
                max,
                offset,
            }));
        }
        Ok(got)
    }

    /// Passes over an array. Nested arrays are counted on a stack of [`MAX_ARRAY_DEPTH`] numbers, not by recursion.
    fn array(&mut self, key: &Name, index: u64) -> Result<Value, Failed> {
        let (element, bits) = self.array_head(key, index, 1)?;
        let at = self.cursor.at();
        // Arrays still to pass over, at each level.
        let mut left = [0u64; MAX_ARRAY_DEPTH];
        let mut depth = 1usize;
        let (mut inner, mut count) = (element, bits);
        loop {
            if inner == ValueType::Array {
                if let Some(top) = left.get_mut(depth.saturating_sub(1)) {
                    *top = count;
                }
                depth = depth.saturating_add(1);
            } else {
                self.elements(inner, count, key)?;
            }
            // Up to the innermost level that has an array left.
            while let Some(top) = left.get_mut(depth.wrapping_sub(2)) {
                if *top > 0 {
                    *top = top.saturating_sub(1);
                    break;
                }
                depth = depth.saturating_sub(1);
            }
            if depth < 2 {
                let bytes = self.cursor.at().saturating_sub(at);
                return Ok(Value { element, bits, at, bytes });
            }
            (inner, count) = self.array_head(key, index, depth)?;
        }
    }

    /// Element type and count of an array at level `depth` (1 is the outermost).
    fn array_head(&mut self, key: &Name, index: u64, depth: usize) -> Result<(ValueType, u64), Failed> {
        let aside = self.aside;
        let offset = self.cursor.at();
        let element = self.value_type(Field::ElementType, key, index)?;
        let max = self.limits.array_depth.min(MAX_ARRAY_DEPTH);
        let deepest = if element == ValueType::Array { depth.saturating_add(1) } else { depth };
        if deepest > max {
            let (got, max) = (deepest as u64, max as u64);
            return Err(aside.fail(GgufError::Limit {
                what: Quantity::ArrayDepth,
                name: *key,
                got,
                max,
                offset,
            }));
        }
        let offset = self.cursor.at();
        let count = self.cursor.u64().map_err(|e| self.short(e, Field::ArrayLen, key, index))?;
        let max = self.limits.array_len;
        if count > max {
            let least = least_bytes(element);
            let max = max.min(self.cursor.remaining().checked_div(least).unwrap_or(0));
            return Err(aside.fail(GgufError::Limit {
                what: Quantity::ArrayLen,
                name: *key,
                got: count,
                max,
                offset,
            }));
        }
        Ok((element, count))
    }

    fn elements(&mut self, ty: ValueType, count: u64, key: &Name) -> Result<(), Failed> {
        let aside = self.aside;
        match ty {
            ValueType::String | ValueType::Array => {
                for i in 0..count {
                    let bytes = self.string_len(Field::Element, key, i)?;
                    self.cursor.skip(bytes).map_err(|e| self.short(e, Field::Element, key, i))?;
                }
                Ok(())
            }
            ValueType::Bool => {
                for i in 0..count {
                    let offset = self.cursor.at();
                    let value =
                        self.cursor.number(1).map_err(|e| self.short(e, Field::Element, key, i))? as u8;
                    if value > 1 {
                        return Err(aside.fail(GgufError::BadBool { key: *key, value, offset }));
                    }
                }
                Ok(())
            }
            _ => {
                let offset = self.cursor.at();
                let size = least_bytes(ty);
                let max = self.cursor.remaining().checked_div(size).unwrap_or(0);
                let bytes = count.checked_mul(size).ok_or_else(|| {
                    aside.fail(GgufError::Limit {
                        what: Quantity::ArrayLen,
                        name: *key,
                        got: count,
                        max,
                        offset: offset.saturating_sub(8),
                    })
                })?;
                // The first element that is not all there.
                self.cursor.skip(bytes).map_err(|e| self.short(e, Field::Element, key, max))
            }
        }
    }

    fn tensor(&mut self, index: u64, dims: &mut Segmented<u64>) -> Result<Record, Failed> {
        let aside = self.aside;
        let info_at = self.cursor.at();
        let short = |e, parser: &Self| parser.short(e, Field::TensorName, &Name::EMPTY, index);
        let len = self.cursor.u64().map_err(|e| short(e, self))?;
        self.cursor.need(len).map_err(|e| short(e, self))?;
        let bad = |name| aside.fail(GgufError::BadName { index, name, offset: info_at });
        if len == 0 {
            return Err(bad(Name::EMPTY));
        }
        let max = self.limits.tensor_name;
        let place = self.text(len, max, Quantity::TensorName, Field::TensorName, index)?;
        let text = self.texts.get(place);
        let tensor = Name::new(text);
        #[expect(clippy::manual_contains, reason = "that search goes by words, in 200 bytes of an image")]
        let has_nul = text.iter().any(|&byte| byte == 0);
        if has_nul || str::from_utf8(text).is_err() {
            return Err(bad(tensor));
        }

        let offset = self.cursor.at();
        let got = self.cursor.u32().map_err(|e| self.short(e, Field::NDims, &tensor, index))?;
        if got == 0 || got > MAX_DIMS as u32 {
            return Err(aside.fail(GgufError::BadNDims { tensor, got, offset }));
        }
        let shape_at = self.cursor.at();
        let mut shape = [1u64; MAX_DIMS];
        for dim in shape.iter_mut().take(got as usize) {
            *dim = self.cursor.u64().map_err(|e| self.short(e, Field::Dims, &tensor, index))?;
        }
        let type_at = self.cursor.at();
        let ty = self.cursor.u32().map_err(|e| self.short(e, Field::TensorType, &tensor, index))?;
        let rel = self.cursor.u64().map_err(|e| self.short(e, Field::TensorOffset, &tensor, index))?;
        if ty >= GGML_TYPE_COUNT {
            return Err(aside.fail(GgufError::UnknownTensorType { tensor, got: ty, offset: type_at }));
        }
        let overflow = || aside.fail(GgufError::ShapeOverflow { tensor, offset: shape_at });
        let elements = elements(shape).ok_or_else(overflow)?;
        let [k, ..] = shape;
        let bytes = match ggml_block(ty) {
            Some((block_len, _)) if !k.is_multiple_of(block_len) => {
                return Err(aside.fail(GgufError::RowNotBlockMultiple {
                    tensor,
                    k,
                    block_len,
                    offset: shape_at,
                }));
            }
            Some((block_len, block_bytes)) => elements
                .checked_div(block_len)
                .and_then(|blocks| blocks.checked_mul(block_bytes))
                .filter(|&bytes| bytes <= i64::MAX as u64)
                .ok_or_else(overflow)?,
            None => UNKNOWN_BYTES,
        };

        let first_dim = u32::try_from(dims.len()).map_err(|_| overflow())?;
        for &dim in shape.iter().take(got as usize) {
            aside.check(dims.push(dim, u64::MAX))?;
        }
        Ok(Record {
            name: place,
            n_dims: got as u8,
            ty: ty as u8,
            first_dim,
            rel: RelOffset::new(rel),
            abs: AbsOffset::ZERO,
            bytes,
            info_at,
        })
    }
}

/// The least bytes of an element in the file.
fn least_bytes(ty: ValueType) -> u64 {
    match ty {
        ValueType::String => 8,
        ValueType::Array => 12,
        _ => ty.fixed_bytes().unwrap_or(1),
    }
}

/// The product of a shape's dimensions, `None` if it does not fit 63 bits.
///
/// A dimension of 0 does not excuse the others: who multiplies some of them must not overflow.
fn elements(shape: [u64; MAX_DIMS]) -> Option<u64> {
    let largest =
        shape.iter().try_fold(1u64, |n, &d| n.checked_mul(d.max(1)).filter(|&n| n <= i64::MAX as u64))?;
    Some(if shape.contains(&0) { 0 } else { largest })
}

fn not_gguf(magic: [u8; 4], rest: &[u8]) -> NotGguf {
    if !cfg!(feature = "messages") {
        // A hint is words.
        return NotGguf::Unknown;
    }
    match &magic {
        b"vers" if rest.starts_with(b"ion https://git-lfs") => NotGguf::GitLfsPointer,
        // GGML's magics are numbers, so that the file has their letters backwards.
        b"lmgg" | b"fmgg" | b"tjgg" | b"algg" | b"ggml" | b"ggmf" | b"ggjt" | b"ggla" => NotGguf::Ggml,
        b"PK\x03\x04" => NotGguf::Zip,
        [0x80, 2..=5, ..] => NotGguf::Pickle,
        b"<!DO" | b"<!do" | b"<htm" | b"<HTM" => NotGguf::Html,
        // 64-bit length of the JSON header that follows it.
        _ if rest.get(4) == Some(&b'{') => NotGguf::Safetensors,
        _ => NotGguf::Unknown,
    }
}

/// Indices of `len` items, sorted by their text, equal ones in the order of the file.
fn sorted<'a>(len: usize, text: impl Fn(usize) -> &'a [u8]) -> Result<Vec<u32>, NoRoom> {
    let mut order = Vec::new();
    reserve(&mut order, len)?;
    extend(&mut order, (0..len).map(|i| i as u32));
    sort_by_key(&mut order, |i| (text(i as usize), i));
    Ok(order)
}

/// The first item in the file whose text was there before.
fn repeated<'a>(order: &[u32], text: impl Fn(usize) -> &'a [u8]) -> Option<usize> {
    let same = |w: &&[u32]| matches!(w, [a, b] if text(*a as usize) == text(*b as usize));
    order.windows(2).filter(same).filter_map(|w| w.last()).min().map(|&i| i as usize)
}

fn alignment(
    pairs: &Segmented<Pair>,
    by_key: &[u32],
    texts: &Texts,
    limits: &Limits,
    aside: &Aside<GgufError>,
) -> Result<u32, Failed> {
    let key = |i: u32| pairs.get(i as usize).map_or(&[][..], |pair| texts.get(pair.key));
    let found = by_key.binary_search_by(|&i| key(i).cmp(ALIGNMENT_KEY.as_bytes())).ok();
    let pair = found.and_then(|f| by_key.get(f)).and_then(|&i| pairs.get(i as usize));
    let Some(pair) = pair else { return Ok(DEFAULT_ALIGNMENT) };
    let offset = pair.at;
    if pair.ty != ValueType::U32 {
        let key = Name::from(ALIGNMENT_KEY);
        return Err(aside.fail(GgufError::WrongType { key, got: pair.ty, want: "u32", offset }));
    }
    let got = pair.bits as u32;
    if got > limits.alignment {
        let (got, max) = (u64::from(got), u64::from(limits.alignment));
        let name = Name::from(ALIGNMENT_KEY);
        return Err(aside.fail(GgufError::Limit { what: Quantity::Alignment, name, got, max, offset }));
    }
    if !got.is_power_of_two() && (got == 0 || !got.is_multiple_of(8)) {
        return Err(aside.fail(GgufError::BadAlignment { got, offset }));
    }
    Ok(got)
}

/// The data section of a file at `start` whose tensor infos end at `infos_end`.
///
/// Padding counts from the file's start, not the reader's. A file without tensors needs none.
fn data_section(
    start: AbsOffset,
    infos_end: AbsOffset,
    end: AbsOffset,
    alignment: u32,
    n_tensors: u64,
    aside: &Aside<GgufError>,
) -> Result<DataSection, Failed> {
    let header = infos_end.get().saturating_sub(start.get());
    let base = header.checked_next_multiple_of(u64::from(alignment)).and_then(|n| start.checked_add(n));
    let have = end.get().saturating_sub(infos_end.get());
    let truncated = |need| {
        let (what, name, index, offset) = (Field::DataStart, Name::EMPTY, 0, end.get());
        aside.fail(GgufError::Truncated { what, name, index, offset, need, have })
    };
    let base = match base {
        Some(base) if base <= end => base,
        _ if n_tensors == 0 => end,
        Some(base) => return Err(truncated(base.get().saturating_sub(infos_end.get()))),
        None => return Err(truncated(u64::MAX)),
    };
    DataSection::new(base, end).ok_or_else(|| truncated(u64::MAX))
}

/// Gives every tensor its absolute place.
fn place(gguf: &mut Gguf, aside: &Aside<GgufError>) -> Result<(), Failed> {
    let data = gguf.data;
    for i in 0..gguf.records.len() {
        let Some(record) = gguf.records.get_mut(i) else { break };
        let (rel, offset) = (record.rel, record.info_at);
        let tensor = || Name::new(gguf.texts.get(record.name));
        let outside = |e, bytes: u64| {
            let tensor = tensor();
            aside.fail(match e {
                OffsetError::Overflow => GgufError::OffsetOverflow { tensor, rel: rel.get(), offset },
                OffsetError::OutOfFile { end, file_end } => {
                    GgufError::TensorOutOfFile { tensor, end: end.saturating_add(bytes), file_end, offset }
                }
            })
        };
        let bytes = occupied(record, &gguf.dims);
        data.absolute(rel, 0).map_err(|e| outside(e, bytes))?;
        if !rel.get().is_multiple_of(u64::from(gguf.alignment)) {
            let (tensor, rel, alignment) = (tensor(), rel.get(), gguf.alignment);
            return Err(aside.fail(GgufError::BadOffset { tensor, rel, alignment, offset }));
        }
        record.abs = data.absolute(rel, bytes).map_err(|e| outside(e, 0))?;
    }
    Ok(())
}

/// Bytes that a tensor takes. One of unknown block size takes at least one, unless it has no elements.
fn occupied(record: &Record, dims: &Segmented<u64>) -> u64 {
    if record.bytes != UNKNOWN_BYTES {
        return record.bytes;
    }
    let first = record.first_dim as usize;
    let empty = (0..usize::from(record.n_dims)).any(|d| dims.get(first.saturating_add(d)) == Some(&0));
    u64::from(!empty)
}

/// Fails if two tensors share bytes; otherwise counts the bytes that belong to none.
fn check_overlaps(gguf: &mut Gguf, aside: &Aside<GgufError>) -> Result<(), Failed> {
    let (records, texts) = (&gguf.records, &gguf.texts);
    let mut order = Vec::new();
    aside.check(reserve(&mut order, records.len()))?;
    extend(&mut order, (0..records.len()).map(|i| i as u32));
    let at = |i: u32| records.get(i as usize).map_or(0, |r| r.abs.get());
    sort_by_key(&mut order, |i| (at(i), i));

    // The file before the present tensor: its end so far, and the tensor that reaches it.
    let mut end = gguf.data.base().get();
    let mut last: Option<&Record> = None;
    for record in order.iter().filter_map(|&i| records.get(i as usize)) {
        let bytes = occupied(record, &gguf.dims);
        if bytes == 0 {
            continue;
        }
        let start = record.abs.get();
        if start < end
            && let Some(last) = last
        {
            let name = |r: &Record| Name::new(texts.get(r.name));
            return Err(aside.fail(GgufError::Overlap { a: name(last), b: name(record), offset: start }));
        }
        gguf.gap_bytes =
            gguf.gap_bytes.saturating_add(start.saturating_sub(padded(end, gguf.data, gguf.alignment)));
        end = start.saturating_add(bytes);
        last = Some(record);
    }
    let end = padded(end, gguf.data, gguf.alignment);
    gguf.trailing_bytes = gguf.data.end().get().saturating_sub(end);
    Ok(())
}

/// The aligned place at or after `at`, counted from the data section's base, which is aligned.
fn padded(at: u64, data: DataSection, alignment: u32) -> u64 {
    let rel = at.saturating_sub(data.base().get());
    let rel = rel.checked_next_multiple_of(u64::from(alignment)).unwrap_or(rel);
    data.base().get().saturating_add(rel)
}
