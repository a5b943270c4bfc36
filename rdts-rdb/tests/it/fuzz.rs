//! The fuzz targets over their seeds and over what fuzzing has found, as ordinary tests.

#[allow(unreachable_pub, reason = "they are public in the crate of the fuzz targets")]
#[path = "../../../fuzz/src/rdb.rs"]
mod targets;

use std::path::Path;

use crate::files;

/// What each target is given: its seeds, and the inputs on which it failed once.
fn inputs(target: &str, seeds: &[targets::Seed]) -> Vec<(String, Vec<u8>)> {
    let mut inputs: Vec<(String, Vec<u8>)> =
        seeds.iter().filter(|seed| seed.0 == target).map(|(_, name, bytes)| (name.clone(), bytes.clone())).collect();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/regressions").join(target);
    for entry in std::fs::read_dir(folder).into_iter().flatten() {
        let path = entry.unwrap().path();
        inputs.push((path.display().to_string(), std::fs::read(&path).unwrap()));
    }
    inputs
}

#[test]
fn every_fuzz_target_takes_its_seeds() {
    let seeds = targets::seeds(&files::data(), 3000);
    for (name, target) in targets::TARGETS {
        let inputs = inputs(name, &seeds);
        assert!(inputs.len() > 20, "{name} has {} seeds", inputs.len());
        files::in_parallel(&inputs, |(input, bytes)| {
            let result = std::panic::catch_unwind(|| target(bytes));
            assert!(result.is_ok(), "{name} fails on {input}");
        });
    }
}
