//! Commands of a replication stream → commands for the target.

use std::borrow::Cow;

use rdts_resp::{CommandRef, encode};

use super::losses::LossKind;
use super::outcome::{Outcome, Why};
use super::rewrite::{Context, Plan, Rewritten, Word, rewrite};
use super::snapshot::bulk_at;
use super::{Target, TranslateOptions, slots_restore};
use crate::command::first_key;
use crate::error::{Error, ErrorKind, Result};
use crate::ledger::Intake;
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
/// Writes that the target knows are passed on byte for byte, others by [rules](super::rules) in other words. What concerns the link alone (`PING`, `REPLCONF`, `SELECT`) and what is no data
/// (`PUBLISH`) is not.
#[derive(Debug)]
pub struct StreamTranslator {
    target: Target,
    options: TranslateOptions,
    plan: Plan,
    db: u32,
    in_transaction: bool,
    intake: Intake,
    /// When what is translated came from the source, in ms since 1970.
    arrived: u64,
    /// How things were before the transaction that is open.
    before: Before,
}

#[derive(Debug, Clone, Copy, Default)]
struct Before {
    db: u32,
    intake: Intake,
    commands: usize,
}

impl StreamTranslator {
    /// A translator for a stream that has selected database `db`: 0 after a full copy, and what the last position says after
    /// a partial resync.
    pub fn new(target: Target, options: TranslateOptions, db: u32) -> Self {
        let (intake, before) = (Intake::default(), Before::default());
        let plan = Plan::new(&target, &options.losses);
        Self { target, options, plan, db, in_transaction: false, intake, arrived: 0, before }
    }

    /// The stream goes on where `db` is selected.
    pub(crate) fn select(&mut self, db: u32) {
        self.db = db;
    }

    /// What is translated from here on came from the source at `unix_ms` (ms since 1970), also if it has waited on a disk since: times
    /// that are relative in the stream count from there. Until it is said, they are passed on as they are.
    pub fn arrived(&mut self, unix_ms: u64) {
        self.arrived = unix_ms;
    }

    /// The database that the stream has selected.
    pub fn db(&self) -> u32 {
        self.db
    }

    /// Whether the last command was inside `MULTI` … `EXEC`: a batch must not end here.
    pub fn in_transaction(&self) -> bool {
        self.in_transaction
    }

    /// Takes back the transaction that is open, if one is: the link broke, and it will be sent again from its start. `out` is
    /// what its commands were put into.
    pub fn rewind(&mut self, out: &mut BatchBuilder) {
        out.discard();
        if self.in_transaction {
            self.in_transaction = false;
            self.db = self.before.db;
            self.intake = self.before.intake;
            out.truncate(self.before.commands);
        }
    }

    /// What was read so far and is not sent.
    pub fn intake(&self) -> Intake {
        self.intake
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
        self.intake.commands += 1;
        let is = |other: &[u8]| name.eq_ignore_ascii_case(other);
        let kind = match name.len() {
            4 if is(b"PING") => return self.link(),
            4 if is(b"EVAL") => Kind::Script,
            4 if is(b"EXEC") => {
                self.in_transaction = false;
                Kind::Exec
            }
            5 if is(b"MULTI") => {
                self.in_transaction = true;
                self.before = Before { db: self.db, intake: self.intake, commands: out.len() };
                Kind::Multi
            }
            6 if is(b"SELECT") => {
                self.db = database(command.arg(1))?;
                return self.link();
            }
            6 if is(b"SCRIPT") => Kind::Code,
            7 if is(b"EVALSHA") => Kind::Script,
            7 if is(b"PUBLISH") => {
                self.intake.messages += 1;
                return Ok(Translated::Done);
            }
            7 if is(b"CLUSTER") && self.options.slot_moves => Kind::Move,
            7 if is(b"CLUSTER") => {
                self.intake.cluster += 1;
                return Ok(Translated::Done);
            }
            8 if is(b"SPUBLISH") => {
                self.intake.messages += 1;
                return Ok(Translated::Done);
            }
            8 if is(b"REPLCONF") => {
                let getack = command.arg(1).is_some_and(|option| option.eq_ignore_ascii_case(b"GETACK"));
                self.link()?;
                return Ok(if getack { Translated::Acknowledge } else { Translated::Done });
            }
            8 if is(b"FUNCTION") => Kind::Code,
            9 if is(b"TRIMSLOTS") && self.options.slot_moves => Kind::Move,
            9 if is(b"TRIMSLOTS") => {
                let text = "TRIMSLOTS (a cluster node drops slots that it gave away) is not supported yet";
                return Err(Error::new(ErrorKind::Unsupported, text));
            }
            12 if is(b"SLOTSRESTORE") => {
                let Some(db) = self.options.map_db(self.db) else { return self.nothing(Why::OtherDb) };
                if self.options.rules.as_ref().is_some_and(|rules| rules.choose_keys()) {
                    let text = "SLOTSRESTORE (Codis moves slots here) is not supported under rules about keys yet: let the moves finish and start again";
                    return Err(Error::new(ErrorKind::Unsupported, text));
                }
                slots_restore::translate(command, self.target, db, offset, out)?;
                self.intake.rewritten += 1;
                return Ok(Translated::Done);
            }
            18 if is(b"SLOTSRESTORE-ASYNC") => return Err(slots_restore::arrival(command)),
            _ => Kind::Write,
        };
        let Some(rules) = self.options.rules.clone() else { return self.pass(command, kind, self.db, offset, out) };
        match kind {
            // Transactions may change the database inside, so their frame goes where everything goes.
            Kind::Multi => self.pass(command, kind, rules.home(), offset, out),
            Kind::Exec if out.len() == self.before.commands + 1 => {
                // Nothing in it was wanted.
                out.truncate(self.before.commands);
                self.intake.filtered_commands += 2;
                Ok(Translated::Done)
            }
            Kind::Exec | Kind::Code | Kind::Move => self.pass(command, kind, rules.home(), offset, out),
            Kind::Snapshot | Kind::Write | Kind::Script => {
                let outcome = match few(command) {
                    Some((words, count)) => rules.command(self.db, &words[..count])?,
                    None => rules.command(self.db, &command.iter().collect::<Vec<_>>())?,
                };
                match (outcome, rules.db(self.db)) {
                    (Outcome::Verbatim, Some(db)) => self.pass(command, kind, db, offset, out),
                    (Outcome::Verbatim, None) => self.nothing(Why::OtherDb),
                    (Outcome::Nothing(why), _) => self.nothing(why),
                    (Outcome::Instead(commands), _) => {
                        let commands: Vec<_> = commands.iter().map(|out| (out.db, &out.words[..])).collect();
                        self.instead(&commands, offset, out)
                    }
                }
            }
        }
    }

    /// A command as it is, for the target's database `db`.
    #[inline]
    fn pass(
        &mut self,
        command: &CommandRef<'_>,
        kind: Kind,
        db: u32,
        offset: u64,
        out: &mut BatchBuilder,
    ) -> Result<Translated> {
        if !self.plan.is_verbatim(command.name(), command.len())
            && !matches!(kind, Kind::Multi | Kind::Exec | Kind::Move)
        {
            return self.look_at(command, kind, db, offset, out);
        }
        self.verbatim(command, kind, db, offset, out)
    }

    #[inline]
    fn verbatim(
        &mut self,
        command: &CommandRef<'_>,
        kind: Kind,
        db: u32,
        offset: u64,
        out: &mut BatchBuilder,
    ) -> Result<Translated> {
        let arena = out.arena();
        let start = arena.len();
        if command.is_inline() {
            encode::command(arena, command.iter());
        } else {
            arena.extend_from_slice(command.raw());
        }
        let keyless = matches!(kind, Kind::Multi | Kind::Exec | Kind::Code | Kind::Move)
            || (kind == Kind::Script && command.arg(2) == Some(b"0"));
        let key = Some(command.name())
            .filter(|_| !keyless)
            .and_then(first_key)
            .and_then(|index| command.arg(index))
            .filter(|_| !command.is_inline())
            .map(|key| {
                let at = start + offset_in(command.raw(), key);
                at..at + key.len()
            });
        out.commit(Mark::new(db, kind).writes(1), key, offset);
        Ok(Translated::Done)
    }

    /// A command for which there may be a rule.
    fn look_at(
        &mut self,
        command: &CommandRef<'_>,
        kind: Kind,
        db: u32,
        offset: u64,
        out: &mut BatchBuilder,
    ) -> Result<Translated> {
        let mut few: [Word<'_>; 16] = [NO_WORD; 16];
        let many: Vec<Word<'_>>;
        let words = match few.get_mut(..command.len()) {
            Some(words) => {
                words.iter_mut().zip(command.iter()).for_each(|(place, word)| *place = Cow::Borrowed(word));
                &*words
            }
            None => {
                many = command.iter().map(Cow::Borrowed).collect();
                &many
            }
        };
        match rewrite(&self.context(), words)? {
            Rewritten::Verbatim => self.verbatim(command, kind, db, offset, out),
            Rewritten::Instead(commands) => {
                self.made(&commands, kind, db, offset, out);
                self.count(commands.is_empty(), None, words);
                Ok(Translated::Done)
            }
            Rewritten::Lossy(lost, commands) => {
                self.made(&commands, kind, db, offset, out);
                self.count(commands.is_empty(), Some(lost), words);
                Ok(Translated::Done)
            }
        }
    }

    /// Commands of which one is made of a source's command.
    fn made(&self, commands: &[Vec<Word<'_>>], kind: Kind, db: u32, offset: u64, out: &mut BatchBuilder) {
        for (index, words) in commands.iter().enumerate() {
            put(words, kind, db, u32::from(index + 1 == commands.len()), offset, out);
        }
    }

    /// The commands that rules made of one, each for a database.
    fn instead(&mut self, commands: &[(u32, &[Word<'_>])], offset: u64, out: &mut BatchBuilder) -> Result<Translated> {
        let mut made: Vec<(u32, Kind, Cow<'_, [Word<'_>]>)> = Vec::with_capacity(commands.len());
        let (mut lost, mut changed) = (None, false);
        for (db, words) in commands {
            let is_script = words.first().is_some_and(|name| is_script(name));
            let kind = if is_script { Kind::Script } else { Kind::Write };
            let name = words.first().map(|name| &name[..]).unwrap_or_default();
            let rewritten = match self.plan.is_verbatim(name, words.len()) {
                true => Rewritten::Verbatim,
                false => rewrite(&self.context(), words)?,
            };
            changed |= rewritten != Rewritten::Verbatim;
            match rewritten {
                Rewritten::Verbatim => made.push((*db, kind, Cow::Borrowed(words))),
                Rewritten::Instead(all) => made.extend(all.into_iter().map(|words| (*db, kind, Cow::Owned(words)))),
                Rewritten::Lossy(what, all) => {
                    lost = Some(what);
                    made.extend(all.into_iter().map(|words| (*db, kind, Cow::Owned(words))));
                }
            }
        }
        for (index, (db, kind, words)) in made.iter().enumerate() {
            put(words, *kind, *db, u32::from(index + 1 == made.len()), offset, out);
        }
        if changed {
            self.count(made.is_empty(), lost, commands.first().map(|(_, words)| *words).unwrap_or_default());
        }
        Ok(Translated::Done)
    }

    /// Counts a command that is not passed on as it is.
    fn count(&mut self, is_nothing: bool, lost: Option<LossKind>, words: &[Word<'_>]) {
        if let Some(kind) = lost {
            let name = words.first().map(|name| &name[..]).unwrap_or_default();
            let key = first_key(name).and_then(|at| words.get(at));
            self.options.losses.remember(kind, key.map_or(name, |key| key));
            let lost = self.intake.lost.of_mut(kind);
            if is_nothing { lost.commands += 1 } else { lost.parts += 1 }
        }
        match (is_nothing, lost) {
            (true, None) => self.intake.without_effect += 1,
            (true, Some(_)) => {}
            (false, _) => self.intake.rewritten += 1,
        }
    }

    fn context(&self) -> Context<'_> {
        let arrived = Some(self.arrived).filter(|time| *time > 0);
        Context { target: self.target, losses: &self.options.losses, arrived, plan: &self.plan }
    }

    /// A command that concerns the link alone, and is nothing that anybody wrote.
    fn link(&mut self) -> Result<Translated> {
        self.intake.commands -= 1;
        Ok(Translated::Done)
    }

    /// A command that is not wanted.
    fn nothing(&mut self, why: Why) -> Result<Translated> {
        match why {
            Why::OtherDb => self.intake.commands_of_other_dbs += 1,
            Why::Filtered => self.intake.filtered_commands += 1,
        }
        Ok(Translated::Done)
    }
}

/// The words of a command that has not many, without allocating.
fn few<'c>(command: &CommandRef<'c>) -> Option<([&'c [u8]; 16], usize)> {
    let mut words = [&[][..]; 16];
    let there = words.get_mut(..command.len())?;
    there.iter_mut().zip(command.iter()).for_each(|(place, word)| *place = word);
    Some((words, command.len()))
}

const NO_WORD: Word<'static> = Cow::Borrowed(&[]);

fn is_script(name: &[u8]) -> bool {
    name.eq_ignore_ascii_case(b"EVAL") || name.eq_ignore_ascii_case(b"EVALSHA")
}

/// A command that is made of one of the source, which was of this kind, for the target's database `db`.
fn put(words: &[Word<'_>], kind: Kind, db: u32, writes: u32, offset: u64, out: &mut BatchBuilder) {
    let name = words.first().map(|name| &name[..]).unwrap_or_default();
    let keyless = kind == Kind::Code || (is_script(name) && words.get(2).is_some_and(|count| &count[..] == b"0"));
    let first = first_key(name).filter(|_| !keyless);
    let arena = out.arena();
    encode::array_header(arena, words.len());
    let mut key = None;
    for (index, word) in words.iter().enumerate() {
        let at = bulk_at(arena, word);
        if first == Some(index) {
            key = Some(at);
        }
    }
    out.commit(Mark::new(db, kind).writes(writes), key, offset);
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

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use rdts_resp::CommandDecoder;

    use super::*;
    use crate::filter::Rules;
    use crate::record::{Position, ReplicationId};
    use crate::translate::{Losses, OnLoss};

    /// What becomes of inline commands separated by newlines: `db kind key: arguments`.
    fn translate(translator: &mut StreamTranslator, text: &str) -> Result<Vec<String>> {
        let mut decoder = CommandDecoder::new();
        let mut out = BatchBuilder::new(64);
        for line in text.lines() {
            let mut frame = Vec::new();
            encode::command(&mut frame, line.split(' ').collect::<Vec<_>>());
            let (_, command) = decoder.decode(&frame).unwrap().unwrap();
            translator.command(&command, 0, &mut out)?;
        }
        let batch = out.take(Position::stream(ReplicationId::NONE, 0, 0));
        let shown = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        Ok(batch
            .commands()
            .map(|command| {
                let words: Vec<_> = command.args().map(shown).collect();
                let key = command.key().map_or("-".into(), shown);
                format!("{} {:?} {key}: {}", command.db(), command.kind(), words.join(" "))
            })
            .collect())
    }

    fn all() -> StreamTranslator {
        StreamTranslator::new(Target::redis(7, 0, 0), TranslateOptions::default(), 0)
    }

    #[test]
    fn what_concerns_the_link_is_left_out_and_the_rest_keeps_its_database() {
        let mut translator = all();
        let text = "PING\nSELECT 2\nset k v\nselect 0\nEVAL x 1 k\nEVAL x 0 k\nPUBLISH c m\nspublish c m\n\
                    CLUSTER SYNCSLOTS FINISH\nBITOP AND d a b\nFLUSHALL\nSCRIPT LOAD x\nFUNCTION LOAD x";
        assert_eq!(
            translate(&mut translator, text).unwrap(),
            [
                "2 Write k: set k v",
                "0 Script k: EVAL x 1 k",
                "0 Script -: EVAL x 0 k",
                "0 Write d: BITOP AND d a b",
                "0 Write -: FLUSHALL",
                "0 Code -: SCRIPT LOAD x",
                "0 Code -: FUNCTION LOAD x",
            ]
        );
        assert_eq!((translator.intake().messages, translator.intake().cluster), (2, 1));
    }

    #[test]
    fn a_transaction_is_open_until_exec() {
        let mut translator = all();
        assert_eq!(translate(&mut translator, "multi\nINCR n").unwrap().len(), 2);
        assert!(translator.in_transaction());
        translate(&mut translator, "exec").unwrap();
        assert!(!translator.in_transaction());
    }

    #[test]
    fn an_open_transaction_is_taken_back() {
        let mut translator = all();
        let mut out = BatchBuilder::new(64);
        let mut decoder = CommandDecoder::new();
        let mut feed = |translator: &mut StreamTranslator, out: &mut BatchBuilder, text: &str| {
            let mut frame = Vec::new();
            encode::command(&mut frame, text.split(' ').collect::<Vec<_>>());
            let (_, command) = decoder.decode(&frame).unwrap().unwrap();
            translator.command(&command, 0, out).unwrap();
        };
        for text in ["SELECT 2", "INCR a", "MULTI", "SELECT 5", "INCR b", "PUBLISH c m"] {
            feed(&mut translator, &mut out, text);
        }
        translator.rewind(&mut out);
        assert_eq!((translator.db(), translator.in_transaction(), out.len()), (2, false, 1));
        assert_eq!(translator.intake().messages, 0);
        translator.rewind(&mut out);
        assert_eq!(out.len(), 1, "nothing is open any more");
    }

    #[test]
    fn one_database_is_taken_alone_and_moved() {
        let one =
            || StreamTranslator::new(Target::redis(7, 0, 0), TranslateOptions::default().rules(Rules::one_db(3, 5)), 0);
        let text = "SET a 0\nSELECT 3\nSET b 3\nMULTI\nSELECT 0\nSET c 0\nSELECT 3\nSET d 3\nEXEC";
        assert_eq!(
            translate(&mut one(), text).unwrap(),
            ["5 Write b: SET b 3", "5 Multi -: MULTI", "5 Write d: SET d 3", "5 Exec -: EXEC"]
        );
        let error = translate(&mut one(), "SELECT 3\nSWAPDB 3 4").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported);
        let leaving = translate(&mut one(), "SELECT 3\nFLUSHALL\nMOVE k 4").unwrap();
        assert_eq!(leaving, ["5 Write -: FLUSHDB", "5 Write k: DEL k"]);
        // From another database they may reach into the one that is wanted.
        for crossing in ["SWAPDB 3 4", "MOVE k 3", "COPY a b DB 3"] {
            let error = translate(&mut one(), crossing).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Unsupported, "{crossing}");
        }
    }

    #[test]
    fn functions_are_left_out_where_the_target_has_none() {
        let old = |losses| StreamTranslator::new(Target::redis(6, 2, 0), TranslateOptions::default().losses(losses), 0);
        let error = translate(&mut old(Losses::default()), "FUNCTION LOAD x").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported, "{error}");
        let mut old = old(Losses::default().on(LossKind::Functions, OnLoss::Drop));
        assert!(translate(&mut old, "FUNCTION LOAD x\nFUNCTION DELETE x").unwrap().is_empty());
        assert_eq!((old.intake().without_effect, old.intake().skipped_commands()), (1, 2));
        assert_eq!(old.intake().lost.of(LossKind::Functions).commands, 1);
    }

    #[test]
    fn one_command_may_become_several_of_which_the_last_completes_it() {
        let mut old = StreamTranslator::new(Target::redis(5, 0, 0), TranslateOptions::default(), 0);
        old.arrived(1000);
        let text = "SELECT 3\nSET k v PX 5\nLPOP k 2\nLMOVE a b LEFT LEFT\nSET k v";
        let made = translate(&mut old, text).unwrap();
        assert_eq!(made[..3], ["3 Write k: SET k v", "3 Write k: PEXPIREAT k 1005", "3 Write k: LTRIM k 2 -1"]);
        assert!(made[3].starts_with("3 Write a: EVAL local"), "{}", made[3]);
        assert_eq!((old.intake().commands, old.intake().rewritten, made.len()), (4, 3, 5));
    }

    #[test]
    fn what_no_primary_sends_is_an_error() {
        for (text, kind) in [
            ("SELECT x", ErrorKind::Protocol),
            ("SELECT -1", ErrorKind::Protocol),
            ("TRIMSLOTS RANGES 1 0 1", ErrorKind::Unsupported),
            ("SLOTSRESTORE-ASYNC delete k", ErrorKind::Topology),
            ("SLOTSRESTORE k 0", ErrorKind::Protocol),
        ] {
            assert_eq!(translate(&mut all(), text).unwrap_err().kind(), kind, "{text}");
        }
    }
}
