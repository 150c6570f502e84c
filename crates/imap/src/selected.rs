//! The selected mailbox as the client knows it, and the announcing of what changed.

use std::collections::VecDeque;
use std::sync::Arc;

use base::{Seq, Uid, UidSet};
use proto::imap::response;
use storage::{Changes, Flags, Mailbox, Record, SyncMode, View};

use crate::limits::STEP_MESSAGES_MAX;
use crate::out::OutBuf;

/// A selected mailbox.
pub struct Selected {
    /// The mailbox itself.
    pub mailbox: Box<dyn Mailbox>,
    /// Its name as the user knows it.
    pub name: String,
    /// What the client knows. Sequence numbers mean this one.
    pub view: Arc<View>,
    /// Whether it was EXAMINEd.
    pub is_examined: bool,
    /// What the last SEARCH with SAVE found: `$` (RFC 5182).
    pub saved_result: UidSet,
    recent_told: u64,
}

impl Selected {
    /// Takes a mailbox whose first snapshot the client is about to be told.
    pub fn new(mailbox: Box<dyn Mailbox>, name: String, view: Arc<View>, is_examined: bool) -> Self {
        let recent_told = mailbox.recent().len();
        Self { mailbox, name, view, is_examined, saved_result: UidSet::new(), recent_told }
    }

    /// How many messages are `\Recent`.
    pub fn recent(&self) -> u64 {
        self.recent_told
    }

    /// Whether the client may change anything.
    pub fn is_readonly(&self) -> bool {
        self.is_examined || self.mailbox.is_readonly()
    }

    /// Appends the flags of a message, `\Recent` and keywords included.
    pub fn put_flags(&self, out: &mut Vec<u8>, view: &View, record: &Record, added: Flags) {
        let is_recent = self.mailbox.recent().contains(record.uid);
        put_flag_names(out, record.flags | added, is_recent, view.keyword_names(&record.keywords));
    }

    /// FLAGS and PERMANENTFLAGS (RFC 3501 §7.2.6, §7.1).
    pub fn put_flag_lists(&self, out: &mut OutBuf, view: &View) {
        let keywords = || view.keywords().iter().map(|keyword| &**keyword);
        out.put(b"* FLAGS (");
        put_flag_names(out.raw(), Flags::ALL, false, keywords());
        out.put(b")\r\n* OK [PERMANENTFLAGS (");
        if self.is_readonly() {
            out.put(b")] Read-only mailbox.\r\n");
            return;
        }
        put_flag_names(out.raw(), Flags::ALL, false, keywords());
        let star: &[u8] = if self.mailbox.allows_new_keywords() { b" \\*" } else { b"" };
        out.put(star);
        out.put(b")] Flags permitted.\r\n");
    }

    /// Looks for changes and prepares to tell the client. Flag changes of `quiet` messages are not
    /// told: the client made them, or knows them already.
    pub fn look(&mut self, how: Look, quiet: &UidSet) -> storage::Result<Announcement> {
        let newest = self.mailbox.sync(how.mode)?;
        Ok(self.announce(&newest, how, quiet))
    }

    /// Prepares to tell the client how `newest` differs from what it knows.
    pub fn announce(&mut self, newest: &Arc<View>, how: Look, quiet: &UidSet) -> Announcement {
        let mut target = match how.keep_expunged {
            true => View::keeping_expunged(&self.view, newest),
            false => newest.clone(),
        };
        if how.hide_new {
            let appended = View::diff(&self.view, &target).appended;
            if !appended.is_empty() {
                let mut edit = target.edit();
                edit.remove(&appended);
                target = Arc::new(edit.finish());
            }
        }
        let changes = View::diff(&self.view, &target);
        let flags: Vec<Uid> = changes.flags_changed.iter().filter(|uid| !quiet.contains(*uid)).collect();
        let mut expunged: Vec<Seq> = self.view.seqs_of(&changes.expunged).iter().collect();
        expunged.reverse();
        let old = std::mem::replace(&mut self.view, target);
        Announcement {
            changes,
            flags: flags.into(),
            expunged: expunged.into(),
            old,
            uid: how.uid,
            begun: false,
        }
    }
}

/// How to look for changes, and which of them to tell.
#[derive(Debug, Clone, Copy)]
pub struct Look {
    /// How hard.
    pub mode: SyncMode,
    /// Whether expunged messages stay in the client's view for now.
    pub keep_expunged: bool,
    /// Whether new messages stay out of it for now.
    pub hide_new: bool,
    /// Whether FETCH responses have UIDs.
    pub uid: bool,
}

fn put_flag_names<'a>(
    out: &mut Vec<u8>,
    flags: Flags,
    is_recent: bool,
    keywords: impl Iterator<Item = &'a str>,
) {
    let start = out.len();
    let mut put = |name: &str| {
        if out.len() > start {
            out.push(b' ');
        }
        out.extend_from_slice(name.as_bytes());
    };
    flags.names().for_each(&mut put);
    is_recent.then_some("\\Recent").into_iter().for_each(&mut put);
    keywords.filter(|keyword| can_be_shown(keyword)).for_each(put);
}

/// Whether a keyword leaves a response readable. Damaged files may have others.
fn can_be_shown(keyword: &str) -> bool {
    let is_bad =
        |byte: u8| byte.is_ascii_control() || matches!(byte, b' ' | b'(' | b')' | b'{' | b'"' | b'\\');
    !keyword.is_empty() && !keyword.bytes().any(is_bad)
}

/// Untagged responses that are being sent, a bounded number at a time. The client's view has
/// changed already: nothing else may be sent before all of it is.
#[derive(Debug)]
pub struct Announcement {
    changes: Changes,
    flags: VecDeque<Uid>,
    expunged: VecDeque<Seq>,
    /// What the client knew before: sequence numbers in flag changes are of this one.
    old: Arc<View>,
    uid: bool,
    begun: bool,
}

impl Announcement {
    /// Whether the mailbox was replaced under the session, which must end.
    pub fn is_inconsistent(&self) -> bool {
        self.changes.uid_validity
    }

    /// Sends more; `true` once all is sent.
    pub fn step(&mut self, selected: &mut Selected, out: &mut OutBuf) -> bool {
        let view = selected.view.clone();
        if !std::mem::replace(&mut self.begun, true) && self.changes.keywords_added {
            selected.put_flag_lists(out, &view);
        }
        for _ in 0..STEP_MESSAGES_MAX {
            if out.is_full() {
                return false;
            }
            let Some(uid) = self.flags.pop_front() else { break };
            self.put_flag_change(selected, &view, uid, out);
        }
        if !self.flags.is_empty() {
            return false;
        }
        while !out.is_full() {
            let Some(seq) = self.expunged.pop_front() else {
                self.put_counts(selected, &view, out);
                return true;
            };
            out.line(format_args!("* {seq} EXPUNGE"));
        }
        false
    }

    /// FETCH responses come first and so still count the messages that are about to be expunged.
    fn put_flag_change(&self, selected: &Selected, view: &View, uid: Uid, out: &mut OutBuf) {
        let (Some(record), Some(seq)) = (view.record(uid), self.old.seq(uid)) else { return };
        out.format(format_args!("* {seq} FETCH ("));
        if self.uid {
            out.format(format_args!("UID {uid} "));
        }
        out.put(b"FLAGS (");
        selected.put_flags(out.raw(), view, record, Flags::NONE);
        out.put(b"))\r\n");
    }

    fn put_counts(&self, selected: &mut Selected, view: &View, out: &mut OutBuf) {
        if !self.changes.appended.is_empty() {
            out.line(format_args!("* {} EXISTS", view.len()));
        }
        if self.changes.is_empty() {
            return;
        }
        let recent = selected.mailbox.recent();
        let recent = recent.iter().filter(|uid| view.record(*uid).is_some()).count() as u64;
        // Those that are gone but not yet told of still count for the client.
        let is_news = recent > selected.recent_told || !self.changes.expunged.is_empty();
        if is_news && recent != selected.recent_told {
            out.line(format_args!("* {recent} RECENT"));
            selected.recent_told = recent;
        }
    }
}

/// Appends a mailbox name in its wire form.
pub fn put_name(out: &mut OutBuf, name: &str) {
    // Most names are the same in modified UTF-7.
    match name.bytes().all(|byte| (b' '..=b'~').contains(&byte) && byte != b'&') {
        true => response::put_astring(out.raw(), name.as_bytes()),
        false => response::put_mailbox(out.raw(), name),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_damaged_keyword_does_not_end_the_list() {
        let mut out = Vec::new();
        let keywords = ["kw", "k)w", "a b", "", "\u{1}", "x[y", "\u{fc}", "k\"", "{3}", "last"];
        put_flag_names(&mut out, Flags::SEEN, true, keywords.into_iter());
        assert_eq!(String::from_utf8_lossy(&out), "\\Seen \\Recent kw x[y \u{fc} last");
    }
}
