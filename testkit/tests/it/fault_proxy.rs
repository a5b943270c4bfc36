use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};

use rdts_testkit::{Direction, FaultProxy, Flow, Load, LoadOptions, Server, assert_same, wait_until};

const SOON: Duration = Duration::from_secs(20);

/// A listener, a proxy in front of it, and both ends of a connection through it.
struct Line {
    listener: TcpListener,
    proxy: FaultProxy,
    client: TcpStream,
    server: TcpStream,
}

impl Line {
    fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let proxy = FaultProxy::start(listener.local_addr().unwrap().port());
        let (client, server) = connect(&proxy, &listener);
        Self { listener, proxy, client, server }
    }

    /// Sends a byte to each side, which has to arrive.
    fn passes(&mut self) {
        alive(&mut self.client, &mut self.server);
    }
}

fn connect(proxy: &FaultProxy, listener: &TcpListener) -> (TcpStream, TcpStream) {
    let client = TcpStream::connect(proxy.addr()).unwrap();
    let server = listener.accept().unwrap().0;
    client.set_read_timeout(Some(SOON)).unwrap();
    server.set_read_timeout(Some(SOON)).unwrap();
    (client, server)
}

fn alive(client: &mut TcpStream, server: &mut TcpStream) {
    let mut byte = [0];
    client.write_all(b"c").unwrap();
    server.read_exact(&mut byte).unwrap();
    assert_eq!(&byte, b"c");
    server.write_all(b"s").unwrap();
    client.read_exact(&mut byte).unwrap();
    assert_eq!(&byte, b"s");
}

/// Whether nothing comes for a while.
fn silent(stream: &mut TcpStream) -> bool {
    stream.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
    let read = stream.read(&mut [0; 100]);
    stream.set_read_timeout(Some(SOON)).unwrap();
    read.is_err_and(|error| error.kind() == ErrorKind::WouldBlock)
}

#[test]
fn passes_bytes_and_ends_in_each_direction() {
    let mut line = Line::new();
    line.passes();
    assert_eq!((line.proxy.accepted(), line.proxy.open()), (1, 1));
    line.client.shutdown(std::net::Shutdown::Write).unwrap();
    assert_eq!(line.server.read(&mut [0; 10]).unwrap(), 0);
    line.server.write_all(b"still").unwrap();
    line.client.read_exact(&mut [0; 5]).unwrap();
    drop(line.server);
    assert_eq!(line.client.read(&mut [0; 10]).unwrap(), 0);
    line.proxy.wait_until("the connection to be over", SOON, |proxy| proxy.open() == 0);
    assert_eq!((line.proxy.passed(Direction::ToServer), line.proxy.passed(Direction::ToClient)), (1, 6));
}

#[test]
fn a_cut_closes_both_sides_and_a_new_connection_is_as_good_as_any() {
    let mut line = Line::new();
    line.passes();
    line.proxy.cut();
    assert_eq!(line.client.read(&mut [0; 10]).unwrap(), 0);
    assert_eq!(line.server.read(&mut [0; 10]).unwrap(), 0);
    let (mut client, mut server) = connect(&line.proxy, &line.listener);
    alive(&mut client, &mut server);
}

#[test]
fn a_reset_comes_right_behind_the_byte_that_was_asked_for() {
    for direction in [Direction::ToClient, Direction::ToServer] {
        let line = Line::new();
        line.proxy.reset_after(direction, 1000);
        let (mut from, mut to) = match direction {
            Direction::ToClient => (line.server, line.client),
            Direction::ToServer => (line.client, line.server),
        };
        from.write_all(&[7; 600]).unwrap();
        let mut received = vec![0; 600];
        to.read_exact(&mut received).unwrap();
        from.write_all(&[7; 600]).unwrap();
        let mut rest = Vec::new();
        let ended = to.read_to_end(&mut rest);
        assert_eq!((rest.len(), ended.unwrap_err().kind()), (400, ErrorKind::ConnectionReset));
        assert_eq!(from.read(&mut [0]).unwrap_err().kind(), ErrorKind::ConnectionReset);
        line.proxy.wait_until("the reset to be counted", SOON, |proxy| proxy.resets() == 1);
        let (mut client, mut server) = connect(&line.proxy, &line.listener);
        alive(&mut client, &mut server);
    }
}

#[test]
fn what_is_held_comes_later_and_what_is_lost_does_not() {
    let mut line = Line::new();
    line.proxy.set(Direction::ToServer, Flow::Held);
    line.client.write_all(b"held").unwrap();
    assert!(silent(&mut line.server));
    line.server.write_all(b"s").unwrap();
    line.client.read_exact(&mut [0]).unwrap();
    line.proxy.set(Direction::ToServer, Flow::Free);
    line.server.read_exact(&mut [0; 4]).unwrap();

    line.proxy.set(Direction::ToServer, Flow::Lost);
    line.client.write_all(b"lost").unwrap();
    assert!(silent(&mut line.server));
    // Half open: the other direction lives, and this one remains dead on this connection and on no other.
    line.server.write_all(b"s").unwrap();
    line.client.read_exact(&mut [0]).unwrap();
    line.proxy.set(Direction::ToServer, Flow::Free);
    line.client.write_all(b"more").unwrap();
    assert!(silent(&mut line.server));
    let (mut client, mut server) = connect(&line.proxy, &line.listener);
    alive(&mut client, &mut server);
    // Nor does the end arrive.
    drop(line.client);
    assert!(silent(&mut line.server));
    line.proxy.cut();
    assert_eq!(line.server.read(&mut [0]).unwrap(), 0);
}

#[test]
fn refuses_by_a_reset_and_goes_where_it_is_told() {
    let mut line = Line::new();
    line.proxy.refuse(true);
    let mut refused = TcpStream::connect(line.proxy.addr()).unwrap();
    assert_eq!(refused.read(&mut [0]).unwrap_err().kind(), ErrorKind::ConnectionReset);
    line.proxy.wait_until("it to be counted", SOON, |proxy| proxy.refused() == 1);
    line.passes();
    line.proxy.refuse(false);
    let other = TcpListener::bind("127.0.0.1:0").unwrap();
    line.proxy.set_upstream(other.local_addr().unwrap().port());
    let (mut client, mut server) = connect(&line.proxy, &other);
    alive(&mut client, &mut server);
    line.passes();
}

#[test]
fn single_bytes_limits_and_delays_lose_nothing() {
    let mut line = Line::new();
    let data: Vec<u8> = (0..=255).cycle().take(40_000).collect();
    for flow in [Flow::Single, Flow::Limited(200_000), Flow::Late(Duration::from_millis(30))] {
        line.proxy.set_both(flow);
        let start = Instant::now();
        let mut writer = line.client.try_clone().unwrap();
        let sent = data.clone();
        let writing = std::thread::spawn(move || writer.write_all(&sent).unwrap());
        let mut received = vec![0; data.len()];
        line.server.read_exact(&mut received).unwrap();
        writing.join().unwrap();
        assert!(received == data, "{flow:?}");
        let least = match flow {
            Flow::Limited(rate) => Duration::from_secs_f64(data.len() as f64 / rate as f64),
            Flow::Late(by) => by,
            _ => Duration::ZERO,
        };
        assert!(start.elapsed() >= least, "{flow:?} took {:?}", start.elapsed());
    }
}

#[test]
fn a_replica_behind_it_survives_a_broken_network() {
    let primary = Server::builder("redis-7.0").arg("repl-timeout", "2").arg("repl-backlog-size", "10mb").start();
    let replica = Server::builder("redis-7.0").arg("repl-timeout", "2").start();
    let proxy = FaultProxy::before(&primary);
    let load = Load::start(&primary, LoadOptions::default());
    replica.cmd(&["REPLICAOF", "127.0.0.1", &proxy.port().to_string()]);
    let up = |replica: &Server| replica.info("replication")["master_link_status"] == "up";
    replica.wait_until("the replica to follow", SOON, up);
    proxy.set(Direction::ToClient, Flow::Lost);
    replica.wait_until("the replica to notice", SOON, |replica| !up(replica));
    proxy.set(Direction::ToClient, Flow::Free);
    replica.wait_until("the replica to come back", SOON, up);
    proxy.reset_after(Direction::ToClient, 777);
    proxy.wait_until("the reset", SOON, |proxy| proxy.resets() == 1);
    load.wait_for(100, SOON);
    load.stop();
    let offset = || replica.info("replication").get("slave_repl_offset").cloned();
    wait_until("the replica to have everything", SOON, || {
        up(&replica) && offset().as_ref() == primary.info("replication").get("master_repl_offset")
    });
    assert_same(&primary, &replica);
    assert!(primary.info("stats")["sync_partial_ok"].parse::<u64>().unwrap() >= 2);
}
