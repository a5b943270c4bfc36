//! What is on the wire, to the byte, for a replica that is a script.

use std::time::Duration;

use bytes::Bytes;
use rdts_core::ErrorKind;
use rdts_core::primary::{Primary, PrimaryConfig, Protocol, ReplicaState, SnapshotFraming};
use rdts_resp::encode;
use tokio::io::{AsyncReadExt, AsyncWriteExt, BufStream};
use tokio::net::TcpStream;

use super::{quiet, soon};

const REPLID: &str = "0123456789abcdef0123456789abcdef01234567";
/// Nobody loads it here.
const RDB: &[u8] = b"REDIS0009\xffno real snapshot, but bytes all the same\r\n";

struct Replica(BufStream<TcpStream>);

impl Replica {
    async fn connect(primary: &Primary) -> Self {
        Self(BufStream::new(TcpStream::connect(primary.local_addr()).await.unwrap()))
    }

    /// A connection that is fed after a full sync.
    async fn synced(primary: &Primary) -> Self {
        let mut replica = Self::connect(primary).await;
        replica.send(&["PSYNC", "?", "-1"]).await;
        assert!(replica.line().await.starts_with("+FULLRESYNC"));
        assert_eq!(replica.line().await, format!("${}", RDB.len()));
        replica.expect(RDB).await;
        replica
    }

    async fn write(&mut self, bytes: &[u8]) {
        self.0.write_all(bytes).await.unwrap();
        self.0.flush().await.unwrap();
    }

    async fn send(&mut self, args: &[&str]) {
        let mut command = Vec::new();
        encode::command(&mut command, args);
        self.write(&command).await;
    }

    /// The next line without its CR LF.
    async fn line(&mut self) -> String {
        soon("a line", async {
            let mut line = Vec::new();
            while !line.ends_with(b"\r\n") {
                line.push(self.0.read_u8().await.expect("the connection is open"));
            }
            String::from_utf8(line[..line.len() - 2].to_vec()).unwrap()
        })
        .await
    }

    async fn expect(&mut self, expected: &[u8]) {
        let mut bytes = vec![0; expected.len()];
        soon("bytes", self.0.read_exact(&mut bytes)).await.unwrap();
        assert_eq!(bytes.escape_ascii().to_string(), expected.escape_ascii().to_string());
    }

    async fn ask(&mut self, args: &[&str]) -> String {
        self.send(args).await;
        self.line().await
    }

    async fn expect_closed(&mut self) {
        let mut rest = Vec::new();
        // A reset is as good as an end.
        let _ = soon("the end of the connection", self.0.read_to_end(&mut rest)).await;
        assert_eq!(rest.escape_ascii().to_string(), "");
    }
}

fn config() -> PrimaryConfig {
    PrimaryConfig::default().replid(REPLID.parse().unwrap())
}

async fn primary(config: PrimaryConfig) -> Primary {
    let primary = quiet(config).await;
    primary.set_snapshot(Bytes::from_static(RDB), primary.offset()).unwrap();
    primary
}

fn wire(args: &[&str]) -> Vec<u8> {
    let mut bytes = Vec::new();
    encode::command(&mut bytes, args);
    bytes
}

#[tokio::test]
async fn a_full_sync_by_length_and_the_stream_behind_it() {
    let primary = primary(config().offset(100)).await;
    let before = primary.append(&[b"SET", b"a", b"1"]);
    assert_eq!(before, 100 + wire(&["SET", "a", "1"]).len() as u64);
    let mut replica = Replica::connect(&primary).await;
    assert_eq!(replica.ask(&["PING"]).await, "+PONG");
    assert_eq!(replica.ask(&["REPLCONF", "listening-port", "6380"]).await, "+OK");
    assert_eq!(replica.ask(&["REPLCONF", "ip-address", "10.0.0.9"]).await, "+OK");
    assert_eq!(replica.ask(&["REPLCONF", "capa", "eof", "capa", "psync2", "capa", "x"]).await, "+OK");
    assert_eq!(replica.ask(&["REPLCONF", "version", "9.0.0"]).await, "+OK");
    // Though `capa eof` was announced: the configuration decides.
    assert_eq!(replica.ask(&["PSYNC", "?", "-1"]).await, format!("+FULLRESYNC {REPLID} 100"));
    assert_eq!(replica.line().await, format!("${}", RDB.len()));
    replica.expect(RDB).await;
    replica.expect(&wire(&["SET", "a", "1"])).await;
    let raw = [wire(&["MULTI"]), wire(&["SET", "b", "2"])].concat();
    let end = primary.append_raw(&raw).unwrap();
    assert_eq!(end, before + raw.len() as u64);
    replica.expect(&raw).await;
    replica.send(&["REPLCONF", "ACK", &end.to_string()]).await;
    soon("the acknowledgement", primary.wait_acknowledged(end)).await;
    let [info] = &primary.replicas()[..] else { panic!("one replica") };
    assert_eq!((info.listening_port, info.state, info.acknowledged, info.sent), (6380, ReplicaState::Online, end, end));
    assert_eq!(primary.syncs(), (1, 0));
}

#[tokio::test]
async fn after_an_end_mark_the_stream_waits_for_the_first_acknowledgement() {
    let primary = primary(config().framing(SnapshotFraming::Eof).write_chunk(3)).await;
    let mut replica = Replica::connect(&primary).await;
    replica.ask(&["REPLCONF", "capa", "eof"]).await;
    assert_eq!(replica.ask(&["PSYNC", "?", "-1"]).await, format!("+FULLRESYNC {REPLID} 0"));
    let header = replica.line().await;
    let mark = header.strip_prefix("$EOF:").unwrap();
    assert_eq!(mark.len(), 40);
    replica.expect(RDB).await;
    replica.expect(mark.as_bytes()).await;
    let end = primary.append(&[b"SET", b"a", b"1"]);
    soon("the state", primary.wait_for(|all| all.iter().any(|it| it.state == ReplicaState::AwaitingAck))).await;
    // A newline keeps the link alive, but is no acknowledgement.
    replica.write(b"\n").await;
    let silence = tokio::time::timeout(Duration::from_millis(100), replica.0.read_u8()).await;
    assert!(silence.is_err(), "nothing may come before the acknowledgement");
    replica.send(&["REPLCONF", "ACK", "0"]).await;
    replica.expect(&wire(&["SET", "a", "1"])).await;
    assert_eq!(primary.offset(), end);
}

#[tokio::test]
async fn an_end_mark_is_only_for_those_who_understand_it() {
    let primary = primary(config().framing(SnapshotFraming::Eof)).await;
    Replica::synced(&primary).await;
}

#[tokio::test]
async fn newlines_keep_the_link_alive_while_the_snapshot_is_made() {
    let config = config().newlines_before_reply(2).newlines_before_snapshot(3).newline_period(Duration::from_millis(1));
    let primary = primary(config).await;
    let mut replica = Replica::connect(&primary).await;
    replica.send(&["PSYNC", "?", "-1"]).await;
    replica.expect(format!("\n\n+FULLRESYNC {REPLID} 0\r\n\n\n\n${}\r\n", RDB.len()).as_bytes()).await;
    replica.expect(RDB).await;
}

#[tokio::test]
async fn commands_of_old_come_inline() {
    let primary = primary(config().protocol(Protocol::SyncOnly)).await;
    let mut replica = Replica::connect(&primary).await;
    replica.write(b"PING\r\nREPLCONF listening-port 7\r\nREPLCONF capa eof\r\nPSYNC ? -1\r\n").await;
    assert_eq!(replica.line().await, "+PONG");
    assert_eq!(replica.line().await, "+OK");
    assert_eq!(replica.line().await, "-ERR Unrecognized REPLCONF option: capa");
    assert_eq!(replica.line().await, "-ERR unknown command 'PSYNC'");
    replica.write(b"SYNC\r\n").await;
    assert_eq!(replica.line().await, format!("${}", RDB.len()));
    replica.expect(RDB).await;
    primary.append(&[b"DEL", b"a"]);
    replica.expect(&wire(&["DEL", "a"])).await;
}

#[tokio::test]
async fn a_replica_that_comes_back_goes_on_where_it_was() {
    let primary = primary(config()).await;
    let first = primary.append(&[b"SET", b"a", b"1"]);
    let second = primary.append(&[b"SET", b"b", b"2"]);
    // The byte wanted next; names are compared in either case.
    let next = (first + 1).to_string();
    let upper = REPLID.to_uppercase();
    for (capa, replid, reply) in [
        (None, REPLID, "+CONTINUE".to_owned()),
        (None, &upper, "+CONTINUE".to_owned()),
        (Some("psync2"), REPLID, format!("+CONTINUE {REPLID}")),
    ] {
        let mut replica = Replica::connect(&primary).await;
        if let Some(capa) = capa {
            replica.ask(&["REPLCONF", "capa", capa]).await;
        }
        assert_eq!(replica.ask(&["PSYNC", replid, &next]).await, reply);
        replica.expect(&wire(&["SET", "b", "2"])).await;
    }
    // One who has everything gets an empty rest.
    let mut replica = Replica::connect(&primary).await;
    assert_eq!(replica.ask(&["PSYNC", REPLID, &(second + 1).to_string()]).await, "+CONTINUE");
    primary.append(&[b"SET", b"c", b"3"]);
    replica.expect(&wire(&["SET", "c", "3"])).await;
    assert_eq!(primary.syncs(), (0, 4));
    let past = (primary.offset() + 2).to_string();
    for (replid, next) in [(REPLID, "0"), (REPLID, &*past), (&*"f".repeat(40), "1"), ("?", "1"), (REPLID, "-1")] {
        let mut replica = Replica::connect(&primary).await;
        assert_eq!(replica.ask(&["PSYNC", replid, next]).await, format!("+FULLRESYNC {REPLID} 0"), "{replid} {next}");
    }
}

#[tokio::test]
async fn the_psync_of_old_does_not_name_the_history() {
    let primary = primary(config().protocol(Protocol::Psync)).await;
    let mut replica = Replica::connect(&primary).await;
    assert_eq!(replica.ask(&["REPLCONF", "capa", "psync2"]).await, "+OK");
    assert_eq!(replica.ask(&["REPLCONF", "ip-address", "::1"]).await, "-ERR Unrecognized REPLCONF option: ip-address");
    assert_eq!(replica.ask(&["PSYNC", REPLID, "1"]).await, "+CONTINUE");
}

#[tokio::test]
async fn a_new_history_takes_those_along_who_are_not_ahead_of_it() {
    let primary = primary(config()).await;
    let fork = primary.append(&[b"SET", b"a", b"1"]);
    let new = "f".repeat(40);
    primary.change_replid(new.parse().unwrap());
    assert_eq!(primary.replid().as_str(), new);
    let end = primary.append(&[b"SET", b"b", b"2"]);
    for (next, continues) in [(1, true), (fork + 1, true), (fork + 2, false), (end + 1, false)] {
        let mut replica = Replica::connect(&primary).await;
        replica.ask(&["REPLCONF", "capa", "psync2"]).await;
        let reply = replica.ask(&["PSYNC", REPLID, &next.to_string()]).await;
        let expected = if continues { format!("+CONTINUE {new}") } else { format!("+FULLRESYNC {new} 0") };
        assert_eq!(reply, expected, "{next}");
    }
}

#[tokio::test]
async fn a_snapshot_that_the_backlog_has_left_behind_is_refused() {
    let primary = primary(config().backlog(1000)).await;
    let value = vec![b'x'; 200];
    while primary.backlog_start() == 0 {
        primary.append(&[b"SET", b"a", &value]);
    }
    assert_eq!(primary.offset() - primary.backlog_start(), 1000);
    let mut replica = Replica::connect(&primary).await;
    let reply = replica.ask(&["PSYNC", "?", "-1"]).await;
    assert!(reply.starts_with("-ERR no full sync: the snapshot is of offset 0, but the backlog starts at"), "{reply}");
    assert!(replica.ask(&["SYNC"]).await.starts_with("-ERR no full sync"));
    for offset in [primary.backlog_start() - 1, primary.offset() + 1] {
        let error = primary.set_snapshot(Bytes::from_static(RDB), offset).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config);
    }
    primary.set_snapshot(Bytes::from_static(RDB), primary.backlog_start()).unwrap();
    // On the same connection, now that it can be had.
    assert!(replica.ask(&["PSYNC", "?", "-1"]).await.starts_with("+FULLRESYNC"));
}

#[tokio::test]
async fn without_a_snapshot_there_is_no_full_sync() {
    let primary = quiet(config()).await;
    let mut replica = Replica::connect(&primary).await;
    assert_eq!(replica.ask(&["PSYNC", "?", "-1"]).await, "-ERR no full sync: this primary has no snapshot yet");
    assert!(primary.replicas().is_empty());
}

#[tokio::test]
async fn a_replica_that_does_not_read_is_disconnected_and_others_are_not() {
    let primary = primary(config().backlog(1 << 20).output_limit(2 << 20)).await;
    let slow = Replica::synced(&primary).await;
    let mut quick = Replica::synced(&primary).await;
    let value = vec![b'x'; 60_000];
    let command = {
        let mut bytes = Vec::new();
        encode::command(&mut bytes, [&b"SET"[..], b"key", &value]);
        bytes
    };
    // Socket buffers take some megabytes before it shows.
    for _ in 0..1000 {
        primary.append(&[b"SET", b"key", &value]);
        quick.expect(&command).await;
        if primary.replicas().len() == 1 {
            break;
        }
    }
    soon("the slow one to be gone", primary.wait_for(|replicas| replicas.len() == 1)).await;
    assert_eq!(primary.offset() - primary.backlog_start(), 1 << 20);
    primary.append(&[b"PING"]);
    quick.expect(&wire(&["PING"])).await;
    drop(slow);
}

#[tokio::test]
async fn a_silent_replica_is_disconnected() {
    // Time is what this is about: the pauses are much shorter than the limit, and together longer.
    let primary = primary(config().timeout(Duration::from_secs(1))).await;
    let mut of_old = Replica::connect(&primary).await;
    of_old.send(&["SYNC"]).await;
    let mut replica = Replica::synced(&primary).await;
    for sign in [b"\n".to_vec(), wire(&["REPLCONF", "ACK", "0"])] {
        for _ in 0..12 {
            tokio::time::sleep(Duration::from_millis(100)).await;
            replica.write(&sign).await;
        }
    }
    assert_eq!(primary.replicas().len(), 2);
    replica.expect_closed().await;
    // The other one has no means to speak.
    soon("one to be left", primary.wait_for(|replicas| replicas.len() == 1)).await;
}

#[tokio::test]
async fn a_replica_that_lags_keeps_what_it_needs_until_the_limit() {
    let primary = primary(config().backlog(1000)).await;
    let mut replica = Replica::synced(&primary).await;
    let value = vec![b'x'; 60_000];
    // More than socket buffers take.
    let count = 500;
    for _ in 0..count {
        primary.append(&[b"SET", b"key", &value]);
    }
    let command = [&b"*3\r\n$3\r\nSET\r\n$3\r\nkey\r\n$60000\r\n"[..], &value, b"\r\n"].concat();
    for _ in 0..count {
        replica.expect(&command).await;
    }
    primary.append(&[b"PING"]);
    replica.expect(&wire(&["PING"])).await;
    assert_eq!(primary.replicas().len(), 1);
    // Now that it has all, no more is kept than was asked for.
    soon("it to be sent", async {
        while primary.offset() - primary.backlog_start() > 1000 {
            primary.append(&[b"PING"]);
            replica.expect(&wire(&["PING"])).await;
        }
    })
    .await;
}

#[tokio::test]
async fn pings_and_requests_keep_out_of_transactions() {
    let config = config().ping_period(Duration::from_millis(5));
    let primary = Primary::bind("127.0.0.1:0", config).await.unwrap();
    primary.set_snapshot(Bytes::from_static(RDB), 0).unwrap();
    primary.append_raw(&wire(&["multi"])).unwrap();
    let mut replica = Replica::synced(&primary).await;
    replica.expect(&wire(&["multi"])).await;
    primary.request_acknowledgements();
    tokio::time::sleep(Duration::from_millis(50)).await;
    let end = primary.append(&[b"exec"]);
    replica.expect(&[wire(&["exec"]), wire(&["REPLCONF", "GETACK", "*"]), wire(&["PING"])].concat()).await;
    assert!(primary.offset() > end);
}

#[tokio::test]
async fn only_whole_commands_go_into_the_stream() {
    let primary = primary(config()).await;
    let good = wire(&["SET", "a", "1"]);
    for (tail, what) in [
        (&b"*1\r\n$4\r\nPI"[..], "command at byte 27: cut off"),
        (b"PING\r\n", "command at byte 27: no array of bulk strings"),
        (b"*1\r\n:1\r\n", "command at byte 27: no RESP: invalid RESP at byte 4 of a frame"),
    ] {
        let error = primary.append_raw(&[&good, tail].concat()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Protocol);
        assert!(error.to_string().starts_with(what), "{error}");
    }
    assert_eq!(primary.offset(), 0);
}

#[tokio::test]
async fn what_replicas_may_not_say_ends_the_link() {
    let primary = primary(config()).await;
    let mut replica = Replica::synced(&primary).await;
    replica.send(&["PING"]).await;
    replica.expect_closed().await;
    let mut client = Replica::connect(&primary).await;
    client.write(b"*1\r\n$99999999\r\n").await;
    assert!(client.line().await.starts_with("-ERR Protocol error: invalid RESP at byte 4"));
    client.expect_closed().await;
}

#[tokio::test]
async fn disconnecting_and_shutting_down() {
    let primary = primary(config()).await;
    let mut replica = Replica::synced(&primary).await;
    let mut client = Replica::connect(&primary).await;
    assert_eq!(client.ask(&["PING"]).await, "+PONG");
    primary.disconnect_replicas();
    replica.expect_closed().await;
    assert_eq!(client.ask(&["PING"]).await, "+PONG");
    let address = primary.local_addr();
    soon("the shutdown", primary.shutdown()).await;
    client.expect_closed().await;
    assert!(TcpStream::connect(address).await.is_err());
}

#[tokio::test]
async fn the_last_handle_ends_it() {
    let primary = primary(config()).await;
    let mut replica = Replica::synced(&primary).await;
    let other = primary.clone();
    drop(primary);
    other.append(&[b"PING"]);
    replica.expect(&wire(&["PING"])).await;
    drop(other);
    replica.expect_closed().await;
}

#[tokio::test]
async fn too_many_connections_are_refused() {
    let primary = primary(config().connections(1)).await;
    let mut first = Replica::connect(&primary).await;
    assert_eq!(first.ask(&["PING"]).await, "+PONG");
    let mut second = Replica::connect(&primary).await;
    assert_eq!(second.line().await, "-ERR max number of clients reached");
    second.expect_closed().await;
    assert_eq!(first.ask(&["QUIT"]).await, "+OK");
    first.expect_closed().await;
    let mut third = Replica::connect(&primary).await;
    assert_eq!(third.ask(&["PING"]).await, "+PONG");
}
