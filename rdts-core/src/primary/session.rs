//! What a connection is answered before it is fed: the handshake of replicas, and the few commands that others ask
//! with.

use rdts_resp::{CommandRef, encode};

use super::config::{PrimaryConfig, Protocol};
use super::info;
use super::state::Shared;
use super::sync::{Request, Wanted};

/// What to do behind the replies that a command has left.
#[derive(Debug)]
pub(super) enum Next {
    /// Wait for the next command.
    Command,
    /// Feed this replica.
    Sync(Request),
    /// Say goodbye.
    Close,
}

/// What a connection has told of itself.
#[derive(Debug)]
pub(super) struct Session {
    authenticated: bool,
    listening_port: u16,
    capa_eof: bool,
    capa_psync2: bool,
}

impl Session {
    pub(super) fn new(config: &PrimaryConfig) -> Self {
        let authenticated = config.password.is_none();
        Self { authenticated, listening_port: 0, capa_eof: false, capa_psync2: false }
    }

    /// Obeys one command; what there is to reply goes to `out`.
    pub(super) fn obey(&mut self, command: &CommandRef<'_>, shared: &Shared, out: &mut Vec<u8>) -> Next {
        if command.is_empty() {
            return Next::Command;
        }
        let config = &shared.config;
        if command.name_is(b"QUIT") {
            encode::simple(out, b"OK");
            return Next::Close;
        }
        if command.name_is(b"AUTH") {
            self.auth(command, config, out);
            return Next::Command;
        }
        if !self.authenticated {
            let old = config.protocol == Protocol::SyncOnly;
            let text: &[u8] = if old { b"ERR operation not permitted" } else { b"NOAUTH Authentication required." };
            encode::error(out, text);
            return Next::Command;
        }
        if command.name_is(b"REPLCONF") {
            self.replconf(command, config, out);
            return Next::Command;
        }
        if command.name_is(b"INFO") {
            encode::bulk(out, info::text(shared, command).as_bytes());
            return Next::Command;
        }
        if shared.state().loading {
            encode::error(out, b"LOADING Redis is loading the dataset in memory");
            return Next::Command;
        }
        let psync = config.protocol != Protocol::SyncOnly;
        match (command.len(), command.arg(1)) {
            (1, _) if command.name_is(b"PING") => encode::simple(out, b"PONG"),
            (2, Some(text)) if command.name_is(b"PING") || command.name_is(b"ECHO") => encode::bulk(out, text),
            (2, Some(db)) if command.name_is(b"SELECT") => select(db, out),
            (1, _) if command.name_is(b"SYNC") => return Next::Sync(self.request(None)),
            (3, Some(replid)) if psync && command.name_is(b"PSYNC") => match number(command.arg(2)) {
                // What servers say of the offset is the byte wanted next; a replica that knows none asks for -1 of "?".
                Some(next) => {
                    let offset = u64::try_from(next).ok().and_then(|next| next.checked_sub(1));
                    return Next::Sync(self.request(Some(Wanted { replid: replid.to_vec(), offset })));
                }
                None => encode::error(out, b"ERR value is not an integer or out of range"),
            },
            _ => unknown(command, psync, out),
        }
        Next::Command
    }

    fn request(&self, wanted: Option<Wanted>) -> Request {
        Request { wanted, listening_port: self.listening_port, capa_eof: self.capa_eof, capa_psync2: self.capa_psync2 }
    }

    fn auth(&mut self, command: &CommandRef<'_>, config: &PrimaryConfig, out: &mut Vec<u8>) {
        let old = config.protocol != Protocol::Psync2;
        let (user, password) = match (command.arg(1), command.arg(2), command.len()) {
            (Some(password), None, 2) => (&b"default"[..], password),
            (Some(user), Some(password), 3) if !old => (user, password),
            _ => return encode::error(out, b"ERR wrong number of arguments for 'auth' command"),
        };
        let Some(expected) = &config.password else {
            return encode::error(out, b"ERR Client sent AUTH, but no password is set");
        };
        let known = config.user.as_deref().unwrap_or("default");
        self.authenticated = user == known.as_bytes() && password == expected.as_bytes();
        match (self.authenticated, old) {
            (true, _) => encode::simple(out, b"OK"),
            (false, true) => encode::error(out, b"ERR invalid password"),
            (false, false) => encode::error(out, b"WRONGPASS invalid username-password pair or user is disabled."),
        }
    }

    /// Takes options in pairs. What comes before one that is refused holds all the same, as with servers.
    fn replconf(&mut self, command: &CommandRef<'_>, config: &PrimaryConfig, out: &mut Vec<u8>) {
        let level = config.protocol;
        let mut args = command.iter().skip(1);
        while let Some(option) = args.next() {
            let Some(value) = args.next() else {
                return encode::error(out, b"ERR syntax error");
            };
            let is = |name: &str| option.eq_ignore_ascii_case(name.as_bytes());
            if is("listening-port") {
                let Some(port) = std::str::from_utf8(value).ok().and_then(|port| port.parse().ok()) else {
                    return encode::error(out, b"ERR value is not an integer or out of range");
                };
                self.listening_port = port;
            } else if is("capa") && level != Protocol::SyncOnly {
                self.capa_eof |= value.eq_ignore_ascii_case(b"eof");
                self.capa_psync2 |= value.eq_ignore_ascii_case(b"psync2");
            } else if (is("ack") || is("getack")) && level != Protocol::SyncOnly {
                // Never answered, and without meaning on a connection that is not fed.
                return;
            } else if !((is("ip-address") || is("version")) && level == Protocol::Psync2) {
                let text = [b"ERR Unrecognized REPLCONF option: ", shortened(option)].concat();
                return encode::error(out, &text);
            }
        }
        encode::simple(out, b"OK");
    }
}

/// Databases make no difference to a stream that is written elsewhere, but clients select one.
fn select(db: &[u8], out: &mut Vec<u8>) {
    match number(Some(db)) {
        Some(0..16) => encode::simple(out, b"OK"),
        Some(_) => encode::error(out, b"ERR DB index is out of range"),
        None => encode::error(out, b"ERR invalid DB index"),
    }
}

fn unknown(command: &CommandRef<'_>, psync: bool, out: &mut Vec<u8>) {
    let mut known = [&b"PING"[..], b"ECHO", b"SELECT", b"SYNC", b"PSYNC"].into_iter().take(if psync { 5 } else { 4 });
    let text = match known.find(|name| command.name_is(name)) {
        Some(name) => [b"ERR wrong number of arguments for '", &name.to_ascii_lowercase()[..], b"' command"].concat(),
        None => [b"ERR unknown command '", shortened(command.name()), b"'"].concat(),
    };
    encode::error(out, &text);
}

/// Whoever sends nonsense is told how it starts.
fn shortened(text: &[u8]) -> &[u8] {
    &text[..text.len().min(128)]
}

pub(super) fn number(text: Option<&[u8]>) -> Option<i64> {
    std::str::from_utf8(text?).ok()?.parse().ok()
}
