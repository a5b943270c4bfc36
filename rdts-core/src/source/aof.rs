//! AOF files as a source.

mod expiry;
mod files;

use std::collections::VecDeque;
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::{Buf, BytesMut};
use rdts_resp::{CommandDecoder, Limits};
use tokio::fs::File;
use tokio::io::AsyncReadExt;

pub(super) use expiry::ExpiryFloor;
pub(super) use files::{is_aof, is_rdb};

use super::snapshot::{Snapshot, Step};
use super::{BATCH, Source};
use crate::error::{Error, ErrorKind, Result};
use crate::ledger::Intake;
use crate::record::{Batch, BatchBuilder, Position, ReplicationId};
use crate::translate::{SnapshotTranslator, StreamTranslator, Target, TranslateOptions};

/// What to do with a file that ends in the middle of a command or of a transaction, as one does that a crash has cut.
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum CutTail {
    /// Stop with an error that names the file and the place: as a server with `aof-load-truncated no`.
    #[default]
    Refuse,
    /// Leave out what is not whole, with a warning in the log: as a server with `aof-load-truncated yes`, its default. Only at the end of
    /// the last file; in front of another one it is damage.
    Accept,
}

/// How an [`AofSource`] behaves.
#[non_exhaustive]
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AofOptions {
    /// The translation. [`OnConflict`](crate::translate::OnConflict) holds for the keys of an RDB at the beginning; commands do to keys
    /// of the target what they do.
    pub translate: TranslateOptions,
    /// What to do with a cut tail. Default: refuse it.
    pub cut_tail: CutTail,
    /// How long keys live that have expired while the file lay there, or are about to; see [`AofSource`]. Zero passes the times on as they
    /// are. Default (`None`): a minute, and a second for every 2 MiB of the files.
    pub expiry_grace: Option<Duration>,
}

impl AofOptions {
    /// Sets [`translate`](Self::translate).
    #[must_use]
    pub fn translate(mut self, options: TranslateOptions) -> Self {
        self.translate = options;
        self
    }

    /// Sets [`cut_tail`](Self::cut_tail).
    #[must_use]
    pub fn cut_tail(mut self, policy: CutTail) -> Self {
        self.cut_tail = policy;
        self
    }

    /// Sets [`expiry_grace`](Self::expiry_grace).
    #[must_use]
    pub fn expiry_grace(mut self, grace: Duration) -> Self {
        self.expiry_grace = Some(grace);
        self
    }
}

/// The commands of AOF files, as a server would load them.
///
/// | what | since |
/// |---|---|
/// | one file of commands | Redis 2.8 (older ones have the same form) |
/// | one file that begins with an RDB (`aof-use-rdb-preamble`) | Redis 4.0 |
/// | a folder (`appendonlydir`) whose manifest lists a base, an RDB or commands, and what was written since | Redis 7.0 |
///
/// Lines that begin with `#`, such as `#TS:1700000000` (`aof-timestamp-enabled`), are passed over. Files that the manifest calls history
/// are not read: the base contains them.
///
/// # Expiry
/// A server does not expire keys while it loads: the file says itself when one was deleted, and a key whose time has passed may be given a
/// later one (or none) further down. A target does expire them, and would lose such a key. So times that have passed, or will within a
/// grace period, go to the target as the end of that period, counted from the moment they are read: a key that has really expired, and of
/// whose end the file says nothing, lives on for so long. [`AofOptions::expiry_grace`] has to be longer than the copy takes.
///
/// # Positions
/// Files have no replication offsets. [`Position::Snapshot`]'s `rdb_bytes`, and each command's
/// [`offset`](crate::record::Command::offset), count the bytes of the files from the beginning of the first, one after the other; that is
/// also what [`snapshot_len`](Self::snapshot_len) says. Nothing follows, so a run that is stopped early is
/// [`Interrupted`](ErrorKind::Interrupted). It cannot be resumed: load the files anew into an empty target.
///
/// # Limits
/// A command and a transaction are in memory as a whole; each may have 1 GiB.
pub struct AofSource {
    files: VecDeque<PathBuf>,
    current: Option<Current>,
    options: AofOptions,
    target: Target,
    floor: Option<ExpiryFloor>,
    builder: BatchBuilder,
    intake: Intake,
    /// Bytes of the files that have been read to their end.
    before: u64,
    length: u64,
    over: bool,
}

/// The file that is being read.
struct Current {
    name: String,
    file: File,
    buffer: BytesMut,
    /// Where in the file the buffer starts.
    offset: u64,
    eof: bool,
    last: bool,
    part: Part,
}

enum Part {
    /// Too few bytes have been seen to tell.
    Unknown,
    Rdb(Box<Snapshot>),
    Commands(Box<Commands>),
}

struct Commands {
    decoder: CommandDecoder,
    translator: StreamTranslator,
    /// A command with another time, and what takes it apart.
    rewritten: Vec<u8>,
    rewritten_decoder: CommandDecoder,
    /// Where in the file the open transaction starts.
    transaction: Option<u64>,
}

/// Why reading paused.
enum Pause {
    NeedMoreData(usize),
    BatchFull,
    FileOver,
}

impl AofSource {
    /// Opens an AOF file, a manifest, the folder that has one, or a server's folder with an `appendonlydir` in it, and looks whether all
    /// files are there.
    ///
    /// # Errors
    /// [`Io`](ErrorKind::Io) if something cannot be read, [`Snapshot`](ErrorKind::Snapshot) if it is no AOF or the manifest makes no sense.
    pub async fn open(path: impl AsRef<Path>, target: Target, options: AofOptions) -> Result<Self> {
        let files = files::list(path.as_ref()).await?;
        let mut length = 0;
        for file in &files {
            let metadata = tokio::fs::metadata(file).await.map_err(|error| unreadable(error).at(file.display()))?;
            length += metadata.len();
        }
        let grace = options.expiry_grace.unwrap_or(Duration::from_secs(60 + length / (2 << 20)));
        let mut source = Self {
            files: files.into(),
            current: None,
            options,
            target,
            floor: ExpiryFloor::after(grace),
            builder: BatchBuilder::new(BATCH + BATCH / 4),
            intake: Intake::default(),
            before: 0,
            length,
            over: false,
        };
        // What is no AOF at all is told of before anything is written.
        source.open_next().await?;
        while let Some(current) = &mut source.current {
            if current.buffer.len() >= files::MAGIC || current.eof {
                current.begin(source.options.clone(), source.target, source.floor)?;
                break;
            }
            current.fill(BLOCK).await?;
        }
        Ok(source)
    }

    /// The length of all files together, in bytes.
    pub fn snapshot_len(&self) -> Option<u64> {
        Some(self.length)
    }

    /// Opens the next file, if there is one.
    async fn open_next(&mut self) -> Result<()> {
        let Some(path) = self.files.front() else { return Ok(()) };
        let name = path.display().to_string();
        let file = File::open(path).await.map_err(|error| unreadable(error).at(&name))?;
        self.files.pop_front();
        let last = self.files.is_empty();
        let buffer = BytesMut::new();
        self.current = Some(Current { name, file, buffer, offset: 0, eof: false, last, part: Part::Unknown });
        Ok(())
    }

    fn advance(&mut self) -> Result<Pause> {
        let Some(current) = &mut self.current else { return Ok(Pause::FileOver) };
        loop {
            match &mut current.part {
                Part::Unknown if current.buffer.len() < files::MAGIC && !current.eof => {
                    return Ok(Pause::NeedMoreData(BLOCK));
                }
                Part::Unknown => current.begin(self.options.clone(), self.target, self.floor)?,
                Part::Rdb(snapshot) => {
                    let before = snapshot.offset();
                    let advanced = snapshot.advance(&current.buffer, current.eof, &mut self.builder);
                    let (used, step) = advanced.map_err(|error| error.at(&current.name))?;
                    current.buffer.advance(used);
                    current.offset += snapshot.offset() - before;
                    match step {
                        Step::NeedMoreData(least) => return Ok(Pause::NeedMoreData(least)),
                        Step::BatchFull => return Ok(Pause::BatchFull),
                        Step::End => {
                            self.intake += snapshot.intake();
                            current.part =
                                Part::Commands(Box::new(Commands::new(self.target, self.options.translate.clone())));
                        }
                    }
                }
                Part::Commands(_) => return self.commands(),
            }
        }
    }

    /// Takes the commands that are in the buffer.
    fn commands(&mut self) -> Result<Pause> {
        let Some(Current { name, buffer, offset, eof, last, part: Part::Commands(commands), .. }) = &mut self.current
        else {
            return Ok(Pause::FileOver);
        };
        let mut used = 0;
        let pause = loop {
            let place = *offset + used as u64;
            let data = &buffer[used..];
            match data.first() {
                None => break Pause::NeedMoreData(BLOCK),
                Some(b'*') => {}
                Some(b'#') => match data.iter().take(MAX_LINE).position(|byte| *byte == b'\n') {
                    Some(end) => {
                        used += end + 1;
                        continue;
                    }
                    None if data.len() >= MAX_LINE => return Err(damaged(name, place, "a line without an end")),
                    None => break Pause::NeedMoreData(BLOCK),
                },
                Some(byte) => {
                    let text = format!("'{}' where a command has to start with '*'", byte.escape_ascii());
                    return Err(damaged(name, place, &text));
                }
            }
            let decoded = commands.decoder.decode(data);
            let decoded = decoded.map_err(|error| damaged(name, place, "no command").with_source(error))?;
            let Some((length, command)) = decoded else { break Pause::NeedMoreData(BLOCK) };
            if command.is_empty() {
                return Err(damaged(name, place, "a command without a name"));
            }
            if command.name_is(b"MULTI") {
                commands.transaction = Some(place);
            }
            used += length;
            let end = self.before + *offset + used as u64;
            let floor = self.floor.filter(|floor| floor.rewrite(&command, &mut commands.rewritten));
            let command = match floor {
                None => command,
                Some(_) => match commands.rewritten_decoder.decode(&commands.rewritten) {
                    Ok(Some((_, rewritten))) => rewritten,
                    _ => command,
                },
            };
            commands.translator.command(&command, end, &mut self.builder).map_err(|error| error.at(&*name))?;
            if !commands.translator.in_transaction() {
                commands.transaction = None;
                if self.builder.size() >= BATCH {
                    break Pause::BatchFull;
                }
            } else if self.builder.size() > MAX_TRANSACTION {
                let text = format!("a transaction of more than {} MiB", MAX_TRANSACTION >> 20);
                return Err(Error::new(ErrorKind::Limit, text).at(format!("{name}: byte {place}")));
            }
        };
        buffer.advance(used);
        *offset += used as u64;
        if !(*eof && matches!(pause, Pause::NeedMoreData(_))) {
            return Ok(pause);
        }
        // The end of the file.
        let start = commands.transaction.unwrap_or(*offset);
        let left = *offset + buffer.len() as u64 - start;
        if left > 0 {
            let what = if commands.transaction.is_some() { "a transaction (MULTI without EXEC)" } else { "a command" };
            let text = format!("the file ends in the middle of {what}, {left} bytes after what is whole");
            if !*last || self.options.cut_tail == CutTail::Refuse {
                let remedy = if *last { "; it can be left out, as redis-check-aof --fix and servers do" } else { "" };
                return Err(damaged(name, start, &(text + remedy)));
            }
            tracing::warn!(file = *name, byte = start, "{text}; that is left out");
            commands.translator.rewind(&mut self.builder);
        }
        *offset += buffer.len() as u64;
        self.intake += commands.translator.intake();
        Ok(Pause::FileOver)
    }

    fn position(&self) -> Position {
        let here = self.current.as_ref().map_or(0, |current| current.offset);
        Position::snapshot(ReplicationId::NONE, 0, self.before + here)
    }
}

impl Current {
    /// Looks at the first bytes.
    fn begin(&mut self, options: AofOptions, target: Target, floor: Option<ExpiryFloor>) -> Result<()> {
        self.part = if is_rdb(&self.buffer) {
            let translator = SnapshotTranslator::new(target, options.translate.clone());
            Part::Rdb(Box::new(Snapshot::new(translator, true).expiry_floor(floor)))
        } else if self.buffer.is_empty() || is_aof(&self.buffer) {
            // A server that has written nothing yet leaves an empty file.
            Part::Commands(Box::new(Commands::new(target, options.translate.clone())))
        } else {
            let text = "this is no AOF: one starts with '*', '#' or an RDB (REDIS or VALKEY)";
            return Err(Error::new(ErrorKind::Snapshot, text).at(&self.name));
        };
        Ok(())
    }

    async fn fill(&mut self, least: usize) -> Result<()> {
        self.buffer.reserve(least.max(BLOCK));
        let read = self.file.read_buf(&mut self.buffer).await;
        self.eof = read.map_err(|error| unreadable(error).at(&self.name))? == 0;
        Ok(())
    }
}

impl Commands {
    fn new(target: Target, translate: TranslateOptions) -> Self {
        Self {
            decoder: CommandDecoder::with_limits(Limits::default().max_frame(MAX_COMMAND)),
            // Each file begins in database 0.
            translator: StreamTranslator::new(target, translate, 0),
            rewritten: Vec::new(),
            rewritten_decoder: CommandDecoder::with_limits(Limits::default().max_frame(MAX_COMMAND + 1024)),
            transaction: None,
        }
    }
}

impl Source for AofSource {
    async fn next(&mut self) -> Result<Option<Batch>> {
        while !self.over {
            if self.current.is_none() {
                self.open_next().await?;
                if self.current.is_none() {
                    self.over = true;
                    let position = self.position();
                    return Ok(Some(self.builder.take(position)));
                }
            }
            match self.advance()? {
                Pause::NeedMoreData(least) => {
                    if let Some(current) = &mut self.current {
                        current.fill(least).await?;
                    }
                }
                Pause::BatchFull => {
                    let position = self.position();
                    return Ok(Some(self.builder.take(position)));
                }
                Pause::FileOver => {
                    self.before += self.current.take().map_or(0, |current| current.offset);
                }
            }
        }
        Ok(None)
    }

    async fn acknowledge(&mut self, _position: &Position) -> Result<()> {
        Ok(())
    }

    fn intake(&self) -> Intake {
        let mut intake = self.intake;
        match self.current.as_ref().map(|current| &current.part) {
            Some(Part::Rdb(snapshot)) => intake += snapshot.intake(),
            Some(Part::Commands(commands)) => intake += commands.translator.intake(),
            Some(Part::Unknown) | None => {}
        }
        intake
    }
}

impl fmt::Debug for AofSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AofSource")
            .field("file", &self.current.as_ref().map(|current| &current.name))
            .field("files", &self.files)
            .field("position", &self.position())
            .finish_non_exhaustive()
    }
}

/// One read of a file.
const BLOCK: usize = 256 << 10;
/// The longest line of a comment.
const MAX_LINE: usize = 64 << 10;
/// The longest command: a server's longest argument, and room for others beside it.
const MAX_COMMAND: usize = 1 << 30;
/// The longest transaction: it has to be in memory whole, since it is passed on whole or not at all.
const MAX_TRANSACTION: usize = 1 << 30;

fn unreadable(error: std::io::Error) -> Error {
    Error::new(ErrorKind::Io, "cannot be read").with_source(error)
}

fn damaged(name: &str, offset: u64, text: &str) -> Error {
    Error::new(ErrorKind::Snapshot, text).at(format!("{name}: byte {offset}"))
}
