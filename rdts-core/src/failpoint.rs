//! Places where a test lets the process die.
//!
//! Between reading a byte of the source and forgetting it because the target has it, there are a few moments at which a crash
//! finds things half done. Each has a name, and code calls [`hit`] there. Without the feature `failpoints`, which nobody but tests
//! turns on, that is an empty function; with it, the process aborts where the environment variable `RDTS_FAILPOINT` says so:
//! `sink.written` the first time that it comes there, `sink.written:7` the seventh time.
//!
//! | name | the moment |
//! |---|---|
//! | `source.read` | bytes of the source are read, and neither stored nor looked at |
//! | `source.spooled` | they are in the spool |
//! | `source.translated` | a batch was made of them, and nobody has it yet |
//! | `sink.written` | commands are sent, and nothing yet that lets the target execute them (`EXEC`) |
//! | `sink.committed` | that is sent as well, and no reply is read |
//! | `sink.judged` | a reply is read and was found good, and the watermark is where it was |
//! | `pipeline.acknowledged` | the source was told what is applied |

/// Every name that [`hit`] is called with.
pub const NAMES: [&str; 7] = [
    "source.read",
    "source.spooled",
    "source.translated",
    "sink.written",
    "sink.committed",
    "sink.judged",
    "pipeline.acknowledged",
];

/// Says that the process has come to the place `name`: one of [`NAMES`].
#[cfg(not(feature = "failpoints"))]
#[inline(always)]
pub fn hit(_name: &'static str) {}

/// Says that the process has come to the place `name`, one of [`NAMES`], and aborts it if `RDTS_FAILPOINT` says that it is to end
/// here, or if it cannot be understood.
#[cfg(feature = "failpoints")]
pub fn hit(name: &'static str) {
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicU64, Ordering};

    static ARMED: OnceLock<Option<(&'static str, u64)>> = OnceLock::new();
    static MET: AtomicU64 = AtomicU64::new(0);

    debug_assert!(NAMES.contains(&name), "{name} is in the list of names");
    let armed = ARMED.get_or_init(|| {
        let text = std::env::var_os("RDTS_FAILPOINT")?;
        let armed = text.to_str().and_then(parse);
        if armed.is_none() {
            // A test that asks for a place which does not exist must not pass because nothing happened.
            die(&format!("RDTS_FAILPOINT={} is not NAME or NAME:N with one of: {}", text.display(), NAMES.join(", ")));
        }
        armed
    });
    if let Some((place, time)) = armed
        && *place == name
        && MET.fetch_add(1, Ordering::Relaxed) + 1 == *time
    {
        die(&format!("failpoint {place}:{time}"));
    }
}

/// Reads `NAME` and `NAME:N`.
#[cfg(feature = "failpoints")]
fn parse(text: &str) -> Option<(&'static str, u64)> {
    let (name, time) = text.split_once(':').unwrap_or((text, "1"));
    let name = NAMES.into_iter().find(|known| *known == name)?;
    Some((name, time.parse().ok().filter(|time| *time > 0)?))
}

/// Ends the process at once: no destructor, no flush, as in a crash.
#[cfg(feature = "failpoints")]
fn die(message: &str) -> ! {
    use std::io::Write;
    let _ = writeln!(std::io::stderr(), "{message}");
    std::process::abort()
}

#[cfg(all(test, feature = "failpoints"))]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::os::unix::process::ExitStatusExt;
    use std::process::{Command, Output};

    use super::*;

    #[test]
    fn reads_a_name_and_a_number() {
        assert_eq!(parse("sink.judged"), Some(("sink.judged", 1)));
        assert_eq!(parse("source.read:12"), Some(("source.read", 12)));
        for wrong in ["", "sink", "sink.judged:", "sink.judged:0", "sink.judged:-1", "sink.judged:1:2", "Sink.judged"] {
            assert_eq!(parse(wrong), None, "{wrong}");
        }
    }

    /// The body of the processes that the test below starts; by itself it meets places that nothing is said of.
    #[test]
    fn meets_three_places() {
        for time in 1..=3 {
            hit("source.read");
            eprintln!("read {time}");
        }
        hit("sink.written");
    }

    fn run(failpoint: Option<&str>) -> Output {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", "--nocapture", "failpoint::tests::meets_three_places"]).env_remove("RDTS_FAILPOINT");
        command.envs(failpoint.map(|failpoint| ("RDTS_FAILPOINT", failpoint)));
        command.output().unwrap()
    }

    #[test]
    fn aborts_at_the_time_that_was_asked_for() {
        const SIGABRT: i32 = 6;
        for (failpoint, read) in [("source.read", 0), ("source.read:3", 2), ("sink.written", 3), ("nowhere", 0)] {
            let output = run(Some(failpoint));
            assert_eq!(output.status.signal(), Some(SIGABRT), "{failpoint}: {output:?}");
            let errors = String::from_utf8_lossy(&output.stderr);
            assert_eq!(errors.matches("read ").count(), read, "{failpoint}: {errors}");
        }
        for failpoint in [None, Some("source.read:4"), Some("sink.judged")] {
            assert!(run(failpoint).status.success(), "{failpoint:?}");
        }
    }
}
