//! The gateway: a believable internet behind glass. Whatever address, port or name the subject asks for answers, every
//! packet is recorded, and what was said in TLS is read.

pub mod wire;
