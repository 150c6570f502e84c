//! The header of the `keywords` extension: how many, where each name begins, the names.

use std::sync::Arc;

use super::{KEYWORDS, Map};
use crate::header::number;
use crate::limits::KEYWORDS_MAX;

/// Bytes for each name before the names: an unused number and where it begins.
const ENTRY_SIZE: usize = 8;
/// Room for more names that a header gets when it has to grow.
const ROOM: usize = 128;

/// The names in a header, or what is wrong with it in 2.3's words.
pub(super) fn parse(header: &[u8]) -> Result<Vec<Arc<str>>, &'static str> {
    let count = number(header, 0).unwrap_or(0) as usize;
    let names = count.checked_mul(ENTRY_SIZE).and_then(|size| header.get(4 + size..));
    let Some(area) = names.filter(|_| count <= KEYWORDS_MAX) else {
        return Err("keywords_count larger than header size");
    };
    let offset = |at: usize| number(header, 4 + at * ENTRY_SIZE + 4).unwrap_or(u32::MAX) as usize;
    if (0..count).any(|at| offset(at) > area.len()) {
        return Err("name_offset points outside allocated header");
    }
    if count > 0 && area.last() != Some(&0) {
        return Err("Keyword header doesn't end with NUL");
    }
    let mut list: Vec<Arc<str>> = Vec::with_capacity(count);
    for at in 0..count {
        let name = name_at(area, offset(at));
        if name.is_empty() {
            return Err("Empty keyword name in header");
        }
        let name = String::from_utf8_lossy(name);
        if list.iter().any(|known| known.eq_ignore_ascii_case(&name)) {
            return Err("Duplicate keyword name in header");
        }
        list.push(name.as_ref().into());
    }
    Ok(list)
}

/// The names in a header, or none if it is damaged.
pub(crate) fn names(header: &[u8]) -> Vec<String> {
    parse(header).unwrap_or_default().iter().map(|name| name.to_string()).collect()
}

/// The names of a damaged header as far as they can be read; the others become `unknown-<n>`. Also
/// says how many those are. `count` is how many keywords messages have, for where it is not told.
pub(super) fn rescue(header: &[u8], count: impl FnOnce() -> usize) -> (Vec<Arc<str>>, usize) {
    let told = number(header, 0).unwrap_or(0) as usize;
    let area = told.checked_mul(ENTRY_SIZE).and_then(|size| header.get(4 + size..));
    let (count, area) = match area.filter(|_| told <= KEYWORDS_MAX) {
        Some(area) => (told, area),
        None => (count(), &[][..]),
    };
    let mut list: Vec<Option<Arc<str>>> = Vec::with_capacity(count);
    for at in 0..count {
        let offset = number(header, 4 + at * ENTRY_SIZE + 4).unwrap_or(u32::MAX) as usize;
        let name = name_at(area, offset);
        let ends = area.get(offset..).is_some_and(|rest| rest.len() > name.len());
        let name = String::from_utf8_lossy(name);
        let is_valid = ends && !name.is_empty() && name.bytes().all(|byte| byte & 0x7f >= 32);
        let is_new = !list.iter().flatten().any(|known| known.eq_ignore_ascii_case(&name));
        list.push((is_valid && is_new).then(|| name.as_ref().into()));
    }
    let renamed = list.iter().filter(|name| name.is_none()).count();
    let mut next = 0;
    for at in 0..count {
        while list.get(at).is_some_and(Option::is_none) {
            let name = format!("unknown-{next}");
            next += 1;
            if !list.iter().flatten().any(|known| **known == *name)
                && let Some(slot) = list.get_mut(at)
            {
                *slot = Some(name.into());
            }
        }
    }
    (list.into_iter().flatten().collect(), renamed)
}

/// A header with these names, of at least `size` bytes.
pub(super) fn encode(names: &[Arc<str>], size: usize) -> Vec<u8> {
    let mut header = (names.len() as u32).to_le_bytes().to_vec();
    let mut offset = 0u32;
    for name in names {
        header.extend_from_slice(&[0; 4]);
        header.extend_from_slice(&offset.to_le_bytes());
        offset += name.len() as u32 + 1;
    }
    for name in names {
        header.extend_from_slice(name.as_bytes());
        header.push(0);
    }
    header.resize(header.len().next_multiple_of(4), 0);
    if header.len() > size {
        header.resize(header.len() + ROOM, 0);
    } else {
        header.resize(size, 0);
    }
    header
}

/// Bytes for each message that so many keywords take.
pub(super) fn record_size(count: usize) -> u16 {
    let size = count.div_ceil(8) as u16;
    // Nothing is aligned anyway: a byte for later.
    if size.is_multiple_of(4) { size } else { size + 1 }
}

impl Map {
    /// The place of a keyword, if the index has it.
    pub(crate) fn keyword_position(&self, name: &str) -> Option<usize> {
        self.keywords.iter().position(|known| known.eq_ignore_ascii_case(name))
    }

    /// Bytes that the keywords of a message have in the file.
    pub(super) fn keyword_bytes(&self) -> usize {
        self.ext(KEYWORDS).map_or(0, |ext| ext.record_size.into())
    }
}

fn name_at(area: &[u8], offset: usize) -> &[u8] {
    let rest = area.get(offset..).unwrap_or_default();
    rest.get(..memchr::memchr(0, rest).unwrap_or(rest.len())).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn round_trip() {
        let names: Vec<Arc<str>> = ["$Forwarded", "NonJunk", "x"].map(Into::into).to_vec();
        let header = encode(&names, 0);
        assert_eq!(parse(&header).unwrap(), names);
        assert_eq!(encode(&names, header.len()), header);
        assert_eq!(rescue(&header, || 9), (names.clone(), 0));
    }

    #[test]
    fn damage() {
        let names: Vec<Arc<str>> = ["one", "two", "three"].map(Into::into).to_vec();
        let mut header = encode(&names, 0);
        header[4 + 8 + 4] = 0;
        assert_eq!(parse(&header), Err("Duplicate keyword name in header"));
        let (rescued, renamed) = rescue(&header, || 0);
        assert_eq!(
            (rescued.iter().map(|name| &**name).collect::<Vec<_>>(), renamed),
            (vec!["one", "unknown-0", "three"], 1)
        );
        header[0..4].copy_from_slice(&[255; 4]);
        assert_eq!(rescue(&header, || 2).1, 2);
        assert_eq!([1, 8, 9, 32, 33].map(record_size), [2, 2, 3, 4, 6]);
    }
}
