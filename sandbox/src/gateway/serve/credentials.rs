//! Names and secrets that a request presents: to be compared with the planted ones.

use data_encoding::BASE64;
use http::{HeaderMap, HeaderValue, Request, header};

/// Most that one request presents.
const MOST: usize = 32;

/// Scheme, name and secret of each.
pub(super) fn of<B>(request: &Request<B>) -> Vec<(&'static str, String, Vec<u8>)> {
    let mut found = Vec::new();
    if let Some(authority) = request.uri().authority()
        && let Some((user, _)) = authority.as_str().rsplit_once('@')
    {
        found.push(named("url", user.as_bytes()));
    }
    let headers = request.headers();
    for name in [header::AUTHORIZATION, header::PROXY_AUTHORIZATION] {
        found.extend(headers.get_all(name).iter().filter_map(authorization));
    }
    found.extend(cookies(headers));
    for name in ["x-api-key", "api-key", "apikey", "x-auth-token", "private-token", "x-access-token"] {
        found.extend(headers.get_all(name).iter().map(|value| ("key", name.to_owned(), value.as_bytes().to_vec())));
    }
    found.truncate(MOST);
    found
}

/// `name:secret`.
fn named(scheme: &'static str, pair: &[u8]) -> (&'static str, String, Vec<u8>) {
    let colon = pair.iter().position(|byte| *byte == b':');
    let name = pair.get(..colon.unwrap_or(pair.len())).unwrap_or(pair);
    (scheme, String::from_utf8_lossy(name).into_owned(), pair.to_vec())
}

fn authorization(value: &HeaderValue) -> Option<(&'static str, String, Vec<u8>)> {
    let bytes = value.as_bytes();
    let space = bytes.iter().position(|byte| *byte == b' ')?;
    let (scheme, rest) = (bytes.get(..space)?, bytes.get(space + 1..)?.trim_ascii());
    if scheme.eq_ignore_ascii_case(b"basic") {
        let decoded = BASE64.decode(rest).unwrap_or_else(|_| rest.to_vec());
        return Some(named("basic", &decoded));
    }
    if scheme.eq_ignore_ascii_case(b"bearer") {
        return Some(("bearer", String::new(), rest.to_vec()));
    }
    if scheme.eq_ignore_ascii_case(b"digest") {
        let text = String::from_utf8_lossy(rest);
        let user = text.split("username=\"").nth(1).and_then(|rest| rest.split('"').next()).unwrap_or_default();
        return Some(("digest", user.to_owned(), rest.to_vec()));
    }
    Some(("other", String::from_utf8_lossy(scheme).into_owned(), rest.to_vec()))
}

fn cookies(headers: &HeaderMap) -> impl Iterator<Item = (&'static str, String, Vec<u8>)> {
    headers.get_all(header::COOKIE).iter().flat_map(|value| value.as_bytes().split(|byte| *byte == b';')).filter_map(
        |cookie| {
            let cookie = cookie.trim_ascii();
            let equals = cookie.iter().position(|byte| *byte == b'=')?;
            let (name, value) = (cookie.get(..equals)?, cookie.get(equals + 1..)?);
            Some(("cookie", String::from_utf8_lossy(name).into_owned(), value.to_vec()))
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_request_presents_is_found() {
        let request = Request::builder()
            .uri("http://anna:s3cret@files.example.com/x")
            .header("authorization", "Basic YW5uYTpodW50ZXIy")
            .header("cookie", "sid=abc; theme=dark")
            .header("X-API-Key", "k-1")
            .body(())
            .expect("a request");
        let found = of(&request);
        let found: Vec<_> = found.iter().map(|(s, n, v)| (*s, n.as_str(), v.as_slice())).collect();
        assert_eq!(
            found,
            [
                ("url", "anna", &b"anna:s3cret"[..]),
                ("basic", "anna", b"anna:hunter2"),
                ("cookie", "sid", b"abc"),
                ("cookie", "theme", b"dark"),
                ("key", "x-api-key", b"k-1"),
            ]
        );
        let bearer = Request::builder().header("authorization", "bearer tok").body(()).expect("a request");
        assert_eq!(of(&bearer), [("bearer", String::new(), b"tok".to_vec())]);
    }
}
