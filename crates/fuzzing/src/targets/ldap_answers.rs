//! What LDAP servers answer to a bind, a search, and a bind as the one who was found. The first byte says
//! whether TLS is wanted; in front of a `\0`, a filter may follow.

use db::ldap::{Bound, Entry, LdapConfig, LdapFailure};
use db::probe;
use settings::MemoryFiles;

/// Stands in nothing that is sent by itself.
const PASSWORD: &str = "s3cr3t-passw0rd";

const FILTER: &str = "(&(objectClass=posixAccount)(uid=joe))";

fn config(is_encrypted: bool) -> LdapConfig {
    let tls = if is_encrypted { "tls = yes\ntls_require_cert = never\n" } else { "" };
    let text = format!(
        "uris = ldap://localhost\nbase = dc=example,dc=org\ndn = cn=admin,dc=example,dc=org\n\
         dnpass = {PASSWORD}\npass_attrs = uid=user,userPassword=password,homeDirectory=userdb_home\n{tls}"
    );
    LdapConfig::read(&MemoryFiles::one("/conf", text.as_bytes()), "/conf").expect("a configuration")
}

pub(crate) fn run(data: &[u8]) {
    let _ = ask(data);
}

fn ask(data: &[u8]) -> (Vec<Entry>, Result<Bound, LdapFailure>) {
    let (first, rest) = data.split_first().unwrap_or((&0, &[]));
    let end = rest.iter().position(|byte| *byte == 0).unwrap_or(0);
    let filter = std::str::from_utf8(&rest[..end]).unwrap_or_default();
    let said = rest.get(end + 1..).unwrap_or_default();
    let is_encrypted = first & 1 != 0;
    let filter = if filter.is_empty() { FILTER } else { filter };
    let who = ("uid=joe,dc=example,dc=org", PASSWORD);
    let (entries, bound, heard) = probe::ldap_answers(&config(is_encrypted), said, filter, who);
    // Who has two has enough.
    assert!(entries.len() <= 2);
    if is_encrypted {
        assert!(!heard.windows(5).any(|part| part == b"admin" || part == b"s3cr3"));
    }
    (entries, bound)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The seeds get as far as seeds are meant to.
    #[test]
    fn seeds_have_entries() {
        for (seed, is_right) in [
            (&include_bytes!("../../../../fuzz/seeds/ldap_answers/right")[..], Bound::Yes),
            (include_bytes!("../../../../fuzz/seeds/ldap_answers/wrong"), Bound::No),
        ] {
            let (entries, bound) = ask(seed);
            assert_eq!(bound, Ok(is_right));
            let [entry] = &entries[..] else { panic!("{entries:?}") };
            assert_eq!(entry.dn, "uid=joe,ou=people,dc=example,dc=org");
            assert!(
                entry.attributes.contains(&("uid".into(), vec!["joe".into(), "joseph".into()])),
                "{entry:?}"
            );
            assert!(entry.attributes.contains(&("homeDirectory".into(), vec!["/home/joe".into()])));
        }
        let (entries, bound) = ask(include_bytes!("../../../../fuzz/seeds/ldap_answers/two"));
        assert_eq!((entries.len(), bound), (2, Ok(Bound::Yes)));
    }
}
