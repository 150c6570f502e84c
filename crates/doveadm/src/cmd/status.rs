//! `doveadm service status|stop` and `doveadm process status`: what the master knows.

use ipc::master::{Answer, Process, Query, Service};

use crate::args::Args;
use crate::context::{Context, Failure, Outcome, status};
use crate::frames::Asked;
use crate::print::{Format, column};

pub(crate) fn services(cx: &mut Context, args: &Args) -> Outcome {
    let mut asked = ask(cx, &Query::Services(args.list("service").to_vec()))?;
    let titles = [
        "name",
        "process_count",
        "process_avail",
        "process_limit",
        "client_limit",
        "throttle_secs",
        "exit_failure_last",
        "exit_failures_in_sec",
        "last_drop_warning",
        "listen_pending",
        "listening",
        "doveadm_stop",
        "process_total",
    ];
    let mut table = cx.table(Format::Pager, &titles.map(column))?;
    loop {
        match asked.expect()? {
            Answer::Service(service) => {
                for value in service_values(&service) {
                    table.value(&value, &mut cx.output);
                }
            }
            // As in 2.3 a service that there is not has just no figures.
            Answer::Failed(_) | Answer::Process(_) => {}
            Answer::End => break,
        }
    }
    table.end(&mut cx.output);
    Ok(())
}

pub(crate) fn processes(cx: &mut Context, args: &Args) -> Outcome {
    let mut asked = ask(cx, &Query::Processes(args.list("service").to_vec()))?;
    let titles = [
        "name",
        "pid",
        "available_count",
        "total_count",
        "idle_start",
        "last_status_update",
        "last_kill_sent",
    ];
    let mut table = cx.table(Format::Table, &titles.map(column))?;
    loop {
        match asked.expect()? {
            Answer::Process(process) => {
                for value in process_values(&process) {
                    table.value(&value, &mut cx.output);
                }
            }
            Answer::Failed(_) | Answer::Service(_) => {}
            Answer::End => break,
        }
    }
    table.end(&mut cx.output);
    Ok(())
}

pub(crate) fn stop_services(cx: &mut Context, args: &Args) -> Outcome {
    let services = args.list("service");
    if services.is_empty() {
        return Err(Failure::fatal("service parameter missing"));
    }
    let mut asked = ask(cx, &Query::StopServices(services.to_vec()))?;
    loop {
        match asked.expect()? {
            Answer::Failed(text) => cx.error(text, status::NOT_FOUND),
            Answer::Service(_) | Answer::Process(_) => {}
            Answer::End => return Ok(()),
        }
    }
}

fn ask(cx: &mut Context, query: &Query) -> Outcome<Asked> {
    let path = cx.in_base_dir("master")?;
    Asked::ask(&path, query)
}

fn service_values(service: &Service) -> [String; 13] {
    let yes_no = |yes: bool| if yes { "y" } else { "n" }.to_owned();
    [
        service.name.clone(),
        service.process_count.to_string(),
        service.process_avail.to_string(),
        service.process_limit.to_string(),
        service.client_limit.to_string(),
        service.throttle_secs.to_string(),
        service.exit_failure_last.to_string(),
        service.exit_failures_in_sec.to_string(),
        service.last_drop_warning.to_string(),
        yes_no(service.listen_pending),
        yes_no(service.listening),
        yes_no(service.doveadm_stop),
        service.process_total.to_string(),
    ]
}

fn process_values(process: &Process) -> [String; 7] {
    [
        process.name.clone(),
        process.pid.to_string(),
        process.available_count.to_string(),
        process.total_count.to_string(),
        process.idle_start.to_string(),
        process.last_status_update.to_string(),
        process.last_kill_sent.to_string(),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::context::tests::Doveadm;

    #[test]
    fn processes_are_listed() {
        let doveadm = Doveadm::new();
        let auth = Process {
            name: "auth".into(),
            pid: 1395,
            available_count: 1000,
            total_count: 3,
            ..Process::default()
        };
        let master = doveadm.play::<Query, _>("master", vec![Answer::Process(auth), Answer::End]);
        let (output, status) = doveadm.run("-h -f tab process status auth");
        assert_eq!((output.as_str(), status), ("auth\t1395\t1000\t3\t0\t0\t0\n", Ok(0)));
        assert!(matches!(master.join().unwrap(), Query::Processes(services) if services == ["auth"]));
    }

    #[test]
    fn services_are_listed() {
        let doveadm = Doveadm::new();
        let imap = Service { name: "imap".into(), listening: true, ..Service::default() };
        let _master = doveadm.play::<Query, _>("master", vec![Answer::Service(Box::new(imap)), Answer::End]);
        let (output, _) = doveadm.run("service status imap");
        assert!(output.starts_with("name: imap\nprocess_count: 0\n"), "{output}");
        assert!(output.ends_with("listen_pending: n\nlistening: y\ndoveadm_stop: n\nprocess_total: 0\n"));
    }

    #[test]
    fn an_unknown_service_is_named() {
        let doveadm = Doveadm::new();
        let _master = doveadm
            .play::<Query, _>("master", vec![Answer::Failed("Unknown service: nosuch".into()), Answer::End]);
        assert_eq!(doveadm.run("service stop nosuch").1, Ok(status::NOT_FOUND));
        assert_eq!(doveadm.run("service stop").1, Err(Failure::fatal("service parameter missing")));
    }
}
