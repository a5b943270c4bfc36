//! The readers say what the parser says, and give back what is not theirs.

use rdts_rdb::{Event, ParserOptions, Reader, ValueMode};

use crate::feed::{Cut, log, options};
use crate::files;

/// Gives a few bytes at a time.
struct Trickle<'a>(&'a [u8], usize);

impl std::io::Read for Trickle<'_> {
    fn read(&mut self, buf: &mut [u8]) -> std::io::Result<usize> {
        let n = self.1.min(buf.len()).min(self.0.len());
        buf[..n].copy_from_slice(&self.0[..n]);
        self.0 = &self.0[n..];
        self.1 = self.1 % 1000 + 1;
        Ok(n)
    }
}

fn lines<R: std::io::Read>(mut reader: Reader<R>) -> Vec<String> {
    let mut lines = Vec::new();
    while let Some(event) = reader.next_event().unwrap() {
        lines.push(format!("{event:?}"));
    }
    assert!(reader.next_event().unwrap().is_none());
    lines
}

#[test]
fn a_reader_gives_the_events_of_the_parser() {
    for (folder, name) in [
        ("generated", "redis-7.2.6_alltypes.rdb"),
        ("generated", "valkey-9.1.2_hfe.rdb"),
        ("handcrafted", "v15_hash_templates_a.rdb"),
        ("generated", "redis-8.2.3_graphmodule.rdb"),
    ] {
        let file = files::one(folder, name);
        let whole = lines(Reader::new(&file[..]));
        let trickled = lines(Reader::new(Trickle(&file, 1)));
        let join =
            |lines: &[String]| lines.iter().filter(|line| !line.starts_with("String(")).cloned().collect::<Vec<_>>();
        assert_eq!(join(&whole), join(&trickled), "{name}");
        let log = log(&file, Cut::Whole, options());
        let pushed: Vec<_> = log.lines.into_iter().filter(|line| !line.starts_with("String(")).collect();
        assert_eq!(join(&whole), pushed, "{name}");
    }
}

#[test]
fn entries_are_the_same_in_any_mode_of_the_options() {
    let file = files::one("generated", "redis-6.2.5_alltypes.rdb");
    let plain: Vec<_> = Reader::new(&file[..]).entries().map(Result::unwrap).collect();
    let options = ParserOptions::new().value_mode(ValueMode::Skip);
    let forced: Vec<_> = Reader::with_options(&file[..], options).entries().map(Result::unwrap).collect();
    assert_eq!(plain, forced);
    assert!(plain.len() > 200);
}

#[test]
fn what_follows_the_file_comes_back() {
    let mut bytes = files::one("generated", "redis-7.0.15_empty.rdb");
    bytes.extend(b"*1\r\n$4\r\nPING\r\n");
    let mut reader = Reader::new(&bytes[..]);
    while reader.next_event().unwrap().is_some() {}
    let (source, unread) = reader.into_parts();
    assert_eq!([&unread[..], source].concat(), b"*1\r\n$4\r\nPING\r\n");
}

#[test]
fn a_module_s_auxiliary_data_is_passed_over_unless_asked_for() {
    let file = files::one("handcrafted", "v9_module_items_a.rdb");
    let silent = lines(Reader::new(&file[..]));
    for mode in [ValueMode::Decode, ValueMode::Raw, ValueMode::Skip] {
        let mut reader = Reader::new(&file[..]);
        let mut seen = Vec::new();
        let mut extra = 0;
        let mut inside = false;
        while let Some(event) = reader.next_event().unwrap() {
            let line = format!("{event:?}");
            if inside && matches!(event, Event::ModuleItem(_) | Event::ValueEnd | Event::RawChunk { .. }) {
                extra += 1;
            } else {
                inside = false;
                seen.push(line);
            }
            if let Event::ModuleAux { .. } = event {
                inside = true;
                reader.set_value_mode(mode);
            }
        }
        assert_eq!(seen, silent);
        assert_eq!(extra > 0, mode != ValueMode::Skip, "{mode:?}");
    }
}

#[cfg(feature = "tokio")]
#[tokio::test(flavor = "current_thread")]
async fn an_async_reader_gives_the_same_and_the_socket_back() {
    use rdts_rdb::AsyncReader;
    use tokio::io::AsyncWriteExt;

    let file = files::one("generated", "redis-7.2.6_lru.rdb");
    let expected = lines(Reader::new(&file[..]));
    let (mut ours, theirs) = tokio::io::duplex(512);
    let bytes = file.clone();
    let writer = tokio::spawn(async move {
        for piece in bytes.chunks(333) {
            ours.write_all(piece).await.unwrap();
        }
        ours.write_all(b"+CONTINUE").await.unwrap();
        ours
    });
    let mut reader = AsyncReader::new(theirs);
    let mut seen = Vec::new();
    while let Some(event) = reader.next_event().await.unwrap() {
        seen.push(format!("{event:?}"));
    }
    let mut ours = writer.await.unwrap();
    assert_eq!(seen, expected);
    let received = reader.received();
    let (mut socket, unread) = reader.into_parts();
    assert_eq!(received, (file.len() + unread.len()) as u64);
    ours.shutdown().await.unwrap();
    let mut rest = unread.to_vec();
    tokio::io::AsyncReadExt::read_to_end(&mut socket, &mut rest).await.unwrap();
    assert_eq!(rest, b"+CONTINUE");
}
