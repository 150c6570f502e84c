//! LIST (RFC 3501 §6.3.8, RFC 5258, RFC 5819, RFC 6154) and LSUB (RFC 3501 §6.3.9).

use mail_user::{ListEntry, ListOptions, Node};
use proto::imap::command::{List, StatusItems};
use proto::imap::response::put_string;

use super::status::{put_status, wanted};
use crate::context::Context;
use crate::job::{Job, Start, Step};
use crate::out::OutBuf;
use crate::reply::Answer;
use crate::selected::put_name;

pub(super) fn list(context: &mut Context, list: &List) -> Start {
    if !list.is_extended() && list.patterns.first().is_some_and(String::is_empty) {
        return root(context, &list.reference, "List completed");
    }
    let select = list.select.unwrap_or_default();
    let returns = list.returns.unwrap_or_default();
    let is_plain = !list.is_extended();
    let options = ListOptions {
        select_subscribed: select.subscribed,
        select_special_use: select.special_use,
        recursive_match: select.recursive_match,
        lsub: false,
        unseen: false,
        existing_only: false,
        return_children: is_plain || returns.children,
        return_subscribed: returns.subscribed || select.subscribed,
        return_status: returns.status.map(wanted),
    };
    let patterns: Vec<&str> =
        list.patterns.iter().map(String::as_str).filter(|text| !text.is_empty()).collect();
    let shape = Shape {
        verb: Verb::List,
        is_plain,
        special_use: is_plain || returns.special_use || select.special_use,
        subscribed: options.return_subscribed,
        status: returns.status,
    };
    begin(context, &list.reference, &patterns, &options, shape, "List completed")
}

pub(super) fn lsub(context: &mut Context, reference: &str, pattern: &str) -> Start {
    if pattern.is_empty() {
        return Answer::ok("Lsub completed").into();
    }
    let verb = if context.settings.workarounds.tb_lsub_flags { Verb::LsubWithFlags } else { Verb::Lsub };
    // Without that workaround 2.3 shows subscriptions as they are, whatever there is on disk.
    let unseen = verb == Verb::Lsub;
    let options = ListOptions { select_subscribed: true, lsub: true, unseen, ..ListOptions::default() };
    let shape = Shape { verb, is_plain: true, special_use: true, subscribed: false, status: None };
    begin(context, reference, &[pattern], &options, shape, "Lsub completed")
}

/// `LIST ref ""`: the separator and the root of the reference.
fn root(context: &mut Context, reference: &str, done: &'static str) -> Start {
    let (name, separator) = context.user.root_of(reference);
    let entry = ListEntry {
        name,
        separator,
        node: Node::NoSelect,
        children: None,
        no_inferiors: false,
        marked: None,
        subscribed: false,
        child_subscribed: false,
        special_use: Vec::new(),
        status: None,
    };
    let shape =
        Shape { verb: Verb::List, is_plain: true, special_use: false, subscribed: false, status: None };
    Start::Job(Box::new(Listing { entries: vec![entry].into_iter(), shape, done }))
}

fn begin(
    context: &mut Context,
    reference: &str,
    patterns: &[&str],
    options: &ListOptions,
    shape: Shape,
    done: &'static str,
) -> Start {
    match context.user.list(reference, patterns, options) {
        Ok(entries) => Start::Job(Box::new(Listing { entries: entries.into_iter(), shape, done })),
        Err(error) => context.failed(&error, Answer::of_error).into(),
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Verb {
    List,
    Lsub,
    /// With `\Noselect` also for what is subscribed and cannot be selected, as `tb-lsub-flags` wants.
    LsubWithFlags,
}

impl Verb {
    fn name(self) -> &'static str {
        if self == Self::List { "LIST" } else { "LSUB" }
    }
}

/// How entries are shown.
struct Shape {
    verb: Verb,
    /// Not in RFC 5258's syntax.
    is_plain: bool,
    special_use: bool,
    subscribed: bool,
    status: Option<StatusItems>,
}

struct Listing {
    entries: std::vec::IntoIter<ListEntry>,
    shape: Shape,
    done: &'static str,
}

impl Job for Listing {
    fn step(&mut self, _context: &mut Context, _input: &mut &[u8], out: &mut OutBuf) -> Step {
        while !out.is_full() {
            let Some(entry) = self.entries.next() else { return Step::Done(Answer::ok(self.done)) };
            self.shape.put(&entry, out);
        }
        Step::More
    }
}

impl Shape {
    fn put(&self, entry: &ListEntry, out: &mut OutBuf) {
        out.put(b"* ");
        out.put(self.verb.name().as_bytes());
        out.put(b" (");
        self.put_attributes(entry, out);
        out.put(b") ");
        put_string(out.raw(), entry.separator.encode_utf8(&mut [0; 4]).as_bytes());
        out.put(b" ");
        put_name(out, &entry.name);
        if entry.child_subscribed && !self.is_plain {
            out.put(b" (CHILDINFO (\"SUBSCRIBED\"))");
        }
        out.put(b"\r\n");
        if let (Some(asked), Some(status)) = (self.status, &entry.status) {
            put_status(out, &entry.name, asked, status);
        }
    }

    fn put_attributes(&self, entry: &ListEntry, out: &mut OutBuf) {
        let mut gap: &[u8] = b"";
        let mut put = |word: &str| {
            out.put(gap);
            out.put(word.as_bytes());
            gap = b" ";
        };
        if self.subscribed && entry.subscribed {
            put("\\Subscribed");
        }
        match entry.node {
            Node::Selectable => {}
            // LSUB's \Noselect means "only children are subscribed"; the name itself may exist or not.
            Node::NonExistent if self.verb == Verb::Lsub && entry.subscribed => {}
            Node::NonExistent if !self.is_plain => put("\\NonExistent"),
            Node::NoSelect | Node::NonExistent => put("\\Noselect"),
        }
        if entry.no_inferiors {
            put("\\NoInferiors");
        }
        match entry.children {
            Some(true) => put("\\HasChildren"),
            Some(false) if !entry.no_inferiors => put("\\HasNoChildren"),
            _ => {}
        }
        match entry.marked {
            Some(true) if self.is_plain && self.verb == Verb::List => put("\\Marked"),
            Some(false) if self.is_plain && self.verb == Verb::List => put("\\UnMarked"),
            _ => {}
        }
        if self.special_use {
            entry.special_use.iter().for_each(|word| put(word));
        }
    }
}
