//! `cargo xtask fuzz`: builds the targets in `fuzz/` with libFuzzer and runs them one after the other.
//! The flags are those of `cargo fuzz build -s none`, of which none needs a nightly compiler.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

/// Coverage for libFuzzer, assertions, and checked arithmetic.
const RUSTFLAGS: &str = "-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares -Cllvm-args=-sanitizer-coverage-stack-depth \
    -Cllvm-args=-simplifycfg-branch-fold-threshold=0 -Cdebug-assertions -Ccodegen-units=1 --cfg fuzzing";

const USAGE: &str = "\
usage: cargo xtask fuzz [--seconds N] [TARGET|FILE]...

Runs each target for N seconds (60), all of them if none is named. Behind a target, files are inputs: it is
fed with them once, and not run otherwise. What is found goes to fuzz/artifacts/TARGET/.
";

/// What is asked for.
#[derive(Debug, PartialEq, Eq)]
struct Wish {
    seconds: u64,
    /// Targets with the inputs that they are to be fed with.
    targets: Vec<(String, Vec<String>)>,
}

/// Builds and runs what `words` say.
pub(crate) fn main(root: &Path, words: &[&str]) -> ExitCode {
    let known = known(root);
    let Some(mut wish) = parse(words, &known) else {
        eprint!("{USAGE}\ntargets: {}\n", known.join(" "));
        return ExitCode::from(64);
    };
    if wish.targets.is_empty() {
        wish.targets = known.into_iter().map(|name| (name, Vec::new())).collect();
    }
    let Some(programs) = build(root, &wish) else { return ExitCode::FAILURE };
    let mut failed = Vec::new();
    for (name, inputs) in &wish.targets {
        eprintln!("== {name}");
        if !run(root, &programs.join(name), name, inputs, wish.seconds) {
            failed.push(name.as_str());
        }
    }
    if failed.is_empty() {
        return ExitCode::SUCCESS;
    }
    eprintln!("== found something: {}", failed.join(" "));
    ExitCode::FAILURE
}

/// The names of all targets.
fn known(root: &Path) -> Vec<String> {
    let files = super::tidy::files(&root.join("fuzz/fuzz_targets"), "rs");
    files.iter().filter_map(|path| Some(path.file_stem()?.to_string_lossy().into_owned())).collect()
}

fn parse(words: &[&str], known: &[String]) -> Option<Wish> {
    let mut wish = Wish { seconds: 60, targets: Vec::new() };
    let mut words = words.iter();
    while let Some(&word) = words.next() {
        if word == "--seconds" {
            wish.seconds = words.next()?.parse().ok()?;
        } else if known.iter().any(|name| name == word) {
            wish.targets.push((word.to_owned(), Vec::new()));
        } else {
            wish.targets.last_mut().filter(|_| Path::new(word).is_file())?.1.push(word.to_owned());
        }
    }
    Some(wish)
}

/// Builds the targets; gives the directory with their programs.
fn build(root: &Path, wish: &Wish) -> Option<PathBuf> {
    // A target triple of its own keeps what runs during the build from being instrumented.
    let triple = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
    let target_dir =
        std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("fuzz/target"), PathBuf::from);
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.args(["build", "--release", "--locked", "--target", &triple]).current_dir(root.join("fuzz"));
    command.env("RUSTFLAGS", RUSTFLAGS).env("CARGO_TARGET_DIR", &target_dir);
    for (name, _) in &wish.targets {
        command.args(["--bin", name]);
    }
    match command.status() {
        Ok(status) if status.success() => Some(target_dir.join(triple).join("release")),
        Ok(_) => None,
        Err(error) => {
            eprintln!("cargo could not be run: {error}");
            None
        }
    }
}

/// Runs one target; gives whether it found nothing.
fn run(root: &Path, program: &Path, name: &str, inputs: &[String], seconds: u64) -> bool {
    let below = |directory: &str| root.join("fuzz").join(directory).join(name);
    let (corpus, artifacts) = (below("corpus"), below("artifacts"));
    for directory in [&corpus, &artifacts] {
        if let Err(error) = std::fs::create_dir_all(directory) {
            eprintln!("{}: {error}", directory.display());
            return false;
        }
    }
    let mut command = Command::new(program);
    command.args(["-timeout=20", "-rss_limit_mb=1024", "-print_final_stats=1", "-verbosity=0"]);
    command.arg(format!("-artifact_prefix={}/", artifacts.display()));
    if inputs.is_empty() {
        command.arg(format!("-max_total_time={seconds}")).arg(corpus).arg(below("seeds"));
    } else {
        command.args(inputs);
    }
    match command.status() {
        Ok(status) => status.success(),
        Err(error) => {
            eprintln!("{}: {error}", program.display());
            false
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn command_lines() {
        let known = ["sasl".to_owned(), "message".to_owned()];
        let check = |words: &[&str], seconds, targets: &[(&str, &[&str])]| {
            let owned = |inputs: &[&str]| inputs.iter().map(|&input| input.to_owned()).collect();
            let targets = targets.iter().map(|&(name, inputs)| (name.to_owned(), owned(inputs))).collect();
            assert_eq!(parse(words, &known), Some(Wish { seconds, targets }), "{words:?}");
        };
        check(&[], 60, &[]);
        check(&["sasl", "--seconds", "5", "message"], 5, &[("sasl", &[]), ("message", &[])]);
        check(&["sasl", "Cargo.toml"], 60, &[("sasl", &["Cargo.toml"])]);
        for bad in [&["nonsense"][..], &["Cargo.toml"], &["sasl", "nonsense"], &["--seconds"]] {
            assert_eq!(parse(bad, &known), None, "{bad:?}");
        }
    }
}
