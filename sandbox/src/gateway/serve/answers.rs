//! What HTTP requests are answered: what the profile's routes say, else what software of that sort expects, so that it
//! goes on: an empty object where JSON is asked for, an empty index where a package index is, a page, a picture.

use std::sync::Arc;

use bytes::Bytes;
use data_encoding::BASE64URL_NOPAD;
use http::header::{self, HeaderName, HeaderValue};
use http::request::Parts;
use http::{Method, Response, StatusCode};
use http_body_util::Full;

use super::http::Target;

/// An answer that the profile defines. Patterns have `*` for any characters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// Hosts, without port.
    pub host: String,
    /// Paths, with query.
    pub path: String,
    /// Method; any when empty.
    pub method: String,
    /// Status.
    pub status: u16,
    /// Header fields.
    pub headers: Vec<(String, String)>,
    /// Body.
    pub body: Arc<[u8]>,
}

/// A GIF and a PNG of one transparent pixel.
const GIF: &[u8] =
    b"GIF89a\x01\0\x01\0\x80\0\0\0\0\0\xff\xff\xff!\xf9\x04\x01\0\0\0\0,\0\0\0\0\x01\0\x01\0\0\x02\x01D\0;";
const PNG: &[u8] = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x01\0\0\0\x01\x08\x06\0\0\0\x1f\x15\xc4\x89\0\0\0\rIDATx\xdac\xfc\xcf\xc0P\x0f\0\x04\x85\x01\x80\x84\xa9\x8c!\0\0\0\0IEND\xaeB`\x82";

type Answer = Response<Full<Bytes>>;

/// An answer of one type.
pub(super) fn plain(status: StatusCode, kind: &'static str, body: impl Into<Bytes>) -> Answer {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    if status != StatusCode::NO_CONTENT {
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    }
    response
}

/// The DNS question that a request carries (RFC 8484).
pub(super) fn question(head: &Parts, body: Option<&[u8]>) -> Option<Vec<u8>> {
    if let Some(body) = body.filter(|body| !body.is_empty()) {
        return Some(body.to_vec());
    }
    let query = head.uri.query().filter(|_| head.uri.path() == "/dns-query")?;
    let value = query.split('&').find_map(|pair| pair.strip_prefix("dns="))?;
    BASE64URL_NOPAD.decode(value.trim_end_matches('=').as_bytes()).ok()
}

/// The answer to a request.
pub(super) fn answer(routes: &[Route], head: &Parts, target: &Target) -> Answer {
    let host = target.host.rsplit_once(':').map_or(target.host.as_str(), |(host, _)| host);
    let route = routes.iter().find(|route| {
        fits(&route.host, host)
            && fits(&route.path, &target.path)
            && (route.method.is_empty() || route.method.eq_ignore_ascii_case(head.method.as_str()))
    });
    match route {
        Some(route) => routed(route),
        None => default(head, host, &target.path),
    }
}

fn routed(route: &Route) -> Answer {
    let mut response = Response::new(Full::new(Bytes::from_owner(Arc::clone(&route.body))));
    *response.status_mut() = StatusCode::from_u16(route.status).unwrap_or(StatusCode::OK);
    for (name, value) in &route.headers {
        // The profile's reader has looked at them; what is no header field is left out.
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(name.as_str()), HeaderValue::from_str(value)) {
            response.headers_mut().append(name, value);
        }
    }
    response
}

fn default(head: &Parts, host: &str, whole: &str) -> Answer {
    let path = whole.split('?').next().unwrap_or_default();
    let field = |name: HeaderName| head.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let (accept, kind, agent) = (field(header::ACCEPT), field(header::CONTENT_TYPE), field(header::USER_AGENT));
    let ends = |endings: &[&str]| endings.iter().any(|ending| path.to_ascii_lowercase().ends_with(ending));
    if head.method == Method::OPTIONS {
        return shared(plain(StatusCode::NO_CONTENT, "", ""));
    }
    if ends(&["/generate_204", "/gen_204"]) {
        return plain(StatusCode::NO_CONTENT, "", "");
    }
    if ends(&["/hotspot-detect.html"]) {
        return plain(
            StatusCode::OK,
            "text/html",
            "<HTML><HEAD><TITLE>Success</TITLE></HEAD><BODY>Success</BODY></HTML>",
        );
    }
    if ends(&["/connecttest.txt"]) {
        return plain(StatusCode::OK, "text/plain", "Microsoft Connect Test");
    }
    // Package indexes: none has any package.
    if accept.contains("application/vnd.pypi.simple.v1+json") {
        let name = path.trim_end_matches('/').rsplit('/').next().unwrap_or_default();
        let body = serde_json::json!({"meta": {"api-version": "1.0"}, "name": name, "files": []}).to_string();
        return plain(StatusCode::OK, "application/vnd.pypi.simple.v1+json", body);
    }
    if path.starts_with("/simple/") && agent.starts_with("pip") {
        return plain(StatusCode::OK, "text/html", "<!DOCTYPE html><html><body></body></html>");
    }
    if agent.starts_with("npm") || agent.starts_with("yarn") || agent.starts_with("pnpm") {
        if head.method == Method::GET && !path.starts_with("/-/") {
            return plain(StatusCode::NOT_FOUND, "application/json", r#"{"error":"Not found"}"#);
        }
        return plain(StatusCode::OK, "application/json", "{}");
    }
    if agent.starts_with("git/") || ends(&["/release", "/inrelease", "/release.gpg", "packages.gz", "packages.xz"]) {
        return plain(StatusCode::NOT_FOUND, "text/plain", "Not found\n");
    }
    if ends(&[".gif"]) {
        return plain(StatusCode::OK, "image/gif", GIF);
    }
    if ends(&[".png", ".ico"]) || accept.starts_with("image/") {
        return plain(StatusCode::OK, "image/png", PNG);
    }
    if ends(&[".js", ".mjs"]) {
        return shared(plain(StatusCode::OK, "text/javascript", ""));
    }
    if ends(&[".css"]) {
        return plain(StatusCode::OK, "text/css", "");
    }
    if ends(&[".html", ".htm"]) || accept.contains("text/html") {
        let page = format!(
            "<!DOCTYPE html><html><head><title>{0}</title></head><body><h1>{0}</h1></body></html>\n",
            tame(host)
        );
        return plain(StatusCode::OK, "text/html; charset=utf-8", page);
    }
    if ends(&[".txt"]) {
        return plain(StatusCode::OK, "text/plain", "ok\n");
    }
    if ends(&[".xml"]) || kind.contains("xml") {
        return plain(StatusCode::OK, "application/xml", "<?xml version=\"1.0\" encoding=\"UTF-8\"?><response/>\n");
    }
    shared(plain(StatusCode::OK, "application/json", "{}\n"))
}

/// An answer that scripts of every page may read.
fn shared(mut answer: Answer) -> Answer {
    let headers = answer.headers_mut();
    for (name, value) in [
        (header::ACCESS_CONTROL_ALLOW_ORIGIN, "*"),
        (header::ACCESS_CONTROL_ALLOW_HEADERS, "*"),
        (header::ACCESS_CONTROL_ALLOW_METHODS, "GET, HEAD, POST, PUT, PATCH, DELETE"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    answer
}

/// A host name for a page: nothing that a page would take for more.
fn tame(host: &str) -> String {
    host.chars().filter(|c| c.is_ascii_alphanumeric() || ".-".contains(*c)).take(253).collect()
}

/// Whether `text` is `pattern`, with `*` for any characters.
fn fits(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('*');
    let Some(mut rest) = parts.next().and_then(|first| text.strip_prefix(first)) else { return false };
    let mut parts = parts.peekable();
    if parts.peek().is_none() {
        return rest.is_empty();
    }
    while let Some(part) = parts.next() {
        if parts.peek().is_none() {
            return rest.ends_with(part);
        }
        let Some(at) = rest.find(part) else { return false };
        rest = rest.get(at + part.len()..).unwrap_or_default();
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(method: Method, path: &str, headers: &[(&str, &str)], routes: &[Route]) -> (u16, String) {
        let mut request = http::Request::builder().method(method).uri(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let (head, ()) = request.body(()).expect("a request").into_parts();
        let target = Target { scheme: "https", host: "api.example.com:443".into(), path: path.into() };
        let response = answer(routes, &head, &target);
        let kind = response.headers().get("content-type").map(|kind| kind.to_str().expect("text").to_owned());
        (response.status().as_u16(), kind.unwrap_or_default())
    }

    #[test]
    fn software_gets_what_it_expects() {
        let get = |path: &str, headers: &[(&str, &str)]| ask(Method::GET, path, headers, &[]);
        assert_eq!(get("/generate_204", &[]), (204, String::new()));
        assert_eq!(get("/v1/x", &[("accept", "application/json")]), (200, "application/json".into()));
        assert_eq!(get("/", &[("accept", "text/html,*/*")]).1, "text/html; charset=utf-8");
        assert_eq!(get("/logo.png?x=1", &[]).1, "image/png");
        assert_eq!(get("/left-pad", &[("user-agent", "npm/10")]).0, 404);
        let pypi = "application/vnd.pypi.simple.v1+json";
        assert_eq!(get("/simple/six/", &[("accept", pypi)]), (200, pypi.into()));
    }

    #[test]
    fn routes_of_the_profile_come_first() {
        let route = Route {
            host: "*.example.com".into(),
            path: "/v1/*".into(),
            method: "POST".into(),
            status: 402,
            headers: vec![("content-type".into(), "text/x".into())],
            body: Arc::from(*b"pay"),
        };
        assert_eq!(ask(Method::POST, "/v1/licence", &[], std::slice::from_ref(&route)), (402, "text/x".into()));
        assert_eq!(ask(Method::GET, "/v1/licence", &[], &[route]).0, 200);
    }
}
