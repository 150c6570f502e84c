//! `cargo xtask bench`: the same work on our server and on the original, in turns, and one table of
//! how fast each was and how much CPU time it took. `cargo xtask size`: very large mailboxes and accounts.
//!
//! A development crate: nothing that is installed imports it. It is compiled with optimisation in
//! every profile, so that the server is measured and not the client.

mod client;
mod corpus;
mod fill;
mod interrupt;
mod logins;
mod measurements;
mod options;
mod proc;
mod run;
mod side;
mod size;
mod table;

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use harness::Under;

use options::{Options, Wanted};
use side::Side;

/// Runs the measurements that `words`, the arguments, ask for. `root` is the workspace, where our
/// server is built in its release profile unless `--binary` names one.
pub fn main(root: &Path, words: &[&str]) -> ExitCode {
    let options = match options::parse(words) {
        Ok(Wanted::Run(options)) => options,
        Ok(Wanted::Help) => {
            print!("{}{}", options::HELP, measurements::list());
            return ExitCode::SUCCESS;
        }
        Err(why) => {
            eprintln!("cargo xtask bench: {why}; -h tells more");
            return ExitCode::from(64);
        }
    };
    if options.dovecot && harness::needs::find("dovecot").is_none() {
        eprintln!("cargo xtask bench: Dovecot is not installed");
        return ExitCode::FAILURE;
    }
    match binary(root, &options) {
        Ok(binary) => compare(&binary, &options),
        Err(why) => {
            eprintln!("cargo xtask bench: {why}");
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}

/// Does with very large mailboxes and accounts what `words`, the arguments, ask for.
pub fn size(root: &Path, words: &[&str]) -> ExitCode {
    match size::run(words, |options| binary(root, options)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("cargo xtask size: {why}; -h tells more");
            ExitCode::FAILURE
        }
    }
}

/// Starts both, measures, prints. The servers stop and their directories go with the sides.
fn compare(binary: &Path, options: &Options) {
    let ours = Side::start(Under::Ours, binary, options);
    let theirs = options.dovecot.then(|| Side::start(Under::Dovecot, binary, options));
    let peer = theirs.as_ref().map_or_else(|| "nobody".to_owned(), Side::version);
    let mut sides = vec![ours];
    sides.extend(theirs);
    // Not before: a server would inherit the blocked signals, and could not be stopped.
    interrupt::watch();
    let results = run::all(&mut sides, options);
    println!("Ours: {}. Against: {peer}.", binary.display());
    println!("{}", options.describe());
    print!("\n{}", table::render(&results));
    for complaint in sides.iter().filter_map(Side::complaints) {
        println!("\n{complaint}");
    }
}

/// The executable named by `--binary`, or the one that `cargo build --release` makes.
fn binary(root: &Path, options: &Options) -> Result<PathBuf, String> {
    if let Some(path) = &options.binary {
        return path.canonicalize().map_err(|error| format!("{}: {error}", path.display()));
    }
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let build = ["build", "--release", "--package", "dovecot"];
    let status = Command::new(cargo).args(build).current_dir(root).status();
    match status {
        Ok(status) if status.success() => {}
        Ok(status) => return Err(format!("cargo build --release: {status}")),
        Err(error) => return Err(format!("cargo could not be run: {error}")),
    }
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from);
    Ok(root.join(target).join("release/dovecot"))
}
