//! Files of `key = value` lines beside the configuration: `dovecot-sql.conf.ext`,
//! `dovecot-ldap.conf.ext`, `dovecot-dict-sql.conf.ext`.

use std::path::Path;

use crate::error::Diagnostic;
use crate::files::Files;
use crate::lex::{Lexer, Line};
use crate::limits;

/// A line or section of such a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Item {
    /// `key = value`
    Value {
        /// The key as it was written.
        key: String,
        /// The value without its quotes, `$ENV:NAME` replaced.
        value: String,
        /// The file's line, counted from 1.
        line: u32,
    },
    /// `kind name {`, as in `map {}` of dictionaries.
    Section {
        /// The section's first word.
        kind: String,
        /// Its name, empty if it has none.
        name: String,
        /// What stands in it.
        items: Vec<Item>,
        /// The line where it begins, counted from 1.
        line: u32,
        /// The line where it ends.
        end: u32,
    },
}

/// What a key and its value have to be; what is wrong with them otherwise.
pub type Check<'a> = &'a dyn Fn(&str, &str) -> Result<(), String>;

/// Reads a file without sections, of which each line passes `check`.
///
/// # Errors
/// In 2.3's words: the file cannot be opened, or a line is no setting.
pub fn parse(files: &dyn Files, path: &Path, check: Check<'_>) -> Result<Vec<(String, String)>, Diagnostic> {
    let items = read(files, path, check)?;
    let values = items.into_iter().filter_map(|item| match item {
        Item::Value { key, value, .. } => Some((key, value)),
        // Like 2.3's readers that know no sections: skipped.
        Item::Section { .. } => None,
    });
    Ok(values.collect())
}

/// Reads a file with sections.
///
/// # Errors
/// As [`parse`].
pub fn parse_sections(files: &dyn Files, path: &Path) -> Result<Vec<Item>, Diagnostic> {
    read(files, path, &|_, _| Ok(()))
}

fn read(files: &dyn Files, path: &Path, check: Check<'_>) -> Result<Vec<Item>, Diagnostic> {
    let mut reader = Reader { files, check, open: vec![Open::default()], included: 0 };
    let name = path.to_string_lossy();
    let bytes = files.read(path).map_err(|error| {
        Diagnostic::unreadable(format!(
            "Can't open configuration file {name}: {}",
            base::error::reason(&error)
        ))
    })?;
    reader.file(&name, &bytes, &mut vec![name.to_string()])?;
    while reader.open.len() > 1 {
        reader.close(0);
    }
    Ok(reader.open.pop().map(|section| section.items).unwrap_or_default())
}

struct Reader<'f> {
    files: &'f dyn Files,
    /// For what stands outside of sections.
    check: Check<'f>,
    /// The open sections. The first is the file itself.
    open: Vec<Open>,
    included: usize,
}

#[derive(Default)]
struct Open {
    kind: String,
    name: String,
    items: Vec<Item>,
    line: u32,
}

impl Reader<'_> {
    fn file(&mut self, name: &str, bytes: &[u8], stack: &mut Vec<String>) -> Result<(), Diagnostic> {
        let text = String::from_utf8_lossy(bytes);
        let mut lexer = Lexer::default();
        for (number, raw) in (1u32..).zip(text.lines()) {
            let refuse =
                |message: String| Diagnostic::at_line(&name.into(), number, raw.trim_end().into(), message);
            if raw.len() + lexer.pending_bytes() > limits::LINE_BYTES_MAX {
                return Err(refuse("Line is too long".into()));
            }
            match lexer.read(raw).line {
                Line::Include(pattern, optional) => self.include(name, &pattern, optional, stack, &refuse)?,
                line => self.line(line, number, raw).map_err(refuse)?,
            }
        }
        Ok(())
    }

    fn line(&mut self, line: Line, number: u32, raw: &str) -> Result<(), String> {
        match line {
            Line::Skip | Line::Continue | Line::Include(..) => {}
            Line::Value(key, value) => self.push(key, value, number)?,
            // Here `<` means nothing special, and only the environment is a variable.
            Line::File(key, _) => {
                let value = raw.split_once('=').map_or("", |(_, value)| value.trim());
                self.push(key, value.to_owned(), number)?;
            }
            Line::Variables(key, text) => {
                let value = self.environment(&text);
                self.push(key, value, number)?;
            }
            Line::Begin(kind, name) => {
                if self.open.len() > limits::SECTION_DEPTH_MAX {
                    return Err("Too many sections".into());
                }
                self.open.push(Open { kind, name, items: Vec::new(), line: number });
            }
            Line::End if self.open.len() == 1 => return Err("Unexpected '}'".into()),
            Line::End => self.close(number),
            Line::Error("Expecting '{'") => return Err("Expecting '='".into()),
            Line::Error(message) => return Err(message.into()),
        }
        Ok(())
    }

    fn push(&mut self, key: String, value: String, line: u32) -> Result<(), String> {
        if self.open.len() == 1 {
            (self.check)(&key, &value)?;
        }
        if let Some(Open { items, .. }) = self.open.last_mut() {
            items.push(Item::Value { key, value, line });
        }
        Ok(())
    }

    fn close(&mut self, end: u32) {
        if let Some(Open { kind, name, items, line }) = self.open.pop()
            && let Some(outer) = self.open.last_mut()
        {
            outer.items.push(Item::Section { kind, name, items, line, end });
        }
    }

    fn environment(&self, text: &str) -> String {
        let words = text.split(' ').map(|word| match word.strip_prefix("$ENV:") {
            Some(name) => self.files.env(name).unwrap_or_default(),
            None => word.to_owned(),
        });
        words.collect::<Vec<_>>().join(" ")
    }

    fn include(
        &mut self,
        file: &str,
        pattern: &str,
        optional: bool,
        stack: &mut Vec<String>,
        refuse: &dyn Fn(String) -> Diagnostic,
    ) -> Result<(), Diagnostic> {
        let pattern = match file.rfind('/') {
            Some(slash) if !pattern.starts_with('/') => format!("{}{pattern}", &file[..=slash]),
            _ => pattern.to_owned(),
        };
        let found = self.files.glob(&pattern).map_err(|_| refuse("glob() failed: Read error".into()))?;
        if found.is_empty() && !optional {
            return Err(refuse("No matches".into()));
        }
        for path in found {
            let name = path.to_string_lossy().into_owned();
            self.included += 1;
            if stack.contains(&name) {
                return Err(refuse(format!("Recursive include file: {name}")));
            }
            if stack.len() >= limits::INCLUDE_DEPTH_MAX || self.included > limits::INCLUDES_MAX {
                return Err(refuse("Too many include files".into()));
            }
            match self.files.read(&path) {
                Ok(bytes) => {
                    stack.push(name.clone());
                    self.file(&name, &bytes, stack)?;
                    stack.pop();
                }
                Err(_) if optional => {}
                Err(error) => {
                    let reason = base::error::reason(&error);
                    return Err(refuse(format!("Couldn't open include file {name}: {reason}")));
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::files::MemoryFiles;

    #[test]
    fn sql_file() {
        let text = "driver = mysql\nconnect = \"host=/run/x dbname=mail\" # c\n\
                    password_query = SELECT a, b \\\n  FROM users \\\n  WHERE u = '%u'\nempty =\n!include more.ext\n";
        let mut files = MemoryFiles::one("/etc/sql.ext", text).with("/etc/more.ext", "secret = $ENV:PW x\n");
        files.env.insert("PW".into(), "s".into());
        let pairs = parse(&files, Path::new("/etc/sql.ext"), &|_, _| Ok(())).unwrap();
        let pairs: Vec<_> = pairs.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
        assert_eq!(
            pairs,
            [
                ("driver", "mysql"),
                ("connect", "host=/run/x dbname=mail"),
                ("password_query", "SELECT a, b FROM users WHERE u = '%u'"),
                ("empty", ""),
                ("secret", "s x"),
            ]
        );
    }

    #[test]
    fn sections_and_mistakes() {
        let files = MemoryFiles::one("/d", "map {\n  pattern = a\n  fields {\n    x = $y\n  }\n}\n");
        let items = parse_sections(&files, Path::new("/d")).unwrap();
        assert!(
            matches!(&items[..], [Item::Section { kind, items, line: 1, end: 6, .. }] if kind == "map" && items.len() == 2)
        );
        let check: Check<'_> = &|key, _| match key {
            "colour" => Err("Unknown setting: colour".into()),
            _ => Ok(()),
        };
        for (text, message) in [
            ("what", "Error in configuration file /d line 1: Expecting '='"),
            ("}", "Error in configuration file /d line 1: Unexpected '}'"),
            ("!include /none", "Error in configuration file /d line 1: No matches"),
            ("a = b\n\ncolour=red", "Error in configuration file /d line 3: Unknown setting: colour"),
            ("!include /more", "Error in configuration file /more line 2: Unknown setting: colour"),
        ] {
            let files = MemoryFiles::one("/d", text).with("/more", "a = b\ncolour = red\n");
            assert_eq!(parse(&files, Path::new("/d"), check).unwrap_err().to_string(), message);
        }
        let error = parse(&MemoryFiles::default(), Path::new("/none"), check).unwrap_err();
        assert_eq!(error.to_string(), "Can't open configuration file /none: No such file or directory");
    }
}
