//! `doveadm kick`: ends the sessions of users. 2.3 ends whole processes, and warns when others have
//! sessions in them; here anvil ends exactly the sessions that were named.

use ipc::anvil::{Answer, Query};

use super::selection::Selection;
use super::who::anvil_path;
use crate::args::Args;
use crate::context::{Context, Failure, Outcome, status};
use crate::frames::Asked;
use crate::print::{Format, column};

pub(crate) fn kick(cx: &mut Context, args: &Args) -> Outcome {
    if args.list("mask").is_empty() {
        cx.error("user and/or ip[/bits] must be specified.", status::USAGE);
        return Err(Failure::Exit(status::USAGE));
    }
    let path = anvil_path(cx, args)?;
    let selection = Selection::parse(cx, args.list("mask"))?;
    let users = selection.user.into_iter().collect();
    let nets = selection.net.into_iter().collect();
    let mut asked = Asked::ask(&path, &Query::Kick { users, nets })?;
    let mut kicked = Vec::new();
    loop {
        match asked.expect()? {
            Answer::Session { session, .. } => kicked.push(session.username),
            Answer::Penalty { .. } => {}
            Answer::End => break,
        }
    }
    kicked.sort_unstable();
    kicked.dedup();
    print(cx, &kicked);
    Ok(())
}

fn print(cx: &mut Context, kicked: &[String]) {
    if kicked.is_empty() {
        cx.output.line("no users kicked");
        cx.status = status::NOT_FOUND;
        return;
    }
    cx.output.line("kicked connections from the following users:");
    let mut table = cx.table(Format::Formatted("%{result} "), &[column("result")]);
    for user in kicked {
        table.value(user, &mut cx.output);
    }
    table.end(&mut cx.output);
    cx.output.plain("\n");
}
