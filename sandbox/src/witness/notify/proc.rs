//! What `/proc` says of one task: identity, parent, start, end, program. Own small readers, because they run while a
//! subject waits.

use std::os::fd::BorrowedFd;

use rustix::fs::{Mode, OFlags};

/// The fields of `/proc/PID/status` that tell who a task is (proc_pid_status(5)).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Status {
    /// Process id on the host.
    pub tgid: i32,
    /// Parent's process id on the host.
    pub parent: i32,
    /// This task's id in the jail's pid namespace; 0 when it is not in it.
    pub jail_tid: u32,
    /// The process's id in the jail's pid namespace.
    pub jail_pid: u32,
    /// In how many nested pid namespaces the task is, the reader's included.
    pub levels: usize,
}

/// The fields of `/proc/PID/stat` (proc_pid_stat(5)).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stat {
    /// State letter.
    pub state: u8,
    /// Start time in clock ticks since boot: with the id, a task's identity.
    pub start: u64,
    /// Raw wait status; only there for the dead, and only for readers that may trace.
    pub exit_code: Option<i32>,
}

/// Appends a file of `/proc` to `into`, up to `limit` bytes. Returns whether that was all of it.
pub(super) fn read(
    directory: BorrowedFd<'_>,
    name: &str,
    limit: usize,
    into: &mut Vec<u8>,
) -> rustix::io::Result<bool> {
    let file = rustix::fs::openat(directory, name, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
    let start = into.len();
    loop {
        let room = limit.saturating_sub(into.len() - start);
        if room == 0 {
            return Ok(false);
        }
        into.reserve(room.min(4096));
        let before = into.len();
        rustix::io::read(&file, rustix::buffer::spare_capacity(into))?;
        if into.len() == before {
            return Ok(true);
        }
        into.truncate(start + limit);
    }
}

/// Reads `name` (`status`, or `PID/status`); `level` is the jail's depth of pid namespaces.
pub(super) fn status(directory: BorrowedFd<'_>, name: &str, level: usize) -> Option<Status> {
    let mut text = Vec::new();
    read(directory, name, 16 << 10, &mut text).ok()?;
    parse_status(&text, level)
}

fn parse_status(text: &[u8], level: usize) -> Option<Status> {
    let mut status = Status::default();
    for line in text.split(|byte| *byte == b'\n') {
        let Some(colon) = memchr::memchr(b':', line) else { continue };
        let (key, value) = line.split_at(colon);
        let mut numbers = value
            .split(|byte| matches!(byte, b'\t' | b' ' | b':'))
            .filter_map(|word| std::str::from_utf8(word).ok()?.parse::<i32>().ok());
        match key {
            b"Tgid" => status.tgid = numbers.next()?,
            b"PPid" => status.parent = numbers.next()?,
            b"NStgid" => status.jail_pid = numbers.nth(level.checked_sub(1)?).unwrap_or(0) as u32,
            b"NSpid" => {
                let ids: Vec<i32> = numbers.collect();
                status.levels = ids.len();
                status.jail_tid = ids.get(level.checked_sub(1)?).copied().unwrap_or(0) as u32;
            }
            _ => {}
        }
    }
    (status.tgid > 0).then_some(status)
}

/// Reads `name` (`stat`, or `PID/stat`).
pub(super) fn stat(directory: BorrowedFd<'_>, name: &str) -> Option<Stat> {
    let mut text = Vec::new();
    read(directory, name, 4096, &mut text).ok()?;
    parse_stat(&text)
}

fn parse_stat(text: &[u8]) -> Option<Stat> {
    // The second field is the command's name in parentheses, and may hold anything.
    let end = memchr::memrchr(b')', text)?;
    let fields = std::str::from_utf8(text.get(end + 1..)?).ok()?;
    let mut fields = fields.split_ascii_whitespace();
    let state = fields.next()?.bytes().next()?;
    // Fields are counted from 1; state is the third.
    let start = fields.nth(22 - 4)?.parse().ok()?;
    let exit_code = fields.nth(52 - 23).and_then(|code| code.parse().ok());
    Some(Stat { state, start, exit_code })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn status_gives_the_ids_of_the_asked_level() {
        let text = b"Name:\ta: b\nTgid:\t500\nPid:\t501\nPPid:\t400\nNStgid:\t500\t7\t2\nNSpid:\t501\t8\t3\n";
        let status = |level| parse_status(text, level).expect("status");
        assert_eq!(status(2), Status { tgid: 500, parent: 400, jail_tid: 8, jail_pid: 7, levels: 3 });
        assert_eq!(status(1).jail_tid, 501);
        assert_eq!((status(4).jail_tid, status(4).jail_pid), (0, 0));
        assert_eq!(parse_status(text, 0), None);
        assert_eq!(parse_status(b"", 1), None);
    }

    #[test]
    fn stat_is_read_past_any_command_name() {
        let numbers = (4..=52).map(|field| field.to_string()).collect::<Vec<_>>().join(" ");
        let text = format!("77 (x) R 1 (\n) Z {numbers}\n");
        assert_eq!(parse_stat(text.as_bytes()), Some(Stat { state: b'Z', start: 22, exit_code: Some(52) }));
        assert_eq!(parse_stat(b"77 (x"), None);
        let own = stat(rustix::fs::CWD, "/proc/self/stat").expect("own stat");
        assert!(own.start > 0 && own.exit_code.is_some());
    }
}
