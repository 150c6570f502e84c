//! Queries with `%` variables, turned into statements with bound parameters, so that no value can
//! ever become SQL. 2.3 pastes escaped values instead; the templates are the same.
//!
//! A variable within quotes becomes a parameter together with the rest of the quoted text
//! (`'%n@%d'` is one parameter). A variable that stands alone is a parameter too. One that is part
//! of a name (`users_%d`) is pasted, if its value is made of letters, digits and `_` only.

use super::{Driver, Value};

/// A query with places for values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueryTemplate {
    text: String,
    driver: Driver,
    parts: Vec<Part>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    /// Goes into the query as it is.
    Sql(String),
    /// Expanded, then bound.
    Bound(String),
    /// Expanded, then pasted into a name.
    Name(String),
}

/// A query and its parameters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statement {
    /// The query with `?` (PostgreSQL: `$1`, `$2` …) for each parameter.
    pub sql: String,
    /// The parameters in order.
    pub parameters: Vec<Value>,
    shown: String,
}

impl Statement {
    /// A query without parameters.
    pub fn plain(sql: impl Into<String>) -> Self {
        Self::bound(sql.into(), Vec::new())
    }

    /// A query that has the places of its parameters already; the log shows it without their values.
    pub fn bound(sql: String, parameters: Vec<Value>) -> Self {
        Self { shown: sql.clone(), sql, parameters }
    }

    /// The query with its values in place, for the log only.
    pub fn shown(&self) -> &str {
        &self.shown
    }
}

/// Why a template cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    /// A quoted text without an end.
    #[error("Unterminated {0} in query")]
    Unterminated(char),
    /// A variable's value would have to be part of a name, and cannot.
    #[error("Value of {0} can't be used as a part of a name in the query")]
    NotAName(String),
    /// The variable does not exist.
    #[error("{0}")]
    Variable(String),
}

impl QueryTemplate {
    /// Takes a query apart.
    ///
    /// # Errors
    /// A quoted text without an end.
    pub fn parse(text: &str, driver: Driver) -> Result<Self, TemplateError> {
        let mut parts = Parts::default();
        let mut rest = text;
        while let Some(c) = rest.chars().next() {
            rest = match c {
                '\'' | '"' => parts.quoted(rest, c, driver)?,
                '%' => parts.variable(rest),
                _ => {
                    parts.sql.push(c);
                    &rest[c.len_utf8()..]
                }
            };
        }
        parts.flush();
        Ok(Self { text: text.to_owned(), driver, parts: parts.done })
    }

    /// The query as it was written.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Fills in the values. `expand` expands a piece of text with variables.
    ///
    /// # Errors
    /// What `expand` says, and values that cannot be part of a name.
    pub fn bind(
        &self,
        mut expand: impl FnMut(&str) -> Result<String, String>,
    ) -> Result<Statement, TemplateError> {
        let mut statement = Statement { sql: String::new(), parameters: Vec::new(), shown: String::new() };
        for part in &self.parts {
            match part {
                Part::Sql(text) => {
                    statement.sql.push_str(text);
                    statement.shown.push_str(text);
                }
                Part::Bound(template) => {
                    let value = expand(template).map_err(TemplateError::Variable)?;
                    match self.driver {
                        Driver::Pgsql => {
                            statement.sql.push_str(&format!("${}", statement.parameters.len() + 1));
                        }
                        Driver::Mysql | Driver::Sqlite => statement.sql.push('?'),
                    }
                    statement.shown.push_str(&format!("'{}'", value.replace('\'', "''")));
                    statement.parameters.push(Value::Text(value));
                }
                Part::Name(template) => {
                    let value = expand(template).map_err(TemplateError::Variable)?;
                    if !value.chars().all(is_name) {
                        return Err(TemplateError::NotAName(template.clone()));
                    }
                    statement.sql.push_str(&value);
                    statement.shown.push_str(&value);
                }
            }
        }
        Ok(statement)
    }
}

#[derive(Default)]
struct Parts {
    done: Vec<Part>,
    sql: String,
}

impl Parts {
    fn flush(&mut self) {
        if !self.sql.is_empty() {
            self.done.push(Part::Sql(std::mem::take(&mut self.sql)));
        }
    }

    /// Takes a quoted text off the front of `rest`.
    fn quoted<'t>(&mut self, rest: &'t str, quote: char, driver: Driver) -> Result<&'t str, TemplateError> {
        let inner = &rest[1..];
        let (mut content, mut variables) = (String::new(), false);
        // PostgreSQL's `E'it\'s'`, and its names in double quotes.
        let is_escape_string = driver == Driver::Pgsql && quote == '\'' && ends_in_word_e(&self.sql);
        let is_identifier = driver == Driver::Pgsql && quote == '"';
        let has_escapes = driver == Driver::Mysql || is_escape_string;
        let mut chars = inner.char_indices().peekable();
        while let Some((at, c)) = chars.next() {
            if c == quote {
                if chars.next_if(|(_, next)| *next == quote).is_none() {
                    let after = &inner[at + 1..];
                    if variables && is_identifier {
                        self.sql.push(quote);
                        self.flush();
                        self.done.push(Part::Name(content));
                        self.sql.push(quote);
                    } else if variables {
                        if is_escape_string {
                            self.sql.pop();
                        }
                        self.flush();
                        self.done.push(Part::Bound(content));
                    } else {
                        self.sql.push_str(&rest[..rest.len() - after.len()]);
                    }
                    return Ok(after);
                }
            } else if c == '\\' && has_escapes {
                // An escape: the next character stands for itself, apart from a few.
                if let Some((_, next)) = chars.next() {
                    content.push(match next {
                        'n' => '\n',
                        't' => '\t',
                        'r' => '\r',
                        other => other,
                    });
                }
                continue;
            }
            variables |= c == '%';
            content.push(c);
        }
        Err(TemplateError::Unterminated(quote))
    }

    /// Takes a variable off the front of `rest`.
    fn variable<'t>(&mut self, rest: &'t str) -> &'t str {
        let (variable, after) = rest.split_at(variable_len(rest));
        if variable == "%%" {
            self.sql.push('%');
            return after;
        }
        let in_name = |c: Option<char>| c.is_some_and(|c| is_name(c) || c == '`' || c == '%');
        let named_before = in_name(self.sql.chars().next_back())
            || (self.sql.is_empty() && matches!(self.done.last(), Some(Part::Name(_))));
        let part = if named_before || in_name(after.chars().next()) {
            Part::Name(variable.to_owned())
        } else {
            Part::Bound(variable.to_owned())
        };
        self.flush();
        self.done.push(part);
        after
    }
}

/// Whether `sql` ends in an `E` that is a word of its own.
fn ends_in_word_e(sql: &str) -> bool {
    let mut chars = sql.chars().rev();
    chars.next().is_some_and(|c| c.eq_ignore_ascii_case(&'e')) && !chars.next().is_some_and(is_name)
}

fn is_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

/// How long the variable at the start of `text` is, in bytes: `%`, width, modifiers, and a letter
/// or something in braces.
fn variable_len(text: &str) -> usize {
    let shape =
        text[1..].bytes().take_while(|byte| byte.is_ascii_digit() || b".-LUEXRHNMDT".contains(byte)).count();
    let at = 1 + shape;
    let Some(first) = text[at..].chars().next() else { return text.len() };
    if first != '{' {
        return at + first.len_utf8();
    }
    let mut depth = 0_usize;
    for (offset, c) in text[at..].char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 1 => return at + offset + 1,
            '}' => depth -= 1,
            _ => {}
        }
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `%u` is a hostile name, `%n` a harmless one.
    fn expand(template: &str) -> Result<String, String> {
        match template {
            text if text.contains("%x") => Err("Unknown variable '%x'".into()),
            text => {
                Ok(text.replace("%u", "a' OR '1'='1").replace("%Ln", "tim").replace("%{domain}", "x.org"))
            }
        }
    }

    fn check(driver: Driver, query: &str, expect: Result<(&str, &[&str]), &str>) {
        let result = QueryTemplate::parse(query, driver).and_then(|template| template.bind(expand));
        let result = result.map(|statement| (statement.sql, statement.parameters));
        let expect = expect.map(|(sql, parameters)| {
            (sql.to_owned(), parameters.iter().map(|&text| Value::Text(text.to_owned())).collect::<Vec<_>>())
        });
        assert_eq!(result.map_err(|error| error.to_string()), expect.map_err(str::to_owned), "{query}");
    }

    #[test]
    fn values_never_become_sql() {
        let hostile = "a' OR '1'='1";
        check(Driver::Sqlite, "SELECT 1", Ok(("SELECT 1", &[])));
        check(Driver::Sqlite, "WHERE u = '%u'", Ok(("WHERE u = ?", &[hostile])));
        check(Driver::Sqlite, "WHERE u = %u AND n = '%Ln'", Ok(("WHERE u = ? AND n = ?", &[hostile, "tim"])));
        check(Driver::Mysql, "WHERE u = \"%Ln@%{domain}\"", Ok(("WHERE u = ?", &["tim@x.org"])));
        check(Driver::Mysql, "'it\\'s' '%Ln\\''", Ok(("'it\\'s' ?", &["tim'"])));
        check(Driver::Sqlite, "'it''s' 'o''%Ln'", Ok(("'it''s' ?", &["o'tim"])));
        check(Driver::Pgsql, "u = '%u' AND n = '%Ln'", Ok(("u = $1 AND n = $2", &[hostile, "tim"])));
        check(Driver::Pgsql, "u = E'it\\'s %Ln' '\\'", Ok(("u = $1 '\\'", &["it's tim"])));
        check(Driver::Pgsql, "FROM \"users_%Ln\" u", Ok(("FROM \"users_tim\" u", &[])));
        check(Driver::Sqlite, "FROM users_%Ln", Ok(("FROM users_tim", &[])));
        check(
            Driver::Sqlite,
            "FROM users_%u",
            Err("Value of %u can't be used as a part of a name in the query"),
        );
        check(Driver::Sqlite, "1 %% 2", Ok(("1 % 2", &[])));
        check(Driver::Sqlite, "'x", Err("Unterminated ' in query"));
        check(Driver::Sqlite, "'%x'", Err("Unknown variable '%x'"));
    }

    #[test]
    fn the_log_shows_values() {
        let template = QueryTemplate::parse("WHERE u = '%u'", Driver::Sqlite).unwrap();
        assert_eq!(template.bind(expand).unwrap().shown(), "WHERE u = 'a'' OR ''1''=''1'");
    }
}
