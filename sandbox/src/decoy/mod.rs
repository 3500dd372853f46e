//! Decoys: the client data that is planted in the jail.
//!
//! An [`Asset`] is one piece of planted data; its [`Marker`]s are values with no innocent
//! explanation elsewhere. All of it comes from a seeded generator: the same seed and the same
//! list of assets give the same bytes on every machine.

mod checks;
mod chromium;
mod database;
mod device;
mod draw;
mod firefox;
mod generate;
pub mod kind;
mod making;
mod office;
mod person;
mod secrets;
#[cfg(test)]
mod tests;
mod words;

pub use device::{DEVICE_ASSETS, Device, mac_text, parse_mac};
pub use draw::SHORTEST_MARKER;
pub use generate::{Decoys, GenerateError, Request, generate};

/// One unique value inside an asset.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Marker {
    /// Where in the asset it stands, as `customers[3].email` (rows from 0).
    pub name: String,
    /// Its bytes, as planted.
    pub value: Vec<u8>,
}

/// One piece of planted client data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asset {
    /// Its name in reports: `customers`, `ssh-key`, `machine-id`.
    pub name: String,
    /// Its data class: `identity`, `contact`, `financial`, `secret`, `device`, `history` ...
    pub class: String,
    /// Absolute jail paths whose contents are this asset; a path that ends in `/` means
    /// everything below it.
    pub paths: Vec<Vec<u8>>,
    /// Names of environment variables that hold it.
    pub variables: Vec<String>,
    /// Its unique values.
    pub markers: Vec<Marker>,
}

/// Whom a planted file belongs to in the jail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owner {
    /// The system (uid 0 in the jail).
    Root,
    /// The profile's user.
    User,
}

/// What a planted path is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    /// A regular file with these bytes.
    File(Vec<u8>),
    /// A symbolic link to this target.
    Symlink(Vec<u8>),
    /// A directory.
    Directory,
}

/// One path to be planted. Missing parents are made with mode 0755 and the same owner.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plant {
    /// Absolute path in the jail.
    pub path: Vec<u8>,
    /// What it is.
    pub content: Content,
    /// Permission bits.
    pub mode: u32,
    /// Whom it belongs to.
    pub owner: Owner,
    /// Modification time, seconds since the epoch (from the seed, in the past).
    pub mtime: i64,
}
