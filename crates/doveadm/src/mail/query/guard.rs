//! `expunge` and `move` want a query that cannot mean more than was thought: in each branch a
//! mailbox, and in each branch something besides.

use super::{Arg, Leaf, Term};
use crate::context::{Failure, Outcome, status};

pub(super) fn check(args: &[Arg], command: &str) -> Outcome {
    let refused =
        |text: &str| Err(Failure::Fatal(format!("{command}: To avoid accidents, {text}"), status::USAGE));
    if !names_mailbox(args) {
        return refused("search query must contain MAILBOX in all search branches");
    }
    if !has_more(args) {
        return refused(
            "each branch in search query must contain something else besides MAILBOX (e.g. just add \"all\" if you want everything)",
        );
    }
    Ok(())
}

fn is_mailbox(arg: &Arg) -> bool {
    matches!(arg.term, Term::Leaf(Leaf::Mailbox(_) | Leaf::MailboxGlob(_) | Leaf::MailboxGuid(_)))
}

/// One of these is a mailbox, or there are ORs with a mailbox in all their branches.
fn names_mailbox(args: &[Arg]) -> bool {
    let within = |arg: &Arg| matches!(&arg.term, Term::All(below) if names_mailbox(below));
    if args.iter().any(|arg| is_mailbox(arg) || within(arg)) {
        return true;
    }
    let mut ors = args.iter().filter_map(|arg| match &arg.term {
        Term::Any(below) => Some(below),
        _ => None,
    });
    let mut has_or = false;
    ors.all(|below| {
        has_or = true;
        all_name_mailbox(below)
    }) && has_or
}

fn all_name_mailbox(branches: &[Arg]) -> bool {
    branches.iter().all(|arg| match &arg.term {
        Term::Any(below) => all_name_mailbox(below),
        Term::All(below) => names_mailbox(below),
        Term::Leaf(_) => is_mailbox(arg),
    })
}

/// One of these is no mailbox.
fn has_more(args: &[Arg]) -> bool {
    args.iter().any(|arg| match &arg.term {
        Term::Any(below) => all_have_more(below),
        Term::All(below) => has_more(below),
        Term::Leaf(_) => !is_mailbox(arg),
    })
}

fn all_have_more(branches: &[Arg]) -> bool {
    branches.iter().all(|arg| match &arg.term {
        Term::Any(below) => all_have_more(below),
        Term::All(below) => has_more(below),
        Term::Leaf(_) => !is_mailbox(arg),
    })
}
