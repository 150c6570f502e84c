//! `doveadm config`: doveconf, which is this very program under another name.

use std::os::unix::process::CommandExt;
use std::process::Command;

use crate::args::Args;
use crate::config;
use crate::context::{Context, Failure, Outcome};

const OURSELVES: &str = "/proc/self/exe";

pub(crate) fn config(cx: &mut Context, args: &Args) -> Outcome {
    cx.output.finish();
    let path = config::path(&cx.globals);
    let error =
        Command::new(OURSELVES).arg0("doveconf").args(args.list("args")).env("CONFIG_FILE", path).exec();
    Err(Failure::fatal(format_args!("execv(doveconf) failed: {}", base::reason(&error))))
}
