//! The commands before login, for the login process: the same reader with
//! [`CommandReader::before_login`](super::CommandReader::before_login), and few commands.

use zeroize::Zeroizing;

use super::arg::Arg;
use super::command::IdParams;
use super::error::{Place, SyntaxError};
use super::kind::CommandKind;
use super::reader::RawCommand;

/// What 2.3 answers (after `BAD `) to any command before login that it cannot make sense of.
pub const BAD_COMMAND: &str = "Error in IMAP command received by server.";

/// A command before login.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LoginCommand {
    /// CAPABILITY
    Capability,
    /// NOOP
    Noop,
    /// LOGOUT
    Logout,
    /// ID
    Id(IdParams),
    /// ENABLE, which does nothing before login.
    Enable,
    /// STARTTLS
    Starttls,
    /// AUTHENTICATE (RFC 3501 §6.2.2, RFC 4959).
    Authenticate {
        /// The mechanism in upper case.
        mechanism: Box<str>,
        /// The initial response as sent, in base64; `=` stands for an empty one.
        initial_response: Option<Zeroizing<Vec<u8>>>,
    },
    /// LOGIN (RFC 3501 §6.2.3). Neither is checked in any way but for NULs.
    Login {
        /// The user's name.
        user: Vec<u8>,
        /// The password.
        password: Zeroizing<Vec<u8>>,
    },
}

/// Why a command before login was refused. Displays what follows `BAD `.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LoginError {
    /// Anything wrong with name, number or kind of arguments.
    #[error("Error in IMAP command received by server.")]
    BadCommand,
    /// ID with something else than a list of strings.
    #[error("Invalid ID parameters")]
    BadId,
}

/// Gives a command its meaning.
pub fn parse(command: &RawCommand) -> Result<LoginCommand, LoginError> {
    Ok(match command.kind {
        CommandKind::Capability => LoginCommand::Capability,
        CommandKind::Noop => LoginCommand::Noop,
        CommandKind::Logout => LoginCommand::Logout,
        CommandKind::Enable => LoginCommand::Enable,
        CommandKind::Starttls => LoginCommand::Starttls,
        CommandKind::Id => LoginCommand::Id(IdParams::parse_strict(&command.args).ok_or(LoginError::BadId)?),
        CommandKind::Authenticate => authenticate(&command.args)?,
        CommandKind::Login => login(&command.args)?,
        _ => return Err(LoginError::BadCommand),
    })
}

/// What follows `BAD ` for a command line that could not be read. A fatal error is sent as
/// `* BYE` instead.
pub fn syntax_error_text(error: &SyntaxError) -> &'static str {
    match error.place {
        Place::Command(_) if error.text != "Unknown command" => error.text,
        Place::Stream => error.text,
        _ => BAD_COMMAND,
    }
}

fn authenticate(args: &[Arg]) -> Result<LoginCommand, LoginError> {
    let (mechanism, response) = match args {
        [mechanism] => (mechanism, None),
        [mechanism, response] => (mechanism, Some(response)),
        _ => return Err(LoginError::BadCommand),
    };
    let mechanism = mechanism.atom().ok_or(LoginError::BadCommand)?.to_ascii_uppercase().into();
    let initial_response = match response {
        None => None,
        Some(response) => {
            let response = response.astring().ok_or(LoginError::BadCommand)?;
            Some(Zeroizing::new(response.to_vec()))
        }
    };
    Ok(LoginCommand::Authenticate { mechanism, initial_response })
}

fn login(args: &[Arg]) -> Result<LoginCommand, LoginError> {
    let [user, password] = args else { return Err(LoginError::BadCommand) };
    let user = user.astring().ok_or(LoginError::BadCommand)?.to_vec();
    let password = password.astring().ok_or(LoginError::BadCommand)?.to_vec();
    Ok(LoginCommand::Login { user, password: Zeroizing::new(password) })
}

#[cfg(test)]
mod tests {
    use super::super::reader::{CommandReader, Event};
    use super::*;

    fn check(line: &str, expected: &str) {
        let mut reader = CommandReader::before_login();
        let mut input = line.as_bytes();
        let result = match reader.read(&mut input) {
            Some(Event::Command(command)) => match parse(&command) {
                Ok(command) => format!("{command:?}"),
                Err(error) => format!("BAD {error}"),
            },
            Some(Event::Error(error)) => format!("BAD {}", syntax_error_text(&error)),
            other => panic!("{other:?}"),
        };
        assert_eq!(result, expected, "{line}");
        assert_eq!(input, b"");
    }

    #[test]
    fn commands() {
        check("a noop x\r\n", "Noop");
        check("a STARTTLS\n", "Starttls");
        check("a login u \"p w\"\r\n", "Login { user: [117], password: Zeroizing { .. } }");
        check("a LOGIN {1+}\r\nu {1+}\r\np\r\n", "Login { user: [117], password: Zeroizing { .. } }");
        check("a AUTHENTICATE plain\r\n", "Authenticate { mechanism: \"PLAIN\", initial_response: None }");
        check(
            "a AUTHENTICATE plain =\r\n",
            "Authenticate { mechanism: \"PLAIN\", initial_response: Some(Zeroizing { .. }) }",
        );
        check("a ID NIL\r\n", "Id(IdParams([]))");
        check(
            "a ID (\"name\" \"x\" \"os\" NIL)\r\n",
            "Id(IdParams([(\"name\", Some(\"x\")), (\"os\", None)]))",
        );
    }

    #[test]
    fn errors() {
        let bad = format!("BAD {BAD_COMMAND}");
        for line in [
            "a\r\n",
            "a foo\r\n",
            "* foo\r\n",
            "\u{e9} x\r\n",
            "a LOGIN u\r\n",
            "a LOGIN u p x\r\n",
            "a LOGIN (u) p\r\n",
            "a AUTHENTICATE\r\n",
            "a FETCH 1 ALL\r\n",
            "a UID FETCH\r\n",
            "\r\n",
        ] {
            check(line, &bad);
        }
        check("a LOGIN \u{e9} p\r\n", "BAD 8bit data in atom");
        check("a ID (name x)\r\n", "BAD Invalid ID parameters");
    }
}
