//! `seeds FOLDER`: writes the seeds of each target to FOLDER/TARGET/.

use std::path::Path;

fn main() -> std::io::Result<()> {
    let folder = std::env::args_os().nth(1).expect("a folder to write to");
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("../rdts-rdb/tests/data");
    let mut seeds = rdts_fuzz::rdb::seeds(&data, 20_000);
    seeds.append(&mut rdts_fuzz::resp::seeds());
    for (target, name, bytes) in seeds {
        let folder = Path::new(&folder).join(target);
        std::fs::create_dir_all(&folder)?;
        std::fs::write(folder.join(name), bytes)?;
    }
    Ok(())
}
