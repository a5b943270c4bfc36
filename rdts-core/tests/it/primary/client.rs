//! The few commands that it answers to everybody, asked by the `redis` crate.

use std::collections::BTreeMap;

use rdts_core::primary::{Primary, PrimaryConfig, Protocol};
use redis::{Client, Connection, RedisResult, Value};

use super::quiet;

fn connect(primary: &Primary, login: &str) -> RedisResult<Connection> {
    Client::open(format!("redis://{login}{}", primary.local_addr()))?.get_connection()
}

fn ask(connection: &mut Connection, args: &[&str]) -> RedisResult<Value> {
    redis::cmd(args[0]).arg(&args[1..]).query(connection)
}

fn info(connection: &mut Connection, section: &str) -> BTreeMap<String, String> {
    let text: String = redis::cmd("INFO").arg(section).query(connection).unwrap();
    let fields = text.lines().filter_map(|line| line.split_once(':'));
    fields.map(|(field, value)| (field.to_owned(), value.to_owned())).collect()
}

fn refusal(result: RedisResult<Value>) -> String {
    match result {
        Err(error) => error.to_string(),
        Ok(value) => panic!("expected a refusal, got {value:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn it_answers_like_a_server() {
    let primary = quiet(PrimaryConfig::default().version("6.2.5").offset(41)).await;
    let mut connection = connect(&primary, "").unwrap();
    assert_eq!(ask(&mut connection, &["PING"]).unwrap(), Value::SimpleString("PONG".into()));
    assert_eq!(ask(&mut connection, &["ping", "hello"]).unwrap(), Value::BulkString(b"hello".to_vec()));
    assert_eq!(ask(&mut connection, &["ECHO", "a\r\nb"]).unwrap(), Value::BulkString(b"a\r\nb".to_vec()));
    assert_eq!(ask(&mut connection, &["SELECT", "3"]).unwrap(), Value::Okay);
    assert!(refusal(ask(&mut connection, &["SELECT", "16"])).contains("out of range"));
    assert!(refusal(ask(&mut connection, &["SELECT", "x"])).contains("invalid DB index"));
    assert!(refusal(ask(&mut connection, &["GET", "key"])).contains("unknown command 'GET'"));
    assert!(refusal(ask(&mut connection, &["ECHO"])).contains("wrong number of arguments for 'echo'"));
    assert!(refusal(ask(&mut connection, &["PSYNC", "?", "x"])).contains("not an integer"));
    assert!(refusal(ask(&mut connection, &["REPLCONF", "capa"])).contains("syntax error"));
    assert!(refusal(ask(&mut connection, &["REPLCONF", "rdb-only", "1"])).contains("Unrecognized REPLCONF option"));
    let replication = info(&mut connection, "replication");
    assert_eq!(replication["role"], "master");
    assert_eq!(replication["master_replid"], primary.replid().as_str());
    assert_eq!(replication["master_repl_offset"], "41");
    assert!(!replication.contains_key("redis_version"));
    assert_eq!(info(&mut connection, "server")["redis_version"], "6.2.5");
    assert_eq!(info(&mut connection, "all")["loading"], "0");
}

#[tokio::test(flavor = "multi_thread")]
async fn while_loading_it_says_so() {
    let primary = quiet(PrimaryConfig::default()).await;
    let mut connection = connect(&primary, "").unwrap();
    primary.set_loading(true);
    for command in [&["PING"][..], &["PSYNC", "?", "-1"], &["SYNC"]] {
        assert_eq!(ask(&mut connection, command).unwrap_err().code(), Some("LOADING"), "{command:?}");
    }
    assert_eq!(ask(&mut connection, &["REPLCONF", "capa", "eof"]).unwrap(), Value::Okay);
    assert_eq!(info(&mut connection, "persistence")["loading"], "1");
    primary.set_loading(false);
    assert!(ask(&mut connection, &["PING"]).is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn passwords_are_asked_for_in_the_words_of_each_generation() {
    let primary = quiet(PrimaryConfig::default().password("secret")).await;
    assert!(connect(&primary, ":secret@").is_ok() && connect(&primary, "default:secret@").is_ok());
    assert!(connect(&primary, ":wrong@").is_err() && connect(&primary, "other:secret@").is_err());
    let mut connection = connect(&primary, "").unwrap();
    for command in [&["PING"][..], &["REPLCONF", "capa", "eof"], &["PSYNC", "?", "-1"], &["INFO"]] {
        assert_eq!(ask(&mut connection, command).unwrap_err().code(), Some("NOAUTH"), "{command:?}");
    }
    assert_eq!(ask(&mut connection, &["AUTH", "wrong"]).unwrap_err().code(), Some("WRONGPASS"));
    assert_eq!(ask(&mut connection, &["AUTH", "secret"]).unwrap(), Value::Okay);
    assert!(ask(&mut connection, &["PING"]).is_ok());

    let primary = quiet(PrimaryConfig::default().user("repl").password("secret")).await;
    assert!(connect(&primary, "repl:secret@").is_ok());
    assert!(connect(&primary, ":secret@").is_err() && connect(&primary, "default:secret@").is_err());

    let primary = quiet(PrimaryConfig::default().protocol(Protocol::Psync).password("secret")).await;
    let mut connection = connect(&primary, "").unwrap();
    assert!(refusal(ask(&mut connection, &["AUTH", "default", "secret"])).contains("wrong number of arguments"));
    assert!(refusal(ask(&mut connection, &["AUTH", "wrong"])).contains("invalid password"));
    assert_eq!(ask(&mut connection, &["AUTH", "secret"]).unwrap(), Value::Okay);

    let primary = quiet(PrimaryConfig::default()).await;
    let mut connection = connect(&primary, "").unwrap();
    assert!(refusal(ask(&mut connection, &["AUTH", "secret"])).contains("no password is set"));
}
