//! Keys, passwords and tokens, in the files and variables where software looks for them.

use std::fmt::Write as _;

use data_encoding::BASE64;
use ssh_key::private::{Ed25519Keypair, KeypairData};
use ssh_key::public::{Ed25519PublicKey, KeyData};
use ssh_key::{LineEnding, PrivateKey, PublicKey};

use super::draw::{ALPHANUMERIC, LOWER};
use super::generate::GenerateError;
use super::kind::{Token, account, host};
use super::making::Making;
use super::words;

/// `~/.ssh`: a key pair that works, and hosts it was used on.
pub(super) fn ssh_key(making: &mut Making<'_, '_>) -> Result<(), GenerateError> {
    making.directory("", 0o700);
    let pair = Ed25519Keypair::from_seed(&making.draw.stream.bytes());
    let comment = making.user.name.clone();
    let key = PrivateKey::new(KeypairData::Ed25519(pair), comment)?;
    let private = key.to_openssh(LineEnding::LF)?.to_string();
    // The first line of the body is the same in every such key: it holds only lengths and names.
    for (at, line) in private.lines().skip(2).filter(|line| line.len() > 16 && !line.starts_with('-')).enumerate() {
        making.draw.keep(&format!(".private[{at}]"), line.as_bytes());
    }
    let public = key.public_key().to_openssh()?;
    if let Some(body) = public.split(' ').nth(1) {
        making.draw.keep(".public", body.as_bytes());
    }
    let mut known = String::new();
    for at in 0..making.rows() {
        let host = making.draw.mark(&format!(".known_hosts[{at}].host"), host);
        let key = KeyData::Ed25519(Ed25519PublicKey(making.draw.stream.bytes()));
        let _ = writeln!(known, "{host} {}", PublicKey::new(key, "").to_openssh()?.trim_end());
    }
    making.below("id_ed25519", private.into_bytes(), 0o600);
    making.below("id_ed25519.pub", (public + "\n").into_bytes(), 0o644);
    making.below("known_hosts", known.into_bytes(), 0o600);
    Ok(())
}

/// `~/.aws/credentials`.
pub(super) fn aws_credentials(making: &mut Making<'_, '_>) {
    let mut text = String::new();
    for at in 0..making.rows() {
        let profile = match at {
            0 => "default".to_owned(),
            1 => "production".to_owned(),
            _ => format!("client{at}"),
        };
        let id = making.draw.mark(&format!("[{at}].aws_access_key_id"), |s| Token::AwsKeyId.draw(s));
        let secret = making.draw.mark(&format!("[{at}].aws_secret_access_key"), |s| Token::AwsSecret.draw(s));
        let _ = writeln!(text, "[{profile}]\naws_access_key_id = {id}\naws_secret_access_key = {secret}");
    }
    making.file(text.into_bytes(), 0o600);
}

/// `~/.netrc`: one line, the form that curl, ftp and Python read.
pub(super) fn netrc(making: &mut Making<'_, '_>) {
    let draw = &mut making.draw;
    let machine = draw.mark(".machine", host);
    let login = draw.mark(".login", |s| format!("svc-{}", account(s)));
    let password = draw.mark(".password", |s| Token::Password.draw(s));
    making.file(format!("machine {machine} login {login} password {password}\n").into_bytes(), 0o600);
}

/// `~/.git-credentials`: the store of `git credential-store`.
pub(super) fn git_credentials(making: &mut Making<'_, '_>) {
    let user = making.user.name.clone();
    let mut text = String::new();
    for at in 0..making.rows() {
        let draw = &mut making.draw;
        let (token, server) = if at == 0 {
            (Token::Github, "github.com".to_owned())
        } else {
            (Token::Gitlab, draw.mark(&format!("[{at}].host"), |s| format!("git-{}", host(s))))
        };
        let token = draw.mark(&format!("[{at}].token"), |s| token.draw(s));
        let _ = writeln!(text, "https://{user}:{token}@{server}");
    }
    making.file(text.into_bytes(), 0o600);
}

/// `~/.bash_history`: every third command carries values.
pub(super) fn bash_history(making: &mut Making<'_, '_>) {
    let user = making.user.name.clone();
    let mut text = String::new();
    for at in 0..making.rows() {
        let draw = &mut making.draw;
        if at % 3 != 1 {
            text.push_str(draw.stream.word(words::COMMANDS));
            text.push('\n');
            continue;
        }
        let host = draw.mark(&format!("[{at}].host"), host);
        let _ = match at / 3 % 4 {
            0 => {
                let password = draw.mark(&format!("[{at}].password"), |s| Token::Password.draw(s));
                writeln!(text, "mysql -h {host} -u reporting -p{password} clients")
            }
            1 => writeln!(text, "ssh {user}@{host}"),
            2 => {
                let token = draw.mark(&format!("[{at}].token"), |s| Token::Hex.draw(s));
                writeln!(text, "curl -H 'Authorization: Bearer {token}' https://{host}/v1/clients")
            }
            _ => writeln!(text, "scp Documents/customers.csv {user}@{host}:import/"),
        };
    }
    making.file(text.into_bytes(), 0o600);
}

/// Variables of the subject's environment.
pub(super) fn environment(making: &mut Making<'_, '_>) {
    making.variables = tokens(making);
}

/// The same in a file.
pub(super) fn dotenv(making: &mut Making<'_, '_>) {
    let mut text = String::from("APP_ENV=production\n");
    for (name, value) in tokens(making) {
        let _ = writeln!(text, "{name}={value}");
    }
    making.file(text.into_bytes(), 0o600);
}

fn tokens(making: &mut Making<'_, '_>) -> Vec<(String, String)> {
    let request = making.request;
    let draw = |(name, token): &(String, Token)| {
        let value = making.draw.mark(&format!(".{name}"), |stream| token.draw(stream));
        (name.clone(), value)
    };
    request.variables.iter().map(draw).collect()
}

/// A server's private key: PKCS #8 (RFC 8410) in PEM (RFC 7468). It is a valid Ed25519 key.
pub(super) fn tls_key(making: &mut Making<'_, '_>) {
    let body = making.draw.mark(".private", |stream| {
        // SEQUENCE, version 0, algorithm 1.3.101.112, OCTET STRING of an OCTET STRING of 32 bytes.
        let mut der = b"\x30\x2e\x02\x01\x00\x30\x05\x06\x03\x2b\x65\x70\x04\x22\x04\x20".to_vec();
        der.extend(stream.bytes::<32>());
        BASE64.encode(&der)
    });
    let text = format!("-----BEGIN PRIVATE KEY-----\n{body}\n-----END PRIVATE KEY-----\n");
    making.file(text.into_bytes(), 0o600);
}

/// The name and the secret of a web account.
pub(super) fn cookie(making: &mut Making<'_, '_>, field: &str) -> String {
    making.draw.mark(field, |stream| stream.text(32, ALPHANUMERIC))
}

/// The login name of a web account.
pub(super) fn login(making: &mut Making<'_, '_>, field: &str) -> String {
    let user = making.user.name.clone();
    making.draw.mark(field, |stream| format!("{user}.{}", stream.text(7, LOWER)))
}
