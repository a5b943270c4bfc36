//! Lanes of a simulated cluster: random histories of writes and moves, lags and interleavings. Whatever is applied must be
//! applied in the order in which the cluster executed it, for each key; or else there must be an error.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use super::board::{Board, place};
use super::moves::Crossing;
use super::view::{SlotSet, View};
use crate::error::{Error, ErrorKind};
use crate::record::{Batch, BatchBuilder, Kind, Mark, Position, ReplicationId};
use crate::slot::slot;

const NODES: usize = 3;
const KEYS: [&str; 6] = ["{a}1", "{a}2", "{b}1", "{b}2", "{c}1", "{c}2"];

struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 11).unwrap() % limit
    }
}

fn replid(node: usize) -> ReplicationId {
    node.to_string().repeat(40).parse().unwrap()
}

/// A cluster of nodes that execute commands and move slots key by key.
struct Cluster {
    owner: BTreeMap<u16, usize>,
    target: BTreeMap<u16, usize>,
    /// How often a slot may still move.
    moves: BTreeMap<u16, usize>,
    present: BTreeSet<(usize, &'static str)>,
    streams: Vec<VecDeque<(u64, Vec<String>)>>,
    epochs: Vec<u64>,
    offsets: Vec<u64>,
    truth: BTreeMap<String, Vec<String>>,
    executed: u64,
    /// Slots move to the last node alone.
    one_way: bool,
}

impl Cluster {
    fn new(moves: usize, one_way: bool) -> Self {
        let slots: BTreeSet<u16> = KEYS.iter().map(|key| slot(key.as_bytes())).collect();
        Self {
            owner: slots.iter().enumerate().map(|(index, slot)| (*slot, index % NODES)).collect(),
            target: BTreeMap::new(),
            moves: slots.iter().map(|slot| (*slot, moves)).collect(),
            present: BTreeSet::new(),
            streams: vec![VecDeque::new(); NODES],
            epochs: (1..).take(NODES).collect(),
            offsets: vec![0; NODES],
            truth: BTreeMap::new(),
            executed: 0,
            one_way,
        }
    }

    fn execute(&mut self, node: usize, words: &[&str]) {
        self.offsets[node] += 10;
        let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
        self.truth.entry(words[1].clone()).or_default().push(applied(&words));
        self.streams[node].push_back((self.offsets[node], words));
    }

    fn step(&mut self, random: &mut Random) {
        let key = KEYS[random.below(KEYS.len())];
        let number = slot(key.as_bytes());
        let owner = self.owner[&number];
        match (random.below(5), self.target.get(&number).copied()) {
            (0, None) if self.moves[&number] > 0 && !(self.one_way && owner == NODES - 1) => {
                *self.moves.get_mut(&number).unwrap() -= 1;
                let target = (owner + 1 + random.below(NODES - 1)) % NODES;
                self.target.insert(number, if self.one_way { NODES - 1 } else { target });
            }
            (0 | 1, Some(target)) => {
                let here = self.present.iter().find(|(node, key)| *node == owner && slot(key.as_bytes()) == number);
                if let Some((_, key)) = here.copied() {
                    self.present.remove(&(owner, key));
                    self.present.insert((target, key));
                    self.executed += 1;
                    let payload = self.executed.to_string();
                    self.execute(owner, &["DEL", key]);
                    self.execute(target, &["RESTORE-ASKING", key, "0", &payload]);
                } else {
                    self.target.remove(&number);
                    self.owner.insert(number, target);
                    let highest = self.epochs.iter().copied().max().unwrap();
                    if self.epochs[target] != highest {
                        self.epochs[target] = highest + 1;
                    }
                }
            }
            (choice, target) => {
                let node = target.filter(|_| !self.present.contains(&(owner, key))).unwrap_or(owner);
                self.executed += 1;
                let value = self.executed.to_string();
                if choice == 2 && self.present.remove(&(node, key)) {
                    self.execute(node, &["DEL", key]);
                } else if choice != 2 {
                    self.present.insert((node, key));
                    self.execute(node, &["SET", key, &value]);
                }
            }
        }
    }

    fn view(&self, node: usize) -> View {
        let set = |wanted: &dyn Fn(u16) -> bool| {
            let mut set = SlotSet::new();
            self.owner.keys().filter(|slot| wanted(**slot)).for_each(|slot| set.insert(*slot));
            set
        };
        let owns = |slot: u16| self.owner[&slot] == node;
        View {
            id: node.to_string(),
            replid: Some(replid(node)),
            offset: self.offsets[node],
            config_epoch: self.epochs[node],
            owned: set(&owns),
            migrating: set(&|slot| owns(slot) && self.target.contains_key(&slot)),
            importing: set(&|slot| self.target.get(&slot) == Some(&node)),
        }
    }

    /// What a lane reads next of a node's stream.
    fn read(&mut self, node: usize, count: usize) -> Option<Batch> {
        let count = count.min(self.streams[node].len());
        let mut out = BatchBuilder::new(64);
        let mut end = 0;
        for (offset, words) in self.streams[node].drain(..count) {
            let start = out.arena().len();
            rdts_resp::encode::command(out.arena(), &words);
            let text = String::from_utf8_lossy(&out.arena()[start..]).into_owned();
            let at = start + text.find(&format!("\n{}\r", words[1])).unwrap() + 1;
            out.commit(Mark::new(0, Kind::Write), Some(at..at + words[1].len()), offset);
            end = offset;
        }
        (count > 0).then(|| out.take(Position::stream(replid(node), end, 0)))
    }
}

/// A command as the target sees it.
fn applied(words: &[String]) -> String {
    words.join(" ").replace("RESTORE-ASKING", "RESTORE").replace(" REPLACE", "")
}

/// How a history ended that was not applied in a wrong order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ended {
    Exact,
    Refused,
    Stuck,
}

/// What makes histories different.
#[derive(Clone, Copy)]
struct History {
    moves: usize,
    one_way: bool,
    /// How often the cluster does something, nodes are asked, and lanes read and write, in comparison.
    cluster: usize,
    asked: usize,
    lanes: usize,
}

/// A question to a node that is under way: when it was asked, and the answer.
type Question = Option<(u64, Option<View>)>;

async fn run(seed: u64, kind: History) -> Ended {
    let mut random = Random(seed * 2_654_435_769 + 1);
    let mut cluster = Cluster::new(kind.moves, kind.one_way);
    let names = (0..NODES).map(|node| node.to_string()).collect();
    let board = Arc::new(Board::without_nodes(names, (0..NODES).map(|node| cluster.view(node)).collect()));
    for (node, lane) in board.lock().lanes.iter_mut().enumerate() {
        // The end of the snapshot.
        (lane.read, lane.passed, lane.applied) =
            (Some((replid(node), 0)), Some((replid(node), 0)), Some((replid(node), 0)));
    }
    let mut lanes: Vec<Crossing> = (0..NODES).map(|lane| Crossing::new(board.clone(), lane)).collect();
    let mut asked: Vec<Question> = (0..NODES).map(|_| None).collect();
    let mut wanted: BTreeSet<usize> = BTreeSet::new();
    let mut sinks: Vec<VecDeque<Batch>> = (0..NODES).map(|_| VecDeque::new()).collect();
    let mut seen: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let (mut steps, mut idle) = (120, 0);
    loop {
        let lane = random.below(NODES);
        let mut progress = false;
        match random.below(kind.cluster + 4 * kind.lanes + 2 + kind.asked) {
            choice if choice < kind.cluster => {
                if steps > 0 {
                    (0..random.below(6)).for_each(|_| cluster.step(&mut random));
                    steps -= 1;
                    progress = true;
                }
            }
            choice if choice < kind.cluster + kind.lanes => {
                if let Some(batch) = cluster.read(lane, 1 + random.below(4)) {
                    match lanes[lane].push(batch) {
                        Ok(batch) => sinks[lane].extend(batch),
                        Err(error) => return refused(&error),
                    }
                    progress = true;
                }
            }
            choice if choice < kind.cluster + 3 * kind.lanes => {
                match lanes[lane].advance() {
                    Ok(batch) => {
                        progress = batch.is_some();
                        sinks[lane].extend(batch);
                    }
                    Err(error) => return refused(&error),
                }
                wanted.extend(lanes[lane].take_wanted());
            }
            choice if choice < kind.cluster + 4 * kind.lanes => {
                if let Some(batch) = sinks[lane].pop_front() {
                    for command in batch.commands() {
                        let words: Vec<String> =
                            command.args().map(|arg| String::from_utf8_lossy(arg).into_owned()).collect();
                        seen.entry(words[1].clone()).or_default().push(applied(&words));
                    }
                    board.lock().lanes[lane].applied = place(batch.position());
                    progress = true;
                }
            }
            // A node is asked because it is time to, or somebody wants to know.
            choice => match &mut asked[lane] {
                None if choice < kind.cluster + 4 * kind.lanes + 2 && !wanted.remove(&lane) => {}
                question @ None => *question = Some((board.lock().tick(), None)),
                Some((_, view @ None)) => *view = Some(cluster.view(lane)),
                Some((_, Some(_))) => {
                    if let Some((time, Some(view))) = asked[lane].take() {
                        board.sampled(lane, time, view);
                    }
                }
            },
        }
        idle = if progress { 0 } else { idle + 1 };
        let done = steps == 0
            && cluster.streams.iter().all(VecDeque::is_empty)
            && lanes.iter().all(Crossing::is_empty)
            && sinks.iter().all(VecDeque::is_empty);
        if done {
            assert_eq!(seen, cluster.truth, "seed {seed}");
            return Ended::Exact;
        }
        if idle == 5000 {
            // Whatever has waited for so long gives up.
            tokio::time::advance(std::time::Duration::from_secs(70)).await;
        }
        if idle > 10_000 {
            return Ended::Stuck;
        }
    }
}

fn refused(error: &Error) -> Ended {
    assert_eq!(error.kind(), ErrorKind::Topology, "{error}");
    Ended::Refused
}

/// How many of the histories ended how: exact, refused. None may get stuck.
async fn count(seeds: std::ops::Range<u64>, kind: History) -> (usize, usize) {
    let (mut exact, mut refused) = (0, 0);
    for seed in seeds {
        match run(seed, kind).await {
            Ended::Exact => exact += 1,
            Ended::Refused => refused += 1,
            Ended::Stuck => panic!("seed {seed}: the lanes wait for each other"),
        }
    }
    (exact, refused)
}

fn many() -> u64 {
    std::env::var("RDTS_FLEET_SEEDS").ok().and_then(|seeds| seeds.parse().ok()).unwrap_or(5)
}

#[tokio::test(start_paused = true)]
async fn slots_that_move_once_are_followed_exactly() {
    let kind = History { moves: 1, cluster: 1, asked: 1, lanes: 1, one_way: true };
    let (exact, refused) = count(0..many(), kind).await;
    println!("once: {exact} exact, {refused} refused");
    assert_eq!(refused, 0);
}

#[tokio::test(start_paused = true)]
async fn slots_that_move_to_and_fro_are_followed_exactly_or_refused() {
    for moves in [2, 5] {
        for (cluster, asked, lanes) in [(1, 1, 1), (1, 20, 3), (6, 40, 1)] {
            let (exact, refused) = count(0..many(), History { moves, cluster, asked, lanes, one_way: false }).await;
            println!("{moves} moves, {cluster}:{asked}:{lanes}: {exact} exact, {refused} refused");
        }
    }
}
