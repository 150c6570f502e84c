//! What 2.3 checks once everything is read: values that depend on one another.

mod auth;
mod mail;
mod master;
mod other;

use crate::config::Config;
use crate::decl::{SectionKind, roots};
use crate::error::Warning;
use crate::key;
use crate::tree::Node;

/// Checks the global settings and those under each filter. The error is 2.3's, without a place.
pub(crate) fn config(config: &Config, warnings: &mut Vec<Warning>) -> Result<(), String> {
    if let Some((file, line)) = &config.unclosed {
        return Err(format!("Missing '}}' (section started at {file}:{line})"));
    }
    let global = config.root().value(key::SSL.index()).text();
    let mut said_ssl = false;
    for part in config.parts() {
        let node = config.merged(&part.mask.example())?;
        let own = part.node.entries.get(&key::SSL.index()).map_or(global, |entry| entry.value.text());
        if global == "no" && own != "no" && !said_ssl {
            said_ssl = true;
            warnings.push(Warning::Text(format!(
                "SSL is disabled because global ssl=no, ignoring ssl={own} for subsection"
            )));
        }
        if let Some(error) = all(&node, config, warnings).into_iter().next() {
            return Err(error);
        }
    }
    Ok(())
}

/// Checks settings under one filter: the first mistake of each part of 2.3 that reads them.
pub(crate) fn all(node: &Node, config: &Config, warnings: &mut Vec<Warning>) -> Vec<String> {
    let wanted = config.modules.as_ref().map_or(u64::MAX, |modules| roots::wanted(modules));
    let is_wanted = |root: u64| wanted & root != 0;
    let part = |root: u64| if is_wanted(root) { other::part(node, root) } else { Ok(()) };
    // In the order in which 2.3 looks at its parts.
    let checks = [
        other::master_service(node),
        if is_wanted(roots::SSL_BASE) { other::ssl(node) } else { Ok(()) },
        if is_wanted(roots::AUTH) { auth::check(node) } else { Ok(()) },
        part(roots::DIRECTOR),
        part(roots::DOVEADM),
        part(roots::IMAP),
        part(roots::IMAPC),
        part(roots::LMTP),
        if is_wanted(roots::MAIL) { mail::check(node) } else { Ok(()) },
        if is_wanted(roots::MASTER) { master::check(node, config, warnings) } else { Ok(()) },
        part(roots::POP3),
        part(roots::POP3C),
        if is_wanted(roots::STATS) { other::stats(node) } else { Ok(()) },
        part(roots::SUBMISSION_LOGIN),
        part(roots::SUBMISSION),
    ];
    checks.into_iter().filter_map(Result::err).collect()
}

fn sections(node: &Node, kind: SectionKind) -> &[Node] {
    node.list(kind)
}

fn spaced(text: &str) -> impl Iterator<Item = &str> {
    text.split(' ').filter(|word| !word.is_empty())
}
