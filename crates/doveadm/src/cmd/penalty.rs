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
    let mut table = cx.table(Format::Table, &["IP", "penalty", "last_penalty", "last_update"].map(column));
    let mut asked = Asked::ask(&path, &Query::Penalties { nets })?;
    loop {
        match asked.expect()? {
            Answer::Penalty { ip, value, last_penalty_s, last_update_s } => {
                let update = localtime::format("%H:%M:%S", last_update_s.saturating_mul(1_000_000));
                let penalty = localtime::date(last_penalty_s);
                table.row(&[&ip.to_string(), &value.to_string(), &penalty, &update], &mut cx.output);
            }
            Answer::Session { .. } => {}
            Answer::End => break,
        }
    }
    table.end(&mut cx.output);
    Ok(())
}
