//! One recorded call as one line of text, in the form strace made familiar:
//! `openat(AT_FDCWD, "/etc/passwd", O_RDONLY|O_CLOEXEC) = 3`.
//!
//! The line is made from what an event records and from nothing else, so it is the same live and
//! in a replay. What the subject chose (names, payloads, arguments) goes through a function that
//! the caller hands in, which escapes and may mask; around it this file puts the quotes and sees
//! to it that nothing inside can end them. No part of an event is left out: what has no place
//! among the call's arguments follows as a comment.

use std::fmt::{self, Write};

use nix::errno::Errno;
use nix::sys::signal::Signal;

use super::{Arg, Call, Category, by_name, flags};
use crate::event::{Abi, ObjectKind};

/// What of an event the line is made from.
#[derive(Clone, Copy, Debug)]
pub struct Shown<'a> {
    /// The call.
    pub call: &'a Call,
    /// Its arguments. For i386's `socketcall` and old `mmap` those that the pointer in the
    /// registers led to; the operation of a `socketcall` is then the first part of `detail`.
    pub args: [u64; 6],
    /// The interface it came in by.
    pub abi: Abi,
    /// See [`crate::event::Event::object`].
    pub object: &'a [u8],
    /// What `object` is.
    pub object_kind: ObjectKind,
    /// See [`crate::event::Event::target`].
    pub target: &'a [u8],
    /// What `target` is.
    pub target_kind: ObjectKind,
    /// See [`crate::event::Event::detail`].
    pub detail: &'a [u8],
    /// The payload, or as much of its beginning as is to be shown.
    pub payload: &'a [u8],
    /// How many bytes there were; where that is more than `payload` has, dots follow.
    pub payload_len: u64,
    /// What the call returned; `None` where the witness cannot know.
    pub result: Option<i64>,
}

/// How the bytes handed to an escaping function belong together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Piece {
    /// A whole thing: a path, an address, an argument.
    Whole,
    /// Part of a longer stream, which may begin or end amid something that is to be masked.
    Part,
}

/// Writes bytes of the subject so that the output has no control character, and a backslash only
/// where it begins an escape. [`escape`] is one.
pub type Escape<'a> = &'a dyn Fn(Piece, &[u8], &mut dyn Write) -> fmt::Result;

/// Escapes as C does: printable ASCII stays, `"` and `\` get a backslash, other bytes become
/// `\n`, `\r`, `\t` or `\xNN`.
pub fn escape(_: Piece, bytes: &[u8], w: &mut dyn Write) -> fmt::Result {
    for byte in bytes {
        match byte {
            b'\n' => w.write_str("\\n")?,
            b'\r' => w.write_str("\\r")?,
            b'\t' => w.write_str("\\t")?,
            b'"' | b'\\' => write!(w, "\\{}", char::from(*byte))?,
            b' '..=b'~' => w.write_char(char::from(*byte))?,
            _ => write!(w, "\\x{byte:02x}")?,
        }
    }
    Ok(())
}

/// The name of an errno (positive), such as `ENOENT`.
pub fn errno_name(errno: i32) -> Option<&'static str> {
    syscalls::Errno::new(errno).name()
}

/// The name of a signal, such as `SIGTERM`; `None` for real-time signals, which have none.
pub fn signal_name(signal: i32) -> Option<&'static str> {
    Signal::try_from(signal).ok().map(Signal::as_str)
}

/// Writes one call and its result, without a newline.
pub fn show(w: &mut dyn Write, shown: &Shown<'_>, escape: Escape<'_>) -> fmt::Result {
    let mut texts: Vec<&[u8]> = shown.detail.split(|byte| *byte == 0).collect();
    // Where the last entry is ended too, nothing follows it; and no detail is no entry.
    let ended = texts.pop_if(|last| last.is_empty()).is_some();
    let mut texts = texts.as_slice();
    w.write_str(shown.call.name)?;
    let mut call = shown.call;
    if shown.abi == Abi::I386 {
        let operation = texts.split_first().and_then(|(name, rest)| Some((operation(name)?, name, rest)));
        match (call.name, operation) {
            ("mmap", _) => call = by_name("mmap").unwrap_or(call),
            ("socketcall", Some((of_operation, _, rest))) => {
                write!(w, ":{}", of_operation.name)?;
                (call, texts) = (of_operation, rest);
            }
            _ => {}
        }
    }
    w.write_char('(')?;
    let (object, target, payload) = (!shown.object.is_empty(), !shown.target.is_empty(), !shown.payload.is_empty());
    Line { w, escape, shown, call, texts, ended, object, target, payload }.write()
}

/// The call that an operation of `socketcall` is laid out like.
fn operation(name: &[u8]) -> Option<&'static Call> {
    let name = match name {
        b"send" => "sendto",
        b"recv" => "recvfrom",
        name => std::str::from_utf8(name).ok()?,
    };
    by_name(name).filter(|call| matches!(call.category, Category::Network | Category::Send | Category::Receive))
}

/// Writes a call whose number the table does not know.
pub fn show_unknown(w: &mut dyn Write, nr: u32, args: &[u64; 6], result: Option<i64>) -> fmt::Result {
    write!(w, "syscall_{nr:#x}(")?;
    for (index, arg) in args.iter().enumerate() {
        write!(w, "{}{arg:#x}", if index == 0 { "" } else { ", " })?;
    }
    w.write_str(") = ")?;
    outcome(w, result, false)
}

/// Writes a result: a number, an error with its name and meaning, or `?`.
fn outcome(w: &mut dyn Write, result: Option<i64>, address: bool) -> fmt::Result {
    match result {
        None => w.write_char('?'),
        // The kernel's range for errors (MAX_ERRNO).
        Some(result @ -4095..=-1) => match syscalls::Errno::new(-result as i32).name_and_description() {
            // nix says it as the C library does, but does not know the kernel's inner ones.
            Some((name, meaning)) => match Errno::from_raw(-result as i32) {
                Errno::UnknownErrno => write!(w, "-1 {name} ({meaning})"),
                errno => write!(w, "-1 {name} ({})", errno.desc()),
            },
            None => write!(w, "-1 errno {}", -result),
        },
        Some(result) if address => write!(w, "{result:#x}"),
        Some(result) => write!(w, "{result}"),
    }
}

/// Where the arguments stand that the event's object and target belong to.
fn places(call: &Call) -> (Option<usize>, Option<usize>) {
    let find = |wanted: fn(&Arg) -> bool| {
        call.args.iter().enumerate().filter(move |(_, (_, arg))| wanted(arg)).map(|(index, _)| index)
    };
    let address = find(|arg| matches!(arg, Arg::SockAddr { .. })).next();
    // connect and bind are about the address, a send is about its socket.
    if address.is_some() && call.category == Category::Network {
        return (address, None);
    }
    let mut named = find(|arg| matches!(arg, Arg::Fd | Arg::Path));
    let object = named.next().or_else(|| find(|arg| matches!(arg, Arg::Pid)).next());
    (object, named.next().or(address))
}

/// Whether flags of open may make a file (`O_TMPFILE` without the `O_DIRECTORY` in it).
fn creates(flags: u64) -> bool {
    flags & (libc::O_CREAT | libc::O_TMPFILE & !libc::O_DIRECTORY) as u64 != 0
}

/// A 64-bit field of a structure in the subject's memory.
fn field(bytes: &[u8], index: usize) -> Option<u64> {
    bytes.get(index * 8..)?.first_chunk().copied().map(u64::from_le_bytes)
}

/// Passes on what an escaping function writes, so that `close` in it ends no quotes.
struct Fence<'w> {
    w: &'w mut dyn Write,
    close: char,
    /// The last character began an escape.
    open: bool,
}

impl Write for Fence<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for ch in text.chars() {
            if ch == self.close && !self.open {
                write!(self.w, "\\x{:02x}", u32::from(ch))?;
            } else {
                self.w.write_char(ch)?;
            }
            self.open = ch == '\\' && !self.open;
        }
        Ok(())
    }
}

/// Which part of the event an argument is shown with.
#[derive(Clone, Copy)]
enum Place {
    Object,
    Target,
    None,
}

/// One line being written, and which parts of the event have not had their place yet.
struct Line<'l> {
    w: &'l mut dyn Write,
    escape: Escape<'l>,
    shown: &'l Shown<'l>,
    /// What the arguments are laid out like.
    call: &'l Call,
    /// Parts of the detail.
    texts: &'l [&'l [u8]],
    /// Whether the last of them is all there.
    ended: bool,
    object: bool,
    target: bool,
    payload: bool,
}

impl<'l> Line<'l> {
    fn write(&mut self) -> fmt::Result {
        let call = self.call;
        let (object, target) = places(call);
        let mut separator = "";
        for (index, (_, arg)) in call.args.iter().enumerate() {
            let before = index.checked_sub(1);
            match (before.and_then(|before| call.args.get(before)), arg) {
                // The mode of a file that is not made means nothing, nor does what follows it.
                (Some((_, Arg::Flags(set))), Arg::Mode)
                    if std::ptr::eq(*set, &raw const flags::OPEN) && !creates(self.before(index)) =>
                {
                    break;
                }
                // An address is shown whole: its length says no more.
                (Some((_, Arg::SockAddr { .. })), _) if self.before(index) != 0 => continue,
                _ => {}
            }
            self.w.write_str(separator)?;
            separator = ", ";
            let place = if object == Some(index) {
                Place::Object
            } else if target == Some(index) {
                Place::Target
            } else {
                Place::None
            };
            self.argument(*arg, index, place)?;
        }
        self.w.write_str(") = ")?;
        let address = matches!(call.name, "mmap" | "mmap2" | "brk" | "mremap" | "shmat" | "map_shadow_stack");
        outcome(self.w, self.shown.result, address)?;
        self.comment()
    }

    /// An argument's value in the width of the interface.
    fn value(&self, index: usize) -> u64 {
        let value = self.shown.args.get(index).copied().unwrap_or_default();
        if self.shown.abi == Abi::I386 { value & 0xffff_ffff } else { value }
    }

    fn before(&self, index: usize) -> u64 {
        index.checked_sub(1).map_or(0, |index| self.value(index))
    }

    fn argument(&mut self, arg: Arg, index: usize, place: Place) -> fmt::Result {
        let value = self.value(index);
        match arg {
            Arg::DirFd if value as i32 == libc::AT_FDCWD => self.w.write_str("AT_FDCWD"),
            Arg::Int | Arg::DirFd => write!(self.w, "{}", value as i32),
            Arg::Uint => write!(self.w, "{value}"),
            Arg::Hex if value == 0 => self.w.write_str("0"),
            Arg::Hex => write!(self.w, "{value:#x}"),
            Arg::Mode => write!(self.w, "0{:03o}", value as u32),
            // The kernel looks at no more than an int.
            Arg::Flags(set) => set.show(u64::from(value as u32), self.w),
            Arg::Command => flags::IOCTL.show(u64::from(value as u32), self.w),
            Arg::Offset if self.shown.abi == Abi::I386 => write!(self.w, "{}", value as i32),
            Arg::Offset => write!(self.w, "{}", value as i64),
            Arg::Signal => match signal_name(value as i32) {
                Some(name) => self.w.write_str(name),
                None => write!(self.w, "{}", value as i32),
            },
            Arg::Pointer => self.pointer(value),
            Arg::Fd | Arg::Pid => self.numbered(value as i32, place),
            Arg::Path => match self.take(place) {
                Some((name, _)) => self.quoted(Piece::Whole, name, false),
                None => self.pointer(value),
            },
            Arg::SockAddr { .. } => match self.take(place) {
                Some((name, kind)) => self.address(name, kind),
                None => self.pointer(value),
            },
            Arg::Text => match self.texts.split_first() {
                Some((text, rest)) if value != 0 => {
                    self.texts = rest;
                    self.quoted(Piece::Whole, text, false)
                }
                _ => self.pointer(value),
            },
            Arg::Argv => self.vector(value),
            Arg::Envp => self.environment(value),
            Arg::InBuf { .. } if matches!(self.call.name, "openat2" | "clone3") => self.structure(value),
            Arg::InBuf { .. } | Arg::OutBuf { .. } => self.buffer(value, "", ""),
            Arg::InIovec { .. } | Arg::OutIovec { .. } => self.buffer(value, "[", "]"),
            Arg::InMsg | Arg::OutMsg => self.message(value, "{", "}"),
            Arg::InMmsg { .. } => self.message(value, "[{", "}]"),
        }
    }

    fn pointer(&mut self, value: u64) -> fmt::Result {
        if value == 0 { self.w.write_str("NULL") } else { write!(self.w, "{value:#x}") }
    }

    /// The name that belongs in this place, where it has not been shown.
    fn take(&mut self, place: Place) -> Option<(&'l [u8], ObjectKind)> {
        let shown = self.shown;
        let (left, name) = match place {
            Place::Object => (&mut self.object, (shown.object, shown.object_kind)),
            Place::Target => (&mut self.target, (shown.target, shown.target_kind)),
            Place::None => return None,
        };
        std::mem::take(left).then_some(name)
    }

    fn fenced(&mut self, open: char, close: char, piece: Piece, bytes: &[u8]) -> fmt::Result {
        self.w.write_char(open)?;
        (self.escape)(piece, bytes, &mut Fence { w: self.w, close, open: false })?;
        self.w.write_char(close)
    }

    fn quoted(&mut self, piece: Piece, bytes: &[u8], cut: bool) -> fmt::Result {
        self.fenced('"', '"', piece, bytes)?;
        self.w.write_str(if cut { "..." } else { "" })
    }

    /// A descriptor or process with what it stands for: `3</etc/hosts>`.
    fn numbered(&mut self, number: i32, place: Place) -> fmt::Result {
        write!(self.w, "{number}")?;
        match self.take(place) {
            // A process is named by its number.
            Some((name, ObjectKind::Process)) if name == number.to_string().as_bytes() => Ok(()),
            Some((name, _)) => self.fenced('<', '>', Piece::Whole, name),
            None => Ok(()),
        }
    }

    /// An address bare, where it is made of what addresses are made of; anything else quoted.
    fn address(&mut self, name: &[u8], kind: ObjectKind) -> fmt::Result {
        let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b".:[]%_-".contains(byte);
        if kind != ObjectKind::Unix && name.iter().all(plain) {
            (self.escape)(Piece::Whole, name, self.w)
        } else {
            self.quoted(Piece::Whole, name, false)
        }
    }

    fn payload(&mut self) -> fmt::Result {
        self.payload = false;
        let shown = self.shown;
        self.quoted(Piece::Part, shown.payload, (shown.payload.len() as u64) < shown.payload_len)
    }

    fn buffer(&mut self, pointer: u64, before: &str, after: &str) -> fmt::Result {
        if !self.payload {
            return self.pointer(pointer);
        }
        self.w.write_str(before)?;
        self.payload()?;
        self.w.write_str(after)
    }

    /// A message header: whom to and what.
    fn message(&mut self, pointer: u64, before: &str, after: &str) -> fmt::Result {
        let target = self.take(Place::Target);
        if target.is_none() && !self.payload {
            return self.pointer(pointer);
        }
        self.w.write_str(before)?;
        if let Some((name, kind)) = target {
            self.w.write_str("to=")?;
            self.address(name, kind)?;
            self.w.write_str(if self.payload { ", " } else { "" })?;
        }
        if self.payload {
            self.payload()?;
        }
        self.w.write_str(after)
    }

    /// An argument vector: `["sh", "-c", "..."]`; dots after the last where it was cut off.
    fn vector(&mut self, pointer: u64) -> fmt::Result {
        let texts = std::mem::take(&mut self.texts);
        let Some((last, others)) = texts.split_last() else { return self.pointer(pointer) };
        self.w.write_char('[')?;
        for text in others {
            self.quoted(Piece::Whole, text, false)?;
            self.w.write_str(", ")?;
        }
        let piece = if self.ended { Piece::Whole } else { Piece::Part };
        self.quoted(piece, last, !self.ended)?;
        self.w.write_char(']')
    }

    /// An environment is only counted: it is long, and the event has it.
    fn environment(&mut self, pointer: u64) -> fmt::Result {
        self.pointer(pointer)?;
        if !std::mem::take(&mut self.payload) {
            return Ok(());
        }
        let shown = self.shown;
        let count = shown.payload.split(|byte| *byte == 0).filter(|entry| !entry.is_empty()).count();
        let more = if (shown.payload.len() as u64) < shown.payload_len { "+" } else { "" };
        write!(self.w, " /* {count}{more} variables */")
    }

    /// `struct open_how` and `struct clone_args`, whose fields are 64 bits wide in every
    /// interface (`linux/openat2.h`, `linux/sched.h`).
    fn structure(&mut self, pointer: u64) -> fmt::Result {
        let bytes = self.shown.payload;
        if self.call.name == "openat2" {
            let (Some(flags), Some(mode), Some(resolve)) = (field(bytes, 0), field(bytes, 1), field(bytes, 2)) else {
                return self.buffer(pointer, "", "");
            };
            self.w.write_str("{flags=")?;
            flags::OPEN.show(flags, self.w)?;
            write!(self.w, ", mode=0{mode:03o}, resolve=")?;
            flags::RESOLVE.show(resolve, self.w)?;
        } else {
            let (Some(flags), Some(signal)) = (field(bytes, 0), field(bytes, 4)) else {
                return self.buffer(pointer, "", "");
            };
            self.w.write_str("{flags=")?;
            flags::UNSHARE.show(flags, self.w)?;
            match i32::try_from(signal).ok().and_then(signal_name) {
                Some(name) => write!(self.w, ", exit_signal={name}")?,
                None => write!(self.w, ", exit_signal={signal}")?,
            }
        }
        self.payload = false;
        self.w.write_char('}')
    }

    /// What of the event has had no place among the arguments.
    fn comment(&mut self) -> fmt::Result {
        let texts = std::mem::take(&mut self.texts);
        if !self.object && !self.target && !self.payload && texts.is_empty() {
            return Ok(());
        }
        self.w.write_str(" /*")?;
        for place in [Place::Object, Place::Target] {
            if let Some((name, kind)) = self.take(place) {
                self.w.write_char(' ')?;
                self.address(name, kind)?;
            }
        }
        for text in texts {
            self.w.write_char(' ')?;
            self.quoted(Piece::Whole, text, false)?;
        }
        if self.payload {
            self.w.write_char(' ')?;
            self.payload()?;
        }
        self.w.write_str(" */")
    }
}

#[cfg(test)]
mod tests;
