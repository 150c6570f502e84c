//! Extensions: what they are like, whether that can be, and where their records are in the file.

use std::sync::Arc;

use crate::header::{RECORD_SIZE_MIN, number, short};
use crate::limits::{EXT_ALIGN_MAX, EXT_HEADER_SIZE_MAX, EXT_NAME_SIZE_MAX, EXT_RECORD_SIZE_END};
use crate::view::ExtId;

/// Bytes before an extension's name.
pub(crate) const EXT_HEADER_SIZE: usize = 16;

/// An extension of an index.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Ext {
    pub(crate) name: Arc<str>,
    pub(crate) id: ExtId,
    pub(crate) reset_id: u32,
    pub(crate) header: Vec<u8>,
    pub(crate) record_offset: u16,
    pub(crate) record_size: u16,
    pub(crate) record_align: u16,
}

/// What stands before an extension's name in an index file.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ExtHeader {
    pub(crate) hdr_size: u32,
    pub(crate) reset_id: u32,
    pub(crate) record_offset: u16,
    pub(crate) record_size: u16,
    pub(crate) record_align: u16,
    pub(crate) name_size: u16,
}

impl ExtHeader {
    pub(crate) fn parse(bytes: &[u8]) -> Option<Self> {
        Some(Self {
            hdr_size: number(bytes, 0)?,
            reset_id: number(bytes, 4)?,
            record_offset: short(bytes, 8)?,
            record_size: short(bytes, 10)?,
            record_align: short(bytes, 12)?,
            name_size: short(bytes, 14)?,
        })
    }

    /// Whether such an extension can be, in records of `record_size` bytes; the reason in 2.3's words.
    pub(crate) fn check(&self, name: &str, record_size: u32) -> Result<(), String> {
        if self.record_size == 0 && self.hdr_size == 0 {
            return Err("Invalid field values".to_owned());
        }
        if !is_valid_name(name.as_bytes()) {
            return Err("Invalid name".to_owned());
        }
        if self.record_size != 0 {
            self.check_record(record_size)?;
        }
        if self.hdr_size > EXT_HEADER_SIZE_MAX {
            return Err(format!("Headersize too large ({})", self.hdr_size));
        }
        Ok(())
    }

    fn check_record(&self, record_size: u32) -> Result<(), String> {
        let (offset, size, align) = (self.record_offset, self.record_size, self.record_align);
        if align == 0 {
            return Err("Record field alignment is zero".to_owned());
        }
        if align > EXT_ALIGN_MAX {
            return Err("Record alignment is too large".to_owned());
        }
        if !align.is_power_of_two() {
            return Err(format!("Record alignment {align} is no power of two"));
        }
        if size >= EXT_RECORD_SIZE_END {
            return Err("Record size is too large".to_owned());
        }
        if offset == 0 {
            // Its place is not known yet.
            return Ok(());
        }
        if usize::from(offset) < RECORD_SIZE_MIN {
            return Err(format!("Record field points inside base record ({offset})"));
        }
        if u32::from(offset) + u32::from(size) > record_size {
            return Err(format!("Record field points outside record size ({offset}+{size} > {record_size})"));
        }
        if offset % align != 0 {
            return Err(format!("Record field alignment {align} not used"));
        }
        if !record_size.is_multiple_of(u32::from(align)) {
            return Err(format!("Record size not aligned by {align} as required by extension"));
        }
        Ok(())
    }
}

/// Extensions have short names of ASCII letters, digits, `-`, `_` and spaces.
pub(crate) fn is_valid_name(name: &[u8]) -> bool {
    let valid = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_ ".contains(byte);
    !name.is_empty() && name.len() <= EXT_NAME_SIZE_MAX && name.iter().all(valid)
}

/// Places the records of all extensions one after the other, those with the largest alignment first,
/// and gives the size of the whole. `None` if it would be too large; nothing has changed then.
pub(crate) fn lay_out(exts: &mut [Ext]) -> Option<u32> {
    let mut order: Vec<usize> = (0..exts.len()).collect();
    order.sort_by_key(|&at| std::cmp::Reverse(exts.get(at).map_or(0, |ext| ext.record_align)));
    let mut offsets = vec![0u32; exts.len()];
    let (mut offset, mut align_max) = (RECORD_SIZE_MIN as u32, 4u32);
    loop {
        let mut align_min = None;
        let mut placed = false;
        for &at in &order {
            let (Some(ext), Some(own)) = (exts.get(at), offsets.get_mut(at)) else { continue };
            let align = u32::from(ext.record_align.max(1));
            if *own != 0 || ext.record_size == 0 {
                continue;
            }
            align_max = align_max.max(align);
            if offset % align == 0 {
                *own = offset;
                offset += u32::from(ext.record_size);
                placed = true;
                break;
            }
            align_min = Some(align_min.map_or(align, |min: u32| min.min(align)));
        }
        match align_min {
            _ if placed => {}
            Some(align) => offset = offset.next_multiple_of(align),
            None => break,
        }
    }
    let size = offset.next_multiple_of(align_max);
    if size > u32::from(u16::MAX) - 1 {
        return None;
    }
    for (ext, offset) in exts.iter_mut().zip(offsets) {
        ext.record_offset = offset as u16;
    }
    Some(size)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(sizes: &[(u16, u16)], offsets: &[u16], size: u32) {
        let mut exts: Vec<Ext> = sizes
            .iter()
            .map(|&(record_size, record_align)| Ext {
                name: "x".into(),
                id: ExtId(0),
                reset_id: 0,
                header: Vec::new(),
                record_offset: 0,
                record_size,
                record_align,
            })
            .collect();
        assert_eq!(lay_out(&mut exts), Some(size));
        assert_eq!(exts.iter().map(|ext| ext.record_offset).collect::<Vec<_>>(), offsets);
    }

    #[test]
    fn records_are_laid_out_as_in_dovecot() {
        check(&[], &[], 8);
        check(&[(4, 4)], &[8], 12);
        // cache, keywords, modseq: the three bytes before the first aligned field are used.
        check(&[(4, 4), (1, 1), (8, 8)], &[16, 5, 8], 24);
        check(&[(0, 0), (2, 1)], &[0, 5], 8);
    }
}
