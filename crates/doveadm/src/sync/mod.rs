//! `doveadm sync`, `backup` and `dsync-server`: makes two sides of a user's mail the same. The sides may be
//! on this host, or one of them at the other end of a pipe ([`remote`]); what is to be done is thought out
//! without touching mail ([`tree`], [`plan`]) and then done here.

mod attributes;
mod history;
mod local;
pub(crate) mod original;
mod plan;
pub(crate) mod rawlog;
pub(crate) mod remote;
pub(crate) mod side;
mod tree;

use std::collections::VecDeque;
use std::io::Read;

use base::Guid;
use base::tab::escape;
use mail_user::Pattern;
use storage::{Error, Result};

pub(crate) use self::local::Local;
pub(crate) use self::plan::Way;
use self::plan::{Source, Work, plan};
use self::side::{Filter, Levels, Meta, Node, Side, Tree};
use self::tree::Step;

/// Messages that are saved together.
const BATCH: usize = 1000;

/// Deletions and renames follow from each other; beyond this many turns somebody else works against us.
const TURNS_MAX: usize = 1000;

/// What is to be synchronized, and how.
#[derive(Debug, Default)]
pub(crate) struct Choice {
    /// `-m`; all if there is none.
    pub(crate) only: Vec<String>,
    /// `-g`
    pub(crate) guid: Option<Guid>,
    /// `-x`: masks, or special uses with their backslash.
    pub(crate) exclude: Vec<String>,
    pub(crate) filter: Filter,
    /// `-P`
    pub(crate) purge: bool,
}

impl Choice {
    /// What a handshake with the original says of it.
    fn tell(&self, values: &mut Vec<(&'static str, String)>) {
        if self.purge {
            values.push(("purge_remote", String::new()));
        }
        let excluded = self.exclude.iter().map(|mask| escape(mask)).collect::<Vec<_>>().join("\t");
        if !excluded.is_empty() {
            values.push(("exclude_mailboxes", excluded));
        }
    }

    fn wants_name(&self, levels: &Levels) -> bool {
        let name = levels.join("/");
        let fits = |mask: &String| Pattern::new(mask, '/').matches(&name);
        (self.only.is_empty() || self.only.iter().any(fits)) && !self.exclude.iter().any(fits)
    }

    fn wants(&self, node: &Node) -> bool {
        let is_excluded =
            |use_: &String| self.exclude.iter().any(|excluded| excluded.eq_ignore_ascii_case(use_));
        self.guid.is_none_or(|guid| guid == node.guid)
            && self.wants_name(&node.levels)
            && !node.special_use.iter().any(is_excluded)
    }
}

/// What comes of it.
pub(crate) trait Report {
    /// Something could not be done.
    fn fail(&mut self, what: String, error: &Error);
    /// Somebody changed something meanwhile, so that running it again is advisable.
    fn desync(&mut self, why: String);
}

/// Makes both sides the same, as far as `way` says.
///
/// # Errors
/// Without which nothing can be done. What concerns one mailbox is reported.
pub(crate) fn run(
    here: &mut dyn Side,
    there: &mut dyn Side,
    way: Way,
    choice: &Choice,
    report: &mut dyn Report,
) -> Result<()> {
    let mut trees = (here.tree()?, there.tree()?);
    let wanted = |node: &Node| choice.wants(node);
    for _ in 0..TURNS_MAX {
        let steps = tree::moves(&trees.0, &trees.1, way, &wanted);
        if steps.iter().all(Vec::is_empty) || !apply(here, there, &steps, report) {
            break;
        }
        trees = (here.tree()?, there.tree()?);
    }
    apply(here, there, &tree::creations(&trees.0, &trees.1, way, &wanted), report);
    let wants_name = |levels: &Levels| choice.guid.is_none() && choice.wants_name(levels);
    apply(here, there, &tree::nodes(&trees.0, &trees.1, way, &wants_name), report);
    let mut due: VecDeque<Levels> = names(&trees, way, choice).into();
    while let Some(levels) = here.turn(&mut due)? {
        let done = mailbox(here, there, &levels, way, choice, report)
            .and_then(|whole| attributes::synchronize(here, there, &levels, way).map(|()| whole));
        match done {
            Ok(true) => here.synced(),
            Ok(false) => {}
            Err(error) => report.fail(format!("Mailbox {} sync failed", levels.join("/")), &error),
        }
    }
    apply(here, there, &tree::subscriptions(&trees.0, &trees.1, way, &wants_name), report);
    if choice.purge {
        there.purge()?;
    }
    here.finish()?;
    there.finish()
}

/// All mailboxes, parents first.
fn names(trees: &(Tree, Tree), way: Way, choice: &Choice) -> Vec<Levels> {
    let there = trees.1.mailboxes.iter().filter(|_| way == Way::Both);
    let nodes = trees.0.mailboxes.iter().chain(there).filter(|node| choice.wants(node));
    let mut names: Vec<Levels> = nodes.map(|node| node.levels.clone()).collect();
    names.sort();
    names.dedup();
    names
}

/// Whether all could be done.
fn apply(here: &mut dyn Side, there: &mut dyn Side, steps: &[Vec<Step>; 2], report: &mut dyn Report) -> bool {
    let [here_steps, there_steps] = steps;
    let done = apply_to(here, here_steps, report);
    apply_to(there, there_steps, report) && done
}

/// Whether all could be done.
fn apply_to(side: &mut dyn Side, steps: &[Step], report: &mut dyn Report) -> bool {
    let mut done = true;
    for step in steps {
        let (what, result) = match step {
            Step::Delete(levels) => {
                (format!("Mailbox {} sync: mailbox_delete failed", levels.join("/")), side.delete(levels))
            }
            Step::Create(levels) => (
                format!("Mailbox {} sync: mailbox_create failed", levels.join("/")),
                side.create(levels, false),
            ),
            // A layout may have no such names.
            Step::CreateNode(levels) => (String::new(), side.create(levels, true).or_else(is_impossible)),
            Step::Rename(from, to) => {
                let what =
                    format!("Mailbox {} sync: mailbox_rename to {} failed", from.join("/"), to.join("/"));
                (what, side.rename(from, to))
            }
            Step::Subscribe(levels, subscribed) => {
                let what = format!("Mailbox {} subscription failed", levels.join("/"));
                (what, side.subscribe(levels, *subscribed))
            }
        };
        if let Err(error) = result {
            report.fail(what, &error);
            done = false;
        }
    }
    done
}

/// Whether both have the same now.
fn mailbox(
    here: &mut dyn Side,
    there: &mut dyn Side,
    levels: &Levels,
    way: Way,
    choice: &Choice,
    report: &mut dyn Report,
) -> Result<bool> {
    let own = here.open(levels, &choice.filter)?;
    let mut other = there.open(levels, &choice.filter)?;
    let mut planned = plan(&own, &other, way);
    if planned.is_err() {
        if *levels == ["INBOX"] {
            let why = "INBOX has other messages under the same UIDs and can't be made anew";
            return Err(Error::InUse(why.to_owned()));
        }
        there.delete(levels)?;
        there.create(levels, false)?;
        other = there.open(levels, &choice.filter)?;
        planned = plan(&own, &other, way);
    }
    let Ok([for_here, for_there]) = planned else {
        return Err(Error::InUse("Somebody else saves messages there: run it again".to_owned()));
    };
    if for_here.is_none() && for_there.is_none() {
        return Ok(true);
    }
    prepare(here, &for_here, own.uid_next)?;
    prepare(there, &for_there, other.uid_next)?;
    there.want(&wanted(&for_here))?;
    here.want(&wanted(&for_there))?;
    let arrived = arrive(here, there, &for_here)? && arrive(there, here, &for_there)?;
    if !arrived {
        // Nothing is lost: the next time it gets UIDs that are free.
        report.desync(format!("Mailbox {}: messages were saved meanwhile", levels.join("/")));
        return Ok(false);
    }
    finish(here, &for_here)?;
    finish(there, &for_there)?;
    level(here, there, levels, way)?;
    Ok(true)
}

fn is_impossible(error: Error) -> Result<()> {
    match error.kind() {
        storage::ErrorKind::NotPossible | storage::ErrorKind::Params => Ok(()),
        _ => Err(error),
    }
}

/// What the other side is to send.
fn wanted(work: &Work) -> Vec<u32> {
    let others = work.arrive.iter().filter_map(|arrival| match arrival.from {
        Source::Other(uid) => Some(uid),
        Source::Own(_) => None,
    });
    others.collect()
}

/// What comes before messages are saved.
fn prepare(side: &mut dyn Side, work: &Work, uid_next: u32) -> Result<()> {
    if !work.flag.is_empty() {
        side.flag(&work.flag)?;
    }
    if !work.expunge.is_empty() {
        side.expunge(&work.expunge)?;
    }
    match &work.identity {
        // Neither UIDNEXT nor the first recent UID must be above what is still to come.
        Some(identity) => side.identify(&side::Identity { uid_next, first_recent: 0, ..*identity }),
        None => Ok(()),
    }
}

/// What comes after messages were saved.
fn finish(side: &mut dyn Side, work: &Work) -> Result<()> {
    if !work.moved.is_empty() {
        side.expunge(&work.moved)?;
    }
    match &work.identity {
        Some(identity) => side.identify(identity),
        None => Ok(()),
    }
}

/// Whoever gives a side messages.
trait Sender {
    /// A message and its bytes; `None` if it has gone meanwhile.
    fn send(&mut self, uid: u32) -> Result<Option<(Meta, Box<dyn Read + '_>)>>;
}

impl<S: Side + ?Sized> Sender for S {
    fn send(&mut self, uid: u32) -> Result<Option<(Meta, Box<dyn Read + '_>)>> {
        self.message(uid)
    }
}

/// Saves what a side is to get; `false` if it did not get the UIDs that were meant.
fn arrive<S: Sender + ?Sized>(side: &mut dyn Side, other: &mut S, work: &Work) -> Result<bool> {
    for chunk in work.arrive.chunks(BATCH) {
        let mut wanted = Vec::with_capacity(chunk.len());
        for arrival in chunk {
            storage::progress::step();
            match arrival.from {
                Source::Own(uid) => side.copy(uid, arrival.uid)?,
                Source::Other(uid) => {
                    // What has gone meanwhile does not come.
                    let Some((meta, mut body)) = other.send(uid)? else { continue };
                    side.save(&Meta { uid: arrival.uid, ..meta }, &mut *body)?;
                }
            }
            wanted.push(arrival.uid);
        }
        if side.commit()? != wanted {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Gives both the same HIGHESTMODSEQ, so that the next time tells what is newer.
fn level(here: &mut dyn Side, there: &mut dyn Side, levels: &Levels, way: Way) -> Result<()> {
    let filter = Filter::default();
    let (own, other) = (here.open(levels, &filter)?, there.open(levels, &filter)?);
    let highest = own.highest_modseq.max(other.highest_modseq);
    raise(there, &other, highest)?;
    if way == Way::Both { raise(here, &own, highest) } else { Ok(()) }
}

fn raise(side: &mut dyn Side, opened: &side::Opened, highest: u64) -> Result<()> {
    if opened.highest_modseq >= highest {
        return Ok(());
    }
    side.identify(&side::Identity {
        guid: opened.guid,
        uid_validity: opened.uid_validity,
        uid_next: opened.uid_next,
        first_recent: opened.first_recent,
        highest_modseq: highest,
    })
}
