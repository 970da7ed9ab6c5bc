//! The keywords of one schema object.

use super::SchemaError;
use super::json::{Document, Id, Value};
use crate::gguf::Name;

/// The values of the keywords that are there.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Keywords {
    pub(super) reference: Option<Id>,
    pub(super) any_of: Option<Id>,
    pub(super) kind: Option<Id>,
    pub(super) constant: Option<Id>,
    pub(super) choice: Option<Id>,
    pub(super) properties: Option<Id>,
    pub(super) required: Option<Id>,
    pub(super) additional: Option<Id>,
    pub(super) items: Option<Id>,
    pub(super) min_items: Option<Id>,
    pub(super) max_items: Option<Id>,
    pub(super) min_length: Option<Id>,
    pub(super) max_length: Option<Id>,
    pub(super) pattern: Option<Id>,
    pub(super) minimum: Option<Id>,
    pub(super) maximum: Option<Id>,
    pub(super) above: Option<Id>,
    pub(super) below: Option<Id>,
}

impl Keywords {
    /// Those of the object `id`.
    pub(super) fn read(document: &Document, id: Id) -> Result<Self, SchemaError> {
        let node = document.node(id);
        if !matches!(node.value, Value::Object(_)) {
            return Err(SchemaError::Unsupported { what: "a schema that is no object", offset: node.offset });
        }
        let mut out = Self::default();
        for member in document.children(id) {
            let slot = match document.key(member) {
                b"$ref" => &mut out.reference,
                b"anyOf" => &mut out.any_of,
                b"type" => &mut out.kind,
                b"const" => &mut out.constant,
                b"enum" => &mut out.choice,
                b"properties" => &mut out.properties,
                b"required" => &mut out.required,
                b"additionalProperties" => &mut out.additional,
                b"items" => &mut out.items,
                b"minItems" => &mut out.min_items,
                b"maxItems" => &mut out.max_items,
                b"minLength" => &mut out.min_length,
                b"maxLength" => &mut out.max_length,
                b"pattern" => &mut out.pattern,
                b"minimum" => &mut out.minimum,
                b"maximum" => &mut out.maximum,
                b"exclusiveMinimum" => &mut out.above,
                b"exclusiveMaximum" => &mut out.below,
                // They describe and do not constrain.
                b"$schema" | b"$id" | b"$comment" | b"title" | b"description" | b"default" | b"examples"
                | b"deprecated" => continue,
                b"$defs" if id == document.root() => continue,
                other => {
                    let offset = document.node(member).key_offset;
                    return Err(SchemaError::UnknownKeyword { keyword: Name::new(other), offset });
                }
            };
            *slot = Some(member);
        }
        Ok(out)
    }

    /// The first keyword that is there besides those of `self` that `alone` takes away.
    fn rest(mut self, alone: impl FnOnce(&mut Self)) -> Option<Id> {
        alone(&mut self);
        let Self {
            reference,
            any_of,
            kind,
            constant,
            choice,
            properties,
            required,
            additional,
            items,
            min_items,
            max_items,
            min_length,
            max_length,
            pattern,
            minimum,
            maximum,
            above,
            below,
        } = self;
        [reference, any_of, kind, constant, choice, properties, required, additional, items, min_items]
            .into_iter()
            .chain([max_items, min_length, max_length, pattern, minimum, maximum, above, below])
            .flatten()
            .next()
    }

    /// Whether nothing stands beside what `alone` takes away.
    ///
    /// # Errors
    /// [`SchemaError::Unsupported`] with `what` and the place of the first that does.
    pub(super) fn only(
        self,
        document: &Document,
        what: &'static str,
        alone: impl FnOnce(&mut Self),
    ) -> Result<(), SchemaError> {
        match self.rest(alone) {
            Some(id) => Err(SchemaError::Unsupported { what, offset: document.node(id).key_offset }),
            None => Ok(()),
        }
    }
}

/// A keyword's value that must be a whole number from 0.
pub(super) fn count(
    document: &Document,
    id: Option<Id>,
    keyword: &'static str,
) -> Result<Option<u64>, SchemaError> {
    let Some(id) = id else { return Ok(None) };
    let offset = document.node(id).offset;
    let wrong = SchemaError::WrongValue { keyword, want: "a whole number from 0", offset };
    document.integer(id).and_then(|n| u64::try_from(n).ok()).map(Some).ok_or(wrong)
}

/// A keyword's value that must be an integer.
pub(super) fn integer(
    document: &Document,
    id: Option<Id>,
    keyword: &'static str,
) -> Result<Option<i64>, SchemaError> {
    let Some(id) = id else { return Ok(None) };
    let offset = document.node(id).offset;
    let wrong = SchemaError::WrongValue { keyword, want: "an integer of 64 bits", offset };
    document.integer(id).map(Some).ok_or(wrong)
}
