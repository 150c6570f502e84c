//! Asks for a password without showing it.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::os::fd::AsFd;

use rustix::termios::{LocalModes, OptionalActions, Termios};
use sasl::Secret;

use crate::context::{Failure, Outcome};
use crate::limits::PASSWORD_MAX;

/// Asks with `prompt` on the terminal. Where standard input is none, a line of it is the password,
/// and no prompt is shown. The end of the input is an empty password, as in 2.3.
pub(crate) fn ask(prompt: &str) -> Outcome<Secret> {
    let stdin = io::stdin();
    if !rustix::termios::isatty(&stdin) {
        return Ok(line(&mut stdin.lock()));
    }
    let terminal = File::open("/dev/tty")
        .map_err(|error| Failure::fatal(format_args!("open(/dev/tty) failed: {}", base::reason(&error))))?;
    eprint!("{prompt}");
    let silence = Silence::begin(terminal.try_clone().ok());
    let password = line(&mut BufReader::new(&terminal));
    drop(silence);
    eprintln!();
    Ok(password)
}

fn line(input: &mut impl BufRead) -> Secret {
    let bytes =
        input.by_ref().bytes().map_while(Result::ok).take_while(|byte| !matches!(byte, b'\n' | b'\r'));
    // Room from the start, so that no half of it stays behind when the buffer grows.
    let mut password = Vec::with_capacity(PASSWORD_MAX);
    password.extend(bytes.take(PASSWORD_MAX));
    Secret::new(password)
}

/// A terminal that does not echo until this is dropped.
struct Silence(Option<(File, Termios)>);

impl Silence {
    fn begin(terminal: Option<File>) -> Self {
        Self(terminal.and_then(|terminal| {
            let before = rustix::termios::tcgetattr(terminal.as_fd()).ok()?;
            let mut silent = before.clone();
            silent.local_modes.remove(LocalModes::ECHO | LocalModes::ECHONL);
            rustix::termios::tcsetattr(terminal.as_fd(), OptionalActions::Flush, &silent).ok()?;
            Some((terminal, before))
        }))
    }
}

impl Drop for Silence {
    fn drop(&mut self) {
        if let Some((terminal, before)) = &self.0 {
            // There is nobody to tell when the terminal is gone.
            let _ = rustix::termios::tcsetattr(terminal.as_fd(), OptionalActions::Flush, before);
        }
    }
}
