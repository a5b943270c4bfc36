//! Our own programs as child processes: what they print, how they end, what they cost.

use std::ffi::OsStr;
use std::io::{ErrorKind, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::process::{self, Signal};

/// How often a running program is looked at for its memory and its end.
const SAMPLE: Duration = Duration::from_millis(5);

/// A program under test, running. It is killed when this value is dropped, and when the test process dies.
#[derive(Debug)]
pub struct ChildProgram {
    name: String,
    child: Child,
    stdout: Output,
    stderr: Output,
    sampler: Option<JoinHandle<Cost>>,
}

/// How a program has ended.
#[derive(Debug)]
#[non_exhaustive]
pub struct Finished {
    /// Its exit status; `None` when a signal has ended it.
    pub code: Option<i32>,
    /// All that it wrote to its standard output.
    pub stdout: String,
    /// All that it wrote to its standard error.
    pub stderr: String,
    /// What it took.
    pub cost: Cost,
}

/// What a program took, from start to end.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct Cost {
    /// Time by the clock, to 5 ms.
    pub wall: Duration,
    /// Seconds of CPU, user and system, of all its threads, to 10 ms.
    pub cpu_seconds: f64,
    /// The largest resident set in bytes, as the kernel keeps it (`VmHWM`), read every 5 ms: only growth within the
    /// last 5 ms of its life is not in it.
    pub peak_memory: u64,
}

impl ChildProgram {
    /// Starts the example called `name` of this workspace with `args`.
    ///
    /// `cargo test -p PACKAGE` builds the package's examples first, but not when it is given the name of a test or a
    /// target: it is the executable of the last build then.
    ///
    /// # Panics
    /// When it was not built in this profile; the message has the command to do so.
    #[track_caller]
    pub fn example<A: AsRef<OsStr>>(name: &str, args: &[A]) -> Self {
        Self::start(&example(name), args)
    }

    /// The same under another program that takes a program and its arguments behind its own, such as `sh -c 'ulimit -f 100; exec "$0"
    /// "$@"'` or `env NAME=VALUE`.
    ///
    /// # Panics
    /// As [`ChildProgram::example`].
    #[track_caller]
    pub fn example_under<A: AsRef<OsStr>, B: AsRef<OsStr>>(name: &str, program: &str, under: &[A], args: &[B]) -> Self {
        let example = example(name);
        let own = under.iter().map(AsRef::as_ref).chain([example.as_os_str()]);
        let all: Vec<&OsStr> = own.chain(args.iter().map(AsRef::as_ref)).collect();
        Self::start(Path::new(program), &all)
    }

    /// The same with a standard input that [`send_line`](Self::send_line) writes to; without, there is none.
    ///
    /// # Panics
    /// As [`ChildProgram::example`].
    #[track_caller]
    pub fn example_with_input<A: AsRef<OsStr>>(name: &str, args: &[A]) -> Self {
        Self::start_with(&example(name), args, Stdio::piped())
    }

    /// Starts the program at `path` with `args`.
    ///
    /// # Panics
    /// When it cannot be started.
    #[track_caller]
    pub fn start<A: AsRef<OsStr>>(path: &Path, args: &[A]) -> Self {
        Self::start_with(path, args, Stdio::null())
    }

    #[track_caller]
    fn start_with<A: AsRef<OsStr>>(path: &Path, args: &[A], stdin: Stdio) -> Self {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let mut command = process::tied_command(path);
        command.args(args.iter().map(AsRef::as_ref)).stdin(stdin).stdout(Stdio::piped()).stderr(Stdio::piped());
        let start = Instant::now();
        let mut child =
            process::spawn(command).unwrap_or_else(|error| panic!("cannot start {}: {error}", path.display()));
        let stdout = Output::of(child.stdout.take().expect("stdout was piped"));
        let stderr = Output::of(child.stderr.take().expect("stderr was piped"));
        let pid = child.id();
        let sampler = Some(std::thread::spawn(move || sample(pid, start)));
        Self { name, child, stdout, stderr, sampler }
    }

    /// Writes a line to its standard input.
    ///
    /// # Panics
    /// If it has none, or has closed it.
    #[track_caller]
    pub fn send_line(&mut self, line: &str) {
        let stdin = self.child.stdin.as_mut().expect("a program that was started with an input");
        writeln!(stdin, "{line}").and_then(|()| stdin.flush()).expect("it reads its standard input");
    }

    /// The process's id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Whether it still runs, to 5 ms.
    #[must_use]
    pub fn is_running(&self) -> bool {
        self.sampler.as_ref().is_some_and(|sampler| !sampler.is_finished())
    }

    /// Sends it a signal.
    ///
    /// # Panics
    /// When it was already waited for.
    #[track_caller]
    pub fn signal(&self, signal: Signal) {
        signal.send(self.pid());
    }

    /// Waits for a line of its standard output that `wanted` accepts, and gives it. Lines from before the call count as
    /// well.
    ///
    /// # Panics
    /// When there is none within `deadline`, or when the output has ended without one.
    #[track_caller]
    pub fn wait_for_stdout(&self, deadline: Duration, wanted: impl FnMut(&str) -> bool) -> String {
        self.wait_for_line("stdout", &self.stdout, deadline, wanted)
    }

    /// The same for its standard error.
    ///
    /// # Panics
    /// As [`ChildProgram::wait_for_stdout`].
    #[track_caller]
    pub fn wait_for_stderr(&self, deadline: Duration, wanted: impl FnMut(&str) -> bool) -> String {
        self.wait_for_line("stderr", &self.stderr, deadline, wanted)
    }

    #[track_caller]
    fn wait_for_line(
        &self,
        which: &str,
        output: &Output,
        deadline: Duration,
        wanted: impl FnMut(&str) -> bool,
    ) -> String {
        output.wait_for_line(deadline, wanted).unwrap_or_else(|| {
            let (out, err) = (self.stdout.text(), self.stderr.text());
            panic!("{}: no such line on {which} within {deadline:?}\n--- stdout:\n{out}\n--- stderr:\n{err}", self.name)
        })
    }

    /// What it has written to its standard output so far.
    #[must_use]
    pub fn stdout(&self) -> String {
        self.stdout.text()
    }

    /// What it has written to its standard error so far.
    #[must_use]
    pub fn stderr(&self) -> String {
        self.stderr.text()
    }

    /// Waits for its end.
    ///
    /// # Panics
    /// When it has not ended within `deadline`; it is killed then.
    #[track_caller]
    pub fn wait(mut self, deadline: Duration) -> Finished {
        let sampler = self.sampler.take().expect("wait takes the program, so nobody waited before");
        // The sampler reads the costs of a process that has ended and was not waited for: wait only once it has.
        if crate::wait::poll(deadline, || sampler.is_finished().then_some(())).is_none() {
            let (out, err) = (self.stdout.text(), self.stderr.text());
            panic!("{} did not end within {deadline:?}\n--- stdout:\n{out}\n--- stderr:\n{err}", self.name);
        }
        let cost = sampler.join().expect("the sampler does not panic");
        let status = self.child.wait().expect("a child can be waited for");
        Finished { code: status.code(), stdout: self.stdout.finish(), stderr: self.stderr.finish(), cost }
    }
}

impl Drop for ChildProgram {
    fn drop(&mut self) {
        // Both fail only when it has already ended and been waited for.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The example's executable: cargo puts it beside the folder of the test's own.
#[track_caller]
fn example(name: &str) -> PathBuf {
    let test = std::env::current_exe().expect("a process knows its executable");
    let profile = test.parent().and_then(Path::parent).expect("cargo keeps tests in PROFILE/deps");
    let path = profile.join("examples").join(name);
    assert!(
        path.is_file(),
        "the example {name} is not at {}: build it with `cargo build {}--example {name}`",
        path.display(),
        if profile.ends_with("release") { "--release " } else { "" },
    );
    path
}

/// Watches a process until it has ended (and is not waited for yet).
fn sample(pid: u32, start: Instant) -> Cost {
    let mut cost = Cost { wall: Duration::ZERO, cpu_seconds: 0.0, peak_memory: 0 };
    while let Some(stat) = process::stat(pid) {
        cost.cpu_seconds = stat.own_cpu + stat.children_cpu;
        if stat.state == b'Z' {
            break;
        }
        cost.peak_memory = cost.peak_memory.max(process::peak_memory(pid).unwrap_or(0));
        std::thread::sleep(SAMPLE);
    }
    cost.wall = start.elapsed();
    cost
}

/// One of the two outputs, as far as it has come.
#[derive(Debug)]
struct Output {
    shared: Arc<(Mutex<Received>, Condvar)>,
    reader: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Received {
    bytes: Vec<u8>,
    ended: bool,
}

impl Output {
    fn of(mut pipe: impl Read + Send + 'static) -> Self {
        let shared = Arc::new((Mutex::new(Received::default()), Condvar::new()));
        let writer = Arc::clone(&shared);
        let reader = std::thread::spawn(move || {
            let mut buffer = [0; 16 * 1024];
            loop {
                let n = match pipe.read(&mut buffer) {
                    Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                    read => read.unwrap_or(0),
                };
                let mut received = writer.0.lock().unwrap();
                received.bytes.extend_from_slice(&buffer[..n]);
                received.ended = n == 0;
                writer.1.notify_all();
                if n == 0 {
                    break;
                }
            }
        });
        Self { shared, reader: Some(reader) }
    }

    fn received(&self) -> MutexGuard<'_, Received> {
        self.shared.0.lock().unwrap()
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.received().bytes).into_owned()
    }

    /// All of it, once the program has ended.
    fn finish(&mut self) -> String {
        if let Some(reader) = self.reader.take() {
            reader.join().expect("the reader does not panic");
        }
        self.text()
    }

    fn wait_for_line(&self, deadline: Duration, mut wanted: impl FnMut(&str) -> bool) -> Option<String> {
        let end = Instant::now() + deadline;
        let mut seen = 0;
        let mut received = self.received();
        loop {
            while let Some(length) = received.bytes[seen..].iter().position(|byte| *byte == b'\n') {
                let line = String::from_utf8_lossy(&received.bytes[seen..seen + length]).into_owned();
                seen += length + 1;
                if wanted(&line) {
                    return Some(line);
                }
            }
            let left = end.checked_duration_since(Instant::now()).filter(|_| !received.ended)?;
            (received, _) = self.shared.1.wait_timeout(received, left).unwrap();
        }
    }
}
