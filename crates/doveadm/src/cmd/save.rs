//! `doveadm save`: puts a message from standard input, or a file, into a mailbox.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};

use storage::api::SaveMeta;
use storage::{Error, MailboxState, OpenMode, Result};

use crate::args::Args;
use crate::context::{Context, Failure, Outcome, status};
use crate::limits::COPY_BYTES;
use crate::mail::{Job, Whose};

pub(crate) fn save(cx: &mut Context, args: &Args) -> Outcome {
    let mut whose = Whose::parse(cx, args)?;
    let name = args.text("mailbox").unwrap_or("INBOX");
    let mut input = match &mut cx.serving {
        Some(serving) => serving.command_input()?,
        None => input(args.text("file"))?,
    };
    whose.set_input(input.try_clone().map_err(|error| failed("dup", "input", &error))?);
    whose.each(cx, &mut |job, user| {
        let opened = match user.mailbox_state(name) {
            Ok(MailboxState::Missing) => Err(Error::NotFound(name.to_owned())),
            Ok(_) => user.open_mailbox(name, OpenMode::Append),
            Err(error) => Err(error),
        };
        match opened {
            Ok(mut mailbox) => write(job, &mut *mailbox, &mut input),
            Err(error) => job.fail(format_args!("Failed to open mailbox {name}"), &error),
        }
        Ok(())
    })
}

/// The whole message, in a file that can be read for each user anew.
fn input(path: Option<&str>) -> Outcome<File> {
    if let Some(path) = path {
        return File::open(path).map_err(|error| failed("open", path, &error));
    }
    // Standard input may be a pipe.
    let mut kept = unnamed_file().map_err(|error| failed("open", "/tmp", &error))?;
    io::copy(&mut io::stdin().lock(), &mut kept).map_err(|error| failed("read", "stdin", &error))?;
    Ok(kept)
}

fn failed(call: &str, name: &str, error: &io::Error) -> Failure {
    Failure::fatal(format_args!("{call}({name}) failed: {}", base::reason(error)))
}

/// A file without a name, for input that is needed more than once.
pub(crate) fn unnamed_file() -> io::Result<File> {
    use rustix::fs::{CWD, Mode, OFlags, openat};
    let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
    Ok(File::from(openat(CWD, std::env::temp_dir(), flags, Mode::RUSR | Mode::WUSR)?))
}

fn write(job: &mut Job<'_>, mailbox: &mut dyn storage::Mailbox, input: &mut File) {
    let failed = |job: &mut Job<'_>, error: &io::Error| {
        job.log().error(format_args!("read(msg input) failed: {}", base::reason(error)));
        job.fail_as(status::TEMPFAIL);
    };
    if let Err(error) = input.seek(SeekFrom::Start(0)) {
        return failed(job, &error);
    }
    let mut batch = match mailbox.begin_save() {
        Ok(batch) => batch,
        Err(error) => return job.fail("Saving failed", &error),
    };
    if let Err(error) = batch.begin(SaveMeta::default()) {
        return job.fail("Saving failed", &error);
    }
    let mut buffer = vec![0; COPY_BYTES];
    loop {
        let written: Result<()> = match input.read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => batch.write(buffer.get(..count).unwrap_or_default()),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return failed(job, &error),
        };
        if let Err(error) = written {
            return job.fail("Saving failed", &error);
        }
    }
    if let Err(error) = batch.end() {
        return job.fail("Saving failed", &error);
    }
    if let Err(error) = batch.commit() {
        job.fail("Save transaction commit failed", &error);
    }
}
