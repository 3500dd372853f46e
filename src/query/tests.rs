//! The language as a whole: what it means, how it fails, and that reading and printing agree.

use belljar_sandbox::event::{Abi, Authority, Decision, Kind, ObjectKind, ProcessKey, Witness};
use belljar_sandbox::witness::syscalls::lookup;
use proptest::prelude::*;

use super::ast::{Expr, Number, Op, Pattern, Value};
use super::complete::complete;
use super::field::{FIELDS, Field, Type};
use super::{Context, Query};
use crate::store::{AssetInfo, AssetSet, Object, Process, Record, Verb, Verbs};

fn assets() -> Vec<AssetInfo> {
    [("customers", "identity"), ("ssh-key", "secret"), ("contacts", "identity")]
        .map(|(name, class)| AssetInfo { name: name.to_owned(), class: class.to_owned() })
        .to_vec()
}

fn process() -> Process {
    Process {
        key: ProcessKey(3),
        parent: Some(ProcessKey(1)),
        pid: 7,
        exe: b"/usr/bin/Updater".to_vec(),
        argv: b"updater\0--daemon\0-c\0a b\0".to_vec(),
        ..Process::default()
    }
}

fn write<'a>(process: &'a Process, object: &'a Object) -> Record<'a> {
    let kind = Kind::Call { abi: Abi::X86_64, nr: 1 };
    let mut record = Record {
        seq: 12,
        time_ns: 150_250_000_000,
        witness: Witness::Notify,
        kind,
        call: lookup(Abi::X86_64, 1),
        process: Some(process),
        tid: 8,
        args: [3, 0x7fff, 5000, 0, 0, 0],
        result: Some(-13),
        duration_ns: Some(1_500),
        decision: Decision::Denied,
        authority: Authority::Enforced,
        object: Some(object),
        target: None,
        detail: b"",
        payload: b"id,name\n\xff\x00",
        payload_len: 5000,
        verbs: Verbs::default(),
        assets: AssetSet::default(),
    };
    record.verbs.insert(Verb::Store);
    record.assets.insert(0);
    record.assets.insert(2);
    record
}

fn object(kind: ObjectKind, name: &[u8]) -> Object {
    Object { kind, name: name.into() }
}

fn fits(filter: &str, object: &Object) -> bool {
    let (assets, process) = (assets(), process());
    let context = Context { assets: &assets };
    let query = Query::parse(filter, &context).unwrap_or_else(|error| panic!("{}", error.render(filter)));
    query.matches(&write(&process, object), &context)
}

#[test]
fn filters_mean_what_the_manual_says() {
    let file = object(ObjectKind::File, b"/home/ada/.cache/Data\x1b");
    let yes = [
        "",
        "op:write and bytes>4k and path~\"/cache/\" or path~.cache/",
        "op:read|write",
        "op:read,writev,write",
        "call:wri*",
        "class:identity verb:store not proc:curl",
        "proc:updater",
        "proc:Updater",
        "proc=Updater",
        "exe:*/bin/*",
        "path:/home/*/data*",
        "path~Data\\x1b",
        "path:*\"Data\\x1b\"",
        "t:02:30..02:50",
        "t:02:30",
        "t:150.2",
        "t<3m",
        "t:..151s",
        "took>1us",
        "bytes:4k..8k",
        "bytes=5000",
        "bytes!=5k",
        "errno:EACCES",
        "errno:eacces",
        "error:*",
        "errno!=ENOENT",
        "outcome:failed",
        "result<0",
        "result:-13",
        "decision:denied authority:enforced",
        "asset:contacts",
        "asset:customers|ssh-key",
        "not asset:ssh-key",
        "! asset:ssh-key",
        "!asset:ssh-key",
        "payload~\"name\\n\"",
        "text~\\xff",
        "argv:--daemon",
        "argv:'a b'",
        "argv!~curl",
        ".cache",
        "nowhere|CACHE|.cache",
        "not (pid:8 or tid:7)",
        "not host:*",
        "host!=example.com",
        "not pid:8 pid:7",
        "args:0x7fff",
        "key:3 parent:1",
        "category:write",
        "op:rea* or op:wr*",
        "op:write && not op:read || nothing",
    ];
    for filter in yes {
        assert!(fits(filter, &file), "{filter}");
        let not = if filter.is_empty() { continue } else { format!("not ({filter})") };
        assert!(!fits(&not, &file), "{not}");
    }
    let no = [
        "proc=updater",
        "path:/home",
        "path:cache",
        "path=/home/*",
        "path~DATA",
        "path~data\\x1bx",
        "t:02:31",
        "t:150.3",
        "errno!=EACCES",
        "bytes>5000",
        "host:*",
        "payload~\"name\\r\"",
        "argv:daemon",
        "nowhere",
        "verb:transmit",
        "witness:ebpf",
        "op:write and nothing",
        "(op:write or op:read) and pid:8",
    ];
    for filter in no {
        assert!(!fits(filter, &file), "{filter}");
    }
}

#[test]
fn peers_have_hosts_and_ports() {
    for (name, filter) in [
        ("203.0.113.9:80", "host:203.0.113.* port:80"),
        ("[2001:db8::1]:443", "host:2001:db8::1 port:400..500 path!~x"),
        ("api.Example.com:25", "host:*.example.com port:25"),
    ] {
        assert!(fits(filter, &object(ObjectKind::Tcp, name.as_bytes())), "{name} {filter}");
        assert!(!fits(filter, &object(ObjectKind::File, name.as_bytes())), "{name} {filter}");
    }
    // Nonsense of the subject's making is no peer.
    for name in ["", ":", "host", "host:99999", "host:x"] {
        assert!(!fits("host:* or port:*", &object(ObjectKind::Udp, name.as_bytes())), "{name}");
    }
}

#[test]
fn classes_are_named_once() {
    let (assets, process, file) = (assets(), process(), object(ObjectKind::File, b"/x"));
    let context = Context { assets: &assets };
    let mut classes = Vec::new();
    let field = Field::find("class").unwrap();
    field.each(&write(&process, &file), &context, &mut |value| classes.push(format!("{value:?}")));
    assert_eq!(classes.len(), 1, "{classes:?}");
}

#[test]
fn errors_point_and_suggest() {
    let assets = assets();
    let filters = [
        "op:wirte",
        "pth:/etc",
        "http://example.com/x",
        "bytes~4",
        "bytes>4q",
        "bytes>1|2",
        "t:5..1",
        "t:..",
        "path>3",
        "verb:",
        "op: and",
        "(op:read",
        "op:read)",
        "op:read or",
        "and op:read",
        "not",
        "()",
        "~/Documents",
        "path:\"abc",
        "path:a\\q",
        "op:read | op:write",
        "class:identiti",
        "asset:nothing",
        "pid=1..3",
        "東京:1",
    ];
    let context = Context { assets: &assets };
    let shown: Vec<String> =
        filters.iter().map(|filter| Query::parse(filter, &context).unwrap_err().render(filter)).collect();
    insta::assert_snapshot!(shown.join("\n\n"));
}

#[test]
fn completion_offers_fields_values_and_nothing_amid_a_quote() {
    let assets = assets();
    let context = Context { assets: &assets };
    let offer = |input: &str| -> Vec<String> {
        complete(input, input.len(), &context)
            .into_iter()
            .take(3)
            .map(|c| format!("{}{}", &input[..c.replace.start], c.text))
            .collect()
    };
    assert_eq!(offer("op:write wit"), ["op:write witness:"]);
    assert_eq!(offer("witness:"), ["witness:ebpf", "witness:notify", "witness:gateway"]);
    assert_eq!(offer("not (decision:denied|fa"), ["not (decision:denied|faked"]);
    assert_eq!(offer("decision:denied|").len(), 3);
    assert_eq!(offer("asset:c"), ["asset:customers", "asset:contacts"]);
    assert_eq!(offer("no"), ["not", "errno:"]);
    assert_eq!(offer("witness:ebpf ").len(), 3);
    assert!(offer("path~\"/ca").is_empty());
    assert!(complete("é", 1, &context).is_empty());
}

#[test]
fn every_name_is_found_and_is_one_field_s_only() {
    let mut names: Vec<&str> = FIELDS.iter().flat_map(|f| f.aliases.iter().copied().chain([f.name])).collect();
    for name in &names {
        assert!(Field::find(&name.to_uppercase().replace('-', "_")).is_some(), "{name}");
    }
    let all = names.len();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), all);
}

#[test]
fn deep_nesting_is_refused_not_followed() {
    for filter in ["(".repeat(60_000), "not ".repeat(16_000), "!".repeat(60_000), "a ".repeat(40_000)] {
        assert!(Query::parse(&filter, &Context::default()).is_err());
    }
    assert!(Query::parse(&format!("{}a{}", "(".repeat(60), ")".repeat(60)), &Context::default()).is_ok());
}

fn pattern() -> impl Strategy<Value = Pattern> {
    let part = prop_oneof![
        any::<Vec<u8>>(),
        "\\PC{0,8}".prop_map(String::into_bytes),
        "[a-z/.]{1,8}".prop_map(String::into_bytes)
    ];
    prop::collection::vec(part, 1..4).prop_map(|mut parts| {
        let last = parts.len() - 1;
        let mut at = 0;
        // Two stars in a row are one.
        parts.retain(|part| {
            at += 1;
            at == 1 || at > last || !part.is_empty()
        });
        Pattern(parts)
    })
}

fn number(kind: Type) -> impl Strategy<Value = Number> {
    let time = matches!(kind, Type::Time | Type::Duration);
    (any::<u32>(), 0..10_u32, any::<bool>()).prop_map(move |(value, digits, negative)| {
        let step = if time { 10_i128.pow(digits) } else { 1 };
        Number { value: i128::from(value) * step * if negative { -1 } else { 1 }, step }
    })
}

fn comparison() -> impl Strategy<Value = Expr> {
    let fields: Vec<&'static Field> = FIELDS.iter().filter(|f| !matches!(f.kind, Type::Choice(_))).collect();
    let field = (prop::sample::select(fields), any::<prop::sample::Index>());
    field.prop_flat_map(|(field, op)| {
        let op = *op.get(field.operators());
        let value: BoxedStrategy<Value> = match (field.is_numeric(), op) {
            (true, Op::Is) => prop_oneof![
                Just(Value::Any),
                number(field.kind).prop_map(Value::Number),
                (number(field.kind), number(field.kind)).prop_map(|(a, b)| {
                    let (from, to) = if a.value <= b.value { (a, b) } else { (b, a) };
                    Value::Range(Some(from), Some(to))
                }),
                number(field.kind).prop_map(|to| Value::Range(None, Some(to))),
            ]
            .boxed(),
            (true, _) => number(field.kind).prop_map(Value::Number).boxed(),
            (false, Op::Equal | Op::NotEqual) => {
                any::<Vec<u8>>().prop_map(|t| Value::Text(Pattern::literal(t))).boxed()
            }
            (false, _) => pattern().prop_map(Value::Text).boxed(),
        };
        let most = if op.is_order() { 2 } else { 4 };
        prop::collection::vec(value, 1..most).prop_map(move |values| Expr::Compare { field, op, values })
    })
}

fn expr() -> impl Strategy<Value = Expr> {
    let leaf = prop_oneof![comparison(), prop::collection::vec(pattern(), 1..3).prop_map(Expr::Search)];
    leaf.prop_recursive(5, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 1..4).prop_map(Expr::and),
            prop::collection::vec(inner.clone(), 1..4).prop_map(Expr::or),
            inner.prop_map(|expr| Expr::Not(Box::new(expr))),
        ]
    })
}

proptest! {
    #[test]
    fn printing_and_reading_agree(expr in expr()) {
        let text = expr.to_string();
        let again = Query::parse(&text, &Context::default());
        prop_assert_eq!(again.map(|query| query.expr().clone()).map_err(|error| error.render(&text)), Ok(expr));
    }

    #[test]
    fn no_text_makes_it_panic(text: String, cursor in 0..40usize) {
        let context = Context::default();
        if let Err(error) = Query::parse(&text, &context) {
            error.render(&text);
        }
        complete(&text, cursor, &context);
    }

    #[test]
    fn no_filter_makes_it_panic(words in prop::collection::vec(prop::sample::select(vec![
        "op", "bytes", "t", "path", ":", "=", "!=", "~", ">", "..", "*", "(", ")", "|", ",", " ", " and ", " or ",
        "not ", "!", "\"", "'", "\\", "x", "4k", "02:30", "write", "ü", "\\x", "\\u{",
    ]), 0..14)) {
        let text = words.concat();
        let (assets, process, file) = (assets(), process(), object(ObjectKind::File, b"/x"));
        let context = Context { assets: &assets };
        match Query::parse(&text, &context) {
            Ok(query) => { query.matches(&write(&process, &file), &context); }
            Err(error) => { prop_assert!(error.render(&text).lines().count() >= 3); }
        }
        complete(&text, text.len(), &context);
    }
}
