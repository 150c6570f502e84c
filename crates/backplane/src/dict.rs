//! The `dict` process: does what is asked of the dictionaries of `dict {}`, so that others need no rights
//! to them (`proxy:`). Commands and answers are lines of words with tabs between them, as Dovecot's
//! `src/lib-dict/dict-client.h` has them.
//!
//! The drivers block, so each command runs on a thread of its own while it lasts. A dictionary has a few of
//! them at most: when its database hangs, those wait who ask it, and nobody else.

mod command;
mod connection;
mod pool;

use std::sync::Arc;

use base::Logger;
use service::{Client, Entry, Fatal, Process};
use settings::Snapshot;

use connection::Connection;
use pool::Pool;

/// The process as the binary knows it.
pub(crate) fn entry() -> Entry {
    Entry::new("dict", |_| Ok(()), |process, ()| run(process))
}

async fn run(process: Process) -> Result<(), Fatal> {
    let own = process.clone();
    let pool = Arc::new(Pool::new(process.base_dir().display().to_string(), process.log().clone()));
    process.serve(move |client| serve(own.clone(), pool.clone(), client)).await
}

async fn serve(process: Process, pool: Arc<Pool>, client: Client) {
    let Client { stream, guard, .. } = client;
    let mut connection = Connection::new(stream, pool, process.log().clone());
    let (settings, shutdown) = (process.settings(), process.shutdown());
    tokio::select! {
        () = connection.talk(&settings) => {}
        () = shutdown.stopping() => {}
    }
    drop(guard);
}

/// Lives a connection that is there already, for fuzz targets.
pub(crate) async fn hear(stream: service::Stream, settings: &Arc<Snapshot>, log: Logger) {
    let pool = Arc::new(Pool::new(String::new(), log.clone()));
    Connection::new(stream, pool, log).talk(settings).await;
}
