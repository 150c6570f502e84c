//! Output formatters: a command declares its columns and hands out values, row after row; `-f`
//! chooses what they look like.

mod flow;
mod formatted;
mod json;
mod pager;
mod server;
mod tab;
mod table;

use std::borrow::Cow;

use crate::output::Output;

/// A column.
#[derive(Debug, Clone)]
pub(crate) struct Column {
    /// Its name in JSON.
    pub(crate) key: Cow<'static, str>,
    /// Its title elsewhere.
    pub(crate) title: Cow<'static, str>,
    /// The flow and pager formats leave the title out; so do tables where all are.
    pub(crate) untitled: bool,
    /// Numbers stand to the right in tables.
    pub(crate) right: bool,
    /// Gets the room that is left in tables.
    pub(crate) expand: bool,
}

/// A column whose key is its title.
pub(crate) const fn column(title: &'static str) -> Column {
    keyed(title, title)
}

/// A column.
pub(crate) const fn keyed(key: &'static str, title: &'static str) -> Column {
    let (key, title) = (Cow::Borrowed(key), Cow::Borrowed(title));
    Column { key, title, untitled: false, right: false, expand: false }
}

impl Column {
    /// A column whose title is not known beforehand.
    pub(crate) fn named(title: &str) -> Self {
        Self { key: title.to_owned().into(), title: title.to_owned().into(), ..column("") }
    }
}

/// A column without a title where that is possible.
pub(crate) const fn untitled(key: &'static str, title: &'static str) -> Column {
    let mut column = keyed(key, title);
    column.untitled = true;
    column
}

/// Which formatter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    Flow,
    Tab,
    Table,
    Pager,
    Json,
    /// As a doveadm server sends it; nobody can choose it.
    Server,
    /// Text with `%{key}`, which only commands can choose.
    Formatted(&'static str),
}

impl Format {
    /// As named by `-f`.
    pub(crate) fn named(name: &str) -> Option<Self> {
        Some(match name {
            "flow" => Self::Flow,
            "tab" => Self::Tab,
            "table" => Self::Table,
            "pager" => Self::Pager,
            "json" => Self::Json,
            "formatted" => Self::Formatted(""),
            _ => return None,
        })
    }
}

/// What a formatter does with columns, values and the end.
trait Formatter {
    fn columns(&mut self, columns: &[Column], output: &mut Output);
    /// The value of column number `at`.
    fn value(&mut self, at: usize, value: &str, output: &mut Output);
    /// The same with a value that may be no text. A format of text shows what it can of it.
    fn bytes(&mut self, at: usize, value: &[u8], output: &mut Output) {
        self.value(at, &String::from_utf8_lossy(value), output);
    }
    /// A piece of the value of column number `at`, which may be long and any bytes. An empty piece
    /// ends it.
    fn piece(&mut self, at: usize, piece: &[u8], output: &mut Output) -> Result<(), MultiLine>;
    fn end(&mut self, output: &mut Output);
}

/// The format has lines of values and cannot hold a value of several lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("table formatter doesn't support multi-line values")]
pub(crate) struct MultiLine;

/// A table being printed.
pub(crate) struct Printer {
    formatter: Box<dyn Formatter>,
    /// For each column the value that it has in all rows, where it is not given anew for each.
    fixed: Vec<Option<String>>,
    at: usize,
    streaming: bool,
}

impl Printer {
    /// Begins a table; `hide_titles` is `-h`.
    pub(crate) fn new(format: Format, hide_titles: bool, columns: &[Column], output: &mut Output) -> Self {
        let mut formatter: Box<dyn Formatter> = match format {
            Format::Flow => Box::new(flow::Flow::default()),
            Format::Tab => Box::new(tab::Tab::new(hide_titles)),
            Format::Table => Box::new(table::Table::new(hide_titles, width(output))),
            Format::Pager => Box::new(pager::Pager::default()),
            Format::Json => Box::new(json::Json::default()),
            Format::Server => Box::new(server::Server::default()),
            Format::Formatted(text) => Box::new(formatted::Formatted::new(text)),
        };
        formatter.columns(columns, output);
        Self { formatter, fixed: vec![None; columns.len()], at: 0, streaming: false }
    }

    /// Fixes the value of column number `at` in the rows that come, which then leave it out.
    pub(crate) fn fix(&mut self, at: usize, value: &str) {
        if let Some(fixed) = self.fixed.get_mut(at) {
            *fixed = Some(value.to_owned());
        }
    }

    /// From now on all values are given.
    pub(crate) fn unfix(&mut self) {
        self.fixed.fill(None);
    }

    /// The next value.
    pub(crate) fn value(&mut self, value: &str, output: &mut Output) {
        self.skip_fixed(output);
        self.formatter.value(self.at, value, output);
        self.next();
    }

    /// The next value, which may be no text.
    pub(crate) fn bytes(&mut self, value: &[u8], output: &mut Output) {
        self.skip_fixed(output);
        self.formatter.bytes(self.at, value, output);
        self.next();
    }

    /// A piece of the next value, for long ones and for bytes that are no text. An empty piece ends
    /// the value.
    pub(crate) fn piece(&mut self, piece: &[u8], output: &mut Output) -> Result<(), MultiLine> {
        if !std::mem::replace(&mut self.streaming, !piece.is_empty()) {
            self.skip_fixed(output);
        }
        self.formatter.piece(self.at, piece, output)?;
        if piece.is_empty() {
            self.next();
        }
        Ok(())
    }

    /// Whether nobody reads what is printed any more.
    pub(crate) fn is_unread(&self, output: &Output) -> bool {
        output.is_closed()
    }

    fn skip_fixed(&mut self, output: &mut Output) {
        for _ in 0..self.fixed.len() {
            let Some(Some(value)) = self.fixed.get(self.at) else { break };
            self.formatter.value(self.at, value, output);
            self.next();
        }
    }

    fn next(&mut self) {
        self.at = (self.at + 1) % self.fixed.len().max(1);
    }

    /// A row, or several.
    pub(crate) fn row(&mut self, values: &[&str], output: &mut Output) {
        values.iter().for_each(|value| self.value(value, output));
    }

    /// The end of the table.
    pub(crate) fn end(&mut self, output: &mut Output) {
        self.formatter.end(output);
        output.flush_stream();
    }
}

const COLUMNS_DEFAULT: usize = 80;
const COLUMNS_MIN: usize = 30;

/// How wide a table may be: the terminal's width, if there is one.
fn width(output: &Output) -> usize {
    if !output.is_terminal() {
        return COLUMNS_DEFAULT;
    }
    match rustix::termios::tcgetwinsize(std::io::stdout()) {
        Ok(size) => usize::from(size.ws_col).max(COLUMNS_MIN),
        Err(_) => COLUMNS_DEFAULT,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn who() -> [Column; 5] {
        [
            column("username"),
            Column { right: true, ..keyed("connections", "#") },
            keyed("service", "proto"),
            keyed("pids", "(pids)"),
            keyed("ips", "(ips)"),
        ]
    }

    fn print(format: Format, hide: bool, columns: &[Column], rows: &[&[&str]]) -> String {
        let mut output = Output::captured();
        let mut printer = Printer::new(format, hide, columns, &mut output);
        rows.iter().for_each(|row| printer.row(row, &mut output));
        printer.end(&mut output);
        output.take_captured()
    }

    const ROWS: [&[&str]; 2] = [
        &["user1@example.com", "1", "imap", "(8414)", "(127.0.0.1)"],
        &["user3@example.com", "1", "pop3", "(8418)", "(127.0.0.1)"],
    ];

    /// Recorded from 2.3.19.
    #[test]
    fn tables_look_as_in_2_3() {
        assert_eq!(
            print(Format::Table, false, &who(), &ROWS),
            "username          # proto (pids) (ips)                        \n\
             user1@example.com 1 imap  (8414) (127.0.0.1)                  \n\
             user3@example.com 1 pop3  (8418) (127.0.0.1)                  \n"
        );
        assert_eq!(
            print(Format::Table, false, &who(), &[]),
            "username # proto (pids) (ips)                         \n"
        );
        let titles = ["IP", "penalty", "last_penalty", "last_update"].map(column);
        assert_eq!(
            print(Format::Table, false, &titles, &[]),
            "IP penalty last_penalty last_update                      \n"
        );
        let path = Column { expand: true, ..column("path") };
        let titles = [path, column("name"), column("last used"), column("running")];
        assert_eq!(
            print(
                Format::Table,
                false,
                &titles,
                &[&["/srv/mail/base/run", "bp", "2026-11-23 14:26:02", "yes"]]
            ),
            "path                             name last used           running\n\
             /srv/mail/base/run               bp   2026-11-23 14:26:02 yes    \n"
        );
        let one = [
            Column { expand: true, ..column("username") },
            keyed("service", "proto"),
            column("pid"),
            column("ip"),
        ];
        assert_eq!(
            print(Format::Table, false, &one, &[&["user1@example.com", "imap", "8414", "127.0.0.1"]]),
            "username                               proto pid  ip       \n\
             user1@example.com                      imap  8414 127.0.0.1\n"
        );
    }

    const FETCH: [Column; 3] = [untitled("username", "Username"), column("uid"), column("text")];

    fn stream(format: Format, rows: &[(&str, &[u8])]) -> Result<String, MultiLine> {
        let mut output = Output::captured();
        let mut printer = Printer::new(format, false, &FETCH, &mut output);
        printer.fix(0, "u");
        for (uid, text) in rows {
            printer.value(uid, &mut output);
            text.chunks(3).try_for_each(|piece| printer.piece(piece, &mut output))?;
            printer.piece(b"", &mut output)?;
        }
        printer.end(&mut output);
        Ok(output.take_captured())
    }

    /// Recorded from 2.3.19.
    #[test]
    fn long_values_come_in_pieces() {
        let rows: [(&str, &[u8]); 2] = [("1", b"a: b\n"), ("2", b"")];
        assert_eq!(stream(Format::Flow, &rows).unwrap(), "u uid=1 text=a: b\n\nu uid=2 text=\n");
        assert_eq!(stream(Format::Pager, &rows).unwrap(), "u\nuid: 1\ntext:\na: b\n\x0c\nu\nuid: 2\ntext:\n");
        assert_eq!(
            stream(Format::Json, &[("1", b"a\xff\n")]).unwrap(),
            "[{\"username\":\"u\",\"uid\":\"1\",\"text\":\"a\u{fffd}\\n\"}]"
        );
        assert_eq!(stream(Format::Table, &rows), Err(MultiLine));
        assert!(stream(Format::Table, &rows[1..]).unwrap().starts_with("Username uid text"));
    }

    #[test]
    fn tables_shrink_to_fit() {
        let columns = ["name", "pid", "available_count"].map(column);
        let long = "x".repeat(70);
        let table = print(Format::Table, true, &columns, &[&[&long, "1", "2"], &["é", "1", "2"]]);
        let first = table.lines().nth(1).unwrap();
        assert!(first.starts_with('é') && first.chars().count() <= 80, "{table}");
    }

    #[test]
    fn the_others_look_as_in_2_3() {
        assert_eq!(
            print(Format::Flow, false, &who(), &ROWS[..1]),
            "username=user1@example.com #=1 proto=imap (pids)=(8414) (ips)=(127.0.0.1)\n"
        );
        assert_eq!(
            print(Format::Tab, false, &who(), &ROWS[..1]),
            "username\t#\tproto\t(pids)\t(ips)\nuser1@example.com\t1\timap\t(8414)\t(127.0.0.1)\n"
        );
        assert_eq!(print(Format::Tab, true, &who(), &[]), "");
        assert_eq!(
            print(Format::Pager, false, &who()[..2], &[&ROWS[0][..2], &ROWS[1][..2]]),
            "username: user1@example.com\n#: 1\n\x0c\nusername: user3@example.com\n#: 1\n"
        );
        assert_eq!(print(Format::Json, false, &who(), &[]), "[]");
        assert_eq!(
            print(Format::Json, false, &who()[..2], &[&["a\"\\\n\u{1}é\u{2028}", "1"], &["b", "2"]]),
            "[{\"username\":\"a\\\"\\\\\\n\\u0001é\\u2028\",\"connections\":\"1\"},\
             {\"username\":\"b\",\"connections\":\"2\"}]"
        );
        assert_eq!(
            print(Format::Formatted("%{ips} %{username}%x\n"), false, &who(), &ROWS[..1]),
            "(127.0.0.1) user1@example.com%x\n"
        );
    }
}
