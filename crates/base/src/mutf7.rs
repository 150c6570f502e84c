//! Modified UTF-7 (RFC 3501 §5.1.3): how IMAP writes mailbox names on the wire, and how Maildir++ and
//! Dovecot write them as directory names.

/// Why text is not modified UTF-7.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("invalid modified UTF-7")]
pub struct BadMutf7;

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+,";

/// UTF-8 to modified UTF-7. Every text has exactly one form.
pub fn encode(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut units: Vec<u16> = Vec::new();
    for c in text.chars() {
        if (' '..='~').contains(&c) {
            flush(&mut units, &mut out);
            out.push(c);
            if c == '&' {
                out.push('-');
            }
        } else {
            units.extend_from_slice(c.encode_utf16(&mut [0; 2]));
        }
    }
    flush(&mut units, &mut out);
    out
}

/// Modified UTF-7 to UTF-8. Strict: only the form that [`encode`] gives is accepted, so that two
/// names on the wire are never one mailbox.
pub fn decode(text: &str) -> Result<String, BadMutf7> {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('&') {
        let (plain, shifted) = rest.split_at(at);
        push_plain(plain, &mut out)?;
        let shifted = shifted.get(1..).ok_or(BadMutf7)?;
        let (run, after) = shifted.split_once('-').ok_or(BadMutf7)?;
        match run {
            "" => out.push('&'),
            run => push_run(run, &mut out)?,
        }
        // A second run right behind the first should have been one run; "&-" may follow.
        if !run.is_empty() && after.starts_with('&') && !after.starts_with("&-") {
            return Err(BadMutf7);
        }
        rest = after;
    }
    push_plain(rest, &mut out)?;
    Ok(out)
}

fn push_plain(plain: &str, out: &mut String) -> Result<(), BadMutf7> {
    if !plain.bytes().all(|byte| (b' '..=b'~').contains(&byte)) {
        return Err(BadMutf7);
    }
    out.push_str(plain);
    Ok(())
}

fn push_run(run: &str, out: &mut String) -> Result<(), BadMutf7> {
    let (mut bits, mut count) = (0u32, 0u32);
    let mut units = Vec::with_capacity(run.len() / 2);
    for byte in run.bytes() {
        let value = ALPHABET.iter().position(|&known| known == byte).ok_or(BadMutf7)?;
        bits = bits << 6 | value as u32;
        count += 6;
        if count >= 16 {
            count -= 16;
            units.push((bits >> count) as u16);
            bits &= (1 << count) - 1;
        }
    }
    // What is left pads the last unit: fewer than six bits, all zero.
    if count >= 6 || bits != 0 || units.is_empty() {
        return Err(BadMutf7);
    }
    for c in char::decode_utf16(units) {
        match c.map_err(|_| BadMutf7)? {
            ' '..='~' => return Err(BadMutf7),
            c => out.push(c),
        }
    }
    Ok(())
}

fn flush(units: &mut Vec<u16>, out: &mut String) {
    if units.is_empty() {
        return;
    }
    out.push('&');
    let (mut bits, mut count) = (0u32, 0u32);
    for unit in units.drain(..) {
        bits = bits << 16 | u32::from(unit);
        count += 16;
        while count >= 6 {
            count -= 6;
            out.push(ALPHABET[(bits >> count & 0x3f) as usize].into());
        }
        bits &= (1 << count) - 1;
    }
    if count > 0 {
        out.push(ALPHABET[(bits << (6 - count) & 0x3f) as usize].into());
    }
    out.push('-');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(utf8: &str, mutf7: &str) {
        assert_eq!(encode(utf8), mutf7);
        assert_eq!(decode(mutf7).as_deref(), Ok(utf8));
    }

    #[test]
    fn both_ways() {
        check("INBOX", "INBOX");
        check("a&b", "a&-b");
        check("&&", "&-&-");
        check("Entwürfe", "Entw&APw-rfe");
        check("~peter/mail/台北/日本語", "~peter/mail/&U,BTFw-/&ZeVnLIqe-");
        check("ü&ü", "&APw-&-&APw-");
        check("😀", "&2D3eAA-");
        check("tab\there", "tab&AAk-here");
    }

    #[test]
    fn only_one_form_is_valid() {
        for bad in
            ["&", "&APw", "&AGE-", "ü", "&APw-&APw-", "&A-", "&AP-", "&APx-", "&2D0-", "&!!!-", "&APwA-"]
        {
            assert_eq!(decode(bad), Err(BadMutf7), "{bad}");
        }
    }
}
