//! Patterns as the KEYS command takes them.

/// Whether `text` matches `pattern`: `*` any bytes, `?` one byte, `[ae]`, `[^e]` and `[a-z]` one byte of (or not of) a
/// class, `\` takes the next byte as it is.
///
/// Takes at most `pattern.len() * text.len()` steps, whatever the pattern.
pub(super) fn matches(pattern: &[u8], text: &[u8]) -> bool {
    let (mut p, mut t) = (0, 0);
    // Where to go on if what follows the last star does not match here: one byte further on.
    let mut star: Option<(usize, usize)> = None;
    loop {
        if p < pattern.len() && pattern[p] == b'*' {
            p += 1;
            star = Some((p, t));
            continue;
        }
        if t == text.len() {
            return p == pattern.len();
        }
        if let Some(next) = one(pattern, p, text[t]) {
            (p, t) = (next, t + 1);
            continue;
        }
        match star {
            Some((after, from)) => {
                star = Some((after, from + 1));
                (p, t) = (after, from + 1);
            }
            None => return false,
        }
    }
}

/// Where the pattern goes on behind what matches `byte` at `p`.
fn one(pattern: &[u8], p: usize, byte: u8) -> Option<usize> {
    match *pattern.get(p)? {
        b'?' => Some(p + 1),
        b'[' => {
            let (found, next) = class(pattern, p + 1, byte);
            found.then_some(next)
        }
        b'\\' if p + 1 < pattern.len() => (pattern[p + 1] == byte).then_some(p + 2),
        other => (other == byte).then_some(p + 1),
    }
}

/// Whether the class that starts at `p` has `byte`, and where the pattern goes on. A class without an end reaches to
/// the pattern's.
fn class(pattern: &[u8], mut p: usize, byte: u8) -> (bool, usize) {
    let inverted = pattern.get(p) == Some(&b'^');
    p += usize::from(inverted);
    let mut found = false;
    loop {
        match pattern[p..] {
            [] => return (found != inverted, p),
            [b']', ..] => return (found != inverted, p + 1),
            [b'\\', literal, ..] => {
                found |= literal == byte;
                p += 2;
            }
            [first, b'-', last, ..] => {
                found |= (first.min(last)..=first.max(last)).contains(&byte);
                p += 3;
            }
            [literal, ..] => {
                found |= literal == byte;
                p += 1;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_as_servers_do() {
        let cases: [(&str, &[&str], &[&str]); 13] = [
            ("", &[""], &["a"]),
            ("*", &["", "a", "a:b"], &[]),
            ("a*", &["a", "ab"], &["", "ba"]),
            ("*a", &["a", "ba", "aa"], &["ab"]),
            ("a*b*c", &["abc", "axbxc", "abcbc"], &["abcb"]),
            ("h?llo", &["hello", "h*llo"], &["hllo"]),
            ("h[ae]llo", &["hello", "hallo"], &["hillo"]),
            ("h[^e]llo", &["hallo"], &["hello"]),
            ("h[b-a]llo", &["hallo", "hbllo"], &["hcllo"]),
            (r"h[\]]llo", &["h]llo"], &["hllo", r"h\llo"]),
            (r"a\*b", &["a*b"], &["axb"]),
            ("a[bc", &["ab", "ac"], &["a", "a["]),
            ("a\\", &["a\\"], &["a"]),
        ];
        for (pattern, good, bad) in cases {
            for text in good {
                assert!(matches(pattern.as_bytes(), text.as_bytes()), "{pattern} {text}");
            }
            for text in bad {
                assert!(!matches(pattern.as_bytes(), text.as_bytes()), "{pattern} {text}");
            }
        }
    }

    #[test]
    fn a_pattern_of_many_stars_takes_no_time() {
        assert!(!matches(&b"*a".repeat(200), &b"a".repeat(150)));
        assert!(matches(&b"*a".repeat(200), &b"a".repeat(20_000)));
    }
}
