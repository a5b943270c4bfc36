//! Lanes of a simulated cluster: random histories of writes and moves, lags and interleavings. Whatever is applied must be
//! applied in the order in which the cluster executed it, for each key.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use super::board::{Board, place};
use super::moves::{Crossing, Moment};
use super::view::{SlotSet, View};
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
    offsets: Vec<u64>,
    truth: BTreeMap<String, Vec<String>>,
    executed: u64,
}

impl Cluster {
    fn new(moves: usize) -> Self {
        let slots: BTreeSet<u16> = KEYS.iter().map(|key| slot(key.as_bytes())).collect();
        Self {
            owner: slots.iter().enumerate().map(|(index, slot)| (*slot, index % NODES)).collect(),
            target: BTreeMap::new(),
            moves: slots.iter().map(|slot| (*slot, moves)).collect(),
            present: BTreeSet::new(),
            streams: vec![VecDeque::new(); NODES],
            offsets: vec![0; NODES],
            truth: BTreeMap::new(),
            executed: 0,
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
            (0, None) if self.moves[&number] > 0 => {
                *self.moves.get_mut(&number).unwrap() -= 1;
                self.target.insert(number, (owner + 1 + random.below(NODES - 1)) % NODES);
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

    fn view(&self, node: usize) -> Arc<View> {
        let set = |wanted: &dyn Fn(u16) -> bool| {
            let mut set = SlotSet::new();
            self.owner.keys().filter(|slot| wanted(**slot)).for_each(|slot| set.insert(*slot));
            set
        };
        let owns = |slot: u16| self.owner[&slot] == node;
        Arc::new(View {
            id: node.to_string(),
            replid: Some(replid(node)),
            offset: self.offsets[node],
            owned: set(&owns),
            migrating: set(&|slot| owns(slot) && self.target.contains_key(&slot)),
            importing: set(&|slot| self.target.get(&slot) == Some(&node)),
        })
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

/// Runs one history. `None`: the lanes could not go on.
fn run(seed: u64, moves: usize) -> Option<()> {
    let mut random = Random(seed * 2_654_435_769 + 1);
    let mut cluster = Cluster::new(moves);
    let names = (0..NODES).map(|node| node.to_string()).collect();
    let owner = cluster.owner.clone();
    let board = Arc::new(Board::without_nodes(names, |slot| Some(owner.get(&slot).copied().unwrap_or(0))));
    for (node, lane) in board.lock().lanes.iter_mut().enumerate() {
        // The end of the snapshot.
        (lane.read, lane.passed, lane.applied) =
            (Some((replid(node), 0)), Some((replid(node), 0)), Some((replid(node), 0)));
    }
    let mut lanes: Vec<Crossing> = (0..NODES).map(|lane| Crossing::new(board.clone(), lane)).collect();
    let mut asked: Vec<Vec<(usize, Moment)>> = vec![Vec::new(); NODES];
    let mut sinks: Vec<VecDeque<Batch>> = (0..NODES).map(|_| VecDeque::new()).collect();
    let mut seen: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut steps = 300;
    let mut idle = 0;
    loop {
        let lane = random.below(NODES);
        let mut progress = false;
        match random.below(5) {
            0 if steps > 0 => {
                (0..random.below(6)).for_each(|_| cluster.step(&mut random));
                steps -= 1;
                progress = true;
            }
            1 => {
                if let Some(batch) = cluster.read(lane, 1 + random.below(4)) {
                    sinks[lane].extend(lanes[lane].push(batch).unwrap());
                    progress = true;
                }
            }
            2 if !lanes[lane].is_empty() => {
                let Ok(advanced) = lanes[lane].advance() else { return None };
                if let Some(batch) = advanced {
                    sinks[lane].push_back(batch);
                    progress = true;
                }
                let (wanted, moment) = lanes[lane].take_wanted();
                asked[lane].extend(wanted.into_iter().map(|node| (node, moment)));
            }
            3 => {
                for (node, moment) in asked[lane].drain(..) {
                    lanes[lane].answer(node, moment, cluster.view(node));
                }
            }
            _ => {
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
        }
        idle = if progress { 0 } else { idle + 1 };
        let done = steps == 0
            && cluster.streams.iter().all(VecDeque::is_empty)
            && lanes.iter().all(Crossing::is_empty)
            && sinks.iter().all(VecDeque::is_empty);
        if done {
            assert_eq!(seen, cluster.truth, "seed {seed}");
            return Some(());
        }
        if idle > 5000 {
            return None;
        }
    }
}

#[test]
fn slots_that_move_once_are_followed_exactly() {
    for seed in 0..300 {
        assert!(run(seed, 1).is_some(), "seed {seed}: the lanes wait for each other");
    }
}
