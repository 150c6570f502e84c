//! What reads the tickets of GSSAPI, and the checks of who may be whom: 2.3's.

use sasl::mech::gssapi::Acceptor;
use sasl::mech::{MechanismInfo, Need, Refusal};
use sys::gssapi::{self, GssError};

use crate::request::Request;

/// `auth_gssapi_hostname` for any key of the keytab.
const ANY_HOST: &str = "$ALL";

/// An acceptor for mechanisms that need one.
pub(crate) fn acceptor(mechanism: &MechanismInfo, request: &Request) -> Option<Box<dyn Acceptor>> {
    let config = &request.config;
    (mechanism.need == Need::Acceptor).then(|| -> Box<dyn Acceptor> {
        Box::new(Kerberos {
            service: service(&request.facts.service, &config.gssapi_hostname),
            keytab: config.krb5_keytab.clone(),
            acceptor: None,
        })
    })
}

/// `imap@host`; a host that is empty is this one.
fn service(name: &str, host: &str) -> Option<String> {
    if host == ANY_HOST {
        return None;
    }
    let name = name.to_ascii_lowercase();
    // The name that the registry of GSSAPI service names has for POP3.
    let name = if name == "pop3" { "pop" } else { &name };
    Some(format!("{name}@{host}"))
}

struct Kerberos {
    service: Option<String>,
    keytab: String,
    acceptor: Option<gssapi::Acceptor>,
}

impl Kerberos {
    fn opened(&mut self) -> Result<&mut gssapi::Acceptor, Refusal> {
        self.acceptor.as_mut().ok_or(Refusal::Unexpected)
    }
}

fn said(error: &GssError) -> Refusal {
    Refusal::Said(error.lines())
}

impl Acceptor for Kerberos {
    fn open(&mut self) -> Result<(), Refusal> {
        let opened = gssapi::Acceptor::new(self.service.as_deref(), &self.keytab);
        self.acceptor = Some(opened.map_err(|error| Refusal::Unable(error.lines()))?);
        Ok(())
    }

    fn accept(&mut self, token: &[u8]) -> Result<(Vec<u8>, Option<String>), Refusal> {
        let accepted = self.opened()?.accept(token).map_err(|error| said(&error))?;
        Ok((accepted.token, accepted.peer))
    }

    fn wrap(&mut self, message: &[u8]) -> Result<Vec<u8>, Refusal> {
        self.opened()?.wrap(message).map_err(|error| said(&error))
    }

    fn unwrap(&mut self, message: &[u8]) -> Result<Vec<u8>, Refusal> {
        self.opened()?.unwrap(message).map_err(|error| said(&error))
    }

    fn authorize(
        &mut self,
        wanted: Option<&str>,
        name: &str,
        principals: Option<&str>,
    ) -> Result<(), Refusal> {
        let acceptor = self.opened()?;
        let is_itself = match wanted {
            Some(wanted) => acceptor.is_peer(wanted.as_bytes()).map_err(|error| said(&error))?,
            None => true,
        };
        if is_itself {
            return Ok(());
        }
        let refused = |lines: Vec<String>| Refusal::Said([lines, vec![not_authorized(name)]].concat());
        let principal = acceptor.principal().map_err(|error| refused(error.lines()))?;
        let listed = principals.unwrap_or_default().split([',', ' ']).any(|known| known == principal);
        match listed || gssapi::is_user(&principal, name).map_err(|error| refused(error.lines()))? {
            true => Ok(()),
            false => Err(refused(Vec::new())),
        }
    }
}

fn not_authorized(name: &str) -> String {
    format!("User not authorized to log in as {name}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_services() {
        for (name, host, expect) in [
            ("imap", "mail.example.org", Some("imap@mail.example.org")),
            ("POP3", "", Some("pop@")),
            ("imap", "$ALL", None),
        ] {
            assert_eq!(service(name, host).as_deref(), expect);
        }
    }
}
