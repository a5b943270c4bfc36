//! Data around every boundary at which a server takes another encoding.

use rdts_testkit::Server;
use redis::Pipeline;

/// Commands for one connection.
struct Commands(Pipeline);

impl Commands {
    fn add<A: AsRef<[u8]>>(&mut self, args: impl IntoIterator<Item = A>) {
        let mut command = redis::Cmd::new();
        for arg in args {
            command.arg(arg.as_ref());
        }
        self.0.add_command(command).ignore();
    }

    /// Words of a line.
    fn line(&mut self, line: &str) {
        self.add(line.split(' '));
    }

    /// A command with many arguments: `words`, then what is in `args`, at most 1,000 at a time.
    fn many(&mut self, words: &[&str], args: Vec<Vec<u8>>) {
        for args in args.chunks(1000) {
            self.add(words.iter().map(|word| word.as_bytes()).chain(args.iter().map(Vec::as_slice)));
        }
    }
}

/// Bytes that no compression makes shorter, the same in each run.
fn noise(len: usize) -> Vec<u8> {
    let mut state = len as u64 + 1;
    let mut byte = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 56) as u8
    };
    (0..len).map(|_| byte()).collect()
}

/// Bytes that any compression makes shorter.
fn text(len: usize) -> Vec<u8> {
    (0..len).map(|i| b"abcabcabd"[i % 9]).collect()
}

/// Integers at the bounds of all the widths in which they are kept.
fn integers() -> Vec<i64> {
    let mut integers = vec![0, 1, 12, 13, 63, 64, i64::MAX, i64::MIN];
    for bits in [7, 8, 12, 13, 15, 16, 23, 24, 31, 32, 63] {
        let power = 1_i128 << bits;
        let around = [power - 1, power, -power, -power - 1];
        integers.extend(around.iter().filter_map(|i| i64::try_from(*i).ok()));
    }
    integers.sort_unstable();
    integers.dedup();
    integers
}

/// Lengths at the bounds of the heads of strings, in files and in packed blobs, and of what is compressed.
const LENGTHS: [usize; 27] = [
    0, 1, 3, 4, 19, 20, 21, 22, 23, 24, 25, 62, 63, 64, 65, 127, 128, 252, 253, 254, 255, 4095, 4096, 16_377, 16_383,
    16_384, 65_536,
];

/// Numbers of elements at the bounds of packed encodings (128 and 512 by default), and some.
const COUNTS: [usize; 8] = [1, 2, 127, 128, 129, 511, 512, 513];

/// Short, at, and beyond the length up to which elements are packed (64 by default).
const ELEMENTS: [usize; 3] = [63, 64, 65];

/// Fills `server` with the data that its version knows.
pub(super) fn make(server: &Server) {
    let mut commands = Commands(redis::pipe());
    strings(&mut commands);
    lists(&mut commands);
    sets(&mut commands);
    zsets(&mut commands);
    hashes(&mut commands);
    let version = server.version();
    if version.has_redis(5, 0) {
        streams(&mut commands, version.has_redis(6, 2), version.has_redis(7, 0));
    }
    if version.has_redis(7, 4) || version.has_valkey(9, 0) {
        field_expiries(&mut commands);
    }
    if version.has_redis(8, 8) {
        commands.line("XADD stream:nacked 1-1 f v");
        commands.line("XADD stream:nacked 2-1 f v g w");
        commands.line("XADD stream:nacked 3-1 f x");
        commands.line("XGROUP CREATE stream:nacked g 0");
        commands.line("XREADGROUP GROUP g c COUNT 3 STREAMS stream:nacked >");
        commands.line("XNACK stream:nacked g FAIL IDS 1 1-1 RETRYCOUNT 3");
        commands.line("XADD stream:producer IDMP producer iid-1 * a b");
        commands.line("ARSET array 0 10 20.5 hello");
        commands.line("ARSET array 1000000 x");
    }
    commands.line("SELECT 3");
    commands.line("SET other database");
    commands.line("SELECT 0");
    let () = commands.0.query(&mut server.connection()).unwrap();
}

fn strings(commands: &mut Commands) {
    for int in integers() {
        commands.add([b"SET", format!("int:{int}").as_bytes(), int.to_string().as_bytes()]);
    }
    for (number, other) in ["00", "+1", "-0", " 1", "1 ", "0x1", "1.0", "1e3"].iter().enumerate() {
        commands.add([b"SET", format!("noint:{number}").as_bytes(), other.as_bytes()]);
    }
    for len in LENGTHS {
        commands.add([b"SET", format!("string:noise:{len}").as_bytes(), &noise(len)]);
        commands.add([b"SET", format!("string:text:{len}").as_bytes(), &text(len)]);
        // As keys, too; the empty one is a key like any other.
        commands.add([b"SET", &text(len)[..], b"v"]);
    }
    // Longer than the pieces in which strings are delivered.
    commands.add([&b"SET"[..], b"string:long", &noise(200_000)]);
    commands.add([&b"SET"[..], b"string:long-text", &text(1_000_000)]);
    commands.line("SET 12345 key-that-is-an-integer");
    commands.line("SETBIT bits 100000 1");
    commands.line("PFADD hll a b c d");
    for key in ["expires", "{expires}:2"] {
        commands.add(["SET", key, "v"]);
        commands.add(["PEXPIREAT", key, "4102444800123"]);
    }
}

fn lists(commands: &mut Commands) {
    for count in COUNTS {
        let items = (0..count).map(|i| format!("item:{i}").into_bytes()).collect();
        commands.many(&["RPUSH", &format!("list:{count}")], items);
    }
    for len in ELEMENTS {
        commands.many(&["RPUSH", &format!("list:element:{len}")], vec![b"a".to_vec(), noise(len), text(len)]);
    }
    commands.many(&["RPUSH", "list:integers"], integers().iter().map(|i| i.to_string().into_bytes()).collect());
    commands.many(&["RPUSH", "list:lengths"], LENGTHS.iter().flat_map(|len| [noise(*len), text(*len)]).collect());
    // Nodes have up to 8 kB; one element fills one, nearly, exactly, and more.
    for len in [4000, 8100, 8178, 8179, 8180, 8181, 8182, 8183, 8184, 8185, 8186, 8190, 8191, 8192, 8193] {
        commands.many(&["RPUSH", &format!("list:node:{len}")], vec![noise(len), text(len), noise(len - 1), text(3)]);
    }
}

fn sets(commands: &mut Commands) {
    for count in COUNTS {
        for (name, start) in [("16", -5_i64), ("32", 32_767), ("64", 2_147_483_647)] {
            let members = (0..count as i64).map(|i| (start + i).to_string().into_bytes()).collect();
            commands.many(&["SADD", &format!("set:{name}:{count}")], members);
        }
        let members = (0..count).map(|i| format!("member:{i}").into_bytes()).collect();
        commands.many(&["SADD", &format!("set:{count}")], members);
    }
    for len in ELEMENTS {
        commands.many(&["SADD", &format!("set:element:{len}")], vec![b"a".to_vec(), noise(len), text(len)]);
    }
    commands.many(&["SADD", "set:integers"], integers().iter().map(|i| i.to_string().into_bytes()).collect());
    commands.many(&["SADD", "set:lengths"], LENGTHS.iter().map(|len| noise(*len)).collect());
}

fn zsets(commands: &mut Commands) {
    for count in COUNTS {
        let members = (0..count).flat_map(|i| [format!("{}", i * 3), format!("m:{i}")]).map(String::into_bytes);
        commands.many(&["ZADD", &format!("zset:{count}")], members.collect());
    }
    let scores = [
        "inf",
        "-inf",
        "0",
        "-0",
        "0.1",
        "-1.5",
        "1e17",
        "1e300",
        "1e-300",
        "-2.5e-7",
        "3.0000000000000004",
        "9007199254740993",
        "4503599627370496",
        "-4503599627370497",
        "9223372036854775807",
        "1e21",
        "123456789.125",
    ];
    for (name, filler) in [("packed", 8), ("table", 65)] {
        let members = scores.iter().map(|s| [s.as_bytes().to_vec(), [b"m:", s.as_bytes()].concat()]);
        let filler = [b"1".to_vec(), noise(filler)];
        commands.many(&["ZADD", &format!("zset:scores:{name}")], members.flatten().chain(filler).collect());
    }
    for len in ELEMENTS {
        let args = vec![b"1".to_vec(), noise(len), b"2".to_vec(), text(len)];
        commands.many(&["ZADD", &format!("zset:element:{len}")], args);
    }
    let args = integers().iter().flat_map(|i| [i.to_string().into_bytes(), i.to_string().into_bytes()]).collect();
    commands.many(&["ZADD", "zset:integers"], args);
}

fn hashes(commands: &mut Commands) {
    for count in COUNTS {
        let fields = (0..count).flat_map(|i| [format!("f:{i}"), format!("v:{i}")]).map(String::into_bytes);
        commands.many(&["HMSET", &format!("hash:{count}")], fields.collect());
    }
    for len in ELEMENTS {
        let args = vec![b"f".to_vec(), noise(len), text(len), b"v".to_vec()];
        commands.many(&["HMSET", &format!("hash:element:{len}")], args);
    }
    for (number, pair) in integers().chunks(2).enumerate() {
        let [field, value] = [pair[0], *pair.last().unwrap()].map(|i| i.to_string().into_bytes());
        commands.many(&["HMSET", &format!("hash:integer:{number}")], vec![field, value]);
    }
    let args = LENGTHS.iter().flat_map(|len| [noise(*len), text(*len)]).collect();
    commands.many(&["HMSET", "hash:lengths"], args);
}

/// Times of fields: of some, of all, taken away again; packed and not.
fn field_expiries(commands: &mut Commands) {
    for (name, filler) in [("packed", 8), ("table", 65)] {
        for kind in ["some", "all", "persisted", "many"] {
            let key = format!("hash:expiring:{kind}:{name}");
            let fields = if kind == "many" { 600 } else { 3 };
            let args = (0..fields).flat_map(|i| [format!("f:{i}").into_bytes(), noise(filler + i % 3)]);
            commands.many(&["HSET", &key], args.collect());
            for i in 0..fields {
                if kind == "some" && i == 1 {
                    continue;
                }
                let time = 4_102_444_800_123_u64 + i as u64 % 7 * 1_000_000_000;
                commands.line(&format!("HPEXPIREAT {key} {time} FIELDS 1 f:{i}"));
            }
            if kind == "persisted" {
                commands.line(&format!("HPERSIST {key} FIELDS 2 f:0 f:1"));
            }
        }
    }
}

/// Nodes of a stream have up to 100 entries and 4 kB.
fn streams(commands: &mut Commands, consumers: bool, metadata: bool) {
    for count in [1, 99, 100, 101, 250] {
        for i in 0..count {
            let field = if i % 10 == 9 { "other" } else { "field" };
            commands.line(&format!("XADD stream:{count} {}-{} {field} value:{i} n {i}", 1000 + i / 3, i % 3));
        }
    }
    for len in [0, 63, 64, 4000, 4095, 4096, 5000, 20_000] {
        let key = format!("stream:element:{len}");
        for i in 1..4 {
            let id = format!("{i}-0");
            commands.add([&b"XADD"[..], key.as_bytes(), id.as_bytes(), b"f", &noise(len), &text(len), b"v"]);
        }
    }
    for (i, int) in integers().iter().enumerate() {
        commands.line(&format!("XADD stream:integers {}-18446744073709551615 {int} {int}", i + 1));
    }
    commands.line("XADD stream:ids 18446744073709551614-18446744073709551615 a b");
    commands.line("XADD stream:ids 18446744073709551615-5 a b");
    // Tombstones: at the ends of nodes, in the middle, a whole node.
    for i in 1..=250 {
        commands.line(&format!("XADD stream:deleted {i}-1 field {i}"));
    }
    for i in (1..=10).chain(95..=205).chain([211, 250]) {
        commands.line(&format!("XDEL stream:deleted {i}-1"));
    }
    commands.line("XADD stream:empty 5-5 a b");
    commands.line("XDEL stream:empty 5-5");
    commands.line("XGROUP CREATE stream:made g $ MKSTREAM");
    commands.line("XSETID stream:made 99-9");
    groups(commands);
    if consumers {
        commands.line("XGROUP CREATECONSUMER stream:groups behind idler");
    }
    if metadata {
        commands.line("XADD stream:counted 3-3 a b");
        commands.line("XSETID stream:counted 900-1 ENTRIESADDED 55 MAXDELETEDID 800-2");
        commands.line("XGROUP CREATE stream:counted g 3-3 ENTRIESREAD 12");
    }
}

/// Groups at the start, in the middle and at the end; consumers with and without pending entries, some of entries that are gone.
fn groups(commands: &mut Commands) {
    for i in 1..=150 {
        commands.line(&format!("XADD stream:groups {i}-1 field {i}"));
    }
    commands.line("XGROUP CREATE stream:groups behind 0");
    commands.line("XGROUP CREATE stream:groups at-end $");
    commands.line("XGROUP CREATE stream:groups 12345 50-1");
    commands.line("XREADGROUP GROUP behind alice COUNT 70 STREAMS stream:groups >");
    commands.line("XREADGROUP GROUP behind bob COUNT 30 STREAMS stream:groups >");
    commands.line("XREADGROUP GROUP behind bob COUNT 5 NOACK STREAMS stream:groups >");
    commands.line("XREADGROUP GROUP 12345 42 STREAMS stream:groups >");
    for i in (2..=60).step_by(2) {
        commands.line(&format!("XACK stream:groups behind {i}-1"));
    }
    // Delivered long ago, and often.
    for i in [1, 3, 5, 71] {
        commands.line(&format!("XCLAIM stream:groups behind carol 0 {i}-1 TIME {} RETRYCOUNT {i} JUSTID", i * 1000));
    }
    for i in [1, 7, 100, 140] {
        commands.line(&format!("XDEL stream:groups {i}-1"));
    }
}
