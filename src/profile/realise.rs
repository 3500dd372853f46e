//! From a checked profile and a seed to what the sandbox and the verdict need.

use std::collections::HashMap;
use std::ffi::OsString;
use std::path::PathBuf;

use belljar_sandbox::decoy::{self, Asset, Content, DEVICE_ASSETS, Device, Owner, Plant, Request};
use belljar_sandbox::gateway::{self, Route};
use belljar_sandbox::spec::{Identity, Limits, User};
use data_encoding::BASE64;
use toml::Spanned;

use super::check::{class, expand, home};
use super::schema::{AssetTable, FileTable, RouteTable};
use super::values::{Maybe, Text};
use super::{Profile, ProfileError};
use crate::analysis::finding::Confidence;
use crate::analysis::rules::{Allow, Rules};

/// Modification time of furniture: 2025-06-01T00:00:00Z.
const FURNITURE_TIME: i64 = 1_748_736_000;

/// A profile made real under one seed: the profile's part of a [`Spec`](belljar_sandbox::spec::Spec).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Realised {
    /// Files and directories to plant, in order.
    pub plants: Vec<Plant>,
    /// The assets: the profile's in their order, then the device's.
    pub assets: Vec<Asset>,
    /// The subject's whole environment.
    pub env: Vec<(OsString, OsString)>,
    /// What the machine pretends to be.
    pub identity: Identity,
    /// Who the subject is.
    pub user: User,
    /// What it may use up.
    pub limits: Limits,
}

impl Profile {
    /// Makes everything that the profile plants. The same seed gives the same bytes.
    pub fn realise(&self, seed: u64) -> Result<Realised, ProfileError> {
        let document = &self.document;
        let home = home(document);
        let user = User {
            name: document.user.name.0.0.clone(),
            uid: document.user.uid,
            gid: document.user.gid,
            home: PathBuf::from(&home),
        };
        let requests: Vec<Request> = document.asset.iter().map(|asset| request(asset, &home)).collect();
        let decoys = decoy::generate(seed, &user, &requests, &self.device())?;
        let mut plants = decoys.plants;
        plants.extend(document.file.iter().map(|file| furniture(file, &home)));
        let plants = without_clashes(plants, &decoys.assets)?;

        let mut env: Vec<(String, String)> = [
            ("HOME", home.as_str()),
            ("USER", &user.name),
            ("LOGNAME", &user.name),
            ("SHELL", &document.user.shell),
            ("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"),
            ("TERM", "xterm-256color"),
            ("LANG", "C.UTF-8"),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .to_vec();
        let own = document.environment.iter().map(|(name, value)| (name.get_ref().clone(), value.clone()));
        for (name, value) in own.chain(decoys.variables) {
            env.retain(|(known, _)| *known != name);
            env.push((name, value));
        }
        Ok(Realised {
            plants,
            assets: decoys.assets,
            env: env.into_iter().map(|(name, value)| (name.into(), value.into())).collect(),
            identity: decoys.identity,
            user,
            limits: self.limits(),
        })
    }

    fn device(&self) -> Device {
        let device = &self.document.device;
        Device {
            hostname: device.hostname.0.0.as_ref().map(|name| name.0.clone()),
            machine_id: device.machine_id.0.0.as_ref().map(|id| id.0.clone()),
            mac: device.mac.0.0.as_ref().map(|mac| mac.0),
            serial: device.serial.0.0.as_ref().map(|serial| serial.0.clone()),
            uuid: device.uuid.0.0.as_ref().map(|uuid| uuid.0.clone()),
            vendor: device.vendor.0.0.clone(),
            product: device.product.0.0.clone(),
            ipv4: (device.ipv4.0.0, device.ipv4.0.1),
            hostname_prefix: device.hostname_prefix.0.0.clone(),
        }
    }

    /// What the subject may use up.
    fn limits(&self) -> Limits {
        let limits = &self.document.limits;
        Limits {
            disk: limits.disk.0.0,
            memory: limits.memory.0.0.map(|size| size.0),
            processes: limits.processes.0.0,
            descriptors: limits.descriptors.0.0,
            time: limits.time.0.0,
        }
    }

    /// What the world outside the device is.
    pub fn gateway(&self) -> gateway::Options {
        let network = &self.document.network;
        let banner =
            |(port, text): (&Spanned<String>, &String)| Some((port.get_ref().parse().ok()?, text.clone().into()));
        let route = |route: &RouteTable| Route {
            host: route.host.clone(),
            path: route.path.clone(),
            method: route.method.clone(),
            status: *route.status.get_ref(),
            headers: route.headers.iter().map(|(name, value)| (name.get_ref().clone(), value.clone())).collect(),
            body: content(route.content.as_ref(), route.content_base64.as_ref()).into(),
        };
        gateway::Options {
            nxdomain: network.nxdomain.iter().map(|name| name.to_ascii_lowercase()).collect(),
            banners: network.banner.iter().filter_map(banner).collect(),
            routes: self.document.route.iter().map(route).collect(),
            allow: Vec::new(),
        }
    }

    /// What counts as what in the verdict, with the declaration.
    pub fn rules(&self) -> Rules {
        let mut rules = Rules::default();
        for (verb, table) in &self.document.verdict {
            if let Some(threshold) = rules.thresholds.get_mut(verb.0 as usize) {
                set(&mut threshold.violation, table.violation);
                set(&mut threshold.unexplained, table.unexplained);
            }
        }
        rules.own = self.document.detector.iter().map(|detector| detector.get_ref().clone()).collect();
        rules.off = self.document.detectors.off.iter().map(|name| name.get_ref().clone()).collect();
        rules.limits = self.document.detectors.limits;
        let home = home(&self.document);
        let allows = self.document.declaration.iter().flat_map(|declaration| &declaration.allow);
        rules.declaration = allows
            .map(Spanned::get_ref)
            .map(|allow| Allow {
                verbs: allow.verb.0.clone(),
                classes: allow.class.0.clone(),
                assets: allow.asset.0.clone(),
                paths: allow.path.0.iter().map(|path| expand(path, &home).unwrap_or_else(|| path.clone())).collect(),
                hosts: allow.host.0.clone(),
                reason: allow.reason.clone(),
            })
            .collect();
        rules
    }
}

fn set(threshold: &mut Option<Confidence>, value: Option<Text<Maybe<Confidence>>>) {
    if let Some(Text(Maybe(value))) = value {
        *threshold = value;
    }
}

fn request(asset: &AssetTable, home: &str) -> Request {
    let info = asset.kind.0.info();
    let mut path = asset.path.as_ref().and_then(|path| expand(path.get_ref(), home)).unwrap_or_default();
    if info.place == decoy::kind::Place::Directory && !path.ends_with('/') {
        path.push('/');
    }
    let variables = asset.variables.iter().flat_map(Spanned::get_ref);
    Request {
        name: asset.name.get_ref().0.0.clone(),
        class: class(asset).to_owned(),
        kind: info.kind,
        rows: asset.rows.as_ref().map_or(info.rows.unwrap_or(0), |rows| *rows.get_ref()),
        mode: asset.mode.map(|mode| mode.0.0),
        owner: asset.owner.map_or_else(|| owner(&path, home), |owner| owner.0),
        path: path.into_bytes(),
        variables: variables.map(|(name, token)| (name.clone(), token.0)).collect(),
        content: content(asset.content.as_ref(), asset.content_base64.as_ref()),
        markers: asset.markers.as_ref().map(|markers| markers.get_ref().0.clone()).unwrap_or_default(),
    }
}

fn furniture(file: &FileTable, home: &str) -> Plant {
    let full = expand(file.path.get_ref(), home).unwrap_or_default();
    let is_directory = full.ends_with('/');
    let path = full.trim_end_matches('/');
    Plant {
        path: path.as_bytes().to_vec(),
        content: if is_directory {
            Content::Directory
        } else {
            Content::File(content(file.content.as_ref(), file.content_base64.as_ref()))
        },
        mode: file.mode.map_or(if is_directory { 0o755 } else { 0o644 }, |mode| mode.0.0),
        owner: file.owner.map_or_else(|| owner(path, home), |owner| owner.0),
        mtime: FURNITURE_TIME,
    }
}

/// What is below the user's home is the user's.
fn owner(path: &str, home: &str) -> Owner {
    if super::check::below(path, home) { Owner::User } else { Owner::Root }
}

fn content(text: Option<&Spanned<String>>, base64: Option<&Spanned<String>>) -> Vec<u8> {
    // The base64 was decoded once when the profile was loaded.
    let decoded = base64.and_then(|base64| BASE64.decode(base64.get_ref().as_bytes()).ok());
    decoded.or_else(|| text.map(|text| text.get_ref().clone().into_bytes())).unwrap_or_default()
}

/// Every path once: a directory that several entries want is planted once, as the first wants it.
fn without_clashes(plants: Vec<Plant>, assets: &[Asset]) -> Result<Vec<Plant>, ProfileError> {
    let whose = |path: &[u8]| {
        let owns = |own: &Vec<u8>| own == path || own.ends_with(b"/") && path.starts_with(own.as_slice());
        let asset = assets.iter().filter(|asset| !DEVICE_ASSETS.contains(&asset.name.as_str()));
        let mut asset = asset.filter(|asset| asset.paths.iter().any(owns));
        asset.next().map_or_else(|| "a [[file]]".to_owned(), |asset| format!("asset `{}`", asset.name))
    };
    let mut taken: HashMap<Vec<u8>, bool> = HashMap::new();
    let mut kept: Vec<Plant> = Vec::with_capacity(plants.len());
    for plant in plants {
        let is_directory = plant.content == Content::Directory;
        match taken.insert(plant.path.clone(), is_directory) {
            None => kept.push(plant),
            Some(true) if is_directory => {}
            Some(_) => {
                return Err(ProfileError::Clash {
                    path: String::from_utf8_lossy(&plant.path).into_owned(),
                    first: whose(&plant.path),
                    second: "another entry".to_owned(),
                });
            }
        }
    }
    // A file cannot have anything below it.
    for plant in &kept {
        let mut end = plant.path.len();
        while let Some(at) = plant.path.get(..end).and_then(|path| path.iter().rposition(|byte| *byte == b'/')) {
            end = at;
            if let Some(parent) = plant.path.get(..end).filter(|parent| taken.get(*parent) == Some(&false)) {
                return Err(ProfileError::Clash {
                    path: String::from_utf8_lossy(parent).into_owned(),
                    first: whose(parent),
                    second: format!("{} ({})", whose(&plant.path), String::from_utf8_lossy(&plant.path)),
                });
            }
        }
    }
    Ok(kept)
}
