//! `ext-refs`, the line `X` in dbox metadata: which bytes of a message are stored apart, and where.

use std::fmt::{self, Display, Formatter};

use super::limits::REFS_MAX;

/// One attachment of a message.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ExtRef {
    /// Where it begins in the whole message, in bytes.
    pub start: u64,
    /// How many bytes of the whole message it is.
    pub size: u64,
    /// It is stored decoded; this many base64 blocks of four characters make a line. `None`: as it is.
    pub blocks_per_line: Option<u32>,
    /// Its base64 lines end with CRLF.
    pub crlf: bool,
    /// Its file below the attachment directory, as `ab/cd/hash-guid`.
    pub path: String,
}

impl ExtRef {
    /// Reads the line. `None`: it is broken. A path that leads out of the directory makes it so.
    pub fn parse_all(line: &str) -> Option<Vec<Self>> {
        let words: Vec<&str> = line.split(' ').collect();
        let (groups, []) = words.as_chunks::<4>() else { return None };
        if groups.len() > REFS_MAX {
            return None;
        }
        let (mut refs, mut end) = (Vec::with_capacity(groups.len()), 0);
        for [start, size, options, path] in groups {
            let (blocks_per_line, crlf) = parse_options(options)?;
            let (start, size): (u64, u64) = (start.parse().ok()?, size.parse().ok()?);
            if start < end || path.is_empty() || path.starts_with('/') || path.split('/').any(|it| it == "..")
            {
                return None;
            }
            end = start.checked_add(size)?;
            refs.push(Self { start, size, blocks_per_line, crlf, path: (*path).to_owned() });
        }
        Some(refs)
    }

    /// Writes the line.
    pub fn write_all(refs: &[Self]) -> String {
        refs.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
    }
}

impl Display for ExtRef {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} ", self.start, self.size)?;
        if self.crlf {
            f.write_str("C")?;
        }
        match self.blocks_per_line {
            Some(blocks) => write!(f, "B{}", u64::from(blocks) * 4)?,
            None if !self.crlf => f.write_str("-")?,
            None => {}
        }
        write!(f, " {}", self.path)
    }
}

fn parse_options(text: &str) -> Option<(Option<u32>, bool)> {
    if text == "-" {
        return Some((None, false));
    }
    let (mut blocks, mut crlf, mut rest) = (None, false, text);
    while let Some(option) = rest.chars().next() {
        rest = rest.get(option.len_utf8()..)?;
        match option {
            'C' => crlf = true,
            'B' => {
                let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
                let characters: u32 = rest.get(..digits)?.parse().ok()?;
                if characters == 0 || !characters.is_multiple_of(4) {
                    return None;
                }
                blocks = Some(characters / 4);
                rest = rest.get(digits..)?;
            }
            _ => return None,
        }
    }
    Some((blocks, crlf))
}
