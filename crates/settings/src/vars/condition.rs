//! `%{if;left;operator;right;then;else}`.

use super::{Run, VarError};
use crate::glob;

impl Run<'_> {
    pub(super) fn condition(&mut self, key: &str) -> Result<String, VarError> {
        let invalid = |why: String| VarError::Invalid(format!("if: {why}"));
        let Some((_, text)) = key.split_once(';') else { return Err(invalid("missing parameter(s)".into())) };
        let mut parameters = split(text);
        match parameters.len() {
            5 => {}
            4 => parameters.push(String::new()),
            other => return Err(invalid(format!("requires four or five parameters, got {other}"))),
        }
        let mut values = Vec::with_capacity(5);
        for parameter in &parameters {
            values.push(self.part(parameter)?);
        }
        let [left, operator, right, then, otherwise] = values.try_into().map_err(|_| VarError::TooLarge)?;
        let holds = compare(&left, &operator, &right).map_err(invalid)?;
        Ok(if holds { then } else { otherwise })
    }
}

/// Splits at semicolons outside of inner variables, up to the first colon there. A backslash
/// makes the next character plain.
fn split(text: &str) -> Vec<String> {
    let mut parts = Vec::new();
    let mut part = String::new();
    let (mut depth, mut escaped, mut after_percent) = (0usize, false, false);
    for c in text.chars() {
        match c {
            '\\' => {
                escaped = true;
                continue;
            }
            _ if escaped => escaped = false,
            '%' => after_percent = true,
            '{' if after_percent => {
                depth += 1;
                after_percent = false;
            }
            '}' if depth > 0 => depth -= 1,
            ';' if depth == 0 => {
                parts.push(std::mem::take(&mut part));
                continue;
            }
            ':' if depth == 0 => break,
            _ => {}
        }
        part.push(c);
    }
    if !part.is_empty() {
        parts.push(part);
    }
    parts
}

fn compare(left: &str, operator: &str, right: &str) -> Result<bool, String> {
    if matches!(operator, "==" | "<" | "<=" | ">" | ">=" | "!=") {
        let number = |text: &str, side: &str| {
            text.parse::<i64>().map_err(|_| format!("{text} ({side}) is not a number"))
        };
        let order = number(left, "lhs")?.cmp(&number(right, "rhs")?);
        return Ok(match operator {
            "==" => order.is_eq(),
            "<" => order.is_lt(),
            "<=" => order.is_le(),
            ">" => order.is_gt(),
            ">=" => order.is_ge(),
            _ => order.is_ne(),
        });
    }
    Ok(match operator {
        "eq" => left == right,
        "lt" => left < right,
        "le" => left <= right,
        "gt" => left > right,
        "ge" => left >= right,
        "ne" => left != right,
        "*" => is_like(left, right),
        "!*" => !is_like(left, right),
        "~" => is_match(left, right)?,
        "!~" => !is_match(left, right)?,
        _ => return Err(format!("Unsupported comparator '{operator}'")),
    })
}

/// `*` and `?` only; nothing else is special.
fn is_like(text: &str, pattern: &str) -> bool {
    let plain: String = pattern
        .chars()
        .flat_map(|c| matches!(c, '[' | '\\').then_some('\\').into_iter().chain([c]))
        .collect();
    glob::matches(&plain, text)
}

fn is_match(text: &str, pattern: &str) -> Result<bool, String> {
    let compiled = regex_lite::Regex::new(pattern).map_err(|error| format!("regex failed: {error}"))?;
    Ok(compiled.is_match(text))
}
