//! What is told about the client on whose behalf is asked (`-x key=value`).

use std::net::IpAddr;

/// Fields in the order in which 2.3 sends them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Info {
    service: Option<String>,
    session: Option<String>,
    local_name: Option<String>,
    lip: Option<IpAddr>,
    rip: Option<IpAddr>,
    lport: Option<u16>,
    rport: Option<u16>,
    real_lip: Option<IpAddr>,
    real_rip: Option<IpAddr>,
    real_lport: Option<u16>,
    real_rport: Option<u16>,
    forward: Vec<String>,
    extra: Vec<String>,
    debug: bool,
}

impl Info {
    /// On behalf of doveadm; `debug` is `auth_debug`.
    pub(crate) fn new(debug: bool) -> Self {
        Self { debug, ..Self::default() }
    }

    /// The service, `doveadm` unless another was named.
    pub(crate) fn service(&self) -> &str {
        self.service.as_deref().unwrap_or("doveadm")
    }

    /// The client's and our address, as far as they were named.
    pub(crate) fn addresses(&self) -> (Option<IpAddr>, Option<IpAddr>) {
        (self.rip, self.lip)
    }

    /// Takes in one `-x`. The error is 2.3's text.
    pub(crate) fn add(&mut self, argument: &str) -> Result<(), String> {
        let (key, value) = argument.split_once('=').unwrap_or((argument, ""));
        let ip = || value.parse().map(Some).map_err(|_| format!("{key}: Invalid ip"));
        let port = || match value.parse::<u16>() {
            Ok(port) if port != 0 => Ok(Some(port)),
            _ => Err(format!("{key}: Invalid port number")),
        };
        match key {
            "service" => self.service = Some(value.to_owned()),
            "session" => self.session = Some(value.to_owned()),
            "local_name" => self.local_name = Some(value.to_owned()),
            "lip" => self.lip = ip()?,
            "rip" => self.rip = ip()?,
            "lport" => self.lport = port()?,
            "rport" => self.rport = port()?,
            "real_lip" => self.real_lip = ip()?,
            "real_rip" => self.real_rip = ip()?,
            "real_lport" => self.real_lport = port()?,
            "real_rport" => self.real_rport = port()?,
            _ => match key.strip_prefix("forward_") {
                Some(key) => {
                    self.forward.push(format!("{}={}", base::tab::escape(key), base::tab::escape(value)))
                }
                None => self.extra.push(argument.to_owned()),
            },
        }
        Ok(())
    }

    /// The fields of an `AUTH` line after the mechanism and service, each with a tab before it.
    pub(super) fn for_client(&self) -> String {
        let mut line = String::new();
        push(&mut line, "debug", self.debug.then_some(""));
        push(&mut line, "session", self.session.as_deref());
        push(&mut line, "lip", text(&self.lip));
        push(&mut line, "rip", text(&self.rip));
        push(&mut line, "lport", text(&self.lport));
        push(&mut line, "rport", text(&self.rport));
        self.push_real(&mut line);
        push(&mut line, "local_name", self.local_name.as_deref());
        self.push_rest(&mut line);
        line
    }

    /// The fields of a `USER`, `PASS` or `LIST` line, each with a tab before it.
    pub(super) fn for_master(&self) -> String {
        let mut line = format!("\tservice={}", self.service());
        push(&mut line, "session", self.session.as_deref());
        push(&mut line, "local_name", self.local_name.as_deref());
        push(&mut line, "lip", text(&self.lip));
        push(&mut line, "lport", text(&self.lport));
        push(&mut line, "rip", text(&self.rip));
        push(&mut line, "rport", text(&self.rport));
        self.push_real(&mut line);
        push(&mut line, "debug", self.debug.then_some(""));
        self.push_rest(&mut line);
        line
    }

    /// The real ends of the connection, where a proxy stands between.
    fn push_real(&self, line: &mut String) {
        push(line, "real_lip", text(&self.real_lip.filter(|_| self.real_lip != self.lip)));
        push(line, "real_rip", text(&self.real_rip.filter(|_| self.real_rip != self.rip)));
        push(line, "real_lport", text(&self.real_lport.filter(|_| self.real_lport != self.lport)));
        push(line, "real_rport", text(&self.real_rport.filter(|_| self.real_rport != self.rport)));
    }

    fn push_rest(&self, line: &mut String) {
        let forward = self.forward.join("\t");
        push(line, "forward_fields", (!forward.is_empty()).then_some(forward));
        for extra in &self.extra {
            line.push('\t');
            line.push_str(&base::tab::escape(extra));
        }
    }
}

fn text(value: &Option<impl ToString>) -> Option<String> {
    value.as_ref().map(ToString::to_string)
}

/// Appends `key=value`, or `key` alone for an empty value.
fn push(line: &mut String, key: &str, value: Option<impl AsRef<str>>) {
    let Some(value) = value else { return };
    line.push('\t');
    line.push_str(key);
    if !value.as_ref().is_empty() {
        line.push('=');
        line.push_str(&base::tab::escape(value.as_ref()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn info(arguments: &[&str]) -> Result<Info, String> {
        let mut info = Info::new(false);
        arguments.iter().try_for_each(|argument| info.add(argument))?;
        Ok(info)
    }

    #[test]
    fn fields_are_sent_in_order() {
        let info =
            info(&["foo=a\tb", "rip=10.0.0.1", "service=imap", "forward_x=1", "real_rip=10.0.0.1"]).unwrap();
        assert_eq!(info.for_master(), "\tservice=imap\trip=10.0.0.1\tforward_fields=x=1\tfoo=a\u{1}tb");
        assert_eq!(info.for_client(), "\trip=10.0.0.1\tforward_fields=x=1\tfoo=a\u{1}tb");
    }

    #[test]
    fn mistakes() {
        assert_eq!(info(&["rip=zzz"]).unwrap_err(), "rip: Invalid ip");
        assert_eq!(info(&["lport=0"]).unwrap_err(), "lport: Invalid port number");
    }
}
