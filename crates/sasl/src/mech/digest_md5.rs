//! DIGEST-MD5 (RFC 2831, made historic by RFC 6331) with the quality of protection `auth`: both sides
//! prove that they know a hash of name, realm and password.

use md5::{Digest, Md5};

use super::{Answer, Context, Identity, Mechanism, MechanismInfo, Need, Property, Refusal, Step, text};
use crate::Secret;
use crate::encoding::{base64, hex};
use crate::secret::constant_time_eq;

pub(super) const INFO: MechanismInfo = MechanismInfo {
    name: "DIGEST-MD5",
    properties: &[Property::Dictionary, Property::Active, Property::MutualAuth],
    need: Need::Lookup,
    begin,
};

const SECRET_LEN: usize = 16;
const RESPONSE_DIGITS: usize = 32;

fn begin(context: &mut Context<'_>) -> Box<dyn Mechanism> {
    let mut random = [0; 16];
    (context.random)(&mut random);
    Box::new(DigestMd5::AwaitStart { nonce: base64(&random), realms: context.realms.to_vec() })
}

enum DigestMd5 {
    AwaitStart { nonce: String, realms: Vec<String> },
    AwaitResponse { nonce: String },
    AwaitSecret { nonce: String, response: Box<Response> },
    Done,
}

/// The client's directives, as far as they matter.
#[derive(Default, Debug, PartialEq, Eq)]
struct Response {
    username: Option<String>,
    realm: Option<String>,
    nonce: Option<String>,
    cnonce: Option<String>,
    nonce_count: Option<String>,
    qop: Option<String>,
    uri: Option<String>,
    response: Option<String>,
    authzid: Option<String>,
    max_buffer: Option<u64>,
}

impl Mechanism for DigestMd5 {
    /// The server speaks first; 2.3 ignores an initial response, which would be for a nonce of before
    /// (RFC 2831 §2.2).
    fn start(&mut self, _initial: Option<&[u8]>) -> Step {
        match std::mem::replace(self, Self::Done) {
            Self::AwaitStart { nonce, realms } => {
                let challenge = challenge(&nonce, &realms).into_bytes();
                *self = Self::AwaitResponse { nonce };
                Step::Challenge(challenge)
            }
            _ => Step::Fail(Refusal::Unexpected),
        }
    }

    fn respond(&mut self, data: &[u8]) -> Step {
        let Self::AwaitResponse { nonce } = std::mem::replace(self, Self::Done) else {
            return Step::Fail(Refusal::Unexpected);
        };
        match Response::parse(data, &nonce).and_then(|response| Ok((response.identity()?, response))) {
            Ok((identity, response)) => {
                *self = Self::AwaitSecret { nonce, response: Box::new(response) };
                Step::Lookup { identity, scheme: "DIGEST-MD5" }
            }
            Err(refusal) => Step::Fail(refusal),
        }
    }

    fn answer(&mut self, answer: Answer<'_>) -> Step {
        match (std::mem::replace(self, Self::Done), answer) {
            (Self::AwaitSecret { nonce, response }, Answer::Credentials(Some(secret))) => {
                if secret.len() != SECRET_LEN {
                    return Step::Fail(Refusal::Credentials("invalid credentials length".into()));
                }
                let sent = response.response.as_deref().unwrap_or_default();
                let expected = response.compute(secret, &nonce, "AUTHENTICATE:");
                if !constant_time_eq(expected.expose(), sent.as_bytes()) {
                    return Step::Fail(Refusal::Mismatch);
                }
                let own = response.compute(secret, &nonce, ":");
                Step::Success([b"rspauth=", own.expose()].concat())
            }
            (Self::AwaitSecret { .. }, _) => Step::Fail(Refusal::NotVerified),
            _ => Step::Fail(Refusal::Unexpected),
        }
    }
}

fn challenge(nonce: &str, realms: &[String]) -> String {
    // Without a realm Cyrus's client would take the host's name for one.
    let realms: String = match realms {
        [] => "realm=\"\",".to_owned(),
        realms => realms.iter().map(|realm| format!("realm=\"{realm}\",")).collect(),
    };
    format!("{realms}nonce=\"{nonce}\",qop=\"auth\",charset=\"utf-8\",algorithm=\"md5-sess\"")
}

impl Response {
    fn parse(data: &[u8], nonce: &str) -> Result<Self, Refusal> {
        if data.is_empty() {
            return Err(Refusal::of("Client sent no input"));
        }
        let mut response = Self::default();
        let mut rest = text(data)?;
        while let Some((key, value, after)) = directive(rest) {
            if !key.is_empty() {
                response.take(&key.to_ascii_lowercase(), value, nonce)?;
            }
            rest = after;
        }
        let missing = match &response {
            Self { nonce: None, .. } => "Missing nonce parameter",
            Self { cnonce: None, .. } => "Missing cnonce parameter",
            Self { username: None, .. } => "Missing username parameter",
            _ => return Ok(response),
        };
        Err(Refusal::of(missing))
    }

    fn take(&mut self, key: &str, value: String, nonce: &str) -> Result<(), Refusal> {
        let refuse = |text| Err(Refusal::of(text));
        match key {
            "realm" if self.realm.is_none() && !value.is_empty() => self.realm = Some(value),
            "username" if self.username.is_some() => return refuse("username must not exist more than once"),
            "username" if value.is_empty() => return refuse("empty username"),
            "username" => self.username = Some(value),
            "nonce" if value != nonce => return refuse("Invalid nonce"),
            "nonce" => self.nonce = Some(value),
            "cnonce" if self.cnonce.is_some() => return refuse("cnonce must not exist more than once"),
            "cnonce" if value.is_empty() => return refuse("cnonce can't contain empty value"),
            "cnonce" => self.cnonce = Some(value),
            "nc" if self.nonce_count.is_some() => return refuse("nonce-count must not exist more than once"),
            "nc" => match value.parse::<u32>() {
                Ok(1) => self.nonce_count = Some(value),
                Ok(_) => return refuse("re-auth not supported currently"),
                Err(_) => return refuse("nonce-count value invalid"),
            },
            "qop" => match value.to_ascii_lowercase().as_str() {
                "auth" => self.qop = Some(value),
                "auth-int" | "auth-conf" => return refuse("Nonallowed QoP requested"),
                _ => {
                    let shown: String = value.chars().filter(|c| !c.is_control()).take(32).collect();
                    return Err(Refusal::Message(format!("Unknown QoP value: {shown}").into()));
                }
            },
            "digest-uri" if !value.contains('/') => return refuse("Invalid digest-uri"),
            "digest-uri" => self.uri = Some(value),
            "maxbuf" if self.max_buffer.is_some() => return refuse("maxbuf must not exist more than once"),
            "maxbuf" => match value.parse() {
                Ok(size) if size > 0 => self.max_buffer = Some(size),
                _ => return refuse("Invalid maxbuf value"),
            },
            "charset" if !value.eq_ignore_ascii_case("utf-8") => {
                return refuse("Only utf-8 charset is allowed");
            }
            "response" if value.len() != RESPONSE_DIGITS => return refuse("Invalid response value"),
            "response" => self.response = Some(value),
            "authzid" if self.authzid.is_some() => return refuse("authzid must not exist more than once"),
            "authzid" if value.is_empty() => return refuse("empty authzid"),
            "authzid" => self.authzid = Some(value),
            // Others have no meaning here, `cipher` included.
            _ => {}
        }
        Ok(())
    }

    fn identity(&self) -> Result<Identity, Refusal> {
        let name = self.username.clone().unwrap_or_default();
        let (user, realm) = match (&self.realm, name.contains('@')) {
            (Some(realm), false) => (format!("{name}@{realm}"), None),
            (None, false) => (name, None),
            // The secret is of the whole name then, in the realm beside it.
            (realm, true) => (name, Some(realm.clone().unwrap_or_default())),
        };
        let login_user = self.authzid.as_ref().map(|name| super::name(name.as_bytes())).transpose()?;
        Ok(Identity { user: super::name(user.as_bytes())?, login_user, realm })
    }

    /// `response-value` of RFC 2831 §2.1.2.1, or `rspauth`'s, which has nothing before the colon.
    fn compute(&self, secret: &[u8], nonce: &str, method: &str) -> Secret {
        let text = |value: &Option<String>| value.clone().unwrap_or_default();
        let cnonce = text(&self.cnonce);
        let mut a1 = Md5::new().chain_update(secret).chain_update(format!(":{nonce}:{cnonce}"));
        if let Some(authzid) = &self.authzid {
            a1.update(format!(":{authzid}"));
        }
        let a1 = Secret::new(hex(&a1.finalize()));
        let a2 = hex(&Md5::digest(format!("{method}{}", text(&self.uri))));
        let count = self.nonce_count.as_deref().unwrap_or("00000001");
        let qop = self.qop.as_deref().unwrap_or("auth");
        let digest = Md5::new()
            .chain_update(a1.expose())
            .chain_update(format!(":{nonce}:{count}:{cnonce}:{qop}:{a2}"));
        Secret::new(hex(&digest.finalize()))
    }
}

/// The next `key=value` or `key="value"` and what follows it; `None` at the end. What is no directive
/// has an empty key and is skipped, as in 2.3.
fn directive(text: &str) -> Option<(String, String, &str)> {
    let is_space = |c: char| matches!(c, ' ' | '\t' | '\r' | '\n');
    let text = text.trim_start_matches(|c| is_space(c) || c == ',');
    if text.is_empty() {
        return None;
    }
    let end = text.find(['=', ',']).unwrap_or(text.len());
    let (key, rest) = text.split_at(end);
    let Some(value) = rest.strip_prefix('=') else { return Some((String::new(), String::new(), rest)) };
    let key = key.trim_end_matches(is_space).to_owned();
    let value = value.trim_start_matches(is_space);
    let Some(quoted) = value.strip_prefix('"') else {
        let (value, rest) = value.split_at(value.find(',').unwrap_or(value.len()));
        return Some((key, value.trim_end_matches(is_space).to_owned(), rest));
    };
    let mut value = String::new();
    let mut chars = quoted.chars();
    while let Some(c) = chars.next().filter(|&c| c != '"') {
        // A backslash at the very end stands for itself.
        value.push(if c == '\\' { chars.next().unwrap_or(c) } else { c });
    }
    Some((key, value, chars.as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mech::tests::{begin, begin_in, context, credentials};

    const NONCE: &str = "AQIDBAUGBwgJCgsMDQ4PEA==";

    #[test]
    fn challenges() {
        let realms = ["a.example".to_owned(), "b.example".to_owned()];
        for (realms, expect) in [
            (
                &[][..],
                "realm=\"\",nonce=\"AQIDBAUGBwgJCgsMDQ4PEA==\",qop=\"auth\",charset=\"utf-8\",algorithm=\"md5-sess\"",
            ),
            (
                &realms,
                "realm=\"a.example\",realm=\"b.example\",nonce=\"AQIDBAUGBwgJCgsMDQ4PEA==\",qop=\"auth\",charset=\"utf-8\",algorithm=\"md5-sess\"",
            ),
        ] {
            let step = begin_in(&INFO, &mut Context { realms, ..context() }).start(None);
            assert_eq!(step, Step::Challenge(expect.as_bytes().to_vec()));
        }
    }

    fn parsed(text: &str) -> Result<Response, String> {
        Response::parse(text.as_bytes(), NONCE).map_err(|refusal| refusal.to_string())
    }

    fn base() -> String {
        format!("username=\"joe\",nonce=\"{NONCE}\",cnonce=\"c\"")
    }

    #[test]
    fn directives() {
        let response = parsed(&format!(" , UserName = \"j\\\"o\\\\e\" ,{}", &base()[15..])).unwrap();
        assert_eq!(response.username.as_deref(), Some("j\"o\\e"));
        let response = parsed(&format!("junk,{},realm= x y ,realm=z,nc=00000001 ", base())).unwrap();
        assert_eq!(response.realm.as_deref(), Some("x y"));
        assert_eq!(response.nonce_count.as_deref(), Some("00000001"));
        for (more, error) in [
            (",username=x", "username must not exist more than once"),
            (",nonce=x", "Invalid nonce"),
            (",cnonce=x", "cnonce must not exist more than once"),
            (",nc=2", "re-auth not supported currently"),
            (",nc=x", "nonce-count value invalid"),
            (",nc=1,nc=1", "nonce-count must not exist more than once"),
            (",qop=auth-int", "Nonallowed QoP requested"),
            (",qop=x", "Unknown QoP value: x"),
            (",digest-uri=x", "Invalid digest-uri"),
            (",maxbuf=0", "Invalid maxbuf value"),
            (",maxbuf=1,maxbuf=1", "maxbuf must not exist more than once"),
            (",charset=iso-8859-1", "Only utf-8 charset is allowed"),
            (",response=x", "Invalid response value"),
            (",authzid=\"\"", "empty authzid"),
            (",authzid=x,authzid=x", "authzid must not exist more than once"),
        ] {
            assert_eq!(parsed(&(base() + more)), Err(error.to_owned()), "{more}");
        }
        for (text, error) in [
            ("", "Client sent no input"),
            ("x", "Missing nonce parameter"),
            ("username=\"\"", "empty username"),
            ("cnonce=\"\"", "cnonce can't contain empty value"),
            ("nonce=\"AQIDBAUGBwgJCgsMDQ4PEA==\"", "Missing cnonce parameter"),
            ("nonce=\"AQIDBAUGBwgJCgsMDQ4PEA==\",cnonce=c", "Missing username parameter"),
            ("a\0b", "invalid input"),
        ] {
            assert_eq!(parsed(text), Err(error.to_owned()), "{text:?}");
        }
    }

    #[test]
    fn names_and_realms() {
        for (more, user, realm) in [
            ("username=joe", "joe", None),
            ("username=joe,realm=r", "joe@r", None),
            ("username=joe@d", "joe@d", Some("")),
            ("username=joe@d,realm=r", "joe@d", Some("r")),
        ] {
            let identity = parsed(&format!("{more},{}", &base()[15..])).unwrap().identity().unwrap();
            assert_eq!((identity.user.as_str(), identity.realm.as_deref()), (user, realm), "{more}");
        }
    }

    /// RFC 2831 §4.
    #[test]
    fn example_of_the_rfc() {
        let response = Response {
            cnonce: Some("OA6MHXh6VqTrRk".into()),
            nonce_count: Some("00000001".into()),
            qop: Some("auth".into()),
            uri: Some("imap/elwood.innosoft.com".into()),
            ..Response::default()
        };
        let secret = Md5::digest("chris:elwood.innosoft.com:secret");
        let nonce = "OA6MG9tEQGm2hh";
        let sent = response.compute(&secret, nonce, "AUTHENTICATE:");
        assert_eq!(sent, Secret::new("d388dad90d4bbd760a152321f2143af7"));
        let own = response.compute(&secret, nonce, ":");
        assert_eq!(own, Secret::new("ea40f60335c427b5527b84dbabcdfffd"));
    }

    #[test]
    fn passwords() {
        let right = credentials("secret", "DIGEST-MD5");
        let response = format!("{},realm=realm,qop=auth,digest-uri=\"imap/h\"", base());
        let digest = parsed(&response).unwrap().compute(right.expose(), NONCE, "AUTHENTICATE:");
        let message = format!("{response},response={}", digest.expose_lossy().as_str());
        let check = |message: &str, secret: &[u8]| {
            let mut mechanism = begin(&INFO);
            assert!(matches!(mechanism.start(Some(b"ignored")), Step::Challenge(_)));
            let step = mechanism.respond(message.as_bytes());
            let Step::Lookup { identity, scheme: "DIGEST-MD5" } = step else { panic!("{step:?}") };
            assert_eq!(identity.user, "joe@realm");
            let step = mechanism.answer(Answer::Credentials(Some(secret)));
            assert_eq!(mechanism.respond(message.as_bytes()), Step::Fail(Refusal::Unexpected));
            step
        };
        assert!(matches!(check(&message, right.expose()), Step::Success(data) if data.len() == 40));
        let wrong = credentials("wrong", "DIGEST-MD5");
        assert_eq!(check(&message, wrong.expose()), Step::Fail(Refusal::Mismatch));
        assert_eq!(check(&response, right.expose()), Step::Fail(Refusal::Mismatch));
        let useless = Refusal::Credentials("invalid credentials length".into());
        assert_eq!(check(&message, b"short"), Step::Fail(useless));
    }
}
