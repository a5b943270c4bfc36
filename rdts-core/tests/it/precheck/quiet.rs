//! Nothing is ever written to either side.

use std::collections::BTreeSet;

use rdts_core::precheck::run;
use rdts_testkit::{Server, fill};

use super::plan;

/// The commands that a server has executed and calls writes.
fn writes(server: &Server) -> BTreeSet<String> {
    let mut connection = server.connection();
    let commands: Vec<redis::Value> = redis::cmd("COMMAND").query(&mut connection).unwrap();
    let is_write = |name: &str| {
        commands.iter().any(|command| {
            let redis::Value::Array(parts) = command else { panic!("{command:?}") };
            let flags: Vec<String> = redis::from_redis_value(parts[2].clone()).unwrap();
            let is: String = redis::from_redis_value(parts[0].clone()).unwrap();
            is == name && flags.iter().any(|flag| flag == "write")
        })
    };
    let executed = server.info("commandstats").into_iter().filter(|(_, stats)| !stats.starts_with("calls=0"));
    let names = executed
        .filter_map(|(name, _)| name.strip_prefix("cmdstat_").map(|name| name.split('|').next().unwrap().to_owned()));
    names.filter(|name| is_write(name)).collect()
}

#[tokio::test]
async fn nothing_is_written() {
    for (from, to) in [("redis-2.8", "redis-5.0"), ("redis-7.0", "redis-8.10"), ("valkey-9.1", "redis-6.0")] {
        let (source, target) = (Server::start(from), Server::start(to));
        fill(&source, &rdts_testkit::FillOptions::mixed(200));
        target.cmd(&["SET", "k", "v"]);
        let state = |server: &Server| {
            let info = server.info("all");
            // Not the average TTL, which servers compute now and then.
            let value = |field: &str| info.get(field).map(|value| value.split(",avg_ttl").next().unwrap().to_owned());
            ["master_repl_offset", "connected_slaves", "db0", "db3"].map(value)
        };
        for server in [&source, &target] {
            server.cmd(&["CONFIG", "RESETSTAT"]);
        }
        let before = [state(&source), state(&target)];
        run(&plan(&source.url(), &target.url()).checkpoints(true)).await;
        for server in [&source, &target] {
            assert_eq!(writes(server), BTreeSet::new(), "{}", server.name());
        }
        assert_eq!([state(&source), state(&target)], before, "{from} and {to}");
        // The test can see what it looks for.
        source.cmd(&["DEL", "nobody"]);
        assert_eq!(writes(&source), BTreeSet::from(["del".to_owned()]));
    }
}
