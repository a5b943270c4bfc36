//! A proxy: one session after the other is a thread, one command after the other is executed.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use super::{SLOTS, State, slot};

/// What Codis 3.2 does not pass on.
const REFUSED: &str = "ASKING BGREWRITEAOF BGSAVE BITOP BLPOP BRPOP BRPOPLPUSH CLIENT CLUSTER CONFIG DBSIZE DEBUG DISCARD EXEC \
                       FLUSHALL FLUSHDB HOST: KEYS LASTSAVE LATENCY MIGRATE MONITOR MOVE MSETNX MULTI OBJECT POST PSUBSCRIBE PSYNC PUBLISH \
                       PUNSUBSCRIBE RANDOMKEY READONLY READWRITE RENAME RENAMENX REPLCONF RESTORE SAVE SCAN SCRIPT \
                       SHUTDOWN SLAVEOF SLOTSCHECK SLOTSDEL SLOTSMGRTONE SLOTSMGRTSLOT SLOTSMGRTTAGONE \
                       SLOTSMGRTTAGSLOT SLOWLOG SUBSCRIBE SYNC TIME UNSUBSCRIBE UNWATCH WAIT WATCH";
/// Databases of a backend.
const DATABASES: usize = 16;

/// Takes clients on `listener` for as long as the process lasts.
pub(super) fn serve(listener: TcpListener, state: Arc<Mutex<State>>) {
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let state = state.clone();
            std::thread::spawn(move || {
                // A client or server that hangs up ends the session.
                let _ = session(&stream, &state);
            });
        }
    });
}

fn session(client: &TcpStream, state: &Mutex<State>) -> io::Result<()> {
    client.set_nodelay(true)?;
    let mut input = BufReader::new(client);
    let mut backends = Backends { state, links: Vec::new(), db: 0 };
    let mut output = client;
    while let Some(args) = command(&mut input)? {
        let name = String::from_utf8_lossy(&args[0]).to_ascii_uppercase();
        if state.lock().unwrap().closes_at.as_ref() == Some(&name) {
            return Ok(());
        }
        output.write_all(&backends.execute(&name, &args)?)?;
    }
    Ok(())
}

/// Connections to the groups.
struct Backends<'a> {
    state: &'a Mutex<State>,
    links: Vec<(usize, BufReader<TcpStream>)>,
    db: usize,
}

impl Backends<'_> {
    fn execute(&mut self, name: &str, args: &[Vec<u8>]) -> io::Result<Vec<u8>> {
        // Names with other characters are not looked up, so that RESTORE-ASKING is no name of the table.
        if REFUSED.split_ascii_whitespace().any(|refused| refused == name) {
            self.state.lock().unwrap().refused.push(name.to_owned());
            return Ok(format!("-ERR handle request, command '{name}' is not allowed\r\n").into_bytes());
        }
        let key = |at: usize| args.get(at).cloned().unwrap_or_default();
        match name {
            "SELECT" => {
                let db = String::from_utf8_lossy(&key(1)).parse().unwrap_or(DATABASES);
                if db >= DATABASES {
                    return Ok(b"-ERR invalid DB index, out of range\r\n".to_vec());
                }
                self.db = db;
                self.links.clear();
                Ok(b"+OK\r\n".to_vec())
            }
            "SLOTSMAPPING" => Ok(self.mapping(&key(1))),
            "SLOTSRESTORE" => self.restore(args),
            "DEL" | "EXISTS" => {
                let mut sum = 0;
                for key in &args[1..] {
                    let reply = self.ask(key, &[&args[0], key])?;
                    match std::str::from_utf8(&reply[1..reply.len() - 2]).ok().and_then(|text| text.parse::<u64>().ok())
                    {
                        Some(count) => sum += count,
                        None => return Ok(reply),
                    }
                }
                Ok(format!(":{sum}\r\n").into_bytes())
            }
            "MSET" => {
                for pair in args[1..].chunks(2) {
                    let reply = self.ask(&pair[0], &[&args[0], &pair[0], &pair[1]])?;
                    if reply[0] == b'-' {
                        return Ok(reply);
                    }
                }
                Ok(b"+OK\r\n".to_vec())
            }
            "ZUNIONSTORE" | "ZINTERSTORE" | "EVAL" | "EVALSHA" => self.ask(&key(3), &slices(args)),
            _ => self.ask(&key(1), &slices(args)),
        }
    }

    /// Routed by the first key alone.
    fn restore(&mut self, args: &[Vec<u8>]) -> io::Result<Vec<u8>> {
        let route = args.get(1).cloned().unwrap_or_default();
        let mut reply = b"-ERR wrong number of arguments for 'slotsrestore' command\r\n".to_vec();
        for triple in args[1..].chunks_exact(3) {
            let (key, ttl, payload) = (&triple[0], &triple[1], &triple[2]);
            reply = self.ask(&route, &[b"RESTORE", key, ttl, payload, b"REPLACE"])?;
            if reply[0] == b'-' {
                break;
            }
        }
        Ok(reply)
    }

    /// The slot, its server, the one that it comes from, its replicas.
    fn mapping(&self, slot: &[u8]) -> Vec<u8> {
        let state = self.state.lock().unwrap();
        let slot: usize = String::from_utf8_lossy(slot).parse().unwrap_or(SLOTS);
        let Some(group) = state.slots.get(slot) else { return b"-ERR invalid slot\r\n".to_vec() };
        let address = |group: usize| {
            let port = group.checked_sub(1).and_then(|at| state.ports.get(at));
            port.map_or_else(String::new, |port| format!("127.0.0.1:{port}"))
        };
        let (to, from) = match &state.moves[slot] {
            Some((_, goal)) => (address(*goal), address(*group)),
            None => (address(*group), String::new()),
        };
        format!("*4\r\n:{slot}\r\n${}\r\n{to}\r\n${}\r\n{from}\r\n*0\r\n", to.len(), from.len()).into_bytes()
    }

    /// The reply of the server that has `route`, as it came.
    fn ask(&mut self, route: &[u8], args: &[&[u8]]) -> io::Result<Vec<u8>> {
        let (group, port) = {
            let state = self.state.lock().unwrap();
            match state.slots[slot(route)] {
                0 => return Ok(b"-ERR slot is not ready, may be offline\r\n".to_vec()),
                group => (group, state.ports[group - 1]),
            }
        };
        let at = match self.links.iter().position(|(known, _)| *known == group) {
            Some(at) => at,
            None => {
                let stream = TcpStream::connect(("127.0.0.1", port))?;
                stream.set_nodelay(true)?;
                let mut link = BufReader::new(stream);
                send(link.get_mut(), &[b"SELECT", self.db.to_string().as_bytes()])?;
                reply(&mut link, &mut Vec::new())?;
                self.links.push((group, link));
                self.links.len() - 1
            }
        };
        let link = &mut self.links[at].1;
        send(link.get_mut(), args)?;
        let mut answer = Vec::new();
        reply(link, &mut answer)?;
        Ok(answer)
    }
}

fn slices(args: &[Vec<u8>]) -> Vec<&[u8]> {
    args.iter().map(Vec::as_slice).collect()
}

fn send(stream: &mut TcpStream, args: &[&[u8]]) -> io::Result<()> {
    let mut frame = format!("*{}\r\n", args.len()).into_bytes();
    for arg in args {
        frame.extend_from_slice(format!("${}\r\n", arg.len()).as_bytes());
        frame.extend_from_slice(arg);
        frame.extend_from_slice(b"\r\n");
    }
    stream.write_all(&frame)
}

/// An array of bulk strings; `None` when the client has hung up.
fn command(input: &mut impl BufRead) -> io::Result<Option<Vec<Vec<u8>>>> {
    let mut line = String::new();
    if input.read_line(&mut line)? == 0 {
        return Ok(None);
    }
    let mut args = Vec::new();
    for _ in 0..number(&line) {
        line.clear();
        input.read_line(&mut line)?;
        let mut arg = vec![0; usize::try_from(number(&line)).unwrap_or_default() + 2];
        input.read_exact(&mut arg)?;
        arg.truncate(arg.len() - 2);
        args.push(arg);
    }
    if args.is_empty() { Err(io::ErrorKind::InvalidData.into()) } else { Ok(Some(args)) }
}

/// Copies one reply.
fn reply(input: &mut impl BufRead, out: &mut Vec<u8>) -> io::Result<()> {
    let start = out.len();
    if input.read_until(b'\n', out)? == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    let line = String::from_utf8_lossy(&out[start..]).into_owned();
    match line.as_bytes()[0] {
        b'$' if number(&line) >= 0 => {
            let length = u64::try_from(number(&line)).unwrap_or_default() + 2;
            input.take(length).read_to_end(out)?;
        }
        b'*' => {
            for _ in 0..number(&line) {
                reply(input, out)?;
            }
        }
        _ => {}
    }
    Ok(())
}

fn number(line: &str) -> i64 {
    line[1..].trim_end().parse().unwrap_or(-1)
}
