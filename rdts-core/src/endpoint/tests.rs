//! URLs that can be used, and those that cannot.

#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use super::*;
use crate::error::{ErrorKind, Result};
use crate::tls::TlsOptions;

fn parse(text: &str) -> Result<Endpoint> {
    text.parse()
}

#[test]
fn a_node_with_everything() {
    let Endpoint::Node { address, db } = parse("redis://us%40er:p%3Aw@[::1]:7000/5").unwrap() else {
        unreachable!("a redis URL is a node")
    };
    assert_eq!((address.host.as_str(), address.port, db), ("::1", 7000, Some(5)));
    let credentials = address.credentials.unwrap();
    assert_eq!(credentials.user.as_deref(), Some("us@er"));
    assert_eq!(credentials.password.expose(), "p:w");
}

#[test]
fn password_alone_and_default_port() {
    let Endpoint::Node { address, db } = parse("redis://:pw@example.org").unwrap() else {
        unreachable!("a redis URL is a node")
    };
    assert_eq!((address.port, db), (6379, None));
    assert_eq!(address.credentials.unwrap().user, None);
}

#[test]
fn lists_of_addresses_share_the_credentials() {
    let text = "redis://u:p@a,b:1,[::1]:2";
    let Endpoint::Shards(shards) = parse(text).unwrap() else { unreachable!("several addresses are shards") };
    assert_eq!(shards.iter().map(ToString::to_string).collect::<Vec<_>>(), ["a:6379", "b:1", "[::1]:2"]);
    assert!(shards.iter().all(|shard| shard.credentials == shards[0].credentials && shard.credentials.is_some()));
    for (text, shown) in [
        ("redis-cluster://:p@a,b:1/0", "redis-cluster://a:6379,b:1"),
        ("codis://:auth@dash", "codis://dash:18080"),
        ("codis-proxy://a,b", "codis-proxy://a:19000,b:19000"),
        ("redis-proxy://a:1", "redis-proxy://a:1"),
        ("redis-sentinel://:p@a,b:2/3?service=main", "redis-sentinel://a:26379,b:2/3?service=main"),
        ("redis://a,b", "redis://a:6379,b:6379"),
    ] {
        assert_eq!(parse(text).unwrap().to_string(), shown, "{text}");
    }
}

#[test]
fn sentinels_have_credentials_of_their_own() {
    let text = "redis-sentinel://app:pw@a,b/?service=my%20main&sentinel-password=s%26p";
    let Endpoint::Sentinel { sentinels, service, credentials, db } = parse(text).unwrap() else {
        unreachable!("that scheme is a Sentinel's")
    };
    assert_eq!((service.as_str(), db, sentinels.len()), ("my main", None, 2));
    assert_eq!(credentials.unwrap().password.expose(), "pw");
    let own = sentinels[1].credentials.clone().unwrap();
    assert_eq!((own.user, own.password.expose()), (None, "s&p"));
}

#[test]
fn files_and_memory() {
    for (text, path) in [
        ("dump.rdb", "dump.rdb"),
        ("file:a/b.rdb", "a/b.rdb"),
        ("file:///x/y", "/x/y"),
        ("/abs", "/abs"),
        ("a:b", "a:b"),
    ] {
        assert_eq!(parse(text).unwrap(), Endpoint::File(path.into()), "{text}");
    }
    assert_eq!(parse("memory:").unwrap(), Endpoint::Memory);
}

#[test]
fn what_cannot_be_used_is_refused_and_never_shows_the_password() {
    for (text, kind) in [
        ("redis://:hunter2@h?ca=x", ErrorKind::Config),
        ("redis://:pass?word=hunter2@h", ErrorKind::Config),
        ("rediss://:hunter2@h?cert=x", ErrorKind::Config),
        ("rediss://:hunter2@h?ca=", ErrorKind::Config),
        ("rediss://:hunter2@h?ca=x&ca=y", ErrorKind::Config),
        ("rediss://:hunter2@h?verify=hunter2", ErrorKind::Config),
        ("rediss://:hunter2@h?hunter2=no", ErrorKind::Config),
        ("rediss-cluster://u:hunter2@a,u@b", ErrorKind::Config),
        ("redis-sentinel://u:hunter2@a,u:hunter2@b/?service=s", ErrorKind::Config),
        ("codis-proxy://:hunter2@a?verify=off", ErrorKind::Config),
        ("redis://:hunter2@a,b/3", ErrorKind::Unsupported),
        ("redis://:hunter2@a,,b", ErrorKind::Config),
        ("redis-cluster://:hunter2@a/1", ErrorKind::Config),
        ("redis-cluster://:hunter2@a?x=y", ErrorKind::Config),
        ("redis-sentinel://:hunter2@a", ErrorKind::Config),
        ("redis-sentinel://:hunter2@a/?service=", ErrorKind::Config),
        ("redis-sentinel://:hunter2@a/?service=s&service=t", ErrorKind::Config),
        ("redis-sentinel://:hunter2@a/?service=s&colour=blue", ErrorKind::Config),
        ("redis-sentinel://a/?service=s&sentinel-user=hunter2", ErrorKind::Config),
        ("codis://:hunter2@a,b", ErrorKind::Config),
        ("codis://:hunter2@a/x", ErrorKind::Config),
        ("codis-proxy://:hunter2@a/0", ErrorKind::Config),
        ("redis-proxy://:hunter2@", ErrorKind::Config),
        ("redis-proxy:hunter2", ErrorKind::Config),
        ("http://:hunter2@h", ErrorKind::Config),
        ("redis://:hunter2@h/x", ErrorKind::Config),
        ("redis://:hunter2@h:99999", ErrorKind::Config),
        ("redis://hunter2@h", ErrorKind::Config),
        ("redis://", ErrorKind::Config),
        ("redis://h?db=1", ErrorKind::Config),
        ("", ErrorKind::Config),
        ("file:", ErrorKind::Config),
    ] {
        let error = parse(text).unwrap_err();
        assert_eq!(error.kind(), kind, "{text}: {error}");
        assert!(!format!("{error} {error:?}").contains("hunter2"), "{text}: {error:?}");
    }
}

#[test]
fn tls_has_options_which_all_addresses_share() {
    let text = "rediss-cluster://:p@a,b:1?ca=%2Fetc%2Fca.pem&cert=c.pem&key=k.pem&server-name=redis.example";
    let Endpoint::Cluster { seeds } = parse(text).unwrap() else { unreachable!("that scheme is a cluster's") };
    let tls = seeds[1].tls.clone().unwrap();
    let wanted = TlsOptions::default().ca("/etc/ca.pem").identity("c.pem", "k.pem").server_name("redis.example");
    assert_eq!(tls.options(), &wanted);
    assert!(Arc::ptr_eq(&tls, seeds[0].tls.as_ref().unwrap()));

    let Endpoint::Node { address, .. } = parse("rediss://h?verify=off").unwrap() else { unreachable!("a node") };
    assert!(address.tls.unwrap().options().accept_any_certificate);
    for text in ["rediss://h", "rediss://h?verify=on"] {
        let Endpoint::Node { address, .. } = parse(text).unwrap() else { unreachable!("a node") };
        assert_eq!(address.tls.unwrap().options(), &TlsOptions::default());
    }
    let Endpoint::Sentinel { sentinels, service, .. } = parse("rediss-sentinel://h/?ca=x&service=s&verify=on").unwrap()
    else {
        unreachable!("that scheme is a Sentinel's")
    };
    assert_eq!((service.as_str(), sentinels[0].tls.is_some()), ("s", true));
    for (text, shown) in [
        ("rediss://a/2?verify=off", "rediss://a:6379/2"),
        ("rediss://a,b", "rediss://a:6379,b:6379"),
        ("rediss-cluster://a?ca=/x", "rediss-cluster://a:6379"),
        ("rediss-sentinel://a/?service=s", "rediss-sentinel://a:26379?service=s"),
        ("rediss-proxy://a", "rediss-proxy://a:6379"),
    ] {
        assert_eq!(parse(text).unwrap().to_string(), shown, "{text}");
    }
}

#[test]
fn nodes_may_have_logins_of_their_own() {
    let logins = |text: &str| -> Vec<(String, String)> {
        let Endpoint::Cluster { seeds } = parse(text).unwrap() else { unreachable!("that scheme is a cluster's") };
        let login = |seed: &NodeAddress| {
            let login = seed.credentials.clone().unwrap();
            format!("{}:{}", login.user.unwrap_or_default(), login.password.expose())
        };
        seeds.iter().map(|seed| (login(seed), seed.host.clone())).collect()
    };
    let pairs = |wanted: &[(&str, &str)]| -> Vec<(String, String)> {
        wanted.iter().map(|(login, host)| ((*login).to_owned(), (*host).to_owned())).collect()
    };
    let text = "redis-cluster://u1:p1@a,u2:p%402@b,c";
    assert_eq!(logins(text), pairs(&[("u1:p1", "a"), ("u2:p@2", "b"), ("u1:p1", "c")]));
    assert_eq!(logins("redis-cluster://:pa,ss@a,b"), pairs(&[(":pa,ss", "a"), (":pa,ss", "b")]));
    assert_eq!(logins("redis-cluster://:p@ss@a,b"), pairs(&[(":p@ss", "a"), (":p@ss", "b")]));
}
