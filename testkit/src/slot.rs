//! Which slot of a cluster a key is in. The test kit computes it by itself, since it judges those who do so as well; its
//! tests ask a server.

/// Slots of a cluster.
pub(crate) const SLOTS: u16 = 16_384;

/// The slot of a key: CRC-16/XMODEM of its hash tag, or of all of it when it has none.
#[must_use]
pub fn key_slot(key: &[u8]) -> u16 {
    crc16(tag(key)) % SLOTS
}

/// What is between the first `{` and the first `}` behind it, unless that is nothing.
fn tag(key: &[u8]) -> &[u8] {
    let Some(open) = key.iter().position(|byte| *byte == b'{') else {
        return key;
    };
    match key[open + 1..].iter().position(|byte| *byte == b'}') {
        None | Some(0) => key,
        Some(length) => &key[open + 1..open + 1 + length],
    }
}

fn crc16(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0, |crc, byte| {
        (0..8).fold(
            crc ^ (u16::from(*byte) << 8),
            |crc, _| if crc & 0x8000 == 0 { crc << 1 } else { (crc << 1) ^ 0x1021 },
        )
    })
}

#[cfg(test)]
mod tests {
    use super::key_slot;

    #[test]
    fn is_what_a_server_says() {
        let server = crate::Cluster::builder("redis-7.0", 1).full_coverage(false).layout(&[(0..=0, 0)]).start();
        let keys: [&[u8]; 10] = [
            b"",
            b"foo",
            b"{}a",
            b"foo{}{bar}",
            b"{{a}}b",
            b"a{b",
            b"a}b{c}d",
            b"x{y}{z}",
            b"\0\xff{\xfe}",
            b"123456789",
        ];
        for key in keys {
            let said = server.server(0).cmd(&[b"CLUSTER".as_slice(), b"KEYSLOT", key]);
            assert_eq!(said, redis::Value::Int(key_slot(key).into()), "{}", key.escape_ascii());
        }
    }
}
