//! The commands, one file each or one for a few that are alike. To add one, copy the nearest.

pub mod append;
mod copy;
mod expunge;
pub mod fetch;
mod folders;
mod id;
mod idle;
mod list;
mod namespace;
mod part_query;
pub mod search;
mod search_result;
mod section;
pub mod select;
mod sort;
mod status;
mod store;
mod thread;
mod unselect;

use proto::imap::{Command, CommandKind};
use storage::SyncMode;

use crate::context::Context;
use crate::job::Start;
use crate::out::OutBuf;
use crate::reply::{Answer, Sync};

/// Starts a command. Untagged responses that are short go straight to `out`.
pub fn start(context: &mut Context, kind: CommandKind, command: Command, out: &mut OutBuf) -> Start {
    let name = kind.name();
    let result = match command {
        Command::Capability => {
            out.line(format_args!("* CAPABILITY {}", context.capability));
            Ok(Answer::ok("Capability completed"))
        }
        Command::Noop => Ok(Answer::ok("NOOP completed").sync(noop(SyncMode::Quick))),
        Command::Check => Ok(Answer::ok("Check completed").sync(noop(SyncMode::Full))),
        Command::Logout => {
            out.put(b"* BYE Logging out\r\n");
            Ok(Answer::ok("Logout completed"))
        }
        Command::Id(params) => Ok(id::run(context, &params, out)),
        // None of the capabilities needs to be enabled.
        Command::Enable(_) => Ok(Answer::ok("Enabled")),
        Command::Namespace => Ok(namespace::run(context, out)),
        Command::Select(mailbox) => select::run(context, &mailbox, false, out),
        Command::Examine(mailbox) => select::run(context, &mailbox, true, out),
        Command::Create(mailbox) => folders::create(context, &mailbox),
        Command::Delete(mailbox) => folders::delete(context, &mailbox),
        Command::Rename { from, to } => folders::rename(context, &from, &to),
        Command::Subscribe(mailbox) => folders::subscribe(context, &mailbox),
        Command::Unsubscribe(mailbox) => folders::unsubscribe(context, &mailbox),
        Command::List(list) => return list::list(context, &list),
        Command::Lsub { reference, pattern } => return list::lsub(context, &reference, &pattern),
        Command::Status { mailbox, items } => status::run(context, &mailbox, items, out),
        Command::Idle => return idle::start(out),
        Command::Close => Ok(unselect::close(context)),
        Command::Unselect => Ok(unselect::unselect(context)),
        Command::Expunge => expunge::run(context, None, false),
        Command::UidExpunge(set) => expunge::run(context, Some(&set), true),
        Command::Search { uid, search } => return search::start(context, uid, &search, out),
        Command::Sort { uid, sort } => return sort::start(context, uid, &sort, out),
        Command::Thread { uid, thread } => return thread::start(context, uid, &thread),
        Command::Fetch { uid, fetch } => return fetch::start(context, name, uid, fetch),
        Command::Store { uid, store } => store::run(context, name, uid, &store),
        Command::Copy { uid, copy } => copy::copy(context, name, uid, &copy),
        Command::Move { uid, copy } => copy::move_(context, name, uid, &copy, out),
    };
    Start::Answer(result.unwrap_or_else(|refused| refused))
}

/// Whether the command never touches the storage while no mailbox is selected.
pub fn is_in_memory(kind: CommandKind) -> bool {
    use CommandKind as K;
    matches!(kind, K::Capability | K::Noop | K::Logout | K::Id | K::Enable | K::Namespace | K::Idle)
}

fn noop(mode: SyncMode) -> Sync {
    Sync::All { uid: false, mode, newmail: true }
}
