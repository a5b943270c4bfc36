//! The dashboard: an HTTP server of one answer.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use super::State;

/// Answers on `listener` for as long as the process lasts.
pub(super) fn serve(listener: TcpListener, state: Arc<Mutex<State>>) {
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            // Whoever hangs up in the middle has its reasons.
            let _ = answer(&stream, &state);
        }
    });
}

fn answer(mut stream: &TcpStream, state: &Mutex<State>) -> std::io::Result<()> {
    let mut lines = BufReader::new(stream).lines();
    let request = lines.next().transpose()?.unwrap_or_default();
    for line in lines {
        if line?.is_empty() {
            break;
        }
    }
    let state = state.lock().unwrap();
    let (status, body) = match &state.answer {
        Some(answer) => answer.clone(),
        None if request.starts_with("GET /topom/stats ") => (200, stats(&state)),
        None => (404, "404 page not found".to_owned()),
    };
    // A dashboard says nothing after the number of a status that has no name.
    write!(stream, "HTTP/1.1 {status} \r\nContent-Type: application/json; charset=utf-8\r\n")?;
    write!(stream, "Content-Length: {}\r\n\r\n{body}", body.len())
}

/// The fields that matter of what a real one tells.
fn stats(state: &State) -> String {
    let slots = state.slots.iter().zip(&state.moves).enumerate().map(|(id, (group, moved))| {
        let action = moved
            .as_ref()
            .map_or_else(String::new, |(state, target)| format!(r#""index":1,"state":"{state}","target_id":{target}"#));
        format!(r#"{{"id":{id},"group_id":{group},"action":{{{action}}}}}"#)
    });
    let groups = state.ports.iter().enumerate().map(|(at, port)| {
        let server = format!(r#"{{"server":"127.0.0.1:{port}","datacenter":"","action":{{}},"replica_group":false}}"#);
        format!(r#"{{"id":{},"servers":[{server}],"promoting":{{}},"out_of_sync":false}}"#, at + 1)
    });
    format!(
        r#"{{"closed":false,"slots":[{}],"group":{{"models":[{}],"stats":{{}}}},"proxy":{{"models":[],"stats":{{}}}}}}"#,
        slots.collect::<Vec<_>>().join(","),
        groups.collect::<Vec<_>>().join(",")
    )
}
