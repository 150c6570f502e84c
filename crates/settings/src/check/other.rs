//! Checks of logging, TLS, statistics, and of settings that are lists of known words.

use base::filter::Filter;

use super::{sections, spaced};
use crate::decl::{SectionKind, roots};
use crate::key::{self, event_exporter, metric};
use crate::tree::Node;

const FACILITIES: [&str; 19] = [
    "auth", "authpriv", "cron", "daemon", "ftp", "kern", "lpr", "mail", "news", "syslog", "user", "uucp",
    "local0", "local1", "local2", "local3", "local4", "local5", "local6",
];

pub(super) fn master_service(node: &Node) -> Result<(), String> {
    let facility = node.value(key::SYSLOG_FACILITY.index()).text();
    if !FACILITIES.contains(&facility) && facility != "local7" {
        return Err(format!("Unknown syslog_facility: {facility}"));
    }
    for setting in [key::LOG_DEBUG, key::LOG_CORE_FILTER, key::PROCESS_SHUTDOWN_FILTER] {
        Filter::parse(node.value(setting.index()).text())
            .map_err(|error| format!("Invalid {}: {error}", setting.name()))?;
    }
    Ok(())
}

pub(super) fn ssl(node: &Node) -> Result<(), String> {
    if node.value(key::SSL.index()).text() == "no" {
        return Ok(());
    }
    if node.value(key::SSL_VERIFY_CLIENT_CERT.index()).is_yes()
        && node.value(key::SSL_CA.index()).text().is_empty()
    {
        return Err("ssl_verify_client_cert set, but ssl_ca not".into());
    }
    let known = ["compression", "no_compression", "no_ticket"];
    let options = node.value(key::SSL_OPTIONS.index()).text();
    let mut options = options.split([',', ' ']).filter(|option| !option.is_empty());
    match options.find(|option| !known.iter().any(|name| name.eq_ignore_ascii_case(option))) {
        Some(option) => Err(format!("ssl_options: unknown flag: '{option}'")),
        None => Ok(()),
    }
}

pub(super) fn stats(node: &Node) -> Result<(), String> {
    let metrics = sections(node, SectionKind::Metric);
    let exporters = sections(node, SectionKind::EventExporter);
    if !metrics.is_empty() && !exporters.is_empty() {
        for section in metrics {
            let name = section.value(metric::EXPORTER.index()).text();
            if !name.is_empty() && exporters.iter().all(|exporter| exporter.name() != name) {
                return Err(format!("metric {} refers to non-existent exporter '{name}'", section.name()));
            }
        }
    }
    metrics.iter().try_for_each(one_metric)?;
    exporters.iter().try_for_each(exporter)
}

fn one_metric(section: &Node) -> Result<(), String> {
    if section.name().is_empty() {
        return Err("Metric name can't be empty".into());
    }
    let filter = section.value(metric::FILTER.index()).text();
    if filter.is_empty() {
        return Err(format!("metric {} {{ filter }} is empty - will not match anything", section.name()));
    }
    Filter::parse(filter).map_err(|error| error.to_string())?;
    spaced(section.value(metric::GROUP_BY.index()).text()).try_for_each(group_by)
}

fn group_by(field: &str) -> Result<(), String> {
    let parts: Vec<&str> = field.split(':').collect();
    match parts.as_slice() {
        [_] | [_, "discrete"] => Ok(()),
        [_, "discrete", ..] => Err("group_by 'discrete' aggregate function does not take any args".into()),
        [_, function @ ("exponential" | "linear"), numbers @ ..] => aggregate(function, numbers),
        [name, function, ..] => Err(format!("unknown aggregation function '{function}' on field '{name}'")),
        [] => Ok(()),
    }
}

fn aggregate(function: &str, numbers: &[&str]) -> Result<(), String> {
    let parsed: Option<Vec<i64>> = numbers.iter().map(|number| number.parse().ok()).collect();
    let Some(&[min, max, other]) = parsed.as_deref() else {
        return Err(format!("group_by '{function}' aggregate function takes 3 int args"));
    };
    if min < 0 || max < 0 || other < 0 {
        return Err(format!("group_by '{function}' aggregate function arguments must be >= 0"));
    }
    if min >= max {
        return Err(format!(
            "group_by '{function}' aggregate function min must be < max ({min} must be < {max})"
        ));
    }
    if function == "exponential" && other != 2 && other != 10 {
        return Err(format!(
            "group_by 'exponential' aggregate function base must be one of: 2, 10 (base={other})"
        ));
    }
    let step = min.saturating_add(other);
    if function == "linear" && step > max {
        return Err(format!(
            "group_by 'linear' aggregate function min+step must be <= max ({step} must be <= {max})"
        ));
    }
    Ok(())
}

fn exporter(section: &Node) -> Result<(), String> {
    let text = |index| section.value(index).text();
    if section.name().is_empty() {
        return Err("Exporter name can't be empty".into());
    }
    let format = text(event_exporter::FORMAT.index());
    let needs_time = match format {
        "" => return Err("Exporter format name can't be empty".into()),
        "none" => false,
        "json" | "tab-text" => true,
        _ => return Err(format!("Unknown exporter format '{format}'")),
    };
    match text(event_exporter::TRANSPORT.index()) {
        "" => return Err("Exporter transport name can't be empty".into()),
        "drop" | "http-post" | "log" => {}
        other => return Err(format!("Unknown transport type '{other}'")),
    }
    let mut time = None;
    for arg in spaced(text(event_exporter::FORMAT_ARGS.index())) {
        if !matches!(arg, "time-rfc3339" | "time-unix") {
            return Err(format!("Unknown exporter format arg: {arg}"));
        }
        if time.is_some_and(|before| before != arg) {
            return Err(format!("Exporter '{}' specifies multiple time format args", section.name()));
        }
        time = Some(arg);
    }
    if needs_time && time.is_none() {
        return Err(format!("{format} exporter format requires a time-* argument"));
    }
    Ok(())
}

/// A setting that is a list of words, and what 2.3 calls such a word.
type WordList = (u64, crate::key::Key<crate::key::Str>, &'static str, &'static [&'static str]);

const WORD_LISTS: &[WordList] = &[
    (
        roots::IMAP,
        key::IMAP_CLIENT_WORKAROUNDS,
        "workaround",
        &["delay-newmail", "tb-extra-mailbox-sep", "tb-lsub-flags"],
    ),
    (roots::POP3, key::POP3_CLIENT_WORKAROUNDS, "workaround", &["outlook-no-nuls", "oe-ns-eoh"]),
    (
        roots::LMTP,
        key::LMTP_CLIENT_WORKAROUNDS,
        "workaround",
        &["whitespace-before-path", "mailbox-for-path"],
    ),
    (
        roots::SUBMISSION | roots::SUBMISSION_LOGIN,
        key::SUBMISSION_CLIENT_WORKAROUNDS,
        "workaround",
        &["whitespace-before-path", "mailbox-for-path", "implicit-auth-external", "exotic-backend"],
    ),
    (roots::DOVEADM, key::DSYNC_FEATURES, "feature", &["empty-header-workaround"]),
    (roots::POP3C, key::POP3C_FEATURES, "feature", &["no-pipelining"]),
    (
        roots::IMAPC,
        key::IMAPC_FEATURES,
        "feature",
        &[
            "rfc822.size",
            "guid-forced",
            "fetch-headers",
            "gmail-migration",
            "search",
            "zimbra-workarounds",
            "no-examine",
            "proxyauth",
            "fetch-msn-workarounds",
            "fetch-fix-broken-mails",
            "modseq",
            "delay-login",
            "fetch-bodystructure",
            "send-id",
            "fetch-empty-is-expunged",
            "no-msn-updates",
            "acl",
        ],
    ),
];

/// The checks of one part of 2.3 that has no file of its own here.
pub(super) fn part(node: &Node, root: u64) -> Result<(), String> {
    if root == roots::IMAPC && node.value(key::IMAPC_MAX_IDLE_TIME.index()).number() == 0 {
        return Err("imapc_max_idle_time must not be 0".into());
    }
    words(node, root)?;
    let flag = node.value(key::POP3_DELETED_FLAG.index()).text();
    let delete_type = node.value(key::POP3_DELETE_TYPE.index()).text();
    if root == roots::POP3 && delete_type == "flag" && flag.is_empty() {
        return Err("pop3_delete_type=flag, but pop3_deleted_flag not set".into());
    }
    if root == roots::DIRECTOR && node.value(key::DIRECTOR_USER_EXPIRE.index()).number() < 10_000 {
        return Err("director_user_expire is too low".into());
    }
    if root == roots::DOVEADM {
        for setting in [key::DSYNC_HASHED_HEADERS, key::DSYNC_ALT_CHAR] {
            if node.value(setting.index()).text().is_empty() {
                return Err(format!("{} must not be empty", setting.name()));
            }
        }
    }
    Ok(())
}

fn words(node: &Node, root: u64) -> Result<(), String> {
    for (_, setting, what, known) in WORD_LISTS.iter().filter(|(roots, ..)| roots & root != 0) {
        let value = node.value(setting.index()).text();
        for word in value.split([' ', ',']).filter(|word| !word.is_empty()) {
            let throttle = word.get(..9).filter(|start| start.eq_ignore_ascii_case("throttle:"));
            if *what == "feature" && setting.name() == "imapc_features" && throttle.is_some() {
                throttles(&word[9..])?;
            } else if !known.iter().any(|name| name.eq_ignore_ascii_case(word)) {
                return Err(format!("{}: Unknown {what}: {word}", setting.name()));
            }
        }
    }
    Ok(())
}

fn throttles(text: &str) -> Result<(), String> {
    let numbers: Vec<_> = text.split(':').map(str::parse::<u32>).collect();
    if numbers.len() == 3 && numbers.iter().all(Result::is_ok) {
        return Ok(());
    }
    Err("imapc_features: Invalid throttle settings".into())
}
