//! Feeds a target from an ordinary test. `FUZZ_INPUTS` says how many damaged seeds there are to be, and
//! `FUZZ_FIRST` which is the first; an input that is not survived is kept in `fuzz/artifacts/`.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::mutation::{Chance, damaged};

/// How many damaged seeds each target gets.
const INPUTS: u64 = 1000;

/// How long they may take altogether, so that slow targets do not make the tests slow: what is left of
/// [`INPUTS`] is left out then. Not for those who ask for a number.
const TIME: Duration = Duration::from_secs(2);

/// An input that takes longer hangs.
const HUNG: Duration = Duration::from_secs(120);

/// Feeds `target`, whose name is `name`, with all of its seeds, and with what becomes of them.
pub(crate) fn feed(name: &'static str, target: fn(&[u8])) {
    let fuzz = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz");
    assert!(fuzz.join(format!("fuzz_targets/{name}.rs")).is_file(), "libFuzzer has no target {name}");
    let seeds = seeds(&fuzz.join("seeds").join(name));
    assert!(!seeds.is_empty(), "fuzz/seeds/{name} is empty");
    let watch = Watch::start(fuzz.join("artifacts").join(name));
    watch.run("empty", b"", target);
    for (number, seed) in seeds.iter().enumerate() {
        watch.run(&format!("seed-{number}"), seed, target);
    }
    let asked = variable("FUZZ_INPUTS");
    let (first, began) = (variable("FUZZ_FIRST").unwrap_or(0), Instant::now());
    for number in first..first.saturating_add(asked.unwrap_or(INPUTS)) {
        if asked.is_none() && began.elapsed() > TIME {
            break;
        }
        let input = damaged(&mut Chance::new(number << 20), &seeds);
        watch.run(&format!("damaged-{number}"), &input, target);
    }
}

/// The seeds, in an order that does not depend on the file system.
fn seeds(directory: &Path) -> Vec<Vec<u8>> {
    let files = fs::read_dir(directory).into_iter().flatten().flatten();
    let mut paths: Vec<PathBuf> = files.map(|file| file.path()).collect();
    paths.sort();
    paths.iter().filter_map(|path| fs::read(path).ok()).collect()
}

fn variable(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name}={text} is no number")))
}

/// Knows which input is being looked at, keeps those that are not survived, and ends the tests when one
/// hangs.
struct Watch {
    current: Arc<Mutex<Option<Current>>>,
    artifacts: PathBuf,
}

struct Current {
    began: Instant,
    /// Where it is written to if it is to be kept.
    path: PathBuf,
    input: Vec<u8>,
}

impl Current {
    fn keep(&self) {
        let kept = self.path.parent().map_or(Ok(()), fs::create_dir_all);
        match kept.and_then(|()| fs::write(&self.path, &self.input)) {
            Ok(()) => eprintln!("the input is in {}", self.path.display()),
            Err(error) => eprintln!("{}: {error}: \"{}\"", self.path.display(), self.input.escape_ascii()),
        }
    }
}

impl Watch {
    fn start(artifacts: PathBuf) -> Self {
        let current: Arc<Mutex<Option<Current>>> = Arc::default();
        let watched = Arc::downgrade(&current);
        std::thread::spawn(move || {
            while let Some(current) = watched.upgrade() {
                let current = current.lock().unwrap_or_else(PoisonError::into_inner);
                if let Some(current) = current.as_ref().filter(|current| current.began.elapsed() > HUNG) {
                    current.keep();
                    eprintln!("it took more than {HUNG:?}");
                    std::process::abort();
                }
                drop(current);
                std::thread::sleep(Duration::from_millis(500));
            }
        });
        Self { current, artifacts }
    }

    fn run(&self, name: &str, input: &[u8], target: fn(&[u8])) {
        let (path, input) = (self.artifacts.join(name), input.to_vec());
        self.set(Some(Current { began: Instant::now(), path, input: input.clone() }));
        target(&input);
        self.set(None);
    }

    fn set(&self, current: Option<Current>) -> Option<Current> {
        let mut place = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::replace(&mut *place, current)
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        // Something is left only where the target panicked.
        if let Some(current) = self.set(None) {
            current.keep();
        }
    }
}
