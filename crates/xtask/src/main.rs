//! `cargo xtask`: the project's automation. `tidy` checks what the compiler does not, `ci` is
//! everything continuous integration does, `bench` compares speed with the original, `size` does
//! so with very much mail, `fuzz` runs fuzz targets, `generate` writes manual pages and completions.

mod ci;
mod fuzz;
mod tidy;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

const USAGE: &str = "\
usage: cargo xtask <command>

  tidy             check imports, file and function sizes, headers, unfinished code, links
  ci               format, lints, tidy and tests, as in continuous integration
  bench            compare speed and CPU time with the installed Dovecot; bench -h tells more
  size             the same with a million messages and ten thousand mailboxes; size -h tells more
  fuzz             run fuzz targets; fuzz -h tells more
  generate DIR     write manual pages and shell completions below DIR
";

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words[..] {
        ["tidy"] => tidy::main(&root()),
        ["ci"] => ci::main(&root()),
        ["bench", ref words @ ..] => bench::main(&root(), words),
        ["size", ref words @ ..] => bench::size(&root(), words),
        ["fuzz", ref words @ ..] => fuzz::main(&root(), words),
        ["generate", directory] => generate(Path::new(directory)),
        _ => {
            eprint!("{USAGE}");
            ExitCode::from(64)
        }
    }
}

/// The server itself; its commands beside options are doveadm's, but for the quick start.
const DOVECOT: doveadm::Program = doveadm::Program {
    name: "dovecot",
    about: "Starts the mail server",
    options: master::OPTIONS,
    commands: &[
        ("stop", "Stops the running instance"),
        ("reload", "Makes the running instance read its configuration anew"),
        ("quickstart", "Makes a server to try out in a directory of its own, and runs it"),
    ],
    arguments: None,
};

fn generate(directory: &Path) -> ExitCode {
    match doveadm::generate(directory, &[DOVECOT]) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{}: {error}", directory.display());
            ExitCode::FAILURE
        }
    }
}

/// The workspace: two folders above this crate.
fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().nth(2).unwrap_or(here).to_path_buf()
}
