//! What we know of commands, beside what servers say of them.

mod keys;
mod table;

use rdts_core::command::first_key;
use rdts_testkit::Server;
use redis::Value;

/// Commands with keys of which `COMMAND` says 0 although they are not marked as movable.
const SILENT: [&[u8]; 3] = [b"xgroup", b"migrate", b"pfdebug"];

#[test]
fn first_keys_are_where_servers_say() {
    let mut compared = 0;
    let mut wrong = Vec::new();
    for name in ["redis-2.8", "redis-5.0", "redis-7.0", "redis-8.2", "valkey-9.1"] {
        let server = Server::start(name);
        let Value::Array(commands) = server.cmd(&["COMMAND"]) else { panic!("COMMAND lists commands") };
        for command in commands {
            let Value::Array(fields) = command else { panic!("{command:?}") };
            let Value::BulkString(command) = &fields[0] else { panic!("{fields:?}") };
            let Value::Int(first) = fields[3] else { panic!("{fields:?}") };
            let flag = |wanted: &str| match &fields[2] {
                Value::Array(flags) | Value::Set(flags) => flags.contains(&Value::SimpleString(wanted.into())),
                other => panic!("{other:?}"),
            };
            let shown = command.escape_ascii();
            if !flag("write") {
                continue;
            }
            // 0 says nothing where keys move with the arguments, or belong to the subcommand.
            let silent = first == 0 && (flag("movablekeys") || SILENT.contains(&command.as_slice()));
            let expected = usize::try_from(first).ok().filter(|first| *first > 0);
            if !silent && first_key(command) != expected {
                wrong.push(format!("{name}: {shown} has its first key at {first}, not {:?}", first_key(command)));
            }
            compared += 1;
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(compared > 300, "only {compared} commands");
}
