//! `doveadm penalty`: addresses that keep failing to log in.

use ipc::anvil::{Answer, Query};

use super::selection::parse_net;
use super::who::anvil_path;
use crate::args::Args;
use crate::context::{Context, Failure, Outcome, status};
use crate::frames::Asked;
use crate::localtime;
use crate::print::{Format, column};

pub(crate) fn penalty(cx: &mut Context, args: &Args) -> Outcome {
    let path = anvil_path(cx, args)?;
    let mut nets = Vec::new();
    if let Some(text) = args.text("netmask") {
        match parse_net(text) {
            Some(net) => nets.push(net),
            None => {
                cx.error(format_args!("Invalid netmask '{text}' given"), status::USAGE);
                return Err(Failure::Exit(status::USAGE));
            }
        }
    }
    let mut table = cx.table(Format::Table, &["IP", "penalty", "last_penalty", "last_update"].map(column))?;
    let mut asked = Asked::ask(&path, &Query::Penalties { nets })?;
    loop {
        match asked.expect()? {
            Answer::Penalty { ip, value, last_penalty_s, last_update_s } => {
                let update = localtime::format("%H:%M:%S", last_update_s.saturating_mul(1_000_000));
                let penalty = localtime::date(last_penalty_s);
                table.row(&[&ip.to_string(), &value.to_string(), &penalty, &update], &mut cx.output);
            }
            Answer::Session { .. } | Answer::Ban(_) | Answer::Proxied(_) => {}
            Answer::End => break,
        }
    }
    table.end(&mut cx.output);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::context::tests::Doveadm;

    #[test]
    fn penalties_are_listed() {
        let doveadm = Doveadm::new();
        let ip = "10.0.0.9".parse().unwrap();
        let found =
            Answer::Penalty { ip, value: 3, last_penalty_s: 1_795_443_962, last_update_s: 1_795_443_963 };
        let anvil = doveadm.play::<Query, _>("anvil", vec![found, Answer::End]);
        let (output, status) = doveadm.run("-h -f tab penalty 10.0.0.0/8");
        assert!(output.starts_with("10.0.0.9\t3\t2026-11-2"), "{output}");
        assert_eq!(status, Ok(0));
        let net = ("10.0.0.0".parse().unwrap(), 8);
        assert!(matches!(anvil.join().unwrap(), Query::Penalties { nets } if nets == [net]));
        assert_eq!(doveadm.run("penalty xx").1, Err(Failure::Exit(status::USAGE)));
    }
}
