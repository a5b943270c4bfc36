//! The fuzz targets over their seeds and over what fuzzing has found, as ordinary tests.

#[allow(unreachable_pub, reason = "they are public in the crate of the fuzz targets")]
#[path = "../../../fuzz/src/resp.rs"]
mod targets;

use std::path::Path;

#[test]
fn every_fuzz_target_takes_its_seeds() {
    let seeds = targets::seeds();
    for (name, target) in targets::TARGETS {
        let mut inputs: Vec<Vec<u8>> =
            seeds.iter().filter(|seed| seed.0 == name).map(|(_, _, bytes)| bytes.clone()).collect();
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/regressions").join(name);
        for entry in std::fs::read_dir(folder).into_iter().flatten() {
            inputs.push(std::fs::read(entry.unwrap().path()).unwrap());
        }
        assert!(inputs.len() > 20, "{name} has {} seeds", inputs.len());
        for input in &inputs {
            target(input);
        }
    }
}
