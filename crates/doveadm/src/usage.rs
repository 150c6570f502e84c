//! The usage texts of 2.3: one line for each command, subcommands of a command in one line.

use crate::commands;
use crate::context::{Failure, status};

/// The usage of all commands, or of those that begin with the word `prefix`.
pub(crate) fn of(prefix: &str) -> Failure {
    Failure::Said(text(prefix), status::USAGE)
}

/// One command's own usage.
pub(crate) fn of_command(name: &str, usage: &str) -> Failure {
    Failure::Said(format!("doveadm {name} {usage}"), status::USAGE)
}

fn text(prefix: &str) -> String {
    let mut text = String::from("usage: doveadm [-Dv] [-f <formatter>] ");
    if !prefix.is_empty() {
        text.push_str(&format!("{prefix} "));
    }
    text.push_str("<command> [<args>]\n");
    let mut lines: Vec<(&str, &str)> = commands::all().collect();
    // 2.3's list ends in a newline, behind which it sees one more command, without a name.
    lines.push(("", ""));
    lines.sort_by_key(|(name, usage)| format!("{name}\t{usage}"));
    compress(&mut text, prefix, &lines);
    text.truncate(text.trim_end_matches('\n').len());
    text
}

fn compress(text: &mut String, prefix: &str, lines: &[(&str, &str)]) {
    let (mut group, mut last) = ("", "");
    for (name, usage) in lines {
        let name = match prefix {
            "" => name,
            _ => match name.strip_prefix(prefix).and_then(|rest| rest.strip_prefix(' ')) {
                Some(rest) => rest,
                None => continue,
            },
        };
        let Some((first, rest)) = name.split_once(' ') else {
            if !group.is_empty() {
                text.push('\n');
                group = "";
            }
            text.push_str(&format!("  {name:<12} {usage}\n"));
            continue;
        };
        let second = rest.split(' ').next().unwrap_or(rest);
        if group != first {
            if !group.is_empty() {
                text.push('\n');
            }
            text.push_str(&format!("  {first:<12} {second}"));
            // As in 2.3 the first one is not remembered, so `mailbox` shows `cache` twice.
            (group, last) = (first, "");
        } else if last != second {
            text.push_str(&format!("|{second}"));
            last = second;
        }
    }
    if !group.is_empty() {
        text.push('\n');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Recorded from 2.3.19, but for the commands of our own: `app-password` and `cache status`.
    #[test]
    fn groups_look_as_in_2_3() {
        assert_eq!(
            text("auth"),
            "usage: doveadm [-Dv] [-f <formatter>] auth <command> [<args>]\n  \
             app-password add|list|remove\n  \
             cache        flush|status\n  \
             login        [-a <auth-login socket path>] [-m <auth-master socket path>] [-x <auth info>] [-M <master user>] <user> [<password>]\n  \
             lookup       [-a <userdb socket path>] [-x <auth info>] [-f field] <user> [<user> [...]]\n  \
             test         [-a <auth socket path>] [-x <auth info>] [-M <master user>] <user> [<password>]"
        );
        let all = text("");
        assert!(all.starts_with(
            "usage: doveadm [-Dv] [-f <formatter>] <command> [<args>]\n               \n  altmove      [-u"
        ));
        assert!(all.contains("\n  mailbox      cache|cache|create|delete|list|metadata|mutf7|path|"));
        assert!(all.contains("\n  log          errors|find|reopen|test\n"));
        assert!(all.contains("\n  reload       \n"));
        assert!(all.ends_with("\n  zlibconnect  <host> [<port>]"));
    }
}
