//! `doveadm batch`: several commands on mail for each user, one after the other, up to the first that fails.

use std::sync::Arc;

use mail_user::MailUser;

use crate::args::Args;
use crate::cmd::auth::help;
use crate::commands;
use crate::context::{Context, Failure, Outcome, status};
use crate::mail::{Job, Whose};
use crate::spec::Command;

/// For whom a command of a batch works.
#[derive(Clone)]
pub(crate) struct Batched {
    pub(crate) user: Arc<MailUser>,
    /// There may be other users, so that tables have their names.
    pub(crate) is_one_of_several: bool,
}

impl std::fmt::Debug for Batched {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Batched").field("user", &self.user.username()).finish_non_exhaustive()
    }
}

pub(crate) fn batch(cx: &mut Context, args: &Args) -> Outcome {
    let (Some(separator), [_, ..]) = (args.text("separator"), args.list("args")) else {
        return Err(help("batch"));
    };
    let parts = args.list("args").split(|word| word == separator).filter(|part| !part.is_empty());
    let steps = parts.map(parse).collect::<Outcome<Vec<_>>>()?;
    let whose = Whose::parse(cx, args)?;
    let is_one_of_several = !whose.is_one();
    whose.each(cx, &mut |job, user| {
        let batched = Batched { user: user.clone(), is_one_of_several };
        for (command, args) in &steps {
            if !run(job, &batched, command, args)? {
                break;
            }
        }
        Ok(())
    })
}

fn parse(words: &[String]) -> Outcome<(&'static Command, Args)> {
    let found = commands::find(words).filter(|(command, _)| commands::is_on_mail(command));
    let (command, rest) = found.ok_or_else(|| {
        let name = words.first().map_or("", String::as_str);
        Failure::Fatal(format!("doveadm batch: '{name}' mail command doesn't exist"), status::USAGE)
    })?;
    let program = command.name.rsplit(' ').next().unwrap_or(command.name);
    let args = Args::parse(command, program, rest)
        .map_err(|error| Failure::Said(error.to_string(), status::USAGE))?;
    Ok((command, args))
}

/// Whether it went well.
fn run(job: &mut Job<'_>, batched: &Batched, command: &Command, args: &Args) -> Outcome<bool> {
    let outside = job.cx.batched.replace(batched.clone());
    let before = std::mem::take(&mut job.cx.status);
    let done = (command.run)(job.cx, args);
    job.cx.batched = outside;
    let failed = std::mem::replace(&mut job.cx.status, before);
    done?;
    if failed != 0 {
        job.fail_as(failed);
    }
    Ok(failed == 0)
}
