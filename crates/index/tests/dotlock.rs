//! Lock files: one holder at a time, whoever it is, and nothing left behind.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use base::Logger;
use index::dotlock::{Dotlock, DotlockSettings, Spares};
use index::fs::{Change, Fs, Hook, Permissions};

/// Counts files that are made.
#[derive(Default)]
struct Counter(AtomicUsize);

impl Hook for Counter {
    fn before(&self, _op: &'static str, _path: &Path, bytes: usize) -> io::Result<usize> {
        Ok(bytes)
    }

    fn after(&self, change: &Change<'_>) {
        self.0.fetch_add(usize::from(matches!(change, Change::Create(_))), Ordering::Relaxed);
    }
}

struct Place {
    dir: tempfile::TempDir,
    made: Arc<Counter>,
    spares: Arc<Spares>,
}

impl Place {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("tmp")).unwrap();
        let spares = Arc::new(Spares::new(dir.path().join("tmp")));
        Self { dir, made: Arc::default(), spares }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn take(&self, timeout: Duration, spares: Option<&Arc<Spares>>) -> index::Result<Dotlock> {
        let settings = DotlockSettings {
            timeout,
            stale: Duration::from_secs(600),
            use_excl: true,
            hostname: "host".to_owned(),
        };
        let (fs, target) = (Fs::with_hook(self.made.clone()), self.path("list"));
        Dotlock::lock_often(&fs, &target, &Permissions::default(), &settings, &Logger::new(""), spares)
    }

    fn lock(&self) -> Dotlock {
        self.take(LONG, Some(&self.spares)).unwrap()
    }

    fn files(&self) -> usize {
        let count = |path: PathBuf| std::fs::read_dir(path).unwrap().count();
        count(self.path("")) - 1 + count(self.path("tmp"))
    }
}

const LONG: Duration = Duration::from_secs(600);

#[test]
fn a_lock_that_is_taken_often_makes_one_file() {
    let place = Place::new();
    for round in 0..5 {
        let lock = place.lock();
        let owner = std::fs::read_to_string(place.path("list.lock")).unwrap();
        assert_eq!(owner, format!("{}:host", std::process::id()));
        assert!(lock.is_held());
        // Others of this process and elsewhere are kept out.
        assert!(place.take(Duration::ZERO, Some(&place.spares)).is_err(), "{round}");
        assert!(place.take(Duration::ZERO, None).is_err(), "{round}");
        drop(lock);
        assert!(!place.path("list.lock").exists());
        // Who takes it once leaves nothing.
        assert_eq!(place.files(), usize::from(round > 0), "{round}");
    }
    assert_eq!(place.made.0.load(Ordering::Relaxed), 2);
    let Place { dir, spares, .. } = place;
    drop(spares);
    assert_eq!(std::fs::read_dir(dir.path().join("tmp")).unwrap().count(), 0);
}

#[test]
fn the_file_may_be_removed_by_others() {
    let place = Place::new();
    drop(place.lock());
    drop(place.lock());
    for entry in std::fs::read_dir(place.path("tmp")).unwrap() {
        std::fs::remove_file(entry.unwrap().path()).unwrap();
    }
    let lock = place.lock();
    assert!(lock.is_held());
    // Without the directory as well.
    drop(lock);
    std::fs::remove_dir_all(place.path("tmp")).unwrap();
    assert!(place.lock().is_held());
    assert!(!place.path("list.lock").exists());
}

#[test]
fn a_lock_that_was_overridden_is_left_to_its_new_owner() {
    let place = Place::new();
    drop(place.lock());
    let lock = place.lock();
    std::fs::remove_file(place.path("list.lock")).unwrap();
    // While the first still believes to have it, another session of the process gets it.
    let other = place.lock();
    assert!(!lock.is_held() && other.is_held());
    drop(lock);
    assert!(other.is_held());
    drop(other);
    assert!(!place.path("list.lock").exists());
}

#[test]
fn one_at_a_time() {
    let place = Place::new();
    let others = Arc::new(Spares::new(place.path("tmp")));
    let is_taken = AtomicBool::new(false);
    let rounds = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for number in 0..6 {
            let spares = [Some(&place.spares), Some(&others), None][number % 3];
            let (place, is_taken, rounds) = (&place, &is_taken, &rounds);
            scope.spawn(move || {
                for _ in 0..100 {
                    let lock = place.take(LONG, spares).unwrap();
                    assert!(!is_taken.swap(true, Ordering::SeqCst));
                    std::thread::yield_now();
                    is_taken.store(false, Ordering::SeqCst);
                    assert!(lock.is_held());
                    rounds.fetch_add(1, Ordering::SeqCst);
                }
            });
        }
    });
    assert_eq!(rounds.load(Ordering::SeqCst), 600);
    assert!(!place.path("list.lock").exists());
}
