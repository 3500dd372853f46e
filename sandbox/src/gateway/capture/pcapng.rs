//! Writes pcapng (draft-ietf-opsawg-pcapng): one section, one interface, packets with their direction, names, and the
//! secrets of TLS connections, so that the file opens decrypted in Wireshark.
//!
//! Every block is little-endian, a multiple of four bytes long, and has its length at both ends.

use std::io::{self, IoSlice, Write};
use std::net::IpAddr;

const SECTION: u32 = 0x0a0d_0d0a;
const INTERFACE: u32 = 1;
const NAMES: u32 = 4;
const PACKET: u32 = 6;
const SECRETS: u32 = 0x0a;
/// "TLSK": NSS key log lines.
const TLS_KEY_LOG: u32 = 0x544c_534b;
/// Options (section 3.5 and those of each block).
const END: u16 = 0;
const COMMENT: u16 = 1;
const APPLICATION: u16 = 4;
const INTERFACE_NAME: u16 = 2;
const RESOLUTION: u16 = 9;
const PACKET_FLAGS: u16 = 2;

/// Which way a packet went, as `epb_flags` says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Direction {
    /// From the jail.
    FromJail = 2,
    /// To the jail.
    ToJail = 1,
}

/// A file that is being written.
pub(super) struct Writer<W> {
    out: W,
    block: Vec<u8>,
    written: u64,
}

impl<W: Write> Writer<W> {
    /// Begins the file.
    pub(super) fn new(out: W) -> io::Result<Self> {
        let mut writer = Self { out, block: Vec::with_capacity(1024), written: 0 };
        writer.block(SECTION, |block| {
            block.extend(0x1a2b_3c4d_u32.to_le_bytes());
            block.extend(1u16.to_le_bytes());
            block.extend(0u16.to_le_bytes());
            block.extend(u64::MAX.to_le_bytes()); // length of the section: not said
            option(block, APPLICATION, concat!("belljar ", env!("CARGO_PKG_VERSION")).as_bytes());
            option(block, END, b"");
        })?;
        writer.block(INTERFACE, |block| {
            block.extend(1u16.to_le_bytes()); // Ethernet
            block.extend(0u16.to_le_bytes());
            block.extend(0u32.to_le_bytes()); // packets are whole
            option(block, INTERFACE_NAME, b"eth0");
            option(block, RESOLUTION, &[9]); // nanoseconds
            option(block, END, b"");
        })?;
        Ok(writer)
    }

    /// Writes a packet. `time_ns` counts from 1970; `len` is its length on the wire.
    pub(super) fn packet(
        &mut self,
        time_ns: u64,
        direction: Direction,
        len: u32,
        bytes: &[u8],
        comment: Option<&str>,
    ) -> io::Result<()> {
        self.around(
            PACKET,
            bytes,
            |block| {
                block.extend(0u32.to_le_bytes());
                block.extend(((time_ns >> 32) as u32).to_le_bytes());
                block.extend((time_ns as u32).to_le_bytes());
                block.extend((bytes.len() as u32).to_le_bytes());
                block.extend(len.to_le_bytes());
            },
            |block| {
                if let Some(comment) = comment {
                    option(block, COMMENT, comment.as_bytes());
                }
                option(block, PACKET_FLAGS, &(direction as u32).to_le_bytes());
                option(block, END, b"");
            },
        )
    }

    /// Writes which addresses stand for a name.
    pub(super) fn name(&mut self, name: &[u8], addresses: &[IpAddr]) -> io::Result<()> {
        // A NUL would end it early, and the file is for other programs to read.
        let name: Vec<u8> = name.iter().map(|byte| if *byte == 0 { b'?' } else { *byte }).collect();
        self.block(NAMES, |block| {
            for address in addresses {
                let (kind, octets) = match address {
                    IpAddr::V4(address) => (1u16, address.octets().to_vec()),
                    IpAddr::V6(address) => (2u16, address.octets().to_vec()),
                };
                block.extend(kind.to_le_bytes());
                block.extend(((octets.len() + name.len() + 1) as u16).to_le_bytes());
                padded(block, &[&octets, name.as_slice(), b"\0"].concat());
            }
            block.extend([0; 4]); // end of records
        })
    }

    /// Writes secrets of TLS connections: lines of a key log.
    pub(super) fn secrets(&mut self, lines: &[u8]) -> io::Result<()> {
        self.block(SECRETS, |block| {
            block.extend(TLS_KEY_LOG.to_le_bytes());
            block.extend((lines.len() as u32).to_le_bytes());
            padded(block, lines);
        })
    }

    /// Bytes written so far.
    pub(super) fn written(&self) -> u64 {
        self.written
    }

    /// Hands on what is buffered.
    pub(super) fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }

    fn block(&mut self, kind: u32, body: impl FnOnce(&mut Vec<u8>)) -> io::Result<()> {
        self.around(kind, b"", body, |_| {})
    }

    /// Writes a block of `bytes`, padded, with something before and after them. They are not copied.
    fn around(
        &mut self,
        kind: u32,
        bytes: &[u8],
        before: impl FnOnce(&mut Vec<u8>),
        after: impl FnOnce(&mut Vec<u8>),
    ) -> io::Result<()> {
        self.block.clear();
        self.block.extend(kind.to_le_bytes());
        self.block.extend([0; 4]);
        before(&mut self.block);
        let middle = self.block.len();
        self.block.resize(middle + bytes.len().next_multiple_of(4) - bytes.len(), 0);
        after(&mut self.block);
        let length = self.block.len() + bytes.len() + 4;
        if let Some(place) = self.block.get_mut(4..8) {
            place.copy_from_slice(&(length as u32).to_le_bytes());
        }
        self.block.extend((length as u32).to_le_bytes());
        let (head, tail) = self.block.split_at(middle);
        // In one call where it is more than is buffered.
        let mut parts = [IoSlice::new(head), IoSlice::new(bytes), IoSlice::new(tail)];
        let mut left = &mut parts[..];
        IoSlice::advance_slices(&mut left, 0);
        while !left.is_empty() {
            match self.out.write_vectored(left) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(n) => IoSlice::advance_slices(&mut left, n),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        self.written += length as u64;
        Ok(())
    }
}

fn padded(block: &mut Vec<u8>, bytes: &[u8]) {
    block.extend_from_slice(bytes);
    // The block in hand lacks what is not copied into it: its own length says nothing.
    block.resize(block.len() + bytes.len().next_multiple_of(4) - bytes.len(), 0);
}

fn option(block: &mut Vec<u8>, code: u16, value: &[u8]) {
    let value = value.get(..usize::from(u16::MAX)).unwrap_or(value);
    block.extend(code.to_le_bytes());
    block.extend((value.len() as u16).to_le_bytes());
    padded(block, value);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_say_their_length_at_both_ends() {
        let mut writer = Writer::new(Vec::new()).expect("memory");
        writer.packet(1_700_000_000_123_456_789, Direction::FromJail, 3, b"abc", Some("curl")).expect("memory");
        writer
            .name(b"a.example", &["198.18.0.7".parse().expect("ip"), "2001:2::7".parse().expect("ip")])
            .expect("memory");
        writer.secrets(b"CLIENT_RANDOM 00 11\n").expect("memory");
        let bytes = writer.out.clone();
        assert_eq!(writer.written(), bytes.len() as u64);
        let (mut at, mut kinds) = (0, Vec::new());
        while at < bytes.len() {
            let word = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four"));
            let length = word(at + 4) as usize;
            assert_eq!(length % 4, 0);
            assert_eq!(word(at + length - 4) as usize, length);
            kinds.push(word(at));
            at += length;
        }
        assert_eq!(kinds, [SECTION, INTERFACE, PACKET, NAMES, SECRETS]);
    }
}
