//! What a session counts, for `imap_logout_format`.

use settings::vars::{Expander, Variable};

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
    /// Messages that `autoexpunge` removed when the session ended.
    pub autoexpunged: u64,
}

impl Stats {
    /// Expands `imap_logout_format`. Unknown variables show as such, as in 2.3; the settings have
    /// been checked when the session began.
    pub fn expand(&self, format: &str, output_bytes: u64, session_id: &str) -> String {
        let numbers = [
            ('i', "input", self.input_bytes),
            ('o', "output", output_bytes),
            ('\0', "deleted", self.deleted),
            ('\0', "expunged", self.expunged),
            ('\0', "trashed", self.trashed),
            ('\0', "appended", self.appended),
            ('\0', "autoexpunged", self.autoexpunged),
            ('\0', "fetch_hdr_count", self.fetch_hdr_count),
            ('\0', "fetch_hdr_bytes", self.fetch_hdr_bytes),
            ('\0', "fetch_body_count", self.fetch_body_count),
            ('\0', "fetch_body_bytes", self.fetch_body_bytes),
        ];
        let texts = numbers.map(|(short, long, number)| (short, long, number.to_string()));
        let mut table: Vec<Variable<'_>> =
            texts.iter().map(|(short, long, text)| (*short, *long, Some(text.as_str()))).collect();
        table.push(('\0', "session", Some(session_id)));
        Expander::of(&table).expand_all(format).0
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
        check("100%% %{session}", "100% s");
    }
}
