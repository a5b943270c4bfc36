//! A migration that has to be exact in the end, whatever happens to it.

use std::path::Path;

use rdts_testkit::{
    ChildProgram, Cluster, Deployment, FillOptions, Finished, Load, LoadOptions, Sentinel, Server, Signal, assert_same,
    digest, fill, wait_until,
};
use tempfile::TempDir;

use crate::support::{LONG, ends, summary};

/// A deployment that is a source or a target.
pub(crate) enum Place {
    Server(Server),
    Cluster(Cluster),
    Sentinel(Sentinel),
}

impl Place {
    pub(crate) fn url(&self) -> String {
        match self {
            Self::Server(server) => server.url(),
            Self::Cluster(cluster) => cluster.url(),
            Self::Sentinel(sentinel) => sentinel.url(),
        }
    }

    pub(crate) fn server(&self) -> &Server {
        match self {
            Self::Server(server) => server,
            Self::Cluster(_) | Self::Sentinel(_) => panic!("this is several servers"),
        }
    }

    pub(crate) fn cluster(&self) -> &Cluster {
        match self {
            Self::Cluster(cluster) => cluster,
            _ => panic!("this is no cluster"),
        }
    }

    pub(crate) fn sentinel(&self) -> &Sentinel {
        match self {
            Self::Sentinel(sentinel) => sentinel,
            _ => panic!("these are not watched over by Sentinels"),
        }
    }

    fn deployment(&self) -> Deployment<'_> {
        match self {
            Self::Server(server) => server.into(),
            Self::Cluster(cluster) => cluster.into(),
            Self::Sentinel(sentinel) => sentinel.into(),
        }
    }

    /// The servers that hold the data.
    fn primaries(&self) -> Vec<&Server> {
        match self {
            Self::Server(server) => vec![server],
            Self::Cluster(cluster) => cluster.primaries().into_iter().map(|node| cluster.server(node)).collect(),
            Self::Sentinel(sentinel) => vec![sentinel.server(sentinel.primary())],
        }
    }

    /// Runs a command where its key is, in database 0.
    pub(crate) fn cmd(&self, args: &[&str]) -> redis::Value {
        match self {
            Self::Cluster(cluster) => cluster.cmd(args),
            _ => self.primaries()[0].cmd(args),
        }
    }

    /// How many keys it has, in all databases.
    pub(crate) fn keys(&self) -> u64 {
        let keys = |line: &String| line.strip_prefix("keys=")?.split(',').next()?.parse::<u64>().ok();
        self.primaries()
            .iter()
            .flat_map(|server| server.info("keyspace").into_values().filter_map(|db| keys(&db)))
            .sum()
    }
}

/// A source with data, a load on it, a target, and the folder with the state of the migration between them.
pub(crate) struct Trial {
    pub(crate) source: Place,
    pub(crate) target: Place,
    /// The URLs as the migration gets them.
    pub(crate) from: String,
    pub(crate) to: String,
    /// What else the migration gets, each time that it is started.
    pub(crate) more: Vec<String>,
    /// What the migration runs under: a program and its arguments.
    pub(crate) under: Vec<String>,
    state: TempDir,
    load: Option<Load>,
    clusters: bool,
    seed: u64,
}

/// A server whose backlog outlasts everything here.
pub(crate) fn server(name: &str) -> Place {
    Place::Server(Server::builder(name).arg("repl-backlog-size", "64mb").start())
}

/// Commands a second: a debug build on a machine that is busy with other tests has to keep up with them.
const RATE: u32 = 800;

impl Trial {
    /// Fills the source with so many keys and starts the load.
    pub(crate) fn new(source: Place, target: Place, keys: u64, seed: u64) -> Self {
        let clusters = [&source, &target].iter().any(|place| matches!(place, Place::Cluster(_)));
        let mut data = FillOptions::mixed(keys);
        if clusters {
            data = data.in_one_database();
        }
        fill(source.deployment(), &data);
        let (from, to) = (source.url(), target.url());
        let state = TempDir::with_prefix("rdts-state-").unwrap();
        let (more, under) = (Vec::new(), Vec::new());
        let mut trial = Self { source, target, from, to, more, under, state, load: None, clusters, seed };
        trial.write();
        trial
    }

    /// Starts the load, or another one when there was one before.
    pub(crate) fn write(&mut self) {
        let mut options = if self.clusters { LoadOptions::cluster() } else { LoadOptions::default() };
        (options.seed, options.rate) = (self.seed, RATE);
        let load = Load::start(self.source.deployment(), options);
        load.wait_for(200, LONG);
        self.load = Some(load);
        self.seed += 1;
    }

    /// Starts the migration, or starts it again.
    pub(crate) fn start(&self, more: &[&str]) -> ChildProgram {
        let state = self.state.path().to_str().unwrap();
        let own = ["--json", "--from", &self.from, "--to", &self.to, "--on-conflict", "fail", "--state", state];
        let all: Vec<&str> =
            own.into_iter().chain(self.more.iter().map(String::as_str)).chain(more.iter().copied()).collect();
        match self.under.split_first() {
            None => ChildProgram::example("migrate", &all),
            Some((program, arguments)) => ChildProgram::example_under("migrate", program, arguments, &all),
        }
    }

    /// The folder with the state.
    pub(crate) fn state(&self) -> &Path {
        self.state.path()
    }

    /// The load, as long as it runs.
    pub(crate) fn load(&self) -> &Load {
        self.load.as_ref().unwrap()
    }

    /// Waits until the target has so many of a hundred of the source's keys, or the snapshot is in place.
    pub(crate) fn wait_until_copied(&self, program: &ChildProgram, percent: u64) {
        let all = self.source.keys();
        wait_until("keys to be in the target", LONG, || {
            !program.is_running() || self.is_live(program) || self.target.keys() * 100 >= all * percent
        });
    }

    /// Waits until the snapshot is in place, and so many commands more were written to the source.
    pub(crate) fn wait_until_live(&self, program: &ChildProgram, commands: u64) {
        wait_until("the snapshot to be in place", LONG, || !program.is_running() || self.is_live(program));
        self.load().wait_for(commands, LONG);
    }

    /// How often the servers of the source have sent all that they have.
    pub(crate) fn full_syncs(&self) -> u64 {
        self.source.primaries().iter().map(|server| server.info("stats")["sync_full"].parse::<u64>().unwrap()).sum()
    }

    /// Waits until the target has all that the source had when this was called, as far as clients can see.
    pub(crate) fn wait_until_caught_up(&self, program: &ChildProgram) {
        // A counter of its own, which comes last.
        let key = format!("trial:{}", self.seed);
        self.source.cmd(&["INCR", &key]);
        let written = self.source.cmd(&["GET", &key]);
        wait_until("the target to catch up", LONG, || {
            !program.is_running() || self.target.cmd(&["GET", &key]) == written
        });
        assert!(program.is_running(), "stdout:\n{}\nstderr:\n{}", program.stdout(), program.stderr());
    }

    /// Whether the snapshot is in place.
    pub(crate) fn is_live(&self, program: &ChildProgram) -> bool {
        program.stderr().contains("snapshot in place")
    }

    /// Ends the load.
    pub(crate) fn quiet(&mut self) {
        if let Some(load) = self.load.take() {
            load.stop();
        }
    }

    /// Ends the load, asks the migration to end, which it can do since the source is there, and compares after another run.
    pub(crate) fn stop_and_finish(&mut self, program: ChildProgram) {
        self.quiet();
        program.signal(Signal::Int);
        ends(program, 0);
        self.finish();
    }

    /// Ends the load, starts the migration again until it has caught up, and compares.
    pub(crate) fn finish(&mut self) {
        self.quiet();
        let summary = summary(&ends(self.start(&["--until", "caught-up"]), 0));
        assert_eq!((&summary["failed"], &summary["status"]), (&0.into(), &0.into()), "{summary}");
        self.check();
    }

    /// Compares source and target, whose migration has come to an end.
    pub(crate) fn check(&self) {
        assert_eq!(self.marks(), Vec::<String>::new(), "marks of the migration are left in the target");
        assert_same(self.source.deployment(), self.target.deployment());
        if let (Place::Server(source), Place::Server(target)) = (&self.source, &self.target)
            && source.version().digests_like(target.version())
        {
            // A key that has expired counts until the server's own cycle removes it.
            wait_until("the digests to be equal", LONG, || digest(source) == digest(target));
        }
    }

    /// The keys in the target that are the migration's own, and are there for good.
    fn marks(&self) -> Vec<String> {
        let mut marks = Vec::new();
        for server in self.target.primaries() {
            let mut connection = server.connection();
            for db in server.info("keyspace").keys() {
                redis::cmd("SELECT").arg(&db[2..]).exec(&mut connection).unwrap();
                let keys: Vec<Vec<u8>> = redis::cmd("KEYS").arg("rdts:*").query(&mut connection).unwrap();
                for key in keys {
                    let ttl: i64 = redis::cmd("TTL").arg(&key).query(&mut connection).unwrap();
                    let shown = format!("{db} {} expires in {ttl} s", key.escape_ascii());
                    // A command with keys in several slots that was cut off in the middle leaves its copies of values behind, for an
                    // hour at most; that is documented. They are nobody's data.
                    if key.starts_with(b"rdts:tmp:{") && (0..=3600).contains(&ttl) {
                        println!("left behind: {shown}");
                        redis::cmd("DEL").arg(&key).exec(&mut connection).unwrap();
                    } else {
                        marks.push(shown);
                    }
                }
            }
        }
        marks
    }
}

/// Kills it as a crash does. That it has ended before, by itself, is what no migration may do here.
pub(crate) fn crash(program: ChildProgram) {
    program.signal(Signal::Kill);
    let Finished { code, stdout, stderr, .. } = program.wait(LONG);
    // Why a copy was begun again, if it was.
    stderr.lines().filter(|line| line.starts_with("warning")).for_each(|line| println!("{line}"));
    assert_eq!(code, None, "it ended by itself\nstdout:\n{stdout}\nstderr:\n{stderr}");
}
