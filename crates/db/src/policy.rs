//! A policy server as `auth_policy_*` describes it: it is told of each login in JSON, and says with
//! a number what is to become of it.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use rustls::ClientConfig;
use serde_json::{Map, Value};

use crate::http::{self, Body, HttpRequest, HttpResponse, Url};
use crate::limits::{POLICY_DEPTH_MAX, POLICY_TIMEOUT_MAX};
use crate::tls::TlsOptions;

/// What the server is told or asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Command {
    /// May this login go on?
    Allow,
    /// So it went.
    Report,
}

/// A client of one server.
#[derive(Debug)]
pub struct PolicyServer {
    url: String,
    headers: Vec<(Cow<'static, str>, String)>,
    tls: Arc<ClientConfig>,
    timeout: Duration,
}

/// What the server says of a login.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Verdict {
    /// Negative: refuse it; positive: let it wait for so many seconds.
    pub status: i32,
    /// What the client may be told.
    pub message: Option<String>,
}

impl PolicyServer {
    /// `api_header` is a header field, or the value of `X-API-Key`.
    ///
    /// # Errors
    /// TLS cannot be set up.
    pub fn new(url: &str, api_header: &str, timeout: Duration, tls: &TlsOptions) -> Result<Self, String> {
        let mut headers = Vec::new();
        match api_header.split_once(':') {
            Some((name, value)) => headers.push((name.to_owned().into(), value.trim_start().to_owned())),
            None if api_header.is_empty() => {}
            None => headers.push(("X-API-Key".into(), api_header.to_owned())),
        }
        let timeout = timeout.min(POLICY_TIMEOUT_MAX);
        Ok(Self { url: url.to_owned(), headers, tls: tls.client_config()?, timeout })
    }

    /// How long the server may take.
    pub fn timeout(&self) -> Duration {
        self.timeout
    }

    /// Where a command goes.
    pub fn url(&self, command: Command) -> String {
        let separator = if self.url.ends_with('&') { "" } else { "?" };
        let word = match command {
            Command::Allow => "allow",
            Command::Report => "report",
        };
        format!("{}{separator}command={word}", self.url)
    }

    /// Sends a command and waits for the answer, for no longer than the configuration says.
    ///
    /// # Errors
    /// For the log: there was no good answer.
    pub fn send(&self, command: Command, json: String) -> Result<HttpResponse, PolicyError> {
        let url = self.url(command);
        let url = Url::parse(&url).map_err(|error| PolicyError::Url(url, error))?;
        let request = HttpRequest {
            method: "POST",
            agent: "dovecot/auth-policy-client",
            headers: self.headers.clone(),
            body: Some(Body { media_type: "application/json", text: json }),
        };
        let answer = http::fetch(&url, &request, &self.tls, self.timeout).map_err(PolicyError::Http)?;
        match answer.status / 10 {
            20 => Ok(answer),
            _ => Err(PolicyError::Http(format!("{} {}", answer.status, answer.reason))),
        }
    }
}

/// Why there is no verdict, in 2.3's words.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "the texts say it")]
pub enum PolicyError {
    #[error("Could not parse url {0}: {1}")]
    Url(String, String),
    #[error("Policy server HTTP error: {0}")]
    Http(String),
    #[error("Policy server result was empty")]
    Empty,
    #[error("Policy server response JSON parse error: {0}")]
    Json(String),
    #[error("Policy server response was malformed")]
    Malformed,
}

impl Verdict {
    /// From the body of an answer.
    ///
    /// # Errors
    /// It is no verdict.
    pub fn parse(body: &[u8]) -> Result<Self, PolicyError> {
        if body.is_empty() {
            return Err(PolicyError::Empty);
        }
        let map: Map<String, Value> =
            serde_json::from_slice(body).map_err(|error| PolicyError::Json(error.to_string()))?;
        let status = match map.get("status") {
            None => 0,
            Some(value) => {
                let number = value.as_i64().and_then(|number| i32::try_from(number).ok());
                number.ok_or(PolicyError::Malformed)?
            }
        };
        let message = match map.get("msg") {
            None => None,
            Some(Value::String(text)) => Some(text.clone()).filter(|text| !text.is_empty()),
            Some(_) => return Err(PolicyError::Malformed),
        };
        Ok(Self { status, message })
    }
}

/// `auth_policy_request_attributes`: what the server is told. A name with slashes is that of a field
/// in an object within objects.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attributes(BTreeMap<String, Attribute>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Attribute {
    /// With `%` variables.
    Template(String),
    Object(BTreeMap<String, Attribute>),
}

impl Attributes {
    /// # Errors
    /// In 2.3's words.
    pub fn parse(text: &str) -> Result<Self, String> {
        let invalid = || "auth_policy_request_attributes contains invalid value".to_owned();
        let mut words = text.split([' ', '=']).filter(|word| !word.is_empty());
        let mut all = BTreeMap::new();
        while let Some(name) = words.next() {
            let value = words.next().ok_or_else(invalid)?;
            insert(&mut all, name, value, POLICY_DEPTH_MAX).ok_or_else(invalid)?;
        }
        Ok(Self(all))
    }

    /// As a JSON object, with `more` fields behind them. `expand` puts in the variables of a value.
    pub fn json(&self, expand: &dyn Fn(&str) -> String, more: &[(&str, bool)]) -> String {
        let mut text = String::from("{");
        write_fields(&mut text, &self.0, expand);
        for (name, value) in more {
            if text.len() > 1 {
                text.push(',');
            }
            text.push_str(&format!("{}:{value}", quoted(name)));
        }
        text.push('}');
        text
    }
}

fn insert(all: &mut BTreeMap<String, Attribute>, name: &str, value: &str, depth: usize) -> Option<()> {
    match name.split_once('/') {
        None => match all.insert(name.to_owned(), Attribute::Template(value.to_owned())) {
            Some(Attribute::Object(_)) => None,
            _ => Some(()),
        },
        Some((first, rest)) => {
            let place = all.entry(first.to_owned()).or_insert_with(|| Attribute::Object(BTreeMap::new()));
            match place {
                Attribute::Object(fields) if depth > 0 => insert(fields, rest, value, depth - 1),
                _ => None,
            }
        }
    }
}

fn write_fields(text: &mut String, fields: &BTreeMap<String, Attribute>, expand: &dyn Fn(&str) -> String) {
    for (at, (name, value)) in fields.iter().enumerate() {
        if at > 0 {
            text.push(',');
        }
        text.push_str(&quoted(name));
        text.push(':');
        match value {
            Attribute::Template(template) => text.push_str(&quoted(&expand(template))),
            Attribute::Object(fields) => {
                text.push('{');
                write_fields(text, fields, expand);
                text.push('}');
            }
        }
    }
}

fn quoted(text: &str) -> String {
    Value::from(text).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn verdicts() {
        let good = |status, message: &str| {
            Ok(Verdict { status, message: Some(message.to_owned()).filter(|text| !text.is_empty()) })
        };
        for (body, expect) in [
            (r#"{"status":0,"msg":""}"#, good(0, "")),
            (r#"{"status":-1,"msg":"no"}"#, good(-1, "no")),
            (r#"{"more":[1],"status":5}"#, good(5, "")),
            ("{}", good(0, "")),
            ("", Err(PolicyError::Empty)),
            (r#"{"status":"x"}"#, Err(PolicyError::Malformed)),
            (r#"{"status":99999999999}"#, Err(PolicyError::Malformed)),
            (r#"{"status":1,"msg":2}"#, Err(PolicyError::Malformed)),
        ] {
            assert_eq!(Verdict::parse(body.as_bytes()), expect, "{body}");
        }
        for body in ["<html>", r#"{"status":"#, "[1]", "\u{0}"] {
            assert!(matches!(Verdict::parse(body.as_bytes()), Err(PolicyError::Json(_))), "{body}");
        }
    }

    /// What 2.3.19 makes of the same attributes.
    #[test]
    fn attributes() {
        let expand = |template: &str| template.replace("%{rip}", "1.2.3.4").replace("%q", "a\"b\t\u{1}");
        let check = |text: &str, expect: &str| {
            let json = Attributes::parse(text).map(|found| found.json(&expand, &[("tls", false)]));
            assert_eq!(json.as_deref(), Ok(expect), "{text}");
        };
        check(
            "login=%q a/x=%{rip} a/y=1 b/c=1",
            "{\"a\":{\"x\":\"1.2.3.4\",\"y\":\"1\"},\"b\":{\"c\":\"1\"},\"login\":\"a\\\"b\\t\\u0001\",\"tls\":false}",
        );
        check("", "{\"tls\":false}");
        for bad in ["a", "a=1 b", "a=1 a/b=1", "a/b=1 a=1"] {
            assert!(Attributes::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn urls_and_headers() {
        let server = |url: &str, header: &str| {
            PolicyServer::new(url, header, Duration::from_secs(1), &TlsOptions::default()).unwrap()
        };
        assert_eq!(server("http://x/p", "").url(Command::Allow), "http://x/p?command=allow");
        assert_eq!(server("http://x/p?a=b&", "").url(Command::Report), "http://x/p?a=b&command=report");
        let headers = |header: &str| server("http://x", header).headers;
        assert_eq!(headers("X: y"), [("X".into(), "y".to_owned())]);
        assert_eq!(headers("key"), [("X-API-Key".into(), "key".to_owned())]);
        assert_eq!(headers(""), []);
    }
}
