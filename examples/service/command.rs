//! What the service is told.

use std::sync::Arc;

use rdts_core::task::{Spec, Task, TaskId, TaskManager};
use rdts_core::{Error, ErrorKind, Result};
use rdts_examples::migration::Deployments;
use serde::Deserialize;
use serde_json::{Value, json};

/// A command: the calls of a [`TaskManager`], by their names.
#[derive(Debug, Deserialize)]
#[serde(tag = "do", rename_all = "camelCase", deny_unknown_fields)]
enum Command {
    Create { id: TaskId, spec: Spec },
    Modify { id: TaskId, spec: Spec },
    Start { id: TaskId },
    Migrate { id: TaskId },
    Remigrate { id: TaskId },
    Pause { id: TaskId },
    Resume { id: TaskId },
    Finish { id: TaskId },
    Cancel { id: TaskId },
    Delete { id: TaskId },
    Clients { id: TaskId, count: u32 },
    Redirected { id: TaskId },
    Get { id: TaskId },
    Progress { id: TaskId },
    Watch { id: TaskId },
    List,
}

/// Executes a line of input, and gives the line that is the answer.
pub(super) fn execute(manager: &Arc<TaskManager<Deployments>>, line: &str) -> Value {
    let nonsense = |error: serde_json::Error| Error::new(ErrorKind::Config, "is no command").with_source(error);
    let command: Result<Command> = serde_json::from_str(line).map_err(nonsense);
    let value: Value = serde_json::from_str(line).unwrap_or_default();
    let to = json!({ "do": value["do"], "id": value["id"] });
    match command.and_then(|command| command.execute(manager)) {
        Ok(answer) => json!({ "event": "reply", "to": to, "ok": true, "answer": answer }),
        Err(error) => json!({
            "event": "reply", "to": to, "ok": false, "kind": format!("{:?}", error.kind()), "error": error.to_string(),
            "solution": error.solution(),
        }),
    }
}

/// A task as it may be shown.
pub(super) fn shown(task: &Task) -> Value {
    let mut task = task.clone();
    task.spec = task.spec.redacted();
    json!(task)
}

impl Command {
    fn execute(self, manager: &Arc<TaskManager<Deployments>>) -> Result<Value> {
        let task = match self {
            Self::List => return Ok(manager.tasks().iter().map(shown).collect()),
            Self::Progress { id } => return Ok(json!(manager.progress(&id)?)),
            Self::Watch { id } => return watch(manager, id),
            Self::Create { id, spec } => manager.create(id, spec),
            Self::Modify { id, spec } => manager.modify(&id, spec),
            Self::Start { id } => manager.start(&id),
            Self::Migrate { id } => manager.migrate(&id),
            Self::Remigrate { id } => manager.remigrate(&id),
            Self::Pause { id } => manager.pause(&id),
            Self::Resume { id } => manager.resume(&id),
            Self::Finish { id } => manager.finish(&id),
            Self::Cancel { id } => manager.cancel(&id),
            Self::Delete { id } => manager.delete(&id),
            Self::Clients { id, count } => manager.clients_via_proxy(&id, count),
            Self::Redirected { id } => manager.redirected(&id),
            Self::Get { id } => manager.get(&id),
        };
        Ok(shown(&task?))
    }
}

/// Shows how far a migration is, about once a second, until it ends.
fn watch(manager: &TaskManager<Deployments>, id: TaskId) -> Result<Value> {
    let mut updates = manager.updates(&id)?;
    let first = json!(updates.latest());
    tokio::spawn(async move {
        while let Some(progress) = updates.next().await {
            crate::say(&json!({ "event": "progress", "id": id, "progress": progress }));
        }
    });
    Ok(first)
}
