//! `rdts-rdb-bench DIR` generates the files A, B and C in DIR (once) and measures every parser on each, in a process of its own:
//! CPU seconds, wall seconds, peak memory. `rdts-rdb-bench count DIR` counts instructions per item, which no other work on the machine disturbs.

use std::path::{Path, PathBuf};
use std::process::Command;

use rdts_rdb_bench::{generate, parsers};

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    match args[..] {
        ["run", parser, path] => parsers::run(parser, Path::new(path)),
        ["count", dir] => count(Path::new(dir)),
        [dir] => measure(Path::new(dir), 5),
        [dir, runs] => measure(Path::new(dir), runs.parse().expect("a number of runs")),
        _ => {
            eprintln!("usage: rdts-rdb-bench DIR [RUNS] | count DIR | run PARSER FILE");
            std::process::exit(2);
        }
    }
}

/// Measures each parser `runs` times and reports the CPU seconds in order: the least is what the machine's other work disturbs least. The
/// parsers take turns, so that what disturbs one disturbs all.
fn measure(dir: &Path, runs: usize) {
    let exe = std::env::current_exe().expect("this program has a path");
    println!("{:<4} {:<22} {:>8} {:>8} {:>8} {:>9}", "file", "parser", "min s", "median s", "max s", "peak MiB");
    for name in ["A", "B", "C"] {
        let path: PathBuf = dir.join(format!("{name}.rdb"));
        if !path.exists() {
            generate::file(name, 1, &path).expect("the folder can be written to");
        }
        let mut results: Vec<(Vec<f64>, f64)> = vec![(Vec::new(), 0.0); parsers::NAMES.len()];
        for _ in 0..runs {
            for (parser, (seconds, peak)) in parsers::NAMES.iter().zip(&mut results) {
                let output =
                    Command::new(&exe).arg("run").arg(parser).arg(&path).output().expect("this program can be run");
                let text = String::from_utf8_lossy(&output.stdout);
                // Some parsers write a log as well.
                let result = text.lines().find_map(|line| line.strip_prefix("RESULT ")).unwrap_or("");
                let numbers: Vec<f64> = result.split_whitespace().filter_map(|n| n.parse().ok()).collect();
                let [cpu, _, mib] = numbers[..] else {
                    println!("{name:<4} {parser:<22} failed: {}", String::from_utf8_lossy(&output.stderr));
                    continue;
                };
                seconds.push(cpu);
                *peak = peak.max(mib);
            }
        }
        for (parser, (seconds, peak)) in parsers::NAMES.iter().zip(&mut results) {
            seconds.sort_by(f64::total_cmp);
            let (Some(least), Some(most)) = (seconds.first(), seconds.last()) else { continue };
            let median = seconds[seconds.len() / 2];
            println!("{name:<4} {parser:<22} {least:>8.3} {median:>8.3} {most:>8.3} {peak:>9.1}");
        }
    }
}

/// Counts instructions with valgrind's callgrind on two sizes of each file; the difference is what the items cost, without start and end.
fn count(dir: &Path) {
    let exe = std::env::current_exe().expect("this program has a path");
    println!("{:<4} {:<22} {:>12}", "file", "parser", "per item");
    for name in ["A", "B", "C"] {
        let paths = [200, 100].map(|share| {
            let path: PathBuf = dir.join(format!("{name}-{share}.rdb"));
            generate::file(name, share, &path).expect("the folder can be written to");
            (path, generate::items(name, share) as f64)
        });
        for parser in parsers::NAMES {
            let [few, many] = paths.each_ref().map(|(path, _)| instructions(&exe, parser, path));
            match (few, many) {
                (Some(few), Some(many)) => {
                    println!("{name:<4} {parser:<22} {:>12.1}", (many - few) / (paths[1].1 - paths[0].1));
                }
                _ => println!("{name:<4} {parser:<22} failed"),
            }
        }
    }
}

fn instructions(exe: &Path, parser: &str, path: &Path) -> Option<f64> {
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(exe)
        .args(["run", parser])
        .arg(path)
        .output()
        .expect("valgrind is installed");
    let text = String::from_utf8_lossy(&output.stderr);
    let collected = text.lines().find_map(|line| line.split_once("Collected :"))?.1;
    if output.status.success() { collected.trim().parse().ok() } else { None }
}
