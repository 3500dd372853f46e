//! Everything of Belljar that touches the kernel: the jail that holds the subject, the decoys
//! planted in it, the witnesses that watch it, and the layer of files that it leaves behind.
//!
//! The crate knows no TOML and no screen. Its input is a [`spec::Spec`]; its output is a stream
//! of [`event::Event`]s through an [`event::Queue`]. It never depends on the application.

pub mod decoy;
pub mod doctor;
pub mod event;
pub mod gateway;
pub mod jail;
pub mod layer;
pub mod spec;
pub mod witness;
