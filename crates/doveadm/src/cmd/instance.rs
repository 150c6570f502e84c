//! `doveadm instance list|remove`: the instances that have run on this host.

use super::master::alive;
use crate::args::Args;
use crate::context::{Context, Failure, Outcome, status};
use crate::instances::{Instance, Instances};
use crate::localtime;
use crate::print::{Column, Format, column};
use crate::usage;

pub(crate) fn list(cx: &mut Context, args: &Args) -> Outcome {
    let list = Instances::of(cx.config()?.state_dir());
    let (instances, broken) = list.read().map_err(|error| {
        Failure::fatal(format_args!("open({}) failed: {}", list.path().display(), base::reason(&error)))
    })?;
    for line in broken {
        cx.error(format_args!("Invalid line in {}: {line}", list.path().display()), cx.status);
    }
    let name = args.text("name");
    let wanted = instances.iter().filter(|instance| name.is_none_or(|name| name == instance.name));
    if args.flag("show-config") {
        for instance in wanted {
            cx.output.line(&instance.config_path);
        }
        return Ok(());
    }
    let path = Column { expand: true, ..column("path") };
    let mut table =
        cx.table(Format::Table, &[path, column("name"), column("last used"), column("running")])?;
    for instance in wanted {
        let row =
            [&*instance.base_dir, &instance.name, &localtime::date(instance.last_used_s), running(instance)];
        table.row(&row, &mut cx.output);
    }
    table.end(&mut cx.output);
    Ok(())
}

fn running(instance: &Instance) -> &'static str {
    let pid = std::fs::read_to_string(format!("{}/master.pid", instance.base_dir));
    match pid.ok().as_deref().and_then(alive) {
        Some(_) => "yes",
        None => "no",
    }
}

pub(crate) fn remove(cx: &mut Context, args: &Args) -> Outcome {
    let Some(name) = args.text("name") else {
        return Err(usage::of_command("instance remove", "<name> | <base dir>"));
    };
    let list = Instances::of(cx.config()?.state_dir());
    match list.remove(name) {
        Ok(true) => {}
        Ok(false) => cx.error("Instance already didn't exist", status::NOT_FOUND),
        Err(error) => {
            eprintln!("Error: {}: {}", list.path().display(), base::reason(&error));
            cx.error("Failed to remove instance", status::TEMPFAIL);
        }
    }
    Ok(())
}
