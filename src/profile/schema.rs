//! The shape of a profile's file, key by key. The same types write the effective profile.

use std::collections::BTreeMap;
use std::time::Duration;

use belljar_sandbox::decoy::Owner;
use belljar_sandbox::decoy::kind::{Kind, Token};
use serde::{Deserialize, Serialize};
use toml::Spanned;

use super::values::{Auto, HostName, Label, Login, Mac, MachineId, Many, Maybe, Mode, Name, Network, Size, Text, Uuid};
use crate::analysis::detectors::Detector;
use crate::analysis::finding::Confidence;
use crate::analysis::rules::Limits;
use crate::store::Verb;

/// A whole profile.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Document {
    pub profile: About,
    #[serde(default)]
    pub device: DeviceTable,
    #[serde(default)]
    pub user: UserTable,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub environment: BTreeMap<Spanned<String>, String>,
    #[serde(default)]
    pub limits: LimitsTable,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub verdict: BTreeMap<Text<Verb>, ThresholdTable>,
    #[serde(default)]
    pub detectors: DetectorsTable,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub detector: Vec<Spanned<Detector>>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub asset: Vec<AssetTable>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub file: Vec<FileTable>,
    #[serde(default)]
    pub network: NetworkTable,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub route: Vec<RouteTable>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub declaration: Option<DeclarationTable>,
}

/// `[profile]`
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct About {
    pub name: Text<Name>,
    #[serde(default)]
    pub description: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seed: Option<u64>,
}

/// `[device]`
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct DeviceTable {
    pub hostname: Text<Auto<HostName>>,
    pub hostname_prefix: Text<HostName>,
    pub machine_id: Text<Auto<MachineId>>,
    pub mac: Text<Auto<Mac>>,
    pub vendor: Text<Label>,
    pub product: Text<Label>,
    pub serial: Text<Auto<Label>>,
    pub uuid: Text<Auto<Uuid>>,
    pub ipv4: Text<Network>,
}

impl Default for DeviceTable {
    fn default() -> Self {
        Self {
            hostname: Text::default(),
            hostname_prefix: Text(HostName("ws".into())),
            machine_id: Text::default(),
            mac: Text::default(),
            vendor: Text(Label("Dell Inc.".into())),
            product: Text(Label("Latitude 5440".into())),
            serial: Text::default(),
            uuid: Text::default(),
            ipv4: Text(Network([10, 20, 0, 15], 24)),
        }
    }
}

/// `[user]`
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct UserTable {
    pub name: Text<Login>,
    pub uid: u32,
    pub gid: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub home: Option<Spanned<String>>,
    pub shell: String,
}

impl Default for UserTable {
    fn default() -> Self {
        Self { name: Text(Login("anna".into())), uid: 1000, gid: 1000, home: None, shell: "/bin/bash".into() }
    }
}

/// `[limits]`
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct LimitsTable {
    pub disk: Text<Size>,
    pub memory: Text<Maybe<Size>>,
    pub processes: Text<Maybe<u64>>,
    pub descriptors: Text<Maybe<u64>>,
    pub time: Text<Maybe<Duration>>,
}

impl Default for LimitsTable {
    fn default() -> Self {
        Self {
            disk: Text(Size(2 << 30)),
            memory: Text(Maybe(Some(Size(4 << 30)))),
            processes: Text(Maybe(Some(4096))),
            descriptors: Text(Maybe(Some(16_384))),
            time: Text(Maybe(None)),
        }
    }
}

/// One verb of `[verdict]`: from which confidence on.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ThresholdTable {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub violation: Option<Text<Maybe<Confidence>>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unexplained: Option<Text<Maybe<Confidence>>>,
}

/// `[detectors]`: which of those that come with belljar are not asked, and from when on what is
/// counted is too much.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct DetectorsTable {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub off: Vec<Spanned<String>>,
    pub limits: Limits,
}

/// One `[[asset]]`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct AssetTable {
    pub name: Spanned<Text<Name>>,
    pub kind: Text<Kind>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub class: Option<Text<Name>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<Spanned<String>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rows: Option<Spanned<u32>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<Text<Mode>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<Text<Owner>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub variables: Option<Spanned<BTreeMap<String, Text<Token>>>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content: Option<Spanned<String>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content_base64: Option<Spanned<String>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<Spanned<String>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub markers: Option<Spanned<Many<String>>>,
}

/// One `[[file]]`: furniture without markers.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FileTable {
    pub path: Spanned<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content: Option<Spanned<String>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content_base64: Option<Spanned<String>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<Spanned<String>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<Text<Mode>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<Text<Owner>>,
}

/// `[network]`
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct NetworkTable {
    /// Names that do not exist; `*.` in front stands for any labels.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub nxdomain: Vec<String>,
    /// By port: what is said to a client that says nothing.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub banner: BTreeMap<Spanned<String>, String>,
}

/// One `[[route]]`: what HTTP requests are answered.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RouteTable {
    #[serde(default = "anything")]
    pub host: String,
    #[serde(default = "anything")]
    pub path: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub method: String,
    #[serde(default = "ok")]
    pub status: Spanned<u16>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<Spanned<String>, String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content: Option<Spanned<String>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content_base64: Option<Spanned<String>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<Spanned<String>>,
}

fn anything() -> String {
    "*".to_owned()
}

fn ok() -> Spanned<u16> {
    Spanned::new(0..0, 200)
}

/// A file that holds nothing but a declaration.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct DeclarationDocument {
    pub declaration: DeclarationTable,
}

/// `[declaration]`
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct DeclarationTable {
    #[serde(default)]
    pub product: String,
    #[serde(default)]
    pub supplier: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub allow: Vec<Spanned<AllowTable>>,
}

/// One `[[declaration.allow]]`. What is left out covers everything.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct AllowTable {
    pub verb: Many<Verb>,
    #[serde(default, skip_serializing_if = "Many::is_empty")]
    pub class: Many<String>,
    #[serde(default, skip_serializing_if = "Many::is_empty")]
    pub asset: Many<String>,
    #[serde(default, skip_serializing_if = "Many::is_empty")]
    pub path: Many<String>,
    #[serde(default, skip_serializing_if = "Many::is_empty")]
    pub host: Many<String>,
    pub reason: String,
}
