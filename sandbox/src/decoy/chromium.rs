//! A Chromium profile: cookies, history and logins with the browser's own tables.
//!
//! Cookies stand in plain `value` columns, as a Chromium without a key store writes them. Stored
//! passwords have the `v10` prefix and the length of real ones, but no key decrypts them: they
//! are markers as they stand.

use rusqlite::params;

use super::database::Database;
use super::draw::{HEX, NEWEST};
use super::generate::GenerateError;
use super::kind::host;
use super::making::Making;
use super::{secrets, words};

const META: &str = "CREATE TABLE meta (key LONGVARCHAR NOT NULL UNIQUE PRIMARY KEY, value LONGVARCHAR);";

const COOKIES: &str = "
CREATE TABLE cookies (creation_utc INTEGER NOT NULL, host_key TEXT NOT NULL, top_frame_site_key TEXT NOT NULL,
  name TEXT NOT NULL, value TEXT NOT NULL, encrypted_value BLOB NOT NULL, path TEXT NOT NULL, expires_utc INTEGER NOT NULL,
  is_secure INTEGER NOT NULL, is_httponly INTEGER NOT NULL, last_access_utc INTEGER NOT NULL, has_expires INTEGER NOT NULL,
  is_persistent INTEGER NOT NULL, priority INTEGER NOT NULL, samesite INTEGER NOT NULL, source_scheme INTEGER NOT NULL,
  source_port INTEGER NOT NULL, last_update_utc INTEGER NOT NULL, source_type INTEGER NOT NULL,
  has_cross_site_ancestor INTEGER NOT NULL);
CREATE UNIQUE INDEX cookies_unique_index ON cookies (host_key, top_frame_site_key, has_cross_site_ancestor, name, path,
  source_scheme, source_port);
INSERT INTO meta VALUES ('version', '24'), ('last_compatible_version', '24');";

const HISTORY: &str = "
CREATE TABLE urls (id INTEGER PRIMARY KEY AUTOINCREMENT, url LONGVARCHAR, title LONGVARCHAR,
  visit_count INTEGER DEFAULT 0 NOT NULL, typed_count INTEGER DEFAULT 0 NOT NULL, last_visit_time INTEGER NOT NULL,
  hidden INTEGER DEFAULT 0 NOT NULL);
CREATE TABLE visits (id INTEGER PRIMARY KEY AUTOINCREMENT, url INTEGER NOT NULL, visit_time INTEGER NOT NULL,
  from_visit INTEGER, external_referrer_url TEXT, transition INTEGER DEFAULT 0 NOT NULL, segment_id INTEGER,
  visit_duration INTEGER DEFAULT 0 NOT NULL, incremented_omnibox_typed_score BOOLEAN DEFAULT FALSE NOT NULL,
  opener_visit INTEGER, originator_cache_guid TEXT, originator_visit_id INTEGER, originator_from_visit INTEGER,
  originator_opener_visit INTEGER, is_known_to_sync BOOLEAN DEFAULT FALSE NOT NULL,
  consider_for_ntp_most_visited BOOLEAN DEFAULT FALSE NOT NULL, visited_link_id INTEGER DEFAULT 0 NOT NULL, app_id TEXT);
CREATE INDEX visits_url_index ON visits (url);
CREATE INDEX urls_url_index ON urls (url);
INSERT INTO meta VALUES ('version', '70'), ('last_compatible_version', '16');";

const LOGIN_DATA: &str = "
CREATE TABLE logins (origin_url VARCHAR NOT NULL, action_url VARCHAR, username_element VARCHAR, username_value VARCHAR,
  password_element VARCHAR, password_value BLOB, submit_element VARCHAR, signon_realm VARCHAR NOT NULL,
  date_created INTEGER NOT NULL, blacklisted_by_user INTEGER NOT NULL, scheme INTEGER NOT NULL, password_type INTEGER,
  times_used INTEGER, form_data BLOB, display_name VARCHAR, icon_url VARCHAR, federation_url VARCHAR,
  skip_zero_click INTEGER, generation_upload_status INTEGER, possible_username_pairs BLOB,
  id INTEGER PRIMARY KEY AUTOINCREMENT, date_last_used INTEGER NOT NULL DEFAULT 0, moving_blocked_for BLOB,
  date_password_modified INTEGER NOT NULL DEFAULT 0, sender_email VARCHAR, sender_name VARCHAR, date_received INTEGER,
  sharing_notification_displayed INTEGER NOT NULL DEFAULT 0, keychain_identifier BLOB, sender_profile_image_url VARCHAR,
  date_last_filled INTEGER NOT NULL DEFAULT 0, actor_login_approved INTEGER NOT NULL DEFAULT 0,
  UNIQUE (origin_url, username_element, username_value, password_element, signon_realm));
CREATE INDEX logins_signon ON logins (signon_realm);
INSERT INTO meta VALUES ('version', '43'), ('last_compatible_version', '40');";

/// How many of the visited sites have a stored login; every second has a cookie.
const LOGINS: usize = 5;

pub(super) fn chromium(making: &mut Making<'_, '_>) -> Result<(), GenerateError> {
    making.directory("", 0o700);
    making.directory("Default", 0o700);
    let hosts: Vec<String> =
        (0..making.rows()).map(|at| making.draw.mark(&format!(".history[{at}].host"), host)).collect();

    let state = format!(
        r#"{{"profile":{{"info_cache":{{"Default":{{"name":"{}","is_using_default_name":false,"user_name":""}}}},"last_used":"Default","profiles_created":1}},"user_experience_metrics":{{"low_entropy_source3":{}}}}}"#,
        making.user.name,
        making.draw.stream.below(8000)
    );
    making.below("Local State", state.into_bytes(), 0o600);
    let history = history(making, &hosts)?;
    making.below("Default/History", history, 0o600);
    let cookies = cookies(making, &hosts)?;
    making.below("Default/Cookies", cookies, 0o600);
    let logins = logins(making, &hosts)?;
    making.below("Default/Login Data", logins, 0o600);
    Ok(())
}

/// Chromium counts microseconds since 1601-01-01.
fn chromium_time(seconds: i64) -> i64 {
    (seconds + 11_644_473_600) * 1_000_000
}

fn history(making: &mut Making<'_, '_>, hosts: &[String]) -> Result<Vec<u8>, GenerateError> {
    let database = Database::new(&[META, HISTORY].concat())?;
    for (at, host) in hosts.iter().enumerate() {
        let stream = &mut making.draw.stream;
        let url = format!("https://{host}/{}?id={}", stream.word(words::PAGES), stream.text(6, HEX));
        let title = host.split('.').next().unwrap_or(host);
        let last = chromium_time(stream.past());
        database.insert(
            "INSERT INTO urls (id, url, title, visit_count, typed_count, last_visit_time) VALUES (?,?,?,?,?,?)",
            params![at as i64 + 1, url, title, stream.amount(1, 80), stream.amount(0, 9), last],
        )?;
        database.insert(
            "INSERT INTO visits (url, visit_time, from_visit, transition, visit_duration) VALUES (?, ?, 0, 805306368, ?)",
            params![at as i64 + 1, last, stream.amount(1_000_000, 400_000_000)],
        )?;
    }
    Ok(database.into_bytes()?)
}

fn cookies(making: &mut Making<'_, '_>, hosts: &[String]) -> Result<Vec<u8>, GenerateError> {
    let database = Database::new(&[META, COOKIES].concat())?;
    for (at, host) in hosts.iter().step_by(2).enumerate() {
        let value = secrets::cookie(making, &format!(".cookies[{at}].value"));
        let made = making.draw.stream.past();
        database.insert(
            "INSERT INTO cookies VALUES (?, ?, '', 'sid', ?, x'', '/', ?, 1, 1, ?, 1, 1, 1, -1, 2, 443, ?, 0, 0)",
            params![
                chromium_time(made),
                host,
                value,
                chromium_time(NEWEST + 10 * 365 * 86_400),
                chromium_time(made + 9_000),
                chromium_time(made)
            ],
        )?;
    }
    Ok(database.into_bytes()?)
}

fn logins(making: &mut Making<'_, '_>, hosts: &[String]) -> Result<Vec<u8>, GenerateError> {
    let database = Database::new(&[META, LOGIN_DATA].concat())?;
    for (at, host) in hosts.iter().take(LOGINS).enumerate() {
        let user = secrets::login(making, &format!(".logins[{at}].username_value"));
        let password = loop {
            let value = [b"v10".as_slice(), &making.draw.stream.bytes::<32>()].concat();
            if making.draw.keep(&format!(".logins[{at}].password_value"), &value) {
                break value;
            }
        };
        let made = chromium_time(making.draw.stream.past());
        let origin = format!("https://{host}/");
        database.insert(
            "INSERT INTO logins (origin_url, action_url, username_element, username_value, password_element, password_value,
             submit_element, signon_realm, date_created, blacklisted_by_user, scheme, password_type, times_used, date_last_used)
             VALUES (?, ?, 'email', ?, 'password', ?, '', ?, ?, 0, 0, 0, ?, ?)",
            params![origin, origin, user, password, origin, made, making.draw.stream.amount(1, 50), made],
        )?;
    }
    Ok(database.into_bytes()?)
}
