//! The report as tables with bars, for a terminal.

use std::io::{self, Write};

use super::report::{BigKey, Bytes, Count, Report, Tally, Time, percent};

/// Characters of the longest bar.
const BAR: usize = 24;
/// Characters of a row's name, and of a key at the end of a line.
const NAME: usize = 48;
const KEY: usize = 100;

pub(super) fn print(report: &Report, out: &mut impl Write) -> io::Result<()> {
    let total = &report.total;
    writeln!(out, "{}\n{}", report.file, report.origin())?;
    writeln!(
        out,
        "{} keys, {} elements, {} of {} in the file; {} keys expire",
        Count(total.keys),
        Count(total.elements),
        Bytes(total.bytes),
        Bytes(report.file_bytes),
        Count(total.expiring),
    )?;
    for (count, what) in [
        (report.expiring_fields, "fields or members expire of themselves"),
        (report.functions, "function libraries"),
        (report.module_aux, "records of modules' own data"),
    ] {
        if count > 0 {
            writeln!(out, "{} {what}", Count(count))?;
        }
    }
    if total.keys == 0 {
        return Ok(());
    }
    let own = |rows: &[(String, Tally)]| rows.to_vec();
    table(out, "Type", &own(&report.types), total)?;
    table(out, "Database", &own(&report.databases), total)?;
    table(out, "Encoding", &own(&report.encodings), total)?;
    let mut prefixes: Vec<_> =
        report.prefixes.iter().map(|(prefix, tally)| (cut(&shown_prefix(prefix), NAME), *tally)).collect();
    if report.other.tally.keys > 0 {
        prefixes.push(("(other)".to_owned(), report.other.tally));
    }
    table(out, "Prefix", &prefixes, total)?;
    if report.other.given_up > 0 {
        let lack = &report.other.may_lack;
        writeln!(
            out,
            "  too many prefixes to keep them all: each of these may lack up to {} and {} keys, counted as (other)",
            Bytes(lack.bytes),
            Count(lack.keys),
        )?;
    }
    histogram(out, &format!("Expires (from {})", Time(report.now_ms)), &report.expiry)?;
    histogram(out, "Bytes of a key", &report.sizes)?;
    biggest(out, "Biggest keys by bytes", &report.by_bytes)?;
    biggest(out, "Biggest keys by elements", &report.by_elements)
}

fn table(out: &mut impl Write, what: &str, rows: &[(String, Tally)], total: &Tally) -> io::Result<()> {
    let width = rows.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0).max(what.len());
    writeln!(
        out,
        "\n{what:width$} {:>13} {:>6} {:>11} {:>6} {:>15} {:>13} {:>11}",
        "keys", "%", "bytes", "%", "elements", "expiring", "bytes/key"
    )?;
    for (name, tally) in rows {
        let line = format!(
            "{name:width$} {:>13} {:>6.1} {:>11} {:>6.1} {:>15} {:>13} {:>11}  {}",
            Count(tally.keys),
            percent(tally.keys, total.keys),
            Bytes(tally.bytes),
            percent(tally.bytes, total.bytes),
            Count(tally.elements),
            Count(tally.expiring),
            Bytes(tally.bytes.checked_div(tally.keys).unwrap_or(0)),
            bar(tally.bytes, total.bytes),
        );
        writeln!(out, "{}", line.trim_end())?;
    }
    Ok(())
}

fn histogram(out: &mut impl Write, what: &str, rows: &[(String, Tally)]) -> io::Result<()> {
    writeln!(out, "\n{what}")?;
    let most = rows.iter().map(|(_, tally)| tally.keys).max().unwrap_or(0);
    for (name, tally) in rows {
        writeln!(
            out,
            "{name:>11} {:>13} keys {:>11}  {}",
            Count(tally.keys),
            Bytes(tally.bytes),
            bar(tally.keys, most)
        )?;
    }
    Ok(())
}

fn biggest(out: &mut impl Write, what: &str, keys: &[BigKey]) -> io::Result<()> {
    if keys.is_empty() {
        return Ok(());
    }
    writeln!(
        out,
        "\n{what}\n{:>11} {:>13} {:>11}  {:<8} {:<16} {:>3}  key",
        "bytes", "elements", "longest", "type", "encoding", "db"
    )?;
    for big in keys {
        writeln!(
            out,
            "{:>11} {:>13} {:>11}  {:<8} {:<16} {:>3}  {}",
            Bytes(big.bytes),
            Count(big.elements),
            Bytes(big.longest),
            big.kind,
            big.encoding,
            big.db,
            cut(&shown(&big.key), KEY),
        )?;
    }
    Ok(())
}

/// A bar in eighths of a character.
fn bar(part: u64, whole: u64) -> String {
    const EIGHTHS: [char; 8] = ['▏', '▎', '▍', '▌', '▋', '▊', '▉', '█'];
    if part == 0 || whole == 0 {
        return String::new();
    }
    let eighths = usize::try_from(u128::from(part) * (BAR as u128 * 8) / u128::from(whole)).unwrap_or(0);
    // Whatever is there is seen.
    let eighths = eighths.max(1);
    let mut bar = "█".repeat(eighths / 8);
    if !eighths.is_multiple_of(8) {
        bar.push(EIGHTHS[eighths % 8 - 1]);
    }
    bar
}

/// A name as redis-cli prints it.
pub(super) fn shown(name: &[u8]) -> String {
    name.escape_ascii().to_string()
}

pub(super) fn shown_prefix(prefix: &[u8]) -> String {
    if prefix.is_empty() { "(none)".to_owned() } else { shown(prefix) }
}

/// A text of at most so many characters: of a longer one the middle is left out, since names differ at their ends.
pub(super) fn cut(text: &str, most: usize) -> String {
    let count = text.chars().count();
    if count <= most {
        return text.to_owned();
    }
    let end = most / 2;
    let start = most.saturating_sub(end + 1);
    text.chars().take(start).chain(['…']).chain(text.chars().skip(count - end)).collect()
}
