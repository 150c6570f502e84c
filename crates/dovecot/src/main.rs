//! The one executable. It is every command and every process, by the name it is started under:
//! `dovecot`, `doveadm`, `doveconf`, `dovecot-lda`, or what the master starts as
//! `dovecot/imap-login` and the like. This file is the list of them, and nothing else.

mod quickstart;

use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: sys::malloc::OrExit = sys::malloc::OrExit;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args_os().map(|word| word.to_string_lossy().into_owned()).collect();
    let name = args.first().map_or("", String::as_str);
    if let Some(program) = child_program(name) {
        return service::run(entries(), program, args.get(1..).unwrap_or_default().to_vec());
    }
    match name.rsplit('/').next().unwrap_or_default() {
        "dovecot-lda" | "deliver" => status(delivery::lda::main(&std::env::args_os().collect::<Vec<_>>())),
        backplane::script_login::NAME => status(backplane::script_login::finish()),
        "checkpassword-reply" => status(auth::checkpassword_reply::main()),
        "doveadm" => status(doveadm::main(&args)),
        "doveconf" => status(doveadm::doveconf::main(&args)),
        _ => dovecot(&args),
    }
}

fn dovecot(args: &[String]) -> ExitCode {
    if args.get(1).is_some_and(|word| word == "quickstart") {
        return quickstart::main(args.get(2..).unwrap_or_default());
    }
    if args.get(1).is_some_and(|word| word == backplane::script_login::NAME) {
        return status(backplane::script_login::finish());
    }
    let (doveconf, ask_password) = (doveadm::doveconf::main, doveadm::ask_password);
    let (doveadm, note) = (doveadm::main, backplane::log::note);
    master::main(args, master::Tools { doveadm, doveconf, ask_password, note, program })
}

/// All processes of all crates.
fn entries() -> Vec<service::Entry> {
    let crates = [
        backplane::entries(),
        auth::entries(),
        login::entries(),
        imap::entries(),
        pop3::entries(),
        doveadm::entries(),
    ];
    crates.into_iter().flatten().collect()
}

/// What the master may start.
fn program(name: &str) -> Option<master::Program> {
    let row = service::table::find(name)?;
    let is_there = entries().iter().any(|entry| entry.program() == name);
    is_there.then_some(master::Program { anvil: row.anvil })
}

/// The program's name where the master started us: `dovecot/imap`, `dovecot-two/imap`. A path to
/// the executable may have folders, but nothing is called like a child then and has the line to
/// the master on its descriptor.
fn child_program(name: &str) -> Option<&str> {
    let (instance, program) = name.split_once('/')?;
    let is_child = instance.starts_with("dovecot") && service::table::find(program).is_some();
    is_child.then_some(program)
}

fn status(status: i32) -> ExitCode {
    ExitCode::from(u8::try_from(status).unwrap_or(1))
}
