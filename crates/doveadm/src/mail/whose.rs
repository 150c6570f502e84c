//! Whose mail a command works on: `-u`, `-A`, `-F`, or `USER` of the environment.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::sync::Arc;

use base::filter::wildcard_match_icase;
use mail_user::MailUser;

use super::job::Job;
use super::login::{self, Opened};
use super::progress::Progress;
use crate::args::Args;
use crate::context::{Context, Failure, Outcome, status};
use crate::print::{Column, Format, untitled};

/// See the module.
#[derive(Debug)]
pub(crate) struct Whose {
    who: Who,
    /// Ask the userdb; otherwise the caller's own environment says all.
    pub(crate) userdb: bool,
    socket: Option<String>,
}

#[derive(Debug)]
enum Who {
    One(String),
    /// Those of the userdb that fit the mask.
    All(String),
    /// Those named in this file, a line each.
    Listed(String),
}

/// What a command does for one user. An error ends the command.
pub(crate) type Work<'a> = dyn FnMut(&mut Job<'_>, &Arc<MailUser>) -> Outcome + 'a;

impl Whose {
    /// From the options that all commands on mail have.
    pub(crate) fn parse(args: &Args) -> Outcome<Self> {
        let socket = args.text("socket-path").map(str::to_owned);
        let user = args.text("user");
        let userdb = user.is_some() || args.flag("all-users") || args.flag("user-file");
        let who = match (args.text("user-file"), user) {
            (Some(file), _) => Who::Listed(file.to_owned()),
            (None, Some(mask)) if mask.contains(['*', '?']) => Who::All(mask.to_owned()),
            _ if args.flag("all-users") => Who::All("*".to_owned()),
            (None, Some(name)) => Who::One(name.to_owned()),
            (None, None) => Who::One(login::own_name().ok_or_else(|| {
                Failure::Fatal("USER environment is missing and -u option not used".into(), status::USAGE)
            })?),
        };
        Ok(Self { who, userdb, socket })
    }

    /// Does `work` for each user.
    pub(crate) fn each(&self, cx: &mut Context, work: &mut Work<'_>) -> Outcome {
        self.run(Job::new(cx, None), work)
    }

    /// Does `work`, which prints a table, for each user; the users' names go before the columns where
    /// there may be several.
    pub(crate) fn each_printing(
        &self,
        cx: &mut Context,
        format: Format,
        columns: &[Column],
        work: &mut Work<'_>,
    ) -> Outcome {
        let name = (!self.is_one()).then(|| untitled("username", "Username"));
        let columns: Vec<Column> = name.into_iter().chain(columns.iter().cloned()).collect();
        let table = cx.table(format, &columns)?;
        self.run(Job::new(cx, Some(table)), work)
    }

    fn is_one(&self) -> bool {
        matches!(self.who, Who::One(_))
    }

    fn run(&self, mut job: Job<'_>, work: &mut Work<'_>) -> Outcome {
        let done = match &self.who {
            Who::One(name) => self.one(&mut job, name, work),
            Who::All(mask) => self.all(&mut job, mask, work),
            Who::Listed(path) => self.listed(&mut job, path, work),
        };
        done.and_then(|()| job.finish())
    }

    fn one(&self, job: &mut Job<'_>, name: &str, work: &mut Work<'_>) -> Outcome {
        job.begin(name);
        self.check_socket(job)?;
        match login::look_up(job.cx, name, self.userdb)? {
            Ok(Some(mut user)) => {
                let settings = job.cx.config()?.mail_settings();
                if let Err(why) = service::identity::become_user(&mut user, &settings) {
                    job.log().error(format_args!("Couldn't drop privileges: {why}"));
                    job.fail_as(status::TEMPFAIL);
                    return Ok(());
                }
                go_home(user.field("home"));
                work_as(job, user, work)
            }
            Ok(None) => {
                job.log().error("User doesn't exist");
                job.fail_as(status::NO_USER);
                Ok(())
            }
            Err(why) => {
                job.log().error(why);
                job.fail_as(status::TEMPFAIL);
                Ok(())
            }
        }
    }

    fn all(&self, job: &mut Job<'_>, mask: &str, work: &mut Work<'_>) -> Outcome {
        let (names, complete) = match login::list(job.cx, mask)? {
            Ok(listed) => listed,
            Err(why) => {
                eprintln!("Error: auth-master: userdb list: {why}");
                (Vec::new(), false)
            }
        };
        let names = names.into_iter().filter(|name| wildcard_match_icase(name, mask)).map(Ok);
        self.several(job, names, complete, work)
    }

    fn listed(&self, job: &mut Job<'_>, path: &str, work: &mut Work<'_>) -> Outcome {
        let file = match File::open(path) {
            Ok(file) => file,
            Err(error) => {
                // 2.3 opens it when it first reads.
                let why = base::reason(&error);
                let failed = Err(format!("read({path}) failed: open({path}) failed: {why}"));
                return self.several(job, std::iter::once(failed), true, work);
            }
        };
        let lines = BufReader::new(file)
            .lines()
            .map(|line| line.map_err(|error| format!("read({path}) failed: {}", base::reason(&error))));
        self.several(job, lines, true, work)
    }

    fn several(
        &self,
        job: &mut Job<'_>,
        names: impl Iterator<Item = Result<String, String>>,
        mut complete: bool,
        work: &mut Work<'_>,
    ) -> Outcome {
        let mut progress = Progress::new(job.cx, None);
        for name in names {
            match name {
                Ok(name) if self.next(job, &name, work)? => progress.step(job.cx),
                Ok(_) => {
                    complete = false;
                    break;
                }
                Err(why) => {
                    eprintln!("Error: {why}");
                    complete = false;
                    break;
                }
            }
        }
        progress.end(job.cx);
        if !complete {
            eprintln!("doveadm: Error: Failed to iterate through some users");
            job.fail_as(status::TEMPFAIL);
        }
        Ok(())
    }

    /// The next of several users; `false` ends the list, as in 2.3 when a user cannot be looked up.
    fn next(&self, job: &mut Job<'_>, name: &str, work: &mut Work<'_>) -> Outcome<bool> {
        job.begin(name);
        self.check_socket(job)?;
        if let Some(table) = &mut job.table {
            table.fix(0, name);
        }
        let mut user = match login::look_up(job.cx, name, true)? {
            Ok(Some(user)) => user,
            Ok(None) => {
                job.log().info("User no longer exists, skipping");
                return Ok(true);
            }
            Err(why) => {
                job.log().error(why);
                return Ok(false);
            }
        };
        let settings = job.cx.config()?.mail_settings();
        let mut done = Ok(());
        let acted = service::identity::act_as(&mut user, &settings, |user| {
            done = work_as(job, user.clone(), work);
        });
        if let Err(why) = acted {
            job.log().error(format_args!("Couldn't drop privileges: {why}"));
            return Ok(false);
        }
        done.map(|()| true)
    }

    /// `-S` hands the work to a doveadm server.
    fn check_socket(&self, job: &Job<'_>) -> Outcome {
        let Some(path) = &self.socket else { return Ok(()) };
        if !path.contains(':')
            && let Err(error) = std::os::unix::net::UnixStream::connect(path)
        {
            let why = base::reason(&error);
            return Err(job.fatal(format_args!("net_connect_unix({path}) failed: {why}"), status::TEMPFAIL));
        }
        Err(job.fatal(
            format_args!("-S {path}: Running commands through a doveadm server isn't supported yet"),
            status::TEMPFAIL,
        ))
    }
}

fn work_as(job: &mut Job<'_>, user: service::authmaster::User, work: &mut Work<'_>) -> Outcome {
    let log = job.log().clone();
    match Opened::of(job.cx, user, &log)? {
        Ok(opened) => work(job, &opened.user),
        Err(why) => {
            job.log().error(why);
            job.fail_as(status::TEMPFAIL);
            Ok(())
        }
    }
}

/// The caller's directory may be one that the user must not see.
fn go_home(home: Option<&str>) {
    let home = home.filter(|home| !home.is_empty());
    if sys::privilege::effective_uid() != 0
        && home.is_none_or(|home| std::env::set_current_dir(home).is_err())
    {
        let _ = std::env::set_current_dir("/");
    }
}
