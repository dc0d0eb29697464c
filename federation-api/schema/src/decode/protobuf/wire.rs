//! The protobuf wire format: tags and payloads out of bytes that may be hostile.
//!
//! It knows neither types nor Kubernetes.

/// What follows a tag.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Payload<'a> {
    Varint(u64),
    Fixed64(u64),
    Bytes(&'a [u8]),
    Fixed32(u32),
}

/// The rest of a message.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wire<'a> {
    rest: &'a [u8],
}

pub(super) type Problem = &'static str;

const TRUNCATED: Problem = "unexpected end of message";

impl<'a> Wire<'a> {
    pub(super) fn new(rest: &'a [u8]) -> Self {
        Self { rest }
    }

    /// The next field: its tag and payload; none at the end.
    pub(super) fn next(&mut self) -> Result<Option<(u32, Payload<'a>)>, Problem> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        let key = self.varint()?;
        let tag = u32::try_from(key >> 3).map_err(|_| "a tag is too large")?;
        if tag == 0 {
            return Err("a tag is zero");
        }
        let payload = match key & 7 {
            0 => Payload::Varint(self.varint()?),
            1 => Payload::Fixed64(u64::from_le_bytes(*self.take(8)?.first_chunk().ok_or(TRUNCATED)?)),
            2 => {
                let length = usize::try_from(self.varint()?).map_err(|_| "a length overflows")?;
                Payload::Bytes(self.take(length)?)
            }
            5 => Payload::Fixed32(u32::from_le_bytes(*self.take(4)?.first_chunk().ok_or(TRUNCATED)?)),
            _ => return Err("a wire type is not supported"),
        };
        Ok(Some((tag, payload)))
    }

    pub(super) fn varint(&mut self) -> Result<u64, Problem> {
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            let (&byte, rest) = self.rest.split_first().ok_or(TRUNCATED)?;
            self.rest = rest;
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return if shift == 63 && byte > 1 { Err("a varint overflows") } else { Ok(value) };
            }
        }
        Err("a varint overflows")
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8], Problem> {
        let (taken, rest) = self.rest.split_at_checked(length).ok_or(TRUNCATED)?;
        self.rest = rest;
        Ok(taken)
    }
}

impl<'a> Payload<'a> {
    pub(super) fn bytes(self) -> Result<&'a [u8], Problem> {
        match self {
            Self::Bytes(bytes) => Ok(bytes),
            _ => Err("wrong wire type: expected bytes"),
        }
    }

    pub(super) fn text(self) -> Result<&'a str, Problem> {
        std::str::from_utf8(self.bytes()?).map_err(|_| "invalid UTF-8")
    }

    /// A varint as Go reads it into an `int64`.
    pub(super) fn int(self) -> Result<i64, Problem> {
        match self {
            Self::Varint(value) => Ok(value.cast_signed()),
            _ => Err("wrong wire type: expected a varint"),
        }
    }
}
