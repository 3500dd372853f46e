//! One asset in the making: its stream of values, the files it plants, the variables it sets.

use super::draw::Draw;
use super::{Asset, Content, Plant, Request};
use crate::spec::User;

/// What the functions that make assets write to.
pub(super) struct Making<'g, 'r> {
    pub(super) draw: Draw<'g>,
    pub(super) request: &'r Request,
    pub(super) user: &'r User,
    pub(super) plants: Vec<Plant>,
    pub(super) variables: Vec<(String, String)>,
}

impl Making<'_, '_> {
    /// Plants the asset's one file.
    pub(super) fn file(&mut self, bytes: Vec<u8>, mode: u32) {
        let path = self.request.path.clone();
        self.plant(path, Content::File(bytes), mode);
    }

    /// Plants a file below the asset's directory.
    pub(super) fn below(&mut self, name: &str, bytes: Vec<u8>, mode: u32) {
        let path = [self.request.path.as_slice(), name.as_bytes()].concat();
        self.plant(path, Content::File(bytes), mode);
    }

    /// Plants a directory: the asset's own when `name` is empty, else one below it.
    pub(super) fn directory(&mut self, name: &str, mode: u32) {
        let mut path = [self.request.path.as_slice(), name.as_bytes()].concat();
        while path.len() > 1 && path.last() == Some(&b'/') {
            path.pop();
        }
        self.plant(path, Content::Directory, mode);
    }

    fn plant(&mut self, path: Vec<u8>, content: Content, mode: u32) {
        let mode = match content {
            Content::File(_) => self.request.mode.unwrap_or(mode),
            _ => mode,
        };
        let mtime = self.draw.stream.past();
        self.plants.push(Plant { path, content, mode, owner: self.request.owner, mtime });
    }

    /// How many entries are asked for.
    pub(super) fn rows(&self) -> u32 {
        self.request.rows
    }

    /// The finished asset, its files and its variables.
    pub(super) fn finish(self) -> (Asset, Vec<Plant>, Vec<(String, String)>) {
        let asset = Asset {
            name: self.request.name.clone(),
            class: self.request.class.clone(),
            paths: if self.request.path.is_empty() { Vec::new() } else { vec![self.request.path.clone()] },
            variables: self.variables.iter().map(|(name, _)| name.clone()).collect(),
            markers: self.draw.into_markers(),
        };
        (asset, self.plants, self.variables)
    }
}
