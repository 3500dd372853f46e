//! The generator: requests in, files, assets, variables and the device's identity out.

use std::collections::HashSet;

use super::device::{Device, device};
use super::draw::{Draw, SHORTEST_MARKER};
use super::kind::{Kind, Token};
use super::making::Making;
use super::{Asset, Owner, Plant, chromium, firefox, office, secrets};
use crate::spec::{Identity, User};

/// One asset that is to be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// Its name; also the name of its random stream.
    pub name: String,
    /// Its data class.
    pub class: String,
    /// What it is made of.
    pub kind: Kind,
    /// Absolute path in the jail; that of a directory ends in `/`; empty for the environment.
    pub path: Vec<u8>,
    /// How many entries, for kinds that have a number of them; at most
    /// [`MOST_ROWS`](super::kind::MOST_ROWS).
    pub rows: u32,
    /// Permission bits of its files, where they are not to be the kind's own.
    pub mode: Option<u32>,
    /// Whom its files belong to.
    pub owner: Owner,
    /// Names and forms of the secrets, for `environment` and `dotenv`.
    pub variables: Vec<(String, Token)>,
    /// The bytes, for `file`.
    pub content: Vec<u8>,
    /// The values in them that are markers, for `file`.
    pub markers: Vec<String>,
}

/// Everything that one seed and one list of requests give.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decoys {
    /// Files and directories, in the order in which they are to be planted.
    pub plants: Vec<Plant>,
    /// The assets, in the order of the requests, then those of the device.
    pub assets: Vec<Asset>,
    /// Environment variables that hold assets.
    pub variables: Vec<(String, String)>,
    /// What the machine pretends to be.
    pub identity: Identity,
}

/// Why no decoys could be made.
#[derive(Debug, thiserror::Error)]
pub enum GenerateError {
    /// SQLite refused a statement: a fault of belljar's.
    #[error("cannot make a SQLite decoy in memory: {0}")]
    Sqlite(#[from] rusqlite::Error),
    /// The key could not be written in OpenSSH's form: a fault of belljar's.
    #[error("cannot make an SSH key as a decoy: {0}")]
    SshKey(ssh_key::Error),
    /// A marker that the profile names is no marker.
    #[error("asset `{asset}`: marker `{marker}` {why}")]
    Marker {
        /// The asset.
        asset: String,
        /// The value.
        marker: String,
        /// What is wrong with it.
        why: &'static str,
    },
}

// By hand: the crate is built without `std`, where its error would be a source for thiserror.
impl From<ssh_key::Error> for GenerateError {
    fn from(error: ssh_key::Error) -> Self {
        Self::SshKey(error)
    }
}

/// Makes the decoys of a session.
pub fn generate(seed: u64, user: &User, requests: &[Request], machine: &Device) -> Result<Decoys, GenerateError> {
    let mut taken = HashSet::new();
    let mut decoys = (Vec::new(), Vec::new(), Vec::new());
    for request in requests {
        let draw = Draw::new(seed, &request.name, &mut taken);
        let mut making = Making { draw, request, user, plants: Vec::new(), variables: Vec::new() };
        make(&mut making)?;
        let (asset, plants, variables) = making.finish();
        decoys.0.extend(plants);
        decoys.1.push(asset);
        decoys.2.extend(variables);
    }
    let (plants, mut assets, variables) = decoys;
    let (identity, device_assets) = device(seed, &mut taken, machine);
    assets.extend(device_assets);
    Ok(Decoys { plants, assets, variables, identity })
}

fn make(making: &mut Making<'_, '_>) -> Result<(), GenerateError> {
    match making.request.kind {
        Kind::CustomersCsv => office::customers_csv(making),
        Kind::Contracts => office::contracts(making),
        Kind::ClientsDb => office::clients_db(making)?,
        Kind::Vcards => office::vcards(making),
        Kind::SqlDump => office::sql_dump(making),
        Kind::SshKey => secrets::ssh_key(making)?,
        Kind::AwsCredentials => secrets::aws_credentials(making),
        Kind::Netrc => secrets::netrc(making),
        Kind::GitCredentials => secrets::git_credentials(making),
        Kind::BashHistory => secrets::bash_history(making),
        Kind::Environment => secrets::environment(making),
        Kind::Dotenv => secrets::dotenv(making),
        Kind::TlsKey => secrets::tls_key(making),
        Kind::Firefox => firefox::firefox(making)?,
        Kind::Chromium => chromium::chromium(making)?,
        Kind::File => own_file(making)?,
    }
    Ok(())
}

/// A file that the profile brings: its markers must stand in it.
fn own_file(making: &mut Making<'_, '_>) -> Result<(), GenerateError> {
    let request = making.request;
    for (at, marker) in request.markers.iter().enumerate() {
        let fault = |why| GenerateError::Marker { asset: request.name.clone(), marker: marker.clone(), why };
        if marker.len() < SHORTEST_MARKER {
            return Err(fault("is shorter than 6 bytes and would turn up by chance; name a longer value"));
        }
        if memchr::memmem::find(&request.content, marker.as_bytes()).is_none() {
            return Err(fault("does not stand in the file's content; name a value that does"));
        }
        if !making.draw.keep(&format!("[{at}]"), marker.as_bytes()) {
            return Err(fault("is already the marker of something else; name each value once"));
        }
    }
    making.file(request.content.clone(), 0o644);
    Ok(())
}
