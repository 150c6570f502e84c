//! The configuration, read from its files as the calling user.

use std::path::Path;

use settings::{Filter, ParseOptions, Settings, StdFiles};

use super::exit::{Exit, Status};

/// Where the configuration is unless `-c` or `CONFIG_FILE` say otherwise.
const PATH_DEFAULT: &str = "/etc/dovecot/dovecot.conf";

/// The settings of `protocol lda`, with `-o` over them.
pub(super) fn read(path: Option<&str>, overrides: &[(&str, &str)]) -> Result<Settings, Exit> {
    let from_environment = std::env::var("CONFIG_FILE").ok().filter(|path| !path.is_empty());
    let path = path.map(str::to_owned).or(from_environment).unwrap_or_else(|| PATH_DEFAULT.to_owned());
    std::fs::metadata(&path)
        .map_err(|error| refused(format_args!("stat({path}) failed: {}", base::reason(&error))))?;
    // Only what delivery needs: transfer agents run us as users who may not read keys.
    let modules = Some(vec!["lda".to_owned()]);
    let options = ParseOptions { check_users: false, modules, ..ParseOptions::default() };
    let parsed = settings::Config::parse(&StdFiles, Path::new(&path), &options);
    let snapshot = parsed.and_then(|config| config.snapshot()).map_err(|error| broken(&error))?;
    let settings =
        snapshot.view(&Filter { protocol: Some("lda"), service: Some("lda"), ..Filter::default() });
    settings.with_overrides(overrides.iter().copied()).map_err(|error| {
        let settings::OverrideError::Invalid { field, value, reason } = &error;
        refused(format_args!("Invalid -o parameter {field}={value}: {reason}"))
    })
}

/// Splits `-o` words.
pub(super) fn overrides(words: &[String]) -> Result<Vec<(&str, &str)>, Exit> {
    let split = |word| {
        let missing = || refused(format_args!("Invalid -o parameter {word}: Missing '='"));
        str::split_once(word, '=').ok_or_else(missing)
    };
    words.iter().map(String::as_str).map(split).collect()
}

fn refused(reason: std::fmt::Arguments<'_>) -> Exit {
    let pid = std::process::id();
    Exit::said(format!("lda({pid}): Fatal: Error reading configuration: {reason}"), Status::TempFail)
}

/// 2.3's message, and below it what helps to find the mistake.
fn broken(error: &settings::Diagnostic) -> Exit {
    let mut text = format!("doveconf: Fatal: {error}");
    for line in error.explain() {
        text.push('\n');
        text.push_str(&line);
    }
    Exit::said(text, Status::TempFail)
}
