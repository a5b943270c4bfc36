//! Function libraries.

use std::borrow::Cow;

use rdts_rdb::Function;

/// The code as `FUNCTION LOAD` takes it; `None` for a kind that is not known here.
pub(crate) fn code<'a>(function: &Function<'a>) -> Option<Cow<'a, [u8]>> {
    match function {
        Function::Library { code } => Some(Cow::Borrowed(code)),
        // Release candidates of Redis 7.0 had what is in the first line now beside the code.
        Function::PreGa { name, engine, code, .. } => {
            let engine = engine.to_ascii_lowercase();
            Some([b"#!", &engine[..], b" name=", name, b"\n", code].concat().into())
        }
        _ => None,
    }
}

/// The name in `#!engine name=NAME`, or nothing.
pub(crate) fn name(code: &[u8]) -> &[u8] {
    let line = code.split(|b| *b == b'\n').next().unwrap_or_default();
    line.split(u8::is_ascii_whitespace).find_map(|word| word.strip_prefix(b"name=")).unwrap_or_default()
}
