//! Something between us and a real server that has it say other things than it does: an old version, another time, little memory.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread;

/// Passes everything on, but that `from` becomes `to` in what the server answers. Gives its port. It ends with the process.
pub(super) fn relay(port: u16, from: &'static str, to: &'static str) -> u16 {
    assert_eq!(from.len(), to.len(), "lengths are part of replies");
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let own = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        while let Ok((client, _)) = listener.accept() {
            let Ok(server) = TcpStream::connect(("127.0.0.1", port)) else { continue };
            let (mut up, mut down) = (client.try_clone().unwrap(), server.try_clone().unwrap());
            thread::spawn(move || {
                let _ = std::io::copy(&mut up, &mut down);
                let _ = down.shutdown(std::net::Shutdown::Write);
            });
            thread::spawn(move || replace(server, client, from.as_bytes(), to.as_bytes()));
        }
    });
    own
}

fn replace(mut server: TcpStream, mut client: TcpStream, from: &[u8], to: &[u8]) {
    let (mut held, mut buffer) = (Vec::new(), [0; 1 << 16]);
    while let Ok(count @ 1..) = server.read(&mut buffer) {
        held.extend_from_slice(&buffer[..count]);
        while let Some(at) = held.windows(from.len()).position(|window| window == from) {
            held[at..at + from.len()].copy_from_slice(to);
        }
        // What may be the beginning of it waits for the rest.
        let kept = (1..from.len()).rev().find(|length| held.ends_with(&from[..*length])).unwrap_or(0);
        let rest = held.split_off(held.len() - kept);
        if client.write_all(&std::mem::replace(&mut held, rest)).is_err() {
            return;
        }
    }
    let _ = client.write_all(&held);
    let _ = client.shutdown(std::net::Shutdown::Both);
}
