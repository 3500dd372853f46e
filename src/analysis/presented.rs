//! Passwords that are presented without being said: HTTP's Digest (RFC 7616, and RFC 2069 before it)
//! sends a digest of the password and of what the server asked for. Made again with each planted
//! value, the same digest comes out of one only.

use belljar_sandbox::decoy::Asset;
use data_encoding::HEXLOWER;

use super::digests;
use super::encoding::Encoding;
use super::matcher::{MIN_MARKER, MarkerId};
use crate::store::AssetSet;

/// Methods that a request may have had: it is part of what is digested. The first is by far the most frequent.
const METHODS: [&str; 11] =
    ["GET", "POST", "HEAD", "PUT", "DELETE", "PATCH", "OPTIONS", "PROPFIND", "CONNECT", "MKCOL", "REPORT"];

/// The markers of which `header`, the fields of a Digest, was made as of passwords.
pub(super) fn in_digest(header: &[u8], assets: &[Asset]) -> Option<(MarkerId, Encoding)> {
    let fields = fields(header);
    let field = |name: &str| fields.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| *value);
    let (user, realm, nonce, uri) = (field("username")?, field("realm")?, field("nonce")?, field("uri")?);
    let response = field("response")?.to_ascii_lowercase();
    let algorithm = field("algorithm").unwrap_or("MD5").to_ascii_uppercase();
    let (which, length) = match algorithm.trim_end_matches("-SESS") {
        "MD5" => (Encoding::Md5, 16),
        "SHA-256" => (Encoding::Sha256, 32),
        _ => return None,
    };
    let hash = |parts: &[&str]| {
        let parts: Vec<&[u8]> = parts.iter().map(|part| part.as_bytes()).collect();
        HEXLOWER.encode(digests::digest(which, &parts).get(..length).unwrap_or_default())
    };
    let asked = match (field("qop"), field("nc"), field("cnonce")) {
        (Some(qop), Some(count), Some(own)) => format!(":{nonce}:{count}:{own}:{qop}:"),
        _ => format!(":{nonce}:"),
    };
    let requests = METHODS.map(|method| hash(&[method, ":", uri]));
    for (asset, planted) in assets.iter().enumerate().take(AssetSet::CAPACITY) {
        for (marker, planted) in planted.markers.iter().enumerate() {
            let Some(password) = Some(&planted.value).filter(|value| value.len() >= MIN_MARKER) else { continue };
            let Ok(password) = std::str::from_utf8(password) else { continue };
            let mut secret = hash(&[user, ":", realm, ":", password]);
            if algorithm.ends_with("-SESS") {
                secret = hash(&[&secret, ":", nonce, ":", field("cnonce")?]);
            }
            if requests.iter().any(|request| hash(&[&secret, &asked, request]) == response) {
                return Some((MarkerId { asset, marker }, which));
            }
        }
    }
    None
}

/// `name=value` and `name="value"`, with commas between them.
fn fields(header: &[u8]) -> Vec<(&str, &str)> {
    let mut rest = std::str::from_utf8(header).unwrap_or_default();
    let mut fields = Vec::new();
    while let Some((name, after)) = rest.split_once('=') {
        let (value, next) = match after.strip_prefix('"') {
            Some(quoted) => quoted.split_once('"').unwrap_or((quoted, "")),
            None => after.split_at(after.find(',').unwrap_or(after.len())),
        };
        fields.push((name.trim(), value.trim()));
        rest = next.trim_start().trim_start_matches(',');
    }
    fields
}

#[cfg(test)]
mod tests {
    use super::*;
    use belljar_sandbox::decoy::Marker;

    fn assets(value: &str) -> Vec<Asset> {
        let markers = vec![Marker { name: String::new(), value: value.into() }];
        vec![Asset { name: "a".into(), class: "b".into(), paths: Vec::new(), variables: Vec::new(), markers }]
    }

    /// The examples of RFC 7616, 3.9.1, and of RFC 2617, 3.5.
    #[test]
    fn the_examples_of_the_standards() {
        let new = |algorithm, response| {
            format!(
                "username=\"Mufasa\", realm=\"http-auth@example.org\", uri=\"/dir/index.html\", algorithm={algorithm}, \
                 nonce=\"7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v\", nc=00000001, \
                 cnonce=\"f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ\", qop=auth, response=\"{response}\", \
                 opaque=\"FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS\""
            )
        };
        let old = "username=\"Mufasa\", realm=\"testrealm@host.com\", nonce=\"dcd98b7102dd2f0e8b11d0f600bfb0c093\", \
                   uri=\"/dir/index.html\", qop=auth, nc=00000001, cnonce=\"0a4f113b\", \
                   response=\"6629fae49393a05397450978507c4ef1\"";
        let id = MarkerId { asset: 0, marker: 0 };
        let md5 = new("MD5", "8ca523f5e9506fed4657c9700eebdbec");
        let sha = new("SHA-256", "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1");
        let circle = assets("Circle of Life");
        assert_eq!(in_digest(md5.as_bytes(), &circle), Some((id, Encoding::Md5)));
        assert_eq!(in_digest(sha.as_bytes(), &circle), Some((id, Encoding::Sha256)));
        assert_eq!(in_digest(old.as_bytes(), &assets("Circle Of Life")), Some((id, Encoding::Md5)));
        assert_eq!(in_digest(md5.as_bytes(), &assets("Circle of Lies")), None);
        for broken in ["", "=", "username=\"", "username=x,realm=y,nonce=z,uri=u,response=\"", "a=b=c\",,="] {
            assert_eq!(in_digest(broken.as_bytes(), &circle), None);
        }
    }
}
