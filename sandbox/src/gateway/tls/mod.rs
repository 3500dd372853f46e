//! What TLS needs: the session's authority, the trust that the jail puts in it, and the reading of hellos.

pub(super) mod authority;
pub(super) mod hello;
pub mod trust;
