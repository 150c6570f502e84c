//! The one table of processes: what a service's program may do, which walls stand around it and
//! whom it talks to. A program that is not listed does not exist.

/// A program, by the first word of `executable`.
#[derive(Debug, Clone, Copy)]
pub struct Row {
    /// The name.
    pub program: &'static str,
    /// What it is locked into once its rights are gone.
    pub sandbox: Sandbox,
    /// How its tasks are run.
    pub threads: Threads,
    /// Whether it has a line to anvil.
    pub anvil: bool,
    /// Which sockets of others it connects to, for the reader: names below `base_dir`.
    pub talks_to: &'static [&'static str],
}

/// Kinds of sandbox, see [`crate::sandbox`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sandbox {
    /// Clients and unix sockets that it has: no files, no TCP connections, no processes.
    Login,
    /// Unix sockets that it has or is given, nothing else.
    Closed,
    /// Files as far as its user may; no programs, no other processes' memory.
    Files,
    /// Whatever its user may, but no new rights.
    Open,
    /// None: it becomes a program of the administrator's, which may gain rights where the system lets it.
    /// It reads what mail processes say, and nothing of strangers.
    Script,
}

/// Kinds of runtime.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Threads {
    /// One thread.
    One,
    /// A thread per core, for processes that call storage code.
    Cores,
}

const fn row(
    program: &'static str,
    sandbox: Sandbox,
    threads: Threads,
    anvil: bool,
    talks_to: &'static [&'static str],
) -> Row {
    Row { program, sandbox, threads, anvil, talks_to }
}

/// All processes.
pub static TABLE: &[Row] = &[
    row("anvil", Sandbox::Closed, Threads::One, false, &[]),
    row("log", Sandbox::Files, Threads::One, false, &[]),
    row("config", Sandbox::Open, Threads::One, false, &[]),
    row("dict", Sandbox::Open, Threads::One, false, &["databases of dictionaries"]),
    row("stats", Sandbox::Closed, Threads::One, false, &[]),
    row("auth", Sandbox::Open, Threads::One, true, &["auth-worker", "dict"]),
    row(
        "imap-login",
        Sandbox::Login,
        Threads::One,
        true,
        &["login/login", "login/auth-connect", "login/imap"],
    ),
    row(
        "pop3-login",
        Sandbox::Login,
        Threads::One,
        true,
        &["login/login", "login/auth-connect", "login/pop3"],
    ),
    row(
        "doveadm-server",
        Sandbox::Open,
        Threads::One,
        false,
        &["auth-userdb", "indexer", "other doveadm-servers"],
    ),
    row("script-login", Sandbox::Script, Threads::One, false, &[]),
    row("imap", Sandbox::Files, Threads::Cores, true, &["auth-master", "identity/", "post-login scripts"]),
    row("pop3", Sandbox::Files, Threads::Cores, true, &["auth-master", "identity/", "post-login scripts"]),
];

/// The row of `program`.
pub fn find(program: &str) -> Option<&'static Row> {
    TABLE.iter().find(|row| row.program == program)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_program_stands_there_once() {
        let mut names: Vec<_> = TABLE.iter().map(|row| row.program).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), TABLE.len());
    }

    #[test]
    fn strangers_meet_the_strictest_sandbox_only() {
        // `script-login` meets mail processes only.
        let meets_strangers = |row: &&Row| row.program.ends_with("-login") && row.program != "script-login";
        for row in TABLE.iter().filter(meets_strangers) {
            assert_eq!(row.sandbox, Sandbox::Login, "{}", row.program);
            assert!(row.talks_to.iter().all(|socket| socket.starts_with("login/")), "{}", row.program);
        }
    }
}
