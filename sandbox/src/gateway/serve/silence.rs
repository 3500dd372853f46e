//! Clients that agree on TLS and then say nothing. Who checks a pin by itself does so after the handshake, lets go, and
//! has refused the certificate like one that says so by an alert. Who keeps a connection in reserve lets go of it
//! without a word, too, and is told apart by what else it does: see [`Silences::is_spare`].

use std::collections::HashMap;
use std::io;
use std::pin::Pin;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;

use super::stream::Io;
use super::talk::Talk;
use super::tls;

/// A pin is checked at once: who lets go later than this after the handshake kept the connection in reserve. (A pin that
/// does not fit ends curl's within a millisecond, on a busy machine within some hundreds; browsers keep theirs for ten
/// seconds and more, unless they end.)
const AT_ONCE: Duration = Duration::from_millis(500);

/// What is known of the connections in TLS.
#[derive(Default)]
pub(in crate::gateway) struct Silences(Mutex<Known>);

#[derive(Default)]
struct Known {
    /// Processes that have said something in TLS, and when the last connection that they did it on ended.
    speakers: HashMap<u32, Option<Instant>>,
    /// Who is connected where, by process: 0 where it could not be learnt, which may be any.
    places: HashMap<Vec<u8>, HashMap<u32, Open>>,
}

/// The connections of one process to one place.
#[derive(Default)]
struct Open {
    count: usize,
    /// When the last of those that said something was known to be there.
    spoke: Option<Instant>,
}

impl Silences {
    fn lock(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn begins(&self, place: &[u8], process: u32) {
        let mut known = self.lock();
        known.places.entry(place.to_vec()).or_default().entry(process).or_default().count += 1;
    }

    fn speaks(&self, place: &[u8], process: u32) {
        let mut known = self.lock();
        known.speakers.entry(process).or_default();
        if let Some(open) = known.places.get_mut(place).and_then(|there| there.get_mut(&process)) {
            open.spoke = Some(Instant::now());
        }
    }

    fn ends(&self, place: &[u8], process: u32, has_spoken: bool) {
        let mut known = self.lock();
        if has_spoken {
            known.speakers.insert(process, Some(Instant::now()));
        }
        let Some(there) = known.places.get_mut(place) else { return };
        if let Some(open) = there.get_mut(&process) {
            open.count = open.count.saturating_sub(1);
            if has_spoken {
                open.spoke = Some(Instant::now());
            }
        }
        // Nothing that comes later can have been beside these.
        if there.values().all(|open| open.count == 0) {
            known.places.remove(place);
        }
    }

    /// Whether a connection that ends now without a word, and began then, was one that is kept in reserve: beside it the
    /// process has another one to the same place, or had one that spoke (the last of several silent ones is judged by
    /// itself); or the process speaks in TLS with others, and it took its time, or lets go of those, too.
    fn is_spare(&self, place: &[u8], process: u32, since: Instant) -> bool {
        let known = self.lock();
        let may_be_it = |other: u32| other == process || other == 0 || process == 0;
        let is_beside = |(other, open): (&u32, &Open)| {
            may_be_it(*other)
                && (open.count > usize::from(*other == process) || open.spoke.is_some_and(|spoke| spoke >= since))
        };
        let speaks = |(other, ended): (&u32, &Option<Instant>)| {
            may_be_it(*other) && (since.elapsed() >= AT_ONCE || ended.is_some_and(|ended| ended >= since))
        };
        known.places.get(place).into_iter().flatten().any(is_beside) || known.speakers.iter().any(speaks)
    }
}

/// A stream out of TLS that is watched until its client says something, or lets go.
pub(super) struct Watched<T> {
    inner: T,
    talk: Talk,
    /// What it called, as an address with the name before it.
    place: Vec<u8>,
    since: Instant,
    /// Whether the client has said something.
    has_spoken: bool,
    /// Whether the client was told something first: who lets go after a greeting has accepted the certificate.
    is_answered: bool,
}

impl<T: Io> Watched<T> {
    /// From the handshake's end on.
    pub(super) fn new(talk: Talk, inner: T) -> Self {
        let name = talk.peer.name();
        let place = [&name, talk.peer.called.to_string().as_bytes()].join(&b' ');
        talk.hub.silences.begins(&place, talk.peer.host_pid);
        Self { inner, talk, place, since: Instant::now(), has_spoken: false, is_answered: false }
    }

    fn speaks(&mut self) {
        if !self.has_spoken {
            self.has_spoken = true;
            self.talk.hub.silences.speaks(&self.place, self.talk.peer.host_pid);
        }
    }

    fn lets_go(&mut self, error: Option<&io::Error>) {
        if self.has_spoken || self.is_answered {
            return;
        }
        self.is_answered = true; // once is enough
        let alert = error.filter(|error| tls::alert(error).is_some());
        if let Some(error) = alert {
            tls::refused(&self.talk, error);
        } else if !self.talk.hub.silences.is_spare(&self.place, self.talk.peer.host_pid, self.since) {
            let after = self.since.elapsed().as_millis();
            let why =
                format!("it let go of the connection {after} ms after it had seen the certificate, without a word");
            tls::refused(&self.talk, &io::Error::other(why));
        }
    }
}

impl<T> Drop for Watched<T> {
    fn drop(&mut self) {
        self.talk.hub.silences.ends(&self.place, self.talk.peer.host_pid, self.has_spoken);
    }
}

impl<T: Io> AsyncRead for Watched<T> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let result = Pin::new(&mut self.inner).poll_read(cx, buffer);
        match &result {
            Poll::Ready(Ok(())) if buffer.filled().len() > before => self.speaks(),
            Poll::Ready(Ok(())) if buffer.remaining() > 0 => self.lets_go(None),
            Poll::Ready(Err(error)) => self.lets_go(Some(error)),
            _ => {}
        }
        result
    }
}

impl<T: Io> AsyncWrite for Watched<T> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.is_answered = true;
        Pin::new(&mut self.inner).poll_write(cx, bytes)
    }
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.is_answered = true;
        Pin::new(&mut self.inner).poll_write_vectored(cx, bufs)
    }
    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A connection of a process to a place, that has not ended.
    struct Held<'a>(&'a Silences, &'a [u8], u32, Instant);

    impl Held<'_> {
        /// It ends without a word: whether that is excused.
        fn lets_go(self) -> bool {
            let spare = self.0.is_spare(self.1, self.2, self.3);
            self.0.ends(self.1, self.2, false);
            spare
        }
    }

    #[tokio::test(start_paused = true)]
    async fn connections_in_reserve_are_told_from_refusals() {
        let silences = Silences::default();
        let connect = |process, place: &'static str| {
            silences.begins(place.as_bytes(), process);
            Held(&silences, place.as_bytes(), process, Instant::now())
        };
        let pass = || tokio::time::advance(AT_ONCE);
        // Alone; two at once, of which the last is judged; after a long while.
        assert!(!connect(1, "a").lets_go());
        let (first, last) = (connect(1, "a"), connect(1, "a"));
        assert!(first.lets_go());
        assert!(!last.lets_go());
        let held = connect(1, "a");
        pass().await;
        assert!(!held.lets_go());
        // Beside one that spoke, and has ended since, whoever it was of; but not elsewhere, nor of another process.
        let (speaker, beside, unknown) = (connect(1, "a"), connect(1, "a"), connect(0, "a"));
        let (elsewhere, another) = (connect(1, "b"), connect(2, "b"));
        silences.speaks(speaker.1, speaker.2);
        assert!(!elsewhere.lets_go());
        silences.ends(speaker.1, speaker.2, true);
        assert!(!another.lets_go());
        assert!(beside.lets_go());
        assert!(unknown.lets_go());
        // Letting go of one that spoke elsewhere, too.
        let (speaker, own, another) = (connect(1, "a"), connect(1, "b"), connect(2, "b"));
        silences.speaks(speaker.1, speaker.2);
        pass().await;
        let late = connect(1, "c");
        silences.ends(speaker.1, speaker.2, true);
        assert!(own.lets_go() && late.lets_go());
        assert!(!another.lets_go());
        // After it; and elsewhere, kept for a while, where the process speaks in TLS.
        tokio::time::advance(AT_ONCE / 2).await;
        assert!(!connect(1, "a").lets_go());
        let (own, another) = (connect(1, "b"), connect(2, "b"));
        pass().await;
        assert!(own.lets_go());
        assert!(!another.lets_go());
        assert!(silences.lock().places.is_empty(), "nothing is remembered of what has ended");
    }
}
