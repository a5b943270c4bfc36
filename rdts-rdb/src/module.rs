//! What values of modules are made of.

use std::fmt;

use crate::str::Str;

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// Name and encoding version of a module's type, in 64 bits.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct ModuleId(u64);

impl ModuleId {
    /// From the number in the file.
    #[must_use]
    pub const fn from_raw(raw: u64) -> Self {
        Self(raw)
    }

    /// The number in the file.
    #[must_use]
    pub const fn raw(self) -> u64 {
        self.0
    }

    /// The name: nine characters.
    #[must_use]
    pub fn name(self) -> ModuleName {
        let mut name = [0; 9];
        for (i, c) in name.iter_mut().enumerate() {
            *c = ALPHABET[usize::try_from(self.0 >> (58 - 6 * i)).unwrap_or(0) & 63];
        }
        ModuleName(name)
    }

    /// Version of the module's own encoding, 0 to 1023.
    #[must_use]
    pub const fn encoding_version(self) -> u16 {
        (self.0 & 1023) as u16
    }
}

impl fmt::Debug for ModuleId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ModuleId({}, {})", self.name(), self.encoding_version())
    }
}

impl fmt::Display for ModuleId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.name(), self.encoding_version())
    }
}

/// A module type's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ModuleName([u8; 9]);

impl ModuleName {
    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or("")
    }
}

impl fmt::Display for ModuleName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One item of a module's value. What it means only the module knows.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub enum ModuleItem<'a> {
    /// A signed integer.
    Signed(i64),
    /// An unsigned integer.
    Unsigned(u64),
    /// A single-precision number.
    Float(f32),
    /// A double.
    Double(f64),
    /// A string.
    Str(Str<'a>),
}
