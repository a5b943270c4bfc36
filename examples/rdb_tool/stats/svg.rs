//! The report as a picture: one SVG file that needs nothing else.

use std::fmt::Write as _;
use std::io::{self, Write};

use super::report::{BigKey, Bytes, Count, Report, Tally, Time, percent};
use super::text::{cut, shown, shown_prefix};

const WIDTH: f64 = 1120.0;
const MARGIN: f64 = 32.0;
const GAP: f64 = 20.0;
const FULL: f64 = WIDTH - 2.0 * MARGIN;
const HALF: f64 = (FULL - GAP) / 2.0;
const RIGHT: f64 = MARGIN + HALF + GAP;
/// From a panel's edge to what is in it.
const PAD: f64 = 20.0;
/// From a panel's top to what follows its title.
const TITLE: f64 = 52.0;
const ROW: f64 = 26.0;
const COLUMNS: f64 = 190.0;
/// Width of a character in names, which are in a font of fixed width.
const CHARACTER: f64 = 7.3;
/// Rows of a panel that has no limit of its own.
const MOST_ROWS: usize = 12;

const COLORS: [&str; 9] =
    ["#3b6fd4", "#e07a3f", "#3a9d7c", "#c2557a", "#8a63c9", "#c9a227", "#4aa3c2", "#7b8794", "#a0522d"];

const STYLE: &str = "\
text{font-family:system-ui,-apple-system,'Segoe UI',Roboto,'Helvetica Neue',Arial,sans-serif;font-size:13px;fill:#1f2933}\
.name{font-family:ui-monospace,SFMono-Regular,Menlo,Consolas,'Liberation Mono',monospace;font-size:12px}\
.title{font-size:15px;font-weight:600}.head{font-size:24px;font-weight:700}.big{font-size:22px;font-weight:650}\
.dim{fill:#66737f;font-size:12px}.end{text-anchor:end}.mid{text-anchor:middle}\
.panel{fill:#fff;stroke:#dfe4ea}.track{fill:#eef1f5}.line{stroke:#e6eaef}";

/// Draws the report.
pub(super) fn draw(report: &Report, out: &mut dyn Write) -> io::Result<()> {
    let mut page = Page::default();
    page.header(report);
    page.cards(report);
    let total = &report.total;
    if total.keys > 0 {
        let top = page.y;
        let (types, encodings) = (bars(&report.types), bars(&report.encodings));
        let height = bars_height(types.len().max(encodings.len()));
        page.bars((MARGIN, top), (HALF, height), "Types", &types, total, true);
        page.bars((RIGHT, top), (HALF, height), "Encodings", &encodings, total, false);
        page.y = top + height + GAP;
        page.prefixes(report);
        if report.databases.len() > 1 {
            let rows: Vec<_> = report.databases.iter().map(|(db, tally)| (format!("db {db}"), *tally)).collect();
            let rows = bars(&rows);
            let height = bars_height(rows.len());
            page.bars((MARGIN, page.y), (FULL, height), "Databases", &rows, total, false);
            page.y += height + GAP;
        }
        let top = page.y;
        let expiry = format!("from {}", Time(report.now_ms));
        page.columns(MARGIN, top, "Keys by the time they have left", &expiry, &report.expiry, "#3a9d7c");
        page.columns(RIGHT, top, "Keys by their bytes", "in the file, with name and value", &report.sizes, "#8a63c9");
        page.y = top + TITLE + COLUMNS + GAP;
        page.biggest("Biggest keys by bytes", &report.by_bytes);
        page.biggest("Biggest keys by elements", &report.by_elements);
    }
    let height = page.y - GAP + MARGIN;
    writeln!(
        out,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}\" height=\"{height}\" viewBox=\"0 0 {WIDTH} {height}\">\n\
         <style>{STYLE}</style>\n<rect width=\"{WIDTH}\" height=\"{height}\" fill=\"#f5f7f9\"/>\n{}</svg>",
        page.body
    )
}

/// The rows that a panel shows: of many, the first, and the sum of the others.
fn bars(rows: &[(String, Tally)]) -> Vec<(String, Tally)> {
    if rows.len() <= MOST_ROWS {
        return rows.to_vec();
    }
    let (first, rest) = rows.split_at(MOST_ROWS - 1);
    let mut sum = Tally::default();
    rest.iter().for_each(|(_, tally)| sum.add(tally));
    [first, &[(format!("{} others", rest.len()), sum)]].concat()
}

/// Height of a panel with so many bars.
fn bars_height(rows: usize) -> f64 {
    TITLE + rows as f64 * ROW + PAD / 2.0
}

/// What is drawn so far, and how far down it reaches.
#[derive(Default)]
struct Page {
    body: String,
    y: f64,
}

impl Page {
    fn text(&mut self, x: f64, y: f64, class: &str, text: &str) {
        // Writing to a String cannot fail.
        let _ = writeln!(self.body, "<text x=\"{x:.1}\" y=\"{y:.1}\" class=\"{class}\">{}</text>", escaped(text));
    }

    fn rect(&mut self, (x, y): (f64, f64), (width, height): (f64, f64), radius: f64, paint: &str) {
        let _ = writeln!(
            self.body,
            "<rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{height:.1}\" rx=\"{radius}\" {paint}/>"
        );
    }

    fn panel(&mut self, x: f64, y: f64, width: f64, height: f64, title: &str, note: &str) {
        self.rect((x, y), (width, height), 10.0, "class=\"panel\"");
        self.text(x + PAD, y + 30.0, "title", title);
        self.text(x + width - PAD, y + 30.0, "dim end", note);
    }

    fn header(&mut self, report: &Report) {
        let name = report.file.rsplit('/').next().unwrap_or(&report.file);
        self.text(MARGIN, 56.0, "head", &cut(name, 70));
        self.text(MARGIN, 80.0, "dim", &report.origin());
        self.y = 100.0;
    }

    fn cards(&mut self, report: &Report) {
        let total = &report.total;
        let databases = match report.databases.len() {
            1 => "in one database".to_owned(),
            count => format!("in {count} databases"),
        };
        let fields = match report.expiring_fields {
            0 => String::new(),
            count => format!("; {} fields expire, too", Count(count)),
        };
        let functions = match report.functions {
            0 => String::new(),
            1 => ", 1 function library".to_owned(),
            count => format!(", {} function libraries", Count(count)),
        };
        let average = total.bytes.checked_div(total.keys).unwrap_or(0);
        let cards = [
            ("Keys", Count(total.keys).to_string(), databases + &functions),
            ("Bytes", Bytes(total.bytes).to_string(), format!("of {} in the file", Bytes(report.file_bytes))),
            ("Elements", Count(total.elements).to_string(), format!("{} bytes per key on average", Count(average))),
            (
                "Expiring keys",
                Count(total.expiring).to_string(),
                format!("{:.1} %{fields}", percent(total.expiring, total.keys)),
            ),
        ];
        let width = (FULL - GAP * (cards.len() - 1) as f64) / cards.len() as f64;
        let mut x = MARGIN;
        for (what, value, note) in cards {
            self.rect((x, self.y), (width, 92.0), 10.0, "class=\"panel\"");
            self.text(x + PAD, self.y + 28.0, "dim", what);
            self.text(x + PAD, self.y + 54.0, "big", &value);
            self.text(x + PAD, self.y + 76.0, "dim", &note);
            x += width + GAP;
        }
        self.y += 92.0 + GAP;
    }

    fn prefixes(&mut self, report: &Report) {
        let mut rows: Vec<_> = report.prefixes.iter().map(|(prefix, tally)| (shown_prefix(prefix), *tally)).collect();
        if report.other.tally.keys > 0 {
            rows.push(("(other)".to_owned(), report.other.tally));
        }
        let height = bars_height(rows.len());
        self.bars((MARGIN, self.y), (FULL, height), "Prefixes of keys", &rows, &report.total, false);
        self.y += height;
        if report.other.given_up > 0 {
            let lack = Bytes(report.other.may_lack.bytes);
            let note = format!("there were too many to keep: each may lack up to {lack}, counted as (other)");
            self.text(MARGIN + PAD, self.y + 20.0, "dim", &note);
            self.y += 20.0;
        }
        self.y += GAP;
    }

    /// A panel with a bar for each row's bytes.
    fn bars(
        &mut self,
        (x, y): (f64, f64),
        (width, height): (f64, f64),
        title: &str,
        rows: &[(String, Tally)],
        total: &Tally,
        colorful: bool,
    ) {
        self.panel(x, y, width, height, title, "bytes, share, keys");
        let longest = rows.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0);
        // As many characters of names as there are, but the bars have a right to be seen.
        let characters = longest.min(if width > HALF { 48 } else { 16 });
        let names = characters as f64 * CHARACTER + 12.0;
        let values = 220.0;
        let track = width - 2.0 * PAD - names - values;
        let most = rows.iter().map(|(_, tally)| tally.bytes).max().unwrap_or(0).max(1);
        for (i, (name, tally)) in rows.iter().enumerate() {
            let middle = y + TITLE + i as f64 * ROW + ROW / 2.0;
            self.text(x + PAD, middle + 4.0, "name", &cut(name, characters));
            let bar = x + PAD + names;
            self.rect((bar, middle - 7.0), (track, 14.0), 3.0, "class=\"track\"");
            let color = if colorful { COLORS[i % COLORS.len()] } else { COLORS[0] };
            let length = (track * tally.bytes as f64 / most as f64).max(1.5);
            self.rect((bar, middle - 7.0), (length, 14.0), 3.0, &format!("fill=\"{color}\""));
            let share = format!("{:.1} %", percent(tally.bytes, total.bytes));
            let right = x + width - PAD;
            self.text(right - 140.0, middle + 4.0, "end", &Bytes(tally.bytes).to_string());
            self.text(right - 86.0, middle + 4.0, "dim end", &share);
            self.text(right, middle + 4.0, "dim end", &Count(tally.keys).to_string());
        }
    }

    /// A panel with a column for each row's keys.
    fn columns(&mut self, x: f64, y: f64, title: &str, note: &str, rows: &[(String, Tally)], color: &str) {
        self.panel(x, y, HALF, TITLE + COLUMNS, title, note);
        let most = rows.iter().map(|(_, tally)| tally.keys).max().unwrap_or(0).max(1);
        let slot = (HALF - 2.0 * PAD) / rows.len() as f64;
        let (top, base) = (y + TITLE + 18.0, y + TITLE + COLUMNS - 40.0);
        let _ = writeln!(
            self.body,
            "<line x1=\"{:.1}\" x2=\"{:.1}\" y1=\"{base:.1}\" y2=\"{base:.1}\" class=\"line\"/>",
            x + PAD,
            x + HALF - PAD
        );
        for (i, (name, tally)) in rows.iter().enumerate() {
            let middle = x + PAD + (i as f64 + 0.5) * slot;
            let mut height = (base - top) * tally.keys as f64 / most as f64;
            if tally.keys > 0 {
                height = height.max(1.5);
                let width = slot * 0.66;
                let fill = format!("fill=\"{color}\"");
                self.rect((middle - width / 2.0, base - height), (width, height), 3.0, &fill);
                self.text(middle, base - height - 5.0, "dim mid", &short(tally.keys));
            }
            // The unit in a line of its own, for the sake of narrow columns.
            let (first, second) = match name.rsplit_once(' ') {
                Some((first, unit)) => (first, unit),
                None => (name.as_str(), ""),
            };
            self.text(middle, base + 16.0, "dim mid", first);
            self.text(middle, base + 30.0, "dim mid", second);
        }
    }

    fn biggest(&mut self, title: &str, keys: &[BigKey]) {
        if keys.is_empty() {
            return;
        }
        let height = TITLE + ROW * keys.len() as f64 + 22.0;
        self.panel(MARGIN, self.y, FULL, height, title, "");
        let left = MARGIN + PAD;
        let columns = [(left, ""), (736.0, " end"), (826.0, " end"), (916.0, " end"), (934.0, "")];
        let heads = ["key", "bytes", "elements", "longest", "encoding"];
        for ((x, class), head) in columns.iter().zip(heads) {
            self.text(*x, self.y + TITLE, &format!("dim{class}"), head);
        }
        for (i, big) in keys.iter().enumerate() {
            let y = self.y + TITLE + ROW * (i + 1) as f64;
            let _ = writeln!(
                self.body,
                "<line x1=\"{left:.1}\" x2=\"{:.1}\" y1=\"{y1:.1}\" y2=\"{y1:.1}\" class=\"line\"/>",
                MARGIN + FULL - PAD,
                y1 = y - 18.0
            );
            let name = if big.db == 0 { shown(&big.key) } else { format!("{}  (db {})", shown(&big.key), big.db) };
            let cells = [
                cut(&name, 72),
                Bytes(big.bytes).to_string(),
                Count(big.elements).to_string(),
                Bytes(big.longest).to_string(),
                cut(&big.encoding, 18),
            ];
            for ((x, class), cell) in columns.iter().zip(&cells) {
                self.text(*x, y, &format!("name{class}"), cell);
            }
        }
        self.y += height + GAP;
    }
}

/// A count in few characters.
fn short(count: u64) -> String {
    match count {
        0..10_000 => count.to_string(),
        10_000..1_000_000 => format!("{}k", count / 1000),
        1_000_000..1_000_000_000 => format!("{:.1}M", count as f64 / 1e6),
        _ => format!("{:.1}G", count as f64 / 1e9),
    }
}

fn escaped(text: &str) -> String {
    let mut out = String::new();
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            // Not allowed in XML at all.
            c if c.is_control() => out.push('\u{FFFD}'),
            c => out.push(c),
        }
    }
    out
}
