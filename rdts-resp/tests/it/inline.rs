//! Inline commands, by the rules that real servers follow.

use proptest::collection::vec;
use proptest::prelude::*;
use rdts_resp::Limits;

use crate::support::{End, bytes, commands, pieces};

/// What Redis 5.0, 6.2, 7.0 and 8.2 answered when these lines were sent to them with ECHO. (Valkey 9.1 forgives text
/// behind a closing quote.)
#[test]
fn words_are_cut_as_servers_cut_them() {
    let cases: [(&[u8], &[&[u8]]); 11] = [
        (b"ECHO \"a\\x41\\n\\q\\x4\"\n", &[b"ECHO", b"aA\nqx4"]),
        (b"ECHO 'a\\'b\\n'\r\n", &[b"ECHO", b"a'b\\n"]),
        (b"ECHO foo\"bar\"\n", &[b"ECHO", b"foobar"]),
        (b"ECHO \x0ba\x0bb\n", &[b"ECHO", b"a\x0bb"]),
        (b"ECHO a\rb\n", &[b"ECHO", b"a", b"b"]),
        (b"ECHO \"\"\n", &[b"ECHO", b""]),
        (b"ECHO a\r\r\n", &[b"ECHO", b"a"]),
        (b"  PING\t \r\n", &[b"PING"]),
        (b" \t\r\n", &[]),
        (b"\r\n", &[]),
        (b"\n", &[]),
    ];
    for (line, expected) in cases {
        for pieces in [&[][..], &[1; 64][..]] {
            let (seen, end) = commands(line, pieces, Limits::default());
            assert_eq!(end, End::Clean);
            assert_eq!(seen.len(), 1);
            assert!(seen[0].inline);
            assert_eq!(seen[0].args, expected, "{:?}", line.escape_ascii().to_string());
            assert_eq!(seen[0].raw, line);
        }
    }
    for line in [&b"ECHO \"a\"b\n"[..], b"ECHO \"a\n", b"ECHO 'a\n", b"ECHO \"a\\\"\n", b"ECHO 'a'b\n"] {
        let (_, end) = commands(line, &[], Limits::default());
        assert!(matches!(end, End::Failed(rdts_resp::DecodeErrorKind::UnbalancedQuotes, _)), "{line:?}");
    }
}

/// Puts a word in double quotes.
fn quoted(word: &[u8]) -> Vec<u8> {
    let mut out = vec![b'"'];
    for &byte in word {
        match byte {
            b'"' | b'\\' => out.extend([b'\\', byte]),
            b' '..=b'~' => out.push(byte),
            _ => out.extend(format!("\\x{byte:02x}").bytes()),
        }
    }
    out.push(b'"');
    out
}

proptest! {
    #[test]
    fn quoted_words_come_back(lines in vec(vec(bytes(), 1..5), 1..4), pieces in pieces()) {
        let mut wire = Vec::new();
        for words in &lines {
            wire.extend(words.iter().map(|word| quoted(word)).collect::<Vec<_>>().join(&b' '));
            wire.extend(b"\r\n");
        }
        let (seen, end) = commands(&wire, &pieces, Limits::default());
        prop_assert_eq!(end, End::Clean);
        prop_assert_eq!(seen.into_iter().map(|seen| seen.args).collect::<Vec<_>>(), lines);
    }
}
