//! What must hold of `rdts-resp` for any input, and inputs to begin with. The tests of that crate run the seeds through the same functions.

use rdts_resp::{CommandDecoder, DecodeError, DecodeErrorKind, Limits, Reply, ReplyDecoder, encode};

/// A target's name, and what it does with an input.
pub type Target = (&'static str, fn(&[u8]));

pub const TARGETS: [Target; 2] = [("resp_reply", replies), ("resp_command", commands)];

/// Replies of RESP2 and RESP3: the same in pieces as at once; and what was read can be written, and reads the same again. The first byte
/// chooses the cut and the limits.
pub fn replies(input: &[u8]) {
    let [bits, data @ ..] = input else { return };
    let read = |cut| {
        let mut decoder = ReplyDecoder::with_limits(limits(*bits));
        feed(data, cut, |src| {
            let decoded = decoder.decode(src)?;
            if decoded.is_none() {
                assert!(decoder.missing(src.len()) > 0);
            }
            Ok(decoded.map(|(consumed, reply)| {
                // Each way to look at a reply, borrowed and owned alike.
                let owned = reply.to_owned();
                assert_eq!(reply.is_error(), owned.is_error());
                assert_eq!(reply.as_integer(), owned.as_integer());
                (consumed, written(&owned))
            }))
        })
    };
    let (whole, pieces) = (read(usize::MAX), read(cut(*bits)));
    same(&whole, &pieces, is_tight(*bits));
    for wire in &whole.0 {
        let mut decoder = ReplyDecoder::new();
        let (consumed, reply) = decoder.decode(wire).expect("it was written").expect("as a whole");
        assert_eq!(consumed, wire.len());
        assert_eq!(&written(&reply.to_owned()), wire);
    }
}

/// Commands, inline ones as well: the same in pieces as at once; and the arguments can be written, and read the same again. The first byte
/// chooses the cut and the limits.
pub fn commands(input: &[u8]) {
    let [bits, data @ ..] = input else { return };
    let read = |cut| {
        let mut decoder = CommandDecoder::with_limits(limits(*bits));
        feed(data, cut, |src| {
            let decoded = decoder.decode(src)?;
            Ok(decoded.map(|(consumed, command)| {
                assert_eq!(command.raw(), &src[..consumed]);
                let args: Vec<Vec<u8>> = command.iter().map(<[u8]>::to_vec).collect();
                assert_eq!((args.len(), args.is_empty()), (command.len(), command.is_empty()));
                (consumed, args)
            }))
        })
    };
    let (whole, pieces) = (read(usize::MAX), read(cut(*bits)));
    same(&whole, &pieces, is_tight(*bits));
    for args in whole.0.iter().filter(|args| !args.is_empty()) {
        let mut wire = Vec::new();
        encode::command(&mut wire, args);
        assert_eq!(wire.len(), encode::command_len(args));
        let mut decoder = CommandDecoder::new();
        let (consumed, command) = decoder.decode(&wire).expect("it was written").expect("as a whole");
        assert_eq!(consumed, wire.len());
        assert!(command.iter().eq(args.iter().map(Vec::as_slice)));
    }
}

fn written(reply: &Reply) -> Vec<u8> {
    let mut wire = Vec::new();
    encode::reply3(&mut wire, reply);
    wire
}

/// How a stream ended: all consumed, in the middle of a frame, or with an error of this kind at this offset.
#[derive(Debug, PartialEq, Eq)]
enum End {
    Clean,
    Unfinished,
    Failed(DecodeErrorKind, usize),
}

/// Which of two limits is met first may depend on the cut; what passes may not.
fn same<T: PartialEq + std::fmt::Debug>(whole: &(Vec<T>, End), pieces: &(Vec<T>, End), tight: bool) {
    assert_eq!(whole.0, pieces.0);
    match (&whole.1, &pieces.1) {
        (End::Failed(..), End::Failed(..)) if tight => {}
        (whole, pieces) => assert_eq!(whole, pieces),
    }
}

/// Gives `input` to `decode`, `cut` bytes more each time that it wants more, as a reader with a buffer does.
fn feed<T>(
    input: &[u8],
    cut: usize,
    mut decode: impl FnMut(&[u8]) -> Result<Option<(usize, T)>, DecodeError>,
) -> (Vec<T>, End) {
    let (mut seen, mut start, mut end) = (Vec::new(), 0, 0);
    loop {
        match decode(&input[start..end]) {
            Ok(Some((consumed, item))) => {
                assert!(consumed > 0 && start + consumed <= end);
                start += consumed;
                seen.push(item);
            }
            Err(error) => {
                assert!(error.offset() <= end - start);
                return (seen, End::Failed(error.kind(), start + error.offset()));
            }
            Ok(None) if end < input.len() => end = end.saturating_add(cut).min(input.len()),
            Ok(None) if start == end => return (seen, End::Clean),
            Ok(None) => return (seen, End::Unfinished),
        }
    }
}

fn cut(bits: u8) -> usize {
    usize::from(bits >> 2) + 1
}

fn is_tight(bits: u8) -> bool {
    bits & 1 != 0
}

fn limits(bits: u8) -> Limits {
    if is_tight(bits) {
        Limits::default().max_line(5).max_bulk(8).max_args(3).max_elements(4).max_depth(3).max_frame(40)
    } else {
        Limits::default()
    }
}

/// An input to begin with: for which target, its name, and its bytes.
pub type Seed = (&'static str, String, Vec<u8>);

/// One of each kind of reply and command.
pub fn seeds() -> Vec<Seed> {
    let replies: [&[u8]; 20] = [
        b"+OK\r\n+PONG\r\n",
        b"-ERR unknown command\r\n",
        b":0\r\n:-1\r\n:9223372036854775807\r\n:-9223372036854775808\r\n",
        b"$-1\r\n$0\r\n\r\n$5\r\nhello\r\n",
        b"*-1\r\n*0\r\n*2\r\n$1\r\na\r\n*1\r\n:1\r\n",
        b"_\r\n#t\r\n#f\r\n",
        b",1.5\r\n,inf\r\n,-inf\r\n,nan\r\n,1e300\r\n,-0\r\n",
        b"(3492890328409238509324850943850943825024385\r\n(-1\r\n",
        b"!21\r\nSYNTAX invalid syntax\r\n",
        b"=15\r\ntxt:Some string\r\n=4\r\nmkd:\r\n",
        b"%2\r\n+first\r\n:1\r\n+second\r\n:2\r\n%0\r\n",
        b"~3\r\n+a\r\n:1\r\n_\r\n~0\r\n",
        b">3\r\n+message\r\n+channel\r\n$4\r\nbody\r\n",
        b"|1\r\n+ttl\r\n:3600\r\n$5\r\nvalue\r\n|0\r\n:1\r\n",
        b"*2\r\n|1\r\n+a\r\n+b\r\n:1\r\n*1\r\n|0\r\n_\r\n",
        b"*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n:1\r\n",
        b"%3\r\n$6\r\nserver\r\n$6\r\nvalkey\r\n$5\r\nproto\r\n:3\r\n$4\r\nrole\r\n$6\r\nmaster\r\n",
        b"*?\r\n:1\r\n.\r\n",
        b"$?\r\n;4\r\nHell\r\n;0\r\n",
        b"*4294967295\r\n:1\r\n",
    ];
    let commands: [&[u8]; 9] = [
        b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$1\r\nv\r\n*1\r\n$4\r\nPING\r\n",
        b"*0\r\n*-1\r\n\n\r\n",
        b"PING\r\nset key \"a b\\x00\\n\" 'it\\'s'\r\n",
        b"*2\r\n$0\r\n\r\n$10\r\n\r\n\r\n\r\n\r\n\r\n\r\n",
        b"*2147483647\r\n$536870912\r\nx",
        b"*1\r\n$-1\r\n",
        b"\"unbalanced\r\n",
        b"*2\r\n$6\r\nSELECT\r\n$1\r\n0\r\n*3\r\n$8\r\nREPLCONF\r\n$6\r\nGETACK\r\n$1\r\n*\r\n",
        b"*2\r\n:1\r\n",
    ];
    let mut seeds = Vec::new();
    for (target, inputs) in [("resp_reply", &replies[..]), ("resp_command", &commands[..])] {
        for (number, input) in inputs.iter().enumerate() {
            // In single bytes; in pieces of 17 bytes; with tight limits.
            for bits in [0_u8, 64, 13] {
                seeds.push((target, format!("{number}-{bits}"), [&[bits], *input].concat()));
            }
        }
    }
    seeds
}
