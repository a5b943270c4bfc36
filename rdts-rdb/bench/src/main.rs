//! `rdts-rdb-bench DIR` generates the files A, B and C in DIR (once) and measures every parser on each, in a process of its own:
//! CPU seconds, wall seconds, peak memory.

mod generate;
mod parsers;
#[cfg(feature = "peers")]
mod peers;

use std::path::{Path, PathBuf};
use std::process::Command;

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    match args[..] {
        ["run", parser, path] => parsers::run(parser, Path::new(path)),
        [dir] => measure(Path::new(dir), 5),
        [dir, runs] => measure(Path::new(dir), runs.parse().expect("a number of runs")),
        _ => {
            eprintln!("usage: rdts-rdb-bench DIR [RUNS] | run PARSER FILE");
            std::process::exit(2);
        }
    }
}

/// Measures each parser `runs` times and reports the least, which is what the machine's other work disturbs least.
fn measure(dir: &Path, runs: u32) {
    let exe = std::env::current_exe().expect("this program has a path");
    println!("{:<4} {:<26} {:>8} {:>8} {:>9}", "file", "parser", "cpu s", "wall s", "peak MiB");
    for name in ["A", "B", "C"] {
        let path: PathBuf = dir.join(format!("{name}.rdb"));
        if !path.exists() {
            generate::file(name, &path).expect("the folder can be written to");
        }
        for parser in parsers::NAMES {
            let mut best: Option<(f64, f64, f64)> = None;
            for _ in 0..runs {
                let output =
                    Command::new(&exe).arg("run").arg(parser).arg(&path).output().expect("this program can be run");
                let text = String::from_utf8_lossy(&output.stdout);
                // Some parsers write a log as well.
                let result = text.lines().find_map(|line| line.strip_prefix("RESULT ")).unwrap_or("");
                let numbers: Vec<f64> = result.split_whitespace().filter_map(|n| n.parse().ok()).collect();
                let [cpu, wall, peak] = numbers[..] else {
                    println!("{name:<4} {parser:<26} failed: {}", String::from_utf8_lossy(&output.stderr));
                    break;
                };
                if best.is_none_or(|(least, ..)| cpu < least) {
                    best = Some((cpu, wall, peak));
                }
            }
            if let Some((cpu, wall, peak)) = best {
                println!("{name:<4} {parser:<26} {cpu:>8.3} {wall:>8.3} {peak:>9.1}");
            }
        }
    }
}
