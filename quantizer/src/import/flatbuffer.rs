//! Reading a `FlatBuffers` file, field by field, without trusting it.
//!
//! Guarantees that every read is inside the file: an offset that leaves it is an error that names
//! the byte which holds it. Knows no schema: fields are numbers. Nothing is copied and nothing is
//! followed before it is asked for, so that a small file cannot unfold into a large one.
//!
//! The crate `flatbuffers` reads through `unsafe` functions whose callers vouch for a generated
//! schema; a reader that checks each access is shorter than that schema, and safe.

/// An offset, length or table that cannot be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("byte {at:#x}: {what} leaves the file or is broken")]
pub struct Malformed {
    /// The byte of the file at which the wrong thing begins.
    pub at: usize,
    /// What should be there.
    pub what: &'static str,
}

fn array<const N: usize>(
    bytes: &[u8],
    at: usize,
    what: &'static str,
) -> Result<[u8; N], Malformed> {
    let found = bytes.get(at..).and_then(|rest| rest.first_chunk());
    found.copied().ok_or(Malformed { at, what })
}

fn u16_at(bytes: &[u8], at: usize, what: &'static str) -> Result<usize, Malformed> {
    array(bytes, at, what).map(|value| usize::from(u16::from_le_bytes(value)))
}

/// Follows the offset that lies at `at`.
fn target(bytes: &[u8], at: usize, what: &'static str) -> Result<usize, Malformed> {
    let offset = u32::from_le_bytes(array(bytes, at, what)?);
    let target = usize::try_from(offset).ok().and_then(|offset| at.checked_add(offset));
    target.filter(|&target| offset != 0 && target < bytes.len()).ok_or(Malformed { at, what })
}

/// A table of numbered fields.
#[derive(Clone, Copy, Debug)]
pub(super) struct Table<'a> {
    bytes: &'a [u8],
    /// Its first byte in the file.
    pub(super) at: usize,
    /// Where the offsets of its fields begin, and how many bytes they are.
    fields: usize,
    fields_bytes: usize,
}

impl<'a> Table<'a> {
    /// The root table of a file.
    pub(super) fn root(bytes: &'a [u8]) -> Result<Self, Malformed> {
        Self::new(bytes, target(bytes, 0, "the root table")?)
    }

    fn new(bytes: &'a [u8], at: usize) -> Result<Self, Malformed> {
        const WHAT: &str = "a table";
        const HEADER: usize = 4;
        let wrong = Malformed { at, what: WHAT };
        let back = i64::from(i32::from_le_bytes(array(bytes, at, WHAT)?));
        let vtable = i64::try_from(at).ok().and_then(|at| at.checked_sub(back));
        let vtable = vtable.and_then(|vtable| usize::try_from(vtable).ok()).ok_or(wrong)?;
        let vtable_bytes = u16_at(bytes, vtable, WHAT)?;
        let inside = vtable.checked_add(vtable_bytes).is_some_and(|end| end <= bytes.len());
        if !inside || vtable_bytes < HEADER || vtable_bytes % 2 != 0 {
            return Err(wrong);
        }
        Ok(Self { bytes, at, fields: vtable + HEADER, fields_bytes: vtable_bytes - HEADER })
    }

    /// Where field `number` lies, if the table has it.
    fn field(&self, number: usize, what: &'static str) -> Result<Option<usize>, Malformed> {
        if 2 * number + 2 > self.fields_bytes {
            return Ok(None);
        }
        let offset = u16_at(self.bytes, self.fields + 2 * number, what)?;
        Ok((offset != 0).then_some(self.at + offset))
    }

    /// The bytes of a scalar field, or of its default.
    pub(super) fn scalar<const N: usize>(
        &self,
        number: usize,
        default: [u8; N],
        what: &'static str,
    ) -> Result<[u8; N], Malformed> {
        match self.field(number, what)? {
            Some(at) => array(self.bytes, at, what),
            None => Ok(default),
        }
    }

    /// A 32-bit field.
    pub(super) fn i32(
        &self,
        number: usize,
        default: i32,
        what: &'static str,
    ) -> Result<i32, Malformed> {
        self.scalar(number, default.to_le_bytes(), what).map(i32::from_le_bytes)
    }

    /// An index or size of 32 bits.
    pub(super) fn index(&self, number: usize, what: &'static str) -> Result<usize, Malformed> {
        let value = self.scalar(number, [0; 4], what).map(u32::from_le_bytes)?;
        Ok(usize::try_from(value).unwrap_or(usize::MAX))
    }

    /// A field of 8 bits.
    pub(super) fn i8(&self, number: usize, what: &'static str) -> Result<i8, Malformed> {
        self.scalar(number, [0], what).map(i8::from_le_bytes)
    }

    /// Whether the field is there at all.
    pub(super) fn has(&self, number: usize, what: &'static str) -> Result<bool, Malformed> {
        self.field(number, what).map(|at| at.is_some())
    }

    /// A table in a field.
    pub(super) fn table(
        &self,
        number: usize,
        what: &'static str,
    ) -> Result<Option<Self>, Malformed> {
        let Some(at) = self.field(number, what)? else { return Ok(None) };
        Self::new(self.bytes, target(self.bytes, at, what)?).map(Some)
    }

    /// A vector of elements of `size` bytes; empty where it is missing.
    pub(super) fn vector(
        &self,
        number: usize,
        size: usize,
        what: &'static str,
    ) -> Result<Vector<'a>, Malformed> {
        let Some(at) = self.field(number, what)? else {
            return Ok(Vector { file: self.bytes, at: self.at, elements: &[], size, what });
        };
        let at = target(self.bytes, at, what)?;
        let length = u32::from_le_bytes(array(self.bytes, at, what)?);
        let bytes = usize::try_from(length).ok().and_then(|length| length.checked_mul(size));
        let elements = bytes.and_then(|bytes| self.bytes.get(at + 4..)?.get(..bytes));
        let elements = elements.ok_or(Malformed { at, what })?;
        Ok(Vector { file: self.bytes, at: at + 4, elements, size, what })
    }

    /// A string; what is not UTF-8 in it is replaced when it is shown.
    pub(super) fn string(&self, number: usize, what: &'static str) -> Result<&'a [u8], Malformed> {
        self.vector(number, 1, what).map(|vector| vector.elements)
    }
}

/// A vector whose elements all lie inside the file.
#[derive(Clone, Copy, Debug)]
pub(super) struct Vector<'a> {
    file: &'a [u8],
    /// The first byte of its elements.
    pub(super) at: usize,
    elements: &'a [u8],
    size: usize,
    what: &'static str,
}

impl<'a> Vector<'a> {
    pub(super) fn len(&self) -> usize {
        self.elements.len() / self.size
    }

    /// The bytes of all elements.
    pub(super) fn bytes(&self) -> &'a [u8] {
        self.elements
    }

    /// The elements of a vector of `N` bytes each.
    pub(super) fn scalars<const N: usize>(
        &self,
    ) -> impl ExactSizeIterator<Item = [u8; N]> + use<'a, N> {
        self.elements.as_chunks::<N>().0.iter().copied()
    }

    /// Element `index` of a vector of tables.
    pub(super) fn table(&self, index: usize) -> Result<Table<'a>, Malformed> {
        let at = self.at.saturating_add(index.saturating_mul(4));
        if index >= self.len() {
            return Err(Malformed { at: self.at, what: self.what });
        }
        Table::new(self.file, target(self.file, at, self.what)?)
    }
}
