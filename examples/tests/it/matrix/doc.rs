//! docs/compatibility.md: what of it is made by tests.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::PathBuf;

use super::SERVERS;
use super::pair::Outcome;

/// The kinds of loss that can come up, and their letters in the table.
const LETTERS: [(&str, char); 3] = [("functions", 'f'), ("hash-field-expiry", 'h'), ("streams", 's')];

pub(super) fn letter(kind: &str) -> char {
    LETTERS.iter().find(|(name, _)| *name == kind).map(|(_, letter)| *letter).unwrap()
}

fn path() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../docs/compatibility.md")
}

/// The table of pairs: a row for each source, a column for each target.
pub(super) fn table(outcomes: &BTreeMap<(&str, &str), Outcome>) -> String {
    let mut text = String::from("| from \\ to |");
    let short = |name: &str| name.replace("redis-", "").replace("valkey-", "V").replace("-stack", "");
    SERVERS.iter().for_each(|to| write!(text, " {} |", short(to)).unwrap());
    text.push_str("\n|---|");
    text.push_str(&"---|".repeat(SERVERS.len()));
    for from in SERVERS {
        write!(text, "\n| **{}** |", short(from)).unwrap();
        SERVERS.iter().for_each(|to| write!(text, " {} |", outcomes[&(from, *to)]).unwrap());
    }
    text.push('\n');
    text
}

/// The rules of the library, as a table.
fn rules() -> String {
    let mut text = String::from("| command | since Redis | since Valkey | becomes | exact |\n|---|---|---|---|---|\n");
    let version = |since: Option<(u16, u16)>| match since {
        None => "none".to_owned(),
        Some((0, 0)) => "all".to_owned(),
        Some((major, minor)) => format!("{major}.{minor}"),
    };
    for rule in rdts_core::translate::rules() {
        let when = if rule.when.is_empty() { String::new() } else { format!(" ({})", rule.when) };
        let exact = match (rule.exact, rule.notes) {
            (true, "") => "yes".to_owned(),
            (true, notes) => format!("yes; {notes}"),
            (false, notes) => format!("no: {notes}"),
        };
        let (redis, valkey) = (version(rule.redis), version(rule.valkey));
        let line = format!("| `{}`{when} | {redis} | {valkey} | {} | {exact} |", rule.command, rule.becomes);
        writeln!(text, "{line}").unwrap();
    }
    text
}

#[test]
fn the_rules_are_those_of_the_library() {
    check("rules", &rules());
}

/// What the document says of a pair.
pub(super) fn cell(from: &str, to: &str) -> String {
    let text = std::fs::read_to_string(path()).unwrap();
    let place = |name: &str| SERVERS.iter().position(|other| *other == name).unwrap();
    let row = section(&text, "pairs").lines().nth(2 + place(from)).unwrap();
    row.split('|').nth(2 + place(to)).unwrap().trim().to_owned()
}

/// Compares a section with what it has to be, or with `RDTS_DOCS=write` writes it.
pub(super) fn check(name: &str, made: &str) {
    let text = std::fs::read_to_string(path()).unwrap();
    let written = section(&text, name);
    if std::env::var("RDTS_DOCS").is_ok_and(|value| value == "write") {
        let at = written.as_ptr() as usize - text.as_ptr() as usize;
        let (before, after) = (&text[..at], &text[at + written.len()..]);
        std::fs::write(path(), format!("{before}{made}{after}")).unwrap();
    } else {
        assert_eq!(written, made, "docs/compatibility.md: run this test with RDTS_DOCS=write");
    }
}

/// What is between the marks of a section.
fn section<'a>(text: &'a str, name: &str) -> &'a str {
    let (begin, end) = (format!("<!-- {name}: begin -->\n"), format!("<!-- {name}: end -->"));
    let (_, rest) = text.split_once(&begin).unwrap();
    rest.split_once(&end).unwrap().0
}
