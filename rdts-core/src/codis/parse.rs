//! The dashboard's JSON → [`CodisTopology`].

use serde_json::Value;

use super::topology::{CodisTopology, Group, Move, wrong};
use crate::endpoint::NodeAddress;
use crate::error::Result;
use crate::slot::codis::SLOTS;

/// Reads the answer to `GET /topom/stats`.
pub(super) fn topology(stats: &Value) -> Result<CodisTopology> {
    let groups = list(stats, "/group/models")?.iter().map(group).collect::<Result<Vec<_>>>()?;
    let mut slots = vec![None; usize::from(SLOTS)];
    let mut moves = Vec::new();
    for (at, slot) in list(stats, "/slots")?.iter().enumerate() {
        let place = format!("/slots/{at}");
        let id = number(slot, "/id", &place)?;
        let owner = number(slot, "/group_id", &place)?;
        match usize::try_from(id).ok().and_then(|id| slots.get_mut(id)) {
            Some(entry) if entry.is_none() => *entry = Some(owner),
            _ => return Err(wrong(format!("{place}: there is no slot {id}, or it is told twice"))),
        }
        let state = text(slot, "/action/state");
        if !state.is_empty() {
            let to = number(slot, "/action/target_id", &place).unwrap_or_default();
            // Below the number of slots: it has found its entry.
            moves.push(Move { slot: u16::try_from(id).unwrap_or_default(), from: owner, to, state: state.to_owned() });
        }
    }
    let slots: Option<Vec<u32>> = slots.into_iter().collect();
    let slots = slots.ok_or_else(|| wrong(format!("not all of the {SLOTS} slots are told")))?;
    let proxies = stats.pointer("/proxy/models").and_then(Value::as_array);
    let proxies = proxies
        .into_iter()
        .flatten()
        .map(|proxy| address(text(proxy, "/proxy_addr"), "/proxy/models"))
        .collect::<Result<Vec<_>>>()?;
    Ok(CodisTopology::new(groups, slots)?.with(moves, proxies))
}

fn group(group: &Value) -> Result<Group> {
    let id = number(group, "/id", "/group/models")?;
    let place = format!("group {id}");
    // A group without servers may have none or a null.
    let servers = group.pointer("/servers").and_then(Value::as_array);
    let servers = servers
        .into_iter()
        .flatten()
        .map(|server| address(text(server, "/server"), &place))
        .collect::<Result<Vec<_>>>()?;
    if id == 0 {
        return Err(wrong("/group/models: a group has the number 0, which stands for none"));
    }
    let promoting = text(group, "/promoting/state");
    Ok(Group { id, servers, promoting: (!promoting.is_empty()).then(|| promoting.to_owned()) })
}

fn list<'a>(value: &'a Value, place: &str) -> Result<&'a Vec<Value>> {
    value.pointer(place).and_then(Value::as_array).ok_or_else(|| wrong(format!("there is no list at {place}")))
}

fn number(value: &Value, field: &str, place: &str) -> Result<u32> {
    let number = value.pointer(field).and_then(Value::as_u64).and_then(|number| u32::try_from(number).ok());
    number.ok_or_else(|| wrong(format!("there is no number at {place}{field}")))
}

fn text<'a>(value: &'a Value, field: &str) -> &'a str {
    value.pointer(field).and_then(Value::as_str).unwrap_or_default()
}

/// `host:port`, with an IPv6 address in brackets.
fn address(text: &str, place: &str) -> Result<NodeAddress> {
    let parts = text.rsplit_once(':').and_then(|(host, port)| Some((host, port.parse().ok()?)));
    match parts {
        Some((host, port)) if !host.is_empty() => {
            let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
            Ok(NodeAddress::new(host, port))
        }
        _ => {
            let shown: String = text.chars().take(100).collect();
            Err(wrong(format!("{place}: '{}' is no host:port of a server", shown.escape_debug())))
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde_json::json;

    use super::*;

    fn stats() -> Value {
        let slots: Vec<_> = (0..1024).map(|id| json!({"id": id, "group_id": 1 + id / 512, "action": {}})).collect();
        json!({
            "closed": false,
            "slots": slots,
            "group": {"models": [
                {"id": 1, "servers": [{"server": "10.0.0.1:6379", "datacenter": "", "action": {}, "replica_group": false},
                                      {"server": "[::1]:6380"}], "promoting": {}, "out_of_sync": false},
                {"id": 2, "servers": [{"server": "a.example:6379"}], "promoting": {"index": 1, "state": "preparing"}},
                {"id": 3, "servers": null, "promoting": {}},
            ], "stats": {}},
            "proxy": {"models": [{"id": 1, "proxy_addr": "10.0.0.9:19000"}], "stats": {}},
        })
    }

    #[test]
    fn an_answer_is_read() {
        let mut stats = stats();
        stats["slots"][700]["action"] = json!({"index": 1, "state": "migrating", "target_id": 1});
        let read = topology(&stats).unwrap();
        assert_eq!(read.groups()[0].servers, [NodeAddress::new("10.0.0.1", 6379), NodeAddress::new("::1", 6380)]);
        assert_eq!((read.owner(511), read.owner(512)), (1, 2));
        assert_eq!(read.groups()[1].promoting.as_deref(), Some("preparing"));
        assert!(read.groups()[2].servers.is_empty());
        assert_eq!(read.proxies(), [NodeAddress::new("10.0.0.9", 19000)]);
        assert_eq!(read.moves(), [Move { slot: 700, from: 2, to: 1, state: "migrating".into() }]);
        let text = read.check_steady().unwrap_err().to_string();
        assert!(text.contains("slot 700, from group 2 to group 1 (migrating)"), "{text}");
    }

    #[test]
    fn nonsense_is_an_error_that_names_the_place() {
        let broken: [(&str, Value, &str); 9] = [
            ("/slots", Value::Null, "/slots"),
            ("/slots/5/id", json!(4), "no slot 4"),
            ("/slots/5/id", json!(1024), "no slot 1024"),
            ("/slots/5/id", json!("five"), "/slots/5/id"),
            ("/slots/5/group_id", json!(-1), "/slots/5/group_id"),
            ("/group/models", json!({}), "/group/models"),
            ("/group/models/0/id", json!(0), "number 0"),
            ("/group/models/0/servers/0/server", json!("nowhere"), "group 1: 'nowhere'"),
            ("/group/models/0/id", json!(9), "slot 0 belongs to group 1"),
        ];
        for (place, value, words) in broken {
            let mut stats = stats();
            *stats.pointer_mut(place).unwrap() = value;
            let error = topology(&stats).unwrap_err().to_string();
            assert!(error.contains(words), "{place}: {error}");
        }
        let mut short = stats();
        short["slots"].as_array_mut().unwrap().pop();
        assert!(topology(&short).unwrap_err().to_string().contains("not all"), "a slot is missing");
        for nothing in [json!(null), json!([]), json!("x"), json!({})] {
            topology(&nothing).unwrap_err();
        }
    }
}
