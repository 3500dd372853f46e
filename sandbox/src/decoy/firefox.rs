//! A Firefox profile: the files and tables that software which reads browsers looks for.
//!
//! There is no `key4.db`: the stored logins have the form of real ones (a DER structure with the
//! key's id, an initialisation vector and the cipher text, in base64), but nothing decrypts them.
//! They are markers as they stand.

use data_encoding::{BASE64, BASE64URL_NOPAD};
use rusqlite::params;

use super::database::Database;
use super::draw::{HEX, LOWER, NEWEST, Stream};
use super::generate::GenerateError;
use super::kind::host;
use super::making::Making;
use super::{secrets, words};

const PLACES: &str = "
CREATE TABLE moz_origins (id INTEGER PRIMARY KEY, prefix TEXT NOT NULL, host TEXT NOT NULL, frecency INTEGER NOT NULL,
  recalc_frecency INTEGER NOT NULL DEFAULT 0, alt_frecency INTEGER, recalc_alt_frecency INTEGER NOT NULL DEFAULT 0,
  UNIQUE (prefix, host));
CREATE TABLE moz_places (id INTEGER PRIMARY KEY, url LONGVARCHAR, title LONGVARCHAR, rev_host LONGVARCHAR,
  visit_count INTEGER DEFAULT 0, hidden INTEGER DEFAULT 0 NOT NULL, typed INTEGER DEFAULT 0 NOT NULL,
  frecency INTEGER DEFAULT -1 NOT NULL, last_visit_date INTEGER, guid TEXT, foreign_count INTEGER DEFAULT 0 NOT NULL,
  url_hash INTEGER DEFAULT 0 NOT NULL, description TEXT, preview_image_url TEXT, site_name TEXT,
  origin_id INTEGER REFERENCES moz_origins(id), recalc_frecency INTEGER NOT NULL DEFAULT 0, alt_frecency INTEGER,
  recalc_alt_frecency INTEGER NOT NULL DEFAULT 0);
CREATE TABLE moz_historyvisits (id INTEGER PRIMARY KEY, from_visit INTEGER, place_id INTEGER, visit_date INTEGER,
  visit_type INTEGER, session INTEGER, source INTEGER DEFAULT 0 NOT NULL, triggeringPlaceId INTEGER);
CREATE TABLE moz_bookmarks (id INTEGER PRIMARY KEY, type INTEGER, fk INTEGER DEFAULT NULL, parent INTEGER,
  position INTEGER, title LONGVARCHAR, keyword_id INTEGER, folder_type TEXT, dateAdded INTEGER, lastModified INTEGER,
  guid TEXT, syncStatus INTEGER NOT NULL DEFAULT 0, syncChangeCounter INTEGER NOT NULL DEFAULT 1);
CREATE INDEX moz_places_url_hashindex ON moz_places (url_hash);
CREATE UNIQUE INDEX moz_places_guid_uniqueindex ON moz_places (guid);
PRAGMA user_version = 77;";

const COOKIES: &str = "
CREATE TABLE moz_cookies (id INTEGER PRIMARY KEY, originAttributes TEXT NOT NULL DEFAULT '', name TEXT, value TEXT,
  host TEXT, path TEXT, expiry INTEGER, lastAccessed INTEGER, creationTime INTEGER, isSecure INTEGER,
  isHttpOnly INTEGER, inBrowserElement INTEGER DEFAULT 0, sameSite INTEGER DEFAULT 0, rawSameSite INTEGER DEFAULT 0,
  schemeMap INTEGER DEFAULT 0, CONSTRAINT moz_uniqueid UNIQUE (name, host, path, originAttributes));
PRAGMA user_version = 12;";

/// How many of the visited sites have a stored login; every second has a cookie.
const LOGINS: usize = 5;

pub(super) fn firefox(making: &mut Making<'_, '_>) -> Result<(), GenerateError> {
    making.directory("", 0o700);
    let profile = format!("{}.default-release", making.draw.stream.text(8, LOWER));
    making.directory(&profile, 0o700);
    let hosts: Vec<String> =
        (0..making.rows()).map(|at| making.draw.mark(&format!(".history[{at}].host"), host)).collect();

    let ini = format!(
        "[Install4F96D1932A9F858E]\nDefault={profile}\nLocked=1\n\n[Profile0]\nName=default-release\nIsRelative=1\n\
         Path={profile}\nDefault=1\n\n[General]\nStartWithLastProfile=1\nVersion=2\n"
    );
    making.below("profiles.ini", ini.into_bytes(), 0o644);
    let places = places(making, &hosts)?;
    making.below(&format!("{profile}/places.sqlite"), places, 0o644);
    let cookies = cookies(making, &hosts)?;
    making.below(&format!("{profile}/cookies.sqlite"), cookies, 0o644);
    let logins = logins(making, &hosts);
    making.below(&format!("{profile}/logins.json"), logins.into_bytes(), 0o600);
    Ok(())
}

fn places(making: &mut Making<'_, '_>, hosts: &[String]) -> Result<Vec<u8>, GenerateError> {
    let database = Database::new(PLACES)?;
    for (at, host) in hosts.iter().enumerate() {
        let id = at as i64 + 1;
        let stream = &mut making.draw.stream;
        let url = format!("https://{host}/{}", stream.word(words::PAGES));
        let reversed: String = host.chars().rev().chain(['.']).collect();
        let visits = stream.amount(1, 90);
        let last = stream.past() * 1_000_000;
        let title = host.split('.').next().unwrap_or(host);
        let guid = BASE64URL_NOPAD.encode(&stream.bytes::<9>());
        database.insert(
            "INSERT INTO moz_origins (id, prefix, host, frecency) VALUES (?, 'https://', ?, ?)",
            params![id, host, visits * 100],
        )?;
        database.insert(
            "INSERT INTO moz_places (id, url, title, rev_host, visit_count, frecency, last_visit_date, guid, url_hash, origin_id)
             VALUES (?,?,?,?,?,?,?,?,?,?)",
            params![id, url, title, reversed, visits, visits * 100, last, guid, url_hash(&url), id],
        )?;
        database.insert(
            "INSERT INTO moz_historyvisits (id, from_visit, place_id, visit_date, visit_type, session) VALUES (?,0,?,?,1,0)",
            params![id, id, last],
        )?;
    }
    Ok(database.into_bytes()?)
}

fn cookies(making: &mut Making<'_, '_>, hosts: &[String]) -> Result<Vec<u8>, GenerateError> {
    let database = Database::new(COOKIES)?;
    for (at, host) in hosts.iter().step_by(2).enumerate() {
        let value = secrets::cookie(making, &format!(".cookies[{at}].value"));
        let made = making.draw.stream.past();
        database.insert(
            "INSERT INTO moz_cookies (id, name, value, host, path, expiry, lastAccessed, creationTime, isSecure, isHttpOnly,
             schemeMap) VALUES (?, 'session', ?, ?, '/', ?, ?, ?, 1, 1, 2)",
            params![at as i64 + 1, value, host, NEWEST + 10 * 365 * 86_400, (made + 4_000) * 1_000_000, made * 1_000_000],
        )?;
    }
    Ok(database.into_bytes()?)
}

fn logins(making: &mut Making<'_, '_>, hosts: &[String]) -> String {
    let mut entries = Vec::new();
    for (at, host) in hosts.iter().take(LOGINS).enumerate() {
        let user = making.draw.mark(&format!(".logins[{at}].encryptedUsername"), sealed);
        let password = making.draw.mark(&format!(".logins[{at}].encryptedPassword"), sealed);
        let stream = &mut making.draw.stream;
        let guid = [8, 4, 4, 4, 12].map(|digits| stream.text(digits, HEX)).join("-");
        let time = stream.past() * 1000;
        entries.push(format!(
            r#"{{"id":{},"hostname":"https://{host}","httpRealm":null,"formSubmitURL":"https://{host}","usernameField":"email","passwordField":"password","encryptedUsername":"{user}","encryptedPassword":"{password}","guid":"{{{guid}}}","encType":1,"timeCreated":{time},"timeLastUsed":{time},"timePasswordChanged":{time},"timesUsed":{},"syncCounter":1,"everSynced":false,"encryptedUnknownFields":null}}"#,
            at + 1,
            stream.between(1, 60)
        ));
    }
    format!(
        r#"{{"nextId":{},"logins":[{}],"potentiallyVulnerablePasswords":[],"dismissedBreachAlertsByLoginGUID":{{}},"version":3}}"#,
        entries.len() + 1,
        entries.join(",")
    )
}

/// The form in which NSS stores a login (`PK11SDR_Encrypt`): key id, algorithm (DES-EDE3-CBC)
/// with its vector, cipher text.
fn sealed(stream: &mut Stream) -> String {
    let mut der = b"\x30\x3a\x04\x10\xf8\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x01".to_vec();
    der.extend(b"\x30\x14\x06\x08\x2a\x86\x48\x86\xf7\x0d\x03\x07\x04\x08");
    der.extend(stream.bytes::<8>());
    der.extend(b"\x04\x10");
    der.extend(stream.bytes::<16>());
    BASE64.encode(&der)
}

/// The hash by which Places finds an address: 16 bits of its scheme's over 32 of its own.
fn url_hash(url: &str) -> i64 {
    let hash = |text: &str| {
        text.bytes().fold(0_u32, |hash, byte| (hash.rotate_left(5) ^ u32::from(byte)).wrapping_mul(0x9E37_79B9))
    };
    let scheme = url.split(':').next().unwrap_or_default();
    (i64::from(hash(scheme) & 0xFFFF) << 32) + i64::from(hash(url))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn https_addresses_share_the_upper_bits() {
        // 47,356,xxx,xxx,xxx: the range that every https row of a real places.sqlite lies in.
        assert_eq!(url_hash("https://a.example/") >> 32, url_hash("https://b.example/") >> 32);
        assert_ne!(url_hash("https://a.example/"), url_hash("https://b.example/"));
        assert_eq!(url_hash("https://a.example/") / 1_000_000_000_000, 47);
    }
}
