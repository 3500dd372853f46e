//! What the gateway sees: the sorts of its events, and the protocols it understands.

/// One thing that the gateway saw. In each, `object` is the address and port that was called, `target` the same by
/// the name that the subject knew it by, where there is one; `args[0]` is the connection's number in the session,
/// `args[1]` the host process id of the socket's owner (0 where it could not be learnt), `args[2]` the port on the
/// jail's side, `args[3]` the [`Protocol`] with [`Protocol::IN_TLS`] added where TLS was taken off, and `args[5]` is 1
/// where the payload is to be kept whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Traffic {
    /// A connection was taken, or the first datagram of a pair of addresses came.
    Connection = 0,
    /// It ended: `payload_len` bytes came in by it, `args[4]` went out.
    ConnectionEnd = 1,
    /// A name was asked for: `target` its last labels, `payload` the name, `detail` the type, the answer, and the
    /// addresses that stand for the name, where it was asked for them; or the whole message in `payload` when it could
    /// not be understood.
    Query = 2,
    /// TLS was begun: `detail` names, protocols and the fingerprint.
    Hello = 3,
    /// TLS was not agreed on: `detail` says why; `result` is the alert, negative, where one came,
    /// and 0 where the connection was passed through unread.
    Refusal = 4,
    /// An HTTP request: `detail` method and URL, `payload` its head. Its body follows as [`Traffic::Sent`].
    Request = 5,
    /// What was answered: `payload` the head, `args[4]` the status.
    Response = 6,
    /// Bytes of the subject, in the clear.
    Sent = 7,
    /// Bytes for the subject, in the clear.
    Received = 8,
    /// A name and secret presented: `detail` the scheme and the name, `payload` the secret.
    Credential = 9,
    /// A packet that is neither TCP nor UDP: `payload` what it carries.
    Packet = 10,
}

impl Traffic {
    /// All of them, in the order of their numbers.
    pub const ALL: [Self; 11] = [
        Self::Connection,
        Self::ConnectionEnd,
        Self::Query,
        Self::Hello,
        Self::Refusal,
        Self::Request,
        Self::Response,
        Self::Sent,
        Self::Received,
        Self::Credential,
        Self::Packet,
    ];

    /// The word used everywhere.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Connection => "connection",
            Self::ConnectionEnd => "connection-end",
            Self::Query => "dns-query",
            Self::Hello => "tls-hello",
            Self::Refusal => "tls-refused",
            Self::Request => "http-request",
            Self::Response => "http-response",
            Self::Sent => "sent",
            Self::Received => "received",
            Self::Credential => "credential",
            Self::Packet => "packet",
        }
    }

    /// Whether it carries bytes of the subject to the outside.
    pub fn leaves(self) -> bool {
        matches!(self, Self::Query | Self::Hello | Self::Request | Self::Sent | Self::Credential | Self::Packet)
    }
}

/// What was spoken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Protocol {
    /// TCP that says nothing known.
    #[default]
    Tcp = 0,
    /// UDP that says nothing known.
    Udp = 1,
    /// Names.
    Dns = 2,
    /// HTTP/1.0 and 1.1.
    Http1 = 3,
    /// HTTP/2.
    Http2 = 4,
    /// WebSocket messages, unmasked.
    WebSocket = 5,
    /// Mail.
    Smtp = 6,
    /// FTP, its control connection and its data.
    Ftp = 7,
    /// ICMP.
    Icmp = 8,
    /// QUIC, which is refused so that clients fall back to TCP.
    Quic = 9,
    /// Another protocol on IP.
    Other = 10,
}

impl Protocol {
    /// Added to the number where TLS was taken off.
    pub const IN_TLS: u64 = 0x100;

    /// All of them, in the order of their numbers.
    pub const ALL: [Self; 11] = [
        Self::Tcp,
        Self::Udp,
        Self::Dns,
        Self::Http1,
        Self::Http2,
        Self::WebSocket,
        Self::Smtp,
        Self::Ftp,
        Self::Icmp,
        Self::Quic,
        Self::Other,
    ];

    /// The word used everywhere.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
            Self::Dns => "dns",
            Self::Http1 => "http/1.1",
            Self::Http2 => "h2",
            Self::WebSocket => "websocket",
            Self::Smtp => "smtp",
            Self::Ftp => "ftp",
            Self::Icmp => "icmp",
            Self::Quic => "quic",
            Self::Other => "other",
        }
    }

    /// From the argument of an event, and whether TLS was taken off.
    pub fn from_argument(argument: u64) -> (Option<Self>, bool) {
        let number = argument & (Self::IN_TLS - 1);
        (Self::ALL.get(number as usize).copied(), argument & Self::IN_TLS != 0)
    }
}
