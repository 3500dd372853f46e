//! The load: blocking TLS clients on threads, which read as much at a time as they can, so that they are not what is
//! measured. It runs where it is told to: in the jail, or in a namespace of the bench.

use std::io::{self, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use rustls::client::Resumption;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore};

/// Bytes of one body, and how many of them make a transfer.
pub(crate) const BODY: usize = 8 << 20;
pub(crate) const BODIES: usize = 25;
/// Bytes written at a time.
const PART: usize = 64 << 10;
/// Names asked for.
pub(crate) const NAME: &str = "bench.example.com";

/// A body of bytes by chance (xorshift, Marsaglia), the same every time: neither the best nor the worst to search.
pub(crate) fn body() -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let words = std::iter::repeat_with(|| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    });
    words.take(BODY / 8).flatten().collect()
}

/// The socket, read in large parts: rustls asks for four KiB at a time.
pub(crate) struct Wire(BufReader<TcpStream>);

impl Wire {
    /// Reads `room` bytes at a time.
    pub(crate) fn new(socket: TcpStream, room: usize) -> Self {
        Self(BufReader::with_capacity(room, socket))
    }
}

impl Read for Wire {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        self.0.read(bytes)
    }
}

impl Write for Wire {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.get_mut().write(bytes)
    }
    fn write_vectored(&mut self, parts: &[io::IoSlice<'_>]) -> io::Result<usize> {
        self.0.get_mut().write_vectored(parts)
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

type Tls = rustls::StreamOwned<ClientConnection, Wire>;

#[derive(Clone)]
struct Client {
    to: SocketAddr,
    config: Arc<ClientConfig>,
}

impl Client {
    fn connect(&self, room: usize) -> io::Result<Tls> {
        let socket = TcpStream::connect(self.to)?;
        socket.set_nodelay(true)?;
        socket.set_read_timeout(Some(Duration::from_mins(1)))?;
        let name = ServerName::try_from(NAME).map_err(io::Error::other)?;
        let tls = ClientConnection::new(Arc::clone(&self.config), name).map_err(io::Error::other)?;
        Ok(Tls::new(tls, Wire::new(socket, room)))
    }
}

/// Sends a request and takes its answer to the end; how long its body was.
fn ask(tls: &mut Tls, method: &str, path: &str, body: &[u8], last: bool) -> io::Result<usize> {
    let connection = if last { "close" } else { "keep-alive" };
    let head = format!(
        "{method} {path} HTTP/1.1\r\nHost: {NAME}\r\nConnection: {connection}\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    tls.write_all(head.as_bytes())?;
    for part in body.chunks(PART) {
        tls.write_all(part)?;
    }
    tls.flush()?;
    let mut buffer = vec![0; if method == "GET" && path == "/bulk" { PART } else { 2048 }];
    let mut have = 0;
    let (end, length) = loop {
        let n = tls.read(&mut buffer[have..])?;
        if n == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        have += n;
        if let Some(end) = buffer[..have].windows(4).position(|four| four == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&buffer[..end]).to_ascii_lowercase();
            if !head.starts_with("http/1.1 200") {
                return Err(io::Error::other(head));
            }
            let length = head.lines().find_map(|line| line.strip_prefix("content-length:")?.trim().parse().ok());
            break (end + 4, length.unwrap_or(0));
        }
    };
    let mut left = usize::saturating_sub(length, have - end);
    while left > 0 {
        let room = buffer.len().min(left);
        match tls.read(&mut buffer[..room])? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            n => left -= n,
        }
    }
    Ok(length)
}

/// New connections with one request each, from so many threads for so long: how many were answered a second.
fn rate(client: &Client, threads: u64, time: Duration) -> f64 {
    let (done, failed, stop) = (AtomicU64::new(0), AtomicU64::new(0), AtomicBool::new(false));
    let begun = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    let result = client.connect(4096).and_then(|mut tls| ask(&mut tls, "GET", "/one", b"", true));
                    let counter = if result.is_ok() { &done } else { &failed };
                    counter.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        std::thread::sleep(time);
        stop.store(true, Ordering::Relaxed);
    });
    let took = begun.elapsed();
    if failed.load(Ordering::Relaxed) > 0 {
        println!("failed: {failed:?} of {done:?}");
    }
    done.load(Ordering::Relaxed) as f64 / took.as_secs_f64()
}

/// A transfer on one connection: MiB a second.
fn transfer(client: &Client, up: bool) -> io::Result<f64> {
    let body = if up { body() } else { Vec::new() };
    let mut tls = client.connect(128 << 10)?;
    ask(&mut tls, "GET", "/one", b"", false)?;
    let begun = Instant::now();
    for _ in 0..BODIES {
        if up {
            ask(&mut tls, "POST", "/take", &body, false)?;
        } else {
            let length = ask(&mut tls, "GET", "/bulk", b"", false)?;
            if length != BODY {
                return Err(io::Error::other(format!("a body of {length} bytes")));
            }
        }
    }
    Ok((BODY * BODIES) as f64 / f64::from(1 << 20) / begun.elapsed().as_secs_f64())
}

/// Opens so many connections, each with a request, and keeps them; asks on every tenth once more. How many lived.
fn hold(client: &Client, wanted: usize) -> f64 {
    use nix::sys::resource::{Resource, getrlimit, setrlimit};
    if let Ok((_, hard)) = getrlimit(Resource::RLIMIT_NOFILE) {
        let _ = setrlimit(Resource::RLIMIT_NOFILE, hard, hard); // too few are told by the count
    }
    let mut open = Vec::new();
    for _ in 0..wanted {
        let Ok(mut tls) = client.connect(512) else { break };
        if ask(&mut tls, "GET", "/one", b"", false).is_err() {
            break;
        }
        open.push(tls);
    }
    let alive = open.iter_mut().step_by(10).filter_map(|tls| ask(tls, "GET", "/one", b"", false).ok()).count();
    if alive != open.len().div_ceil(10) {
        println!("failed: only {alive} of every tenth of {} lived", open.len());
    }
    std::thread::sleep(Duration::from_secs(1));
    open.len() as f64
}

/// `client CA ADDRESS:PORT WHAT NUMBER`; prints `bench: FIGURE`.
pub(crate) fn main(args: &[String]) {
    let [ca, to, what, number] = args else { panic!("client CA ADDRESS:PORT WHAT NUMBER") };
    let mut roots = RootCertStore::empty();
    let ca = if ca == "env" { std::env::var("SSL_CERT_FILE").expect("the jail's bundle") } else { ca.clone() };
    roots.add_parsable_certificates(CertificateDer::pem_file_iter(ca).expect("a bundle").filter_map(Result::ok));
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.resumption = Resumption::disabled();
    let client = Client { to: to.parse().expect("an address"), config: Arc::new(config) };
    let number: u64 = number.parse().expect("a number");
    let figure = match what.as_str() {
        "rate" => rate(&client, 8, Duration::from_millis(number)),
        "get" => transfer(&client, false).expect("a transfer"),
        "put" => transfer(&client, true).expect("a transfer"),
        "hold" => hold(&client, number as usize),
        other => panic!("{other}?"),
    };
    println!("bench: {figure}");
}
