//! Words after the program's name in `executable`: `imap-login [-D] [-S] [-l socket] [auth-socket]`.

use crate::session::Protocol;

/// What they say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Arguments {
    /// `-S`: TLS on every listener.
    pub(crate) tls: bool,
    mail: String,
    auth: String,
}

impl Arguments {
    /// Parses them; an error is the line for the log.
    pub(crate) fn parse(words: &[String], protocol: Protocol) -> Result<Self, String> {
        let mut arguments = Self { tls: false, mail: protocol.name().into(), auth: "login".into() };
        let mut words = words.iter();
        while let Some(word) = words.next() {
            match word.as_str() {
                "-S" => arguments.tls = true,
                // Core dumps and raw logs, neither of which a sandboxed process can write.
                "-D" => {}
                "-R" => drop(words.next()),
                "-l" => arguments.mail = words.next().ok_or("-l: socket name missing")?.clone(),
                option if option.starts_with('-') => return Err(format!("Unknown argument: {option}")),
                socket => arguments.auth = socket.to_owned(),
            }
        }
        Ok(arguments)
    }

    /// The auth process's socket below `base_dir`.
    pub(crate) fn auth_socket(&self) -> String {
        format!("login/{}", self.auth)
    }

    /// The mail processes' socket below `base_dir`.
    pub(crate) fn mail_socket(&self) -> String {
        format!("login/{}", self.mail)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words() {
        let check = |words: &str, expected: Result<(bool, &str, &str), &str>| {
            let words: Vec<String> = words.split_whitespace().map(str::to_owned).collect();
            let parsed = Arguments::parse(&words, Protocol::Imap);
            let parsed = parsed.map(|it| (it.tls, it.mail_socket(), it.auth_socket()));
            let expected = expected.map(|(tls, mail, auth)| (tls, mail.to_owned(), auth.to_owned()));
            assert_eq!(parsed, expected.map_err(str::to_owned));
        };
        check("", Ok((false, "login/imap", "login/login")));
        check("-D -S -l imap2 login2", Ok((true, "login/imap2", "login/login2")));
        check("-x", Err("Unknown argument: -x"));
        check("-l", Err("-l: socket name missing"));
    }
}
