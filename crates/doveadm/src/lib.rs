//! `doveadm`: what an administrator asks a running instance, and does to mail from the shell.
//! Command lines, messages, output and exit codes are those of Dovecot 2.3.

mod args;
mod askpass;
mod authclient;
mod cmd;
mod commands;
mod config;
mod context;
mod declare;
pub mod doveconf;
mod frames;
mod globals;
mod instances;
mod later;
mod limits;
mod localtime;
mod logtest;
mod mail;
mod mail_commands;
mod output;
mod print;
pub mod probe;
mod server;
mod spec;
mod sync;
mod usage;
mod wire;

pub use declare::{Program, command, generate};
pub use server::entries;

use args::Args;
use context::{Context, Failure, Outcome, status};
use globals::Wish;

/// Asks for a password with `prompt` on the terminal, or reads a line of standard input where that
/// is none.
///
/// # Errors
/// Why the terminal cannot be used.
pub fn ask_password(prompt: &str) -> Result<zeroize::Zeroizing<String>, String> {
    askpass::ask(prompt).map(|password| password.expose_lossy()).map_err(|failure| match failure {
        Failure::Fatal(text, _) | Failure::Said(text, _) => text,
        Failure::Exit(_) => String::new(),
    })
}

/// Runs `doveadm` with the command line `args`, the program's name first, and returns the exit
/// status.
pub fn main(args: &[String]) -> i32 {
    let (globals, words) = match globals::parse(args) {
        Ok(parsed) => parsed,
        Err(error) => {
            eprintln!("{error}");
            return error.status();
        }
    };
    let mut cx = Context::new(globals);
    let outcome = run(&mut cx, &words);
    cx.output.finish();
    match outcome {
        Ok(()) => cx.status,
        Err(Failure::Exit(status)) => status,
        Err(Failure::Fatal(text, status)) => {
            eprintln!("Fatal: {text}");
            status
        }
        Err(Failure::Said(text, status)) => {
            eprintln!("{text}");
            status
        }
    }
}

fn run(cx: &mut Context, words: &[String]) -> Outcome {
    match cx.globals.wish {
        Wish::Run => {}
        Wish::Help => {
            cx.output.plain(&declare::help(words));
            return Ok(());
        }
        Wish::Version => {
            cx.output.line(env!("CARGO_PKG_VERSION"));
            return Ok(());
        }
    }
    let Some((command, rest)) = commands::find(words) else {
        // As in 2.3 a broken configuration is what one hears of first.
        cx.config()?;
        return Err(unknown(words));
    };
    let program = command.name.rsplit(' ').next().unwrap_or(command.name);
    if !command.takes_all && rest.iter().any(|word| word == "--help") {
        cx.output.plain(&declare::help(words));
        return Ok(());
    }
    let args = Args::parse(command, program, rest)
        .map_err(|error| Failure::Said(error.to_string(), status::USAGE))?;
    (command.run)(cx, &args)
}

/// No command of ours: one that comes later, a group of commands, or nothing at all.
fn unknown(words: &[String]) -> Failure {
    if let Some(name) = commands::find_later(words) {
        return Failure::fatal(format_args!("Command '{name}' is not supported yet"));
    }
    match words.first() {
        Some(first) if commands::is_group(first) => usage::of(first),
        _ => usage::of(""),
    }
}
