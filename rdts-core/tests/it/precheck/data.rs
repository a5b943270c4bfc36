//! Whether the target can hold what the source holds.

use rdts_core::precheck::{Verdict, run};
use rdts_core::translate::{LossKind, Losses, OnLoss};
use rdts_testkit::{Cluster, Server};

use super::{Case, all, expect, plan};

#[tokio::test]
async fn what_an_older_target_does_not_know_is_found_in_the_data() {
    let (source, target) = (Server::start("redis-8.2"), Server::start("redis-4.0"));
    let cases = [
        Case {
            check: "data-types",
            result: Verdict::Fail,
            words: "1 of type stream, as \"s\"",
            wrong: &|source, _| drop(source.cmd(&["XADD", "s", "*", "f", "v"])),
            remedy: &|source, _| drop(source.cmd(&["DEL", "s"])),
        },
        Case {
            check: "data-types",
            result: Verdict::Fail,
            words: "vectorset",
            wrong: &|source, _| drop(source.cmd(&["VADD", "v", "VALUES", "2", "1", "2", "e"])),
            remedy: &|source, _| drop(source.cmd(&["DEL", "v"])),
        },
        Case {
            check: "newer-commands",
            result: Verdict::Fail,
            words: "VADD (1 calls)",
            wrong: &|_, _| {},
            remedy: &|source, _| drop(source.cmd(&["CONFIG", "RESETSTAT"])),
        },
        Case {
            check: "hash-field-expiry",
            result: Verdict::Fail,
            words: "1 hashes",
            wrong: &|source, _| {
                source.cmd(&["HSET", "h", "f", "v"]);
                source.cmd(&["HPEXPIRE", "h", "100000000", "FIELDS", "1", "f"]);
            },
            remedy: &|source, _| drop(source.cmd(&["DEL", "h"])),
        },
        Case {
            check: "functions",
            result: Verdict::Fail,
            words: "1 libraries",
            wrong: &|source, _| {
                let code = "#!lua name=l\nredis.register_function('f', function() return 1 end)";
                source.cmd(&["FUNCTION", "LOAD", code]);
            },
            remedy: &|source, _| drop(source.cmd(&["FUNCTION", "FLUSH"])),
        },
    ];
    let plan = plan(&source.url(), &target.url());
    all(&source, &target, &plan, &cases).await;
    // What is left out by choice is a warning.
    let mut losses = Losses::default();
    for kind in LossKind::ALL {
        losses = losses.on(kind, OnLoss::Drop);
    }
    let lossy = plan.clone().losses(losses);
    source.cmd(&["CONFIG", "RESETSTAT"]);
    for case in &cases {
        (case.wrong)(&source, &target);
        expect(&run(&lossy).await, case.check, Verdict::Warn, "left out and counted");
        (case.remedy)(&source, &target);
        expect(&run(&lossy).await, case.check, Verdict::Pass, "");
    }
    // What has a rule goes as something else.
    source.cmd(&["CONFIG", "RESETSTAT"]);
    source.cmd(&["RPUSH", "l", "1"]);
    source.cmd(&["LMOVE", "l", "m", "LEFT", "RIGHT"]);
    expect(
        &run(&plan).await,
        "newer-commands",
        Verdict::Pass,
        "LMOVE (1 calls), which Redis 3.9.102 does not have, goes as",
    );
}

#[tokio::test]
async fn modules_are_needed_on_both_sides() {
    let source = Server::builder("redis-7.4-stack").module("rejson.so").start();
    let (without, with) =
        (Server::start("redis-7.4-stack"), Server::builder("redis-7.4-stack").module("rejson.so").start());
    source.cmd(&["JSON.SET", "j", "$", "{}"]);
    for (target, result) in [(&without, Verdict::Fail), (&with, Verdict::Pass)] {
        let report = run(&plan(&source.url(), &target.url())).await;
        expect(&report, "modules", result, "");
        expect(&report, "data-types", result, "ReJSON-RL");
    }
}

#[tokio::test]
async fn big_keys_are_found_and_a_sample_says_that_it_is_one() {
    for name in ["redis-3.2", "redis-7.0"] {
        let (source, target) = (Server::start(name), Server::start(name));
        let plan = plan(&source.url(), &target.url()).big_key(1_000_000).largest_value(500_000);
        let cases = [Case {
            check: "big-keys",
            result: Verdict::Warn,
            words: "string \"big\" of db 0",
            wrong: &|source, _| drop(source.cmd(&["SET", "big", &"x".repeat(1_000_000)])),
            remedy: &|source, _| drop(source.cmd(&["DEL", "big"])),
        }];
        all(&source, &target, &plan, &cases).await;
    }
    let (source, target) = (Server::start("redis-7.0"), Server::start("redis-7.0"));
    let whole = plan(&source.url(), &target.url()).big_key(200_000).largest_value(500_000);
    source.cmd(&["XADD", "s", "*", "f", &"x".repeat(1_000_000)]);
    expect(&run(&whole).await, "big-keys", Verdict::Fail, "stream \"s\"");
    source.cmd(&["DEL", "s"]);
    expect(&run(&whole).await, "big-keys", Verdict::Pass, "");
    source.cmd(&["DEBUG", "POPULATE", "5000"]);
    let report = run(&whole.clone().sample_keys(300)).await;
    expect(&report, "big-keys", Verdict::Pass, "looked at 300 of 5000 keys");
    expect(&report, "data-types", Verdict::Pass, "300 string");
    // The one stream among thousands of strings, for a target that has none.
    source.cmd(&["XADD", "s", "*", "f", "v"]);
    let old = Server::start("redis-4.0");
    let report = run(&plan(&source.url(), &old.url()).sample_keys(100)).await;
    expect(&report, "data-types", Verdict::Fail, "of type stream, as \"s\"");
}

#[tokio::test]
async fn commands_that_cannot_simply_be_passed_on_are_named() {
    let source = Server::start("redis-6.2");
    let (server, cluster) = (Server::start("redis-6.2"), Cluster::start("redis-6.2", 1));
    for (to, check, command, words) in [
        (server.url(), "restricted-commands", vec!["FLUSHALL"], "FLUSHALL (1 calls) empties the target"),
        (server.url(), "restricted-commands", vec!["KEYS", "*"], "KEYS (1 calls)"),
        (server.url(), "restricted-commands", vec!["PUBLISH", "c", "m"], "PUBLISH (1 calls)"),
        (server.url(), "restricted-commands", vec!["EVAL", "return 1", "0"], "EVAL (1 calls)"),
        (cluster.url(), "cross-slot-commands", vec!["SUNIONSTORE", "a", "b", "c"], "SUNIONSTORE (1 calls)"),
        (cluster.url(), "cross-slot-commands", vec!["SWAPDB", "0", "1"], "the copy stops there"),
    ] {
        let plan = plan(&source.url(), &to);
        source.cmd(&command);
        expect(&run(&plan).await, check, Verdict::Warn, words);
        source.cmd(&["CONFIG", "RESETSTAT"]);
        expect(&run(&plan).await, check, Verdict::Pass, "");
    }
}
