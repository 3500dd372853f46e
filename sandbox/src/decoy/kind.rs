//! The kinds of assets that can be planted, and the forms of single secrets: one table each, from
//! which the generator, the profiles' names and their help come.

use super::checks;
use super::draw::{ALPHANUMERIC, DIGITS, HEX, LOWER, Stream};
use super::person;
use super::words;

/// What an asset is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A table of persons as CSV.
    CustomersCsv,
    /// Letters of contract, one text file each.
    Contracts,
    /// A SQLite database of clients and invoices.
    ClientsDb,
    /// Address cards, one vCard file each.
    Vcards,
    /// An OpenSSH user key with its public half and known hosts.
    SshKey,
    /// An AWS credentials file.
    AwsCredentials,
    /// A netrc with one machine.
    Netrc,
    /// Credentials stored by git.
    GitCredentials,
    /// A shell's history.
    BashHistory,
    /// A Firefox profile: cookies, history, logins.
    Firefox,
    /// A Chromium profile: cookies, history, logins.
    Chromium,
    /// Secrets in the subject's environment.
    Environment,
    /// Secrets in a file of `NAME=value` lines.
    Dotenv,
    /// A private key for a server's TLS certificate (PKCS #8, PEM).
    TlsKey,
    /// A plain SQL dump of persons.
    SqlDump,
    /// A file of the profile's own, with markers that the profile names.
    File,
}

/// What a [`Kind`] plants at its path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// One file.
    File,
    /// Several files below a directory.
    Directory,
    /// Nothing: it stands in the environment.
    Environment,
}

/// One row of the table of kinds.
#[derive(Clone, Copy, Debug)]
pub struct KindInfo {
    /// The kind.
    pub kind: Kind,
    /// Its name in profiles.
    pub name: &'static str,
    /// The data class an asset of it has unless the profile says another.
    pub class: &'static str,
    /// Where it is planted.
    pub place: Place,
    /// How many entries it has unless the profile says so; `None` when it has no such number.
    pub rows: Option<u32>,
    /// One line of help.
    pub help: &'static str,
}

const fn row(
    kind: Kind,
    name: &'static str,
    class: &'static str,
    place: Place,
    rows: Option<u32>,
    help: &'static str,
) -> KindInfo {
    KindInfo { kind, name, class, place, rows, help }
}

/// The most entries an asset may have: names are drawn until one is free, so that there must be
/// many more names than rows.
pub const MOST_ROWS: u32 = 10_000;

/// Every kind.
pub const KINDS: &[KindInfo] = {
    use Place::{Directory, Environment, File};
    &[
        row(Kind::CustomersCsv, "customers-csv", "identity", File, Some(50), "persons as CSV; rows = persons"),
        row(Kind::Contracts, "contracts", "contract", Directory, Some(6), "contracts as text files; rows = files"),
        row(Kind::ClientsDb, "clients-db", "financial", File, Some(40), "SQLite clients and invoices; rows = clients"),
        row(Kind::Vcards, "vcards", "contact", Directory, Some(12), "address cards; rows = cards"),
        row(Kind::SshKey, "ssh-key", "secret", Directory, Some(4), "id_ed25519, .pub, known_hosts; rows = hosts"),
        row(Kind::AwsCredentials, "aws-credentials", "secret", File, Some(2), "rows = profiles in the file"),
        row(Kind::Netrc, "netrc", "secret", File, None, "one machine line"),
        row(Kind::GitCredentials, "git-credentials", "secret", File, Some(2), "rows = hosts"),
        row(Kind::BashHistory, "bash-history", "history", File, Some(60), "rows = commands, a third with values"),
        row(Kind::Firefox, "firefox", "history", Directory, Some(20), "cookies, history, logins; rows = visited pages"),
        row(
            Kind::Chromium,
            "chromium",
            "history",
            Directory,
            Some(20),
            "cookies, history, logins; rows = visited pages",
        ),
        row(Kind::Environment, "environment", "secret", Environment, None, "variables = { NAME = \"token\" }"),
        row(Kind::Dotenv, "dotenv", "secret", File, None, "NAME=value lines; variables = { NAME = \"token\" }"),
        row(Kind::TlsKey, "tls-key", "secret", File, None, "an Ed25519 private key, PKCS #8 in PEM"),
        row(Kind::SqlDump, "sql-dump", "identity", File, Some(50), "plain SQL dump of persons; rows = persons"),
        row(Kind::File, "file", "document", File, None, "your own file; content or source, markers"),
    ]
};

impl Kind {
    /// The kind's row of the table.
    pub fn info(self) -> &'static KindInfo {
        // Every kind has a row (tested); the first stands in so that nothing here can panic.
        KINDS.iter().find(|info| info.kind == self).unwrap_or(&KINDS[0])
    }

    /// The kind of that name.
    pub fn of(name: &str) -> Option<Self> {
        KINDS.iter().find(|info| info.name == name).map(|info| info.kind)
    }
}

/// The form of one secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Token {
    /// `AKIA` and 16 characters.
    AwsKeyId,
    /// 40 characters.
    AwsSecret,
    /// A GitHub personal token.
    Github,
    /// A GitLab personal token.
    Gitlab,
    /// A Slack bot token.
    Slack,
    /// A Stripe live key.
    Stripe,
    /// A JSON web token.
    Jwt,
    /// A PostgreSQL address with user and password.
    PostgresUrl,
    /// A password.
    Password,
    /// 40 hexadecimal digits.
    Hex,
}

/// Every form of a secret, with its name in profiles.
pub const TOKENS: &[(&str, Token)] = &[
    ("aws-key-id", Token::AwsKeyId),
    ("aws-secret", Token::AwsSecret),
    ("github", Token::Github),
    ("gitlab", Token::Gitlab),
    ("slack", Token::Slack),
    ("stripe", Token::Stripe),
    ("jwt", Token::Jwt),
    ("postgres-url", Token::PostgresUrl),
    ("password", Token::Password),
    ("hex", Token::Hex),
];

impl Token {
    /// The form of that name.
    pub fn of(name: &str) -> Option<Self> {
        TOKENS.iter().find(|(known, _)| *known == name).map(|(_, token)| *token)
    }

    /// The form's name.
    pub fn name(self) -> &'static str {
        TOKENS.iter().find(|(_, token)| *token == self).map_or("", |(name, _)| *name)
    }

    /// Draws one. The prefixes are those the issuers publish for secret scanners.
    pub(super) fn draw(self, stream: &mut Stream) -> String {
        let mut text = |count, alphabet| stream.text(count, alphabet);
        match self {
            // Base32, as the issuer's key ids are.
            Self::AwsKeyId => format!("AKIA{}", text(16, "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567")),
            Self::AwsSecret => text(40, ALPHANUMERIC),
            Self::Github => format!("ghp_{}", text(36, ALPHANUMERIC)),
            Self::Gitlab => format!("glpat-{}", text(20, ALPHANUMERIC)),
            Self::Slack => format!("xoxb-{}-{}-{}", text(12, DIGITS), text(12, DIGITS), text(24, ALPHANUMERIC)),
            Self::Stripe => format!("sk_live_{}", text(24, ALPHANUMERIC)),
            Self::Jwt => {
                let subject = text(10, DIGITS);
                let body = data_encoding::BASE64URL_NOPAD.encode(format!(r#"{{"sub":"{subject}"}}"#).as_bytes());
                let head = data_encoding::BASE64URL_NOPAD.encode(br#"{"alg":"HS256","typ":"JWT"}"#);
                format!("{head}.{body}.{}", text(43, ALPHANUMERIC))
            }
            Self::PostgresUrl => {
                let password = text(18, ALPHANUMERIC);
                format!("postgres://{}:{password}@{}:5432/clients", stream.word(&["app", "crm", "web"]), host(stream))
            }
            Self::Password => format!("{}-{}", text(6, ALPHANUMERIC), text(7, ALPHANUMERIC)),
            Self::Hex => text(40, HEX),
        }
    }
}

/// The name of a host that a client's staff or programs would use; unlikely to exist.
pub(super) fn host(stream: &mut Stream) -> String {
    let domain = person::domain(stream);
    format!("{}-{}.{domain}", stream.word(words::SITES), stream.text(4, LOWER))
}

/// A number with its Luhn digit: for account names.
pub(super) fn account(stream: &mut Stream) -> String {
    let digits = stream.text(9, DIGITS);
    let check = checks::luhn(&digits);
    format!("{digits}{check}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_stands_in_the_table_once() {
        for info in KINDS {
            assert_eq!(info.kind.info().name, info.name);
            assert_eq!(Kind::of(info.name), Some(info.kind));
        }
        assert_eq!(Kind::of("customers"), None);
    }

    #[test]
    fn every_token_has_a_name() {
        for (name, token) in TOKENS {
            assert_eq!(Token::of(name), Some(*token));
            assert_eq!(token.name(), *name);
            assert!(token.draw(&mut Stream::new(1, name)).len() >= 14);
        }
    }
}
