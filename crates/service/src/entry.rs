//! How a process crate says what its processes are. The binary collects all [`Entry`]s and
//! [`crate::run()`]s the one whose program the master asked for.

use std::future::Future;
use std::sync::Arc;

use base::Logger;
use ipc::control::Birth;
use settings::Snapshot;

use crate::birth::Newborn;
use crate::fatal::Fatal;
use crate::identity::Session;
use crate::process::Process;

/// One kind of process. A process crate exports a function that makes its entries:
///
/// ```text
/// pub fn entries() -> Vec<service::Entry> {
///     vec![service::Entry::new("anvil", |_| Ok(()), anvil::main)]
/// }
/// ```
pub struct Entry {
    program: &'static str,
    pub(crate) life: Box<dyn FnOnce(Newborn) -> Result<(), Fatal>>,
}

/// What a process may look at while it still has the rights it was started with.
#[derive(Debug)]
pub struct Opening<'a> {
    /// Who it is going to be.
    pub birth: &'a Birth,
    /// Its settings.
    pub settings: &'a Snapshot,
    /// Its logger, prefixed with the service's name.
    pub log: &'a Logger,
    /// Words after the program's name in `executable` (`-w` of `auth -w`).
    pub arguments: &'a [String],
}

impl Entry {
    /// A process named `program` in `executable`. `open` runs first, with all rights, and opens
    /// what needs them; `main` is the process's life, run after privileges are dropped and the
    /// sandbox is on. When `main` returns, the process ends.
    pub fn new<S, F>(
        program: &'static str,
        open: impl FnOnce(&Opening<'_>) -> Result<S, Fatal> + 'static,
        main: impl FnOnce(Process, S) -> F + 'static,
    ) -> Self
    where
        S: 'static,
        F: Future<Output = Result<(), Fatal>> + 'static,
    {
        Self { program, life: Box::new(move |newborn| newborn.live(open, main)) }
    }

    /// A mail process, which serves sessions under their users' identities, see
    /// [`crate::identity`]. `open` runs in every process once it has taken its identity, before
    /// its first session; `serve` is the life of one session.
    pub fn mail<S, F>(
        program: &'static str,
        open: impl FnOnce(&Process) -> Result<S, Fatal> + 'static,
        serve: impl Fn(Arc<S>, Session) -> F + Send + Sync + 'static,
    ) -> Self
    where
        S: Send + Sync + 'static,
        F: Future<Output = ()> + Send + 'static,
    {
        Self { program, life: Box::new(move |newborn| crate::identity::live(newborn, open, Arc::new(serve))) }
    }

    /// The name of the program: the first word of `executable`.
    pub fn program(&self) -> &'static str {
        self.program
    }
}

impl std::fmt::Debug for Entry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Entry").field("program", &self.program).finish_non_exhaustive()
    }
}
