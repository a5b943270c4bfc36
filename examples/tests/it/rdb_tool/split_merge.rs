//! `split` and `merge`: the parts are the whole, and a cluster agrees about the slots.

use std::collections::BTreeSet;

use rdts_testkit::{Server, assert_same};

use super::{Folder, LIBRARY, ends, filled, keys, saved, strings};

#[test]
fn parts_are_those_of_a_cluster() {
    let cluster = Server::builder("redis-7.0").arg("cluster-enabled", "yes").start();
    let names = [
        "a",
        "",
        "{",
        "{}",
        "{}x",
        "x{y}z",
        "{y}",
        "y",
        "{{y}}",
        "{y}{z}",
        "}{",
        "a{b",
        "long:name:with:parts",
        "\u{e9}",
    ];
    let more: Vec<String> = (0..300).map(|i| format!("key:{i}")).collect();
    let names: Vec<&str> = names.into_iter().chain(more.iter().map(String::as_str)).collect();
    let folder = Folder::new();
    let pairs: Vec<_> = names.iter().map(|name| (*name, "v")).collect();
    let file = folder.file("all.rdb", &strings(9, &pairs));
    let dir = folder.path("parts");
    ends(&["split", &file, "-o", &dir, "--slots", "0-5460,5461-10922,10923-16383"], 0);
    let mut seen = 0;
    for (first, last) in [(0, 5460), (5461, 10_922), (10_923, 16_383)] {
        for (_, key) in keys(&format!("{dir}/{first}-{last}.rdb")) {
            let redis::Value::Int(slot) = cluster.cmd(&[b"CLUSTER".as_slice(), b"KEYSLOT", &key]) else { panic!() };
            assert!((first..=last).contains(&slot), "{}: slot {slot}", key.escape_ascii());
            seen += 1;
        }
    }
    assert_eq!(seen, names.len());
    // So many equal parts are those that `redis-cli --cluster create` makes.
    let equal = folder.path("equal");
    ends(&["split", &file, "-o", &equal, "--parts", "3"], 0);
    for range in ["0-5460", "5461-10922", "10923-16383"] {
        let [a, b] = [&dir, &equal].map(|dir| std::fs::read(format!("{dir}/{range}.rdb")).unwrap());
        assert!(a == b, "{range}");
    }
    // One slot, and what is nowhere.
    let one = folder.path("one");
    let ended = ends(&["split", &file, "-o", &one, "--slots", "10"], 0);
    assert!(ended.stderr.contains("left out"), "{}", ended.stderr);
    assert_eq!(keys(&format!("{one}/10-10.rdb")).len(), 0);
}

#[test]
fn the_parts_together_are_the_whole() {
    for name in ["redis-7.0", "redis-8.2", "valkey-9.1"] {
        let server = filled(name, 240);
        let file = saved(&server);
        let folder = Folder::new();
        let (dir, merged) = (folder.path("parts"), folder.path("merged.rdb"));
        ends(&["split", &file, "-o", &dir, "--parts", "3"], 0);
        let parts = ["0-5460", "5461-10922", "10923-16383"].map(|range| format!("{dir}/{range}.rdb"));
        let mut all = BTreeSet::new();
        for part in &parts {
            let keys = keys(part);
            assert!(keys.len() > 40, "{name}: {} keys", keys.len());
            let count = all.len() + keys.len();
            all.extend(keys);
            assert_eq!(all.len(), count, "{name}: a key is in one part only");
        }
        // Each part is a file of its own, with the functions.
        let loaded = Server::builder(name).rdb(&parts[1]).start();
        assert_eq!(server.cmd(&["FUNCTION", "DUMP"]), loaded.cmd(&["FUNCTION", "DUMP"]));
        let args: Vec<_> =
            ["merge"].into_iter().chain(parts.iter().map(String::as_str)).chain(["-o", &merged]).collect();
        ends(&args, 0);
        assert!(ends(&["diff", &file, &merged], 0).text().starts_with("240 keys and 240 keys: no difference"));
        let loaded = Server::builder(name).rdb(&merged).start();
        assert_same(&server, &loaded);
        assert_eq!(server.cmd(&["FUNCTION", "DUMP"]), loaded.cmd(&["FUNCTION", "DUMP"]));
    }
}

#[test]
fn conflicts() {
    let folder = Folder::new();
    let a = folder.file("a.rdb", &strings(9, &[("k", "first"), ("a", "1")]));
    let b = folder.file("b.rdb", &strings(11, &[("b", "2"), ("k", "second")]));
    let c = folder.file("c.rdb", &strings(10, &[("k", "third")]));
    let out = folder.path("out.rdb");
    let refused = ends(&["merge", &a, &b, &c, "-o", &out], 4);
    assert!(refused.stderr.contains("\"k\"") && refused.stderr.contains("b.rdb"), "{}", refused.stderr);
    assert!(!folder.names().contains(&"out.rdb".to_owned()));
    for (policy, value) in [("first", "first"), ("last", "third")] {
        let ended = ends(&["merge", &a, &b, &c, "-o", &out, "--on-conflict", policy], 0);
        assert!(ended.stderr.contains("3 of 5 keys, 2 of them"), "{}", ended.stderr);
        let expected = folder.file("expected.rdb", &strings(9, &[("a", "1"), ("b", "2"), ("k", value)]));
        ends(&["diff", &out, &expected], 0);
        assert!(std::fs::read(&out).unwrap().starts_with(b"REDIS0011"), "the newest version");
    }
    // The same name in another database is another key.
    let server = Server::start("redis-7.0");
    let mut connection = server.connection();
    redis::cmd("SELECT").arg(1).exec(&mut connection).unwrap();
    redis::cmd("SET").arg("k").arg("v").exec(&mut connection).unwrap();
    ends(&["merge", &a, &saved(&server), "-o", &out], 0);
    assert_eq!(keys(&out).len(), 3);
}

#[test]
fn functions_of_several_files() {
    let folder = Folder::new();
    let server = Server::start("redis-7.0");
    server.cmd(&["FUNCTION", "LOAD", LIBRARY]);
    let copy = |name: &str| {
        let path = folder.path(name);
        std::fs::copy(saved(&server), &path).unwrap();
        path
    };
    let a = copy("a.rdb");
    let other = LIBRARY.replace("name=lib", "name=other").replace("'f'", "'g'");
    server.cmd(&["FUNCTION", "LOAD", &other]);
    let b = copy("b.rdb");
    let out = folder.path("out.rdb");
    ends(&["merge", &a, &b, "-o", &out], 0);
    let loaded = Server::builder("redis-7.0").rdb(&out).start();
    let code = |server: &Server, library| server.cmd(&["FUNCTION", "LIST", "LIBRARYNAME", library, "WITHCODE"]);
    for library in ["lib", "other"] {
        assert_eq!(code(&server, library), code(&loaded, library));
    }
    server.cmd(&["FUNCTION", "LOAD", "REPLACE", &LIBRARY.replace('1', "2")]);
    let c = copy("c.rdb");
    let refused = ends(&["merge", &a, &c, "-o", &out], 4);
    assert!(refused.stderr.contains("library lib "), "{}", refused.stderr);
}

#[test]
fn versions_of_one_dialect_only_unless_asked() {
    let folder = Folder::new();
    let a = folder.file("a.rdb", &strings(11, &[("a", "1")]));
    let b = folder.file("b.rdb", &strings(80, &[("b", "1")]));
    let out = folder.path("out.rdb");
    let refused = ends(&["merge", &a, &b, "-o", &out], 2);
    assert!(refused.stderr.contains("--rdb-version"), "{}", refused.stderr);
    ends(&["merge", &a, &b, "-o", &out, "--rdb-version", "80"], 0);
    assert!(std::fs::read(&out).unwrap().starts_with(b"VALKEY080"));
    assert_eq!(keys(&out).len(), 2);
}
