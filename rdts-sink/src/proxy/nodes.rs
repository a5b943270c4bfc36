//! What is behind a proxy, as [`crossing`](crate::crossing) wants it.

use std::sync::{Mutex, PoisonError};

use rdts_core::command::keys;
use rdts_core::error::{Error, ErrorKind, Result};
use rdts_core::slot;
use rdts_core::translate::Target;
use rdts_rdb::Version;
use rdts_rdb::dump::{self, Payload};
use rdts_rdb::encode::{EncodeOptions, convert};
use rdts_resp::Reply;

use super::profile::Profile;
use crate::crossing::Nodes;
use crate::lanes::Control;

/// Calls a command on the server of the script's key. A proxy looks at that key alone, and servers let a script use any other.
pub(super) const THROUGH: &[u8] = b"return redis.pcall(unpack(ARGV))";
/// How many arguments Lua can hand to a command: its stack has 8000 places.
pub(super) const MOST_ARGUMENTS: usize = 7000;
/// What the temporary keys of a crossing begin with, before the tag of the slot.
const TEMPORARY: &[u8] = b"rdts:tmp:{";

/// The servers behind a proxy.
///
/// Which keys are on one server only the proxies know, apart from Codis. So each key of the command counts as if it had a slot of its own,
/// and what belongs into its slot goes to its server, by a script for that key.
pub(super) struct ProxyNodes<'a> {
    profile: Profile,
    target: Target,
    control: &'a mut Control,
    /// The keys that were asked for, each with its place as its slot.
    keys: Mutex<Vec<Vec<u8>>>,
}

impl<'a> ProxyNodes<'a> {
    pub(super) fn new(profile: Profile, target: Target, control: &'a mut Control) -> Self {
        Self { profile, target, control, keys: Mutex::default() }
    }

    pub(super) fn control(&mut self) -> &mut Control {
        self.control
    }

    /// The key on whose server `key` is to be.
    fn home(&self, key: &[u8]) -> Vec<u8> {
        match self.of_temporary(key) {
            Some(slot) => self.lock()[usize::from(slot)].clone(),
            None => key.to_vec(),
        }
    }

    /// The slot for which a temporary key was named.
    fn of_temporary(&self, key: &[u8]) -> Option<u16> {
        let tag = key.strip_prefix(TEMPORARY).filter(|_| self.profile != Profile::Codis)?;
        let close = tag.iter().position(|byte| *byte == b'}')?;
        let count = u16::try_from(self.lock().len()).unwrap_or(u16::MAX);
        (0..count).find(|slot| slot::tag(*slot).as_bytes() == &tag[..close])
    }

    /// The payload of a `RESTORE`, if a newer server made it than those that may get it: they may be of several versions.
    fn for_older(&self, args: &[&[u8]]) -> Result<Option<Vec<u8>>> {
        let &[name, key, _, payload, ..] = args else { return Ok(None) };
        if !name.eq_ignore_ascii_case(b"RESTORE") {
            return Ok(None);
        }
        let refused = |error: Box<dyn std::error::Error + Send + Sync>| {
            let text = format!("key \"{}\" cannot be restored into {}", key.escape_ascii(), self.target);
            Error::new(ErrorKind::Unsupported, text).with_source(error)
        };
        let parsed = Payload::parse(payload).map_err(|error| refused(error.into()))?;
        let version = self.target.rdb_version();
        if parsed.version <= version {
            return Ok(None);
        }
        let options = EncodeOptions::new(Version::from_number(version));
        let converted = convert(parsed.value_type, parsed.value, &options).map_err(|error| refused(error.into()))?;
        let mut out = Vec::with_capacity(payload.len());
        dump::append(&mut out, converted.value_type, &converted.raw, version);
        Ok(Some(out))
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Vec<u8>>> {
        self.keys.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Nodes for ProxyNodes<'_> {
    fn target(&self) -> Target {
        self.target
    }

    async fn call(&mut self, key: &[u8], db: u32, args: &[&[u8]]) -> Result<Reply> {
        self.control.select(db).await?;
        let home = self.home(key);
        let older = self.for_older(args)?;
        let mut changed = args.to_vec();
        if let Some(payload) = &older {
            changed[3] = payload;
        }
        let args = &changed[..];
        let mut named = keys(args)?;
        let single = named.len() <= 1;
        // The proxy finds its own way by the key that the command names.
        let finds = single && named.next().is_some_and(|named| args[named.index] == home);
        let connection = &mut self.control.connection;
        if finds && self.profile.passes(args[0], args.len()) {
            return connection.call(args).await;
        }
        if args.len() > MOST_ARGUMENTS {
            let text = format!("{} with {} arguments cannot go through a proxy", args[0].escape_ascii(), args.len());
            return Err(Error::new(ErrorKind::Limit, text).at(connection.address()));
        }
        if args[0].eq_ignore_ascii_case(b"EVAL") && single && args.len() > 3 {
            // A script for a key of another name: it gets that name as an argument.
            let script = [b"local KEYS = ARGV ", args[1]].concat();
            return connection.call([&[&b"EVAL"[..], &script, b"1", &home], &args[3..]].concat()).await;
        }
        connection.call([&[&b"EVAL"[..], THROUGH, b"1", &home], args].concat()).await
    }

    async fn call_all(&mut self, _db: u32, args: &[&[u8]]) -> Result<Reply> {
        let text = format!("{} cannot be brought to every server behind a proxy", args[0].escape_ascii());
        Err(Error::new(ErrorKind::Unsupported, text).at(self.control.connection.address()))
    }

    fn slot(&self, key: &[u8]) -> u16 {
        if self.profile == Profile::Codis {
            return slot::codis::slot(key);
        }
        if let Some(slot) = self.of_temporary(key) {
            return slot;
        }
        let mut keys = self.lock();
        let at = keys.iter().position(|other| other == key).unwrap_or_else(|| {
            keys.push(key.to_vec());
            keys.len() - 1
        });
        // Two keys that share a number would count as together: not with so few as a command has.
        u16::try_from(at).unwrap_or(u16::MAX)
    }

    fn tag(&self, slot: u16) -> &'static str {
        match self.profile {
            Profile::Codis => slot::codis::tag(slot),
            _ => slot::tag(slot),
        }
    }
}
