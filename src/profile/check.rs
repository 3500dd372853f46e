//! What the shape alone cannot say: paths, doubles, keys that do not go together. Every fault
//! points at the value that is wrong.

use std::collections::HashSet;
use std::ops::Range;

use belljar_sandbox::decoy::kind::{Kind, MOST_ROWS, Place};
use belljar_sandbox::decoy::{DEVICE_ASSETS, SHORTEST_MARKER};
use toml::Spanned;

use super::error::{Fault, unknown};
use super::schema::{AllowTable, AssetTable, Document, FileTable};
use crate::analysis::detectors::builtin;
use crate::store::AssetSet;

/// Places that the jail itself furnishes, and where to say so instead.
const JAILS: &[(&str, &str)] = &[
    ("/proc", "the sandbox makes it"),
    ("/sys", "the sandbox makes it; set [device] instead"),
    ("/dev", "the sandbox makes it"),
    ("/etc/machine-id", "set machine_id in [device] instead"),
    ("/etc/hostname", "set hostname in [device] instead"),
];

/// Reports faults of one file.
pub(super) struct Checker<'t> {
    pub(super) file: &'t str,
    pub(super) text: &'t str,
}

type Checked<T = ()> = Result<T, Fault>;

impl Checker<'_> {
    pub(super) fn fault<T>(&self, span: Range<usize>, message: impl Into<String>) -> Checked<T> {
        Err(Fault::new(self.file, self.text, span, message))
    }

    /// Checks all that is in a profile.
    pub(super) fn document(&self, document: &Document) -> Checked {
        for name in document.environment.keys() {
            self.variable(name.get_ref(), name.span())?;
        }
        for (name, value) in &document.environment {
            if value.contains('\0') {
                return self.fault(name.span(), "a variable's value cannot hold a NUL character");
            }
        }
        let home = home(document);
        if let Some(home) = &document.user.home {
            self.path(home, "/")?;
        }
        if document.user.shell.contains('\0') {
            return self.fault(0..0, "[user] shell cannot hold a NUL character");
        }
        self.assets(document, &home)?;
        for file in &document.file {
            self.file(file, &home)?;
        }
        self.network(document)?;
        self.detectors(document)?;
        if let Some(declaration) = &document.declaration {
            self.allows(&declaration.allow, Some(document))?;
        }
        Ok(())
    }

    fn network(&self, document: &Document) -> Checked {
        for port in document.network.banner.keys() {
            if port.get_ref().parse::<u16>().is_err() {
                return self.fault(port.span(), "a banner stands under a port: a number up to 65535, in quotes");
            }
        }
        for route in &document.route {
            let status = *route.status.get_ref();
            if !(200..600).contains(&status) {
                return self.fault(route.status.span(), format!("{status} is no final status of HTTP: 200 to 599 are"));
            }
            for (name, value) in &route.headers {
                let is_token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
                if name.get_ref().is_empty() || !name.get_ref().bytes().all(is_token) {
                    return self.fault(name.span(), "this cannot be the name of a header field");
                }
                if value.bytes().any(|b| b < b' ' && b != b'\t' || b == 0x7f) {
                    return self.fault(name.span(), "a header field cannot hold control characters");
                }
            }
            let given = [route.content.is_some(), route.content_base64.is_some(), route.source.is_some()];
            if given.into_iter().filter(|given| *given).count() > 1 {
                return self.fault(route.status.span(), "a route has one of content, content_base64 and source");
            }
        }
        Ok(())
    }

    fn detectors(&self, document: &Document) -> Checked {
        let builtin = builtin();
        let mut names: Vec<&str> = builtin.iter().map(|detector| detector.name.as_str()).collect();
        for off in &document.detectors.off {
            if !names.contains(&off.get_ref().as_str()) {
                return self.fault(off.span(), unknown("detector", off.get_ref(), &names));
            }
        }
        for detector in &document.detector {
            let name = detector.get_ref().name.as_str();
            if names.contains(&name) {
                return self.fault(detector.span(), format!("a second detector called `{name}`; choose another name"));
            }
            names.push(name);
        }
        Ok(())
    }

    fn assets(&self, document: &Document, home: &str) -> Checked {
        let mut names: HashSet<&str> = DEVICE_ASSETS.into_iter().collect();
        let mut variables: HashSet<&str> = document.environment.keys().map(|name| name.get_ref().as_str()).collect();
        for asset in &document.asset {
            let name = asset.name.get_ref().0.0.as_str();
            if DEVICE_ASSETS.contains(&name) {
                return self.fault(
                    asset.name.span(),
                    format!("`{name}` is the asset that [device] makes; choose another name"),
                );
            }
            if !names.insert(name) {
                return self
                    .fault(asset.name.span(), format!("a second asset called `{name}`; each needs its own name"));
            }
            if names.len() > AssetSet::CAPACITY {
                let most = AssetSet::CAPACITY - DEVICE_ASSETS.len();
                return self.fault(
                    asset.name.span(),
                    format!(
                        "too many assets: a session tells {} apart, so a profile has at most {most}",
                        AssetSet::CAPACITY
                    ),
                );
            }
            self.asset(asset, home)?;
            if asset.kind.0 != Kind::Environment {
                continue;
            }
            for (variable, span) in asset.variables.iter().flat_map(|all| all.get_ref().keys().map(|v| (v, all.span())))
            {
                if !variables.insert(variable) {
                    return self.fault(span, format!("the variable `{variable}` is set twice"));
                }
            }
        }
        Ok(())
    }

    /// Keys that the asset's kind takes, and only those.
    fn asset(&self, asset: &AssetTable, home: &str) -> Checked {
        let info = asset.kind.0.info();
        let (name, kind) = (&asset.name, info.name);
        let takes_variables = matches!(info.kind, Kind::Environment | Kind::Dotenv);
        match &asset.path {
            Some(path) if info.place == Place::Environment => {
                return self.fault(path.span(), format!("kind `{kind}` stands in the environment and has no path"));
            }
            Some(path) => {
                self.path(path, home)?;
                if info.place == Place::File && path.get_ref().ends_with('/') {
                    return self.fault(path.span(), format!("kind `{kind}` is one file; its path must not end in /"));
                }
            }
            None if info.place != Place::Environment => {
                return self.fault(name.span(), format!("kind `{kind}` needs a path, as path = \"~/Documents/name\""));
            }
            None => {}
        }
        if let Some(rows) = &asset.rows {
            let most = MOST_ROWS;
            match *rows.get_ref() {
                _ if info.rows.is_none() => {
                    return self.fault(rows.span(), format!("kind `{kind}` has no number of rows; leave the key out"));
                }
                count if !(1..=most).contains(&count) => {
                    return self.fault(rows.span(), format!("rows must be between 1 and {most}"));
                }
                _ => {}
            }
        }
        match &asset.variables {
            Some(variables) if !takes_variables => {
                return self.fault(variables.span(), format!("kind `{kind}` takes no variables; leave the key out"));
            }
            Some(variables) => {
                for variable in variables.get_ref().keys() {
                    self.variable(variable, variables.span())?;
                }
            }
            None if takes_variables => {
                return self.fault(
                    name.span(),
                    format!("kind `{kind}` needs its variables, as variables = {{ API_TOKEN = \"github\" }}"),
                );
            }
            None => {}
        }
        let contents = [&asset.content, &asset.content_base64, &asset.source];
        self.one_content(name.span(), &contents, info.kind == Kind::File, kind)?;
        if let Some(markers) = asset.markers.as_ref() {
            if info.kind != Kind::File {
                return self.fault(markers.span(), format!("kind `{kind}` draws its own markers; leave the key out"));
            }
            if let Some(marker) = markers.get_ref().0.iter().find(|marker| marker.len() < SHORTEST_MARKER) {
                let message = format!(
                    "`{marker}` is too short for a marker: below {SHORTEST_MARKER} bytes it turns up by chance"
                );
                return self.fault(markers.span(), message);
            }
        }
        Ok(())
    }

    fn file(&self, file: &FileTable, home: &str) -> Checked {
        self.path(&file.path, home)?;
        let is_file = !file.path.get_ref().ends_with('/');
        self.one_content(file.path.span(), &[&file.content, &file.content_base64, &file.source], is_file, "directory")
    }

    /// One key for the content where there is a content, none where there is none.
    fn one_content(&self, at: Range<usize>, keys: &[&Option<Spanned<String>>], wanted: bool, kind: &str) -> Checked {
        let given: Vec<_> = keys.iter().filter_map(|key| key.as_ref()).collect();
        match (given.as_slice(), wanted) {
            ([], true) => self.fault(at, "there is no content: give content = \"...\" or source = \"FILE\""),
            ([_, second, ..], true) => {
                self.fault(second.span(), "two contents: give one of content, content_base64 and source")
            }
            ([one, ..], false) => {
                self.fault(one.span(), format!("a {kind} has no content of the profile's; leave the key out"))
            }
            _ => Ok(()),
        }
    }

    /// An absolute path, or one below `~`, that the profile may furnish.
    fn path(&self, path: &Spanned<String>, home: &str) -> Checked {
        let text = path.get_ref();
        let Some(full) = expand(text, home) else {
            return self.fault(path.span(), format!("`{text}` is no absolute path: start it with / or ~/"));
        };
        let parts = full.trim_start_matches('/').trim_end_matches('/');
        if full.contains('\0') || full.len() > 4095 || parts.split('/').any(|part| matches!(part, "" | "." | "..")) {
            let message = format!("`{}` is no plain path: no empty part, no `.`, no `..`", text.escape_debug());
            return self.fault(path.span(), message);
        }
        match JAILS.iter().find(|(place, _)| below(&full, place)) {
            Some((place, why)) => self.fault(path.span(), format!("{place} is not the profile's to plant: {why}")),
            None => Ok(()),
        }
    }

    fn variable(&self, name: &str, span: Range<usize>) -> Checked {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
        if name.is_empty() || name.starts_with(|c: char| c.is_ascii_digit()) || !name.bytes().all(plain) {
            let message = format!("`{}` is no name of a variable: write letters, digits and _", name.escape_debug());
            return self.fault(span, message);
        }
        Ok(())
    }

    /// Entries of a declaration; with the profile at hand, its assets and classes must be known.
    pub(super) fn allows(&self, allows: &[Spanned<AllowTable>], document: Option<&Document>) -> Checked {
        let Some(document) = document else { return Ok(()) };
        let mut assets: Vec<&str> = document.asset.iter().map(|asset| asset.name.get_ref().0.0.as_str()).collect();
        assets.extend(DEVICE_ASSETS);
        let mut classes: Vec<&str> = document.asset.iter().map(class).chain(["device"]).collect();
        classes.sort_unstable();
        classes.dedup();
        for allow in allows {
            let (span, allow) = (allow.span(), allow.get_ref());
            if let Some(name) = allow.asset.0.iter().find(|name| !assets.contains(&name.as_str())) {
                return self.fault(span, unknown("asset", name, &assets));
            }
            if let Some(name) = allow.class.0.iter().find(|name| !classes.contains(&name.as_str())) {
                return self.fault(span, unknown("class", name, &classes));
            }
        }
        Ok(())
    }
}

/// The class of an asset: its own, else its kind's.
pub(super) fn class(asset: &AssetTable) -> &str {
    asset.class.as_ref().map_or(asset.kind.0.info().class, |class| class.0.0.as_str())
}

/// The user's home directory, without a slash at the end.
pub(super) fn home(document: &Document) -> String {
    let user = &document.user;
    match &user.home {
        Some(home) => home.get_ref().trim_end_matches('/').to_owned(),
        None if user.uid == 0 => "/root".to_owned(),
        None => format!("/home/{}", user.name.0.0),
    }
}

/// The path with `~` put in full; `None` when it is not absolute.
pub(super) fn expand(path: &str, home: &str) -> Option<String> {
    match path.strip_prefix("~/") {
        Some(rest) => Some(format!("{home}/{rest}")),
        None => path.starts_with('/').then(|| path.to_owned()),
    }
}

/// Whether the path is the place or below it.
pub(super) fn below(path: &str, place: &str) -> bool {
    path.strip_prefix(place).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}
