//! The machine against its table, and the table against the documentation.

use std::collections::{BTreeSet, VecDeque};
use std::fmt::Write;

use proptest::prelude::*;

use super::*;
use crate::ErrorKind;

fn failure(kind: ErrorKind) -> Failure {
    Failure::new(kind, "what happened")
}

/// One event of each kind, and two of those whose content decides.
fn events() -> Vec<Event> {
    let (lost, wrong) = (failure(ErrorKind::Disconnected), failure(ErrorKind::Rejected));
    vec![
        Event::Modify(Spec::new("c", "d")),
        Event::Validated(vec!["a warning".to_owned()]),
        Event::Refused(failure(ErrorKind::Auth)),
        Event::NotValidated(failure(ErrorKind::Io)),
        Event::Start,
        Event::Started,
        Event::NotStarted(failure(ErrorKind::Connect)),
        Event::Migrate(1),
        Event::Remigrate(2),
        Event::Pause,
        Event::Resume,
        Event::Ready,
        Event::Redirected,
        Event::Finish,
        Event::Finished,
        Event::Cancel,
        Event::Broke(lost),
        Event::Broke(wrong),
        Event::TimedOut(failure(ErrorKind::Timeout)),
        Event::Clients(0),
        Event::Clients(3),
        Event::Delete,
        Event::NotDeleted(failure(ErrorKind::Io)),
    ]
}

fn new() -> Task {
    Task::new(TaskId::new("t").unwrap(), Spec::new("a", "b"))
}

fn is_in_table(from: State, event: &Event, to: State) -> bool {
    TRANSITIONS.iter().any(|line| line.event == event.name() && line.from.contains(&from) && line.to.contains(&to))
}

/// What holds for every task, however it came there.
fn check(task: &Task) {
    let text = serde_json::to_string(task).unwrap();
    assert_eq!(serde_json::from_str::<Task>(&text).unwrap(), *task);
    assert!(text.contains(&format!("\"state\":\"{}\"", task.state)), "{text}");
    if task.state != State::Deleting {
        assert_eq!(task.state.is_failure(), task.failure.is_some(), "{task:?}");
    }
    let steps = task.steps;
    let migrating = task.state == State::Migrating;
    assert!(migrating || (!task.paused && !task.finishing), "{task:?}");
    assert_eq!(
        steps.migrate_and_check == StepStatus::Running,
        migrating && steps.migrate_and_check != StepStatus::Success
    );
    assert_eq!(steps.migrate_finish == StepStatus::Running, migrating && task.finishing, "{task:?}");
    assert!(task.state != State::Migrated || steps.migrate_finish == StepStatus::Success, "{task:?}");
    if task.clients > 0 {
        assert_eq!(steps.client_flow_in_proxy, StepStatus::Running, "{task:?}");
        assert_ne!(task.state, State::Deleting);
    }
}

/// Every task that can be, with what distinguishes it for the machine.
fn all_tasks() -> Vec<Task> {
    let (mut seen, mut queue) = (BTreeSet::new(), VecDeque::from([new()]));
    let mut tasks = Vec::new();
    while let Some(task) = queue.pop_front() {
        if !seen.insert(serde_json::to_string(&task).unwrap()) {
            continue;
        }
        for event in events() {
            let mut next = task.clone();
            if next.apply(event).is_ok() {
                queue.push_back(next);
            }
        }
        tasks.push(task);
    }
    tasks
}

#[test]
fn what_happens_is_in_the_table_and_what_is_in_the_table_happens() {
    let mut met = BTreeSet::new();
    let tasks = all_tasks();
    for task in &tasks {
        check(task);
        for event in events() {
            let mut next = task.clone();
            match next.apply(event.clone()) {
                Ok(()) => {
                    assert!(
                        is_in_table(task.state, &event, next.state),
                        "{} {} {}",
                        task.state,
                        event.name(),
                        next.state
                    );
                    met.insert((task.state, event.name(), next.state));
                }
                Err(refused) => {
                    assert_eq!(next, *task, "what is refused changes nothing");
                    assert_eq!((refused.state, refused.event), (task.state, event.name()));
                    let text = crate::Error::from(refused.clone()).to_string();
                    assert!(text.contains(event.name()) && text.contains(task.state.name()), "{text}");
                    let known =
                        TRANSITIONS.iter().any(|line| line.event == event.name() && line.from.contains(&task.state));
                    assert_eq!(
                        refused.reason.is_some() && known,
                        known,
                        "{text}: in the table, and refused without a reason"
                    );
                }
            }
        }
    }
    for line in TRANSITIONS {
        for from in line.from {
            for to in line.to {
                assert!(met.contains(&(*from, line.event, *to)), "{from} {} {to} never happens", line.event);
            }
        }
    }
    let states: BTreeSet<State> = tasks.iter().map(|task| task.state).collect();
    assert_eq!(states, BTreeSet::from(State::ALL));
}

#[test]
fn names_are_those_that_are_serialised() {
    for state in State::ALL {
        assert_eq!(serde_json::to_value(state).unwrap(), state.name());
    }
    let steps = serde_json::to_value(Steps::default()).unwrap();
    let names: BTreeSet<&str> = steps.as_object().unwrap().keys().map(String::as_str).collect();
    let expected = [
        "clientFlowInSource",
        "clientFlowInProxy",
        "migrateAndCheck",
        "clientFlowRedirect",
        "clientFlowInTarget",
        "migrateFinish",
    ];
    assert_eq!(names, BTreeSet::from(expected));
    for (status, name) in [
        (StepStatus::Init, "init"),
        (StepStatus::Running, "running"),
        (StepStatus::Success, "success"),
        (StepStatus::Fail, "fail"),
    ] {
        assert_eq!(serde_json::to_value(status).unwrap(), name);
    }
}

#[test]
fn the_documentation_shows_the_table() {
    let mut table = String::from("| state | event | by | next state |\n|---|---|---|---|\n");
    let list = |states: &[State]| states.iter().map(|state| format!("`{state}`")).collect::<Vec<_>>().join(", ");
    for line in TRANSITIONS {
        writeln!(table, "| {} | `{}` | {} | {} |", list(line.from), line.event, line.by, list(line.to)).unwrap();
    }
    let module = include_str!("../../task.rs").replace("//! ", "");
    let guide = include_str!("../../../../docs/tasks.md");
    for (name, text) in [("task.rs", module.as_str()), ("docs/tasks.md", guide)] {
        assert!(text.contains(&table), "{name} has to show this:\n{table}");
    }
}

#[test]
fn a_migration_by_way_of_a_proxy() {
    use StepStatus::{Init, Running, Success};
    let mut task = new();
    let mut go = |event: Event| {
        task.apply(event).unwrap();
        let steps = task.steps;
        [
            steps.client_flow_in_source,
            steps.client_flow_in_proxy,
            steps.migrate_and_check,
            steps.client_flow_redirect,
            steps.client_flow_in_target,
            steps.migrate_finish,
        ]
    };
    assert_eq!(go(Event::Validated(vec![])), [Running, Init, Init, Init, Init, Init]);
    go(Event::Start);
    go(Event::Started);
    assert_eq!(go(Event::Clients(5)), [Success, Running, Init, Init, Init, Init]);
    assert_eq!(go(Event::Migrate(0)), [Success, Running, Running, Init, Init, Init]);
    assert_eq!(go(Event::Ready), [Success, Running, Success, Init, Init, Init]);
    assert_eq!(go(Event::Redirected), [Success, Running, Success, Success, Init, Init]);
    assert_eq!(go(Event::Finish), [Success, Running, Success, Success, Init, Running]);
    assert_eq!(go(Event::Finished), [Success, Running, Success, Success, Running, Success]);
    assert_eq!(go(Event::Clients(0)), [Success, Success, Success, Success, Success, Success]);
    go(Event::Delete);
}

#[test]
fn nothing_is_deleted_under_clients_and_nothing_finished_before_they_are_led_away() {
    let mut task = new();
    for event in [Event::Validated(vec![]), Event::Start, Event::Started, Event::Clients(1)] {
        task.apply(event).unwrap();
    }
    let refused = |task: &mut Task, event: Event| task.apply(event).unwrap_err().reason.unwrap_or("");
    assert!(refused(&mut task, Event::Delete).contains("clients"));
    task.apply(Event::Migrate(0)).unwrap();
    assert!(refused(&mut task, Event::Finish).contains("led to the target"));
    assert!(refused(&mut task, Event::Redirected).contains("up to date"));
    task.apply(Event::Broke(failure(ErrorKind::Rejected))).unwrap();
    assert_eq!((task.state, task.steps.migrate_and_check), (State::MigrateFailed, StepStatus::Fail));
    assert!(refused(&mut task, Event::Delete).contains("clients"));
    task.apply(Event::Clients(0)).unwrap();
    task.apply(Event::Delete).unwrap();
}

proptest! {
    #[test]
    fn no_events_lead_out_of_the_table(chosen in proptest::collection::vec(0..23_usize, 0..60)) {
        let events = events();
        prop_assert_eq!(events.len(), 23);
        let mut task = new();
        for index in chosen {
            let (before, event) = (task.clone(), &events[index]);
            match task.apply(event.clone()) {
                Ok(()) => prop_assert!(is_in_table(before.state, event, task.state)),
                Err(_) => prop_assert_eq!(&task, &before),
            }
            check(&task);
        }
    }
}
