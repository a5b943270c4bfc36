//! The page about prechecks has all of them.

use rdts_core::precheck::CHECKS;

#[test]
fn the_table_of_checks_is_the_list_of_the_code() {
    let page = include_str!("../../../../docs/prechecks.md");
    let table = page.split("\n## ").next().unwrap();
    let rows = table.lines().filter_map(|line| {
        let mut cells = line.strip_prefix("| `")?.split('|');
        let name = cells.next()?.trim().trim_end_matches('`');
        Some((name, cells.next()?.trim()))
    });
    let code: Vec<(&str, String)> = CHECKS.iter().map(|check| (check.name, check.worst.to_string())).collect();
    let code: Vec<(&str, &str)> = code.iter().map(|(name, worst)| (*name, worst.as_str())).collect();
    assert_eq!(rows.collect::<Vec<_>>(), code);
}
