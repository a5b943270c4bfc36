//! Commands of a replication stream → commands for the target.

use rdts_resp::{CommandRef, encode};

use super::{Target, TranslateOptions};
use crate::command::first_key;
use crate::error::{Error, ErrorKind, Result};
use crate::ledger::Skipped;
use crate::record::{BatchBuilder, Kind, Mark};

/// What a command of the stream asks of whoever reads it.
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Translated {
    /// Nothing more.
    Done,
    /// The primary wants an acknowledgement now (`REPLCONF GETACK`).
    Acknowledge,
}

/// Translates the commands of a replication stream, and keeps track of its database and transactions.
///
/// Writes are passed on byte for byte. What concerns the link alone (`PING`, `REPLCONF`, `SELECT`) and what is no data
/// (`PUBLISH`) is not.
#[derive(Debug)]
pub struct StreamTranslator {
    target: Target,
    options: TranslateOptions,
    db: u32,
    in_transaction: bool,
    skipped: Skipped,
}

impl StreamTranslator {
    /// A translator for a stream that has selected database `db`: 0 after a full copy, and what the last position says after
    /// a partial resync.
    pub fn new(target: Target, options: TranslateOptions, db: u32) -> Self {
        Self { target, options, db, in_transaction: false, skipped: Skipped::default() }
    }

    /// The database that the stream has selected.
    pub fn db(&self) -> u32 {
        self.db
    }

    /// Whether the last command was inside `MULTI` … `EXEC`: a batch must not end here.
    pub fn in_transaction(&self) -> bool {
        self.in_transaction
    }

    /// What was read so far and is not sent.
    pub fn skipped(&self) -> Skipped {
        self.skipped
    }

    /// Takes one command; `offset` is the replication offset after it.
    ///
    /// # Errors
    /// [`Unsupported`](ErrorKind::Unsupported) for what cannot be passed on exactly, [`Protocol`](ErrorKind::Protocol) for what
    /// no primary sends.
    pub fn command(&mut self, command: &CommandRef<'_>, offset: u64, out: &mut BatchBuilder) -> Result<Translated> {
        // A bare newline: keeps the link alive, and counts.
        if command.is_empty() {
            return Ok(Translated::Done);
        }
        let name = command.name();
        let is = |other: &[u8]| name.eq_ignore_ascii_case(other);
        let kind = match name.len() {
            4 if is(b"PING") => return Ok(Translated::Done),
            4 if is(b"EVAL") => Kind::Script,
            4 if is(b"EXEC") => {
                self.in_transaction = false;
                Kind::Exec
            }
            5 if is(b"MULTI") => {
                self.in_transaction = true;
                Kind::Multi
            }
            6 if is(b"SELECT") => {
                self.db = database(command.arg(1))?;
                return Ok(Translated::Done);
            }
            6 if is(b"SCRIPT") => Kind::Code,
            7 if is(b"EVALSHA") => Kind::Script,
            7 if is(b"PUBLISH") => {
                self.skipped.messages += 1;
                return Ok(Translated::Done);
            }
            7 if is(b"CLUSTER") => {
                self.skipped.cluster += 1;
                return Ok(Translated::Done);
            }
            8 if is(b"SPUBLISH") => {
                self.skipped.messages += 1;
                return Ok(Translated::Done);
            }
            8 if is(b"REPLCONF") => {
                let getack = command.arg(1).is_some_and(|option| option.eq_ignore_ascii_case(b"GETACK"));
                return Ok(if getack { Translated::Acknowledge } else { Translated::Done });
            }
            8 if is(b"FUNCTION") => {
                if !self.target.functions() {
                    tracing::warn!(target = %self.target, "a change of functions is left out: the target has none");
                    self.skipped.functions += 1;
                    return Ok(Translated::Done);
                }
                Kind::Code
            }
            9 if is(b"TRIMSLOTS") => {
                let text = "TRIMSLOTS (a cluster node drops slots that it gave away) is not supported yet";
                return Err(Error::new(ErrorKind::Unsupported, text));
            }
            _ => Kind::Write,
        };
        let transaction = matches!(kind, Kind::Multi | Kind::Exec);
        let db = match self.options.map_db(self.db) {
            Some(db) => db,
            // Transactions may change the database inside, so their frame goes where everything goes.
            None if transaction || kind == Kind::Code => self.options.target_db.unwrap_or_default(),
            None => return Ok(Translated::Done),
        };
        if self.options.source_db.is_some() {
            self.check_one_database(command)?;
        }
        let arena = out.arena();
        let start = arena.len();
        if command.is_inline() {
            encode::command(arena, command.iter());
        } else {
            arena.extend_from_slice(command.raw());
        }
        let key = (!transaction && kind != Kind::Code)
            .then(|| first_key(name))
            .flatten()
            .and_then(|index| command.arg(index))
            .filter(|_| !command.is_inline())
            .map(|key| {
                let at = start + offset_in(command.raw(), key);
                at..at + key.len()
            });
        out.commit(Mark::new(db, kind), key, offset);
        Ok(Translated::Done)
    }

    /// Commands that reach beyond their own database cannot be passed on when only one is wanted.
    fn check_one_database(&self, command: &CommandRef<'_>) -> Result<()> {
        let crosses = ["FLUSHALL", "SWAPDB", "MOVE"].iter().any(|name| command.name_is(name.as_bytes()))
            || (command.name_is(b"COPY") && command.iter().skip(3).any(|arg| arg.eq_ignore_ascii_case(b"DB")));
        if !crosses {
            return Ok(());
        }
        let text = format!(
            "{} concerns more than the one database that is migrated, and passing on a part of it is not supported yet",
            command.name().escape_ascii()
        );
        Err(Error::new(ErrorKind::Unsupported, text))
    }
}

fn database(arg: Option<&[u8]>) -> Result<u32> {
    let arg = arg.unwrap_or_default();
    let number = std::str::from_utf8(arg).ok().and_then(|text| text.parse().ok());
    number.ok_or_else(|| Error::protocol(format!("SELECT '{}' in the stream", arg.escape_ascii())))
}

/// Where in `raw` the argument `arg` lies, which is a part of it.
fn offset_in(raw: &[u8], arg: &[u8]) -> usize {
    (arg.as_ptr() as usize).saturating_sub(raw.as_ptr() as usize)
}
