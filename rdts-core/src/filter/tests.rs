#![allow(clippy::unwrap_used, clippy::panic)]

use rdts_rdb::ValueKind;

use super::{Pattern, Rules, RulesBuilder};
use crate::command::{CommandInfo, commands, keys};
use crate::error::ErrorKind;
use crate::translate::outcome::{Outcome, Why};

/// What becomes of a command for database 0: `=`, `-` (left out), `-db`, `! why`, or commands as `db: words`, separated by `;`.
fn of(rules: &Rules, text: &str) -> String {
    let words: Vec<&[u8]> = text.split(' ').map(str::as_bytes).collect();
    match rules.command(0, &words) {
        Ok(Outcome::Verbatim) => "=".into(),
        Ok(Outcome::Nothing(Why::Filtered)) => "-".into(),
        Ok(Outcome::Nothing(Why::OtherDb)) => "-db".into(),
        Ok(Outcome::Instead(commands)) => {
            assert!(!commands.is_empty());
            let shown = |word: &std::borrow::Cow<'_, [u8]>| String::from_utf8(word.to_vec()).unwrap();
            let one = |out: &crate::translate::outcome::Out<'_>| {
                format!("{}: {}", out.db, out.words.iter().map(shown).collect::<Vec<_>>().join(" "))
            };
            commands.iter().map(one).collect::<Vec<_>>().join("; ")
        }
        Err(error) => {
            assert!(matches!(error.kind(), ErrorKind::Unsupported | ErrorKind::Protocol), "{error}");
            format!("! {error}")
        }
    }
}

fn check(rules: RulesBuilder, cases: &[(&str, &str)]) {
    let rules = rules.build().unwrap();
    for (command, expected) in cases {
        let found = of(&rules, command);
        match expected.strip_prefix('!') {
            Some(part) => assert!(found.starts_with('!') && found.contains(part.trim()), "{command}: {found}"),
            None => assert_eq!(&found, expected, "{command}"),
        }
    }
}

fn wanted() -> RulesBuilder {
    Rules::builder().only_keys(Pattern::prefix("w"))
}

#[test]
fn nothing_is_left_out_without_rules() {
    let rules = Rules::builder().build().unwrap();
    for command in [
        "SET a b",
        "FLUSHALL",
        "FLUSHDB ASYNC",
        "EVAL x 0",
        "NEW.COMMAND a",
        "RENAME a b",
        "COPY a b",
        "SORT a BY x_* STORE c",
    ] {
        assert_eq!(of(&rules, command), "=", "{command}");
    }
    assert_eq!(of(&rules, "SWAPDB 0 1"), "0: SWAPDB 0 1");
    assert_eq!(rules.key(7, b"x").as_deref(), Some(&b"x"[..]));
}

#[test]
fn commands_with_some_wanted_keys() {
    check(
        wanted(),
        &[
            ("SET w 1", "="),
            ("SET u 1", "-"),
            ("XGROUP CREATE w g 0", "="),
            ("XGROUP CREATE u g 0", "-"),
            ("GET w", "-"),
            ("DEL w1 w2", "="),
            ("DEL u1 u2", "-"),
            ("del u1 w1 u2 w2", "0: del w1 w2"),
            ("MSET w 1 u 2 w2 3", "0: MSET w 1 w2 3"),
            ("MSETNX w 1 u 2", "0: MSETNX w 1"),
            ("MSETEX 3 u 1 w 2 w2 3 EX 5", "0: MSETEX 2 w 2 w2 3 EX 5"),
            ("PFCOUNT w u", "-"),
            ("RENAME w1 w2", "="),
            ("RENAME w u", "0: DEL w"),
            ("RENAMENX u w", "! what it takes"),
            ("RENAME u1 u2", "-"),
            ("COPY w w2", "="),
            ("COPY w u", "-"),
            ("COPY u w", "! not in the target"),
            ("SMOVE w u m", "0: SREM w m"),
            ("SMOVE u w m", "0: SADD w m"),
            ("RPOPLPUSH w u", "0: RPOP w"),
            ("RPOPLPUSH u w", "! \"u\" (not wanted), \"w\" (wanted) of db 0"),
            ("LMOVE w u LEFT RIGHT", "0: LPOP w"),
            ("LMOVE w u RIGHT RIGHT", "0: RPOP w"),
            ("LMOVE u w LEFT LEFT", "! LMOVE"),
            ("SUNIONSTORE u w w2", "-"),
            ("SUNIONSTORE w w1 u", "! SUNIONSTORE"),
            ("ZUNIONSTORE w 2 w1 w2 WEIGHTS 1 2", "="),
            ("BITOP AND u w w", "-"),
            ("PFMERGE w w u", "! PFMERGE"),
            ("SORT w STORE w2", "="),
            ("SORT w BY nosort STORE u", "-"),
            ("SORT w BY x_* STORE w2", "! keys that cannot be told"),
            ("GEORADIUS u 0 0 1 m STORE w", "! GEORADIUS"),
            ("EVAL x 1 w", "! trust_named_keys"),
            ("EVAL x 0", "! a script"),
            ("NEW.COMMAND w", "! its keys are not known"),
            ("CMS.MERGE w 1 u", "! cannot be told"),
            ("FLUSHDB", "! owns_target"),
            ("FLUSHALL", "! owns_target"),
            ("SWAPDB 0 1", "! owns_target"),
            ("SLOTSDEL 1", "! keys that it does not name"),
            ("MOVE w 1", "="),
            ("MOVE u 1", "-"),
        ],
    );
    check(
        wanted().trust_named_keys(true).owns_target(true),
        &[
            ("EVAL x 1 w", "="),
            ("EVAL x 1 u", "-"),
            ("EVAL x 2 u w", "! EVAL"),
            ("EVAL x 0 a", "="),
            ("NEW.COMMAND w", "="),
            ("NEW.COMMAND u", "-"),
            ("FLUSHDB", "="),
            ("FLUSHALL", "="),
        ],
    );
}

#[test]
fn keys_get_their_new_names_everywhere() {
    let rules = || {
        Rules::builder()
            .rename_prefix("a:", "b:")
            .rename_prefix("a:x:", "y:")
            .without_keys(Pattern::prefix("b:"))
            .without_keys(Pattern::glob("y:*"))
    };
    check(
        rules().trust_named_keys(true),
        &[
            ("SET a:1 a:2", "0: SET b:1 a:2"),
            ("SET a:x:1 1", "0: SET y:1 1"),
            ("SET c 1", "="),
            ("SET b:1 1", "-"),
            ("MSET a:1 a:1 c a:1", "0: MSET b:1 a:1 c a:1"),
            ("BITOP AND a:1 a:2 c", "0: BITOP AND b:1 b:2 c"),
            ("SORT a:1 BY nosort GET # STORE a:2", "! cannot be told"),
            ("SORT a:1 LIMIT 0 1 STORE a:2", "0: SORT b:1 LIMIT 0 1 STORE b:2"),
            ("GEORADIUS a:1 0 0 1 m STOREDIST a:x:", "0: GEORADIUS b:1 0 0 1 m STOREDIST y:"),
            ("EVAL a:1 2 a:1 a:2 a:3", "0: EVAL a:1 2 b:1 b:2 a:3"),
            ("XREADGROUP GROUP a: a: STREAMS a:1 c > >", "0: XREADGROUP GROUP a: a: STREAMS b:1 c > >"),
            ("XGROUP SETID a:1 a: $", "0: XGROUP SETID b:1 a: $"),
            ("RENAME a:1 c", "0: RENAME b:1 c"),
            ("RENAME a:1 b:1", "0: DEL b:1"),
            ("COPY a:1 c DB 3", "0: COPY b:1 c DB 3"),
            ("MOVE a:1 3", "0: MOVE b:1 3"),
            ("DEL b:1 a:1", "0: DEL b:1"),
            ("MIGRATE h 1 a:1 0 1", "! MIGRATE"),
            ("RESTORE a:1 0 a:1 REPLACE", "0: RESTORE b:1 0 a:1 REPLACE"),
        ],
    );
}

#[test]
fn types_decide_by_the_command() {
    let no_strings = Rules::builder().without_type(ValueKind::String);
    check(
        no_strings,
        &[
            ("SET k 1", "0: DEL k"),
            ("SETEX k 5 1", "0: DEL k"),
            ("SETNX k 1", "-"),
            ("MSET k 1 l 2", "0: DEL k l"),
            ("BITOP NOT k l", "0: DEL k"),
            ("APPEND k 1", "-"),
            ("PFADD k 1", "-"),
            ("LPUSH k 1", "="),
            ("DEL k l", "="),
            ("PEXPIREAT k 5", "="),
            ("SORT k STORE l", "="),
            ("RENAME k l", "0: DEL l; 0: COPY k l; 0: DEL k"),
            ("COPY k l", "="),
            ("COPY k l REPLACE", "0: DEL l; 0: COPY k l REPLACE"),
            ("EVAL x 1 k", "! a script"),
            ("JSON.SET k $ 1", "="),
            ("NEW.COMMAND k", "! not known"),
        ],
    );
    check(
        Rules::builder().only_type(ValueKind::ZSet).trust_named_keys(true),
        &[
            ("ZADD k 1 a", "="),
            ("SADD k a", "-"),
            ("SUNIONSTORE k l", "0: DEL k"),
            ("ZUNIONSTORE k 1 l", "! it may read a set"),
            ("ZRANGESTORE k l 0 1", "="),
            ("SORT k STORE l", "0: DEL l"),
            ("SORT k", "-"),
            ("EVAL x 1 k", "! a script"),
            ("RESTORE k 0 x", "! payload"),
        ],
    );
    let both = Rules::builder().only_keys(Pattern::prefix("w")).without_type(ValueKind::String);
    check(
        both,
        &[
            ("SET u 1", "-"),
            ("MSET u 1 w 1", "0: DEL w"),
            ("RENAME w u", "0: DEL w"),
            ("RENAME u w", "! what it takes"),
            ("LPUSH u 1", "-"),
        ],
    );
}

#[test]
fn a_payload_tells_its_type() {
    let mut payload = Vec::new();
    rdts_rdb::dump::append(&mut payload, rdts_rdb::ValueType::String, b"\x01x", 6);
    let words: [&[u8]; 5] = [b"RESTORE", b"k", b"0", &payload, b"REPLACE"];
    let only_lists = Rules::builder().only_type(ValueKind::List).build().unwrap();
    let Outcome::Instead(commands) = only_lists.command(0, &words).unwrap() else { panic!("it is no list") };
    assert_eq!(commands[0].words, [&b"DEL"[..], b"k"]);
    let no_lists = Rules::builder().without_type(ValueKind::List).build().unwrap();
    assert_eq!(no_lists.command(0, &words).unwrap(), Outcome::Verbatim);
}

#[test]
fn databases_are_left_out_and_numbered_anew() {
    check(
        Rules::builder().only_db(0).only_db(2).map_db(0, 5),
        &[
            ("SET k 1", "="),
            ("FLUSHDB", "="),
            ("FLUSHALL ASYNC", "2: FLUSHDB ASYNC; 5: FLUSHDB ASYNC"),
            ("SWAPDB 0 2", "5: SWAPDB 5 2"),
            ("SWAPDB 1 3", "-db"),
            ("SWAPDB 0 1", "! only one of these databases"),
            ("MOVE k 2", "="),
            ("MOVE k 1", "5: DEL k"),
            ("COPY k l DB 2 REPLACE", "5: COPY k l DB 2 REPLACE"),
            ("COPY k l DB 1", "-db"),
            ("COPY k l", "="),
        ],
    );
    check(
        Rules::builder().only_db(1),
        &[
            ("SET k 1", "-db"),
            ("FLUSHDB", "-db"),
            ("FLUSHALL", "1: FLUSHDB"),
            ("MOVE k 1", "! it comes from db 0 into 1"),
            ("MOVE k 2", "-db"),
            ("COPY k l DB 1", "! not in the target"),
            ("COPY k l", "-db"),
        ],
    );
    check(Rules::builder().without_db(3), &[("FLUSHALL", "! only_db"), ("SET k 1", "=")]);
}

#[test]
fn commands_and_slots_are_left_out() {
    check(
        Rules::builder().without_commands("flush*").without_commands("DEL"),
        &[("FLUSHALL", "-"), ("flushdb", "-"), ("del k", "-"), ("UNLINK k", "=")],
    );
    check(Rules::builder().only_commands("SET"), &[("set k 1", "="), ("SETEX k 5 1", "-")]);
    let slot = crate::slot::slot(b"k");
    check(Rules::builder().only_slots(slot..=slot), &[("SET k 1", "="), ("SET {k}2 1", "="), ("SET l 1", "-")]);
    check(Rules::builder().without_slots(slot..=slot), &[("SET k 1", "-"), ("DEL k l", "0: DEL l")]);
}

/// Each write command with all the keys that it can have, as the table says: the first half of them is wanted, or the second.
fn examples(info: &'static CommandInfo, sub: Option<&'static CommandInfo>) -> Vec<Vec<Vec<u8>>> {
    let mut words: Vec<Vec<u8>> = vec![b"2".to_vec(); 13];
    words[0] = info.name().as_bytes().to_vec();
    match info.name() {
        "XREADGROUP" => words[1] = b"STREAMS".to_vec(),
        "MIGRATE" => (words[3], words[6]) = (Vec::new(), b"KEYS".to_vec()),
        "SORT" => words[2] = b"STORE".to_vec(),
        "GEORADIUS" | "GEORADIUSBYMEMBER" => words[8] = b"STORE".to_vec(),
        _ => {}
    }
    if info.name() == "XREADGROUP" {
        words.truncate(6);
    }
    if let Some(sub) = sub {
        words[1] = sub.name().as_bytes().to_vec();
    }
    let refs: Vec<&[u8]> = words.iter().map(Vec::as_slice).collect();
    let at: Vec<usize> = keys(&refs).unwrap().map(|key| key.index).collect();
    let some = |first: bool| {
        let mut words = words.clone();
        for (index, place) in at.iter().enumerate() {
            words[*place] = if (index * 2 < at.len()) == first { b"w".to_vec() } else { b"u".to_vec() };
        }
        words
    };
    vec![some(true), some(false)]
}

#[test]
fn every_write_command_is_handled_or_refused() {
    let (mut handled, mut refused) = (Vec::new(), Vec::new());
    let rules = wanted().build().unwrap();
    let typed = Rules::builder().without_type(ValueKind::Cron).build().unwrap();
    for info in commands() {
        let mut subs: Vec<_> = info.subcommands().iter().filter(|sub| sub.is_write()).map(Some).collect();
        if info.subcommands().is_empty() && (info.is_write() || super::effect::is_script(info.name())) {
            subs.push(None);
        }
        // What is code, or of a cluster, or comes to nobody's rules.
        if matches!(info.name(), "FUNCTION" | "CLUSTER" | "TRIMSLOTS" | "SCRIPT") {
            continue;
        }
        for sub in subs {
            for words in examples(info, sub) {
                let words: Vec<&[u8]> = words.iter().map(Vec::as_slice).collect();
                let found: Vec<usize> = keys(&words).unwrap().map(|key| key.index).collect();
                let wanted = found.iter().filter(|at| words[**at] == b"w").count();
                let outcome = rules.command(0, &words);
                match &outcome {
                    Err(error) => {
                        assert_eq!(error.kind(), ErrorKind::Unsupported, "{error}");
                        assert!(error.to_string().contains("without_commands"), "{error}");
                        refused.push(info.name());
                    }
                    Ok(Outcome::Verbatim) => assert_eq!(wanted, found.len(), "{} {sub:?}", info.name()),
                    Ok(Outcome::Nothing(_)) => {}
                    Ok(Outcome::Instead(commands)) => {
                        for out in commands {
                            let words: Vec<&[u8]> = out.words.iter().map(|word| &word[..]).collect();
                            assert!(
                                keys(&words).unwrap().all(|key| words[key.index] == b"w"),
                                "{} {words:?}",
                                info.name()
                            );
                        }
                    }
                }
                if found.len() > 1 && outcome.is_ok() {
                    handled.push(info.name());
                }
                // Of each it is known what type it works on, or it is refused.
                if let Err(error) = typed.command(0, &words) {
                    assert_eq!(error.kind(), ErrorKind::Unsupported, "{error}");
                    if super::effect::effect(info.name()) == super::effect::Effect::Unknown {
                        refused.push(info.name());
                    }
                }
            }
        }
    }
    handled.dedup();
    refused.dedup();
    for name in ["DEL", "UNLINK", "MSET", "MSETEX", "MSETNX", "RENAME", "SMOVE", "LMOVE", "COPY", "SUNIONSTORE"] {
        assert!(handled.contains(&name), "{name}");
    }
    for name in ["MIGRATE", "EVAL", "FCALL", "FLUSHALL", "BLPOP", "LMPOP", "ZMPOP", "TS.CREATERULE", "SLOTSDEL"] {
        assert!(refused.contains(&name), "{name}");
    }
}
