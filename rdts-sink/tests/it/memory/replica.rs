//! The barest replica: takes an empty snapshot and applies the stream to a store.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use rdts_resp::CommandDecoder;
use rdts_sink::memory::MemoryStore;
use rdts_testkit::Server;

pub(crate) struct Replica {
    link: BufReader<TcpStream>,
    decoder: CommandDecoder,
    unread: Vec<u8>,
    db: u32,
    /// The offset of the last byte that was applied.
    pub(crate) offset: u64,
    pub(crate) store: MemoryStore,
    /// How often each command came.
    pub(crate) commands: std::collections::BTreeMap<String, u64>,
}

impl Replica {
    /// Connects to a server without keys.
    pub(crate) fn attach(server: &Server) -> Self {
        let stream = TcpStream::connect(server.addr()).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        let mut link = BufReader::new(stream);
        for request in ["REPLCONF capa psync2", "REPLCONF version 9.1.0"] {
            link.get_mut().write_all(format!("{request}\r\n").as_bytes()).unwrap();
            line(&mut link); // servers that do not know the option say so, and go on
        }
        link.get_mut().write_all(b"PSYNC ? -1\r\n").unwrap();
        let full = line(&mut link);
        let offset = full
            .strip_prefix("+FULLRESYNC ")
            .and_then(|text| text.split(' ').nth(1))
            .unwrap_or_else(|| panic!("{full}"));
        let length: u64 = line(&mut link).strip_prefix('$').unwrap().parse().unwrap();
        std::io::copy(&mut link.by_ref().take(length), &mut std::io::sink()).unwrap();
        let offset = offset.parse().unwrap();
        link.get_mut().write_all(format!("REPLCONF ACK {offset}\r\n").as_bytes()).unwrap();
        Self {
            link,
            decoder: CommandDecoder::new(),
            unread: Vec::new(),
            db: 0,
            offset,
            store: MemoryStore::new(),
            commands: std::collections::BTreeMap::new(),
        }
    }

    /// Applies everything up to an offset.
    pub(crate) fn catch_up(&mut self, offset: u64) {
        while self.offset < offset {
            let chunk = self.link.fill_buf().unwrap();
            assert!(!chunk.is_empty(), "the primary closed the link");
            let length = chunk.len();
            self.unread.extend_from_slice(chunk);
            self.link.consume(length);
            let mut at = 0;
            while let Some((consumed, command)) = self.decoder.decode(&self.unread[at..]).unwrap() {
                let args: Vec<&[u8]> = command.iter().collect();
                at += consumed;
                self.offset += consumed as u64;
                let Some(name) = args.first() else { continue };
                let name = String::from_utf8(name.to_ascii_uppercase()).unwrap();
                match name.as_str() {
                    "SELECT" => self.db = std::str::from_utf8(args[1]).unwrap().parse().unwrap(),
                    "MULTI" | "EXEC" => {}
                    _ => {
                        let shown =
                            || args.iter().map(|arg| arg.escape_ascii().to_string()).collect::<Vec<_>>().join(" ");
                        let result = self.store.apply(self.db, &args, super::now_ms());
                        result.unwrap_or_else(|error| panic!("{}: {error}", shown()));
                    }
                }
                *self.commands.entry(name).or_default() += 1;
            }
            self.unread.drain(..at);
        }
    }
}

/// The next line that is not empty: primaries send bare newlines to keep the link alive.
fn line(link: &mut BufReader<TcpStream>) -> String {
    loop {
        let mut line = String::new();
        assert!(link.read_line(&mut line).unwrap() > 0, "the primary closed the link");
        if !line.trim().is_empty() {
            return line.trim().to_owned();
        }
    }
}
