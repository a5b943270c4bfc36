//! A command of the stream under the rules.

use super::Rules;
use crate::error::{Error, ErrorKind, Result};
use crate::translate::outcome::{Outcome, Why};

impl Rules {
    /// What becomes of a command for the source's database `db`, whose name is the first of `words`. `MULTI` and `EXEC` do not come here.
    ///
    /// # Errors
    /// [`Unsupported`](ErrorKind::Unsupported) if the rules cannot be kept exactly.
    pub(crate) fn command<'c>(&self, db: u32, words: &[&'c [u8]]) -> Result<Outcome<'c>> {
        let name = words.first().copied().unwrap_or_default();
        let is = |other: &str| name.eq_ignore_ascii_case(other.as_bytes());
        let crosses = ["FLUSHALL", "SWAPDB", "MOVE"].iter().any(|other| is(other))
            || (is("COPY") && words.iter().skip(3).any(|arg| arg.eq_ignore_ascii_case(b"DB")));
        if crosses {
            let text = format!(
                "{} concerns more than one database, and passing on a part of it is not supported yet",
                name.escape_ascii()
            );
            return Err(Error::new(ErrorKind::Unsupported, text));
        }
        Ok(if self.db(db).is_some() { Outcome::Verbatim } else { Outcome::Nothing(Why::OtherDb) })
    }
}
