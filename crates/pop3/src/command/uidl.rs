//! UIDL (RFC 1939 §7): ids that stay.

use base::Uid;

use crate::command::{lost, message};
use crate::context::Context;
use crate::job::{Job, Start, Step};
use crate::limits::STEP_TIME;
use crate::maildrop::Index;
use crate::out::OutBuf;
use crate::uidl::{self, Renamer, Uidl};

pub(super) fn start(context: &mut Context, args: &[u8], out: &mut OutBuf) -> Start {
    let mut job = Listing { only: None, next: 0, kept: None, fresh: Vec::new() };
    if args.is_empty() {
        out.line(format_args!("+OK"));
    } else {
        match message(context, args, false, out) {
            Ok((index, _)) => job.only = Some(index),
            Err(refused) => return refused,
        }
    }
    if context.settings.keeps_uidls() && context.maildrop.uidls.is_none() {
        job.kept = Some(Kept::new(context));
    }
    if job.kept.is_none()
        && let Some(index) = job.only
    {
        return one(context, index, out);
    }
    Start::Job(Box::new(job))
}

/// `UIDL 1`, where it takes a moment only.
fn one(context: &mut Context, index: Index, out: &mut OutBuf) -> Start {
    let mut fresh = Vec::new();
    let found = id(context, index, &mut fresh);
    save(context, &mut fresh);
    match found {
        Ok(Some(text)) => {
            out.line(format_args!("+OK {} {text}", index.number()));
            Start::Done
        }
        Ok(None) => lost(context, index, out),
        Err(Failed) => Start::Close(FAILED.to_owned()),
    }
}

struct Listing {
    only: Option<Index>,
    next: u32,
    /// The ids of all messages are found out first.
    kept: Option<Kept>,
    /// Ids to be saved (`pop3_save_uidl`).
    fresh: Vec<(Uid, String)>,
}

impl Job for Listing {
    fn step(&mut self, context: &mut Context, out: &mut OutBuf) -> Step {
        if let Some(kept) = &mut self.kept {
            match kept.step(context, &mut self.fresh) {
                Ok(false) => return Step::More,
                Ok(true) => self.kept = None,
                Err(Failed) => return Step::Close(FAILED.to_owned()),
            }
        }
        if let Some(index) = self.only {
            save(context, &mut self.fresh);
            return match one(context, index, out) {
                Start::Close(reason) => Step::Close(reason),
                _ => Step::Done,
            };
        }
        self.list(context, out)
    }
}

impl Listing {
    fn list(&mut self, context: &mut Context, out: &mut OutBuf) -> Step {
        let begun = (context.clock)();
        while !out.is_full() && (context.clock)().duration_since(begun) < STEP_TIME {
            let Some((index, _)) = context.maildrop.next_left(&mut self.next) else {
                save(context, &mut self.fresh);
                out.put(b".\r\n");
                return Step::Done;
            };
            match id(context, index, &mut self.fresh) {
                Ok(Some(text)) => out.line(format_args!("{} {text}", index.number())),
                // It has gone, and the client will notice when it asks for it.
                Ok(None) => {}
                Err(Failed) => return Step::Close(FAILED.to_owned()),
            }
        }
        Step::More
    }
}

/// Finds out all ids in the order of the mailbox, so that equal ones are always renamed alike.
struct Kept {
    order: std::vec::IntoIter<Index>,
    renamer: Option<Renamer>,
    uidls: Vec<Option<Box<str>>>,
}

impl Kept {
    fn new(context: &Context) -> Self {
        let maildrop = &context.maildrop;
        let uid = |index: &Index| maildrop.message(*index).map(|message| message.uid);
        let mut order: Vec<Index> = (1..=maildrop.len()).filter_map(Index::of_number).collect();
        order.sort_by_key(uid);
        Self {
            order: order.into_iter(),
            renamer: context.settings.rename_duplicates.then(Renamer::default),
            uidls: vec![None; maildrop.len() as usize],
        }
    }

    /// Whether all are known.
    fn step(&mut self, context: &mut Context, fresh: &mut Vec<(Uid, String)>) -> Result<bool, Failed> {
        let begun = (context.clock)();
        while (context.clock)().duration_since(begun) < STEP_TIME {
            let Some(index) = self.order.next() else {
                context.maildrop.uidls = Some(std::mem::take(&mut self.uidls));
                return Ok(true);
            };
            let Some(mut found) = find(context, index)? else { continue };
            if let Some(renamer) = &mut self.renamer {
                found.text = renamer.rename(found.text);
            }
            note(context, index, &found, fresh);
            if let Some(slot) = self.uidls.get_mut(index.number() as usize - 1) {
                *slot = Some(found.text.into());
            }
        }
        Ok(false)
    }
}

/// The log has the reason.
struct Failed;

const FAILED: &str = "POP3 UIDLs couldn't be listed";

/// The id of a message, from those that are kept if they are; notes it if it has to be saved.
fn id(context: &mut Context, index: Index, fresh: &mut Vec<(Uid, String)>) -> Result<Option<String>, Failed> {
    if let Some(uidls) = &context.maildrop.uidls {
        let kept = uidls.get(index.number() as usize - 1);
        return Ok(kept.and_then(|kept| kept.as_deref().map(str::to_owned)));
    }
    let found = find(context, index)?;
    Ok(found.map(|found| {
        note(context, index, &found, fresh);
        found.text
    }))
}

fn find(context: &mut Context, index: Index) -> Result<Option<Uidl>, Failed> {
    uidl::uidl(context, index).map_err(|error| {
        context.log.error(base::chain(&error));
        Failed
    })
}

fn note(context: &Context, index: Index, found: &Uidl, fresh: &mut Vec<(Uid, String)>) {
    if context.settings.save_uidl
        && !found.is_saved
        && let Some(message) = context.maildrop.message(index)
    {
        fresh.push((message.uid, found.text.clone()));
    }
}

/// `pop3_save_uidl`. A client that has its ids need not know if they could not be kept.
fn save(context: &mut Context, fresh: &mut Vec<(Uid, String)>) {
    let fresh = std::mem::take(fresh);
    if fresh.is_empty() || context.maildrop.mailbox().is_readonly() {
        return;
    }
    if let Err(error) = context.maildrop.mailbox().save_pop3_uidls(&fresh) {
        context.log.error(base::chain(&error));
    }
}
