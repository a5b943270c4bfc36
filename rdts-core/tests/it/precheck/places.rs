//! Whether something is in the way where the keys would go, and whether there are the databases.

use std::sync::Arc;

use rdts_core::filter::Rules;
use rdts_core::precheck::{Verdict, run};
use rdts_core::translate::OnConflict;
use rdts_testkit::{Cluster, Server};

use super::{expect, plan, report};

fn in_db(server: &Server, db: u32, command: &[&str]) {
    let mut connection = server.connection();
    redis::cmd("SELECT").arg(db).exec(&mut connection).unwrap();
    redis::cmd(command[0]).arg(&command[1..]).exec(&mut connection).unwrap();
}

#[tokio::test]
async fn a_target_has_to_be_empty_where_the_keys_go() {
    let (source, target) = (Server::start("redis-6.2"), Server::start("redis-6.2"));
    source.cmd(&["SET", "k", "v"]);
    let whole = plan(&source.url(), &target.url());
    expect(&run(&whole).await, "target-empty", Verdict::Pass, "is empty");
    in_db(&target, 3, &["SET", "k", "v"]);
    expect(&run(&whole).await, "target-empty", Verdict::Fail, "db3 has 1 keys");
    let policies = [(OnConflict::Replace, "are replaced"), (OnConflict::Skip, "left alone")];
    for (policy, words) in policies {
        expect(&run(&whole.clone().on_conflict(policy)).await, "target-empty", Verdict::Warn, words);
    }
    // Nothing goes there.
    let elsewhere = whole.clone().rules(Some(Arc::new(Rules::one_db(0, 2))));
    expect(&run(&elsewhere).await, "target-empty", Verdict::Pass, "is empty");
    let there = whole.clone().rules(Some(Arc::new(Rules::one_db(0, 3))));
    expect(&run(&there).await, "target-empty", Verdict::Fail, "db3");
    in_db(&target, 3, &["FLUSHDB"]);
    target.cmd(&["SET", "rdts:checkpoint:task/0", "x"]);
    expect(&run(&whole).await, "target-empty", Verdict::Pass, "but for 1 keys of RDTS itself");
}

#[tokio::test]
async fn databases_have_to_be_there() {
    let source = Server::start("redis-6.2");
    let few = Server::builder("redis-6.2").arg("databases", "4").start();
    let cluster = Cluster::start("redis-6.2", 1);
    in_db(&source, 5, &["SET", "k", "v"]);
    for (to, words) in [(few.url(), "out of range"), (cluster.url(), "not allowed in cluster mode")] {
        let all = plan(&source.url(), &to);
        expect(&run(&all).await, "databases", Verdict::Fail, words);
        let mapped = all.clone().rules(Some(Arc::new(Rules::one_db(5, 0))));
        expect(&run(&mapped).await, "databases", Verdict::Pass, "");
    }
    in_db(&source, 5, &["DEL", "k"]);
    expect(&report(&source.url(), &few.url()).await, "databases", Verdict::Pass, "");
}
