//! The keys of `dovecot-ldap.conf.ext`.

use std::path::Path;
use std::time::Duration;

use settings::Files;

use super::AttrMap;
use crate::items::{Items, Keys};
use crate::limits::LDAP_REQUEST_TIMEOUT;
use crate::tls::{TlsOptions, Verify};

/// Why a file describes no directory, in 2.3's words.
#[derive(Debug, thiserror::Error)]
pub enum LdapConfigError {
    /// The file cannot be read, or a line is no setting that there is.
    #[error("ldap {0}")]
    File(String, #[source] Box<settings::Diagnostic>),
    /// Something in it makes no sense.
    #[error("LDAP {path}: {reason}")]
    Invalid {
        /// The file.
        path: String,
        /// What and why.
        reason: String,
    },
}

/// What the file says.
#[derive(Debug, Clone)]
pub struct LdapConfig {
    /// The file, for messages.
    pub path: String,
    /// `uris`, or `hosts` as such.
    pub uris: Vec<String>,
    /// `dn`; empty to be nobody.
    pub dn: String,
    /// `dnpass`
    pub dnpass: String,
    /// `auth_bind`
    pub auth_bind: bool,
    /// `auth_bind_userdn`
    pub auth_bind_userdn: Option<String>,
    /// `tls`
    pub start_tls: bool,
    /// Whether it also goes without, if the server has no TLS.
    pub(crate) tls_optional: bool,
    /// How long the server may be silent.
    pub(crate) request_timeout: Duration,
    /// `sasl_bind` with `sasl_mech = EXTERNAL`
    pub sasl_external: bool,
    /// `base`
    pub base: String,
    /// `scope` as it is written, for the log.
    pub scope_name: String,
    /// `pass_filter`
    pub pass_filter: String,
    /// `user_filter`
    pub user_filter: String,
    /// `iterate_filter`
    pub iterate_filter: String,
    /// `pass_attrs`
    pub pass_attrs: AttrMap,
    /// `user_attrs`
    pub user_attrs: AttrMap,
    /// `iterate_attrs`
    pub iterate_attrs: AttrMap,
    /// Everything in `base`, `pass_attrs` and `pass_filter` that a cached password depends on.
    pub pass_cache_template: String,
    /// The same of a cached user.
    pub user_cache_template: String,
    /// `default_pass_scheme`
    pub default_pass_scheme: String,
    pub(super) tls: TlsOptions,
    /// Both by their numbers in RFC 4511 section 4.5.1.
    pub(super) deref: i32,
    pub(super) scope: i32,
}

const POSIX_USER: &str = "(&(objectClass=posixAccount)(uid=%u))";

/// All keys that there are. `debug_level` (logging inside of OpenLDAP's library), `userdb_warning_disable` (a
/// warning that is not given) and `blocking` (workers, which are always used) make no difference here.
const KEYS: Keys = Keys {
    texts: &[
        "hosts",
        "uris",
        "dn",
        "dnpass",
        "auth_bind_userdn",
        "sasl_mech",
        "sasl_realm",
        "sasl_authz_id",
        "tls_ca_cert_file",
        "tls_ca_cert_dir",
        "tls_cert_file",
        "tls_key_file",
        "tls_cipher_suite",
        "tls_require_cert",
        "deref",
        "scope",
        "base",
        "ldaprc_path",
        "debug_level",
        "user_attrs",
        "user_filter",
        "pass_attrs",
        "pass_filter",
        "iterate_attrs",
        "iterate_filter",
        "default_pass_scheme",
    ],
    switches: &["auth_bind", "tls", "sasl_bind", "userdb_warning_disable", "blocking"],
    numbers: &["ldap_version"],
};

impl LdapConfig {
    /// Reads the file.
    ///
    /// # Errors
    /// The file is unreadable, or does not say how to connect.
    pub fn read(files: &dyn Files, path: &str) -> Result<Self, LdapConfigError> {
        let items = settings::ext::parse(files, Path::new(path), &|key, value| KEYS.check(key, value))
            .map_err(|source| LdapConfigError::File(path.to_owned(), Box::new(source)))?;
        Self::from_items(path, &items)
            .map_err(|reason| LdapConfigError::Invalid { path: path.to_owned(), reason })
    }

    fn from_items(path: &str, items: &[(String, String)]) -> Result<Self, String> {
        let items = Items::new(items);
        refuse_unsupported(items)?;
        let base = items.value("base").ok_or("No base given")?.to_owned();
        let uris = uris(items.value("uris"), items.value("hosts"))?;
        let start_tls = items.is("tls");
        if start_tls && uris.iter().any(|uri| uri.starts_with("ldaps:")) {
            return Err("Don't use both tls=yes and ldaps URI".into());
        }
        let auth_bind = items.is("auth_bind");
        let (pass_attrs, user_attrs) = (
            items.text("pass_attrs", "uid=user,userPassword=password"),
            items.text("user_attrs", USER_ATTRS),
        );
        let (pass_filter, user_filter) =
            (items.text("pass_filter", POSIX_USER), items.text("user_filter", POSIX_USER));
        let scope_name = items.text("scope", "subtree");
        let config = Self {
            path: path.to_owned(),
            uris,
            dn: items.text("dn", ""),
            dnpass: items.text("dnpass", ""),
            auth_bind,
            auth_bind_userdn: items.value("auth_bind_userdn").filter(|dn| !dn.is_empty()).map(str::to_owned),
            start_tls,
            tls_optional: false,
            request_timeout: LDAP_REQUEST_TIMEOUT,
            sasl_external: items.is("sasl_bind"),
            pass_cache_template: format!("{base}{pass_attrs}{pass_filter}"),
            user_cache_template: format!("{base}{user_attrs}{user_filter}"),
            base,
            pass_filter: squeezed(&pass_filter),
            user_filter: squeezed(&user_filter),
            iterate_filter: squeezed(&items.text("iterate_filter", "(objectClass=posixAccount)")),
            pass_attrs: AttrMap::parse(&pass_attrs, auth_bind.then_some("password"))?,
            user_attrs: AttrMap::parse(&user_attrs, None)?,
            iterate_attrs: AttrMap::parse(&items.text("iterate_attrs", "uid=user"), None)?,
            default_pass_scheme: items.text("default_pass_scheme", "crypt"),
            tls: TlsOptions {
                ca_file: items.value("tls_ca_cert_file").map(str::to_owned),
                ca_dir: items.value("tls_ca_cert_dir").map(str::to_owned),
                cert_file: items.value("tls_cert_file").map(str::to_owned),
                key_file: items.value("tls_key_file").map(str::to_owned),
                verify: verify(items.value("tls_require_cert"))?,
            },
            deref: deref(items.value("deref").unwrap_or("never"))?,
            scope: scope(&scope_name)?,
            scope_name,
        };
        Ok(config)
    }
}

impl LdapConfig {
    /// A server by its URI, for who says by itself what to search.
    pub(crate) fn of_server(path: &str, uri: &str, dn: &str, dnpass: &str) -> Result<Self, String> {
        let items =
            [("uris", uri), ("base", ""), ("dn", dn), ("dnpass", dnpass), ("tls_require_cert", "never")];
        let items: Vec<_> = items.map(|(key, value)| (key.to_owned(), value.to_owned())).into();
        Self::from_items(path, &items)
    }
}

const USER_ATTRS: &str = "homeDirectory=home,uidNumber=uid,gidNumber=gid";

fn refuse_unsupported(items: Items<'_>) -> Result<(), String> {
    let refused = |key: &str, reason: &str| Err(format!("{key}: {reason}"));
    if items.value("ldap_version").is_some_and(|version| version != "3") {
        return refused("ldap_version", "only version 3 is supported");
    }
    if items.is("sasl_bind") && !items.value("sasl_mech").unwrap_or_default().eq_ignore_ascii_case("EXTERNAL")
    {
        return refused("sasl_mech", "only EXTERNAL is supported");
    }
    for key in ["sasl_realm", "sasl_authz_id", "ldaprc_path", "tls_cipher_suite"] {
        if items.filled(key).is_some() {
            return refused(key, "not supported");
        }
    }
    Ok(())
}

/// The servers in order, each as a URI.
fn uris(uris: Option<&str>, hosts: Option<&str>) -> Result<Vec<String>, String> {
    let words = |text: &str| -> Vec<String> {
        text.split([' ', ',']).filter(|word| !word.is_empty()).map(str::to_owned).collect()
    };
    let list = match (uris, hosts) {
        (Some(uris), _) => words(uris),
        (None, Some(hosts)) => words(hosts).into_iter().map(|host| format!("ldap://{host}")).collect(),
        (None, None) => Vec::new(),
    };
    if list.is_empty() {
        return Err("No uris or hosts set".into());
    }
    let known =
        |uri: &&String| ["ldap://", "ldaps://", "ldapi://"].iter().any(|start| uri.starts_with(start));
    match list.iter().find(|uri| !known(uri)) {
        Some(uri) => Err(format!("Invalid URI: {uri}")),
        None => Ok(list),
    }
}

fn verify(word: Option<&str>) -> Result<Verify, String> {
    Ok(match word {
        None | Some("hard" | "demand" | "try") => Verify::Full,
        Some("never" | "allow") => Verify::Nothing,
        Some(word) => return Err(format!("Unknown tls_require_cert value '{word}'")),
    })
}

fn deref(word: &str) -> Result<i32, String> {
    Ok(match word {
        "never" => 0,
        "searching" => 1,
        "finding" => 2,
        "always" => 3,
        _ => return Err(format!("Unknown deref option '{word}'")),
    })
}

/// The entry itself.
pub(crate) const SCOPE_BASE: i32 = 0;
/// What is right below it.
pub(crate) const SCOPE_ONELEVEL: i32 = 1;
/// All that is below it.
pub(crate) const SCOPE_SUBTREE: i32 = 2;

fn scope(word: &str) -> Result<i32, String> {
    Ok(match word {
        "base" => SCOPE_BASE,
        "onelevel" => SCOPE_ONELEVEL,
        "subtree" => SCOPE_SUBTREE,
        _ => return Err(format!("Unknown scope option '{word}'")),
    })
}

/// Takes out the blanks between a filter's parts, which OpenLDAP allows and RFC 4515 does not.
fn squeezed(filter: &str) -> String {
    let mut text = String::with_capacity(filter.len());
    let mut chars = filter.trim().chars().peekable();
    while let Some(c) = chars.next() {
        text.push(c);
        // Behind `)` and before `(` no value can be.
        if matches!(c, '(' | ')' | '&' | '|' | '!') {
            let blanks: String = std::iter::from_fn(|| chars.next_if(|c| c.is_whitespace())).collect();
            if !chars.peek().is_none_or(|next| matches!(next, '(' | ')' | '&' | '|' | '!')) && c != '(' {
                text.push_str(&blanks);
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(items: &[(&str, &str)], expect: Result<&[&str], &str>) {
        let items: Vec<_> = items.iter().map(|&(key, value)| (key.to_owned(), value.to_owned())).collect();
        let result = LdapConfig::from_items("/x", &items).map(|config| config.uris);
        let expect = expect.map(|uris| uris.iter().map(|&uri| uri.to_owned()).collect::<Vec<_>>());
        assert_eq!(result, expect.map_err(str::to_owned));
    }

    #[test]
    fn mistakes() {
        let base = ("base", "o=x");
        check(&[base, ("hosts", "a b:390")], Ok(&["ldap://a", "ldap://b:390"]));
        check(
            &[base, ("uris", "ldapi://%2Frun%2Fldapi ldaps://b")],
            Ok(&["ldapi://%2Frun%2Fldapi", "ldaps://b"]),
        );
        check(&[("hosts", "a")], Err("No base given"));
        check(&[base], Err("No uris or hosts set"));
        check(&[base, ("uris", "http://a")], Err("Invalid URI: http://a"));
        check(&[base, ("hosts", "a"), ("scope", "all")], Err("Unknown scope option 'all'"));
        check(&[base, ("hosts", "a"), ("deref", "yes")], Err("Unknown deref option 'yes'"));
        check(&[base, ("hosts", "a"), ("sasl_bind", "yes")], Err("sasl_mech: only EXTERNAL is supported"));
        check(&[base, ("uris", "ldaps://a"), ("tls", "yes")], Err("Don't use both tls=yes and ldaps URI"));
    }

    #[test]
    fn blanks_in_filters() {
        assert_eq!(squeezed("(& (a=b c) (| (d=e)(f=g) ) )"), "(&(a=b c)(|(d=e)(f=g)))");
        assert_eq!(squeezed("(a=R & D)"), "(a=R & D)");
    }
}
