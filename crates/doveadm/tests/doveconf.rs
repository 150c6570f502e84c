//! `doveconf` beside the one of Dovecot 2.3: the same configurations, the same words.
//!
//! `doveconf/cases.txt` holds configurations, separated by `====`. A first line `#ARGS ...` gives
//! the arguments instead of `-n`; `#DIFFERS why` says that the two are known to differ, and then
//! they must. Without a real doveconf the comparison is left out, which `REQUIRE=all` forbids.

#[path = "doveconf/random.rs"]
mod random;

use std::path::Path;
use std::process::Command;

use settings::decl::services::BUILTIN_SERVICES;

const REAL: &str = "/usr/bin/doveconf";

/// Whether there is a Dovecot 2.3 to compare with.
fn real_is_there() -> bool {
    let version = Command::new(REAL).arg("-d").output().map(|output| output.stdout).unwrap_or_default();
    let there = String::from_utf8_lossy(&version).starts_with("# 2.3.");
    if !there {
        eprintln!("left out: no doveconf of Dovecot 2.3 at {REAL} to compare with");
        assert_ne!(std::env::var("REQUIRE").as_deref(), Ok("all"), "REQUIRE=all, but {REAL} is not there");
    }
    there
}

/// Status, output and complaints.
#[derive(Debug, PartialEq, Eq)]
struct Said {
    status: i32,
    out: Vec<String>,
    err: Vec<String>,
}

impl Said {
    /// Leaves out what says which program and machine it is, and what only one of them can say.
    fn new(status: i32, out: &[u8], err: &[u8]) -> Self {
        let lines =
            |text: &[u8]| String::from_utf8_lossy(text).lines().map(str::to_owned).collect::<Vec<_>>();
        let ours_only = |line: &str| {
            line.contains("has no effect in this version")
                || line.contains(" | ")
                || line.starts_with("      = ")
        };
        let mut said = Self { status, out: lines(out), err: lines(err) };
        said.out.retain(|line| !line.starts_with("# "));
        said.err.retain(|line| !line.is_empty() && !line.contains("dump-capability") && !ours_only(line));
        said
    }
}

fn real(args: &[String]) -> Said {
    let output = Command::new(REAL).args(args).output().unwrap();
    Said::new(output.status.code().unwrap_or(-1), &output.stdout, &output.stderr)
}

fn ours(args: &[String]) -> Said {
    let all: Vec<String> = std::iter::once("doveconf".to_owned()).chain(args.iter().cloned()).collect();
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let status = doveadm::doveconf::run(&all, &mut out, &mut err);
    Said::new(status, &out, &err)
}

fn arguments(words: &str, path: &Path) -> Vec<String> {
    let words = words.split_whitespace().map(str::to_owned);
    words.chain(["-c".to_owned(), path.to_str().unwrap().to_owned()]).collect()
}

#[test]
fn configurations_are_shown_as_2_3_shows_them() {
    if !real_is_there() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let file = |name: &str| dir.path().join(name);
    std::fs::write(file("inc1.conf"), "mail_debug = yes\n").unwrap();
    std::fs::write(file("inc2.conf"), "auth_debug = yes\n").unwrap();
    std::fs::write(file("key.txt"), "SECRET\n").unwrap();
    std::fs::write(file("rec.conf"), "!include a.conf\n").unwrap();
    let cases = include_str!("doveconf/cases.txt");
    for case in cases.trim_end().split("\n====\n") {
        let (differs, text) = head(case, "#DIFFERS ");
        let (args, text) = head(text, "#ARGS ");
        std::fs::write(file("a.conf"), text).unwrap();
        let args = arguments(args.unwrap_or("-n"), &file("a.conf"));
        let (theirs, ours) = (real(&args), ours(&args));
        match differs {
            None => assert_eq!(ours, theirs, "\n{case}"),
            Some(why) => assert_ne!(ours, theirs, "no longer so: {why}\n{case}"),
        }
    }
}

fn head<'c>(case: &'c str, mark: &str) -> (Option<&'c str>, &'c str) {
    match case.split_once('\n') {
        Some((first, rest)) if first.starts_with(mark) => (first.strip_prefix(mark), rest),
        _ => (None, case),
    }
}

/// All settings, with those that 2.3 lacks or that differ on purpose put right.
#[test]
fn defaults_are_those_of_2_3() {
    if !real_is_there() {
        return;
    }
    let args = ["-d".to_owned(), "-a".to_owned()];
    let theirs = real(&args).out;
    let has_sieve = theirs.iter().any(|line| line.starts_with("managesieve_"));
    let mut ours = ours(&args).out;
    if !has_sieve {
        remove_managesieve(&mut ours);
    }
    for service in BUILTIN_SERVICES {
        let Some(start) = ours.iter().position(|line| *line == format!("service {} {{", service.name)) else {
            continue;
        };
        for deviation in service.deviations {
            let own = format!("  {} = ", deviation.setting);
            let line = ours[start..].iter_mut().find(|line| line.starts_with(&own)).unwrap();
            *line = format!("{own}{}", deviation.theirs);
        }
    }
    assert_eq!(ours, theirs);
}

fn remove_managesieve(lines: &mut Vec<String>) {
    let mut inside = false;
    lines.retain(|line| {
        inside |= line.starts_with("service managesieve");
        let keep = !inside && !line.starts_with("managesieve_");
        inside &= line != "}";
        keep
    });
}

#[test]
fn each_reads_what_the_other_wrote() {
    if !real_is_there() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let first = dir.path().join("first.conf");
    std::fs::write(&first, include_str!("doveconf/whole.conf")).unwrap();
    let shown = |said: &Said| {
        assert_eq!(said.status, 0, "{said:?}");
        said.out.join("\n") + "\n"
    };
    let second = dir.path().join("second.conf");
    let ours_of_first = shown(&ours(&arguments("-nP", &first)));
    assert_eq!(ours_of_first, shown(&real(&arguments("-nP", &first))));
    std::fs::write(&second, &ours_of_first).unwrap();
    assert_eq!(shown(&real(&arguments("-nP", &second))), ours_of_first);
    assert_eq!(shown(&ours(&arguments("-nP", &second))), ours_of_first);
}

/// Shows a text as `name.conf` with both.
fn both(dir: &Path, name: &str, text: &str) -> (Said, Said) {
    let path = dir.join(name);
    std::fs::write(&path, text).unwrap();
    let args = arguments("-nP", &path);
    (ours(&args), real(&args))
}

#[test]
fn random_configurations_go_around() {
    if !real_is_there() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let mut random = random::Random(0x2545_f491_4f6c_dd1d);
    let mut good = 0;
    for _ in 0..300 {
        let text = random::configuration(&mut random);
        let (mine, theirs) = both(dir.path(), "a.conf", &text);
        assert_eq!((mine.status, &mine.err), (theirs.status, &theirs.err), "\n{text}");
        if mine.status != 0 {
            continue;
        }
        good += 1;
        let shown = mine.out.join("\n") + "\n";
        // Where 2.3 leaves quotes out that its reader needs, the two differ, and ours is right.
        if !shown.contains("\\\"") {
            assert_eq!(mine.out, theirs.out, "\n{text}");
        }
        let (again, their_again) = both(dir.path(), "a.conf", &shown);
        assert_eq!(again.out, mine.out, "ours reads ours\n{text}");
        if !shown.contains("\\\"") {
            assert_eq!(their_again.out, mine.out, "2.3 reads ours\n{text}");
        }
    }
    assert!(good >= 60, "only {good} were right");
}
