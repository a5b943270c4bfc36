//! Sets a key of the target right.

use rdts_rdb::dump::Payload;
use rdts_rdb::{Event, KeyHeader, Limits, ParserOptions, ValueKind, ValueMode, ValueType, Version};
use rdts_resp::Reply;

use super::face::{Face, Tolerance, Verdict};
use super::keys::Keys;
use super::pair::{Names, Pair};
use super::pass::Candidate;
use super::pieces::{self, Found, Head, Take};
use super::settle::still;
use super::side::About;
use super::wire::Wire;
use crate::error::{Error, Result};
use crate::record::{Batch, BatchBuilder, Position, ReplicationId};
use crate::translate::{OnConflict, SnapshotTranslator, Target, TranslateOptions};

/// How often a key is tried that somebody writes to.
const TRIES: u32 = 5;
/// A value whose payload is longer is built piece by piece.
const WHOLE: u64 = 8 << 20;

/// Strings up to this are not taken apart.
const WHOLE_STRING: usize = 1 << 20;

/// What came of it.
#[derive(Debug)]
pub(super) enum Repaired {
    Yes,
    /// It was not tried.
    No,
    Failed(String),
}

/// Sets the key right, unless either side has changed since.
pub(super) async fn repair(pair: &mut Pair, candidate: &Candidate, tolerance: Tolerance) -> Result<Repaired> {
    for _ in 0..TRIES {
        let key = &candidate.target_key;
        let nowhere = || Repaired::Failed("no node of the target has its slot".to_owned());
        let Some((wire, _)) = pair.target.node_of(candidate.target_db, key).await? else { return Ok(nowhere()) };
        // From here on, whatever somebody else writes to the key makes our transaction void.
        expect_ok(wire, &[b"WATCH", key]).await?;
        let (verdict, source, target) = look(pair, candidate).await?;
        if !still(candidate, &source, &target, tolerance) {
            let Some((wire, _)) = pair.target.node_of(candidate.target_db, key).await? else { return Ok(nowhere()) };
            expect_ok(wire, &[b"UNWATCH"]).await?;
            return Ok(match verdict {
                Verdict::Same => Repaired::Yes,
                _ => Repaired::Failed("the source has changed meanwhile".to_owned()),
            });
        }
        match set_right(pair, candidate, &source, &target).await? {
            Outcome::Done => {
                let (verdict, ..) = look(pair, candidate).await?;
                return Ok(match verdict {
                    Verdict::Same => Repaired::Yes,
                    _ => Repaired::Failed("it still differs".to_owned()),
                });
            }
            Outcome::Disturbed => {}
            Outcome::Refused(text) => return Ok(Repaired::Failed(text)),
        }
    }
    Ok(Repaired::Failed("somebody keeps writing to it".to_owned()))
}

enum Outcome {
    Done,
    /// Somebody has written to the key.
    Disturbed,
    Refused(String),
}

async fn look(pair: &mut Pair, candidate: &Candidate) -> Result<(Verdict, Face, Face)> {
    let (mut keys, mut target_keys) = (Keys::default(), Keys::default());
    keys.push(&candidate.key);
    target_keys.push(&candidate.target_key);
    let (db, target_db) = (candidate.db, candidate.target_db);
    let names = Names { db, keys: &keys, target_db, target_keys: &target_keys, at: None };
    let mut seen = (Verdict::Same, Face::Missing, Face::Missing);
    pair.try_compare(&names, &mut |_, verdict, source, target| seen = (verdict, source, target)).await?;
    Ok(seen)
}

async fn set_right(pair: &mut Pair, candidate: &Candidate, source: &Face, target: &Face) -> Result<Outcome> {
    let key = &candidate.target_key;
    let Some((to, about)) = pair.target.node_of(candidate.target_db, key).await? else {
        return Ok(Outcome::Refused("no node of the target has its slot".to_owned()));
    };
    let about = about.clone();
    match (source, target) {
        (Face::Present(source), Face::Present(target))
            if (source.kind, source.len, source.digest) == (target.kind, target.len, target.digest)
                && source.digest != 0 =>
        {
            // Only the expiry is not right.
            let time = source.expire_at.unwrap_or_default().to_string();
            let command: &[&[u8]] = match source.expire_at {
                Some(_) => &[b"PEXPIREAT", key, time.as_bytes()],
                None => &[b"PERSIST", key],
            };
            return transaction(to, |to| to.command(command.iter())).await;
        }
        (Face::Present(_), _) => {}
        _ => {
            let command: &[u8] = if about.target.unlink() { b"UNLINK" } else { b"DEL" };
            return transaction(to, |to| to.command([command, key])).await;
        }
    }
    let from = pair.source.node_of(candidate.db, &candidate.key).await?;
    let Some((from, from_about)) = from else {
        return Ok(Outcome::Refused("it is not known which server of the source has it".to_owned()));
    };
    let from_about = from_about.clone();
    let Some((to, _)) = pair.target.node_of(candidate.target_db, key).await? else { return Ok(Outcome::Disturbed) };
    let mut writer = Writer {
        translator: SnapshotTranslator::new(about.target, TranslateOptions::default().on_conflict(OnConflict::Replace)),
        builder: BatchBuilder::new(1 << 16),
        key,
        to,
        last: Vec::new(),
        refused: None,
    };
    match writer.copy(from, &from_about, candidate, about.target).await? {
        Copied::Whole => {}
        Copied::Changed => return Ok(Outcome::Refused("the source has changed meanwhile".to_owned())),
        Copied::Refused(text) => return Ok(Outcome::Refused(text)),
    }
    let Writer { to, last, .. } = writer;
    transaction(to, |to| last.iter().for_each(|command| to.raw_command(command))).await
}

/// Runs commands in a transaction; they are void if the watched key was written to.
async fn transaction(wire: &mut Wire, commands: impl FnOnce(&mut Wire)) -> Result<Outcome> {
    wire.command(["MULTI"]);
    commands(wire);
    wire.command(["EXEC"]);
    let (mut outcome, mut refused) = (Outcome::Done, None);
    wire.exchange(|_, answer| {
        let Some(reply) = answer.reply() else { return Ok(()) };
        outcome = if reply.is_null() { Outcome::Disturbed } else { Outcome::Done };
        let inner = reply.as_array().into_iter().flatten().find_map(|reply| reply.as_error());
        if let Some(error) = reply.as_error().or(inner)
            && refused.is_none()
        {
            refused = Some(error[..error.len().min(200)].escape_ascii().to_string());
        }
        Ok(())
    })
    .await?;
    Ok(refused.map_or(outcome, Outcome::Refused))
}

async fn expect_ok(wire: &mut Wire, command: &[&[u8]]) -> Result<()> {
    let reply = wire.call(command.iter()).await?;
    match reply.as_error() {
        Some(_) => Err(wire.refusal(&String::from_utf8_lossy(command[0]), &reply)),
        None => Ok(()),
    }
}

enum Copied {
    Whole,
    Changed,
    Refused(String),
}

/// Turns a value into commands. Those that build it under another name are sent at once, the ones that put it in place are kept.
struct Writer<'w> {
    translator: SnapshotTranslator,
    builder: BatchBuilder,
    key: &'w [u8],
    to: &'w mut Wire,
    last: Vec<Vec<u8>>,
    refused: Option<String>,
}

impl Writer<'_> {
    async fn copy(&mut self, from: &mut Wire, about: &About, candidate: &Candidate, target: Target) -> Result<Copied> {
        let head = match pieces::head(from, about, &candidate.key).await? {
            Found::Whole(head) => head,
            Found::Missing | Found::Unsteady => return Ok(Copied::Changed),
        };
        let whole = !in_pieces(head.kind) || size(from, about, &candidate.key).await? <= WHOLE;
        let copied = if whole {
            self.whole(from, candidate, &head).await
        } else {
            self.pieces(from, about, candidate, &head).await
        };
        match copied {
            Ok(copied) => Ok(self.refused.take().map_or(copied, Copied::Refused)),
            // The translator cannot say it to this target.
            Err(error) if error.kind() == crate::ErrorKind::Unsupported => {
                Ok(Copied::Refused(format!("{error} ({target})")))
            }
            Err(error) => Err(error),
        }
    }

    async fn whole(&mut self, from: &mut Wire, candidate: &Candidate, head: &Head) -> Result<Copied> {
        let reply = from.call_long(usize::MAX, [&b"DUMP"[..], &candidate.key]).await?;
        let Reply::Bulk(payload) = reply else { return Ok(Copied::Changed) };
        let unreadable = |error| Error::protocol("DUMP gave what cannot be read").with_source(error);
        let payload = Payload::parse(&payload).map_err(unreadable)?;
        let mut header = KeyHeader::new(&candidate.target_key, payload.value_type);
        header.expire_at_ms = head.expire_at;
        self.translate(&Event::Header(Version::from_number(payload.version)))?;
        self.translate(&Event::SelectDb(candidate.target_db.into()))?;
        match self.translate(&Event::Key(header))? {
            Some(ValueMode::RawOrDecode { limit }) if payload.value.len() <= limit => {
                self.translate(&Event::Raw(payload.value))?;
            }
            _ => {
                let mut events = payload.events(ParserOptions::new().limits(Limits::new().chunk(WHOLE_STRING)));
                while let Some(event) = events.next_event().map_err(unreadable)? {
                    self.translate(&event)?;
                }
            }
        }
        self.send().await?;
        Ok(Copied::Whole)
    }

    async fn pieces(&mut self, from: &mut Wire, about: &About, candidate: &Candidate, head: &Head) -> Result<Copied> {
        let value_type = match head.kind {
            ValueKind::List => ValueType::List,
            ValueKind::Set => ValueType::Set,
            ValueKind::ZSet => ValueType::ZSet2,
            ValueKind::Hash => ValueType::Hash,
            _ => ValueType::String,
        };
        let mut header = KeyHeader::new(&candidate.target_key, value_type);
        header.expire_at_ms = head.expire_at;
        self.translate(&Event::SelectDb(candidate.target_db.into()))?;
        self.translate(&Event::Key(header))?;
        let whole = pieces::walk(from, about, &candidate.key, head, self).await?;
        self.translate(&Event::ValueEnd)?;
        self.send().await?;
        Ok(if whole { Copied::Whole } else { Copied::Changed })
    }

    fn translate(&mut self, event: &Event<'_>) -> Result<Option<ValueMode>> {
        self.translator.event(event, 0, &mut self.builder)
    }

    /// Sends what does not concern the key itself, and keeps the rest.
    async fn send(&mut self) -> Result<()> {
        self.translator.flush(0, &mut self.builder);
        let batch: Batch = self.builder.take(Position::snapshot(ReplicationId::NONE, 0, 0));
        for command in batch.commands() {
            if command.key() == Some(self.key) {
                self.last.push(command.raw().to_vec());
            } else {
                self.to.raw_command(command.raw());
            }
        }
        let refused = &mut self.refused;
        self.to
            .exchange(|_, answer| {
                if let Some(error) = answer.reply().and_then(|reply| reply.as_error())
                    && refused.is_none()
                {
                    *refused = Some(error[..error.len().min(200)].escape_ascii().to_string());
                }
                Ok(())
            })
            .await
    }
}

impl Take for Writer<'_> {
    fn event(&mut self, event: &Event<'_>) -> Result<()> {
        self.translate(event).map(|_| ())
    }

    async fn page(&mut self) -> Result<()> {
        self.send().await
    }
}

fn in_pieces(kind: ValueKind) -> bool {
    matches!(kind, ValueKind::String | ValueKind::List | ValueKind::Set | ValueKind::ZSet | ValueKind::Hash)
}

/// Bytes that the value takes, about.
async fn size(wire: &mut Wire, about: &About, key: &[u8]) -> Result<u64> {
    if !about.memory_usage {
        // Whoever does not tell is an old server, where values are not asked for their size: in pieces is always right.
        return Ok(u64::MAX);
    }
    let reply = wire.call([&b"MEMORY"[..], b"USAGE", key]).await?;
    Ok(reply.as_integer().map_or(u64::MAX, i64::unsigned_abs))
}
