//! The lists of fields in the file: finding the newest one, reading it, overwriting what may change in
//! it, adding one with new fields.

use super::field::{FieldType, Want};
use super::layout::{FIELD_BYTES, FIELD_LIST_HEADER_BYTES, offset_to_packed, packed_to_offset, pad, u32_at};
use super::limits::{FIELD_LIST_BYTES_MAX, FIELD_LISTS_MAX, FIELD_NAME_BYTES_MAX};
use super::pieces::read_at_most;
use super::{Cache, FieldId, IndexFacts, Registry, Trouble};

/// One field as a list has it.
struct Listed<'a> {
    last_used: u32,
    kind: FieldType,
    want: Want,
    name: &'a str,
}

impl Cache {
    /// Takes over the newest list of fields. What the settings force and what has just been decided
    /// here stays.
    pub(super) fn read_field_list(&mut self, index: &IndexFacts) -> Result<(), Trouble> {
        let at = self.find_field_list()?;
        let bytes = self.field_list_bytes(at)?;
        let listed = parse(&bytes)?;
        self.registry.forget_file();
        for (number, listed) in (0..).zip(&listed) {
            self.take_over(number, listed)?;
        }
        for id in self.registry.file_order.clone() {
            self.judge_field(id, index);
        }
        Ok(())
    }

    /// Overwrites decisions and times of use in the newest list. The file is locked.
    pub(super) fn update_field_list(&mut self, index: &IndexFacts) -> Result<(), Trouble> {
        self.read_field_list(index)?;
        let order = self.registry.file_order.clone();
        let fields = || order.iter().map(|&id| self.registry.field(id));
        let last_used: Vec<u8> = fields().flat_map(|field| field.last_used.to_ne_bytes()).collect();
        let decisions: Vec<u8> = fields().map(|field| field.decision.encode()).collect();
        let Some(open) = &self.open else { return Ok(()) };
        let times_at = u64::from(open.field_list) + FIELD_LIST_HEADER_BYTES as u64;
        let decisions_at = times_at + (FIELD_BYTES - 1) as u64 * order.len() as u64;
        self.write_at(&open.file, &last_used, times_at)?;
        self.write_at(&open.file, &decisions, decisions_at)?;
        self.field_list_written(&order);
        Ok(())
    }

    /// Writes a list that has the wanted fields besides those in the file, and links it. The file is
    /// locked.
    pub(super) fn extend_field_list(
        &mut self,
        wanted: &[FieldId],
        index: &IndexFacts,
    ) -> Result<(), Trouble> {
        self.read_field_list(index)?;
        let mut order = self.registry.file_order.clone();
        for &id in wanted {
            if self.registry.field(id).in_file.is_none() && !order.contains(&id) {
                order.push(id);
            }
        }
        let bytes = encode(&self.registry, &order);
        let at = self.append_offset(bytes.len())?;
        let Some(open) = &self.open else { return Ok(()) };
        self.write_at(&open.file, &bytes, u64::from(at))?;
        let link_at = u64::from(open.field_list);
        self.write_at(&open.file, &offset_to_packed(at).to_ne_bytes(), link_at)?;
        self.field_list_written(&order);
        self.read_field_list(index)
    }

    pub(super) fn field_list_written(&mut self, written: &[FieldId]) {
        for &id in written {
            self.registry.field_mut(id).dirty = false;
        }
        self.registry.write_pending = false;
    }

    /// Where the newest list is.
    fn find_field_list(&mut self) -> Result<u32, Trouble> {
        let purge_count = self.settings.purge_header_continue_count;
        let Some(open) = &mut self.open else { return Err("missing header fields".into()) };
        let (mut at, mut count) = (0, 0);
        let mut next = match open.field_list {
            0 => packed_to_offset(open.header.field_list),
            known => known,
        };
        while next != 0 {
            if next == at {
                return Err("next_offset in field header loops".into());
            }
            if next < at {
                return Err("next_offset in field header decreases".into());
            }
            at = next;
            count += 1;
            let mut head = [0; FIELD_LIST_HEADER_BYTES];
            let read = read_at_most(&open.file, &mut head, u64::from(at));
            if read.map_err(|error| Trouble::System("pread", error))? < head.len() {
                return Err("header field next_offset points outside file".into());
            }
            if count > FIELD_LISTS_MAX {
                return Err("next_offset in field header loops".into());
            }
            next = u32_at(&head, 0).map_or(0, packed_to_offset);
        }
        if at == 0 {
            return Err("missing header fields".into());
        }
        open.field_list = at;
        if count > purge_count {
            self.purge_later(format!("Too many continued headers ({count})"));
        }
        Ok(at)
    }

    fn field_list_bytes(&self, at: u32) -> Result<Vec<u8>, Trouble> {
        let Some(open) = &self.open else { return Ok(Vec::new()) };
        let read_into = |buffer: &mut [u8]| {
            let read = read_at_most(&open.file, buffer, u64::from(at));
            read.map_err(|error| Trouble::System("pread", error))
        };
        let mut head = [0; FIELD_LIST_HEADER_BYTES];
        read_into(&mut head)?;
        let size = u32_at(&head, 4).unwrap_or(0).max(FIELD_LIST_HEADER_BYTES as u32);
        if size > FIELD_LIST_BYTES_MAX {
            return Err("invalid field header size".into());
        }
        let mut bytes = vec![0; size as usize];
        if read_into(&mut bytes)? < bytes.len() {
            return Err("header field size outside file".into());
        }
        Ok(bytes)
    }

    fn take_over(&mut self, number: u32, listed: &Listed<'_>) -> Result<(), Trouble> {
        let id = self.registry.register(listed.name, listed.kind);
        let field = self.registry.field_mut(id);
        let mut write_pending = false;
        if field.decision.forced {
            write_pending = field.decision.want != listed.want;
        } else if !field.dirty {
            field.decision.want = listed.want;
        }
        if field.kind.encode().0 != listed.kind.encode().0 {
            return Err(Trouble::Broken(format!("registered field {} type changed", field.name)));
        }
        if field.kind != listed.kind {
            return Err(Trouble::Broken(format!("registered field {} size changed", field.name)));
        }
        if field.in_file.is_some() {
            return Err(Trouble::Broken(format!("Duplicated field in header: {}", listed.name)));
        }
        field.used = true;
        field.in_file = Some(number);
        field.last_used = field.last_used.max(listed.last_used);
        self.registry.file_order.push(id);
        self.registry.write_pending |= write_pending;
        Ok(())
    }
}

/// The bytes of a list of these fields, in this order.
pub(super) fn encode(registry: &Registry, order: &[FieldId]) -> Vec<u8> {
    let fields = || order.iter().map(|&id| registry.field(id));
    let names: usize = fields().map(|field| field.name.len() + 1).sum();
    let size = FIELD_LIST_HEADER_BYTES + FIELD_BYTES * order.len() + names;
    let mut bytes = Vec::with_capacity(size + 3);
    // Invariant: fields come from lists and settings, whose limits keep this far below 2^32.
    for word in [0, size as u32, order.len() as u32] {
        bytes.extend_from_slice(&word.to_ne_bytes());
    }
    fields().for_each(|field| bytes.extend_from_slice(&field.last_used.to_ne_bytes()));
    fields().for_each(|field| bytes.extend_from_slice(&field.kind.encode().1.to_ne_bytes()));
    bytes.extend(fields().map(|field| field.kind.encode().0));
    bytes.extend(fields().map(|field| field.decision.encode()));
    for field in fields() {
        bytes.extend_from_slice(field.name.as_bytes());
        bytes.push(0);
    }
    pad(&mut bytes);
    bytes
}

fn parse(bytes: &[u8]) -> Result<Vec<Listed<'_>>, Trouble> {
    let count = u32_at(bytes, 8).unwrap_or(0) as usize;
    let names_at = count
        .checked_mul(FIELD_BYTES)
        .and_then(|length| length.checked_add(FIELD_LIST_HEADER_BYTES))
        .filter(|&at| at <= bytes.len())
        .ok_or("invalid field header size")?;
    let (times_at, sizes_at) = (FIELD_LIST_HEADER_BYTES, FIELD_LIST_HEADER_BYTES + 4 * count);
    let (types_at, wants_at) = (sizes_at + 4 * count, sizes_at + 5 * count);
    let mut names = bytes.get(names_at..).unwrap_or_default();
    let mut listed = Vec::with_capacity(count);
    for number in 0..count {
        let (name, rest) = next_name(names).ok_or("field header names corrupted")?;
        names = rest;
        let byte = |at: usize| bytes.get(at + number).copied().unwrap_or(u8::MAX);
        let size = u32_at(bytes, sizes_at + 4 * number).unwrap_or(0);
        listed.push(Listed {
            last_used: u32_at(bytes, times_at + 4 * number).unwrap_or(0),
            kind: FieldType::decode(byte(types_at), size).ok_or("field type corrupted")?,
            want: Want::decode(byte(wants_at)).ok_or("field decision type corrupted")?,
            name,
        });
    }
    Ok(listed)
}

/// Splits a name and its NUL off. Names are ASCII whoever wrote them; anything else is damage.
fn next_name(names: &[u8]) -> Option<(&str, &[u8])> {
    let end = memchr::memchr(0, names)?;
    let name = std::str::from_utf8(names.get(..end)?).ok()?;
    let sound = !name.is_empty() && name.len() <= FIELD_NAME_BYTES_MAX;
    sound.then_some((name, names.get(end + 1..)?))
}
