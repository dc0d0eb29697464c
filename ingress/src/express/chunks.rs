//! Chunked bodies of endpoints, without their chunks (RFC 9112 §7.1).
//!
//! Pure. Extensions end here; trailers are for clients who can take them.

/// Bytes of trailers that are read over.
const TRAILERS_MAX: usize = 16 * 1024;
/// More hexadecimal digits than any size has that a disk could hold.
const DIGITS_MAX: u8 = 15;

/// Where in a chunked body the next byte stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Chunks {
    Size {
        size: u64,
        digits: u8,
    },
    Extension(u64),
    SizeEnd(u64),
    Bytes(u64),
    Cr,
    Lf,
    /// Bytes of the line so far, and of all lines.
    Trailer(usize, usize),
    TrailerEnd(usize, usize),
    End,
}

/// A body that is not chunked as it should be.
#[derive(Debug, PartialEq, Eq)]
pub struct Malformed;

impl Default for Chunks {
    fn default() -> Self {
        Self::new()
    }
}

impl Chunks {
    /// Before the first chunk.
    #[must_use]
    pub const fn new() -> Self {
        Self::Size { size: 0, digits: 0 }
    }

    /// Appends what `bytes` hold of the body to `out`, hands on those of the trailers, the empty line included; gives
    /// how many were read, which is all of them unless it ended.
    ///
    /// # Errors
    /// [`Malformed`]
    pub fn read(&mut self, bytes: &[u8], out: &mut Vec<u8>, mut trailer: impl FnMut(u8)) -> Result<usize, Malformed> {
        let mut at = 0;
        while at < bytes.len() && *self != Self::End {
            if let Self::Bytes(left) = *self {
                let here = usize::try_from(left).map_or(bytes.len() - at, |left| left.min(bytes.len() - at));
                out.extend_from_slice(&bytes[at..at + here]);
                at += here;
                let left = left - here as u64;
                *self = if left == 0 { Self::Cr } else { Self::Bytes(left) };
            } else {
                if matches!(self, Self::Trailer(..) | Self::TrailerEnd(..)) {
                    trailer(bytes[at]);
                }
                *self = self.after(bytes[at]).ok_or(Malformed)?;
                at += 1;
            }
        }
        Ok(at)
    }

    fn after(self, byte: u8) -> Option<Self> {
        match (self, byte) {
            (Self::Size { digits: 1.., size }, b'\r') => Some(Self::SizeEnd(size)),
            (Self::Size { digits: 1.., size }, b';' | b' ' | b'\t') => Some(Self::Extension(size)),
            (Self::Size { size, digits: digits @ 0..DIGITS_MAX }, byte) => {
                let value = char::from(byte).to_digit(16)?;
                Some(Self::Size { size: size * 16 + u64::from(value), digits: digits + 1 })
            }
            (Self::Extension(size), b'\r') => Some(Self::SizeEnd(size)),
            (Self::Extension(_), b'\n') => None,
            (Self::Extension(size), _) => Some(Self::Extension(size)),
            (Self::SizeEnd(0), b'\n') => Some(Self::Trailer(0, 0)),
            (Self::SizeEnd(size), b'\n') => Some(Self::Bytes(size)),
            (Self::Cr, b'\r') => Some(Self::Lf),
            (Self::Lf, b'\n') => Some(Self::new()),
            (Self::Trailer(line, all), b'\r') => Some(Self::TrailerEnd(line, all)),
            (Self::Trailer(line, all), byte) if byte != b'\n' && all < TRAILERS_MAX => {
                Some(Self::Trailer(line + 1, all + 1))
            }
            (Self::TrailerEnd(0, _), b'\n') => Some(Self::End),
            (Self::TrailerEnd(_, all), b'\n') => Some(Self::Trailer(0, all)),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Chunks, Malformed, TRAILERS_MAX};

    fn read(bytes: &[u8], step: usize) -> Result<(String, bool, usize), Malformed> {
        let (mut chunks, mut out, mut read) = (Chunks::new(), Vec::new(), 0);
        for piece in bytes.chunks(step) {
            let here = chunks.read(piece, &mut out, |_| {})?;
            read += here;
            if here < piece.len() {
                break;
            }
        }
        Ok((String::from_utf8(out).expect("text"), chunks == Chunks::End, read))
    }

    /// Ingress: 5, 6
    #[test]
    fn chunks_come_in_any_pieces() {
        for (given, wanted, left) in [
            ("0\r\n\r\n", "", 0),
            ("3\r\nabc\r\n0\r\n\r\n", "abc", 0),
            ("3;x=\"y\"\r\nabc\r\nA\r\n0123456789\r\n000 \r\n\r\nHTTP", "abc0123456789", 4),
            ("1\r\na\r\n0\r\nA: b\r\nC: d\r\n\r\n", "a", 0),
        ] {
            for step in 1..=given.len() {
                let wanted = (wanted.to_owned(), true, given.len() - left);
                assert_eq!(read(given.as_bytes(), step), Ok(wanted), "{given:?} in steps of {step}");
            }
        }
        assert_eq!(read(b"3\r\nab", 9), Ok(("ab".into(), false, 5)));
    }

    /// Ingress: 5
    #[test]
    fn what_is_not_chunked_is_malformed() {
        for given in [
            "\r\n",
            "x\r\n",
            "+1\r\na",
            "0x1\r\n",
            "-1\r\n",
            "1\na",
            "1;x\na",
            "1\r\nab\r\n",
            "1\r\na\n",
            "1\r\na\rx",
            "0\r\nA: b\n\r\n",
            "1111111111111111\r\n",
            "1\r\ra",
        ] {
            assert_eq!(read(given.as_bytes(), 1), Err(Malformed), "{given:?}");
        }
        let endless = format!("0\r\n{}", "a".repeat(TRAILERS_MAX + 1));
        assert_eq!(read(endless.as_bytes(), 512), Err(Malformed));
    }
}
