//! The table against the kernel's, and its own rules.

use super::*;
use std::collections::{HashMap, HashSet};

/// Names and numbers of one interface, as the `syscalls` crate has them from the kernel (its
/// own iterator leaves out the last one).
fn kernel(abi: Abi) -> HashMap<u32, &'static str> {
    let name = |nr| match abi {
        Abi::I386 => syscalls::x86::Sysno::new(nr).map(|call| call.name()),
        _ => syscalls::x86_64::Sysno::new(nr).map(|call| call.name()),
    };
    // Newer than that crate: `listns` came with Linux 6.19.
    let newer = std::iter::once((470, "listns"));
    // `break` is a word of Rust, which the crate escapes.
    let plain = |name: &'static str| name.trim_start_matches("r#");
    (0..SIZE).filter_map(|nr| Some((nr as u32, plain(name(nr)?)))).chain(newer).collect()
}

#[test]
fn every_call_of_the_kernel_is_here_once_and_no_other() {
    for abi in [Abi::X86_64, Abi::I386] {
        let expected = kernel(abi);
        assert!(expected.len() > 370, "the crate knows {} calls", expected.len());
        let found: HashMap<u32, &str> =
            (0..SIZE as u32).filter_map(|nr| lookup(abi, nr).map(|call| (nr, call.name))).collect();
        for (nr, name) in &expected {
            assert_eq!(found.get(nr), Some(name), "{abi:?} {nr}");
        }
        let more: Vec<_> = found.iter().filter(|(nr, _)| !expected.contains_key(nr)).collect();
        assert!(more.is_empty(), "not known to the kernel: {more:?}");
        let names: HashSet<&str> = found.values().copied().collect();
        assert_eq!(names.len(), found.len(), "a name stands twice in {abi:?}");
    }
    for call in all() {
        assert!(call.x86_64.is_some() || call.i386.is_some(), "{} has no number", call.name);
    }
}

#[test]
fn indexes_point_to_arguments_that_are_there() {
    let length = |arg| match arg {
        Arg::InBuf { len } | Arg::OutBuf { len } | Arg::SockAddr { len } => Some(len),
        Arg::InIovec { count } | Arg::OutIovec { count } | Arg::InMmsg { count } => Some(count),
        _ => None,
    };
    for call in all() {
        assert!(call.args.len() <= 6, "{}", call.name);
        for (name, arg) in call.args {
            if let Some(index) = length(*arg) {
                let (_, kind) = call.args.get(index as usize).unwrap_or_else(|| panic!("{}.{name}", call.name));
                assert!(matches!(kind, Arg::Uint | Arg::Int), "{}.{name} has its length in {kind:?}", call.name);
            }
            let same = call.args.iter().filter(|(other, _)| other == name).count();
            assert_eq!(same, 1, "{}.{name} stands twice", call.name);
        }
        if let Watch::WatchedIf { arg, mask, value } = call.watch {
            assert!((arg as usize) < call.args.len() && value & !mask == 0, "{}", call.name);
        }
    }
}

#[test]
fn a_directory_descriptor_stands_right_before_its_path() {
    for call in all() {
        for (at, (name, arg)) in call.args.iter().enumerate() {
            if *arg == Arg::DirFd {
                assert!(matches!(call.args.get(at + 1), Some((_, Arg::Path))), "{}.{name}", call.name);
            }
        }
    }
}

#[test]
fn both_forms_of_a_name_are_about_the_same() {
    for call in all() {
        let first = by_name(call.name).expect("every name is found");
        assert_eq!(first.category, call.category, "{}", call.name);
        // The old mmap hides its flags behind a pointer.
        if call.name != "mmap" {
            assert_eq!(first.watch, call.watch, "{}", call.name);
        }
        assert!(call.x86_64.is_none() || std::ptr::eq(first, call), "{}", call.name);
    }
    assert_eq!(by_name("no_such_call"), None);
}

#[test]
fn close_is_never_trapped_and_the_baseline_is_refused() {
    let watch = |name| by_name(name).expect(name).watch;
    assert_eq!(watch("close"), Watch::Passed);
    assert_eq!(watch("io_uring_setup"), Watch::Refused(libc::ENOSYS));
    assert_eq!(watch("perf_event_open"), Watch::Refused(libc::EACCES));
    assert_eq!(watch("reboot"), Watch::Refused(libc::EPERM));
    assert_eq!(watch("ioctl"), Watch::WatchedIf { arg: 1, mask: u32::MAX, value: 0x5412 });
    assert_eq!(watch("mmap"), Watch::WatchedIf { arg: 3, mask: 0x20, value: 0 });
}

#[test]
fn x32_numbers_are_found_with_and_without_their_bit() {
    let name = |abi, nr| lookup(abi, nr).map(|call| call.name);
    assert_eq!(name(Abi::X32, X32_BIT + 1), Some("write"));
    assert_eq!(name(Abi::X32, X32_BIT + 520), Some("execve"));
    assert_eq!(name(Abi::X32, 547), Some("pwritev2"));
    assert_eq!(name(Abi::X32, 548), None);
    assert_eq!(name(Abi::X86_64, X32_BIT + 1), None);
    assert_eq!(name(Abi::X86_64, 520), None);
    assert_eq!(name(Abi::Unknown, 1), None);
    for abi in [Abi::X86_64, Abi::I386, Abi::X32] {
        assert_eq!(lookup(abi, u32::MAX), None);
    }
}

#[test]
fn socketcall_names_what_it_stands_for() {
    let name = |call| socketcall(call).map(|call| call.name);
    assert_eq!(
        (name(1), name(3), name(9), name(20)),
        (Some("socket"), Some("connect"), Some("sendto"), Some("sendmmsg"))
    );
    assert_eq!((name(0), name(21), name(u32::MAX)), (None, None, None));
}

#[test]
fn flag_sets_fit_their_masks() {
    for (_, arg) in all().flat_map(|call| call.args) {
        let Arg::Flags(set) = arg else { continue };
        for (value, name) in set.values {
            assert_eq!(value & !set.mask, 0, "{name}");
        }
        for (bits, name) in set.bits {
            assert_eq!(bits & set.mask, 0, "{name}");
            assert_ne!(*bits, 0, "{name}");
        }
    }
}
