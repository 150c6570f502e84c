//! The dictionaries of a process, which its clients share: a few of each kind are open, and a command takes
//! one of them while it lasts.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use base::Logger;
use db::dict::{Dict, DictUri};
use settings::{Snapshot, StdFiles};
use tokio::sync::Semaphore;

use crate::limits::{DICT_IDLE_MAX, DICT_OPEN_MAX};

/// All of them, by name and URI.
pub(super) struct Pool {
    base_dir: String,
    log: Logger,
    known: Mutex<HashMap<(String, String), Arc<Shared>>>,
}

/// One that has a name.
pub(super) struct Shared {
    pub(super) name: String,
    uri: DictUri,
    log: Logger,
    /// How many more may be in use.
    free: Arc<Semaphore>,
    /// Open and not in use, with the time since when. The last is used first.
    idle: Mutex<Vec<(Dict, Instant)>>,
}

impl Pool {
    pub(super) fn new(base_dir: String, log: Logger) -> Self {
        Self { base_dir, log, known: Mutex::default() }
    }

    /// The dictionary of that name; why there is none, in 2.3's words.
    pub(super) fn find(&self, settings: &Snapshot, name: &str) -> Result<Arc<Shared>, String> {
        let root = settings.root();
        let uri = root.dict().get(name).ok_or_else(|| match root.dict().iter().next() {
            None => "No dictionaries configured".to_owned(),
            Some(_) => format!("Unconfigured dictionary name '{name}'"),
        })?;
        let place = (name.to_owned(), uri.to_owned());
        if let Some(shared) = lock(&self.known).get(&place) {
            return Ok(shared.clone());
        }
        let uri = DictUri::parse(&StdFiles, uri, &self.base_dir)
            .map_err(|error| format!("Failed to initialize dictionary '{name}': {error}"))?;
        let shared = Arc::new(Shared {
            name: name.to_owned(),
            uri,
            log: self.log.clone(),
            free: Arc::new(Semaphore::new(DICT_OPEN_MAX)),
            idle: Mutex::default(),
        });
        lock(&self.known).insert(place, shared.clone());
        Ok(shared)
    }
}

impl Shared {
    /// Does something that may take long, on a thread where it may.
    pub(super) async fn with<T: Send + 'static>(
        self: &Arc<Self>,
        act: impl FnOnce(&mut Dict) -> T + Send + 'static,
    ) -> Result<T, String> {
        let permit = self.free.clone().acquire_owned().await.map_err(|error| error.to_string())?;
        let shared = self.clone();
        let done = tokio::task::spawn_blocking(move || {
            let mut dict = shared.take();
            let answer = act(&mut dict);
            lock(&shared.idle).push((dict, Instant::now()));
            drop(permit);
            answer
        });
        done.await.map_err(|error| error.to_string())
    }

    fn take(&self) -> Dict {
        let mut idle = lock(&self.idle);
        idle.retain(|(_, since)| since.elapsed() < DICT_IDLE_MAX);
        let open = idle.pop();
        drop(idle);
        open.map_or_else(|| Dict::new(&self.uri, &self.log), |(dict, _)| dict)
    }
}

fn lock<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn who_hangs_holds_up_only_those_who_ask_the_same() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().display();
        let text = format!("dict {{\n slow = file:{path}/slow\n fast = file:{path}/fast\n}}\n");
        let settings = Snapshot::from_text(&text).unwrap();
        let pool = Pool::new(String::new(), Logger::new(""));
        let (slow, fast) = (pool.find(&settings, "slow").unwrap(), pool.find(&settings, "fast").unwrap());
        let (let_go, held) = std::sync::mpsc::channel::<()>();
        let held = Arc::new(Mutex::new(held));
        let hang = |_| {
            let (slow, held) = (slow.clone(), held.clone());
            // Comes to an end when nobody can let it go any more.
            tokio::spawn(async move { slow.with(move |_| lock(&held).recv().is_err()).await })
        };
        let hung: Vec<_> = (0..=DICT_OPEN_MAX).map(hang).collect();
        for _ in 0..3 {
            assert_eq!(fast.with(|dict| dict.lookup("", "shared/x")).await, Ok(Ok(None)));
        }
        drop(let_go);
        for one in hung {
            assert_eq!(one.await.unwrap(), Ok(true));
        }
        assert!(lock(&slow.idle).len() <= DICT_OPEN_MAX);
        assert_eq!(lock(&fast.idle).len(), 1, "one after the other");
        let unknown = pool.find(&settings, "other").err();
        assert_eq!(unknown.as_deref(), Some("Unconfigured dictionary name 'other'"));
    }
}
