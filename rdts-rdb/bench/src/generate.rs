//! The files that are measured: A small strings, B mixed values, C huge values. The same bytes every time. Each can be had smaller: `share`
//! says by how much.

use std::io::{self, BufWriter, Write};

/// A small generator of numbers; quality does not matter, only that it is the same everywhere.
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }

    fn text(&mut self, len: usize) -> Vec<u8> {
        (0..len)
            .map(|_| b"abcdefghijklmnopqrstuvwxyz0123456789-_ABCDEFGHIJKLMNOPQRSTUVWXYZ"[self.below(64) as usize])
            .collect()
    }
}

const STRINGS: u64 = 3_000_000;
const MIXED: u64 = 200_000;
const FIELDS: u64 = 5_000_000;
const MEMBERS: u64 = 3_000_000;
/// Of 1 MB.
const PIECES: u64 = 400;

struct File<W: Write> {
    out: W,
    crc: u64,
    table: [u64; 256],
}

impl<W: Write> File<W> {
    fn new(out: W) -> Self {
        let mut table = [0; 256];
        for (i, entry) in table.iter_mut().enumerate() {
            *entry =
                (0..8).fold(i as u64, |crc, _| if crc & 1 == 1 { crc >> 1 ^ 0x95AC_9329_AC4B_C9B5 } else { crc >> 1 });
        }
        Self { out, crc: 0, table }
    }

    fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        for &b in bytes {
            self.crc = self.table[usize::from(self.crc as u8 ^ b)] ^ self.crc >> 8;
        }
        self.out.write_all(bytes)
    }

    fn len(&mut self, n: u64) -> io::Result<()> {
        match n {
            0..64 => self.put(&[n as u8]),
            64..16384 => self.put(&[0x40 | (n >> 8) as u8, n as u8]),
            _ => {
                self.put(&[0x80])?;
                self.put(&(n as u32).to_be_bytes())
            }
        }
    }

    fn str(&mut self, s: &[u8]) -> io::Result<()> {
        self.len(s.len() as u64)?;
        self.put(s)
    }

    /// A blob, compressed when that pays, as servers do.
    fn blob(&mut self, s: &[u8]) -> io::Result<()> {
        match lzf::compress(s) {
            Ok(packed) if s.len() > 20 && packed.len() + 4 < s.len() => {
                self.put(&[0xC3])?;
                self.len(packed.len() as u64)?;
                self.len(s.len() as u64)?;
                self.put(&packed)
            }
            _ => self.str(s),
        }
    }

    fn end(mut self) -> io::Result<()> {
        self.put(&[0xFF])?;
        let crc = self.crc.to_le_bytes();
        self.out.write_all(&crc)?;
        self.out.flush()
    }
}

fn listpack(elements: &[Vec<u8>]) -> Vec<u8> {
    let mut lp = vec![0; 6];
    for e in elements {
        let start = lp.len();
        match std::str::from_utf8(e).ok().and_then(|t| t.parse::<i32>().ok()) {
            Some(i @ 0..128) => lp.push(i as u8),
            Some(i) => {
                lp.push(0xF3);
                lp.extend(i.to_le_bytes());
            }
            None if e.len() < 64 => {
                lp.push(0x80 | e.len() as u8);
                lp.extend(e);
            }
            None => {
                lp.extend([0xE0 | (e.len() >> 8) as u8, e.len() as u8]);
                lp.extend(e);
            }
        }
        let size = lp.len() - start;
        if size < 128 {
            lp.push(size as u8);
        } else {
            lp.extend([(size >> 7) as u8, size as u8 & 127 | 128]);
        }
    }
    lp.push(0xFF);
    let total = (lp.len() as u32).to_le_bytes();
    lp[..4].copy_from_slice(&total);
    lp[4..6].copy_from_slice(&(elements.len() as u16).to_le_bytes());
    lp
}

/// 3 M strings of 64 bytes.
fn a(out: impl Write, share: u64) -> io::Result<()> {
    let mut f = File::new(out);
    let mut n = Numbers(1);
    f.put(b"REDIS0012\xFE\x00")?;
    for i in 0..STRINGS / share {
        f.put(&[0])?;
        f.str(format!("string:key:{i:09}").as_bytes())?;
        f.str(&n.text(64))?;
    }
    f.end()
}

/// 200 k keys of every kind, packed and not, with 9.8 M elements, where field and value, or member and score, count as one.
fn b(out: impl Write, share: u64) -> io::Result<()> {
    let mut f = File::new(out);
    let mut n = Numbers(2);
    f.put(b"REDIS0012\xFE\x00")?;
    for i in 0..MIXED / share {
        let key = format!("mixed:key:{i:08}");
        let head = |f: &mut File<_>, kind: u8| {
            f.put(&[kind])?;
            f.str(key.as_bytes())
        };
        match i % 10 {
            0..2 => {
                head(&mut f, 16)?;
                let fields: Vec<_> = (0..25)
                    .flat_map(|j| {
                        [
                            format!("field{j}").into_bytes(),
                            if j % 3 == 0 { n.below(100_000).to_string().into() } else { n.text(22) },
                        ]
                    })
                    .collect();
                f.blob(&listpack(&fields))?;
            }
            2 => {
                head(&mut f, 4)?;
                f.len(60)?;
                for j in 0..60 {
                    f.str(format!("field:{j:06}").as_bytes())?;
                    f.str(&n.text(20))?;
                }
            }
            3 | 4 => {
                head(&mut f, 18)?;
                f.len(2)?;
                for _ in 0..2 {
                    f.put(&[2])?;
                    let items: Vec<_> = (0..40)
                        .map(|j| if j % 4 == 0 { n.below(1000).to_string().into() } else { n.text(24) })
                        .collect();
                    f.blob(&listpack(&items))?;
                }
            }
            5 => {
                head(&mut f, 11)?;
                let mut set = [4u32.to_le_bytes(), 60u32.to_le_bytes()].concat();
                for j in 0..60i32 {
                    set.extend((j * 70_000 + n.below(60_000) as i32).to_le_bytes());
                }
                f.blob(&set)?;
            }
            6 => {
                head(&mut f, 2)?;
                f.len(60)?;
                for _ in 0..60 {
                    f.str(&n.text(20))?;
                }
            }
            7 => {
                head(&mut f, 17)?;
                let members: Vec<_> = (0..40).flat_map(|j| [n.text(18), (j * 1000).to_string().into_bytes()]).collect();
                f.blob(&listpack(&members))?;
            }
            8 => {
                head(&mut f, 5)?;
                f.len(60)?;
                for j in 0..60 {
                    f.str(&n.text(20))?;
                    f.put(&(f64::from(j) * 1.5).to_le_bytes())?;
                }
            }
            _ => {
                head(&mut f, 0)?;
                let word = n.text(10);
                f.blob(&word.repeat(60))?;
            }
        }
    }
    f.end()
}

/// A hash of 5 M fields, a sorted set of 3 M members, a string of 400 MB.
fn c(out: impl Write, share: u64) -> io::Result<()> {
    let mut f = File::new(out);
    let mut n = Numbers(3);
    f.put(b"REDIS0012\xFE\x00\x04\x04hash")?;
    f.len(FIELDS / share)?;
    for i in 0..FIELDS / share {
        f.str(format!("field:{i:08}").as_bytes())?;
        f.str(format!("value:{:010}", n.below(1 << 32)).as_bytes())?;
    }
    f.put(b"\x05\x04zset")?;
    f.len(MEMBERS / share)?;
    for i in 0..MEMBERS / share {
        f.str(format!("member:{i:08}").as_bytes())?;
        f.put(&(i as f64 + 0.5).to_le_bytes())?;
    }
    f.put(b"\x00\x06string")?;
    f.len(PIECES / share * 1_000_000)?;
    let piece = n.text(1_000_000);
    for _ in 0..PIECES / share {
        f.put(&piece)?;
    }
    f.end()
}

/// A file of one of the three kinds, `share` times smaller than the whole.
pub fn write(name: &str, share: u64, out: impl Write) -> io::Result<()> {
    match name {
        "A" => a(out, share),
        "B" => b(out, share),
        "C" => c(out, share),
        _ => Err(io::Error::other("the files are called A, B and C")),
    }
}

/// How many strings or elements are in it, where field and value, or member and score, count as one. C's string is not counted.
pub fn items(name: &str, share: u64) -> u64 {
    match name {
        "A" => STRINGS / share,
        "B" => MIXED / share * 491 / 10,
        _ => FIELDS / share + MEMBERS / share,
    }
}

/// The file on disk.
pub fn file(name: &str, share: u64, path: &std::path::Path) -> io::Result<()> {
    write(name, share, BufWriter::with_capacity(1 << 20, std::fs::File::create(path)?))
}
