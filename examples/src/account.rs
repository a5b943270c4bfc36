//! What became of all that was read, as JSON.

use rdts_core::ledger::Ledger;
use rdts_core::translate::{LossKind, LostOfKind};
use serde_json::{Value, json};

/// What became of every key and command that was read.
pub fn json(ledger: &Ledger) -> Value {
    let (intake, counts) = (ledger.intake, ledger.counts);
    let lost = LossKind::ALL.map(|kind| (kind.name(), intake.lost.of(kind)));
    let lost = lost.into_iter().filter(|(_, lost)| *lost != Default::default());
    let shown = |lost: LostOfKind| json!({ "keys": lost.keys, "commands": lost.commands, "parts": lost.parts });
    let lost: serde_json::Map<String, Value> = lost.map(|(name, lost)| (name.to_owned(), shown(lost))).collect();
    json!({
        "keys": {
            "read": intake.keys,
            "done": ledger.keys,
            "kept": counts.kept,
            "left_out": {
                "expired": intake.expired,
                "empty": intake.empty,
                "other_databases": intake.keys_of_other_dbs,
                "filtered": intake.filtered_keys,
                "other_shards": intake.keys_elsewhere,
                "not_in_target": intake.lost.keys(),
            },
            "on_their_way": ledger.keys_on_their_way(),
        },
        "commands": {
            "read": intake.commands,
            "rewritten": intake.rewritten,
            "done": ledger.writes,
            "script_errors": counts.script_errors,
            "impossible": counts.impossible,
            "left_out": {
                "messages": intake.messages,
                "functions": intake.function_changes,
                "slot_moves": intake.cluster,
                "other_databases": intake.commands_of_other_dbs,
                "filtered": intake.filtered_commands,
                "other_shards": intake.elsewhere,
                "without_effect": intake.without_effect,
                "not_in_target": intake.lost.commands(),
            },
            "on_their_way": ledger.commands_on_their_way(),
        },
        "left_out": { "functions": intake.functions, "module_data": intake.module_aux, "parts": intake.lost.parts() },
        "lost": lost,
        "balanced": ledger.is_balanced(),
    })
}
