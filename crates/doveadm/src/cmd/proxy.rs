//! `doveadm proxy`: who is logged in to another server through this one, and ending that. 2.3 asks the
//! login processes through `ipc`; here anvil knows.

use ipc::anvil::{Answer, KickProxies, Proxied, Query};

use super::who::anvil_path;
use crate::args::Args;
use crate::context::{Context, Outcome};
use crate::frames::Asked;
use crate::print::{Column, Format, column, keyed};
use crate::usage;

/// What follows `doveadm proxy kick`.
pub(crate) const KICK_USAGE: &str =
    "[-a <ipc socket path>] [-f <passdb field>] [-h <host> [...] | <user> [...]]";

pub(crate) fn list(cx: &mut Context, args: &Args) -> Outcome {
    let path = anvil_path(cx, args)?;
    let all = ask(&path, &Query::Proxies)?;
    // Names that some users have only are empty for the others.
    let mut fields: Vec<&str> =
        all.iter().flat_map(|proxied| &proxied.alt_usernames).map(|(name, _)| name.as_str()).collect();
    fields.sort_unstable();
    fields.dedup();
    let name = |name: &str| Column { expand: true, ..Column::named(name) };
    let mut columns = vec![name("username")];
    columns.extend(fields.iter().map(|field| name(field)));
    columns.extend([
        keyed("service", "proto"),
        keyed("src-ip", "src ip"),
        keyed("dest-ip", "dest ip"),
        keyed("dest-port", "port"),
    ]);
    let mut table = cx.table(Format::Table, &columns)?;
    for proxied in &all {
        table.value(&proxied.username, &mut cx.output);
        for field in &fields {
            let value = proxied.alt_usernames.iter().find(|(name, _)| name == field);
            table.value(value.map_or("", |(_, value)| value), &mut cx.output);
        }
        let remote = proxied.remote_ip.map(|ip| ip.to_string()).unwrap_or_default();
        let (ip, port) = (proxied.dest_ip.to_string(), proxied.dest_port.to_string());
        for value in [proxied.service.as_str(), &remote, &ip, &port] {
            table.value(value, &mut cx.output);
        }
    }
    table.end(&mut cx.output);
    Ok(())
}

pub(crate) fn kick(cx: &mut Context, args: &Args) -> Outcome {
    let path = anvil_path(cx, args)?;
    let named = args.list("user").to_vec();
    let kick = match (args.text("host"), args.text("passdb-field")) {
        (Some(host), _) => KickProxies::Hosts([vec![host.to_owned()], named].concat()),
        (None, _) if named.is_empty() => return Err(usage::of_command("proxy kick", KICK_USAGE)),
        (None, Some(field)) => KickProxies::Field { field: field.to_owned(), values: named },
        (None, None) => KickProxies::Users(named),
    };
    let count = ask(&path, &Query::KickProxies(kick))?.len();
    let mut table = cx.table(Format::Formatted("%{count} connections kicked\n"), &[column("count")])?;
    table.value(&count.to_string(), &mut cx.output);
    table.end(&mut cx.output);
    Ok(())
}

fn ask(path: &str, query: &Query) -> Outcome<Vec<Proxied>> {
    let mut asked = Asked::ask(path, query)?;
    let mut all = Vec::new();
    loop {
        match asked.expect()? {
            Answer::Proxied(proxied) => all.push(proxied),
            Answer::Session { .. } | Answer::Penalty { .. } | Answer::Ban(_) => {}
            Answer::End => return Ok(all),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::context::tests::Doveadm;

    fn proxied(user: &str, alt: &[(&str, &str)]) -> Answer {
        Answer::Proxied(Proxied {
            id: 1,
            username: user.into(),
            alt_usernames: alt.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect(),
            service: "imap".into(),
            remote_ip: "10.0.0.9".parse().ok(),
            host: "back".into(),
            dest_ip: [10, 0, 0, 1].into(),
            dest_port: 143,
        })
    }

    #[test]
    fn proxied_clients_are_listed() {
        let doveadm = Doveadm::new();
        let answers = vec![proxied("u", &[]), proxied("v", &[("user_alt", "joe")]), Answer::End];
        let anvil = doveadm.play::<Query, _>("anvil", answers);
        let (output, status) = doveadm.run("-f tab proxy list");
        let expected = "username\tuser_alt\tproto\tsrc ip\tdest ip\tport\n\
                        u\t\timap\t10.0.0.9\t10.0.0.1\t143\nv\tjoe\timap\t10.0.0.9\t10.0.0.1\t143\n";
        assert_eq!((output.as_str(), status), (expected, Ok(0)));
        assert!(matches!(anvil.join().unwrap(), Query::Proxies));
    }

    #[test]
    fn kicks() {
        let check = |line: &str, expected: &str| {
            let doveadm = Doveadm::new();
            let answers = vec![proxied("u", &[]), proxied("u", &[]), Answer::End];
            let anvil = doveadm.play::<Query, _>("anvil", answers);
            let (output, status) = doveadm.run(line);
            assert_eq!((output.as_str(), status), ("2 connections kicked\n", Ok(0)), "{line}");
            let asked = anvil.join().unwrap();
            assert_eq!(format!("{asked:?}"), expected);
        };
        check("proxy kick u v", "KickProxies(Users([\"u\", \"v\"]))");
        check("proxy kick -h a b", "KickProxies(Hosts([\"a\", \"b\"]))");
        check("proxy kick -f user_alt x", "KickProxies(Field { field: \"user_alt\", values: [\"x\"] })");
        assert!(Doveadm::new().run("proxy kick").1.is_err());
    }
}
