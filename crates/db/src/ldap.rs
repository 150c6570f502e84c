//! LDAP directories as `dovecot-ldap.conf.ext` describes them.

mod attrs;
mod ber;
mod config;
mod connection;
mod filter;
mod wire;

pub use attrs::{AttrField, AttrMap};
pub use config::{LdapConfig, LdapConfigError};
pub(crate) use config::{SCOPE_BASE, SCOPE_ONELEVEL, SCOPE_SUBTREE};
pub(crate) use connection::converse;
pub use connection::{Bound, Directory, LdapFailure};

/// An entry that a search found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Entry {
    /// Its distinguished name.
    pub dn: String,
    /// Attributes with their values, in the server's order.
    pub attributes: Vec<(String, Vec<String>)>,
}

/// Escapes a value for a filter as well as for a distinguished name: what means something in either,
/// and all that is not ASCII, becomes `\XX`.
pub fn escape(value: &str) -> String {
    let mut text = String::with_capacity(value.len());
    for byte in value.bytes() {
        if byte >= 0x80 || b"\0*,\\#+<>;\"()= ".contains(&byte) {
            text.push_str(&format!("\\{byte:02X}"));
        } else {
            text.push(char::from(byte));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_gets_out_of_a_filter() {
        assert_eq!(escape("joe"), "joe");
        assert_eq!(escape("*)(uid=*"), "\\2A\\29\\28uid\\3D\\2A");
        assert_eq!(escape("a\0b\\"), "a\\00b\\5C");
        assert_eq!(escape("ü,o=x"), "\\C3\\BC\\2Co\\3Dx");
    }
}
