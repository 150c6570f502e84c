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
            Answer::Penalty { .. } | Answer::Ban(_) | Answer::Proxied(_) => {}
            Answer::End => break,
        }
    }
    kicked.sort_unstable();
    kicked.dedup();
    print(cx, &kicked)
}

fn print(cx: &mut Context, kicked: &[String]) -> Outcome {
    if kicked.is_empty() {
        cx.output.line("no users kicked");
        cx.status = status::NOT_FOUND;
        return Ok(());
    }
    cx.output.line("kicked connections from the following users:");
    let mut table = cx.table(Format::Formatted("%{result} "), &[column("result")])?;
    for user in kicked {
        table.value(user, &mut cx.output);
    }
    table.end(&mut cx.output);
    cx.output.plain("\n");
    Ok(())
}

#[cfg(test)]
mod tests {
    use ipc::anvil::Session;

    use super::*;
    use crate::context::tests::Doveadm;

    fn kicked(user: &str) -> Answer {
        let session = Session {
            id: 1,
            username: user.into(),
            service: "imap".into(),
            remote_ip: None,
            session_id: String::new(),
        };
        Answer::Session { session, pid: 1 }
    }

    #[test]
    fn users_are_named_once() {
        let doveadm = Doveadm::new();
        let anvil =
            doveadm.play::<Query, _>("anvil", vec![kicked("v"), kicked("u"), kicked("v"), Answer::End]);
        let (output, status) = doveadm.run("kick * 10.0.0.0/8");
        // The order is what a pipe sees of 2.3.
        assert_eq!(output, "u v kicked connections from the following users:\n\n");
        assert_eq!(status, Ok(0));
        match anvil.join().unwrap() {
            Query::Kick { users, nets } => {
                assert_eq!(users, ["*"]);
                assert_eq!(nets, [("10.0.0.0".parse().unwrap(), 8)]);
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn nobody_to_kick() {
        let doveadm = Doveadm::new();
        let _anvil = doveadm.play::<Query, _>("anvil", vec![Answer::End]);
        assert_eq!(doveadm.run("kick nobody"), ("no users kicked\n".to_owned(), Ok(status::NOT_FOUND)));
        assert_eq!(doveadm.run("kick").1, Err(Failure::Exit(status::USAGE)));
        assert_eq!(doveadm.run("kick a b").1, Err(Failure::Exit(status::USAGE)));
    }
}
