//! The words for the closed sets of an event's values: one list for the recording's columns, the
//! query language, totals and printers.

use belljar_sandbox::event::{Abi, Authority, Decision, ObjectKind, Witness};
use belljar_sandbox::witness::syscalls::Category;

/// Values with their words (the position is the number in a column), the words alone, and the
/// function that names a value.
macro_rules! names {
    ($(#[$doc:meta])* $pairs:ident, $words:ident, $function:ident($type:ident): $($variant:ident => $name:literal),+ $(,)?) => {
        /// Values and their words; the position is the number in a column.
        pub const $pairs: &[($type, &str)] = &[$(($type::$variant, $name)),+];
        /// The words alone.
        pub const $words: [&str; [$($name),+].len()] = [$($name),+];
        $(#[$doc])*
        pub fn $function(value: $type) -> &'static str {
            match value { $($type::$variant => $name),+ }
        }
    };
}

names! {
    /// The word for a witness.
    WITNESSES, WITNESS_WORDS, witness(Witness):
    Ebpf => "ebpf", Notify => "notify", Gateway => "gateway", Layer => "layer", Terminal => "terminal", Jail => "jail",
    Tls => "tls",
}
names! {
    /// The word for an interface.
    ABIS, ABI_WORDS, abi(Abi): X86_64 => "x86_64", I386 => "i386", X32 => "x32", Unknown => "unknown",
}
names! {
    /// The word for a decision.
    DECISIONS, DECISION_WORDS, decision(Decision): Allowed => "allowed", Denied => "denied", Faked => "faked", Asked => "asked",
}
names! {
    /// The word for an authority.
    AUTHORITIES, AUTHORITY_WORDS, authority(Authority): Observed => "observed", Enforced => "enforced",
}
names! {
    /// The word for a kind of object.
    OBJECT_KINDS, OBJECT_KIND_WORDS, object_kind(ObjectKind):
    None => "none", File => "file", Pipe => "pipe", Unix => "unix", Tcp => "tcp", Udp => "udp", Socket => "socket",
    Terminal => "terminal", Device => "device", Memfd => "memfd", Anon => "anon", Process => "process",
    Other => "other",
}
names! {
    /// The word for a call's category.
    CATEGORIES, CATEGORY_WORDS, category(Category):
    Open => "open", Read => "read", Write => "write", Change => "change", Attribute => "attribute", Look => "look",
    Descriptor => "descriptor", Network => "network", Send => "send", Receive => "receive", Process => "process",
    Signal => "signal", Memory => "memory", Mount => "mount", Trace => "trace", Kernel => "kernel", Clock => "clock",
    System => "system", Ipc => "ipc",
}
