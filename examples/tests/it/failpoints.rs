//! The migration dies at each of the places between reading and acknowledging. Needs the feature `failpoints`, in the program as well:
//! `cargo test -p rdts-examples --features failpoints`.

use rdts_core::failpoint;
use rdts_testkit::{Cluster, Rng};

use crate::crash::trial::{Place, Trial, server};
use crate::support::LONG;

/// Dies everywhere a few times, and is exact in the end.
fn dies_everywhere(source: Place, target: Place, seed: u64) {
    let mut rng = Rng::new(seed);
    let mut trial = Trial::new(source, target, 1_000, seed);
    trial.more = ["--on-lost", "restart"].map(str::to_owned).to_vec();
    let mut places: Vec<String> = Vec::new();
    for name in failpoint::NAMES {
        // The last one comes five times a second at most.
        let often = if name == "pipeline.acknowledged" { 3 } else { 40 };
        places.extend([1, rng.between(2, often)].map(|time| format!("{name}:{time}")));
    }
    for end in (1..places.len()).rev() {
        places.swap(end, usize::try_from(rng.below(end as u64 + 1)).unwrap());
    }
    println!("seed {seed}: {places:?}");
    for place in places {
        trial.under = vec!["env".to_owned(), format!("RDTS_FAILPOINT={place}")];
        let finished = trial.start(&[]).wait(LONG);
        let said = finished.stderr.lines().any(|line| line == format!("failpoint {place}"));
        let (code, out, err) = (finished.code, finished.stdout, finished.stderr);
        assert!(code.is_none() && said, "it did not die at {place}: was it built with the feature?\n{out}\n{err}");
    }
    trial.under.clear();
    trial.finish();
    println!("{} full syncs", trial.full_syncs());
}

#[test]
fn a_server() {
    dies_everywhere(server("redis-7.0"), server("redis-7.0"), 800);
}

#[test]
fn a_cluster() {
    dies_everywhere(server("redis-7.0"), Place::Cluster(Cluster::start("redis-7.0", 3)), 810);
}
