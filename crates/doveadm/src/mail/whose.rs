//! Whose mail a command works on: `-u`, `-A`, `-F`, or `USER` of the environment.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::sync::Arc;

use base::Logger;
use base::filter::wildcard_match_icase;
use mail_user::MailUser;
use service::authmaster::User;

use super::job::Job;
use super::login::{self, Opened};
use super::progress::{Count, Progress};
use super::through::{Routes, Through};
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
    /// The command as a doveadm server is to get it.
    command: &'static str,
    words: Vec<String>,
    input: Option<Arc<File>>,
}

#[derive(Debug)]
enum Who {
    One(String),
    /// One, by a doveadm server, for a client that prints several users' rows.
    OneOfSeveral(String),
    /// Those of the userdb that fit the mask.
    All(String),
    /// Those named in this file, a line each.
    Listed(String),
}

/// What a command does for one user. An error ends the command.
pub(crate) type Work<'a> = dyn FnMut(&mut Job<'_>, &Arc<MailUser>) -> Outcome + 'a;

impl Whose {
    /// From the options that all commands on mail have. A doveadm server has been told the name.
    pub(crate) fn parse(cx: &Context, args: &Args) -> Outcome<Self> {
        let user = args.text("user");
        let is_mask = user.is_some_and(|user| user.contains(['*', '?']));
        let several = args.flag("all-users") || args.flag("user-file");
        let batched = cx.batched.as_ref();
        let who = match (&cx.serving, args.text("user-file"), user) {
            _ if let Some(batched) = batched => {
                let name = batched.user.username().to_owned();
                if batched.is_one_of_several { Who::OneOfSeveral(name) } else { Who::One(name) }
            }
            (Some(serving), ..) if is_mask || several => Who::OneOfSeveral(serving.user.clone()),
            (Some(serving), ..) => Who::One(serving.user.clone()),
            (None, Some(file), _) => Who::Listed(file.to_owned()),
            (None, None, Some(mask)) if is_mask => Who::All(mask.to_owned()),
            _ if args.flag("all-users") => Who::All("*".to_owned()),
            (None, None, Some(name)) => Who::One(name.to_owned()),
            (None, None, None) => Who::One(login::own_name().ok_or_else(|| {
                Failure::Fatal("USER environment is missing and -u option not used".into(), status::USAGE)
            })?),
        };
        Ok(Self {
            who,
            userdb: user.is_some() || several || cx.serving.is_some() || batched.is_some(),
            socket: args.text("socket-path").map(str::to_owned),
            command: args.command(),
            words: args.for_server(),
            input: None,
        })
    }

    /// What a doveadm server is to get as the command's input, for each user from the beginning.
    pub(crate) fn set_input(&mut self, input: File) {
        self.input = Some(Arc::new(input));
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

    /// Whether there is but one user, whose name tables need not have.
    pub(crate) fn is_one(&self) -> bool {
        matches!(self.who, Who::One(_))
    }

    fn run(&self, mut job: Job<'_>, work: &mut Work<'_>) -> Outcome {
        let mut counted = |job: &mut Job<'_>, user: &Arc<MailUser>| {
            let _count = Count::begin(job.cx, (!self.is_one()).then(|| user.username()));
            work(job, user)
        };
        let work: &mut Work<'_> = &mut counted;
        if let Some(batched) = job.cx.batched.clone() {
            job.begin(batched.user.username());
            job.found(batched.user.username());
            if let (Who::OneOfSeveral(name), Some(table)) = (&self.who, &mut job.table) {
                table.fix(0, name);
            }
            return work(&mut job, &batched.user).and_then(|()| job.finish());
        }
        let routes = Routes::of(job.cx, self.socket.as_deref())?;
        let mut run = Run {
            whose: self,
            through: Through::new(routes, self.command, self.words.clone(), self.input.clone()),
            work,
        };
        let done = match &self.who {
            Who::One(name) => run.one(&mut job, name),
            Who::OneOfSeveral(name) => run.one_of_several(&mut job, name),
            Who::All(mask) => run.all(&mut job, mask),
            Who::Listed(path) => run.listed(&mut job, path),
        };
        done.and_then(|()| job.finish())
    }
}

/// One command over its users.
struct Run<'a, 'b> {
    whose: &'a Whose,
    through: Through,
    work: &'a mut Work<'b>,
}

impl Run<'_, '_> {
    /// Whether a doveadm server does it; the inner error has been told.
    fn is_elsewhere(&mut self, job: &mut Job<'_>, name: &str) -> Outcome<Result<bool, ()>> {
        match self.through.routes.place(job.cx, name)? {
            Ok(None) => Ok(Ok(false)),
            Ok(Some(place)) => Ok(self.through.start(job, place)?.then_some(true).ok_or(())),
            Err(why) => {
                job.log().error(why);
                job.fail_as(status::TEMPFAIL);
                Ok(Err(()))
            }
        }
    }

    fn one_of_several(&mut self, job: &mut Job<'_>, name: &str) -> Outcome {
        if let Some(table) = &mut job.table {
            table.fix(0, name);
        }
        self.one(job, name)
    }

    fn one(&mut self, job: &mut Job<'_>, name: &str) -> Outcome {
        job.begin(name);
        match self.is_elsewhere(job, name)? {
            Ok(false) => {}
            Ok(true) => return self.through.finish(job).map(drop),
            Err(()) => return Ok(()),
        }
        if job.cx.serving.is_some() {
            return self.served(job, name);
        }
        match login::look_up(job.cx, name, self.whose.userdb)? {
            Ok(Some(mut user)) => {
                let settings = job.cx.config()?.mail_settings();
                if let Err(why) = service::identity::become_user(&mut user, &settings) {
                    job.log().error(why);
                    job.fail_as(status::TEMPFAIL);
                    return Ok(());
                }
                go_home(user.field("home"));
                work_as(job, user, self.work)
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

    /// A server goes on to other users afterwards.
    fn served(&mut self, job: &mut Job<'_>, name: &str) -> Outcome {
        match login::look_up(job.cx, name, true)? {
            Ok(Some(user)) => {
                if !self.act_as(job, user)? {
                    job.fail_as(status::TEMPFAIL);
                }
                Ok(())
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

    fn all(&mut self, job: &mut Job<'_>, mask: &str) -> Outcome {
        let (names, complete) = match login::list(job.cx, mask)? {
            Ok((names, complete)) => {
                if !complete {
                    Logger::new("").error("auth-master: userdb list: User listing returned failure");
                }
                (names, complete)
            }
            Err(why) => {
                Logger::new("").error(format_args!("auth-master: userdb list: {why}"));
                (Vec::new(), false)
            }
        };
        let names = names.into_iter().filter(|name| wildcard_match_icase(name, mask)).map(Ok);
        self.several(job, names, complete)
    }

    fn listed(&mut self, job: &mut Job<'_>, path: &str) -> Outcome {
        let file = match File::open(path) {
            Ok(file) => file,
            Err(error) => {
                // 2.3 opens it when it first reads.
                let why = base::reason(&error);
                let failed = Err(format!("read({path}) failed: open({path}) failed: {why}"));
                return self.several(job, std::iter::once(failed), true);
            }
        };
        let lines = BufReader::new(file)
            .lines()
            .map(|line| line.map_err(|error| format!("read({path}) failed: {}", base::reason(&error))));
        self.several(job, lines, true)
    }

    fn several(
        &mut self,
        job: &mut Job<'_>,
        names: impl Iterator<Item = Result<String, String>>,
        mut complete: bool,
    ) -> Outcome {
        let mut progress = Progress::new(job.cx, None);
        for name in names {
            match name {
                Ok(name) if self.next(job, &name)? => progress.step(job.cx),
                Ok(_) => {
                    complete = false;
                    break;
                }
                Err(why) => {
                    Logger::new("").error(why);
                    complete = false;
                    break;
                }
            }
        }
        complete &= self.through.finish(job)?;
        progress.end(job.cx);
        if !complete {
            Logger::new("doveadm: ").error("Failed to iterate through some users");
            job.fail_as(status::TEMPFAIL);
        }
        Ok(())
    }

    /// The next of several users; `false` ends the list, as in 2.3 when a user cannot be looked up.
    fn next(&mut self, job: &mut Job<'_>, name: &str) -> Outcome<bool> {
        job.begin(name);
        match self.is_elsewhere(job, name)? {
            Ok(false) => {}
            Ok(true) => return Ok(true),
            Err(()) => return Ok(false),
        }
        if let Some(table) = &mut job.table {
            table.fix(0, name);
        }
        match login::look_up(job.cx, name, true)? {
            Ok(Some(user)) => self.act_as(job, user),
            Ok(None) => {
                job.log().info("User no longer exists, skipping");
                Ok(true)
            }
            Err(why) => {
                job.log().error(why);
                Ok(false)
            }
        }
    }

    /// Works with the user's rights, for a while.
    fn act_as(&mut self, job: &mut Job<'_>, mut user: User) -> Outcome<bool> {
        let settings = job.cx.config()?.mail_settings();
        let mut done = Ok(());
        job.found(&user.name);
        let acted = service::identity::act_as(&mut user, &settings, |user| {
            done = work_as(job, user.clone(), self.work);
        });
        if let Err(why) = acted {
            job.log().error(why);
            return Ok(false);
        }
        done.map(|()| true)
    }
}

fn work_as(job: &mut Job<'_>, user: User, work: &mut Work<'_>) -> Outcome {
    let log = job.log().clone();
    job.set_userdb(&user.fields);
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
