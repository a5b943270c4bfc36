//! Many commands in one go, over a connection of the `redis` crate.

use redis::{
    Client, Connection, ConnectionLike, IntoConnectionInfo, Pipeline, RedisConnectionInfo, RedisResult, Value,
};

/// What connects to the server at `port` of the loopback.
pub(crate) fn client(port: u16, password: Option<&str>) -> RedisResult<Client> {
    let mut settings = RedisConnectionInfo::default().set_skip_set_lib_name();
    if let Some(password) = password {
        settings = settings.set_password(password);
    }
    Client::open(("127.0.0.1", port).into_connection_info()?.set_redis_settings(settings))
}

/// Sends all of `commands` and gives all replies, an error among them as [`Value::ServerError`].
///
/// # Panics
/// When the connection breaks.
#[track_caller]
pub(crate) fn send(connection: &mut Connection, commands: &Pipeline) -> Vec<Value> {
    try_send(connection, commands).unwrap_or_else(|error| panic!("the connection to the server broke: {error}"))
}

/// [`send`] where the connection may break.
pub(crate) fn try_send(connection: &mut Connection, commands: &Pipeline) -> RedisResult<Vec<Value>> {
    if commands.is_empty() {
        return Ok(Vec::new());
    }
    connection.req_packed_commands(&commands.get_packed_pipeline(), 0, commands.len())
}

/// Adds a command with binary arguments.
pub(crate) fn add<A: AsRef<[u8]>>(commands: &mut Pipeline, args: &[A]) {
    let mut command = redis::Cmd::with_capacity(args.len(), args.iter().map(|arg| arg.as_ref().len()).sum());
    for arg in args {
        command.arg(arg.as_ref());
    }
    commands.add_command(command);
}

/// A reply's bytes: of a bulk string or a status.
#[track_caller]
pub(crate) fn bytes(value: Value) -> Vec<u8> {
    match value {
        Value::BulkString(bytes) => bytes,
        Value::SimpleString(text) => text.into_bytes(),
        Value::Okay => b"OK".to_vec(),
        Value::Int(number) => number.to_string().into_bytes(),
        other => panic!("a string was expected, not {other:?}"),
    }
}

/// A reply's number.
#[track_caller]
pub(crate) fn int(value: &Value) -> i64 {
    match value {
        Value::Int(number) => *number,
        other => panic!("a number was expected, not {other:?}"),
    }
}

/// A reply's elements; none of a nil.
#[track_caller]
pub(crate) fn array(value: Value) -> Vec<Value> {
    match value {
        Value::Array(items) => items,
        Value::Nil => Vec::new(),
        other => panic!("an array was expected, not {other:?}"),
    }
}

/// Bytes as `redis-cli` prints them, at most 64 of them.
pub(crate) fn show(bytes: &[u8]) -> String {
    let (shown, more) = bytes.split_at(bytes.len().min(64));
    let rest = if more.is_empty() { String::new() } else { format!("…({} bytes)", bytes.len()) };
    format!("\"{}\"{rest}", shown.escape_ascii())
}
