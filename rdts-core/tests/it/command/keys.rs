//! The keys of commands, beside `COMMAND GETKEYSANDFLAGS` of real servers, for thousands of commands put together at
//! random.

use proptest::sample::select;
use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::TestRunner;
use rdts_core::command::{Access, keys};
use rdts_testkit::Server;
use redis::Value;

use super::table::{list, text};

/// How many of each command.
const TRIES: usize = 24;

/// Words that mean something in some command, small numbers most of all: many commands begin with the number of their
/// keys.
const WORDS: [&str; 28] = [
    "0",
    "1",
    "2",
    "2",
    "3",
    "1",
    "STORE",
    "store",
    "STOREDIST",
    "BY",
    "GET",
    "LIMIT",
    "ALPHA",
    "COUNT",
    "KEYS",
    "AUTH",
    "AUTH2",
    "REPLACE",
    "STREAMS",
    "GROUP",
    "NOACK",
    "BLOCK",
    "WEIGHTS",
    "NX",
    "EX",
    "",
    "DB",
    "AGGREGATE",
];

/// What reads or writes depending on its options: servers look closer than we do. And of the destination of
/// `SINTERSTORE` Redis 7.0 says something else than of that of `SUNIONSTORE`.
const VARIABLE: [&str; 5] = ["set", "bitfield", "delex", "pfcount", "sinterstore"];

#[test]
fn keys_are_those_that_servers_tell() {
    for name in ["redis-7.0", "redis-8.10", "valkey-9.1"] {
        let server = Server::start(name);
        let mut runner = TestRunner::deterministic();
        let mut asked = Vec::new();
        // Sorted, so that every run tries the same.
        let mut entries: Vec<_> = list(server.cmd(&["COMMAND"])).into_iter().map(list).collect();
        entries.sort_by_key(|entry| text(&entry[0]));
        for entry in entries {
            collect(entry, &mut runner, &mut asked);
        }
        let mut pipeline = redis::pipe();
        pipeline.ignore_errors();
        for args in &asked {
            pipeline.cmd("COMMAND").arg("GETKEYSANDFLAGS").arg(args);
        }
        let answers: Vec<redis::RedisResult<Value>> = pipeline.query(&mut server.connection()).unwrap();
        let mut wrong = Vec::new();
        let (mut with_keys, mut without) = (0, 0);
        for (args, answer) in asked.iter().zip(answers) {
            let slices: Vec<&[u8]> = args.iter().map(String::as_bytes).collect();
            let ours =
                keys(&slices).map(|keys| keys.map(|key| (args[key.index].clone(), key.access)).collect::<Vec<_>>());
            let same = match &answer {
                // That is also what EVAL gets whose number of keys is none.
                Ok(Value::Array(theirs)) if theirs.is_empty() => ours.as_ref().map_or(true, Vec::is_empty),
                Ok(Value::Array(theirs)) => {
                    with_keys += 1;
                    let theirs: Vec<_> = theirs.iter().map(|key| key_and_access(list(key.clone()))).collect();
                    let exact = !VARIABLE.contains(&args[0].as_str());
                    ours.as_ref().is_ok_and(|ours| {
                        ours.len() == theirs.len()
                            && ours.iter().zip(&theirs).all(|(a, b)| a.0 == b.0 && (!exact || a.1 == b.1))
                    })
                }
                Ok(other) => panic!("{name}: {args:?}: {other:?}"),
                Err(error) if error.to_string().contains("no key arguments") => {
                    without += 1;
                    ours.as_ref().map_or(true, Vec::is_empty)
                }
                Err(error) if error.to_string().contains("Invalid arguments") => true,
                Err(error) => panic!("{name}: {args:?}: {error}"),
            };
            if !same {
                wrong.push(format!("{args:?}: {ours:?}, but {name} says {answer:?}"));
            }
        }
        assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong[..wrong.len().min(40)].join("\n"));
        assert!(with_keys > 3000 && without > 300, "{name}: {with_keys} with keys, {without} without");
    }
}

/// Puts commands together as the entry of `COMMAND` says, and as those of its subcommands do.
fn collect(entry: Vec<Value>, runner: &mut TestRunner, out: &mut Vec<Vec<String>>) {
    let name = text(&entry[0]);
    let Value::Int(arity) = entry[1] else { panic!("{name} has no arity") };
    let subcommands = list(entry[9].clone());
    if !subcommands.is_empty() {
        let mut entries: Vec<_> = subcommands.into_iter().map(list).collect();
        entries.sort_by_key(|entry| text(&entry[0]));
        for entry in entries {
            collect(entry, runner, out);
        }
        return;
    }
    // Without arguments there is nothing to ask about.
    if arity == 1 {
        return;
    }
    let least = usize::try_from(arity.unsigned_abs()).unwrap().max(2);
    for _ in 0..TRIES {
        if name == "xread" || name == "xreadgroup" {
            out.push(streams(&name, runner));
            continue;
        }
        let more = if arity < 0 { sample(runner, 0..8_usize) } else { 0 };
        let mut args: Vec<String> = name.split('|').map(Into::into).collect();
        while args.len() < least + more {
            // Unique, so that the answer tells which argument it is.
            let unique = format!("arg{}", args.len());
            let word = sample(runner, select(&WORDS[..]));
            args.push(if sample(runner, 0..5) < 2 && !args.iter().any(|arg| arg == word) {
                word.into()
            } else {
                unique
            });
        }
        if sensible(&args) {
            out.push(args);
        }
    }
}

/// `XREAD` in a form that can be executed: servers do not agree about where they look for keys in others.
fn streams(name: &str, runner: &mut TestRunner) -> Vec<String> {
    let mut args = vec![name.to_string()];
    if name == "xreadgroup" {
        args.extend(["GROUP", "streams", "STREAMS"].map(Into::into));
        if sample(runner, 0..2) == 0 {
            args.push("noack".into());
        }
    }
    for option in ["COUNT", "block"] {
        if sample(runner, 0..2) == 0 {
            args.extend([option.into(), "7".into()]);
        }
    }
    args.push("Streams".into());
    let count = sample(runner, 1..5);
    args.extend((0..2 * count).map(|i| format!("arg{i}")));
    args
}

fn sample<S: Strategy>(runner: &mut TestRunner, strategy: S) -> S::Value {
    strategy.new_tree(runner).unwrap().current()
}

/// Not those whose destination is called like an option, or that have several: some versions of `COMMAND GETKEYS` then
/// tell something else than the command does.
fn sensible(args: &[String]) -> bool {
    let is = |arg: &String, words: &[&str]| words.iter().any(|word| arg.eq_ignore_ascii_case(word));
    let store = |arg: &String| is(arg, &["STORE", "STOREDIST"]);
    match args[0].as_str() {
        "sort" => !args.windows(2).any(|pair| store(&pair[0]) && is(&pair[1], &["STORE", "BY", "GET", "LIMIT"])),
        // Without the value of the last key, or without keys: no server executes that.
        "msetex" => args[1].parse::<usize>().is_ok_and(|count| 2 + 2 * count <= args.len()),
        "migrate" => args.last().is_some_and(|arg| arg != "KEYS"),
        // Some take a unit of that name for the option.
        "georadius" if store(&args[5]) => false,
        name if name.starts_with("georadius") => args.iter().filter(|arg| store(arg)).count() < 2,
        _ => true,
    }
}

fn key_and_access(pair: Vec<Value>) -> (String, Access) {
    let access = list(pair[1].clone()).iter().find_map(|flag| match text(flag).as_str() {
        "RO" => Some(Access::Read),
        "RW" => Some(Access::Update),
        "OW" => Some(Access::Overwrite),
        "RM" => Some(Access::Remove),
        _ => None,
    });
    (text(&pair[0]), access.unwrap_or_else(|| panic!("{pair:?}")))
}
