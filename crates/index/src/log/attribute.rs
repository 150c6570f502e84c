//! Attribute updates in a log: names, then times and sizes.

use crate::header::number;
use crate::transaction::AttributeUpdate;

/// Whether a record's names are well formed; the reason in 2.3's words.
pub(super) fn check(body: &[u8]) -> Result<(), String> {
    let mut at = 0;
    while at + 2 < body.len() && body.get(at) != Some(&0) {
        let (sign, scope) = (body.get(at).copied().unwrap_or(0), body.get(at + 1).copied().unwrap_or(0));
        if sign != b'+' && sign != b'-' {
            return Err(format!("attribute update: Invalid prefix 0x{sign:02x}"));
        }
        if scope != b'p' && scope != b's' {
            return Err(format!("attribute update: Invalid type 0x{scope:02x}"));
        }
        let name = body.get(at + 2..).unwrap_or_default();
        match memchr::memchr(0, name) {
            Some(0) => return Err("attribute update: Empty key".to_owned()),
            Some(size) => at += 2 + size + 1,
            None => return Err("attribute update doesn't end with NUL".to_owned()),
        }
    }
    if at == 0 || body.get(at).is_some_and(|&byte| byte != 0) {
        return Err("attribute update doesn't end with NUL".to_owned());
    }
    Ok(())
}

/// The updates of a record that was checked; those that are not complete are left out.
pub fn updates(body: &[u8]) -> Vec<AttributeUpdate> {
    let mut updates = Vec::new();
    let mut at = 0;
    while let Some((&[sign, scope], name)) = body.get(at..).and_then(|rest| rest.split_first_chunk::<2>()) {
        let Some(size) = memchr::memchr(0, name).filter(|_| sign != 0) else { break };
        updates.push((sign == b'+', scope == b'p', name.get(..size).unwrap_or_default()));
        at += 2 + size + 1;
    }
    let mut numbers = (at + 1).next_multiple_of(4);
    let mut next = || {
        let value = number(body, numbers);
        numbers += 4;
        value
    };
    let complete = updates.into_iter().map_while(|(set, private, name)| {
        let time = next()?;
        let value_size = if set { Some(next()?) } else { None };
        let name = String::from_utf8_lossy(name).into_owned();
        Some(AttributeUpdate { private, name, time, value_size })
    });
    complete.collect()
}

/// The body of a record.
pub(super) fn encode(updates: &[AttributeUpdate]) -> Vec<u8> {
    let mut body = Vec::new();
    for update in updates {
        body.push(if update.value_size.is_some() { b'+' } else { b'-' });
        body.push(if update.private { b'p' } else { b's' });
        body.extend(update.name.bytes().filter(|&byte| byte != 0));
        body.push(0);
    }
    body.push(0);
    body.resize(body.len().next_multiple_of(4), 0);
    for update in updates {
        body.extend_from_slice(&update.time.to_le_bytes());
        body.extend(update.value_size.into_iter().flat_map(u32::to_le_bytes));
    }
    body
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn round_trip() {
        let update = |name: &str, value_size| AttributeUpdate {
            private: name.len().is_multiple_of(2),
            name: name.to_owned(),
            time: 7,
            value_size,
        };
        let list = vec![update("comment", Some(9)), update("vendor/x", None), update("a", Some(0))];
        let body = encode(&list);
        assert_eq!(check(&body), Ok(()));
        assert_eq!(updates(&body), list);
        for end in 0..body.len() {
            let _ = (check(&body[..end]), updates(&body[..end]));
        }
    }
}
