//! References from a message's metadata to attachments that lie in files of their own. Pure.

/// One attachment outside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExtRef {
    /// Where in the plain message it belongs, in bytes.
    pub start: u64,
    /// How many bytes it has there.
    pub bytes: u64,
    /// If it was base64 in the message and lies decoded: characters per line.
    pub base64_line: Option<u32>,
    /// Whether those lines end with CRLF.
    pub crlf: bool,
    /// Below `mail_attachment_dir`; sdbox adds the mailbox's GUID and the UID.
    pub path: String,
}

/// Reads the value of the key `X`; `None` if it is not well formed.
pub fn parse(line: &str) -> Option<Vec<ExtRef>> {
    let words: Vec<&str> = line.split(' ').collect();
    let (groups, rest) = words.as_chunks::<4>();
    let mut end = 0;
    let mut found = Vec::with_capacity(groups.len());
    for [start, bytes, options, path] in groups {
        let (base64_line, crlf) = parse_options(options)?;
        let one = ExtRef {
            start: start.parse().ok()?,
            bytes: bytes.parse().ok()?,
            base64_line,
            crlf,
            path: (*path).to_owned(),
        };
        // A path may not lead out of the directory.
        if one.start < end || one.path.split('/').any(|part| part == ".." || part.is_empty()) {
            return None;
        }
        end = one.start.checked_add(one.bytes)?;
        found.push(one);
    }
    rest.is_empty().then_some(found)
}

fn parse_options(text: &str) -> Option<(Option<u32>, bool)> {
    let (crlf, rest) = match text.strip_prefix('C') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    match rest {
        "-" | "" => Some((None, crlf)),
        rest => {
            let chars: u32 = rest.strip_prefix('B')?.parse().ok()?;
            (chars > 0 && chars.is_multiple_of(4)).then_some((Some(chars), crlf))
        }
    }
}

/// The value of the key `X`.
pub fn write(refs: &[ExtRef]) -> String {
    let one = |one: &ExtRef| {
        let mut options = String::new();
        if one.crlf {
            options.push('C');
        }
        if let Some(chars) = one.base64_line {
            options.push_str(&format!("B{chars}"));
        }
        if options.is_empty() {
            options.push('-');
        }
        format!("{} {} {options} {}", one.start, one.bytes, one.path)
    };
    refs.iter().map(one).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn round_trip() {
        let line = "100 4096 CB76 ab/cd/abcd-0123 5000 10 - ef/01/ef01-4567 6000 8 B76 x 6008 1 C y";
        let refs = parse(line).unwrap();
        assert_eq!(write(&refs), line);
        assert_eq!((refs[0].base64_line, refs[0].crlf, refs[1].base64_line), (Some(76), true, None));
    }

    #[test]
    fn broken() {
        for line in
            ["", "1 2 -", "1 2 - a 1 2 - b", "x 2 - a", "1 2 Q a", "1 2 B3 a", "1 2 - ../a", "1 2 - a "]
        {
            assert_eq!(parse(line), None, "{line}");
        }
        assert_eq!(parse(&format!("{} 2 - a", u64::MAX)), None);
    }
}
