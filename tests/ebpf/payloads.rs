//! What is kept of a large write: all of it where nobody could read it later, the beginning where
//! the layer has the rest.

use super::{is_full, recorded, root};

/// As `tests/fixtures/payloads.c` has it.
const LENGTH: usize = 300_000;

/// What is kept of a payload when nothing else is asked for.
const KEPT: usize = 256;

#[test]
fn a_large_write_is_whole_where_no_file_keeps_it() {
    let Some(lab) = root() else { return };
    lab.build_fixture("payloads");
    let pattern: String = (0..LENGTH).map(|i| char::from(b'a' + ((i * 7 + i / 1000) % 26) as u8)).collect();
    let cases: [(&str, &[&str], usize); 5] = [
        ("pipe", &[], LENGTH),
        ("unix", &[], LENGTH),
        ("terminal", &[], LENGTH),
        ("file", &[], KEPT),
        ("file", &["--payload", "full"], LENGTH),
    ];
    for (to, options, kept) in cases {
        if !is_full(&lab) && kept == LENGTH {
            continue; // the notify witness keeps the beginning of each
        }
        let taken = recorded(&lab, options, &["./payloads", to]);
        let writes = lab.events(&taken.bundle, &format!("op:write bytes:{LENGTH}"));
        assert_eq!(writes.len(), 1, "{to} {options:?}");
        let payload = writes[0]["payload"].as_str().unwrap_or_default();
        assert_eq!(payload.len(), kept, "{to} {options:?}");
        assert!(payload == &pattern[..kept], "{to} {options:?}: other bytes than were written");
        if to == "file" {
            let left = lab.work().join("written").display().to_string();
            let filter = format!("op:file-created path=\"{left}\" bytes:{LENGTH}");
            assert_eq!(lab.count(&taken.bundle, &filter), 1, "control: the layer has the whole");
        }
    }
}
