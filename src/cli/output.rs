//! Standard output, and whether who reads it can read more than ASCII.

use std::io::{self, BufWriter, StdoutLock, Write};

/// Whoever read standard output went away (`belljar events ... | head`): no failure of ours.
#[derive(Debug, thiserror::Error)]
#[error("standard output was closed")]
pub struct Closed;

/// Standard output, buffered; a reader that went away is told apart from any other broken pipe.
pub struct Stdout(BufWriter<StdoutLock<'static>>);

/// Opens standard output. Flush it when done: what is still buffered on drop is lost on errors.
pub fn stdout() -> Stdout {
    Stdout(BufWriter::with_capacity(64 << 10, io::stdout().lock()))
}

fn mark<T>(result: io::Result<T>) -> io::Result<T> {
    result.map_err(|error| match error.kind() {
        io::ErrorKind::BrokenPipe => io::Error::new(io::ErrorKind::BrokenPipe, Closed),
        _ => error,
    })
}

impl Write for Stdout {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        mark(self.0.write(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        mark(self.0.flush())
    }
}

/// Whether the locale shows ASCII only: `LC_ALL`, else `LC_CTYPE`, else `LANG` names no UTF-8.
pub fn is_ascii() -> bool {
    let set = |name: &&str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    let locale = ["LC_ALL", "LC_CTYPE", "LANG"].iter().find(|name| set(name)).and_then(std::env::var_os);
    let locale = locale.map(|value| value.to_string_lossy().to_ascii_lowercase()).unwrap_or_default();
    !(locale.contains("utf-8") || locale.contains("utf8"))
}
