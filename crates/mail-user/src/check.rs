//! Which namespaces make sense together, and which names, as 2.3 judges it and in its words.

use storage::{Error, Result};

use crate::input::NamespaceList;
use crate::namespace::{Namespace, invalid};

/// Refuses what no mailbox may be called that is made now. Some that are there are.
pub(crate) fn new_name(name: &str) -> Result<()> {
    match name.bytes().any(|byte| byte < b' ') {
        true => Err(Error::BadRequest("Control characters not allowed in new mailbox names".to_owned())),
        false => Ok(()),
    }
}

/// Refuses what 2.3 refuses, but for namespaces with different separators, which LIST can tell apart.
pub(crate) fn namespaces(all: &[Namespace]) -> Result<()> {
    for (index, namespace) in all.iter().enumerate() {
        let (prefix, separator) = (namespace.prefix(), namespace.separator());
        if all.iter().take(index).any(|other| other.prefix() == prefix) {
            return Err(invalid(format_args!("Duplicate namespace prefix: \"{prefix}\"")));
        }
        if prefix.is_empty() || namespace.settings().list == NamespaceList::No {
            continue;
        }
        if !prefix.ends_with(separator) {
            return Err(invalid(format_args!(
                "list=yes requires prefix={prefix} to end with separator {separator}"
            )));
        }
        if prefix.starts_with(separator) {
            return Err(invalid(format_args!(
                "list=yes requires prefix={prefix} not to start with separator"
            )));
        }
    }
    let settings = || all.iter().map(Namespace::settings);
    match settings().filter(|one| one.inbox && one.alias_for.is_none()).count() {
        0 => return Err(invalid(format_args!("inbox=yes namespace missing"))),
        1 => {}
        _ => return Err(invalid(format_args!("There can be only one namespace with inbox=yes"))),
    }
    if !settings().any(|one| one.list == NamespaceList::Yes) {
        return Err(invalid(format_args!("list=yes namespace missing")));
    }
    if settings().all(|one| one.hidden) {
        return Err(invalid(format_args!("hidden=no namespace missing")));
    }
    if !settings().any(|one| one.subscriptions) {
        return Err(invalid(format_args!("subscriptions=yes namespace missing")));
    }
    Ok(())
}
