//! Single values of a profile. Each reads from and writes to text, so that the reader can point
//! at the value that is wrong, and the effective profile can be written down again.

use std::fmt;
use std::marker::PhantomData;
use std::time::Duration;

use belljar_sandbox::decoy::kind::{KINDS, Kind, TOKENS, Token};
use belljar_sandbox::decoy::{Owner, mac_text, parse_mac};
use serde::de::{Deserializer, Error as _, SeqAccess, Unexpected, Visitor};
use serde::ser::{SerializeSeq as _, Serializer};
use serde::{Deserialize, Serialize};

use super::error::unknown;
use crate::analysis::finding::Confidence;
use crate::query;
use crate::store::Verb;

/// A value with a text form of its own, wrapped for serde.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Text<T>(pub(super) T);

/// The text form of a profile's value.
pub(super) trait Value: Sized {
    /// Whether a bare number is taken too.
    const NUMBER: bool = false;
    /// Reads it, or says what would be right.
    fn read(text: &str) -> Result<Self, String>;
    /// Writes it so that `read` gives the same again.
    fn write(&self) -> String;
}

impl<'de, T: Value> Deserialize<'de> for Text<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Reader(PhantomData)).map(Self)
    }
}

struct Reader<T>(PhantomData<T>);

impl<T: Value> Visitor<'_> for Reader<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text in quotes")
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<T, E> {
        T::read(text).map_err(E::custom)
    }

    fn visit_i64<E: serde::de::Error>(self, number: i64) -> Result<T, E> {
        if T::NUMBER {
            return T::read(&number.to_string()).map_err(E::custom);
        }
        Err(E::invalid_type(Unexpected::Signed(number), &self))
    }
}

impl<T: Value> Serialize for Text<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0.write())
    }
}

/// `auto` (drawn from the seed) is `None`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Auto<T>(pub(super) Option<T>);

impl<T> Default for Auto<T> {
    fn default() -> Self {
        Self(None)
    }
}

impl<T: Value> Value for Auto<T> {
    fn read(text: &str) -> Result<Self, String> {
        if text == "auto" {
            return Ok(Self(None));
        }
        T::read(text).map(|value| Self(Some(value))).map_err(|error| format!("{error}, or \"auto\""))
    }

    fn write(&self) -> String {
        self.0.as_ref().map_or_else(|| "auto".to_owned(), Value::write)
    }
}

/// `none` (no limit, never) is `None`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Maybe<T>(pub(super) Option<T>);

impl<T: Value> Value for Maybe<T> {
    const NUMBER: bool = T::NUMBER;

    fn read(text: &str) -> Result<Self, String> {
        if text == "none" {
            return Ok(Self(None));
        }
        T::read(text).map(|value| Self(Some(value))).map_err(|error| format!("{error}, or \"none\""))
    }

    fn write(&self) -> String {
        self.0.as_ref().map_or_else(|| "none".to_owned(), Value::write)
    }
}

/// A number of bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Size(pub(super) u64);

impl Value for Size {
    const NUMBER: bool = true;

    fn read(text: &str) -> Result<Self, String> {
        query::size(text)
            .filter(|bytes| *bytes > 0)
            .map(Self)
            .ok_or_else(|| format!("`{text}` is no size: write a number with K, M or G (powers of 1024), as \"2G\""))
    }

    fn write(&self) -> String {
        let units = [(1 << 30, "G"), (1 << 20, "M"), (1 << 10, "K")];
        let unit = units.into_iter().find(|(unit, _)| self.0.is_multiple_of(*unit));
        unit.map_or_else(|| self.0.to_string(), |(unit, letter)| format!("{}{letter}", self.0 / unit))
    }
}

impl Value for Duration {
    fn read(text: &str) -> Result<Self, String> {
        query::duration(text)
            .filter(|time| !time.is_zero())
            .ok_or_else(|| format!("`{text}` is no duration: write a number with s, m or h, as \"30s\" or \"5m\""))
    }

    fn write(&self) -> String {
        let nanos = self.as_nanos();
        if nanos.is_multiple_of(1_000_000_000) { format!("{}s", self.as_secs()) } else { format!("{nanos}ns") }
    }
}

/// A number above 0, for keys that also take a word.
impl Value for u64 {
    const NUMBER: bool = true;

    fn read(text: &str) -> Result<Self, String> {
        text.parse()
            .ok()
            .filter(|number| *number > 0)
            .ok_or_else(|| format!("`{text}` is no number: write one above 0, as 4096"))
    }

    fn write(&self) -> String {
        self.to_string()
    }
}

/// A hardware address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Mac(pub(super) [u8; 6]);

impl Value for Mac {
    fn read(text: &str) -> Result<Self, String> {
        let mac = parse_mac(text)
            .ok_or_else(|| format!("`{text}` is no hardware address: write six pairs, as \"3c:fd:fe:01:02:03\""))?;
        // The lowest bit of the first byte marks a group: no card has such an address (IEEE 802).
        if mac[0] & 1 == 1 || mac == [0; 6] {
            return Err(format!(
                "`{text}` is no card's address: its first byte must be even, and it must not be all zero"
            ));
        }
        Ok(Self(mac))
    }

    fn write(&self) -> String {
        mac_text(self.0)
    }
}

/// An IPv4 address with the length of its prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Network(pub(super) [u8; 4], pub(super) u8);

impl Value for Network {
    fn read(text: &str) -> Result<Self, String> {
        let network = text.split_once('/').and_then(|(address, length)| {
            let address: std::net::Ipv4Addr = address.parse().ok()?;
            let length: u8 = length.parse().ok().filter(|length| (1..=30).contains(length))?;
            Some(Self(address.octets(), length))
        });
        let network =
            network.ok_or_else(|| format!("`{text}` is no IPv4 address with a prefix: write \"10.20.0.15/24\""))?;
        let [first, ..] = network.0;
        if matches!(first, 0 | 127 | 224..) {
            return Err(format!("`{text}` is no address a machine can have on a network: write \"10.20.0.15/24\""));
        }
        Ok(network)
    }

    fn write(&self) -> String {
        format!("{}/{}", std::net::Ipv4Addr::from(self.0), self.1)
    }
}

macro_rules! words {
    ($(#[$doc:meta])* $name:ident, $example:literal, $rule:expr, $what:literal) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub(super) struct $name(pub(super) String);

        impl Value for $name {
            fn read(text: &str) -> Result<Self, String> {
                let holds: fn(&str) -> bool = $rule;
                if holds(text) {
                    Ok(Self(text.to_owned()))
                } else {
                    Err(format!(concat!("`{}` is no ", $what, ", as \"", $example, "\""), text))
                }
            }

            fn write(&self) -> String {
                self.0.clone()
            }
        }
    };
}

fn made_of(text: &str, longest: usize, also: &[u8]) -> bool {
    (1..=longest).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || also.contains(&byte))
}

words!(
    /// A name of an asset, a class or a profile.
    Name, "client-files", |text| made_of(text, 64, b"-_") && text.bytes().all(|byte| !byte.is_ascii_uppercase()),
    "name: write lower-case letters, digits, - and _, at most 64"
);
words!(
    /// A host name (RFC 1123; 64 characters at most, as the kernel has it).
    HostName, "reception-2",
    |text| made_of(text, 64, b"-.") && text.split('.').all(|part| !part.is_empty() && !part.starts_with('-') && !part.ends_with('-')),
    "host name: write letters, digits and - between dots, at most 64"
);
words!(
    /// 32 lower-case hexadecimal digits (machine-id(5)).
    MachineId, "3f0c3f1c9a5d4c0e8d1f2a3b4c5d6e7f",
    |text| text.len() == 32 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')) && text.bytes().any(|byte| byte != b'0'),
    "machine-id: write 32 lower-case hexadecimal digits"
);
words!(
    /// A UUID in lower-case text form.
    Uuid, "4c4c4544-0035-3710-8052-b4c04f4e3333",
    |text| text.len() == 36 && text.bytes().enumerate().all(|(at, byte)| match at {
        8 | 13 | 18 | 23 => byte == b'-',
        _ => matches!(byte, b'0'..=b'9' | b'a'..=b'f'),
    }),
    "UUID: write lower-case hexadecimal digits in groups of 8-4-4-4-12"
);
words!(
    /// A line that the firmware tells: printable ASCII.
    Label, "Latitude 5440", |text| (1..=64).contains(&text.len()) && text.bytes().all(|byte| (b' '..=b'~').contains(&byte)),
    "label: write printable ASCII, at most 64 characters"
);
words!(
    /// A login name.
    Login, "anna", |text| made_of(text, 32, b"-_.") && !text.starts_with(['-', '.']) && !text.starts_with(|c: char| c.is_ascii_digit()),
    "login name: write letters, digits, - _ and ., starting with a letter, at most 32"
);

/// Permission bits in octal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Mode(pub(super) u32);

impl Value for Mode {
    fn read(text: &str) -> Result<Self, String> {
        u32::from_str_radix(text, 8)
            .ok()
            .filter(|mode| *mode <= 0o7777 && !text.starts_with('+'))
            .map(Self)
            .ok_or_else(|| format!("`{text}` are no permission bits: write them in octal, as \"0600\""))
    }

    fn write(&self) -> String {
        format!("{:04o}", self.0)
    }
}

/// One of a list of words.
fn one_of<T: Copy>(what: &str, text: &str, words: &[(&str, T)]) -> Result<T, String> {
    let found = words.iter().find(|(word, _)| *word == text).map(|(_, value)| *value);
    found.ok_or_else(|| unknown(what, text, &words.iter().map(|(word, _)| *word).collect::<Vec<_>>()))
}

impl Value for Kind {
    fn read(text: &str) -> Result<Self, String> {
        one_of("kind", text, &KINDS.iter().map(|info| (info.name, info.kind)).collect::<Vec<_>>())
    }

    fn write(&self) -> String {
        self.info().name.to_owned()
    }
}

impl Value for Token {
    fn read(text: &str) -> Result<Self, String> {
        one_of("form of a secret", text, TOKENS)
    }

    fn write(&self) -> String {
        self.name().to_owned()
    }
}

impl Value for Owner {
    fn read(text: &str) -> Result<Self, String> {
        one_of("owner", text, &[("user", Self::User), ("root", Self::Root)])
    }

    fn write(&self) -> String {
        match self {
            Self::User => "user".to_owned(),
            Self::Root => "root".to_owned(),
        }
    }
}

impl Value for Verb {
    fn read(text: &str) -> Result<Self, String> {
        one_of("verb", text, &Self::ALL.map(|verb| (verb.name(), verb)))
    }

    fn write(&self) -> String {
        self.name().to_owned()
    }
}

impl Value for Confidence {
    fn read(text: &str) -> Result<Self, String> {
        let all = [Self::Proven, Self::Derived, Self::Suspected];
        one_of("confidence", text, &all.map(|confidence| (confidence.name(), confidence)))
    }

    fn write(&self) -> String {
        self.name().to_owned()
    }
}

impl Value for String {
    fn read(text: &str) -> Result<Self, String> {
        if text.is_empty() {
            Err("an empty text says nothing: leave the key out".to_owned())
        } else {
            Ok(text.to_owned())
        }
    }

    fn write(&self) -> String {
        self.clone()
    }
}

/// One value, or a list of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Many<T>(pub(super) Vec<T>);

impl<T> Default for Many<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T> Many<T> {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl<T: Value> Serialize for Many<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut list = serializer.serialize_seq(Some(self.0.len()))?;
        for value in &self.0 {
            list.serialize_element(&value.write())?;
        }
        list.end()
    }
}

impl<'de, T: Value> Deserialize<'de> for Many<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ListReader<T>(PhantomData<T>);
        impl<'de, T: Value> Visitor<'de> for ListReader<T> {
            type Value = Many<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text or a list of texts")
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Self::Value, E> {
                T::read(text).map(|value| Many(vec![value])).map_err(E::custom)
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
                let mut values = Vec::new();
                while let Some(Text(value)) = list.next_element()? {
                    values.push(value);
                }
                if values.is_empty() {
                    return Err(A::Error::custom("an empty list covers nothing; name one at least"));
                }
                Ok(Many(values))
            }
        }
        deserializer.deserialize_any(ListReader(PhantomData))
    }
}
