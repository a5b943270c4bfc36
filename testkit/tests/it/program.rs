use std::path::Path;
use std::time::Duration;

use rdts_testkit::{ChildProgram, Signal};

const SOON: Duration = Duration::from_secs(20);

fn shell(script: &str) -> ChildProgram {
    ChildProgram::start(Path::new("/bin/sh"), &["-c", script])
}

#[test]
fn output_status_and_costs_are_told() {
    // A megabyte in a variable, and a loop that takes some CPU.
    let script = "a=x; while [ ${#a} -lt 1000000 ]; do a=$a$a; done; i=0; while [ $i -lt 100000 ]; do i=$((i+1)); done; \
                  echo out; echo err >&2; exit 7";
    let finished = shell(script).wait(SOON);
    assert_eq!((finished.code, &*finished.stdout, &*finished.stderr), (Some(7), "out\n", "err\n"));
    let cost = finished.cost;
    assert!(cost.peak_memory > 1_000_000 && cost.peak_memory < 100_000_000, "{cost:?}");
    assert!(cost.cpu_seconds > 0.0 && cost.cpu_seconds <= cost.wall.as_secs_f64() + 0.1, "{cost:?}");
}

#[test]
fn a_signal_reaches_it_once_it_says_that_it_is_ready() {
    // Not INT: a shell that was started in the background may not trap that.
    let program = shell("trap 'echo bye; exit 3' TERM; echo ready; while :; do sleep 0.01; done");
    assert_eq!(program.wait_for_stdout(SOON, |line| line.starts_with("rea")), "ready");
    program.signal(Signal::Term);
    let finished = program.wait(SOON);
    assert_eq!((finished.code, &*finished.stdout), (Some(3), "ready\nbye\n"));
}

#[test]
fn a_program_that_is_killed_has_no_status() {
    let program = shell("echo up >&2; exec sleep 600");
    program.wait_for_stderr(SOON, |line| line == "up");
    program.signal(Signal::Kill);
    assert_eq!(program.wait(SOON).code, None);
}

#[test]
#[should_panic(expected = "did not end within")]
fn a_program_that_goes_on_fails_the_test() {
    let _ = shell("exec sleep 600").wait(Duration::from_millis(50));
}

#[test]
#[should_panic(expected = "no such line on stdout")]
fn a_line_that_never_comes_fails_the_test() {
    shell("echo other").wait_for_stdout(SOON, |line| line == "this");
}

#[test]
#[should_panic(expected = "build it with `cargo build")]
fn an_example_that_was_not_built_fails_the_test() {
    let _ = ChildProgram::example("no-such-example", &["--help"]);
}
