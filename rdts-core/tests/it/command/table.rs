//! The table of commands, beside `COMMAND` of real servers.

use rdts_core::command::{CommandInfo, commands, lookup};
use rdts_core::translate::{Family, Target};
use rdts_testkit::Server;
use redis::Value;

/// In every server's list up to Redis 6.2 to catch HTTP requests; and the one command that was dropped.
const LEFT_OUT: [&str; 3] = ["HOST:", "POST", "STRALGO"];

#[test]
fn servers_know_the_commands_that_the_table_says() {
    for name in [
        "redis-2.8",
        "redis-3.2",
        "redis-5.0",
        "redis-6.2",
        "redis-7.0",
        "redis-8.2",
        "redis-8.10",
        "valkey-8.1",
        "valkey-9.1",
    ] {
        let server = Server::start(name);
        let info: String = server.info("server").iter().map(|(key, value)| format!("{key}:{value}\n")).collect();
        let target = Target::from_info(&info).unwrap();
        let theirs: Vec<Theirs> = list(server.cmd(&["COMMAND"])).into_iter().map(Theirs::new).collect();
        let mut wrong = Vec::new();
        for command in theirs.iter().filter(|command| !LEFT_OUT.contains(&command.name.as_str())) {
            match lookup(command.name.as_bytes()) {
                Some(info) => command.compare(info, &target, &mut wrong),
                None => wrong.push(format!("{} is not in the table", command.name)),
            }
        }
        for info in commands().iter().filter(|info| info.known_to(&target)) {
            // Vector sets are a module that not every build has; and some commands were not listed from the beginning.
            let may_lack = info.name().starts_with('V') || ["QUIT", "REPLCONF", "SWAPDB"].contains(&info.name());
            if !may_lack && !theirs.iter().any(|command| command.name == info.name()) {
                wrong.push(format!("{} is not there", info.name()));
            }
        }
        assert!(wrong.is_empty(), "{name}:\n{}", wrong.join("\n"));
        assert!(theirs.len() > 150);
    }
}

/// What a server says of a command.
struct Theirs {
    name: String,
    arity: i64,
    write: bool,
    subcommands: Vec<Theirs>,
}

impl Theirs {
    fn new(entry: Value) -> Self {
        let mut fields = list(entry).into_iter();
        let mut next = || fields.next().unwrap_or(Value::Array(Vec::new()));
        let name = text(&next()).to_uppercase();
        let Value::Int(arity) = next() else { panic!("{name} has no arity") };
        let write = list(next()).iter().any(|flag| text(flag) == "write");
        let subcommands = list(fields.nth(6).unwrap_or(Value::Array(Vec::new()))).into_iter().map(Self::new).collect();
        Self { name, arity, write, subcommands }
    }

    fn compare(&self, info: &CommandInfo, target: &Target, wrong: &mut Vec<String>) {
        if !info.known_to(target) {
            wrong.push(format!("{} is there, but not said to be before {:?}", self.name, info.since(target.family())));
        }
        if self.write && !info.is_write() {
            wrong.push(format!("{} writes", self.name));
        }
        // The newest say how many arguments there are.
        let newest = matches!((target.family(), target.version()), (Family::Redis, (8, 10, _)));
        if newest && self.arity != i64::from(info.arity()) {
            wrong.push(format!("{} has arity {}, not {}", self.name, self.arity, info.arity()));
        }
        for sub in &self.subcommands {
            let name = sub.name.split('|').nth(1).unwrap();
            match info.subcommand(name.as_bytes()) {
                Some(info) => sub.compare(info, target, wrong),
                None => wrong.push(format!("{} is not in the table", sub.name)),
            }
        }
    }
}

pub(super) fn list(value: Value) -> Vec<Value> {
    match value {
        Value::Array(values) | Value::Set(values) => values,
        other => panic!("{other:?} is no list"),
    }
}

pub(super) fn text(value: &Value) -> String {
    match value {
        Value::BulkString(bytes) => String::from_utf8(bytes.clone()).unwrap(),
        Value::SimpleString(text) => text.clone(),
        other => panic!("{other:?} is no text"),
    }
}
