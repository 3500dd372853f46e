//! Who is spoken to where there is no gateway: a server of blocking threads, with TLS for the transfer that nobody
//! intercepts, without for what stands behind mitmdump.

use std::io::{self, Read, Write};
use std::net::TcpListener;
use std::path::Path;
use std::sync::Arc;

use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::{ServerConfig, ServerConnection};

use super::client::{NAME, Wire, body};

/// `server (plain|tls) PORT DIR`; the certificate that is to be trusted is written to `DIR/direct.pem`.
pub(crate) fn main(args: &[String]) {
    let [what, port, dir] = args else { panic!("server (plain|tls) PORT DIR") };
    let config = (what == "tls").then(|| Arc::new(config(Path::new(dir))));
    let listener = TcpListener::bind(("0.0.0.0", port.parse().expect("a port"))).expect("bind");
    println!("ready");
    let bulk: Arc<[u8]> = body().into();
    for socket in listener.incoming().flatten() {
        let (config, bulk) = (config.clone(), Arc::clone(&bulk));
        std::thread::spawn(move || {
            let _ = socket.set_nodelay(true);
            // A client that goes away is one that has what it wanted.
            let _ = match config {
                Some(config) => ServerConnection::new(config)
                    .map_err(io::Error::other)
                    .and_then(|tls| serve(rustls::StreamOwned::new(tls, Wire::new(socket, 128 << 10)), &bulk)),
                None => serve(socket, &bulk),
            };
        });
    }
}

fn config(dir: &Path) -> ServerConfig {
    let made = rcgen::generate_simple_self_signed([NAME.to_owned()]).expect("a certificate");
    std::fs::write(dir.join("direct.pem"), made.cert.pem()).expect("write");
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(made.signing_key.serialize_der()));
    ServerConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .expect("a configuration")
}

fn serve(mut stream: impl Read + Write, bulk: &[u8]) -> io::Result<()> {
    let mut buffer = vec![0; 64 << 10];
    let mut have = 0;
    loop {
        let end = loop {
            if let Some(end) = buffer[..have].windows(4).position(|four| four == b"\r\n\r\n") {
                break end + 4;
            }
            match stream.read(&mut buffer[have..])? {
                0 => return Ok(()),
                n => have += n,
            }
        };
        let head = String::from_utf8_lossy(&buffer[..end]).to_ascii_lowercase();
        let length: usize =
            head.lines().find_map(|line| line.strip_prefix("content-length:")?.trim().parse().ok()).unwrap_or_default();
        let mut left = length.saturating_sub(have - end);
        buffer.copy_within(have.min(end + length)..have, 0);
        have = have.saturating_sub(end + length);
        while left > 0 {
            let room = buffer.len().min(left);
            match stream.read(&mut buffer[..room])? {
                0 => return Ok(()),
                n => left -= n,
            }
        }
        let body = if head.starts_with("get /bulk") { bulk } else { b"{}\n" };
        let close = head.contains("connection: close");
        let answer = format!(
            "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {}\r\nConnection: {}\r\n\r\n",
            body.len(),
            if close { "close" } else { "keep-alive" }
        );
        stream.write_all(answer.as_bytes())?;
        stream.write_all(body)?;
        stream.flush()?;
        if close {
            return Ok(());
        }
    }
}
