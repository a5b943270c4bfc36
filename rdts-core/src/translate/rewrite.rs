//! Commands that a target does not know → commands that it knows, with the same effect.
//!
//! A [`Rule`] is for a command in a form (with an option, say) that servers have since some version. It is applied where the target is
//! older or of the other family, and what it makes is looked at again, since an even older target may not know that either. What has no rule and is
//! not known to the target is an error or, if it is of a kind that has a [policy](super::Losses), left out.
//!
//! The rules are written for what *primaries replicate*, which was recorded from real servers: only what took effect, by explicit ids and
//! times (see `docs/compatibility.md`). So a condition that a client gave (`NX`, `IFEQ`, `GT`) was met, and can be left away
//! as long as it is about the whole command.

mod bits;
mod expiry;
mod functions;
mod hashes;
mod keys;
mod lists;
mod others;
mod restore;
mod streams;
mod strings;
mod zsets;

use std::borrow::Cow;
use std::fmt;

use super::losses::{LossKind, Losses, OnLoss};
use super::{Family, Target};
use crate::command;
use crate::error::{Error, ErrorKind, Result};

/// A word of a command.
pub(super) type Word<'c> = Cow<'c, [u8]>;

/// A form of a command that not every server knows, and what it becomes for the others.
#[non_exhaustive]
pub struct Rule {
    /// The command's name in upper case.
    pub command: &'static str,
    /// With which options the rule is meant; empty if in every form.
    pub when: &'static str,
    /// The first version of Redis that takes it as it is, if one does.
    pub redis: Option<(u16, u16)>,
    /// The first version of Valkey that does; `(0, 0)` for all.
    pub valkey: Option<(u16, u16)>,
    /// What it becomes.
    pub becomes: &'static str,
    /// Whether the target's data is exactly the same afterwards, as far as the target can hold such data at all.
    pub exact: bool,
    /// What is to be known about it.
    pub notes: &'static str,
    /// The rule is not looked at for commands of fewer words.
    at_least: u8,
    apply: Apply,
}

impl fmt::Debug for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rule").field("command", &self.command).field("when", &self.when).finish_non_exhaustive()
    }
}

impl Rule {
    /// Whether `target` takes this form as it is.
    pub fn known_to(&self, target: &Target) -> bool {
        let since = match target.family() {
            Family::Redis => self.redis,
            Family::Valkey => self.valkey,
        };
        let (major, minor, _) = target.version();
        since.is_some_and(|since| since <= (major, minor))
    }

    /// With what is to be known about it.
    const fn notes(mut self, notes: &'static str) -> Self {
        self.notes = notes;
        self
    }

    /// The data may differ, as the notes say.
    const fn inexact(mut self, notes: &'static str) -> Self {
        self.exact = false;
        self.notes = notes;
        self
    }
}

/// All rules, command by command.
pub fn rules() -> impl Iterator<Item = &'static Rule> {
    TABLES.iter().copied().flatten()
}

static TABLES: [&[Rule]; 11] = [
    strings::RULES,
    expiry::RULES,
    keys::RULES,
    restore::RULES,
    lists::RULES,
    hashes::RULES,
    zsets::RULES,
    bits::RULES,
    streams::RULES,
    functions::RULES,
    others::RULES,
];

/// The first version that has something.
type Since = Option<(u16, u16)>;
/// No version has it.
const NEVER: Since = None;
/// All of Valkey has it.
const ALL: Since = Some((0, 0));

const fn since(major: u16, minor: u16) -> Since {
    Some((major, minor))
}

const fn rule(
    command: &'static str,
    when: &'static str,
    (redis, valkey): (Since, Since),
    becomes: &'static str,
    at_least: u8,
    apply: Apply,
) -> Rule {
    Rule { command, when, redis, valkey, becomes, exact: true, notes: "", at_least, apply }
}

type Apply = for<'c> fn(&Context<'_>, &[Word<'c>]) -> Result<Step<'c>>;

/// What rules need to know.
#[derive(Debug, Clone, Copy)]
pub(super) struct Context<'x> {
    pub(super) target: Target,
    pub(super) losses: &'x Losses,
    /// When the command came from the source, in milliseconds since 1970: relative times count from there. `None` if nobody knows.
    pub(super) arrived: Option<u64>,
    pub(super) plan: &'x Plan,
}

/// What a rule says of a command.
enum Step<'c> {
    /// It is not meant.
    No,
    /// These commands have the same effect; none if there is none.
    Into(Vec<Vec<Word<'c>>>),
    /// These have what the target can hold of it; something is lost.
    Without(LossKind, Vec<Vec<Word<'c>>>),
    /// There is no way, for this reason.
    Cannot(&'static str),
}

impl<'c> Step<'c> {
    fn one(words: impl IntoIterator<Item = Word<'c>>) -> Result<Self> {
        Ok(Self::Into(vec![words.into_iter().collect()]))
    }
}

/// What becomes of a command.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Rewritten<'c> {
    /// The target takes it as it is.
    Verbatim,
    /// These instead; none if it does nothing there.
    Instead(Vec<Vec<Word<'c>>>),
    /// These instead (or none), and something is left out.
    Lossy(LossKind, Vec<Vec<Word<'c>>>),
}

/// For every command of the table: what there is to look at.
#[derive(Debug, Clone)]
pub(super) struct Plan {
    /// From how many words on it has to be looked at.
    from: Vec<u8>,
    /// The rules for what the target does not know.
    rules: Vec<Vec<&'static Rule>>,
    /// Whether commands that are not in the table have to be looked at.
    unknown: bool,
}

/// A command that is never looked at.
const NEVER_LOOKED_AT: u8 = u8::MAX;

impl Plan {
    pub(super) fn new(target: &Target, losses: &Losses) -> Self {
        let (mut from, mut all) = (Vec::new(), Vec::new());
        for info in command::commands() {
            let applied = rules().filter(|rule| rule.command == info.name() && !rule.known_to(target));
            let applied: Vec<_> = applied.collect();
            let known = info.name().contains('.') || is_known(info, target);
            let whole = (!known || lost_with(info.name(), target, losses).is_some()).then_some(1);
            from.push(applied.iter().map(|rule| rule.at_least).chain(whole).min().unwrap_or(NEVER_LOOKED_AT));
            all.push(applied);
        }
        let pass = |kind| losses.policy(kind) == OnLoss::Pass;
        Self { from, rules: all, unknown: !pass(LossKind::Modules) || !pass(LossKind::UnknownCommands) }
    }

    /// Whether a command of this name and with so many words goes to the target as it is.
    #[inline]
    pub(super) fn is_verbatim(&self, name: &[u8], words: usize) -> bool {
        match command::index(name) {
            Some(index) => {
                self.from.get(index).is_none_or(|from| words < usize::from(*from) || *from == NEVER_LOOKED_AT)
            }
            None => !self.unknown,
        }
    }
}

/// More rules than these never follow one another.
const DEPTH: u8 = 8;

/// What becomes of a command, which begins with its name.
///
/// # Errors
/// [`Unsupported`](ErrorKind::Unsupported) if there is no way, [`Protocol`](ErrorKind::Protocol) if it is broken.
pub(super) fn rewrite<'c>(context: &Context<'_>, words: &[Word<'c>]) -> Result<Rewritten<'c>> {
    let mut lost = None;
    let commands = step(context, words, &mut lost, DEPTH)?;
    Ok(match (lost, commands) {
        (None, None) => Rewritten::Verbatim,
        (None, Some(commands)) => Rewritten::Instead(commands),
        (Some(kind), commands) => Rewritten::Lossy(kind, commands.unwrap_or_else(|| vec![words.to_vec()])),
    })
}

/// `None` if it stays as it is.
fn step<'c>(
    context: &Context<'_>,
    words: &[Word<'c>],
    lost: &mut Option<LossKind>,
    depth: u8,
) -> Result<Option<Vec<Vec<Word<'c>>>>> {
    let Some(name) = words.first() else { return Ok(None) };
    let Some(depth) = depth.checked_sub(1) else {
        return Err(Error::protocol(format!("the rules for {} never end", name.escape_ascii())));
    };
    let Some(index) = command::index(name) else { return unknown(context, words, lost) };
    let info = &command::commands()[index];
    if let Some(kind) = lost_with(info.name(), &context.target, context.losses) {
        return leave_out(context, words, kind, lost);
    }
    for rule in context.plan.rules.get(index).into_iter().flatten() {
        if words.len() < usize::from(rule.at_least) {
            continue;
        }
        let made = match (rule.apply)(context, words)? {
            Step::No => continue,
            Step::Into(made) => made,
            Step::Cannot(why) => return Err(cannot(context, words, why)),
            Step::Without(kind, made) => match context.losses.policy(kind) {
                OnLoss::Stop => return Err(stopped(context, words, kind)),
                OnLoss::Pass => return Ok(None),
                OnLoss::Drop => {
                    *lost = Some(kind);
                    made
                }
            },
        };
        let mut all = Vec::with_capacity(made.len());
        for command in made {
            match step(context, &command, lost, depth)? {
                Some(made) => all.extend(made),
                None => all.push(command),
            }
        }
        return Ok(Some(all));
    }
    if info.name().contains('.') || is_known(info, &context.target) {
        return Ok(None);
    }
    Err(cannot(context, words, "there is no rule that puts it into other words"))
}

/// Whether a server has a command. Release candidates of 4.0 call themselves 3.9.1xx.
fn is_known(info: &command::CommandInfo, target: &Target) -> bool {
    let candidate = target.family() == Family::Redis && (target.version().0, target.version().1) == (3, 9);
    info.known_to(target) || (candidate && info.since(Family::Redis) == Some((4, 0, 0)))
}

/// The kind of what a command is about, if the target has nothing of the kind or is not to get it.
fn lost_with(name: &str, target: &Target, losses: &Losses) -> Option<LossKind> {
    let (major, minor, _) = target.version();
    let redis = |since| target.family() == Family::Redis && (major, minor) >= since;
    match name {
        "XADD" | "XDEL" | "XTRIM" | "XSETID" | "XGROUP" | "XACK" | "XCLAIM" | "XAUTOCLAIM" | "XREADGROUP"
        | "XACKDEL" | "XDELEX" | "XNACK" | "XCFGSET" | "XIDMPRECORD" => {
            (!target.streams()).then_some(LossKind::Streams)
        }
        "VADD" | "VREM" | "VSETATTR" => (!redis((8, 0))).then_some(LossKind::VectorSets),
        "ARDEL" | "ARDELRANGE" | "ARINSERT" | "ARMSET" | "ARRING" | "ARSEEK" | "ARSET" => {
            (!redis((8, 8))).then_some(LossKind::Arrays)
        }
        _ if name.contains('.') => (losses.policy(LossKind::Modules) != OnLoss::Pass).then_some(LossKind::Modules),
        _ => None,
    }
}

/// A command that is in no table.
fn unknown<'c>(
    context: &Context<'_>,
    words: &[Word<'c>],
    lost: &mut Option<LossKind>,
) -> Result<Option<Vec<Vec<Word<'c>>>>> {
    let module = words[0].contains(&b'.');
    let kind = if module { LossKind::Modules } else { LossKind::UnknownCommands };
    leave_out(context, words, kind, lost)
}

fn leave_out<'c>(
    context: &Context<'_>,
    words: &[Word<'c>],
    kind: LossKind,
    lost: &mut Option<LossKind>,
) -> Result<Option<Vec<Vec<Word<'c>>>>> {
    match context.losses.policy(kind) {
        OnLoss::Stop => Err(stopped(context, words, kind)),
        OnLoss::Pass => Ok(None),
        OnLoss::Drop => {
            *lost = Some(kind);
            Ok(Some(Vec::new()))
        }
    }
}

/// `XADD of key "k"`
fn named(words: &[Word<'_>]) -> String {
    let shown = |bytes: &[u8]| bytes[..bytes.len().min(128)].escape_ascii().to_string();
    let name = words.first().map_or_else(String::new, |name| shown(name));
    match command::first_key(name.as_bytes()).and_then(|at| words.get(at)) {
        Some(key) => format!("{name} of key \"{}\"", shown(key)),
        None => name,
    }
}

fn cannot(context: &Context<'_>, words: &[Word<'_>], why: &str) -> Error {
    let target = context.target;
    let has = words.first().and_then(|name| command::lookup(name)).and_then(|info| {
        let (major, minor, _) = info.since(target.family())?;
        (!info.known_to(&target)).then(|| match target.family() {
            Family::Redis => format!(" (it is in Redis since {major}.{minor})"),
            Family::Valkey => format!(" (it is in Valkey since {major}.{minor})"),
        })
    });
    let has = has.unwrap_or_default();
    let text = format!("{}: {target} does not know it{has}, and {why}. Take a newer target", named(words));
    Error::new(ErrorKind::Unsupported, text)
}

fn stopped(context: &Context<'_>, words: &[Word<'_>], kind: LossKind) -> Error {
    stop(&context.target, &named(words), kind)
}

/// The error for something that the target cannot hold, where that is to stop the run.
pub(super) fn stop(target: &Target, what: &str, kind: LossKind) -> Error {
    let text = match kind {
        LossKind::UnknownCommands => format!(
            "{what}: the command is in no table, so nobody can say whether {target} knows it. The policy for '{kind}' may pass it on or drop it"
        ),
        LossKind::Modules => format!("{what}: the policy for '{kind}' is to stop at {}", kind.described()),
        _ => format!(
            "{what}: {target} has no {}. Take a newer target, or have them left out by the policy for '{kind}'",
            kind.described()
        ),
    };
    Error::new(ErrorKind::Unsupported, text)
}

// The words of the rules.

fn word(text: &'static str) -> Word<'static> {
    Cow::Borrowed(text.as_bytes())
}

fn number<'c>(number: impl itoa::Integer) -> Word<'c> {
    Cow::Owned(itoa::Buffer::new().format(number).as_bytes().to_vec())
}

fn is(word: &[u8], text: &str) -> bool {
    word.eq_ignore_ascii_case(text.as_bytes())
}

/// Where one of `options` is, from the word `from` on.
fn option(words: &[Word<'_>], from: usize, options: &[&str]) -> Option<usize> {
    (from..words.len()).find(|at| options.iter().any(|option| is(&words[*at], option)))
}

fn integer(words: &[Word<'_>], at: usize) -> Result<i64> {
    let word = words.get(at).map(|word| &**word).unwrap_or_default();
    let number = std::str::from_utf8(word).ok().and_then(|text| text.parse().ok());
    number.ok_or_else(|| Error::protocol(format!("{}: '{}' is no integer", named(words), word.escape_ascii())))
}

/// All words but `count` from `at` on.
fn without<'c>(words: &[Word<'c>], at: usize, count: usize) -> Vec<Word<'c>> {
    words
        .iter()
        .enumerate()
        .filter(|(index, _)| !(at..at + count).contains(index))
        .map(|(_, word)| word.clone())
        .collect()
}

/// A script with the keys it declares.
fn script<'c>(
    body: &'static str,
    keys: impl IntoIterator<Item = Word<'c>>,
    arguments: impl IntoIterator<Item = Word<'c>>,
) -> Vec<Word<'c>> {
    let mut words = vec![word("EVAL"), word(body), word("0")];
    words.extend(keys);
    words[2] = number(words.len() - 3);
    words.extend(arguments);
    words
}

#[cfg(test)]
mod tests;
