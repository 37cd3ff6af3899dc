//! Offsets of fields in the running kernel's types, from its BTF.
//!
//! rustc emits no relocations for kernel types, so the few offsets used are looked up by name at
//! load. Format: include/uapi/linux/btf.h, version 1. The parser is pure and bounded: it reads
//! what a kernel (or a test) hands it and fails by name.
#![deny(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic
)]

use hashbrown::HashMap;

/// Why an offset is not known.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum BtfError {
    /// Not BTF, or cut short.
    #[error("the kernel's BTF is malformed at byte {0}")]
    Malformed(usize),
    /// No such type.
    #[error("no struct {0} in this kernel's BTF")]
    NoStruct(String),
    /// No such member.
    #[error("no field {field} in struct {name} of this kernel's BTF")]
    NoField {
        /// The struct.
        name: String,
        /// The field that was looked for.
        field: String,
    },
}

const MAGIC: u16 = 0xeb9f;
const KIND_PTR: u32 = 2;
const KIND_ARRAY: u32 = 3;
const KIND_STRUCT: u32 = 4;
const KIND_UNION: u32 = 5;
const KIND_TYPEDEF: u32 = 8;
const KIND_VOLATILE: u32 = 9;
const KIND_CONST: u32 = 10;
const KIND_RESTRICT: u32 = 11;
const KIND_FUNC: u32 = 12;
const KIND_FUNC_PROTO: u32 = 13;
const KIND_TYPE_TAG: u32 = 18;
/// How deep anonymous members and typedefs are followed.
const MAX_DEPTH: u32 = 16;

#[derive(Clone, Copy)]
struct Type {
    name: u32,
    info: u32,
    /// Size, or the type referred to.
    size_or_type: u32,
    /// Where its members or parameters begin.
    tail: usize,
}

impl Type {
    fn kind(self) -> u32 {
        self.info >> 24 & 0x1f
    }

    fn members(self) -> usize {
        (self.info & 0xffff) as usize
    }

    /// Member offsets also hold bit-field sizes.
    fn has_bitfields(self) -> bool {
        self.info >> 31 == 1
    }
}

/// A parsed BTF blob.
#[derive(Debug)]
pub struct Btf<'a> {
    data: &'a [u8],
    types: Vec<Type>,
    strings: &'a [u8],
    structs: HashMap<&'a [u8], u32>,
}

impl std::fmt::Debug for Type {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "kind {}", self.kind())
    }
}

impl<'a> Btf<'a> {
    /// Parses a whole blob, as read from `/sys/kernel/btf/vmlinux`.
    ///
    /// # Errors
    /// [`BtfError::Malformed`] with the byte at which it stopped making sense.
    pub fn parse(data: &'a [u8]) -> Result<Self, BtfError> {
        if u16_at(data, 0)? != MAGIC {
            return Err(BtfError::Malformed(0));
        }
        let header = u32_at(data, 4)? as usize;
        let section = |at: usize| -> Result<(usize, usize), BtfError> {
            let start = header.saturating_add(u32_at(data, at)? as usize);
            let end = start.saturating_add(u32_at(data, at + 4)? as usize);
            if end > data.len() {
                Err(BtfError::Malformed(at))
            } else {
                Ok((start, end))
            }
        };
        let (mut at, types_end) = section(8)?;
        let (strings_start, strings_end) = section(16)?;
        let strings = data
            .get(strings_start..strings_end)
            .ok_or(BtfError::Malformed(strings_start))?;
        // Type 0 is void.
        let mut types = vec![Type {
            name: 0,
            info: 0,
            size_or_type: 0,
            tail: 0,
        }];
        let mut structs = HashMap::new();
        while at < types_end {
            let entry = Type {
                name: u32_at(data, at)?,
                info: u32_at(data, at + 4)?,
                size_or_type: u32_at(data, at + 8)?,
                tail: at + 12,
            };
            let tail = tail_bytes(entry).ok_or(BtfError::Malformed(at))?;
            if entry.kind() == KIND_STRUCT
                && let Some(name) = string(strings, entry.name)
                && !name.is_empty()
            {
                structs.entry(name).or_insert(types.len() as u32);
            }
            types.push(entry);
            at = at + 12 + tail;
        }
        Ok(Self {
            data,
            types,
            strings,
            structs,
        })
    }

    /// Offset in bytes of `path` (`skc_num`, or `ns.inum`) in `struct name`. Anonymous members are
    /// looked into; the last component must not be a bit field.
    ///
    /// # Errors
    /// Names what is missing.
    pub fn offset(&self, name: &str, path: &str) -> Result<u32, BtfError> {
        let mut id = *self
            .structs
            .get(name.as_bytes())
            .ok_or_else(|| BtfError::NoStruct(name.to_owned()))?;
        let missing = || BtfError::NoField {
            name: name.to_owned(),
            field: path.to_owned(),
        };
        let mut bits = 0_u32;
        for component in path.split('.') {
            let (at, next) = self
                .member(id, component.as_bytes(), 0)?
                .ok_or_else(missing)?;
            // No multiple of 8 where it ends: missing.
            bits = bits.saturating_add(at);
            id = next;
        }
        if bits.is_multiple_of(8) {
            Ok(bits / 8)
        } else {
            Err(missing())
        }
    }

    /// Whether a tracepoint has a BTF type, and so can be attached to.
    #[must_use]
    pub fn has_tracepoint(&self, name: &str) -> bool {
        let wanted = format!("btf_trace_{name}");
        self.types.iter().any(|entry| {
            entry.kind() == KIND_TYPEDEF
                && string(self.strings, entry.name) == Some(wanted.as_bytes())
        })
    }

    /// How many arguments a function of the kernel takes; `None` where there is none of this name (it may
    /// have been inlined), or it takes a variable number.
    #[must_use]
    pub fn arguments(&self, function: &str) -> Option<usize> {
        let entry = self.get(self.function(function)?)?;
        let prototype = self.get(entry.size_or_type)?;
        (prototype.kind() == KIND_FUNC_PROTO).then(|| prototype.members())
    }

    /// The id by which programs are attached to a function of the kernel.
    #[must_use]
    pub fn function(&self, name: &str) -> Option<u32> {
        let found = self.types.iter().position(|entry| {
            entry.kind() == KIND_FUNC && string(self.strings, entry.name) == Some(name.as_bytes())
        });
        u32::try_from(found?).ok()
    }

    fn get(&self, id: u32) -> Option<Type> {
        self.types.get(id as usize).copied()
    }

    /// Finds a member: its offset in bits and its type.
    fn member(&self, id: u32, wanted: &[u8], depth: u32) -> Result<Option<(u32, u32)>, BtfError> {
        let Some(entry) = self.resolve(id) else {
            return Ok(None);
        };
        if depth > MAX_DEPTH || !matches!(entry.kind(), KIND_STRUCT | KIND_UNION) {
            return Ok(None);
        }
        for i in 0..entry.members() {
            let at = entry.tail + i * 12;
            let name = string(self.strings, u32_at(self.data, at)?).unwrap_or_default();
            let kind = u32_at(self.data, at + 4)?;
            let mut bits = u32_at(self.data, at + 8)?;
            if entry.has_bitfields() {
                if name == wanted && bits >> 24 != 0 {
                    return Ok(None);
                }
                bits &= 0x00ff_ffff;
            }
            if name == wanted {
                return Ok(Some((bits, kind)));
            }
            if name.is_empty()
                && let Some((inner, found)) = self.member(kind, wanted, depth + 1)?
            {
                return Ok(Some((bits.saturating_add(inner), found)));
            }
        }
        Ok(None)
    }

    /// Follows typedefs and qualifiers.
    fn resolve(&self, mut id: u32) -> Option<Type> {
        for _ in 0..MAX_DEPTH {
            let entry = self.get(id)?;
            match entry.kind() {
                KIND_TYPEDEF | KIND_VOLATILE | KIND_CONST | KIND_RESTRICT | KIND_TYPE_TAG => {
                    id = entry.size_or_type;
                }
                _ => return Some(entry),
            }
        }
        None
    }
}

/// Bytes that follow the common part of a type; `None` for a kind this parser does not know.
fn tail_bytes(entry: Type) -> Option<usize> {
    let n = entry.members();
    Some(match entry.kind() {
        0 | KIND_PTR | 7 | KIND_TYPEDEF | KIND_VOLATILE | KIND_CONST | KIND_RESTRICT
        | KIND_FUNC | 16 | KIND_TYPE_TAG => 0,
        // INT, VAR, DECL_TAG: one word.
        1 | 14 | 17 => 4,
        KIND_ARRAY => 12,
        // STRUCT, UNION, DATASEC, ENUM64: three words each.
        KIND_STRUCT | KIND_UNION | 15 | 19 => n * 12,
        // ENUM, FUNC_PROTO: two words each.
        6 | KIND_FUNC_PROTO => n * 8,
        _ => return None,
    })
}

fn u16_at(data: &[u8], at: usize) -> Result<u16, BtfError> {
    data.get(at..at + 2)
        .and_then(|bytes| bytes.try_into().ok())
        .map(u16::from_ne_bytes)
        .ok_or(BtfError::Malformed(at))
}

fn u32_at(data: &[u8], at: usize) -> Result<u32, BtfError> {
    data.get(at..at + 4)
        .and_then(|bytes| bytes.try_into().ok())
        .map(u32::from_ne_bytes)
        .ok_or(BtfError::Malformed(at))
}

fn string(strings: &[u8], at: u32) -> Option<&[u8]> {
    let rest = strings.get(at as usize..)?;
    rest.split(|byte| *byte == 0).next()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]
mod tests {
    use super::*;

    /// struct outer { int a; union { struct inner b; }; }; struct inner { int x; int y; }
    fn sample() -> Vec<u8> {
        let strings = b"\0outer\0a\0inner\0x\0y\0int\0btf_trace_sys\0b\0";
        let at = |s: &str| {
            let needle: Vec<u8> = [b"\0", s.as_bytes(), b"\0"].concat();
            strings
                .windows(needle.len())
                .position(|w| w == needle)
                .unwrap() as u32
                + 1
        };
        let mut t: Vec<u32> = Vec::new();
        // 1: int
        t.extend([at("int"), 1 << 24, 4, 32]);
        // 2: struct inner
        t.extend([at("inner"), 4 << 24 | 2, 8, at("x"), 1, 0, at("y"), 1, 32]);
        // 3: anonymous union { struct inner b; }
        t.extend([0, 5 << 24 | 1, 8, at("b"), 2, 0]);
        // 4: struct outer
        t.extend([at("outer"), 4 << 24 | 2, 12, at("a"), 1, 0, 0, 3, 32]);
        // 5: typedef
        t.extend([at("btf_trace_sys"), 8 << 24, 1]);
        // 6: int (int a, int b); 7: a function of that type
        t.extend([0, 13 << 24 | 2, 1, at("a"), 1, at("b"), 1]);
        t.extend([at("x"), 12 << 24, 6]);
        let types: Vec<u8> = t.iter().flat_map(|w| w.to_ne_bytes()).collect();
        let mut out = Vec::new();
        out.extend(MAGIC.to_ne_bytes());
        out.extend([1, 0]);
        for word in [
            24,
            0,
            types.len() as u32,
            types.len() as u32,
            strings.len() as u32,
        ] {
            out.extend(word.to_ne_bytes());
        }
        out.extend(types);
        out.extend(strings);
        out
    }

    #[test]
    fn finds_fields_through_anonymous_members() {
        let blob = sample();
        let btf = Btf::parse(&blob).unwrap();
        assert_eq!(btf.offset("outer", "a"), Ok(0));
        assert_eq!(btf.offset("outer", "b.y"), Ok(8));
        assert_eq!(btf.offset("inner", "y"), Ok(4));
        assert!(btf.has_tracepoint("sys"));
        assert!(!btf.has_tracepoint("other"));
    }

    #[test]
    fn counts_arguments() {
        let blob = sample();
        let btf = Btf::parse(&blob).unwrap();
        assert_eq!(btf.arguments("x"), Some(2));
        assert_eq!(btf.arguments("inner"), None);
        assert_eq!(btf.arguments("nothing"), None);
    }

    #[test]
    fn names_what_is_missing() {
        let blob = sample();
        let btf = Btf::parse(&blob).unwrap();
        assert_eq!(
            btf.offset("outer", "nothing").unwrap_err().to_string(),
            "no field nothing in struct outer of this kernel's BTF"
        );
        assert_eq!(
            btf.offset("nobody", "a").unwrap_err().to_string(),
            "no struct nobody in this kernel's BTF"
        );
    }

    #[test]
    fn truncations_are_errors() {
        let blob = sample();
        for n in 0..blob.len() {
            let _ = Btf::parse(&blob[..n]).map(|btf| btf.offset("outer", "b.y"));
        }
    }

    #[test]
    fn offsets_that_overflow_are_missing() {
        let mut blob = sample();
        let n = blob.len();
        // Found by the test below: both members' offsets are near 2³² bits.
        for (at, to) in [
            (8_297_478_552_133_659_581_usize, 53),
            (4_699_929_643_901_052_977, 203),
        ] {
            blob[at % n] = to;
        }
        let btf = Btf::parse(&blob).unwrap();
        assert!(btf.offset("outer", "b.y").is_err());
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_are_survived(data: Vec<u8>, flips: Vec<(usize, u8)>) {
            let _ = Btf::parse(&data);
            let mut blob = sample();
            for (at, to) in flips {
                let n = blob.len();
                blob[at % n] = to;
            }
            if let Ok(btf) = Btf::parse(&blob) {
                let _ = btf.offset("outer", "b.y");
            }
        }
    }
}
