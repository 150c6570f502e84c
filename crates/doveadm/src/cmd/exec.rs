//! `doveadm exec`: a program of `libexec_dir`.

use std::os::unix::process::CommandExt;
use std::process::Command;

use crate::args::Args;
use crate::context::{Context, Failure, Outcome};
use settings::key;

use crate::usage;

pub(crate) fn exec(cx: &mut Context, args: &Args) -> Outcome {
    let Some(binary) = args.text("binary") else {
        return Err(usage::of_command("exec", "<binary> [binary parameters]"));
    };
    let keep_all = cx.globals.keep_environment;
    let config = cx.config()?;
    let path = format!("{}/{binary}", config.libexec_dir());
    let mut command = Command::new(&path);
    if !keep_all {
        keep(&mut command, config.settings().get(key::IMPORT_ENVIRONMENT));
    }
    command.args(args.list("args")).env("CONFIG_FILE", config.path());
    cx.output.finish();
    let error = command.exec();
    Err(Failure::fatal(format_args!("execv({path}) failed: {}", base::reason(&error))))
}

/// Leaves `command` the variables of `import_environment`, which may also give values, and those
/// that say whose it is.
fn keep(command: &mut Command, import_environment: &str) {
    command.env_clear();
    for word in import_environment.split_whitespace().chain(["HOME", "USER"]) {
        match word.split_once('=') {
            Some((name, value)) => command.env(name, value),
            None => match std::env::var_os(word) {
                Some(value) => command.env(word, value),
                None => continue,
            },
        };
    }
}
