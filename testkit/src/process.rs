//! Child processes that do not outlive the test, and what the kernel says of them.

use std::io;
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::sync::{LazyLock, Mutex, mpsc};
use std::time::Duration;

use crate::rng::Rng;
use crate::wait::poll;

/// A signal for a child process, as `kill -s` names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Signal {
    /// What Ctrl-C sends.
    Int,
    /// The polite request to end.
    Term,
    /// The end, without a chance to react.
    Kill,
    /// Freeze it: its connections stay open and nothing answers.
    Stop,
    /// Go on after [`Signal::Stop`].
    Cont,
}

impl Signal {
    /// Sends it to the process `pid`.
    pub(crate) fn send(self, pid: u32) {
        let name = match self {
            Self::Int => "INT",
            Self::Term => "TERM",
            Self::Kill => "KILL",
            Self::Stop => "STOP",
            Self::Cont => "CONT",
        };
        // The shell's own kill: there is none in std, and not every machine has the program.
        let status = Command::new("sh")
            .args(["-c", "kill -s \"$0\" \"$1\"", name, &pid.to_string()])
            .stderr(Stdio::null())
            .status();
        assert!(status.is_ok_and(|status| status.success()), "could not send SIG{name} to process {pid}");
    }
}

/// A loopback port that was free a moment ago. Somebody else may take it before you do: be ready to try another one.
#[must_use]
pub fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a loopback port can be had");
    listener.local_addr().expect("a bound socket has an address").port()
}

/// A free loopback port for a node of a cluster, whose other port, 10000 above, is free as well. Both are below those that
/// the kernel gives to outgoing connections, so that a node that was stopped finds them free when it comes back.
pub(crate) fn free_port_of_cluster() -> u16 {
    const PORTS: std::ops::Range<u16> = 10_000..22_768;
    static NEXT: LazyLock<Mutex<Rng>> = LazyLock::new(|| {
        // Other test processes look for ports at the same time.
        let now = std::time::UNIX_EPOCH.elapsed().map_or(0, |time| u64::from(time.subsec_nanos()));
        Mutex::new(Rng::new(now ^ u64::from(std::process::id()) << 32))
    });
    let free = |port| TcpListener::bind(("127.0.0.1", port)).is_ok();
    for _ in 0..1000 {
        let offset = NEXT.lock().unwrap().below(u64::from(PORTS.end - PORTS.start));
        let port = PORTS.start + u16::try_from(offset).expect("below a number of ports");
        if free(port) && free(port + 10_000) {
            return port;
        }
    }
    panic!("there are no two free ports, 10000 apart, between {} and {}", PORTS.start, PORTS.end + 10_000);
}

/// Starts `program` so that the kernel kills it when this process dies, however it dies.
///
/// The kernel's notion of the parent is the *thread* that started the child, so one thread that lives as long as the
/// process starts all of them. `setpriv` (util-linux) asks for the signal, since std cannot; where there is none, a
/// child can survive a test that is killed.
pub(crate) fn spawn(program: Command) -> io::Result<Child> {
    type Request = (Command, mpsc::Sender<io::Result<Child>>);
    static SPAWNER: LazyLock<Mutex<mpsc::Sender<Request>>> = LazyLock::new(|| {
        let (requests, inbox) = mpsc::channel::<Request>();
        let serve = move || {
            for (mut command, reply) in inbox {
                // Nobody listens any more only if the asking test has panicked in between.
                let _ = reply.send(command.spawn());
            }
        };
        std::thread::Builder::new().name("spawner".into()).spawn(serve).expect("a thread can be started");
        Mutex::new(requests)
    });
    let (reply, answer) = mpsc::channel();
    SPAWNER.lock().unwrap().send((program, reply)).expect("the spawner thread never ends");
    answer.recv().expect("the spawner thread never ends")
}

/// `executable` as a command that [`spawn`] can tie to this process's life, with nothing on its standard input.
pub(crate) fn tied_command(executable: &std::path::Path) -> Command {
    static SETPRIV: LazyLock<bool> = LazyLock::new(|| {
        let mut probe = Command::new("setpriv");
        probe.args(["--pdeathsig", "KILL", "true"]).stderr(Stdio::null());
        probe.status().is_ok_and(|status| status.success())
    });
    let mut command = if *SETPRIV {
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL", "--"]).arg(executable);
        command
    } else {
        Command::new(executable)
    };
    command.stdin(Stdio::null());
    command
}

/// Waits for the end of `child`; `None` when it has not ended within `deadline`.
pub(crate) fn wait_for_exit(child: &mut Child, deadline: Duration) -> Option<std::process::ExitStatus> {
    poll(deadline, || child.try_wait().expect("a child can be waited for"))
}

/// What `/proc/PID/stat` says of a process.
pub(crate) struct Stat {
    /// One letter; `Z` is a process that has ended and was not waited for yet.
    pub(crate) state: u8,
    /// Seconds of CPU, user and system, of all its threads.
    pub(crate) own_cpu: f64,
    /// The same of its children that have ended and been waited for.
    pub(crate) children_cpu: f64,
}

/// Reads `/proc/PID/stat`; `None` when there is no such process (or no such file system).
pub(crate) fn stat(pid: u32) -> Option<Stat> {
    // Linux counts in USER_HZ there, which is 100 on every architecture that Rust supports.
    const TICKS_PER_SECOND: f64 = 100.0;
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name, in parentheses, may hold anything; what follows the last one is the third field.
    let fields: Vec<&str> = text[text.rfind(')')? + 1..].split_whitespace().collect();
    let seconds = |user: usize| {
        let ticks = |field: usize| fields.get(field - 3)?.parse::<f64>().ok();
        Some((ticks(user)? + ticks(user + 1)?) / TICKS_PER_SECOND)
    };
    Some(Stat { state: *fields.first()?.as_bytes().first()?, own_cpu: seconds(14)?, children_cpu: seconds(16)? })
}

/// The largest resident set that the running process `pid` has had so far, in bytes.
pub(crate) fn peak_memory(pid: u32) -> Option<u64> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}
