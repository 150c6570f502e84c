//! The client's side of the mechanisms that log in to other servers (`proxy_mech`): those of 2.3.

use zeroize::Zeroizing;

use super::Destination;

/// A mechanism.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mechanism {
    External,
    Login,
    OauthBearer,
    Plain,
    Xoauth2,
}

impl Mechanism {
    /// By its name.
    pub(super) fn find(name: &str) -> Option<Self> {
        const ALL: [Mechanism; 5] = [
            Mechanism::External,
            Mechanism::Login,
            Mechanism::OauthBearer,
            Mechanism::Plain,
            Mechanism::Xoauth2,
        ];
        ALL.into_iter().find(|mechanism| mechanism.name().eq_ignore_ascii_case(name))
    }

    /// Its name.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::External => "EXTERNAL",
            Self::Login => "LOGIN",
            Self::OauthBearer => "OAUTHBEARER",
            Self::Plain => "PLAIN",
            Self::Xoauth2 => "XOAUTH2",
        }
    }

    /// What comes first: with the command, or as the answer to an empty challenge. `None` if the server
    /// speaks first.
    fn first(self, destination: &Destination) -> Option<Zeroizing<Vec<u8>>> {
        let Destination { destuser, master, password, .. } = destination;
        let text = match self {
            Self::Login => return None,
            Self::External => Zeroizing::new(destuser.clone()),
            Self::Plain => Zeroizing::new(match master {
                Some(master) => format!("{destuser}\0{master}\0{}", **password),
                None => format!("\0{destuser}\0{}", **password),
            }),
            Self::OauthBearer => {
                let user = master.as_ref().unwrap_or(destuser);
                Zeroizing::new(format!("n,a={},\u{1}auth=Bearer {}\u{1}\u{1}", gs2_name(user), **password))
            }
            Self::Xoauth2 => {
                let user = master.as_ref().unwrap_or(destuser);
                Zeroizing::new(format!("user={user}\u{1}auth=Bearer {}\u{1}\u{1}", **password))
            }
        };
        Some(Zeroizing::new(text.as_bytes().to_vec()))
    }
}

/// A name in the header of GS2 (RFC 5801 §4).
fn gs2_name(name: &str) -> String {
    name.replace('=', "=3D").replace(',', "=2C")
}

/// One exchange.
#[derive(Debug)]
pub(super) struct SaslClient {
    mechanism: Mechanism,
    /// How many challenges were answered.
    answered: u32,
    /// What comes first has been sent with the command.
    sent_first: bool,
}

impl SaslClient {
    pub(super) fn new(mechanism: Mechanism) -> Self {
        Self { mechanism, answered: 0, sent_first: false }
    }

    /// The initial response in base64, `=` for an empty one.
    pub(super) fn initial(&mut self, destination: &Destination) -> Zeroizing<String> {
        match self.mechanism.first(destination) {
            Some(first) => {
                self.sent_first = true;
                Zeroizing::new(match first.is_empty() {
                    true => "=".to_owned(),
                    false => sasl::encoding::base64(&first),
                })
            }
            None => Zeroizing::new("=".to_owned()),
        }
    }

    /// The answer to a challenge, in base64.
    ///
    /// # Errors
    /// What is wrong, for the log.
    pub(super) fn answer(
        &mut self,
        challenge: &[u8],
        destination: &Destination,
    ) -> Result<Zeroizing<String>, String> {
        let number = self.answered;
        self.answered += 1;
        let answer = match self.mechanism {
            Mechanism::Login => match number {
                0 => destination.master.as_ref().unwrap_or(&destination.destuser).as_bytes(),
                1 => destination.password.as_bytes(),
                _ => return Err("Server didn't finish authentication".into()),
            }
            .to_vec(),
            Mechanism::OauthBearer | Mechanism::Xoauth2 if !challenge.is_empty() => {
                return Err(format!("Failed to authenticate: {}", String::from_utf8_lossy(challenge)));
            }
            _ if self.sent_first || number > 0 => return Err("Server didn't finish authentication".into()),
            _ if !challenge.is_empty() => return Err("Server sent non-empty initial response".into()),
            mechanism => match mechanism.first(destination) {
                Some(first) => first.to_vec(),
                None => Vec::new(),
            },
        };
        Ok(Zeroizing::new(sasl::encoding::base64(&Zeroizing::new(answer))))
    }
}
