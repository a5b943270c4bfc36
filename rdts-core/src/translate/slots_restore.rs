//! What a Codis server says when keys are put there by payload.

use rdts_resp::{CommandRef, encode};

use super::Target;
use super::snapshot::bulk_at;
use crate::error::{Error, ErrorKind, Result};
use crate::record::{BatchBuilder, Kind, Mark};

/// The RDB version of the payloads that Codis 3.2 makes.
const PAYLOAD: u16 = 7;

/// `SLOTSRESTORE key ttl payload …` → `RESTORE key ttl payload REPLACE` for each key. It always replaces, and its times are relative,
/// 0 for none, as `RESTORE` has them.
pub(super) fn translate(
    command: &CommandRef<'_>,
    target: Target,
    db: u32,
    offset: u64,
    out: &mut BatchBuilder,
) -> Result<()> {
    let args: Vec<&[u8]> = command.iter().skip(1).collect();
    let (triples, rest) = args.as_chunks::<3>();
    if triples.is_empty() || !rest.is_empty() {
        return Err(Error::protocol("SLOTSRESTORE with a wrong number of arguments"));
    }
    if target.rdb_version() < PAYLOAD {
        let text = format!("SLOTSRESTORE of key \"{}\": {target} does not read its payload", shown(triples[0][0]));
        return Err(Error::new(ErrorKind::Unsupported, text));
    }
    for (index, [key, ttl, payload]) in triples.iter().enumerate() {
        let arena = out.arena();
        encode::array_header(arena, 5);
        encode::bulk(arena, b"RESTORE");
        let at = bulk_at(arena, key);
        encode::bulk(arena, ttl);
        encode::bulk(arena, payload);
        encode::bulk(arena, b"REPLACE");
        let last = u32::from(index + 1 == triples.len());
        out.commit(Mark::new(db, Kind::Write).writes(last), Some(at), offset);
    }
    Ok(())
}

/// The error for `SLOTSRESTORE-ASYNC …`, which only a server that gives slots away sends to the one that gets them.
pub(super) fn arrival(command: &CommandRef<'_>) -> Error {
    let key = shown(command.arg(2).unwrap_or_default());
    let text = format!(
        "key \"{key}\" comes from another group of Codis (SLOTSRESTORE-ASYNC): slots are being moved. Let the moves finish and start \
         again"
    );
    Error::new(ErrorKind::Topology, text)
}

fn shown(key: &[u8]) -> String {
    key[..key.len().min(128)].escape_ascii().to_string()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use rdts_resp::CommandDecoder;

    use super::*;
    use crate::record::{Position, ReplicationId};

    fn translated(words: &[&str], target: Target) -> Result<Vec<String>> {
        let mut frame = Vec::new();
        encode::command(&mut frame, words);
        let mut decoder = CommandDecoder::new();
        let (_, command) = decoder.decode(&frame).unwrap().unwrap();
        let mut out = BatchBuilder::new(64);
        translate(&command, target, 3, 0, &mut out)?;
        let batch = out.take(Position::stream(ReplicationId::NONE, 0, 0));
        let shown = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        let words = |command: crate::record::Command<'_>| command.args().map(shown).collect::<Vec<_>>().join(" ");
        Ok(batch.commands().map(|command| format!("{}: {}", shown(command.key().unwrap()), words(command))).collect())
    }

    #[test]
    fn every_key_is_restored_and_replaced() {
        let words = ["SLOTSRESTORE", "a", "0", "p", "b", "15", "q"];
        assert_eq!(
            translated(&words, Target::redis(7, 0, 0)).unwrap(),
            ["a: RESTORE a 0 p REPLACE", "b: RESTORE b 15 q REPLACE"]
        );
        let error = translated(&words, Target::redis(3, 0, 0)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported, "{error}");
        for wrong in [&words[..1], &words[..3], &words[..5]] {
            assert_eq!(translated(wrong, Target::redis(7, 0, 0)).unwrap_err().kind(), ErrorKind::Protocol);
        }
    }
}
