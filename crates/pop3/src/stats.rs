//! What a session counts, for `pop3_logout_format`.

use settings::vars::{Expander, Variable};

/// The counters.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Stats {
    /// Bytes from the client.
    pub input_bytes: u64,
    /// TOP commands.
    pub top_count: u64,
    /// The bytes of their answers.
    pub top_bytes: u64,
    /// RETR commands.
    pub retr_count: u64,
    /// The bytes of their answers.
    pub retr_bytes: u64,
}

/// What the session ended with, beside the counters.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Messages that QUIT deleted, and their bytes; none if there was no QUIT.
    pub deleted_count: u32,
    /// See above.
    pub deleted_bytes: u64,
    /// Messages there were at the beginning.
    pub message_count: u32,
    /// Their bytes.
    pub message_bytes: u64,
    /// `%{uidl_change}`: how many UIDLs with which hash there were before and after, if the client
    /// asked for them.
    pub uidl_change: String,
}

impl Stats {
    /// Expands `pop3_logout_format`. `user` are the user's own variables. Unknown variables show as
    /// such, as in 2.3.
    pub fn expand(
        &self,
        format: &str,
        outcome: &Outcome,
        output_bytes: u64,
        user: &[Variable<'_>],
    ) -> String {
        let numbers = [
            ('p', "top_bytes", self.top_bytes),
            ('t', "top_count", self.top_count),
            ('b', "retr_bytes", self.retr_bytes),
            ('r', "retr_count", self.retr_count),
            ('d', "deleted_count", u64::from(outcome.deleted_count)),
            ('m', "message_count", u64::from(outcome.message_count)),
            ('s', "message_bytes", outcome.message_bytes),
            ('i', "input", self.input_bytes),
            ('o', "output", output_bytes),
            ('\0', "deleted_bytes", outcome.deleted_bytes),
        ];
        let texts = numbers.map(|(short, long, number)| (short, long, number.to_string()));
        let mut table: Vec<Variable<'_>> =
            texts.iter().map(|(short, long, text)| (*short, *long, Some(text.as_str()))).collect();
        table.push(('u', "uidl_change", Some(&outcome.uidl_change)));
        table.extend_from_slice(user);
        Expander::of(&table).expand_all(format).0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logout_line() {
        let stats = Stats { input_bytes: 24, top_count: 1, top_bytes: 9, retr_count: 2, retr_bytes: 70 };
        let outcome = Outcome {
            deleted_count: 1,
            deleted_bytes: 30,
            message_count: 3,
            message_bytes: 90,
            uidl_change: "3/00000001 -> 2/00000000".to_owned(),
        };
        let user = [('\0', "session", Some("s")), ('u', "user", Some("me"))];
        let check =
            |format: &str, expected: &str| assert_eq!(stats.expand(format, &outcome, 795, &user), expected);
        check("top=%t/%p, retr=%r/%b, del=%d/%m, size=%s", "top=1/9, retr=2/70, del=1/3, size=90");
        check("%i %o %{deleted_bytes} %{session} %{user}", "24 795 30 s me");
        check("%u", "3/00000001 -> 2/00000000");
        check("%{top_count}%{top_bytes}%{retr_count}%{retr_bytes}", "19270");
        check("%{deleted_count}%{message_count}%{message_bytes}%{input}%{output}", "139024795");
    }
}
