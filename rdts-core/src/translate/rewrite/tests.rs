#![allow(clippy::unwrap_used, clippy::panic)]

use super::*;

/// When the commands arrived.
const NOW: u64 = 1_000_000;

fn words(text: &str) -> Vec<Word<'_>> {
    text.split(' ').map(|word| Cow::Borrowed(word.as_bytes())).collect()
}

fn rewritten(target: Target, losses: &Losses, arrived: Option<u64>, text: &str) -> Result<Rewritten<'static>> {
    let plan = Plan::new(&target, losses);
    let words = words(text);
    let context = Context { target, losses, arrived, plan: &plan };
    let made = rewrite(&context, &words)?;
    if plan.is_verbatim(&words[0], words.len()) {
        assert_eq!(made, Rewritten::Verbatim, "{text}");
    }
    let owned = |commands: Vec<Vec<Word<'_>>>| {
        commands
            .into_iter()
            .map(|words| words.into_iter().map(|word| Cow::Owned(word.into_owned())).collect())
            .collect()
    };
    Ok(match made {
        Rewritten::Verbatim => Rewritten::Verbatim,
        Rewritten::Instead(commands) => Rewritten::Instead(owned(commands)),
        Rewritten::Lossy(kind, commands) => Rewritten::Lossy(kind, owned(commands)),
    })
}

/// The commands; those of scripts without the script.
fn shown(made: Rewritten<'_>) -> String {
    let commands = match made {
        Rewritten::Verbatim => return "as it is".into(),
        Rewritten::Instead(commands) => commands,
        Rewritten::Lossy(kind, commands) => {
            let text = shown(Rewritten::Instead(commands));
            return if text.is_empty() { format!("-{kind}") } else { format!("-{kind} {text}") };
        }
    };
    let text = |words: &Vec<Word<'_>>| {
        let script = words[0].as_ref() == b"EVAL";
        let words = words.iter().enumerate().filter(|(index, _)| !script || *index != 1);
        words.map(|(_, word)| String::from_utf8_lossy(word)).collect::<Vec<_>>().join(" ")
    };
    commands.iter().map(text).collect::<Vec<_>>().join("; ")
}

fn dropping() -> Losses {
    LossKind::ALL.into_iter().fold(Losses::default(), |losses, kind| losses.on(kind, OnLoss::Drop))
}

#[test]
fn commands_become_what_the_target_knows() {
    let (r28, r32, r40, r50, r60) = ((2, 8), (3, 2), (4, 0), (5, 0), (6, 0));
    let (r70, r72, r74, r80, r810) = ((7, 0), (7, 2), (7, 4), (8, 0), (8, 10));
    for (version, command, expected) in [
        (r32, "UNLINK a b", "DEL a b"),
        (r40, "UNLINK a b", "as it is"),
        (r28, "SET k v", "as it is"),
        (r60, "set k v PXAT 5", "set k v; PEXPIREAT k 5"),
        (r60, "SET k v XX EXAT 5 GET", "SET k v XX; PEXPIREAT k 5000"),
        (r70, "SET k v PXAT 5", "as it is"),
        (r70, "SET k v EX 5", "SET k v PXAT 1005000"),
        (r32, "SET k v PX 5 NX", "SET k v NX; PEXPIREAT k 1000005"),
        (r70, "SET k v IFEQ GET GET PXAT 7", "SET k v GET PXAT 7"),
        (r810, "SET k v IFEQ GET GET", "as it is"),
        (r50, "SET k v KEEPTTL", "EVAL 1 k v"),
        (r70, "SETEX k 5 v", "SET k v PXAT 1005000"),
        (r50, "PSETEX k 5 v", "SET k v; PEXPIREAT k 1000005"),
        (r50, "GETDEL k", "DEL k"),
        (r80, "DELEX k IFEQ v", "DEL k"),
        (r80, "MSETEX 2 a 1 b 2 NX", "MSET a 1 b 2"),
        (r80, "MSETEX 2 a 1 b 2 XX PXAT 5", "MSET a 1 b 2; PEXPIREAT a 5; PEXPIREAT b 5"),
        (r80, "MSETEX 2 a 1 b 2 KEEPTTL", "SET a 1 KEEPTTL; SET b 2 KEEPTTL"),
        (r50, "MSETEX 1 KEEPTTL EX KEEPTTL", "EVAL 1 KEEPTTL EX"),
        (r70, "EXPIRE k 5", "PEXPIREAT k 1005000"),
        (r50, "PEXPIREAT k 5 GT", "PEXPIREAT k 5"),
        (r70, "PEXPIREAT k 5 GT", "as it is"),
        (r50, "COPY a b REPLACE DB 3", "EVAL 2 a b 3"),
        (r50, "LPOP k 3", "LTRIM k 3 -1"),
        (r50, "RPOP k 3", "LTRIM k 0 -4"),
        (r50, "RPOP k", "as it is"),
        (r32, "LPUSHX k a b", "LPUSHX k a; LPUSHX k b"),
        (r50, "LMOVE a b RIGHT LEFT", "RPOPLPUSH a b"),
        (r50, "LMOVE a b LEFT LEFT", "EVAL 2 a b"),
        (r80, "LMOVEM a b LEFT LEFT COUNT 3 BULK", "EVAL 2 a b LPOP LPUSH 3 1"),
        (r50, "ZADD k GT CH 5 a", "ZADD k 5 a"),
        (r50, "ZADD k GT 5 a 6 b", "EVAL 1 k G 5 a 6 b"),
        (r28, "ZADD k INCR 5 a", "ZINCRBY k 5 a"),
        (r50, "ZADD k INCR 5 a", "as it is"),
        (r40, "ZPOPMIN k 3", "ZREMRANGEBYRANK k 0 2"),
        (r40, "ZPOPMAX k", "ZREMRANGEBYRANK k -1 -1"),
        (r50, "ZRANGESTORE d s 0 -1 REV", "EVAL 2 d s ZREVRANGE 0 -1"),
        (
            r50,
            "GEOSEARCHSTORE d s FROMMEMBER ANY BYRADIUS 5 km ASC COUNT 3",
            "EVAL 2 s d GEORADIUSBYMEMBER s ANY 5 km ASC COUNT 3 STORE d",
        ),
        (r60, "GEORADIUS s 1 1 5 km STORE d", "EVAL 2 s d GEORADIUS s 1 1 5 km STORE d"),
        (r60, "GEORADIUS s 1 1 5 km", "as it is"),
        (r32, "MOVE k 3", "as it is"),
        (
            r80,
            "BITOP DIFF {d}x a b",
            "EVAL 6 {d}x rdts:partial:{d}:{d}x:1 rdts:partial:{d}:{d}x:2 rdts:partial:{d}:{d}x:3 a b DIFF",
        ),
        (r32, "HSET h a 1 b 2", "HMSET h a 1 b 2"),
        (r32, "HSET h a 1", "as it is"),
        (r72, "HPEXPIREAT h 5 FIELDS 1 f", "-hash-field-expiry"),
        (r72, "HPERSIST h FIELDS 1 f", ""),
        (r74, "HSETEX h PXAT 5 FIELDS 2 a 1 b 2", "HSET h a 1 b 2; HPEXPIREAT h 5 FIELDS 2 a b"),
        (r32, "HSETEX h PXAT 5 FIELDS 2 a 1 b 2", "-hash-field-expiry HMSET h a 1 b 2"),
        (r32, "HSETEX h KEEPTTL FIELDS 1 a 1", "HSET h a 1"),
        (r74, "HSETEX h KEEPTTL FIELDS 1 a 1", "EVAL 1 h a 1"),
        (r74, "HGETDEL h FIELDS 2 a b", "HDEL h a b"),
        (r74, "HPEXPIREAT h 35184372088832 FIELDS 1 f", "-hash-field-expiry HPERSIST h FIELDS 1 f"),
        (r60, "XADD k NOMKSTREAM MAXLEN = 3 1-1 NOMKSTREAM v", "XADD k MAXLEN = 3 1-1 NOMKSTREAM v"),
        (r60, "XADD k MINID = 3 LIMIT 9 1-1 f v", "XADD k 1-1 f v; EVAL 1 k  MINID 3"),
        (r80, "XADD k IDMP p i 1-1 f v", "-stream-producers XADD k 1-1 f v"),
        (r80, "XADD k IDMP p i * f v", "-stream-producers"),
        (r40, "XADD k 1-1 f v", "-streams"),
        (r60, "XGROUP CREATE k g 0 ENTRIESREAD 5", "XGROUP CREATE k g 0"),
        (r60, "XGROUP CREATECONSUMER k g c", ""),
        (r60, "XSETID k 5-5 ENTRIESADDED 5 MAXDELETEDID 1-1", "XSETID k 5-5"),
        (r80, "XDELEX k IDS 2 1-1 1-2", "XDEL k 1-1 1-2"),
        (r80, "XACKDEL k g DELREF IDS 1 1-1", "EVAL 1 k DELREF g 1-1"),
        (r60, "FUNCTION LOAD x", "-functions"),
        (r60, "FUNCTION FLUSH ASYNC", ""),
        (r60, "SCRIPT FLUSH SYNC", "SCRIPT FLUSH"),
        (r60, "FLUSHALL SYNC", "FLUSHALL"),
        (r32, "FLUSHDB ASYNC", "FLUSHDB"),
        (r72, "VADD k VALUES 1 1 e", "-vector-sets"),
        (r80, "ARSET k 0 v", "-arrays"),
        (r80, "JSON.SET k $ 1", "-modules"),
        (r80, "TAIR.ADDED k 1", "-modules"),
        (r80, "NEWER k 1", "-unknown-commands"),
        (r80, "RENAME a b", "EVAL 2 a b"),
    ] {
        let target = Target::redis(version.0, version.1, 0);
        let made =
            rewritten(target, &dropping(), Some(NOW), command).unwrap_or_else(|error| panic!("{command}: {error}"));
        assert_eq!(shown(made), expected, "{command} for {target}");
    }
    for (command, expected) in [
        ("SET k v IFEQ x", "as it is"),
        ("SET k v IFNE x", "SET k v"),
        ("DELIFEQ k v", "as it is"),
        ("HSETEX h PXAT 5 FIELDS 1 a 1", "as it is"),
        ("HPEXPIREAT h 35184372088832 FIELDS 1 f", "as it is"),
        ("ZRANGESTORE d s 0 -1", "as it is"),
        ("LMOVEM a b LEFT LEFT", "EVAL 2 a b LPOP LPUSH 1 0"),
    ] {
        assert_eq!(
            shown(rewritten(Target::valkey(9, 1, 0), &dropping(), None, command).unwrap()),
            expected,
            "{command}"
        );
    }
}

#[test]
fn relative_times_stay_where_nobody_knows_when_they_arrived() {
    for command in ["SET k v EX 5", "EXPIRE k 5", "PEXPIRE k 5", "SETEX k 5 v"] {
        assert_eq!(rewritten(Target::redis(7, 0, 0), &Losses::default(), None, command).unwrap(), Rewritten::Verbatim);
    }
}

#[test]
fn what_cannot_be_is_an_error_with_a_remedy() {
    let losses = Losses::default();
    for (target, command, parts) in [
        (Target::redis(2, 8, 11), "MOVE k 3", ["MOVE of key \"k\"", "expiry"]),
        (Target::redis(3, 2, 0), "SWAPDB 0 1", ["SWAPDB", "4.0"]),
        (Target::redis(6, 0, 0), "GEOSEARCHSTORE d s FROMLONLAT 1 1 BYBOX 1 1 km", ["key \"d\"", "BYRADIUS"]),
        (Target::redis(4, 0, 0), "XADD k 1-1 f v", ["key \"k\"", "'streams'"]),
        (Target::redis(7, 2, 0), "HPEXPIREAT h 5 FIELDS 1 f", ["key \"h\"", "'hash-field-expiry'"]),
        (Target::redis(7, 2, 0), "NEWER k", ["NEWER", "'unknown-commands'"]),
        (Target::redis(2, 8, 0), "BITFIELD k SET u8 0 1", ["BITFIELD", "3.2"]),
        (Target::valkey(9, 1, 0), "INCREX k", ["INCREX", "Valkey 9.1.0"]),
    ] {
        let error = rewritten(target, &losses, None, command).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported, "{command}: {error}");
        let text = error.to_string();
        assert!(parts.iter().all(|part| text.contains(part)), "{command}: {text}");
    }
    for command in ["SET k v EX x", "MSETEX x a 1", "ZDIFFSTORE d 5 a", "LPOP k x", "RESTORE k 0 short", "XDELEX k IDS"]
    {
        assert!(rewritten(Target::redis(5, 0, 0), &losses, Some(NOW), command).is_err(), "{command}");
    }
    assert!(
        rewritten(Target::redis(4, 0, 0), &losses.on(LossKind::Streams, OnLoss::Pass), None, "XADD k 1-1 f v").is_ok()
    );
}

#[test]
fn every_rule_is_for_a_command_that_is_known_and_fits_to_when() {
    for rule in rules() {
        let info = command::lookup(rule.command.as_bytes()).unwrap_or_else(|| panic!("{rule:?}"));
        assert_eq!(info.name(), rule.command);
        assert!(!rule.becomes.is_empty() && (rule.exact || !rule.notes.is_empty()), "{rule:?}");
        let versions = [(Family::Redis, rule.redis), (Family::Valkey, rule.valkey)];
        for (family, since) in versions.into_iter().filter(|_| rule.when.is_empty()) {
            let known = info.since(family).map(|(major, minor, _)| (major, minor));
            let early = since.is_some_and(|since| known.is_some_and(|known| since > known));
            let never =
                since.is_none() && ["SETEX", "PSETEX", "EXPIRE", "PEXPIRE", "RESTORE-ASKING"].contains(&rule.command);
            assert!(since == known || early || never, "{rule:?}: {family:?} has it since {known:?}");
        }
    }
    assert!(rules().count() > 60);
}

#[test]
fn hot_commands_are_never_looked_at_where_nothing_is_to_be_done() {
    let plan = Plan::new(&Target::redis(7, 0, 0), &Losses::default());
    for (name, words) in [
        ("SET", 3),
        ("set", 4),
        ("INCR", 2),
        ("HSET", 6),
        ("DEL", 2),
        ("LPUSH", 3),
        ("ZADD", 4),
        ("XADD", 5),
        ("UNLINK", 2),
        ("PEXPIREAT", 3),
    ] {
        assert!(plan.is_verbatim(name.as_bytes(), words), "{name}");
    }
    assert!(!plan.is_verbatim(b"UNKNOWN", 2) && !plan.is_verbatim(b"MSETEX", 4));
}
