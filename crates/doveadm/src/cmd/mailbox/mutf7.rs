//! `doveadm mailbox mutf7`: names from UTF-8 to IMAP's modified UTF-7, or back.

use crate::args::Args;
use crate::cmd::auth::help;
use crate::context::{Context, Outcome, status};

pub(crate) fn mutf7(cx: &mut Context, args: &Args) -> Outcome {
    let names = args.list("name");
    if names.is_empty() {
        return Err(help("mailbox mutf7"));
    }
    // As in 2.3, -8 wins over -7.
    let from_utf8 = args.flag("from-utf8") || !args.flag("to-utf8");
    for name in names {
        if from_utf8 {
            cx.output.line(&base::mutf7::encode(name));
            continue;
        }
        match base::mutf7::decode(name) {
            Ok(name) => cx.output.line(&name),
            Err(_) => {
                cx.error(format_args!("Mailbox name not valid mUTF-7: {name}"), status::DATA);
                cx.output.line("");
            }
        }
    }
    Ok(())
}
