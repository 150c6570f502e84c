//! `doveadm rebuild attachments`: sets the keywords `$HasAttachment` and `$HasNoAttachment`.

use base::filter::wildcard_match_icase;
use base::{Uid, UidSet};
use message::{Part, params};
use settings::key;
use storage::view::Flags;
use storage::{FlagChange, FlagMode, Mailbox, OpenMode, Result};

use crate::args::Args;
use crate::context::{Context, Outcome};
use crate::mail::{SearchQuery, Whose, found};
use crate::print::{Format, column};

pub(crate) fn attachments(cx: &mut Context, args: &Args) -> Outcome {
    let whose = Whose::parse(cx, args)?;
    let query = SearchQuery::parse(args.list("query"))?;
    let rules = Rules::parse(cx.config()?.mail_settings().get(key::MAIL_ATTACHMENT_DETECTION_OPTIONS));
    let columns = ["uid", "attachment"].map(column);
    whose.each_printing(cx, Format::Table, &columns, &mut |job, user| {
        found::each(job, user, &query, OpenMode::Append, None, &mut |job, mut found| {
            for uid in found.uids.clone() {
                job.print(uid);
                match mark(&mut *found.mailbox, uid, &rules) {
                    Ok(has) => job.print(if has { "yes" } else { "no" }),
                    Err(error) => {
                        job.print("error");
                        job.fail(format_args!("Failed to add attachment keywords: UID {uid}"), &error);
                        break;
                    }
                }
            }
            Ok(())
        })
    })
}

fn mark(mailbox: &mut dyn Mailbox, uid: Uid, rules: &Rules) -> Result<bool> {
    let mut reader = mailbox.open_message(uid)?;
    let parts = message::parse_reader(&mut reader, message::Options::default(), ())
        .map_err(|error| storage::Error::io("read", format!("UID {uid}"), error))?;
    let has = parts.iter().any(|(_, part)| rules.is_attachment(part));
    let change =
        |mode, keyword: &str| FlagChange { mode, flags: Flags::NONE, keywords: vec![keyword.to_owned()] };
    let (set, other) = match has {
        true => ("$HasAttachment", "$HasNoAttachment"),
        false => ("$HasNoAttachment", "$HasAttachment"),
    };
    let uids: UidSet = [uid].into_iter().collect();
    mailbox.store_flags(&uids, &change(FlagMode::Remove, other))?;
    mailbox.store_flags(&uids, &change(FlagMode::Add, set))?;
    Ok(has)
}

/// `mail_attachment_detection_options`
#[derive(Debug, Default, PartialEq, Eq)]
struct Rules {
    exclude_inlined: bool,
    /// Patterns of content types; those with `!` exclude.
    types: Vec<(bool, String)>,
}

impl Rules {
    fn parse(text: &str) -> Self {
        let mut rules = Self::default();
        for word in text.split(' ') {
            if word == "exclude-inlined" {
                rules.exclude_inlined = true;
            } else if let Some(list) = word.strip_prefix("content-type=") {
                let (excludes, pattern) = match list.strip_prefix('!') {
                    Some(pattern) => (true, pattern),
                    None => (false, list),
                };
                rules.types.push((excludes, pattern.to_owned()));
            }
        }
        rules
    }

    fn is_attachment(&self, part: &Part) -> bool {
        let data = &part.data;
        let is = |word: &str| {
            data.disposition.as_deref().is_some_and(|value| value.eq_ignore_ascii_case(word.as_bytes()))
        };
        let named = || params::find(&data.disposition_params, b"filename").is_some();
        let wanted = is("attachment") || (!self.exclude_inlined && is("inline") && named());
        wanted && self.fits_type(part)
    }

    /// The last pattern that fits decides; without any all types are attachments.
    fn fits_type(&self, part: &Part) -> bool {
        let Some(kind) = part.data.content_type.as_deref() else { return self.types.is_empty() };
        let subtype = part.data.subtype.as_deref().unwrap_or_default();
        let name = format!("{}/{}", String::from_utf8_lossy(kind), String::from_utf8_lossy(subtype));
        let mut fitting = self.types.iter().filter(|(_, pattern)| wildcard_match_icase(&name, pattern));
        fitting.next_back().is_none_or(|(excludes, _)| !excludes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(rules: &str, header: &str, expected: bool) {
        let parts = message::parse(format!("{header}\n\nbody").as_bytes(), message::Options::default());
        assert_eq!(Rules::parse(rules).is_attachment(parts.root()), expected, "{rules} {header}");
    }

    #[test]
    fn what_is_an_attachment() {
        let pdf = "MIME-Version: 1.0\nContent-Type: application/pdf\nContent-Disposition: attachment";
        let inline = "MIME-Version: 1.0\nContent-Type: image/png\nContent-Disposition: inline; filename=x";
        check("", pdf, true);
        check("", inline, true);
        check("exclude-inlined", inline, false);
        check("content-type=!application/*", pdf, false);
        check("content-type=!application/* content-type=application/pdf", pdf, true);
        check("", "MIME-Version: 1.0\nContent-Disposition: inline", false);
        check("", "Subject: x", false);
    }
}
