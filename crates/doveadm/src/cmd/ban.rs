//! `doveadm ban list|add|remove`: users and networks that may not log in for a while, because they
//! failed too often (`auth_ban_*`) or because an administrator says so. 2.3 has nothing like it.

use ipc::anvil::{Answer, Ban, BanSubject, Query};

use super::selection::{Selection, parse_net};
use super::who::anvil_path;
use crate::args::Args;
use crate::context::{Context, Failure, Outcome, status};
use crate::frames::Asked;
use crate::localtime;
use crate::print::{Format, column};

/// How long a ban lasts if nobody says.
const TIME: &str = "1 hours";

pub(crate) fn list(cx: &mut Context, args: &Args) -> Outcome {
    let path = anvil_path(cx, args)?;
    let selection = Selection::parse(cx, args.list("mask"))?;
    let bans = ask(&path, &Query::Bans)?;
    let mut table = cx.table(Format::Table, &["subject", "since", "until", "reason"].map(column))?;
    for ban in bans.iter().filter(|ban| is_selected(&selection, &ban.subject)) {
        let (since, until) = (localtime::date(ban.since_s), localtime::date(ban.until_s));
        table.row(&[&ban.subject.to_string(), &since, &until, &ban.reason], &mut cx.output);
    }
    table.end(&mut cx.output);
    Ok(())
}

pub(crate) fn add(cx: &mut Context, args: &Args) -> Outcome {
    let path = anvil_path(cx, args)?;
    let seconds = settings::value::seconds(args.text("time").unwrap_or(TIME)).map_err(Failure::fatal)?;
    let Some(subject) = args.text("subject") else {
        cx.error("user or ip[/bits] must be specified.", status::USAGE);
        return Err(Failure::Exit(status::USAGE));
    };
    let since_s = now_s();
    let reason = args.text("reason").unwrap_or("by an administrator").to_owned();
    let until_s = since_s.saturating_add(seconds);
    ask(&path, &Query::Ban(Ban { subject: subject_of(subject), since_s, until_s, reason })).map(drop)
}

pub(crate) fn remove(cx: &mut Context, args: &Args) -> Outcome {
    let path = anvil_path(cx, args)?;
    let mut subjects: Vec<BanSubject> = args.list("subject").iter().map(|text| subject_of(text)).collect();
    if args.flag("all") {
        subjects = ask(&path, &Query::Bans)?.into_iter().map(|ban| ban.subject).collect();
    } else if subjects.is_empty() {
        cx.error("user or ip[/bits] must be specified.", status::USAGE);
        return Err(Failure::Exit(status::USAGE));
    }
    let lifted = ask(&path, &Query::Unban(subjects))?;
    if lifted.is_empty() {
        cx.error("no such ban", status::NOT_FOUND);
    }
    for ban in lifted {
        cx.output.line(&format!("ban of {} lifted", ban.subject));
    }
    Ok(())
}

fn ask(path: &str, query: &Query) -> Outcome<Vec<Ban>> {
    let mut asked = Asked::ask(path, query)?;
    let mut bans = Vec::new();
    loop {
        match asked.expect()? {
            Answer::Ban(ban) => bans.push(ban),
            Answer::Session { .. } | Answer::Penalty { .. } | Answer::Proxied(_) => {}
            Answer::End => return Ok(bans),
        }
    }
}

/// What looks like an address is one.
fn subject_of(text: &str) -> BanSubject {
    match parse_net(text) {
        Some((ip, bits)) => BanSubject::net(ip, bits),
        None => BanSubject::User(text.to_owned()),
    }
}

fn is_selected(selection: &Selection, subject: &BanSubject) -> bool {
    match subject {
        BanSubject::User(name) => selection.net.is_none() && selection.has_user(name),
        BanSubject::Net(ip, _) => selection.user.is_none() && selection.has_ip(Some(*ip)),
    }
}

fn now_s() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.map_or(0, |since| since.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::context::tests::Doveadm;

    fn ban(subject: &str) -> Answer {
        let reason = "5 failed logins in 9 secs".to_owned();
        Answer::Ban(Ban { subject: subject_of(subject), since_s: 0, until_s: 60, reason })
    }

    #[test]
    fn bans_are_listed_by_user_or_network() {
        for (masks, expect) in [("", "u 10.1.2.0/24"), ("U*", "u"), ("10.0.0.0/8", "10.1.2.0/24"), ("v", "")]
        {
            let doveadm = Doveadm::new();
            let answers = vec![ban("u"), ban("10.1.2.3/24"), Answer::End];
            let _anvil = doveadm.play::<Query, _>("anvil", answers);
            let (output, status) = doveadm.run(format!("-h -f tab ban list {masks}").trim_end());
            let subjects: Vec<&str> = output.lines().filter_map(|line| line.split('\t').next()).collect();
            assert_eq!((subjects.join(" "), status), (expect.to_owned(), Ok(0)), "{masks}");
        }
    }

    #[test]
    fn bans_are_made_and_lifted() {
        let doveadm = Doveadm::new();
        let anvil = doveadm.play::<Query, _>("anvil", vec![ban("10.1.2.3/24"), Answer::End]);
        assert_eq!(doveadm.run("ban add -t 30s 10.1.2.3/24 why"), (String::new(), Ok(0)));
        let Query::Ban(ban_sent) = anvil.join().unwrap() else { panic!("a ban") };
        assert_eq!(ban_sent.subject.to_string(), "10.1.2.0/24");
        assert_eq!((ban_sent.until_s - ban_sent.since_s, ban_sent.reason.as_str()), (30, "why"));
        let doveadm = Doveadm::new();
        let anvil = doveadm.play::<Query, _>("anvil", vec![ban("u"), Answer::End]);
        assert_eq!(doveadm.run("ban remove u"), ("ban of u lifted\n".to_owned(), Ok(0)));
        let subject = BanSubject::User("u".into());
        assert!(matches!(anvil.join().unwrap(), Query::Unban(subjects) if subjects == [subject]));
        let doveadm = Doveadm::new();
        let _anvil = doveadm.play::<Query, _>("anvil", vec![Answer::End]);
        assert_eq!(doveadm.run("ban remove v").1, Ok(status::NOT_FOUND));
        assert_eq!(doveadm.run("ban remove").1, Err(Failure::Exit(status::USAGE)));
        assert!(doveadm.run("ban add -t soon u").1.is_err());
    }
}
