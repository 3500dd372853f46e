//! Names: every one exists, unless the profile says that it does not. One function answers a message, whichever way it
//! came (UDP, TCP, TLS, HTTPS); the question is recorded by it, and so is a message that cannot be understood.

use hickory_proto::op::{Message, MessageType, OpCode, ResponseCode};
use hickory_proto::rr::rdata::{A, AAAA, HTTPS, MX, PTR, SOA, SRV, SVCB, TXT, svcb};
use hickory_proto::rr::{Name, RData, Record, RecordType};

use super::Hub;
use crate::event::{Protocol, Traffic};
use crate::gateway::record::{Peer, Said, count};

/// How long an answer may be kept, in seconds.
const LIFE: u32 = 300;
/// Questions of one message that are answered.
const QUESTIONS_MAX: usize = 16;

/// By which way a message came.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    Udp,
    /// By a stream, and whether TLS was taken off.
    Stream(bool),
}

/// Records a message and answers it. `None` when it is no question.
pub(super) fn answer(hub: &Hub, peer: &Peer, message: &[u8], way: Way) -> Option<Vec<u8>> {
    let in_tls = way == Way::Stream(true);
    let said = Said { protocol: Protocol::Dns, in_tls, ..Said::default() };
    let Ok(question) = Message::from_vec(message) else {
        count(&hub.recorder.counters.unparsed);
        hub.recorder.tell(Traffic::Query, peer, Said { detail: b"not understood", payload: message, ..said });
        // FORMERR, with the same number, where there is one (RFC 1035, section 4.1.1).
        let id = u16::from_be_bytes(*message.first_chunk()?);
        return Message::error_msg(id, OpCode::Query, ResponseCode::FormErr).to_vec().ok();
    };
    if question.metadata.message_type != MessageType::Query {
        hub.recorder.tell(Traffic::Query, peer, Said { detail: b"no question", payload: message, ..said });
        return None;
    }
    let mut reply = Message::response(question.metadata.id, question.metadata.op_code);
    reply.metadata.recursion_desired = question.metadata.recursion_desired;
    reply.metadata.recursion_available = true;
    reply.edns.clone_from(&question.edns);
    if question.queries.is_empty() {
        hub.recorder.tell(Traffic::Query, peer, Said { detail: b"no question in it", payload: message, ..said });
    }
    for query in question.queries.iter().take(QUESTIONS_MAX) {
        let name = query.name();
        let shown = text(name);
        let exists = !hub.options.nxdomain.iter().any(|pattern| fits(pattern.as_bytes(), &shown));
        if exists {
            reply.answers.extend(records(hub, name, &shown, query.query_type()));
        } else {
            reply.metadata.response_code = ResponseCode::NXDomain;
        }
        if reply.answers.is_empty() {
            reply.authorities.push(Record::from_rdata(zone(name), LIFE, authority(name)));
        }
        reply.add_query(query.clone());
        let known = exists && matches!(query.query_type(), RecordType::A | RecordType::AAAA | RecordType::ANY);
        // A type without a name has a number (RFC 3597, section 5).
        let kind = match query.query_type() {
            RecordType::Unknown(number) => format!("TYPE{number}"),
            known => known.to_string(),
        };
        let mut detail = format!("{kind} {}", if exists { "NOERROR" } else { "NXDOMAIN" });
        if known {
            let pair = hub.names.addresses(&shown);
            detail += &format!(" {} {}", pair.v4, pair.v6);
        }
        let domain = domain(&shown);
        let said = Said { detail: detail.as_bytes(), payload: &shown, target: Some(domain), ..said };
        hub.recorder.tell(Traffic::Query, peer, said);
    }
    let bytes = reply.to_vec().ok()?;
    let room = question.edns.as_ref().map_or(512, |edns| usize::from(edns.max_payload().max(512)));
    if way == Way::Udp && bytes.len() > room.min(1400) {
        return reply.truncate().to_vec().ok();
    }
    Some(bytes)
}

/// Whether a message asks for a name.
pub(super) fn is_question(message: &[u8]) -> bool {
    Message::from_vec(message)
        .is_ok_and(|message| message.metadata.message_type == MessageType::Query && !message.queries.is_empty())
}

/// A name as bytes: lower case, labels with dots between, no final dot.
fn text(name: &Name) -> Vec<u8> {
    name.iter().collect::<Vec<_>>().join(&b'.').to_ascii_lowercase()
}

/// The part of a name that somebody registered, as far as can be told without a list of all suffixes: the last two
/// labels, or three where the second last is a short one of a country (`co.uk`).
pub(super) fn domain(name: &[u8]) -> &[u8] {
    let dots: Vec<usize> = memchr::memrchr_iter(b'.', name).take(3).collect();
    let labels = match dots.as_slice() {
        [last, second, ..] if last - second <= 4 && name.len() - last <= 3 => 3,
        _ => 2,
    };
    dots.get(labels - 1).and_then(|dot| name.get(dot + 1..)).unwrap_or(name)
}

fn zone(name: &Name) -> Name {
    name.trim_to(2)
}

fn authority(name: &Name) -> RData {
    let host = |label: &str| zone(name).prepend_label(label).unwrap_or_else(|_| zone(name));
    RData::SOA(SOA::new(host("ns1"), host("hostmaster"), 2_024_010_101, 7200, 3600, 1_209_600, LIFE))
}

fn records(hub: &Hub, name: &Name, shown: &[u8], kind: RecordType) -> Vec<Record> {
    let record = |data: RData| Record::from_rdata(name.clone(), LIFE, data);
    let host = |label: &str| name.prepend_label(label).unwrap_or_else(|_| name.clone());
    let pair = || {
        let pair = hub.names.addresses(shown);
        if pair.new {
            hub.log.name(shown, vec![pair.v4.into(), pair.v6.into()]);
        }
        pair
    };
    match kind {
        RecordType::A => vec![record(RData::A(A(pair().v4)))],
        RecordType::AAAA => vec![record(RData::AAAA(AAAA(pair().v6)))],
        RecordType::ANY => {
            let pair = pair();
            vec![record(RData::A(A(pair.v4))), record(RData::AAAA(AAAA(pair.v6)))]
        }
        RecordType::MX => vec![record(RData::MX(MX::new(10, host("mail"))))],
        RecordType::NS => vec![record(RData::NS(hickory_proto::rr::rdata::NS(host("ns1"))))],
        RecordType::SOA => vec![record(authority(name))],
        RecordType::TXT => vec![record(RData::TXT(TXT::new(vec!["v=spf1 mx -all".into()])))],
        RecordType::SRV => {
            let (port, target) = service(name);
            vec![record(RData::SRV(SRV::new(10, 10, port, target)))]
        }
        RecordType::HTTPS | RecordType::SVCB => {
            // No HTTP/3, which is refused, and no Encrypted Client Hello, which would hide the name.
            let protocols = svcb::SvcParamValue::Alpn(svcb::Alpn(vec!["h2".into(), "http/1.1".into()]));
            let data = SVCB::new(1, Name::root(), vec![(svcb::SvcParamKey::Alpn, protocols)]);
            vec![record(if kind == RecordType::HTTPS { RData::HTTPS(HTTPS(data)) } else { RData::SVCB(data) })]
        }
        RecordType::PTR => {
            let address = name.parse_arpa_name().ok().map(|net| net.addr());
            let known = address.and_then(|address| hub.names.name(address));
            let target = known.and_then(|name| Name::from_labels(name.split(|byte| *byte == b'.')).ok());
            // An address without a name has the sort of name that providers give.
            let invented = || {
                let text = address.map_or_else(|| "host".into(), |ip| ip.to_string().replace(['.', ':'], "-"));
                Name::from_ascii(format!("{text}.static.example.net.")).unwrap_or_else(|_| Name::root())
            };
            vec![record(RData::PTR(PTR(target.unwrap_or_else(invented))))]
        }
        _ => Vec::new(),
    }
}

/// Port and host of a service's name, `_service._proto.host`.
fn service(name: &Name) -> (u16, Name) {
    let first = name.iter().next().unwrap_or_default().to_ascii_lowercase();
    let port = match first.as_slice() {
        b"_xmpp-client" => 5222,
        b"_xmpp-server" => 5269,
        b"_sip" => 5060,
        b"_sips" => 5061,
        b"_ldap" => 389,
        b"_kerberos" => 88,
        b"_imaps" => 993,
        b"_submission" => 587,
        b"_minecraft" => 25_565,
        b"_http" => 80,
        _ => 443,
    };
    (port, name.trim_to(usize::from(name.num_labels()).saturating_sub(2)))
}

/// Whether a name is `pattern`, in which a leading `*.` stands for any labels before.
fn fits(pattern: &[u8], name: &[u8]) -> bool {
    match pattern.strip_prefix(b"*.") {
        Some(rest) => name.strip_suffix(rest).is_some_and(|head| head.ends_with(b".")),
        None => pattern == b"*" || pattern.eq_ignore_ascii_case(name),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn domains_are_what_somebody_registered() {
        for (name, want) in [
            (&b"a.b.evil.example"[..], &b"evil.example"[..]),
            (b"www.firm.co.uk", b"firm.co.uk"),
            (b"example.com", b"example.com"),
            (b"localhost", b"localhost"),
            (b"", b""),
            (b"x.y.io", b"x.y.io"),
        ] {
            assert_eq!(domain(name), want);
        }
    }

    #[test]
    fn patterns_cover_names() {
        assert!(fits(b"*.bad.example", b"a.bad.example"));
        assert!(!fits(b"*.bad.example", b"bad.example"));
        assert!(!fits(b"*.bad.example", b"notbad.example"));
        assert!(fits(b"Bad.example", b"bad.example") && fits(b"*", b"x"));
    }
}
