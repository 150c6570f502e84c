//! What blocks, but needs no process of its own. Hashes that are slow by design are computed on as
//! many threads at once as there are processors: more would make none of them faster, and argon2 takes
//! memory for each. Tickets of Kerberos, which wait for files rather, have threads of their own.

use std::cell::Cell;
use std::thread;

use base::Logger;
use sasl::Secret;
use sasl::scheme::{self, Params};
use tokio::sync::Semaphore;

use crate::limits::{HASH_QUEUE_MAX, TICKET_THREADS_MAX};
use crate::request::Request;

/// The threads, as permits to use one.
pub(crate) struct Hasher {
    permits: Semaphore,
    queued: Cell<usize>,
    log: Logger,
    /// What waits, for the log.
    jobs: &'static str,
}

impl Hasher {
    pub(crate) fn new(log: Logger) -> Self {
        let threads = thread::available_parallelism().map_or(1, usize::from);
        Self { permits: Semaphore::new(threads), queued: Cell::new(0), log, jobs: "password hashes" }
    }

    pub(crate) fn for_tickets(log: Logger) -> Self {
        let permits = Semaphore::new(TICKET_THREADS_MAX);
        Self { permits, queued: Cell::new(0), log, jobs: "Kerberos tickets" }
    }

    /// Asks whether the given password is the stored one; `None` if too many ask already. The
    /// inner error is for the log.
    pub(crate) async fn verify(&self, request: &Request, stored: &Secret) -> Option<Result<bool, String>> {
        let password = request.password.clone().unwrap_or_default();
        let user = request.facts.original_user.clone().unwrap_or_default();
        let stored = stored.clone();
        let compute = move || {
            let params = Params { user: &user, rounds: 0 };
            scheme::verify_stored(password.expose(), &params, "PLAIN", &stored.expose_lossy())
                .map_err(|error| error.to_string())
        };
        self.run(request, compute).await
    }

    /// Computes something when its turn has come; `None` if too many wait already.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        request: &Request,
        compute: impl FnOnce() -> T + Send + 'static,
    ) -> Option<T> {
        if self.queued.get() >= HASH_QUEUE_MAX {
            self.log.error(format_args!(
                "Aborting auth request for {}, {HASH_QUEUE_MAX} {} are in the queue already",
                request.user(),
                self.jobs
            ));
            return None;
        }
        self.queued.set(self.queued.get() + 1);
        let permit = self.permits.acquire().await;
        self.queued.set(self.queued.get() - 1);
        let _permit = permit.ok()?;
        tokio::task::spawn_blocking(compute).await.ok()
    }
}
