//! Reading a Protocol Buffers message, field by field, without trusting it.
//!
//! Guarantees that every read is inside the message: what leaves it is an error that names the
//! byte. Knows no schema: fields are numbers. Nothing is copied, and nothing inside a message is
//! followed before it is asked for, so that a small file cannot unfold into a large one.
//!
//! The crate `prost` copies each message with all its tensors into structures before the first can
//! be looked at; what an importer needs of the encoding is shorter than those structures.

use super::flatbuffer::Malformed;

/// The bytes of a message, and where they begin in the file.
#[derive(Clone, Copy, Debug)]
pub(super) struct Message<'a> {
    bytes: &'a [u8],
    pub(super) at: usize,
}

/// The value of a field.
#[derive(Clone, Copy, Debug)]
pub(super) enum Field<'a> {
    /// A number of up to 64 bits.
    Varint(u64),
    /// Eight bytes, which nothing here needs.
    Fixed64,
    /// A message, a string or packed numbers.
    Bytes(Message<'a>),
    /// Four bytes.
    Fixed32([u8; 4]),
}

impl<'a> Message<'a> {
    /// A whole file.
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// What it consists of.
    pub(super) fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// Its fields in their order, up to the first that is broken.
    pub(super) fn fields(self) -> Fields<'a> {
        Fields { rest: self.bytes, at: self.at, broken: false }
    }

    /// The numbers that are packed in it.
    pub(super) fn varints(self) -> impl Iterator<Item = Result<u64, Malformed>> + use<'a> {
        let mut fields = self.fields();
        std::iter::from_fn(move || {
            (!fields.rest.is_empty() && !fields.broken).then(|| fields.varint())
        })
    }
}

/// The fields of a message, each with its number.
pub(super) struct Fields<'a> {
    rest: &'a [u8],
    at: usize,
    broken: bool,
}

impl<'a> Fields<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8], Malformed> {
        let wrong = Malformed { at: self.at, what: "a field" };
        let Some((taken, rest)) = self.rest.split_at_checked(count) else {
            self.broken = true;
            return Err(wrong);
        };
        self.rest = rest;
        self.at += count;
        Ok(taken)
    }

    fn varint(&mut self) -> Result<u64, Malformed> {
        let start = self.at;
        let mut value = 0_u64;
        for shift in (0..70).step_by(7) {
            let byte = self.take(1)?[0];
            let bits = u64::from(byte & 0x7F);
            if shift == 63 && bits > 1 {
                break;
            }
            value |= bits << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        self.broken = true;
        Err(Malformed { at: start, what: "a number" })
    }

    fn field(&mut self) -> Result<(u64, Field<'a>), Malformed> {
        let start = self.at;
        let key = self.varint()?;
        let value = match key & 7 {
            0 => Field::Varint(self.varint()?),
            1 => {
                self.take(8)?;
                Field::Fixed64
            }
            2 => {
                let length = self.varint()?;
                let at = self.at;
                let bytes = self.take(usize::try_from(length).unwrap_or(usize::MAX))?;
                Field::Bytes(Message { bytes, at })
            }
            5 => Field::Fixed32(self.take(4)?.try_into().unwrap_or_default()),
            _ => {
                self.broken = true;
                return Err(Malformed { at: start, what: "a field" });
            }
        };
        Ok((key >> 3, value))
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = Result<(u64, Field<'a>), Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        (!self.rest.is_empty() && !self.broken).then(|| self.field())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(bytes: &[u8], expected: &str) {
        let fields: Vec<_> = Message::new(bytes).fields().collect();
        assert_eq!(format!("{fields:?}"), expected);
    }

    #[test]
    fn fields_are_read_to_the_first_that_is_broken() {
        check(&[], "[]");
        check(&[0x08, 0x96, 0x01], "[Ok((1, Varint(150)))]");
        check(&[0x15, 1, 2, 3, 4], "[Ok((2, Fixed32([1, 2, 3, 4])))]");
        check(&[0x12, 1, 7], "[Ok((2, Bytes(Message { bytes: [7], at: 2 })))]");
        check(&[0x12, 2, 7], r#"[Err(Malformed { at: 2, what: "a field" })]"#);
        check(&[0x0B, 0x08, 0], r#"[Err(Malformed { at: 0, what: "a field" })]"#);
        check(&[0x08], r#"[Err(Malformed { at: 1, what: "a field" })]"#);
        let minus_one = [[0x08].as_slice(), &[0xFF; 9], &[1]].concat();
        check(&minus_one, "[Ok((1, Varint(18446744073709551615)))]");
        let too_long = [[0x08].as_slice(), &[0xFF; 9], &[2]].concat();
        check(&too_long, r#"[Err(Malformed { at: 1, what: "a number" })]"#);
    }
}
