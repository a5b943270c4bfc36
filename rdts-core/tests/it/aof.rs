//! AOF files: what is in them, in which order, and what is told of those that are damaged.

use std::path::Path;
use std::time::{Duration, UNIX_EPOCH};

use rdts_core::filter::Rules;
use rdts_core::source::{AofOptions, AofSource, CutTail, FileKind, RdbSource, detect};
use rdts_core::translate::{Target, TranslateOptions};
use rdts_core::{Error, ErrorKind, Result, Source};

const TARGET: Target = Target::redis(7, 0, 0);
/// One key in database 0, which has expired long ago; no checksum. Then what says that commands follow.
const EXPIRED: &[u8] =
    b"REDIS0009\xfa\x0caof-preamble\xc0\x01\xfe\x00\xfc\x01\0\0\0\0\0\0\0\x00\x01k\x01v\xff\0\0\0\0\0\0\0\0";

fn command(words: &str) -> Vec<u8> {
    let mut frame = Vec::new();
    rdts_resp::encode::command(&mut frame, words.split(' ').collect::<Vec<_>>());
    frame
}

fn commands(lines: &[&str]) -> Vec<u8> {
    lines
        .iter()
        .flat_map(|line| if line.starts_with('#') { format!("{line}\r\n").into() } else { command(line) })
        .collect()
}

/// Everything in the files, as `db words`; positions must ascend and end at the end.
async fn read(path: &Path, options: AofOptions) -> Result<Vec<String>> {
    let mut source = AofSource::open(path, TARGET, options).await?;
    let (mut all, mut last) = (Vec::new(), 0);
    while let Some(batch) = source.next().await? {
        for command in batch.commands() {
            assert!(command.offset() >= last, "{command:?}");
            last = command.offset();
            let words: Vec<_> = command.args().map(|arg| arg.escape_ascii().to_string()).collect();
            all.push(format!("{} {}", command.db(), words.join(" ")));
        }
        let rdts_core::Position::Snapshot { rdb_bytes, .. } = *batch.position() else { panic!("{batch:?}") };
        assert!(rdb_bytes >= last);
        last = rdb_bytes;
    }
    assert_eq!(Some(last), source.snapshot_len());
    assert!(source.next().await?.is_none());
    Ok(all)
}

fn options() -> AofOptions {
    AofOptions::default()
}

struct Folder(tempfile::TempDir);

impl Folder {
    fn new(files: &[(&str, &[u8])]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        for (name, content) in files {
            std::fs::create_dir_all(folder.path().join(name).parent().unwrap()).unwrap();
            std::fs::write(folder.path().join(name), content).unwrap();
        }
        Self(folder)
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.0.path().join(name)
    }
}

#[tokio::test]
async fn commands_of_one_file_with_their_databases() {
    let text =
        ["#TS:1700000000", "SELECT 3", "SET a 1", "MULTI", "INCR a", "#TS:1700000001", "EXEC", "SELECT 0", "DEL a"];
    let folder = Folder::new(&[("a.aof", &commands(&text))]);
    let expected = ["3 SET a 1", "3 MULTI", "3 INCR a", "3 EXEC", "0 DEL a"];
    assert_eq!(read(&folder.path("a.aof"), options()).await.unwrap(), expected);
    let one = options().translate(TranslateOptions::default().rules(Rules::one_db(3, 5)));
    let expected = ["5 SET a 1", "5 MULTI", "5 INCR a", "5 EXEC"];
    assert_eq!(read(&folder.path("a.aof"), one).await.unwrap(), expected);
}

#[tokio::test]
async fn base_and_increments_in_the_order_of_the_manifest_each_from_database_0() {
    let manifest = b"file b.rdb seq 2 type b\nfile old seq 1 type h\nfile i1 seq 1 type i\nfile i2 seq 2 type i\nfile i3 seq 3 type i\n";
    let files: &[(&str, &[u8])] = &[
        ("appendonlydir/x.manifest", manifest),
        ("appendonlydir/temp-x.manifest", b"file other seq 1 type b\n"),
        ("appendonlydir/b.rdb", b"REDIS0003\xfe\x02\x00\x01k\x01v\xff"),
        ("appendonlydir/i1", &commands(&["SELECT 7", "SET a 1"])),
        ("appendonlydir/i2", b""),
        ("appendonlydir/i3", &commands(&["SET b 1"])),
    ];
    let folder = Folder::new(files);
    for path in ["", "appendonlydir", "appendonlydir/x.manifest"] {
        let found = read(&folder.path(path), options()).await.unwrap();
        assert_eq!(found, ["2 SET k v NX", "7 SET a 1", "0 SET b 1"], "{path}");
    }
    std::fs::remove_file(folder.path("appendonlydir/i2")).unwrap();
    let error = read(&folder.path(""), options()).await.unwrap_err();
    assert!(error.kind() == ErrorKind::Io && error.to_string().contains("i2"), "{error}");
    std::fs::write(folder.path("appendonlydir/y.manifest"), manifest).unwrap();
    let error = read(&folder.path(""), options()).await.unwrap_err();
    assert!(error.kind() == ErrorKind::Snapshot && error.to_string().contains("y.manifest"), "{error}");
}

#[tokio::test]
async fn a_key_whose_time_has_passed_lives_until_the_file_says_more() {
    let mut file = EXPIRED.to_vec();
    file.extend(commands(&["PEXPIREAT k 5", "PERSIST k"]));
    let folder = Folder::new(&[("a.aof", &file)]);
    let now = || i64::try_from(UNIX_EPOCH.elapsed().unwrap().as_millis()).unwrap();
    let before = now();
    let grace = Duration::from_secs(100);
    let found = read(&folder.path("a.aof"), options().expiry_grace(grace)).await.unwrap();
    let time = |text: &str, prefix: &str, suffix: &str| -> i64 {
        text.strip_prefix(prefix).and_then(|text| text.strip_suffix(suffix)).unwrap().parse().unwrap()
    };
    for time in [time(&found[0], "0 SET k v PXAT ", " NX"), time(&found[1], "0 PEXPIREAT k ", "")] {
        assert!((before + 100_000..=now() + 100_000).contains(&time), "{found:?}");
    }
    assert_eq!(found[2], "0 PERSIST k");
    let found = read(&folder.path("a.aof"), options().expiry_grace(Duration::ZERO)).await.unwrap();
    assert_eq!(found, ["0 SET k v PXAT 1 NX", "0 PEXPIREAT k 5", "0 PERSIST k"]);
}

#[tokio::test]
async fn a_tail_that_is_cut_is_refused_or_left_out() {
    let whole = commands(&["SELECT 1", "SET a 1", "SET b 2"]);
    let start = commands(&["SELECT 1", "SET a 1"]).len();
    for cut in start + 1..whole.len() {
        let folder = Folder::new(&[("a.aof", &whole[..cut])]);
        let path = folder.path("a.aof");
        let error = read(&path, options()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Snapshot);
        let words = format!("a.aof: byte {start}: the file ends in the middle of a command, {} bytes", cut - start);
        assert!(error.to_string().contains(&words), "{error}");
        assert_eq!(read(&path, options().cut_tail(CutTail::Accept)).await.unwrap(), ["1 SET a 1"]);
    }
    let open = commands(&["SET a 1", "MULTI", "SELECT 4", "SET b 2", "PUBLISH c m"]);
    let manifest: &[u8] = b"file a seq 1 type b\nfile i seq 1 type i\n";
    let folder = Folder::new(&[("m.manifest", manifest), ("a", &open), ("i", b""), ("ok", b"")]);
    let error = read(&folder.path("a"), options()).await.unwrap_err();
    assert!(error.to_string().contains("byte 27: the file ends in the middle of a transaction"), "{error}");
    assert_eq!(read(&folder.path("a"), options().cut_tail(CutTail::Accept)).await.unwrap(), ["0 SET a 1"]);
    let mut source = AofSource::open(folder.path("a"), TARGET, options().cut_tail(CutTail::Accept)).await.unwrap();
    while source.next().await.unwrap().is_some() {}
    assert_eq!(source.intake().skipped(), 0, "what is left out is not counted either");
    // In front of another file it is damage, also to a server.
    let error = read(&folder.path(""), options().cut_tail(CutTail::Accept)).await.unwrap_err();
    assert!(error.to_string().contains("a: byte 27"), "{error}");
    assert!(read(&folder.path("ok"), options()).await.unwrap().is_empty());
}

#[tokio::test]
async fn damage_is_told_of_with_file_and_place() {
    let good = command("SET a 1");
    let behind = |tail: &[u8]| [&good[..], tail].concat();
    let place = format!("a.aof: byte {}: ", good.len());
    for tail in [
        &b"SET b 2\r\n"[..],
        b"\r\n",
        b"\0\0\0\0",
        b"*0\r\n",
        b"*-1\r\n",
        b"*x\r\n$1\r\na\r\n",
        b"*1\r\n:1\r\n",
        b"*1\r\n$9999999999999\r\na\r\n",
        b"*1\r\n$1\r\nab\r\n",
        b"*99999999999\r\n",
    ] {
        let folder = Folder::new(&[("a.aof", &behind(tail))]);
        for options in [options(), options().cut_tail(CutTail::Accept)] {
            let error = read(&folder.path("a.aof"), options).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Snapshot, "{}: {error}", tail.escape_ascii());
            assert!(error.to_string().contains(&place), "{}: {error}", tail.escape_ascii());
        }
    }
    let endless = behind(&[b"#".as_slice(), &[b'x'; 100_000]].concat());
    let folder = Folder::new(&[("a.aof", &endless)]);
    assert!(read(&folder.path("a.aof"), options()).await.unwrap_err().to_string().contains("without an end"));
    // A preamble that is cut is never a tail.
    for cut in 5..EXPIRED.len() {
        let folder = Folder::new(&[("a.aof", &EXPIRED[..cut])]);
        let error = read(&folder.path("a.aof"), options().cut_tail(CutTail::Accept)).await.unwrap_err();
        assert!(error.kind() == ErrorKind::Snapshot && error.to_string().contains("a.aof"), "{cut}: {error}");
    }
}

#[tokio::test]
async fn files_are_known_by_their_content() {
    let plain = b"REDIS0003\xff".to_vec();
    let folder = Folder::new(&[
        ("dump", &plain),
        ("valkey", b"VALKEY080\xff\0\0\0\0\0\0\0\0"),
        ("preamble", EXPIRED),
        ("commands", &command("SET a 1")),
        ("stamped", b"#TS:1\r\n"),
        ("list", b"file a seq 1 type b\n"),
        ("empty", b""),
        ("text", b"hello world"),
    ]);
    for (name, kind) in [
        ("dump", FileKind::Rdb),
        ("valkey", FileKind::Rdb),
        ("preamble", FileKind::Aof),
        ("commands", FileKind::Aof),
        ("stamped", FileKind::Aof),
        ("list", FileKind::Aof),
        ("", FileKind::Aof),
    ] {
        assert_eq!(detect(folder.path(name)).await.unwrap(), kind, "{name}");
    }
    let kind = |error: Error| error.kind();
    assert_eq!(detect(folder.path("empty")).await.map_err(kind), Err(ErrorKind::Snapshot));
    assert_eq!(detect(folder.path("text")).await.map_err(kind), Err(ErrorKind::Snapshot));
    assert_eq!(detect(folder.path("nothing")).await.map_err(kind), Err(ErrorKind::Io));
    for name in ["text", ""] {
        let error = AofSource::open(folder.path(name), TARGET, options()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Snapshot, "{error}");
    }
    // The two sources find the same keys where both can read.
    let mut source = RdbSource::open(folder.path("dump"), TARGET, TranslateOptions::default()).await.unwrap();
    assert!(source.next().await.unwrap().unwrap().is_empty());
    assert!(read(&folder.path("dump"), options()).await.unwrap().is_empty());
}
