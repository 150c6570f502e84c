//! Random configurations, a seed for each run: what ours shows of one, the original shows too, and
//! each reads what the other wrote.

use settings::decl::{Decl, Kind, SectionKind, flags};

/// A small generator, so that a failure is the same each time.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % bound as u64).unwrap()
    }

    fn one_of<'t>(&mut self, texts: &[&'t str]) -> &'t str {
        texts[self.below(texts.len())]
    }
}

/// Values as they may be written for a text.
const TEXTS: [&str; 24] = [
    "a",
    "b c",
    "/x/y",
    "%u",
    "%{user}",
    "$mail_plugins",
    "\"q\"",
    "it's",
    "x\\y",
    "\"a#b\"",
    "a # b",
    "=",
    "{",
    "}",
    "~/m",
    "é",
    "100%",
    "a  b",
    "::1",
    "\"  x \"",
    "'x'",
    "\"\\\"x\\\"\"",
    "one \\\n   two",
    "",
];

const NAMES: [&str; 6] = ["x", "inbox", "\"y z\"", "a/b", "é", "p%x"];

const FILTERS: [&str; 8] = [
    "protocol imap",
    "protocol !pop3",
    "local 127.0.0.1",
    "local 10.0.0.0/8",
    "remote 192.168.1.0/24",
    "remote ::1",
    "local_name a.b",
    "local_name *.x.y",
];

/// A configuration of a few sections and settings.
pub(crate) fn configuration(random: &mut Random) -> String {
    let mut text = String::new();
    for _ in 0..1 + random.below(7) {
        if random.below(2) == 0 {
            line(random, SectionKind::Root, 0, &mut text);
        } else {
            section(random, 0, &mut text);
        }
    }
    text
}

fn section(random: &mut Random, depth: usize, out: &mut String) {
    let name = random.one_of(&NAMES);
    let service = random.one_of(&["imap", "imap-login", "auth", "mine"]);
    let (head, kind, inner) = match random.below(if depth > 0 { 3 } else { 8 }) {
        0 => (random.one_of(&FILTERS).to_owned(), SectionKind::Root, None),
        1 => return plugin(random, depth, out),
        2 => (format!("namespace {name}"), SectionKind::Namespace, Some(SectionKind::Mailbox)),
        3 => ("passdb".to_owned(), SectionKind::Passdb, None),
        4 => ("userdb".to_owned(), SectionKind::Userdb, None),
        5 => (format!("service {service}"), SectionKind::Service, Some(SectionKind::UnixListener)),
        6 => (format!("service {service}"), SectionKind::Service, Some(SectionKind::InetListener)),
        _ => (random.one_of(&FILTERS).to_owned(), SectionKind::Root, None),
    };
    out.push_str(&format!("{}{head} {{\n", "  ".repeat(depth)));
    if matches!(kind, SectionKind::Passdb | SectionKind::Userdb) {
        out.push_str(&format!("{}driver = passwd-file\n", "  ".repeat(depth + 1)));
    }
    for _ in 0..random.below(3) {
        line(random, kind, depth + 1, out);
    }
    if kind == SectionKind::Root && depth < 2 && random.below(3) == 0 {
        section(random, depth + 1, out);
    }
    if let Some(kind) = inner {
        let indent = "  ".repeat(depth + 1);
        out.push_str(&format!("{indent}{} {} {{\n", kind.word(), random.one_of(&NAMES)));
        line(random, kind, depth + 2, out);
        out.push_str(&format!("{indent}}}\n"));
    }
    out.push_str(&format!("{}}}\n", "  ".repeat(depth)));
}

fn plugin(random: &mut Random, depth: usize, out: &mut String) {
    let indent = "  ".repeat(depth);
    let (key, value) = (random.one_of(&["quota", "sieve", "x_y"]), random.one_of(&TEXTS));
    out.push_str(&format!("{indent}plugin {{\n{indent}  {key} = {value}\n{indent}}}\n"));
}

/// A setting that both know, with a value that is right most of the time.
fn line(random: &mut Random, kind: SectionKind, depth: usize, out: &mut String) {
    let decls = kind.decls();
    let known: Vec<&Decl> = decls
        .iter()
        .filter(|decl| !decl.name.starts_with("managesieve") && !decl.has(flags::HIDDEN))
        // 2.3 leaves this one out of its answer.
        .filter(|decl| decl.name != "result_success")
        // Renamed sections are another matter.
        .filter(|decl| !matches!(decl.name, "name" | "path"))
        .collect();
    let decl = known[random.below(known.len())];
    let value = match decl.kind {
        Kind::Bool => random.one_of(&["yes", "no", "YES", "y", "1", "No", "maybe"]),
        Kind::Uint => random.one_of(&["0", "1", "10", "99999", "4294967295", "4294967296", "x"]),
        Kind::Size => random.one_of(&["0", "1", "1024", "10M", "10 MB", "1k", "3G", "2 kib", "5x"]),
        Kind::Time | Kind::Millis => {
            random.one_of(&["0", "1s", "10 secs", "90m", "1h", "1 day", "2 weeks", "2000ms", "5"])
        }
        Kind::Octal => random.one_of(&["0600", "0", "0666", "384"]),
        Kind::Port => random.one_of(&["0", "143", "65535", "65536"]),
        Kind::Enum => {
            let choices: Vec<&str> = decl.choices().collect();
            random.one_of(&choices)
        }
        Kind::Str => random.one_of(&TEXTS),
    };
    out.push_str(&format!("{}{} = {value}\n", "  ".repeat(depth), decl.name));
}
