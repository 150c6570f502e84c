//! `doveadm who`: who is logged in.

use std::collections::BTreeMap;
use std::net::IpAddr;

use ipc::anvil::{Answer, Query, Session};

use super::selection::Selection;
use crate::args::Args;
use crate::context::{Context, Outcome};
use crate::frames::Asked;
use crate::print::{Column, Format, column, keyed};

pub(crate) fn who(cx: &mut Context, args: &Args) -> Outcome {
    let path = anvil_path(cx, args)?;
    let selection = Selection::parse(cx, args.list("mask"))?;
    let sessions = sessions(&path)?;
    if args.flag("separate-connections") {
        print_each(cx, &selection, &sessions)
    } else {
        print_users(cx, &selection, &sessions)
    }
}

/// Where to ask: `-a` or `base_dir/anvil`.
pub(crate) fn anvil_path(cx: &mut Context, args: &Args) -> Outcome<String> {
    match args.text("socket-path") {
        Some(path) => Ok(path.to_owned()),
        None => cx.in_base_dir("anvil"),
    }
}

fn sessions(path: &str) -> Outcome<Vec<(Session, u32)>> {
    let mut asked = Asked::ask(path, &Query::Who)?;
    let mut sessions = Vec::new();
    loop {
        match asked.expect()? {
            Answer::Session { session, pid } => sessions.push((session, pid)),
            Answer::Penalty { .. } | Answer::Ban(_) | Answer::Proxied(_) => {}
            Answer::End => return Ok(sessions),
        }
    }
}

fn print_each(cx: &mut Context, selection: &Selection, sessions: &[(Session, u32)]) -> Outcome {
    let columns = [
        Column { expand: true, ..column("username") },
        keyed("service", "proto"),
        column("pid"),
        column("ip"),
    ];
    let mut table = cx.table(Format::Table, &columns)?;
    for (session, pid) in sessions {
        if selection.has_user(&session.username) && selection.has_ip(session.remote_ip) {
            let ip = session.remote_ip.map(|ip| ip.to_string()).unwrap_or_default();
            table.row(&[&session.username, &session.service, &pid.to_string(), &ip], &mut cx.output);
        }
    }
    table.end(&mut cx.output);
    Ok(())
}

#[derive(Default)]
struct User {
    connections: u32,
    pids: Vec<u32>,
    ips: Vec<IpAddr>,
}

fn print_users(cx: &mut Context, selection: &Selection, sessions: &[(Session, u32)]) -> Outcome {
    let mut users: BTreeMap<(&str, &str), User> = BTreeMap::new();
    for (session, pid) in sessions {
        let user = users.entry((&session.username, &session.service)).or_default();
        user.connections += 1;
        if !user.pids.contains(pid) {
            user.pids.push(*pid);
        }
        if let Some(ip) = session.remote_ip.filter(|ip| !user.ips.contains(ip)) {
            user.ips.push(ip);
        }
    }
    let columns = [
        column("username"),
        Column { right: true, ..keyed("connections", "#") },
        keyed("service", "proto"),
        keyed("pids", "(pids)"),
        keyed("ips", "(ips)"),
    ];
    let mut table = cx.table(Format::Table, &columns)?;
    for ((name, service), user) in &users {
        let in_net = selection.net.is_none() || user.ips.iter().any(|ip| selection.has_ip(Some(*ip)));
        if selection.has_user(name) && in_net {
            let (count, pids, ips) = (user.connections.to_string(), list(&user.pids), list(&user.ips));
            table.row(&[*name, &count, *service, &pids, &ips], &mut cx.output);
        }
    }
    table.end(&mut cx.output);
    Ok(())
}

fn list(items: &[impl ToString]) -> String {
    let items: Vec<String> = items.iter().map(ToString::to_string).collect();
    format!("({})", items.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::context::tests::Doveadm;

    fn session(user: &str, service: &str, ip: &str, pid: u32) -> Answer {
        let session = Session {
            id: 1,
            username: user.into(),
            service: service.into(),
            remote_ip: ip.parse().ok(),
            session_id: "s".into(),
        };
        Answer::Session { session, pid }
    }

    #[track_caller]
    fn check(line: &str, expected: &str) {
        let doveadm = Doveadm::new();
        let sessions = vec![
            session("bob", "pop3", "2001:db8::1", 12),
            session("alice@example.com", "imap", "10.0.0.1", 10),
            session("alice@example.com", "imap", "10.0.0.2", 10),
            session("alice@example.com", "imap", "10.0.0.1", 11),
            session("carol", "lmtp", "", 13),
            Answer::End,
        ];
        let anvil = doveadm.play::<Query, _>("anvil", sessions);
        let (output, status) = doveadm.run(line);
        assert_eq!((output.as_str(), status), (expected, Ok(0)), "{line}");
        assert!(matches!(anvil.join().unwrap(), Query::Who));
    }

    #[test]
    fn sessions_are_added_up() {
        check(
            "-f flow who",
            "username=alice@example.com #=3 proto=imap (pids)=(10 11) (ips)=(10.0.0.1 10.0.0.2)\n\
             username=bob #=1 proto=pop3 (pids)=(12) (ips)=(2001:db8::1)\n\
             username=carol #=1 proto=lmtp (pids)=(13) (ips)=()\n",
        );
        check("-f flow who BO*", "username=bob #=1 proto=pop3 (pids)=(12) (ips)=(2001:db8::1)\n");
        check("-h -f tab who 10.0.0.2/31", "alice@example.com\t3\timap\t(10 11)\t(10.0.0.1 10.0.0.2)\n");
    }

    #[test]
    fn or_listed_one_by_one() {
        check(
            "-h -f tab who -1 10.0.0.0/8",
            "alice@example.com\timap\t10\t10.0.0.1\n\
             alice@example.com\timap\t10\t10.0.0.2\n\
             alice@example.com\timap\t11\t10.0.0.1\n",
        );
    }

    #[test]
    fn nobody_there() {
        let doveadm = Doveadm::new();
        let path = doveadm.path().join("anvil").display().to_string();
        let text = format!("net_connect_unix({path}) failed: No such file or directory");
        assert_eq!(doveadm.run("who").1, Err(crate::context::Failure::fatal(text)));
    }
}
