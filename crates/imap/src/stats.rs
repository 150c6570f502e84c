//! What a session counts, for `imap_logout_format`.

/// The counters.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Stats {
    /// Bytes from the client.
    pub input_bytes: u64,
    /// Messages that were given `\Deleted`.
    pub deleted: u64,
    /// Messages that were expunged.
    pub expunged: u64,
    /// Messages that were copied or moved to a mailbox whose special use is `\Trash`.
    pub trashed: u64,
    /// Headers that were fetched.
    pub fetch_hdr_count: u64,
    /// Their bytes.
    pub fetch_hdr_bytes: u64,
    /// Bodies that were fetched.
    pub fetch_body_count: u64,
    /// Their bytes.
    pub fetch_body_bytes: u64,
    /// APPENDed messages.
    pub appended: u64,
    /// Messages that automatic expunging removed; nothing does yet.
    pub autoexpunged: u64,
}

impl Stats {
    /// Expands `format`: `%i`, `%o` and `%{name}`; what is unknown is left as it is.
    pub fn expand(&self, format: &str, output_bytes: u64, session_id: &str) -> String {
        let value = |name: &str| -> Option<String> {
            Some(match name {
                "i" | "input" => self.input_bytes.to_string(),
                "o" | "output" => output_bytes.to_string(),
                "session" => session_id.to_owned(),
                "deleted" => self.deleted.to_string(),
                "expunged" => self.expunged.to_string(),
                "trashed" => self.trashed.to_string(),
                "appended" => self.appended.to_string(),
                "autoexpunged" => self.autoexpunged.to_string(),
                "fetch_hdr_count" => self.fetch_hdr_count.to_string(),
                "fetch_hdr_bytes" => self.fetch_hdr_bytes.to_string(),
                "fetch_body_count" => self.fetch_body_count.to_string(),
                "fetch_body_bytes" => self.fetch_body_bytes.to_string(),
                _ => return None,
            })
        };
        let mut out = String::with_capacity(format.len());
        let mut rest = format;
        while let Some((text, after)) = rest.split_once('%') {
            out.push_str(text);
            let (name, tail) = match after.strip_prefix('{').and_then(|long| long.split_once('}')) {
                Some((name, tail)) => (name, tail),
                None => after.split_at(after.chars().next().map_or(0, char::len_utf8)),
            };
            match (name, value(name)) {
                ("%", _) => out.push('%'),
                (_, Some(value)) => out.push_str(&value),
                (_, None) => {
                    out.push('%');
                    out.push_str(after.get(..after.len() - tail.len()).unwrap_or_default());
                }
            }
            rest = tail;
        }
        out.push_str(rest);
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logout_line() {
        let stats = Stats { input_bytes: 24, deleted: 1, ..Stats::default() };
        let check = |format: &str, expected: &str| assert_eq!(stats.expand(format, 795, "s"), expected);
        check("in=%i out=%o deleted=%{deleted}", "in=24 out=795 deleted=1");
        check("100%% %x %{nope} %{session}%", "100% %x %{nope} s%");
    }
}
