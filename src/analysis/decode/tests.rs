//! Whatever a value is packed in, it is found, however the bytes are cut into pieces; and what has
//! none in it stays silent.

use std::io::Write as _;
use std::sync::LazyLock;

use belljar_sandbox::decoy::{Asset, Marker};
use belljar_sandbox::event::ProcessKey;
use data_encoding::{BASE32, BASE64, BASE64_MIME, BASE64URL, HEXLOWER, HEXUPPER};
use flate2::Compression;
use proptest::collection::vec;
use proptest::prelude::*;

use super::base85;
use super::*;
use crate::analysis::digests;
use crate::analysis::matcher::{Direction, MarkerId, Matcher};

const MAIL: &str = "anna.berg4711@example.com";
const CARD: &str = "4929123412341234";
const NAME: &str = "Jörg Möller-Weiß";
const KEY: &str = "AKIAQX7Z2M5N8P4R6T3V";
const PHONE: &str = "+49 170 8812345";
const UUID: &str = "4c4c4544-0035-3710-8052-b4c04f4e3333";
const VALUES: [&str; 6] = [MAIL, CARD, NAME, KEY, PHONE, UUID];

fn matcher() -> Matcher {
    let marker = |value: &&str| Marker { name: String::new(), value: value.as_bytes().to_vec() };
    let asset = Asset {
        name: "customers".into(),
        class: "identity".into(),
        paths: Vec::new(),
        variables: Vec::new(),
        markers: VALUES.iter().map(marker).collect(),
    };
    Matcher::new(&[asset]).expect("few")
}

/// The search is made once: the tests are many.
fn search() -> &'static Search {
    static SEARCH: LazyLock<Search> = LazyLock::new(|| {
        let marker = |value: &&str| Marker { name: String::new(), value: value.as_bytes().to_vec() };
        Search::new(&[Asset {
            name: "customers".into(),
            class: "identity".into(),
            paths: Vec::new(),
            variables: Vec::new(),
            markers: VALUES.iter().map(marker).collect(),
        }])
        .expect("few")
    });
    &SEARCH
}

/// What is found when `pieces` come one after the other: value and layers.
fn found<'p>(pieces: impl IntoIterator<Item = &'p [u8]>) -> Vec<(&'static str, Vec<String>)> {
    let (mut node, mut work, mut all) = (Node::default(), Work::default(), Vec::new());
    for piece in pieces {
        let mut hits = Hits::default();
        node.push(piece, search(), &mut work, &mut hits);
        hits.settle();
        all.extend(hits.all().iter().map(|hit| (VALUES[hit.id.marker], hit.path.names())));
    }
    all
}

fn has(found: &[(&str, Vec<String>)], value: &str, layers: &[&str]) -> bool {
    found.iter().any(|(known, names)| *known == value && names == layers)
}

/// In one piece, byte by byte, and cut at every place (of what is long, at eighty).
#[track_caller]
fn finds_in_any_pieces(bytes: &[u8], value: &str, layers: &[&str]) {
    let whole = found([bytes]);
    assert!(has(&whole, value, layers), "{value} {layers:?}: {whole:?}");
    let bytewise = found(bytes.chunks(1));
    assert!(has(&bytewise, value, layers), "byte by byte: {value} {layers:?}: {bytewise:?}");
    let cuts = bytes.len().div_ceil(80).max(1);
    for cut in (1..bytes.len()).step_by(cuts) {
        let (head, tail) = bytes.split_at(cut);
        let all = found([head, tail]);
        assert!(has(&all, value, layers), "cut at {cut}: {value} {layers:?}: {all:?}");
    }
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).expect("memory");
    encoder.finish().expect("memory")
}

fn zlib(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes).expect("memory");
    encoder.finish().expect("memory")
}

fn deflate(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::DeflateEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).expect("memory");
    encoder.finish().expect("memory")
}

fn bzip2(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::default());
    encoder.write_all(bytes).expect("memory");
    encoder.finish().expect("memory")
}

fn xz(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = liblzma::write::XzEncoder::new(Vec::new(), 6);
    encoder.write_all(bytes).expect("memory");
    encoder.finish().expect("memory")
}

fn lz4(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = lz4_flex::frame::FrameEncoder::new(Vec::new());
    encoder.write_all(bytes).expect("memory");
    encoder.finish().expect("memory")
}

fn zstd(bytes: &[u8]) -> Vec<u8> {
    ::zstd::encode_all(bytes, 3).expect("memory")
}

/// A local header as Info-ZIP writes it, and the member.
fn zip(method: u16, bytes: &[u8], size: u32) -> Vec<u8> {
    let mut all = b"PK\x03\x04\x14\0\0\0".to_vec();
    all.extend_from_slice(&method.to_le_bytes());
    all.extend_from_slice(&[0; 8]);
    all.extend_from_slice(&(bytes.len() as u32).to_le_bytes());
    all.extend_from_slice(&size.to_le_bytes());
    all.extend_from_slice(&[8, 0, 4, 0]);
    all.extend_from_slice(b"list.csvxtra");
    all.extend_from_slice(bytes);
    all.extend_from_slice(b"PK\x01\x02 and so on");
    all
}

/// Text that packs well, with the value in its middle: said in two halves before, so that it stands
/// nowhere as it is in what is packed.
fn text(value: &str) -> Vec<u8> {
    let filler = "id,name,mail\n1,nobody at all,none\n".repeat(4);
    let (head, tail) = value.split_at(value.len() / 2);
    format!("{filler}{tail} {head} {value}{filler}").into_bytes()
}

#[test]
fn containers() {
    let plain = text(MAIL);
    let packed: [(&str, Vec<u8>); 7] = [
        ("gzip", gzip(&plain)),
        ("zlib", zlib(&plain)),
        ("deflate", deflate(&plain)),
        ("zstd", zstd(&plain)),
        ("bzip2", bzip2(&plain)),
        ("xz", xz(&plain)),
        ("lz4", lz4(&plain)),
    ];
    for (name, packed) in &packed {
        finds_in_any_pieces(packed, MAIL, &[name]);
        if *name != "deflate" {
            // Behind other bytes, and another behind it.
            let twice = [b"HTTP/1.1 200 OK\r\n\r\n", &packed[..], &packed[..]].concat();
            finds_in_any_pieces(&twice, MAIL, &[name]);
        }
    }
    finds_in_any_pieces(&zip(8, &deflate(&plain), plain.len() as u32), MAIL, &["zip"]);
    finds_in_any_pieces(&zip(0, &gzip(&plain), 0), MAIL, &["zip", "gzip"]);
}

#[test]
fn brotli() {
    // By node's zlib.brotliCompressSync of `text(MAIL)`.
    let packed = include_bytes!("brotli.bin");
    finds_in_any_pieces(packed, MAIL, &["brotli"]);
}

#[test]
fn runs_of_text() {
    let packed = gzip(&text(KEY));
    for (name, run) in [
        ("base64", BASE64.encode(&packed)),
        ("base64", BASE64URL.encode(&packed)),
        ("base64", BASE64_MIME.encode(&packed)),
        ("base32", BASE32.encode(&packed)),
        ("base32", BASE32.encode(&packed).to_lowercase()),
        ("hex", HEXLOWER.encode(&packed)),
        ("hex", HEXUPPER.encode(&packed)),
    ] {
        let body = format!("POST / HTTP/1.1\r\n\r\n{{\"v\":1, \"data\": \"{run}\"}}");
        finds_in_any_pieces(body.as_bytes(), KEY, &[name, "gzip"]);
        finds_in_any_pieces(format!("data={run}&end=1").as_bytes(), KEY, &[name, "gzip"]);
    }
    let mut padded = packed.clone();
    padded.resize(packed.len().next_multiple_of(4), 0);
    for alphabet in [base85::RFC1924, base85::Z85] {
        let run = String::from_utf8(base85::encode(alphabet, &padded)).expect("ASCII");
        finds_in_any_pieces(format!("data: {run} end").as_bytes(), KEY, &["base85", "gzip"]);
    }
    let run = String::from_utf8(base85::encode(base85::ASCII85, &padded)).expect("ASCII");
    finds_in_any_pieces(format!("data: <~{run}~> end").as_bytes(), KEY, &["base85", "gzip"]);
}

#[test]
fn runs_begin_wherever_their_alphabet_does() {
    let digest = HEXLOWER.encode(&digests::digest(Encoding::Sha256, &[MAIL.as_bytes()])[..32]);
    let packed = HEXLOWER.encode(&gzip(&text(MAIL)));
    for before in ["", "user_", "a", "visitor-face", "id=0x"] {
        for length in [16, 32, 64] {
            let glued = format!("{before}{}/x", &digest[..length]);
            finds_in_any_pieces(glued.as_bytes(), MAIL, &["hex", "sha256"]);
        }
        if before.bytes().rev().take_while(u8::is_ascii_hexdigit).count() % 2 == 0 {
            finds_in_any_pieces(format!("{before}{packed}.").as_bytes(), MAIL, &["hex", "gzip"]);
        }
    }
    let wrapped: Vec<String> = packed.as_bytes().chunks(60).map(|line| String::from_utf8_lossy(line).into()).collect();
    finds_in_any_pieces(wrapped.join("\n").as_bytes(), MAIL, &["hex", "gzip"]);
    // A path of an address looks like base 64 until it ends.
    let packed = BASE64URL.encode(&gzip(&text(MAIL)));
    for path in ["api/v1/telemetry/events/collect/all/of/them", "x"] {
        let address = format!("GET https://example.com/{path}?time=1&data={packed} HTTP/1.1");
        finds_in_any_pieces(address.as_bytes(), MAIL, &["base64", "gzip"]);
    }
    // Or what is encoded is part of the path itself.
    for path in ["", "a", "ab", "abc", "v1/abcd", "v1/abc/d", "Some/longer/path2/abcdef"] {
        let address = format!("GET https://example.com/{path}/{packed} HTTP/1.1");
        let all = found([address.as_bytes()]);
        assert!(has(&all, MAIL, &["base64", "gzip"]), "{path}: {all:?}");
    }
}

#[test]
fn single_encodings_of_every_value() {
    for value in VALUES {
        let bytes = value.as_bytes();
        for before in ["", "x", "xy"] {
            let whole = [before, value, " and more"].concat();
            finds_in_any_pieces(BASE64.encode(whole.as_bytes()).as_bytes(), value, &["base64"]);
            finds_in_any_pieces(BASE64URL.encode(whole.as_bytes()).as_bytes(), value, &["base64"]);
        }
        finds_in_any_pieces(BASE32.encode(bytes).as_bytes(), value, &["base32"]);
        finds_in_any_pieces(BASE32.encode(bytes).to_lowercase().as_bytes(), value, &["base32"]);
        finds_in_any_pieces(HEXLOWER.encode(bytes).as_bytes(), value, &["hex"]);
        finds_in_any_pieces(HEXUPPER.encode(bytes).as_bytes(), value, &["hex"]);
        for before in ["", "a", "ab", "abc"] {
            let mut whole = [before.as_bytes(), bytes].concat();
            whole.resize(whole.len().next_multiple_of(4), b'.');
            finds_in_any_pieces(&base85::encode(base85::RFC1924, &whole), value, &["base85"]);
        }
        for separator in [",", ", ", " ", ":", ", 0x"] {
            let join = |print: fn(&u8) -> String| bytes.iter().map(print).collect::<Vec<_>>().join(separator);
            let decimal = join(u8::to_string);
            let negative = join(|byte| byte.cast_signed().to_string());
            let (small, capital) = (join(|byte| format!("{byte:02x}")), join(|byte| format!("{byte:02X}")));
            if [",", ", ", " "].contains(&separator) {
                finds_in_any_pieces(format!("[1,{separator}{decimal}]").as_bytes(), value, &["decimal"]);
                finds_in_any_pieces(format!("[{negative}{separator}0]").as_bytes(), value, &["decimal"]);
            }
            if [":", " ", ", 0x"].contains(&separator) {
                finds_in_any_pieces(small.as_bytes(), value, &["hex"]);
                finds_in_any_pieces(capital.as_bytes(), value, &["hex"]);
            }
        }
        for order in [u16::to_le_bytes, u16::to_be_bytes] {
            let wide: Vec<u8> = format!("x{value}y").encode_utf16().flat_map(order).collect();
            finds_in_any_pieces(&wide, value, &["utf-16"]);
        }
        let backwards: Vec<u8> = bytes.iter().rev().copied().collect();
        finds_in_any_pieces(&backwards, value, &["reversed"]);
        if value != CARD && value != PHONE {
            let rot13 = |byte: &u8| match byte {
                b'a'..=b'm' | b'A'..=b'M' => byte + 13,
                b'n'..=b'z' | b'N'..=b'Z' => byte - 13,
                _ => *byte,
            };
            finds_in_any_pieces(&bytes.iter().map(rot13).collect::<Vec<_>>(), value, &["rot13"]);
        }
        for key in 1..=255 {
            let laid: Vec<u8> = format!("id;{value};x").bytes().map(|byte| byte ^ key).collect();
            assert!(has(&found([&laid[..]]), value, &["xor"]), "{value} {key}");
        }
        finds_in_any_pieces(&bytes.iter().map(|byte| byte ^ 0xa5).collect::<Vec<_>>(), value, &["xor"]);
    }
    let number: u64 = CARD.parse().expect("digits");
    finds_in_any_pieces(&[&[0xcf], &number.to_be_bytes()[..]].concat(), CARD, &["integer"]);
    finds_in_any_pieces(&[&[9], &number.to_le_bytes()[..]].concat(), CARD, &["integer"]);
    let raw = HEXLOWER.decode(UUID.replace('-', "").as_bytes()).expect("hex");
    finds_in_any_pieces(&raw, UUID, &["binary"]);
    finds_in_any_pieces(b"tel=+49+170+8812345&x=1", PHONE, &["form"]);
}

#[test]
fn escapes() {
    let every = |prefix: &str, hex: fn(u8) -> String, suffix: &str| -> String {
        MAIL.bytes().map(|byte| [prefix, &hex(byte), suffix].concat()).collect()
    };
    for (name, escaped) in [
        ("percent", every("%", |byte| format!("{byte:02X}"), "")),
        ("percent", MAIL.replace('@', "%40").replace('.', "%2e")),
        ("json", every("\\u", |byte| format!("{byte:04x}"), "")),
        ("c-escape", every("\\x", |byte| format!("{byte:02x}"), "")),
        ("c-escape", every("\\", |byte| format!("{byte:03o}"), "")),
        ("html", every("&#", |byte| byte.to_string(), ";")),
        ("html", every("&#x", |byte| format!("{byte:x}"), ";")),
        ("quoted-printable", every("=", |byte| format!("{byte:02X}"), "")),
        ("quoted-printable", MAIL.replace("4711", "47=\r\n11")),
    ] {
        finds_in_any_pieces(format!("some text: {escaped} and more").as_bytes(), MAIL, &[name]);
    }
    let json = NAME.replace('ö', "\\u00f6").replace('ß', "\\u00DF");
    finds_in_any_pieces(json.as_bytes(), NAME, &["json"]);
    finds_in_any_pieces(NAME.replace('ö', "&#246;").replace('ß', "&#xdf;").as_bytes(), NAME, &["html"]);
    finds_in_any_pieces(NAME.replace('ö', "=C3=B6").replace('ß', "=C3=9F").as_bytes(), NAME, &["quoted-printable"]);
    finds_in_any_pieces(b"tel=%2B49+170+8812345", PHONE, &["percent", "form"]);
}

#[test]
fn text_is_undone_from_its_first_escape_until_long_after_the_last() {
    let quiet = "words without any sign. ".repeat(1 + escapes::QUIET / 20);
    let escaped = MAIL.replace('@', "%40");
    finds_in_any_pieces(format!("a%20b {quiet} mail={escaped} {quiet}").as_bytes(), MAIL, &["percent"]);
    finds_in_any_pieces(format!("{quiet}anna.berg4711@example%2Ecom").as_bytes(), MAIL, &["percent"]);
    // What an escape was the edge of is undone to its end.
    let mut noise = 88_172_645_463_325_252_u64;
    let words = std::iter::repeat_with(|| {
        noise ^= noise << 13;
        noise ^= noise >> 7;
        noise ^= noise << 17;
        noise.to_le_bytes()
    });
    let filler = HEXLOWER.encode(&words.take(160).flatten().collect::<Vec<u8>>());
    let packed = gzip(format!("{filler} {MAIL}").as_bytes());
    let url = BASE64URL.encode(&packed);
    assert!(url.len() > escapes::QUIET && !url.contains('%'));
    finds_in_any_pieces(format!("data%3D{url}").as_bytes(), MAIL, &["percent", "base64", "gzip"]);
    // And from its beginning, however far before the first escape that is.
    let late = BASE64.encode(&packed);
    let (head, tail) = late.split_at(300);
    let json = format!("{{\"id\": \"{head}{}\"}}", tail.replace('/', "\\/"));
    assert!(json.contains("\\/"));
    let all = found([json.as_bytes()]);
    assert!(has(&all, MAIL, &["json", "base64", "gzip"]), "{all:?}");
}

#[test]
fn digests_of_every_form() {
    for value in VALUES {
        for form in [value.to_owned(), format!("{value}\n"), value.to_lowercase()] {
            if form.to_lowercase() == form && !value.is_ascii() && form != value {
                continue; // small letters are those of ASCII
            }
            for (which, length) in digests::ALL {
                let digest = digests::digest(which, &[form.as_bytes()]);
                for kept in [8, length] {
                    let digest = &digest[..kept];
                    let name = which.name();
                    assert!(has(&found([digest]), value, &[name]), "{value} {name}");
                    assert!(has(&found([HEXLOWER.encode(digest).as_bytes()]), value, &["hex", name]), "{name}");
                    assert!(has(&found([HEXUPPER.encode(digest).as_bytes()]), value, &["hex", name]), "{name}");
                    assert!(has(&found([BASE64.encode(digest).as_bytes()]), value, &["base64", name]), "{name}");
                }
            }
        }
    }
    let digits = digests::digest(Encoding::Sha256, &[b"491708812345"]);
    finds_in_any_pieces(&digits[..32], PHONE, &["sha256"]);
    finds_in_any_pieces(HEXLOWER.encode(&digits[..8]).as_bytes(), PHONE, &["hex", "sha256"]);
}

#[test]
fn protocols() {
    let body = format!("{{\"card\": \"{CARD}\"}}");
    let head = "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nAccept: */*\r\n\r\n";
    let cut = 15;
    let chunked =
        format!("{head}{cut:x}\r\n{}\r\n{:X};a=b\r\n{}\r\n0\r\n\r\n", &body[..cut], body.len() - cut, &body[cut..]);
    finds_in_any_pieces(chunked.as_bytes(), CARD, &["chunked", "json"]);
    let upgrade = b"GET / HTTP/1.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n";
    let mask = [0x37, 0xfa, 0x21, 0x3d];
    let masked = |bytes: &[u8], first: u8| {
        let mut frame = vec![first, 0x80 | bytes.len() as u8];
        if bytes.len() > 125 {
            frame[1] = 0xfe;
            frame.extend_from_slice(&(bytes.len() as u16).to_be_bytes());
        }
        frame.extend_from_slice(&mask);
        frame.extend(bytes.iter().enumerate().map(|(at, byte)| byte ^ mask[at % 4]));
        frame
    };
    let two = [&upgrade[..], &masked(b"hello", 0x81), &masked(body.as_bytes(), 0x81)].concat();
    finds_in_any_pieces(&two, CARD, &["websocket"]);
    let packed = deflate(&text(MAIL));
    finds_in_any_pieces(&[&upgrade[..], &masked(&packed, 0xc1)].concat(), MAIL, &["websocket"]);
}

#[test]
fn layers_in_layers() {
    let json = format!("{{\"list\": [{{\"mail\": \"{MAIL}\"}}]}}");
    finds_in_any_pieces(&gzip(json.as_bytes()), MAIL, &["gzip", "json"]);
    let deep = BASE64.encode(&zstd(HEXLOWER.encode(&gzip(json.as_bytes())).as_bytes()));
    finds_in_any_pieces(deep.as_bytes(), MAIL, &["base64", "zstd", "hex", "gzip", "json"]);
    let percent = BASE64.encode(&zlib(&text(KEY))).replace('+', "%2B").replace('/', "%2F").replace('=', "%3D");
    let all = found([format!("a%20b={percent}").as_bytes()]);
    assert!(has(&all, KEY, &["percent", "base64", "zlib"]), "{all:?}");
    let digest = digests::digest(Encoding::Sha1, &[KEY.as_bytes()]);
    let all = found([&gzip(HEXLOWER.encode(&digest[..20]).as_bytes())[..]]);
    assert!(has(&all, KEY, &["gzip", "hex", "sha1"]), "{all:?}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    /// Any packing, anything around it, any pieces.
    #[test]
    fn found_however_it_is_cut(
        which in 0..8_usize,
        before in vec(any::<u8>(), 0..40),
        noise in vec(any::<u8>(), 0..600),
        sizes in vec(1..200_usize, 1..20),
    ) {
        let inner = [&noise[..], KEY.as_bytes(), &noise[..]].concat();
        let packed = match which {
            0 => gzip(&inner),
            1 => zlib(&inner),
            2 => zstd(&inner),
            3 => xz(&inner),
            4 => lz4(&inner),
            5 => bzip2(&inner),
            6 => [b" ".as_slice(), BASE64.encode(&gzip(&inner)).as_bytes()].concat(),
            _ => [b" ".as_slice(), HEXLOWER.encode(&inner).as_bytes()].concat(),
        };
        // What stands before must not itself begin a container.
        let before: Vec<u8> = before.into_iter().filter(u8::is_ascii_lowercase).collect();
        let whole = [&before[..], b"\n", &packed[..]].concat();
        let mut sizes = sizes.iter().cycle();
        let mut rest = &whole[..];
        let mut pieces = Vec::new();
        while !rest.is_empty() {
            let (piece, more) = rest.split_at(rest.len().min(*sizes.next().expect("a cycle")));
            pieces.push(piece);
            rest = more;
        }
        let all = found(pieces);
        prop_assert!(all.iter().any(|(value, _)| *value == KEY), "{which} {all:?}");
    }

    /// Nothing is found where nothing is, and nothing breaks.
    #[test]
    fn any_bytes_are_taken(pieces in vec(vec(any::<u8>(), 0..300), 0..12), magic in 0..formats::MAGICS.len()) {
        let mut pieces: Vec<&[u8]> = pieces.iter().map(Vec::as_slice).collect();
        pieces.insert(pieces.len() / 2, formats::MAGICS[magic].0);
        prop_assert!(found(pieces).is_empty());
    }
}

/// Programs and texts of this machine, and noise: no value is in them.
#[test]
fn innocent_bytes_are_silent() {
    let (mut node, mut work, mut hits) = (Node::default(), Work::default(), Hits::default());
    let mut left = 6_u64 << 20;
    let mut folders = vec![std::path::PathBuf::from("/usr/share"), "/usr/lib".into(), "/usr/bin".into()];
    while let Some(folder) = folders.pop().filter(|_| left > 0) {
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            let kind = entry.file_type().expect("a kind");
            if kind.is_dir() {
                folders.push(entry.path());
            } else if kind.is_file() && entry.metadata().is_ok_and(|data| data.len() < 1 << 20) {
                let bytes = std::fs::read(entry.path()).unwrap_or_default();
                left = left.saturating_sub(bytes.len() as u64);
                node.push(&bytes, search(), &mut work, &mut hits);
            }
            if left == 0 {
                break;
            }
        }
    }
    assert_eq!(left, 0, "there was enough to read");
    assert!(hits.is_empty(), "{hits:?}");
}

#[test]
fn a_bomb_is_cut_and_said() {
    // A gigabyte of zeros in a megabyte, and that in a kilobyte.
    let mut inner = flate2::write::GzEncoder::new(Vec::new(), Compression::fast());
    for _ in 0..1 << 10 {
        inner.write_all(&vec![0; 1 << 18]).expect("memory");
    }
    let bomb = gzip(&inner.finish().expect("memory"));
    assert!(bomb.len() < 1 << 15, "{}", bomb.len());
    let mut matcher = matcher();
    let mut hits = Hits::default();
    let key = (ProcessKey(1), 1, Direction::Out);
    matcher.scan_stream(key, &bomb, true, &mut hits);
    assert_eq!(matcher.cuts().bytes, 1);
    assert!(hits.is_empty());
    // Values in the clear are found in that stream all the same.
    matcher.scan_stream(key, MAIL.as_bytes(), true, &mut hits);
    assert_eq!(hits.all()[0].id, MarkerId { asset: 0, marker: 0 });
}

#[test]
fn too_many_layers_are_counted() {
    let mut packed = text(MAIL);
    for _ in 0..MAX_DEPTH + 2 {
        packed = gzip(&packed);
    }
    let (mut node, mut work, mut hits) = (Node::default(), Work::default(), Hits::default());
    node.push(&packed, search(), &mut work, &mut hits);
    assert!(hits.is_empty());
    assert!(work.cuts.depth > 0);
}

#[test]
fn a_hundred_thousand_open_streams_hold_bounded_memory() {
    let packed = gzip(&text(MAIL));
    let (start, _) = packed.split_at(packed.len() / 2);
    let mut matcher = matcher();
    let mut hits = Hits::default();
    for process in 0..100_000 {
        matcher.scan_stream((ProcessKey(process), 0, Direction::Out), start, true, &mut hits);
    }
    assert!(matcher.held() <= 192 << 20, "{}", matcher.held());
    assert!(matcher.cuts().memory > 0, "what was closed is counted");
    assert_eq!(matcher.forgotten(), 0);
    // The last ones still go on.
    let (_, end) = packed.split_at(packed.len() / 2);
    matcher.scan_stream((ProcessKey(99_999), 0, Direction::Out), end, true, &mut hits);
    assert_eq!(hits.all().len(), 1);
}

#[test]
fn a_gap_in_a_container_is_counted() {
    let packed = gzip(&text(MAIL));
    let (start, end) = packed.split_at(packed.len() / 2);
    let mut matcher = matcher();
    let mut hits = Hits::default();
    let key = (ProcessKey(1), 1, Direction::Out);
    matcher.scan_stream(key, start, false, &mut hits);
    matcher.scan_stream(key, end, true, &mut hits);
    assert!(hits.is_empty());
    assert_eq!(matcher.cuts().gaps, 1);
}
