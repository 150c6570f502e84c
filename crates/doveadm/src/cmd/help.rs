//! `doveadm help`: the manual page of a command.

use std::os::unix::process::CommandExt;
use std::process::Command;

use crate::args::Args;
use crate::context::{Context, Failure, Outcome};
use crate::{declare, usage};

pub(crate) fn help(cx: &mut Context, args: &Args) -> Outcome {
    let Some(name) = args.text("cmd") else { return Err(usage::of("")) };
    let error = Command::new("man").arg(format!("doveadm-{name}")).exec();
    if error.kind() != std::io::ErrorKind::NotFound {
        return Err(Failure::fatal(format_args!("execvp(man) failed: {}", base::reason(&error))));
    }
    // A host without man still gets the page's content.
    cx.output.plain(&declare::help(&[name.to_owned()]));
    Ok(())
}
