//! Files as streams of bytes: gzip is recognized by content, ends are counted.

use std::fs::File;
use std::io::{BufRead, BufReader, Cursor, Read};
use std::path::Path;

use flate2::bufread::MultiGzDecoder;

use super::DataError;

const GZIP_MAGIC: [u8; 2] = [0x1f, 0x8b];

/// A file, or bytes in memory, decompressed where it is gzip.
pub(super) struct ByteStream {
    inner: Box<dyn Read + Send>,
    /// For messages.
    pub(super) path: String,
    /// Bytes handed out so far.
    pub(super) at: u64,
    /// Bytes in all, where the file is not compressed.
    pub(super) len: Option<u64>,
    /// Whether the gzip stream ended within itself.
    broken: bool,
}

impl ByteStream {
    /// Opens a file.
    pub(super) fn open(path: &Path) -> Result<Self, DataError> {
        let shown = path.display().to_string();
        let io = |source| DataError::Io { path: shown.clone(), at: 0, source };
        let file = File::open(path).map_err(io)?;
        let len = file.metadata().map_err(io)?.len();
        Self::new(BufReader::with_capacity(1 << 16, file), shown.clone(), len).map_err(io)
    }

    /// Reads bytes that are in memory, such as an embedded file.
    pub(super) fn from_memory(bytes: &'static [u8], name: &str) -> Result<Self, DataError> {
        let io = |source| DataError::Io { path: name.to_owned(), at: 0, source };
        Self::new(bytes, name.to_owned(), bytes.len() as u64).map_err(io)
    }

    fn new(
        mut raw: impl BufRead + Send + 'static,
        path: String,
        len: u64,
    ) -> std::io::Result<Self> {
        let mut start = Vec::new();
        raw.by_ref().take(GZIP_MAGIC.len() as u64).read_to_end(&mut start)?;
        let gzip = start == GZIP_MAGIC;
        let whole = Cursor::new(start).chain(raw);
        Ok(if gzip {
            Self {
                inner: Box::new(MultiGzDecoder::new(whole)),
                path,
                at: 0,
                len: None,
                broken: false,
            }
        } else {
            Self { inner: Box::new(whole), path, at: 0, len: Some(len), broken: false }
        })
    }

    /// Fills `buf` as far as the bytes go and gives how many there were. A gzip stream that
    /// breaks off counts as an end, until [`ByteStream::check_end`].
    pub(super) fn fill(&mut self, buf: &mut [u8]) -> Result<usize, DataError> {
        let mut filled = 0;
        while filled < buf.len() {
            match self.inner.read(&mut buf[filled..]) {
                Ok(0) => break,
                Ok(n) => filled += n,
                Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
                Err(e) if e.kind() == std::io::ErrorKind::UnexpectedEof => {
                    self.broken = true;
                    break;
                }
                Err(source) => {
                    let at = self.at + filled as u64;
                    return Err(DataError::Io { path: self.path.clone(), at, source });
                }
            }
        }
        self.at += filled as u64;
        Ok(filled)
    }

    /// Fills `buf` whole; `expected` is the length of the file for the message.
    pub(super) fn fill_whole(&mut self, buf: &mut [u8], expected: u64) -> Result<(), DataError> {
        if self.fill(buf)? == buf.len() {
            return Ok(());
        }
        Err(DataError::Truncated { path: self.path.clone(), found: self.at, expected })
    }

    /// Refuses bytes after `expected`, where the stream stands.
    pub(super) fn expect_end(&mut self, expected: u64) -> Result<(), DataError> {
        match self.fill(&mut [0])? {
            0 => self.check_end(),
            _ => Err(DataError::TooLong { path: self.path.clone(), expected }),
        }
    }

    /// Refuses an end that is only where a gzip stream breaks off.
    pub(super) fn check_end(&self) -> Result<(), DataError> {
        let source = std::io::Error::new(
            std::io::ErrorKind::UnexpectedEof,
            "the compressed file breaks off",
        );
        let refused = || DataError::Io { path: self.path.clone(), at: self.at, source };
        if self.broken { Err(refused()) } else { Ok(()) }
    }
}
