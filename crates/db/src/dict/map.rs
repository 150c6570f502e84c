//! Patterns of keys, by which SQL tables and LDAP directories become dictionaries: `shared/x/$class/$id`
//! stands for all keys of that form, and each variable for a column or an attribute.

use settings::ext::Item;

/// A pattern without the names of its variables.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Pattern(Vec<Part>);

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Part {
    Text(String),
    Variable,
}

/// How a path that is looked through fits to the beginning of a pattern.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Begun {
    /// Values of the pattern's first variables.
    pub(super) values: Vec<String>,
    /// How much of the path is the beginning of all keys below it.
    pub(super) path_bytes: usize,
    /// What follows that in these keys.
    pub(super) rest: Vec<Part>,
}

/// How far a path goes through a pattern.
struct Walk {
    values: Vec<String>,
    /// Where the path ends.
    end: End,
}

enum End {
    /// With the pattern.
    Whole,
    /// In the last variable of the pattern, which began here and takes all that is left.
    Last(usize),
    /// Before this rest of the pattern; whether a `/` stands before it.
    Before(Vec<Part>, bool),
}

impl Pattern {
    /// Takes a pattern apart; gives the names of its variables too.
    pub(super) fn parse(text: &str) -> (Self, Vec<&str>) {
        let (mut parts, mut names) = (Vec::new(), Vec::new());
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('$') {
            if !before.is_empty() {
                parts.push(Part::Text(before.to_owned()));
            }
            parts.push(Part::Variable);
            let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
            let (name, after) = match after.strip_prefix('{') {
                Some(braced) => braced.split_once('}').unwrap_or(("", "")),
                None => after.split_at(after.find(|c| !is_name(c)).unwrap_or(after.len())),
            };
            names.push(name);
            rest = after;
        }
        if !rest.is_empty() {
            parts.push(Part::Text(rest.to_owned()));
        }
        (Self(parts), names)
    }

    /// The values of all variables if the path has this form.
    pub(super) fn values(&self, path: &str) -> Option<Vec<String>> {
        let walk = self.walk(path)?;
        match walk.end {
            End::Before(rest, _) if !rest.is_empty() => None,
            _ => Some(walk.values),
        }
    }

    /// Whether the path is above keys of this form: right above, or anywhere with `recurse`.
    pub(super) fn begins(&self, path: &str, recurse: bool) -> Option<Begun> {
        let Walk { mut values, end } = self.walk(path)?;
        match end {
            End::Whole => Some(Begun { values, path_bytes: path.len(), rest: Vec::new() }),
            End::Last(path_bytes) => {
                if let Some(last) = values.last_mut() {
                    last.truncate(last.strip_suffix('/').map_or(last.len(), str::len));
                }
                Some(Begun { values, path_bytes, rest: vec![Part::Variable] })
            }
            End::Before(rest, follows_slash) => {
                let has_slash = |part: &Part| matches!(part, Part::Text(text) if text.contains('/'));
                let is_right_below = rest.first() == Some(&Part::Variable)
                    && !rest.iter().any(has_slash)
                    && rest.iter().filter(|part| **part == Part::Variable).count() == 1;
                let fits = follows_slash && (recurse || is_right_below);
                fits.then_some(Begun { values, path_bytes: path.len(), rest })
            }
        }
    }

    fn walk(&self, path: &str) -> Option<Walk> {
        let (mut values, mut at) = (Vec::new(), 0);
        let mut follows_slash = true;
        for (number, part) in self.0.iter().enumerate() {
            let left = path.get(at..)?;
            let rest = || self.0.get(number + 1..).unwrap_or_default().to_vec();
            match part {
                _ if left.is_empty() => {
                    let rest = self.0.get(number..).unwrap_or_default().to_vec();
                    return Some(Walk { values, end: End::Before(rest, follows_slash) });
                }
                Part::Text(text) if left.starts_with(text) => {
                    at += text.len();
                    follows_slash = text.ends_with('/');
                }
                Part::Text(text) => {
                    let ahead = text.strip_prefix(left)?;
                    let rest = [Part::Text(ahead.to_owned())].into_iter().chain(rest()).collect();
                    return Some(Walk { values, end: End::Before(rest, left.ends_with('/')) });
                }
                Part::Variable if number + 1 == self.0.len() => {
                    values.push(left.to_owned());
                    return Some(Walk { values, end: End::Last(at) });
                }
                Part::Variable => match left.find('/') {
                    Some(length) => {
                        values.push(left.get(..length)?.to_owned());
                        at += length;
                        follows_slash = false;
                    }
                    None => {
                        values.push(left.to_owned());
                        return Some(Walk { values, end: past_slash(rest()) });
                    }
                },
            }
        }
        (at == path.len()).then_some(Walk { values, end: End::Whole })
    }
}

impl std::fmt::Display for Pattern {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.iter().try_for_each(|part| match part {
            Part::Text(text) => f.write_str(text),
            Part::Variable => f.write_str("$"),
        })
    }
}

/// Behind a value a `/` may be left out of the path.
fn past_slash(mut rest: Vec<Part>) -> End {
    let Some(Part::Text(text)) = rest.first_mut() else { return End::Before(rest, false) };
    let Some(after) = text.strip_prefix('/') else { return End::Before(rest, false) };
    match after.to_owned() {
        after if after.is_empty() => drop(rest.remove(0)),
        after => *text = after,
    }
    End::Before(rest, true)
}

/// What stands in `fields {}` for the variables of a pattern, in their order. `what` is what the fields are
/// called in messages.
pub(super) fn assign<T>(names: &[&str], mut fields: Vec<(T, String)>, what: &str) -> Result<Vec<T>, String> {
    let mut assigned = Vec::with_capacity(names.len());
    for name in names {
        let found = fields.iter().position(|(_, variable)| variable == name);
        let at = found.ok_or_else(|| format!("Missing {what} for variable: {name}"))?;
        assigned.push(fields.remove(at).0);
    }
    match fields.first() {
        None => Ok(assigned),
        Some((_, variable)) => Err(format!("Unused variable: {variable}")),
    }
}

/// A message about a line of a file.
pub(super) fn at_line(path: &str, line: u32, text: &str) -> String {
    format!("Error in configuration file {path} line {line}: {text}")
}

/// A `map` section of some kind of dictionary, as far as it is read.
pub(super) trait Draft: Default {
    /// Takes a setting.
    fn set(&mut self, key: &str, value: String) -> Result<(), String>;

    /// Takes a line of the section `fields`.
    fn set_field(&mut self, name: String, value: String) -> Result<(), String>;

    /// Reads the section; errors name the file and the line.
    fn read(path: &str, items: Vec<Item>) -> Result<Self, String> {
        let mut draft = Self::default();
        for item in items {
            match item {
                Item::Value { key, value, line } => {
                    draft.set(&key, value).map_err(|text| at_line(path, line, &text))?;
                }
                Item::Section { kind, items, .. } if kind == "fields" => {
                    for (name, value, line) in values(path, items)? {
                        draft.set_field(name, value).map_err(|text| at_line(path, line, &text))?;
                    }
                }
                Item::Section { kind, line, .. } => {
                    return Err(at_line(path, line, &format!("Unknown section: {kind}")));
                }
            }
        }
        Ok(draft)
    }
}

/// The lines of a section that has no sections in it.
fn values(path: &str, items: Vec<Item>) -> Result<Vec<(String, String, u32)>, String> {
    let value = |item| match item {
        Item::Value { key, value, line } => Ok((key, value, line)),
        Item::Section { kind, line, .. } => Err(at_line(path, line, &format!("Unknown section: {kind}"))),
    };
    items.into_iter().map(value).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn show(rest: &[Part]) -> String {
        rest.iter().map(|part| if let Part::Text(text) = part { text } else { "$" }).collect()
    }

    #[test]
    fn names_are_read() {
        for (text, expect, names) in [
            ("shared/a", "shared/a", &[][..]),
            ("shared/x/$class/${id}", "shared/x/$/$", &["class", "id"]),
            ("priv/$a_1-$b.x", "priv/$-$.x", &["a_1", "b"]),
            ("priv/${a", "priv/$", &[""]),
        ] {
            let (pattern, found) = Pattern::parse(text);
            assert_eq!((show(&pattern.0).as_str(), found.as_slice()), (expect, names));
        }
    }

    #[test]
    fn keys_that_fit() {
        for (pattern, path, expect) in [
            ("shared/a", "shared/a", Some("")),
            ("shared/a", "shared/b", None),
            ("shared/a", "shared/ab", None),
            ("shared/a/$x", "shared/a/b", Some("b")),
            ("shared/a/$x", "shared/a/", None),
            ("shared/a/$x", "shared/a/b/c", Some("b/c")),
            ("shared/$x/$y", "shared/a/b/c", Some("a,b/c")),
            ("shared/$x/$y", "shared/a", None),
            ("shared/$x/b", "shared/a/b", Some("a")),
            ("shared/$x/b", "shared/a/c/b", None),
            ("shared/$x/", "shared/a", Some("a")),
        ] {
            let values = Pattern::parse(pattern).0.values(path).map(|values| values.join(","));
            assert_eq!(values.as_deref(), expect, "{pattern} {path}");
        }
    }

    #[test]
    fn paths_above_keys() {
        for (pattern, path, recurse, expect) in [
            ("shared/$x", "shared/", false, Some(",shared/,$")),
            ("shared/$x", "shared", false, None),
            ("shared/$x/$y", "shared/", false, None),
            ("shared/$x/$y", "shared/", true, Some(",shared/,$/$")),
            ("shared/$x/$y", "shared/a/", false, Some("a,shared/a/,$")),
            ("shared/$x/$y", "shared/a", false, Some("a,shared/a,$")),
            ("shared/$x/$y", "shared/a/b/", true, Some("a b,shared/a/,$")),
            ("shared/$x/y/$z", "shared/a/", false, None),
            ("shared/$x/y/$z", "shared/a/", true, Some("a,shared/a/,y/$")),
            ("shared/x/$y", "shared/", true, Some(",shared/,x/$")),
            ("shared/x/$y", "priv/", true, None),
            ("shared/x", "shared/x", false, Some(",shared/x,")),
        ] {
            let begun = Pattern::parse(pattern).0.begins(path, recurse);
            let begun = begun.map(|begun| {
                format!("{},{},{}", begun.values.join(" "), &path[..begun.path_bytes], show(&begun.rest))
            });
            assert_eq!(begun.as_deref(), expect, "{pattern} {path}");
        }
    }

    #[test]
    fn variables_have_fields() {
        let fields = |text: &str| -> Vec<(String, String)> {
            let pairs = text.split(' ').filter_map(|pair| pair.split_once('='));
            pairs.map(|(field, variable)| (field.to_owned(), variable.to_owned())).collect()
        };
        let assign = |text: &str| assign(&["x", "y"], fields(text), "SQL field");
        assert_eq!(assign("b=y a=x"), Ok(vec!["a".into(), "b".into()]));
        assert_eq!(assign("a=x"), Err("Missing SQL field for variable: y".into()));
        assert_eq!(assign("a=x b=y c=z"), Err("Unused variable: z".into()));
    }
}
