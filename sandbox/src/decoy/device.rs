//! The machine's own marks: host name, machine-id, serial number, UUID and hardware address.
//! Each is an asset of class `device` with its own stream, so that fixing one leaves the others.

use std::collections::HashSet;

use super::Asset;
use super::draw::{Draw, HEX, SERIAL, Stream};
use crate::spec::Identity;

/// What the profile says of the device; `None` is drawn from the seed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Device {
    /// Host name.
    pub hostname: Option<String>,
    /// Machine-id: 32 lower-case hexadecimal digits.
    pub machine_id: Option<String>,
    /// Hardware address of `eth0`.
    pub mac: Option<[u8; 6]>,
    /// Serial number.
    pub serial: Option<String>,
    /// System UUID in lower-case text form.
    pub uuid: Option<String>,
    /// Vendor, as `Dell Inc.`.
    pub vendor: String,
    /// Product, as `Latitude 5440`.
    pub product: String,
    /// IPv4 address of `eth0` and its prefix length.
    pub ipv4: ([u8; 4], u8),
    /// First part of a drawn host name, as `ws`.
    pub hostname_prefix: String,
}

/// Names of the assets that [`Device`] yields, in their order.
pub const DEVICE_ASSETS: [&str; 5] = ["hostname", "machine-id", "serial", "uuid", "mac"];

/// Address blocks of network cards by Intel (IEEE MA-L): in machines of every vendor.
const BLOCKS: [[u8; 3]; 5] =
    [[0x00, 0x1b, 0x21], [0x90, 0xe2, 0xba], [0xa0, 0x36, 0x9f], [0x3c, 0xfd, 0xfe], [0x68, 0x05, 0xca]];

/// The identity, and its assets.
pub(super) fn device(seed: u64, taken: &mut HashSet<Vec<u8>>, device: &Device) -> (Identity, Vec<Asset>) {
    let mut assets = Vec::new();
    let mut part = |name: &str, paths: &[&str], fixed: Option<&str>, make: fn(&mut Stream) -> String, prefix: &str| {
        let mut draw = Draw::new(seed, name, taken);
        let value = match fixed {
            Some(value) => {
                draw.keep("", value.as_bytes());
                value.to_owned()
            }
            None => draw.mark("", |stream| format!("{prefix}{}", make(stream))),
        };
        assets.push(Asset {
            name: name.to_owned(),
            class: "device".to_owned(),
            paths: paths.iter().map(|path| path.as_bytes().to_vec()).collect(),
            variables: Vec::new(),
            markers: draw.into_markers(),
        });
        value
    };

    let prefix = format!("{}-", device.hostname_prefix);
    let hostname = part(
        "hostname",
        &["/etc/hostname", "/proc/sys/kernel/hostname"],
        device.hostname.as_deref(),
        |stream| stream.text(8, SERIAL).to_lowercase(),
        &prefix,
    );
    let machine_id = part(
        "machine-id",
        &["/etc/machine-id", "/var/lib/dbus/machine-id"],
        device.machine_id.as_deref(),
        |stream| uuid(stream).replace('-', ""),
        "",
    );
    let serial = part(
        "serial",
        &["/sys/class/dmi/id/product_serial", "/sys/class/dmi/id/chassis_serial", "/sys/class/dmi/id/board_serial"],
        device.serial.as_deref(),
        |stream| stream.text(10, SERIAL),
        "",
    );
    let uuid = part("uuid", &["/sys/class/dmi/id/product_uuid"], device.uuid.as_deref(), uuid, "");
    let fixed = device.mac.map(mac_text);
    let mac = part("mac", &["/sys/class/net/eth0/address"], fixed.as_deref(), |stream| mac_text(mac(stream)), "");

    let dmi = [
        ("sys_vendor", device.vendor.as_str()),
        ("product_name", &device.product),
        ("product_version", "1.0"),
        ("product_serial", &serial),
        ("product_uuid", &uuid),
        ("board_vendor", &device.vendor),
        ("board_name", &device.product),
        ("board_serial", &serial),
        ("chassis_vendor", &device.vendor),
        ("chassis_type", "10"),
        ("chassis_serial", &serial),
        ("bios_vendor", &device.vendor),
        ("bios_version", "1.21.0"),
        ("bios_date", "03/14/2025"),
    ];
    let identity = Identity {
        hostname,
        machine_id,
        mac: parse_mac(&mac).unwrap_or_default(),
        ipv4: device.ipv4,
        dmi: dmi.map(|(file, value)| (file.to_owned(), value.to_owned())).to_vec(),
    };
    (identity, assets)
}

/// A random UUID (RFC 9562, version 4) in lower-case text form.
fn uuid(stream: &mut Stream) -> String {
    let mut group = |digits| stream.text(digits, HEX);
    let (a, b, c, e) = (group(8), group(4), group(3), group(12));
    format!("{a}-{b}-4{c}-{}{}-{e}", stream.text(1, "89ab"), stream.text(3, HEX))
}

fn mac(stream: &mut Stream) -> [u8; 6] {
    let block = BLOCKS.get(stream.below(BLOCKS.len() as u64) as usize).unwrap_or(&BLOCKS[0]);
    let mut mac = stream.bytes();
    mac[..3].copy_from_slice(block);
    mac
}

/// `3c:fd:fe:01:02:03`.
pub fn mac_text(mac: [u8; 6]) -> String {
    mac.map(|byte| format!("{byte:02x}")).join(":")
}

/// The reverse of [`mac_text`]; upper case and dashes are taken too.
pub fn parse_mac(text: &str) -> Option<[u8; 6]> {
    let mut mac = [0; 6];
    let mut parts = text.split([':', '-']);
    for byte in &mut mac {
        let part = parts.next()?;
        if part.len() != 2 || !part.bytes().all(|digit| digit.is_ascii_hexdigit()) {
            return None;
        }
        *byte = u8::from_str_radix(part, 16).ok()?;
    }
    parts.next().is_none().then_some(mac)
}
