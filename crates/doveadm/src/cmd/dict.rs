//! `doveadm dict`: one key of a dictionary, or those below a path. Also SQL and LDAP can be asked, which
//! 2.3's doveadm reaches by way of a `dict` process only.

use base::Logger;
use db::dict::{Change, Committed, Dict, DictError, DictUri, Flags, Iteration, PRIVATE, SHARED, Transaction};
use settings::StdFiles;

use crate::args::Args;
use crate::context::{Context, Failure, Outcome, status};
use crate::print::{Format, column, untitled};

pub(crate) fn get(cx: &mut Context, args: &Args) -> Outcome {
    let key = needed(cx, args.text("key"), "dict-get: Missing key")?;
    let mut opened = Opened::open(cx, args, key)?;
    match opened.dict.values(&opened.user, key) {
        Ok(Some(values)) => {
            let columns = vec![untitled("value", ""); values.len().max(1)];
            let mut table = cx.table(Format::Table, &columns)?;
            values.iter().for_each(|value| table.value(value, &mut cx.output));
            table.end(&mut cx.output);
            return Ok(());
        }
        Ok(None) => cx.error(format_args!("{key} doesn't exist"), status::NOT_FOUND),
        Err(error) => cx.error(format_args!("dict_lookup({key}) failed: {error}"), status::TEMPFAIL),
    }
    cx.table(Format::Table, &[untitled("value", "")])?.end(&mut cx.output);
    Ok(())
}

pub(crate) fn set(cx: &mut Context, args: &Args) -> Outcome {
    let missing = "dict set: Missing parameters";
    let key = needed(cx, args.text("key"), missing)?;
    let value = needed(cx, args.text("value"), missing)?;
    change(cx, args, Change::Set { key: key.to_owned(), value: value.to_owned() })
}

pub(crate) fn unset(cx: &mut Context, args: &Args) -> Outcome {
    let key = needed(cx, args.text("key"), "dict unset: Missing key")?;
    change(cx, args, Change::Unset { key: key.to_owned() })
}

pub(crate) fn inc(cx: &mut Context, args: &Args) -> Outcome {
    let missing = "dict-inc: Missing parameters";
    let key = needed(cx, args.text("key"), missing)?;
    let diff = needed(cx, args.number("difference"), missing)?;
    change(cx, args, Change::Increase { key: key.to_owned(), diff })
}

pub(crate) fn iter(cx: &mut Context, args: &Args) -> Outcome {
    let path = needed(cx, args.text("prefix"), "dict-iter: Missing prefix")?;
    let mut opened = Opened::open(cx, args, path)?;
    let no_value = args.flag("no-value");
    let flags = Flags { recurse: args.flag("recurse"), exact_key: args.flag("exact"), no_value, order: None };
    let mut rows = Vec::new();
    let iteration = Iteration { user: &opened.user, path, flags, rows_max: 0 };
    let listed = opened.dict.iterate(&iteration, &mut |row| rows.push(row));
    let mut columns = vec![column("key")];
    if !no_value {
        // As many as the first row has; but each row fills its line.
        let values = rows.iter().map(|row| row.values.len()).max().unwrap_or(1);
        columns.extend(vec![column("value"); values.max(1)]);
    }
    let mut table = cx.table(Format::Tab, &columns)?;
    for row in rows {
        let values = row.values.iter().map(String::as_str).chain(std::iter::repeat(""));
        let values = std::iter::once(row.key.as_str()).chain(values).take(columns.len());
        values.for_each(|value| table.value(value, &mut cx.output));
    }
    table.end(&mut cx.output);
    if let Err(error) = listed {
        cx.error(format_args!("dict_iterate_deinit({path}) failed: {error}"), status::TEMPFAIL);
    }
    Ok(())
}

fn change(cx: &mut Context, args: &Args, change: Change) -> Outcome {
    let key = change.key().to_owned();
    let mut opened = Opened::open(cx, args, &key)?;
    let mut transaction = Transaction { user: opened.user, ..Transaction::default() };
    transaction.add(change);
    match opened.dict.commit(&transaction) {
        Ok(Committed::Done) => {}
        Ok(Committed::NotFound) => cx.error(format_args!("{key} doesn't exist"), status::NOT_FOUND),
        Err(error @ (DictError::Failed(_) | DictError::Uncertain(_) | DictError::Unsupported)) => {
            cx.error(format_args!("dict_transaction_commit() failed: {error}"), status::TEMPFAIL);
        }
    }
    Ok(())
}

/// The dictionary that a command names, and whose keys are meant.
struct Opened {
    dict: Dict,
    user: String,
}

impl Opened {
    fn open(cx: &mut Context, args: &Args, key: &str) -> Outcome<Self> {
        let user = args.text("user").unwrap_or_default().to_owned();
        let uri = needed(cx, args.text("dict-uri"), "dictionary URI must be specified")?;
        if !key.starts_with(PRIVATE) && !key.starts_with(SHARED) {
            cx.error(format_args!("Key must begin with '{PRIVATE}' or '{SHARED}': {key}"), status::USAGE);
            return Err(Failure::Exit(status::USAGE));
        }
        if user.is_empty() && key.starts_with(PRIVATE) {
            cx.error(format_args!("-u must be specified for {PRIVATE} keys"), status::USAGE);
            return Err(Failure::Exit(status::USAGE));
        }
        let base_dir = cx.config()?.base_dir().to_owned();
        match DictUri::parse(&StdFiles, uri, &base_dir) {
            Ok(parsed) => Ok(Self { dict: Dict::new(&parsed, &Logger::new("")), user }),
            Err(error) => {
                cx.error(format_args!("dict_init({uri}) failed: {error}"), status::TEMPFAIL);
                Err(Failure::Exit(status::TEMPFAIL))
            }
        }
    }
}

fn needed<T>(cx: &mut Context, found: Option<T>, complaint: &str) -> Outcome<T> {
    found.ok_or_else(|| {
        cx.error(complaint, status::USAGE);
        Failure::Exit(status::USAGE)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::context::tests::Doveadm;

    #[test]
    fn keys_of_a_file() {
        let doveadm = Doveadm::new();
        let uri = format!("file:{}/d", doveadm.path().display());
        let (usage, failed) = (Err(Failure::Exit(status::USAGE)), Err(Failure::Exit(status::TEMPFAIL)));
        for (line, output, status) in [
            ("set URI shared/a 5", "", Ok(0)),
            ("set -u joe URI priv/a x", "", Ok(0)),
            ("set URI shared/b/c z", "", Ok(0)),
            ("inc URI shared/a 3", "", Ok(0)),
            ("inc URI shared/a -- -1", "", Ok(0)),
            ("inc URI shared/none 1", "", Ok(status::NOT_FOUND)),
            ("inc URI shared/a x", "", usage.clone()),
            ("inc URI shared/b/c 1", "", Ok(status::TEMPFAIL)),
            ("get URI shared/a", "7\n", Ok(0)),
            ("get -u joe URI priv/a", "x\n", Ok(0)),
            ("get URI priv/a", "", usage.clone()),
            ("get URI a", "", usage.clone()),
            ("get URI", "", usage),
            ("get file shared/a", "", failed.clone()),
            ("get cdb:/x shared/a", "", failed),
            ("iter URI shared/", "key\tvalue\nshared/a\t7\n", Ok(0)),
            ("iter -R URI shared/", "key\tvalue\nshared/a\t7\nshared/b/c\tz\n", Ok(0)),
            ("iter -V URI shared/", "key\nshared/a\n", Ok(0)),
            ("iter -1 URI shared/b/c", "key\tvalue\nshared/b/c\tz\n", Ok(0)),
            ("iter URI shared/none/", "key\tvalue\n", Ok(0)),
            ("iter memcached: shared/", "key\tvalue\n", Ok(status::TEMPFAIL)),
            ("set memcached: shared/a b", "", Ok(status::TEMPFAIL)),
            ("unset URI shared/a", "", Ok(0)),
            ("unset URI shared/a", "", Ok(0)),
            ("get URI shared/a", "", Ok(status::NOT_FOUND)),
        ] {
            let (said, code) = doveadm.run(&format!("dict {}", line.replace("URI", &uri)));
            let said: String = said.lines().map(|line| format!("{}\n", line.trim_end_matches(' '))).collect();
            assert_eq!((said.as_str(), code), (output, status), "{line}");
        }
    }
}
