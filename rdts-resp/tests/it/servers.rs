//! Real servers: what they say in RESP3 is read as they mean it, and as the `redis` crate reads it; what is written
//! for a peer of RESP2 is what they write for one.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use rdts_resp::{Reply, ReplyDecoder, encode};
use rdts_testkit::Server;

use crate::support::from_redis;

const SERVERS: [&str; 3] = ["redis-7.0", "redis-8.2", "valkey-9.1"];

/// A connection that reads with our decoder and checks it against the `redis` crate.
struct Client {
    socket: TcpStream,
    decoder: ReplyDecoder,
    received: Vec<u8>,
}

impl Client {
    fn new(server: &Server) -> Self {
        let socket = TcpStream::connect(server.addr()).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        Client { socket, decoder: ReplyDecoder::new(), received: Vec::new() }
    }

    /// A connection that has said `HELLO 3`.
    fn resp3(server: &Server) -> Self {
        let mut client = Self::new(server);
        let hello = client.ask(&["HELLO", "3"]);
        assert_eq!(hello.get("proto").and_then(Reply::as_integer), Some(3), "{hello:?}");
        assert!(matches!(hello, Reply::Map(_)), "{hello:?}");
        client
    }

    fn send(&mut self, args: &[&str]) {
        let mut wire = Vec::new();
        encode::command(&mut wire, args);
        self.socket.write_all(&wire).unwrap();
    }

    /// The next frame, be it a reply or a push, and its bytes.
    fn next(&mut self) -> (Reply, Vec<u8>) {
        let mut chunk = [0; 4096];
        loop {
            if let Some((consumed, reply)) = self.decoder.decode(&self.received).unwrap() {
                let reply = reply.to_owned();
                let rest = self.received.split_off(consumed);
                let wire = std::mem::replace(&mut self.received, rest);
                assert_eq!(from_redis(redis::parse_redis_value(&wire).unwrap()), reply);
                return (reply, wire);
            }
            let length = self.socket.read(&mut chunk).unwrap();
            assert_ne!(length, 0, "the server has closed the connection");
            self.received.extend_from_slice(&chunk[..length]);
        }
    }

    fn ask(&mut self, args: &[&str]) -> Reply {
        self.send(args);
        self.next().0
    }
}

fn bulk(text: &'static str) -> Reply {
    Reply::Bulk(text.into())
}

/// What `DEBUG PROTOCOL kind` answers, by the servers' own description of it.
fn protocol() -> Vec<(&'static str, Reply)> {
    let three = || vec![Reply::Integer(0), Reply::Integer(1), Reply::Integer(2)];
    let map = (0..3).map(|n| (Reply::Integer(n), Reply::Boolean(n == 1))).collect();
    vec![
        ("string", bulk("Hello World")),
        ("integer", Reply::Integer(12345)),
        ("double", Reply::Double(3141.0 / 1000.0)),
        ("null", Reply::Null),
        ("array", Reply::Array(three())),
        ("set", Reply::Set(three())),
        ("map", Reply::Map(map)),
        ("verbatim", Reply::Verbatim { format: *b"txt", text: "This is a verbatim\nstring".into() }),
        ("true", Reply::Boolean(true)),
        ("false", Reply::Boolean(false)),
        ("bignum", Reply::BigNumber("1234567999999999999999999999999999999".into())),
    ]
}

/// Whether we write `reply` for a peer of RESP2 as the server did.
fn same_in_resp2(reply: &Reply, (theirs, their_wire): &(Reply, Vec<u8>), what: &str) {
    let mut ours = Vec::new();
    encode::reply(&mut ours, reply);
    if let Reply::Double(value) = reply {
        // Redis up to 7.0 writes 17 digits, whether they are needed or not.
        assert!(ours.starts_with(b"$") && matches!(theirs, Reply::Bulk(_)), "{what}: {theirs:?}");
        assert_eq!(theirs.as_f64(), Some(*value), "{what}");
    } else {
        assert_eq!(String::from_utf8_lossy(&ours), String::from_utf8_lossy(their_wire), "{what}");
    }
}

#[test]
fn every_kind_that_servers_can_be_asked_for() {
    for name in SERVERS {
        let server = Server::start(name);
        let (mut resp3, mut resp2) = (Client::resp3(&server), Client::new(&server));
        for (kind, expected) in protocol() {
            let reply = resp3.ask(&["DEBUG", "PROTOCOL", kind]);
            assert_eq!(reply, expected, "{name}: {kind}");
            // The same server speaks RESP2 to another client: the oracle of what we write for such a one.
            resp2.send(&["DEBUG", "PROTOCOL", kind]);
            same_in_resp2(&reply, &resp2.next(), &format!("{name}: {kind}"));
        }
        let reply = resp3.ask(&["DEBUG", "PROTOCOL", "attrib"]);
        let popularity = Reply::Array(vec![bulk("key:123"), Reply::Integer(90)]);
        assert_eq!(reply.attributes(), Some(&[(bulk("key-popularity"), popularity)][..]), "{name}");
        assert_eq!(reply.as_str(), Some("Some real reply following the attribute"), "{name}");
        // Redis up to 7.0 sends the push first, later ones keep it back until the command has been answered.
        let (one, two) = (resp3.ask(&["DEBUG", "PROTOCOL", "push"]), resp3.next().0);
        let (push, reply) = if one.is_push() { (one, two) } else { (two, one) };
        assert_eq!(push, Reply::Push(vec![bulk("server-cpu-usage"), Reply::Integer(42)]), "{name}");
        assert_eq!(reply.as_str(), Some("Some real reply following the push reply"), "{name}");
    }
}

#[test]
fn what_commands_answer_in_both_protocols() {
    for name in SERVERS {
        let server = Server::start(name);
        let (mut resp3, mut resp2) = (Client::resp3(&server), Client::new(&server));
        let writes: [&[&str]; 4] = [
            &["HSET", "hash", "f1", "v1", "f2", "v2"],
            &["SADD", "set", "a"],
            &["ZADD", "zset", "inf", "a", "-inf", "b", "1e300", "c", "0.1", "d", "17", "e"],
            &["SET", "string", "value"],
        ];
        for write in writes {
            assert!(!resp3.ask(write).is_error(), "{name}: {write:?}");
        }
        let reads: [&[&str]; 13] = [
            &["HGETALL", "hash"],
            &["SMEMBERS", "set"],
            &["ZSCORE", "zset", "a"],
            &["ZSCORE", "zset", "b"],
            &["ZSCORE", "zset", "d"],
            &["ZSCORE", "zset", "e"],
            &["ZSCORE", "zset", "none"],
            &["CONFIG", "GET", "maxmemory*"],
            &["GET", "none"],
            &["GET", "string"],
            &["GET", "hash"],
            &["HGETALL", "none"],
            &["ZADD", "zset", "INCR", "0.25", "e"],
        ];
        for read in reads {
            let reply = resp3.ask(read);
            resp2.send(if read[0] == "ZADD" { &["ZSCORE", "zset", "e"] } else { read });
            let (other, wire) = resp2.next();
            same_in_resp2(&reply, &(other.clone(), wire), &format!("{name}: {read:?}"));
            // One way of asking does for both.
            assert_eq!(reply.as_f64(), other.as_f64(), "{name}: {read:?}");
            assert_eq!(reply.as_array().is_some(), other.as_array().is_some() && reply.as_map().is_none());
            let texts = |reply: &Reply| {
                let pairs = reply.as_map().into_iter().flatten();
                pairs.map(|(k, v)| [k, v].map(|reply| reply.as_str().map(str::to_owned))).collect::<Vec<_>>()
            };
            assert_eq!(texts(&reply), texts(&other), "{name}: {read:?}");
        }
        assert_eq!(resp3.ask(&["ZSCORE", "zset", "c"]), Reply::Double(1e300));
        assert_eq!(resp3.ask(&["HGETALL", "hash"]).get("f2"), Some(&bulk("v2")));
        let info = resp3.ask(&["INFO", "server"]);
        assert!(matches!(&info, Reply::Verbatim { format, .. } if format == b"txt"), "{name}: {info:?}");
        assert!(info.as_str().is_some_and(|text| text.contains("tcp_port:")), "{name}: {info:?}");
        // All in one, some of them in each other.
        for queued in
            [&["MULTI"][..], &["HGETALL", "hash"], &["ZSCORE", "zset", "a"], &["LPOP", "string"], &["GET", "none"]]
        {
            assert!(!resp3.ask(queued).is_error());
        }
        let exec = resp3.ask(&["EXEC"]);
        let elements = exec.as_array().unwrap();
        assert_eq!(elements[0].get("f1"), Some(&bulk("v1")));
        assert_eq!(elements[1], Reply::Double(f64::INFINITY));
        assert_eq!(elements[2].error_code(), Some("WRONGTYPE"));
        assert!(elements[3].is_null() && elements.len() == 4);
        let script = "redis.setresp(3); return {map={a={double=0.5}, b={set={x=true}}}}";
        let reply = resp3.ask(&["EVAL", script, "0"]);
        assert_eq!(reply.get("a").and_then(Reply::as_f64), Some(0.5), "{name}: {reply:?}");
        assert_eq!(reply.get("b"), Some(&Reply::Set(vec![bulk("x")])), "{name}: {reply:?}");
    }
}

#[test]
fn pushes_come_between_replies() {
    for name in SERVERS {
        let server = Server::start(name);
        let mut client = Client::resp3(&server);
        assert!(client.ask(&["CLIENT", "TRACKING", "ON"]).is_ok());
        assert!(client.ask(&["GET", "key"]).is_null());
        server.cmd(&["SET", "key", "value"]);
        let (push, _) = client.next();
        assert_eq!(push, Reply::Push(vec![bulk("invalidate"), Reply::Array(vec![bulk("key")])]), "{name}");
        client.send(&["SUBSCRIBE", "channel"]);
        let (push, _) = client.next();
        assert_eq!(push.as_push().map(|elements| elements[0].as_str()), Some(Some("subscribe")), "{name}");
        server.cmd(&["PUBLISH", "channel", "text"]);
        assert_eq!(client.next().0, Reply::Push(vec![bulk("message"), bulk("channel"), bulk("text")]), "{name}");
        // A subscriber of RESP3 may run any command.
        assert_eq!(client.ask(&["GET", "key"]), bulk("value"), "{name}");
        let back = client.ask(&["HELLO", "2"]);
        assert!(matches!(back, Reply::Array(_)) && back.get("proto") == Some(&Reply::Integer(2)), "{name}: {back:?}");
    }
}
