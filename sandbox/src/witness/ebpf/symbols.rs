//! Where functions begin in an ELF file of 64 bits: the few tables that say so, and nothing else (elf(5)).
//!
//! The file may be the subject's. It is read, never mapped, so that cutting it short meanwhile harms nobody; every
//! number in it is doubted, and what does not fit together gives no symbol.

use std::fs::File;
use std::os::unix::fs::FileExt;

/// Most bytes read of one table. The largest browsers' are about half of it.
const TABLE_MAX: u64 = 64 << 20;
/// Most sections and segments looked at.
const HEADERS_MAX: usize = 1 << 12;
/// Bytes of a section's header, a segment's, a symbol.
const SECTION: usize = 64;
const SEGMENT: usize = 56;
const SYMBOL: usize = 24;

fn number<const N: usize>(bytes: &[u8], at: usize) -> Option<u64> {
    let mut wide = [0; 8];
    wide.get_mut(..N)?.copy_from_slice(bytes.get(at..)?.get(..N)?);
    Some(u64::from_le_bytes(wide))
}

fn table(file: &File, at: u64, len: u64) -> Option<Vec<u8>> {
    // Checked before memory is taken for it.
    let end = at.checked_add(len)?;
    if len > TABLE_MAX || end > file.metadata().ok()?.len() {
        return None;
    }
    let mut bytes = vec![0; usize::try_from(len).ok()?];
    file.read_exact_at(&mut bytes, at).ok()?;
    Some(bytes)
}

/// Offsets in the file of the functions of these names; 0 for those it does not have. `None` when it is no such file.
pub(super) fn find<const N: usize>(file: &File, names: &[&str; N]) -> Option<[u64; N]> {
    let header = table(file, 0, 64)?;
    // ELF, 64 bits, little-endian, x86-64.
    if header.get(..6)? != b"\x7fELF\x02\x01" || number::<2>(&header, 18)? != 62 {
        return None;
    }
    let headers = |at: usize, size: usize, count: usize, expected: usize| {
        let (at, count) = (number::<8>(&header, at)?, number::<2>(&header, count)? as usize);
        (number::<2>(&header, size)? as usize == expected && count <= HEADERS_MAX)
            .then(|| table(file, at, (expected * count) as u64))?
    };
    let sections = headers(40, 58, 60, SECTION)?;
    let segments = headers(32, 54, 56, SEGMENT)?;
    let mut found = [0; N];
    // The symbols for linking first: they are few, and mostly enough.
    for wanted in [11, 2] {
        for section in sections.chunks_exact(SECTION).filter(|section| number::<4>(section, 4) == Some(wanted)).take(2)
        {
            let place = |section: &[u8]| table(file, number::<8>(section, 24)?, number::<8>(section, 32)?);
            let strings = number::<4>(section, 40)
                .and_then(|index| sections.chunks_exact(SECTION).nth(index as usize))
                .and_then(place);
            let (Some(symbols), Some(strings)) = (place(section), strings) else { continue };
            for symbol in symbols.chunks_exact(SYMBOL) {
                search(symbol, &strings, &segments, names, &mut found);
            }
        }
        if found.iter().any(|at| *at != 0) {
            break;
        }
    }
    Some(found)
}

fn search<const N: usize>(symbol: &[u8], strings: &[u8], segments: &[u8], names: &[&str; N], found: &mut [u64; N]) {
    // A function that is defined here.
    if symbol.get(4).is_none_or(|info| info & 15 != 2) || number::<2>(symbol, 6).unwrap_or(0) == 0 {
        return;
    }
    let Some(name) = number::<4>(symbol, 0).and_then(|at| strings.get(at as usize..)) else { return };
    // Large programs have a hundred thousand symbols, and wait for nobody.
    let Some(first) = name.first() else { return };
    if !names.iter().any(|wanted| wanted.as_bytes().first() == Some(first)) {
        return;
    }
    for (wanted, at) in names.iter().zip(found) {
        let same = name.strip_prefix(wanted.as_bytes()).is_some_and(|rest| rest.first() == Some(&0));
        if same && let Some(offset) = number::<8>(symbol, 8).and_then(|address| offset(address, segments)) {
            *at = offset;
        }
    }
}

/// Where in the file the code at an address lies.
fn offset(address: u64, segments: &[u8]) -> Option<u64> {
    segments.chunks_exact(SEGMENT).find_map(|segment| {
        let (kind, flags) = (number::<4>(segment, 0)?, number::<4>(segment, 4)?);
        let (begin, from, len) = (number::<8>(segment, 8)?, number::<8>(segment, 16)?, number::<8>(segment, 32)?);
        let inside = address.checked_sub(from).filter(|at| *at < len)?;
        // To be loaded, and executed.
        if kind == 1 && flags & 1 != 0 { begin.checked_add(inside) } else { None }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::process::Command;

    /// A function that begins with a pattern of its own is found where the pattern is.
    #[test]
    fn functions_are_found_where_they_are() {
        let folder = tempfile::tempdir().expect("folder");
        let source = folder.path().join("symbols.c");
        let text = "__attribute__((naked)) void here(void) { __asm__(\".byte 0x90,0x90,0xf8,0xf9,0xf8,0xf9,0xc3\"); }\n\
                    extern int elsewhere(void); int data_here = 1; int calls(void) { return elsewhere(); }\n";
        std::fs::write(&source, text).expect("written");
        for options in [&["-shared", "-fPIC"][..], &["-shared", "-fPIC", "-s"], &["-static", "-nostdlib"]] {
            let library = folder.path().join("symbols");
            let undefined = ["-Wl,--unresolved-symbols=ignore-all", "-w", "-Wl,-e,here"];
            let built = Command::new("cc").args(options).args(undefined).arg("-o").arg(&library).arg(&source).status();
            assert!(built.expect("cc is installed").success(), "{options:?}");
            let file = File::open(&library).expect("opened");
            let [here, elsewhere, data] = find(&file, &["here", "elsewhere", "data_here"]).expect("an ELF file");
            assert_eq!((elsewhere, data), (0, 0), "{options:?}");
            let bytes = std::fs::read(&library).expect("read");
            let code = bytes.get(here as usize..).and_then(|rest| rest.get(..7)).expect("in the file");
            assert!(code.ends_with(&[0xf8, 0xf9, 0xc3]), "{options:?}: {code:x?}");
        }
    }

    proptest::proptest! {
        #[test]
        fn a_spoilt_file_does_no_harm(changes in proptest::collection::vec((0_usize..4096, proptest::num::u8::ANY), 1..40)) {
            let mut bytes = std::fs::read("/bin/true").expect("a program");
            for (at, to) in changes {
                // Mostly where the tables are: the two ends.
                let at = if at % 2 == 0 { at / 2 % 1024 } else { bytes.len() - 1 - at % bytes.len().min(2048) };
                bytes[at] = to;
            }
            let mut file = tempfile::tempfile().expect("file");
            file.write_all(&bytes).expect("written");
            let _ = find(&file, &["main", "SSL_write"]);
        }
    }
}
