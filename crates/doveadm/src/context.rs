//! What commands share: global options, output, the configuration, and how they fail.

use std::fmt::Display;

use base::Logger;

use crate::cmd::batch::Batched;
use crate::config::Config;
use crate::globals::Globals;
use crate::output::Output;
use crate::print::{Column, Format, Printer};
use crate::server::Serving;

/// Exit statuses, from sysexits(3) where nothing else is said.
pub(crate) mod status {
    /// Wrong command line.
    pub(crate) const USAGE: i32 = 64;
    /// The input is no good, or what was asked for cannot be done to it.
    pub(crate) const DATA: i32 = 65;
    /// No such user.
    pub(crate) const NO_USER: i32 = 67;
    /// 2.3's "not found" for everything else.
    pub(crate) const NOT_FOUND: i32 = 68;
    /// There is no room for it.
    pub(crate) const CANNOT_CREATE: i32 = 73;
    /// Anything that failed and may work later.
    pub(crate) const TEMPFAIL: i32 = 75;
    /// The other side does not speak our protocol.
    pub(crate) const PROTOCOL: i32 = 76;
    /// Authentication failed.
    pub(crate) const NO_PERMISSION: i32 = 77;
    /// A broken configuration or wrong global options.
    pub(crate) const FATAL: i32 = 89;
}

/// How a command ends before its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Failure {
    /// `Fatal: text`, and the status.
    Fatal(String, i32),
    /// The text as it is, and the status.
    Said(String, i32),
    /// Everything has been said.
    Exit(i32),
}

impl Failure {
    /// With the usual status.
    pub(crate) fn fatal(text: impl Display) -> Self {
        Self::Fatal(text.to_string(), status::TEMPFAIL)
    }
}

/// What a command returns.
pub(crate) type Outcome<T = ()> = Result<T, Failure>;

/// What commands share.
#[derive(Debug)]
pub(crate) struct Context {
    pub(crate) globals: Globals,
    pub(crate) output: Output,
    /// The exit status if the command goes on to its end.
    pub(crate) status: i32,
    /// Whom a doveadm server works for; `None` in the program.
    pub(crate) serving: Option<Serving>,
    /// Whom the commands of a batch work for.
    pub(crate) batched: Option<Batched>,
    config: Option<Config>,
}

impl Context {
    pub(crate) fn new(globals: Globals) -> Self {
        Self { globals, output: Output::new(), status: 0, serving: None, batched: None, config: None }
    }

    /// That of a doveadm server.
    pub(crate) fn serving(globals: Globals, output: Output, serving: Serving, config: Config) -> Self {
        Self { globals, output, status: 0, serving: Some(serving), batched: None, config: Some(config) }
    }

    /// The configuration, read when first asked for.
    pub(crate) fn config(&mut self) -> Outcome<&Config> {
        if self.config.is_none() {
            self.config = Some(Config::read(&self.globals)?);
        }
        self.config.as_ref().ok_or(Failure::Exit(status::FATAL))
    }

    /// The path of a socket or file below `base_dir`.
    pub(crate) fn in_base_dir(&mut self, name: &str) -> Outcome<String> {
        Ok(format!("{}/{name}", self.config()?.base_dir()))
    }

    /// Reports an error and goes on; the command will end with `status`.
    pub(crate) fn error(&mut self, text: impl Display, status: i32) {
        Logger::new("").error(text);
        self.status = status;
    }

    /// Begins a table in the format that `-f` names, or in `format`. `-f formatted` is for the
    /// commands that have a text of their own.
    pub(crate) fn table(&mut self, format: Format, columns: &[Column]) -> Outcome<Printer> {
        if self.serving.is_some() {
            return Ok(Printer::new(Format::Server, false, columns, &mut self.output));
        }
        let format = match (self.globals.format, format) {
            (Some(Format::Formatted(_)), own @ Format::Formatted(_)) | (None, own) => own,
            (Some(Format::Formatted(_)), _) => {
                return Err(Failure::fatal("formatted formatter cannot be used without a format."));
            }
            (Some(wanted), _) => wanted,
        };
        Ok(Printer::new(format, self.globals.hide_titles, columns, &mut self.output))
    }
}

/// A whole `doveadm` for tests: a configuration with a `base_dir` of its own, in which the other
/// side of a socket can be played.
#[cfg(test)]
pub(crate) mod tests {
    use std::io::{Read, Write};
    use std::os::unix::net::UnixListener;
    use std::path::Path;
    use std::thread::JoinHandle;

    use serde::Serialize;
    use serde::de::DeserializeOwned;

    use super::*;
    use crate::{args::Args, commands, globals};

    pub(crate) struct Doveadm {
        directory: tempfile::TempDir,
    }

    impl Doveadm {
        pub(crate) fn new() -> Self {
            let directory = tempfile::tempdir().unwrap();
            let base = directory.path().display();
            let config =
                format!("base_dir = {base}\nstate_dir = {base}\nlog_path = {base}/log\nlog_timestamp =\n");
            std::fs::write(directory.path().join("dovecot.conf"), config).unwrap();
            Self { directory }
        }

        pub(crate) fn path(&self) -> &Path {
            self.directory.path()
        }

        /// Answers the next question on the socket `name` with `answers`, and gives the question.
        pub(crate) fn play<Q, A>(&self, name: &str, answers: Vec<A>) -> JoinHandle<Q>
        where
            Q: DeserializeOwned + Send + 'static,
            A: Serialize + Send + 'static,
        {
            let socket = UnixListener::bind(self.path().join(name)).unwrap();
            std::thread::spawn(move || {
                let (mut stream, _) = socket.accept().unwrap();
                let mut decoder = ipc::Decoder::new();
                let query = loop {
                    let mut buffer = [0; 1024];
                    let read = stream.read(&mut buffer).unwrap();
                    decoder.push(&buffer[..read]);
                    if let Some(query) = decoder.message().unwrap() {
                        break query;
                    }
                };
                for answer in answers {
                    stream.write_all(&ipc::encode(&answer).unwrap()).unwrap();
                }
                query
            })
        }

        /// Plays a line protocol: sends each text after as many lines as it says have come.
        pub(crate) fn play_lines(
            &self,
            name: &str,
            script: Vec<(usize, &'static str)>,
        ) -> JoinHandle<String> {
            use std::io::{BufRead, BufReader};
            let socket = UnixListener::bind(self.path().join(name)).unwrap();
            std::thread::spawn(move || {
                let (stream, _) = socket.accept().unwrap();
                let mut reader = BufReader::new(stream);
                let mut heard = String::new();
                for (lines, text) in script {
                    for _ in 0..lines {
                        reader.read_line(&mut heard).unwrap();
                    }
                    reader.get_mut().write_all(text.as_bytes()).unwrap();
                }
                heard
            })
        }

        /// Runs a command line, and returns its output and how it ended.
        pub(crate) fn run(&self, line: &str) -> (String, Result<i32, Failure>) {
            let config = self.path().join("dovecot.conf").display().to_string();
            let words: Vec<String> =
                ["doveadm", "-c", &config].into_iter().chain(line.split(' ')).map(str::to_owned).collect();
            let (globals, words) = globals::parse(&words).unwrap();
            let mut cx = Context { output: Output::captured(), ..Context::new(globals) };
            let (command, rest) = commands::find(&words).unwrap();
            let args = Args::parse(command, command.name, rest).unwrap();
            let outcome = (command.run)(&mut cx, &args);
            let status = cx.status;
            (cx.output.take_captured(), outcome.map(|()| status))
        }
    }
}
