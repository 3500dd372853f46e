//! `notes.jsonl`: what the analyst marks, notes and reveals, one line each, appended. The recording itself is never
//! changed; that a value was looked at stands here before it is shown.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::BundleError;

/// Longest file of notes read.
const MAX_BYTES: u64 = 16 << 20;

/// What a note is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum What {
    /// An event was marked, perhaps with a text.
    Mark,
    /// The mark of an event was taken off.
    Unmark,
    /// Masked bytes of an event were shown to the analyst.
    Reveal,
}

/// One line of the file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Note {
    /// What it is.
    pub what: What,
    /// Number of the event it is about.
    pub event: u64,
    /// Its time in the session, nanoseconds.
    pub time_ns: u64,
    /// When it was written, RFC 3339, UTC.
    pub written: String,
    /// By whom: the user's name as the environment tells it.
    pub by: String,
    /// What the analyst says of it; may be empty.
    #[serde(default)]
    pub text: String,
}

/// A bundle's notes.
#[derive(Debug)]
pub struct Notes {
    path: PathBuf,
    notes: Vec<Note>,
}

impl Notes {
    /// Reads the notes of the bundle in `dir`. Lines that are no notes of ours are passed over.
    pub fn open(dir: &Path) -> Self {
        let path = dir.join("notes.jsonl");
        let small = std::fs::metadata(&path).is_ok_and(|data| data.is_file() && data.len() <= MAX_BYTES);
        let text = if small { std::fs::read(&path).unwrap_or_default() } else { Vec::new() };
        let notes = text.split(|byte| *byte == b'\n').filter_map(|line| serde_json::from_slice(line).ok()).collect();
        Self { path, notes }
    }

    /// All of them, as written.
    pub fn all(&self) -> &[Note] {
        &self.notes
    }

    /// The marks that stand, by time.
    pub fn marks(&self) -> Vec<&Note> {
        let mut marks: Vec<&Note> = Vec::new();
        for note in self.notes.iter().filter(|note| note.what != What::Reveal) {
            marks.retain(|mark| mark.event != note.event);
            if note.what == What::Mark {
                marks.push(note);
            }
        }
        marks.sort_by_key(|mark| mark.event);
        marks
    }

    /// Appends a note. Errors when it cannot be written: it is not taken then.
    pub fn add(&mut self, what: What, event: u64, time_ns: u64, text: &str) -> Result<(), BundleError> {
        let by = std::env::var("SUDO_USER").or_else(|_| std::env::var("USER")).or_else(|_| std::env::var("LOGNAME"));
        let note = Note {
            what,
            event,
            time_ns,
            written: jiff::Timestamp::now().to_string(),
            by: by.unwrap_or_else(|_| format!("uid {}", rustix::process::getuid().as_raw())),
            text: text.to_owned(),
        };
        let write = || {
            let mut line = serde_json::to_vec(&note)?;
            line.push(b'\n');
            // Not through a link that somebody has put there.
            let flags = rustix::fs::OFlags::NOFOLLOW.bits() as i32;
            let mut file =
                OpenOptions::new().append(true).create(true).mode(0o600).custom_flags(flags).open(&self.path)?;
            file.write_all(&line)
        };
        write().map_err(|source: std::io::Error| BundleError::Note { path: self.path.clone(), source })?;
        self.notes.push(note);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_stand_until_they_are_taken_off_and_come_back_when_read_again() {
        let dir = tempfile::tempdir().expect("temporary directory");
        let mut notes = Notes::open(dir.path());
        notes.add(What::Mark, 9, 90, "later").expect("writable");
        notes.add(What::Mark, 3, 30, "").expect("writable");
        notes.add(What::Reveal, 4, 40, "").expect("writable");
        notes.add(What::Mark, 3, 30, "said more").expect("writable");
        notes.add(What::Mark, 5, 50, "").expect("writable");
        notes.add(What::Unmark, 5, 50, "").expect("writable");
        let again = Notes::open(dir.path());
        assert_eq!(again.all(), notes.all());
        let marks: Vec<(u64, &str)> = again.marks().iter().map(|note| (note.event, note.text.as_str())).collect();
        assert_eq!(marks, [(3, "said more"), (9, "later")]);
    }

    #[test]
    fn what_cannot_be_written_is_not_taken() {
        let dir = tempfile::tempdir().expect("temporary directory");
        std::os::unix::fs::symlink("/nowhere/at/all", dir.path().join("notes.jsonl")).expect("link");
        let mut notes = Notes::open(dir.path());
        assert!(notes.add(What::Mark, 1, 1, "").is_err());
        assert!(notes.all().is_empty());
    }
}
