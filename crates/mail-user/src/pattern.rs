//! Patterns of LIST (RFC 3501 §6.3.8): `*` matches anything, `%` anything within a level.

/// Whether a mailbox name fits a pattern of LIST.
pub fn fits(name: &str, pattern: &str, separator: char) -> bool {
    Pattern::new(pattern, separator).matches(name)
}

/// One pattern, made for matching many names.
pub struct Pattern<'a> {
    text: &'a str,
    /// What stands before the first wildcard.
    literal: &'a str,
    rest: Vec<char>,
    separator: char,
}

impl<'a> Pattern<'a> {
    /// A pattern for names with this separator.
    pub fn new(text: &'a str, separator: char) -> Self {
        let (literal, rest) = text.split_at(text.find(['*', '%']).unwrap_or(text.len()));
        Self { text, literal, rest: rest.chars().collect(), separator }
    }

    /// Whether it has a `%`.
    pub fn has_percent(&self) -> bool {
        self.text.contains('%')
    }

    /// Whether a name fits. INBOX, also as the first level, is compared without regard to case.
    pub fn matches(&self, name: &str) -> bool {
        let below = name.strip_prefix("INBOX");
        if below.is_some_and(|below| below.is_empty() || below.starts_with(self.separator)) {
            let text: Vec<char> = self.text.chars().collect();
            return self.run(&text, name, "INBOX".len());
        }
        let Some(name) = name.strip_prefix(self.literal) else { return false };
        match *self.rest.as_slice() {
            // What nearly all clients ask for.
            [] => name.is_empty(),
            ['*'] => true,
            ['%'] => !name.contains(self.separator),
            _ => self.run(&self.rest, name, 0),
        }
    }

    /// Steps through all ways at once, so that no pattern takes more than quadratic time.
    fn run(&self, text: &[char], name: &str, folded: usize) -> bool {
        let (mut open, mut next) = (vec![false; text.len() + 1], vec![false; text.len() + 1]);
        open[0] = true;
        spread(text, &mut open);
        for (at, c) in name.chars().enumerate() {
            next.fill(false);
            for (state, &wanted) in text.iter().enumerate().filter(|&(state, _)| open[state]) {
                match wanted {
                    '*' => next[state] = true,
                    '%' => next[state] |= c != self.separator,
                    wanted if at < folded && wanted.eq_ignore_ascii_case(&c) => next[state + 1] = true,
                    wanted => next[state + 1] |= wanted == c,
                }
            }
            spread(text, &mut next);
            std::mem::swap(&mut open, &mut next);
        }
        open[text.len()]
    }
}

/// A wildcard may stand for nothing.
fn spread(text: &[char], open: &mut [bool]) {
    for (state, wanted) in text.iter().enumerate() {
        if open[state] && matches!(wanted, '*' | '%') {
            open[state + 1] = true;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(pattern: &str, matching: &[&str], others: &[&str]) {
        let pattern = Pattern::new(pattern, '/');
        for name in matching {
            assert!(pattern.matches(name), "{} should match {name}", pattern.text);
        }
        for name in others {
            assert!(!pattern.matches(name), "{} should not match {name}", pattern.text);
        }
    }

    #[test]
    fn wildcards() {
        check("*", &["", "a", "a/b"], &[]);
        check("%", &["a", "INBOX"], &["a/b"]);
        check("a/%", &["a/b", "a/"], &["a", "a/b/c"]);
        check("a/*", &["a/b", "a/", "a/b/c"], &["a", "b/a/"]);
        check("a", &["a"], &["ab", "A", ""]);
        check("%a*", &["a", "ba/c"], &["b/a"]);
        check("inbox/%", &["INBOX/x"], &["INBOX", "INBOX/x/y", "inbox"]);
        check("%/%", &["a/b"], &["a", "a/b/c"]);
        check("a*c", &["ac", "a/b/c"], &["ab", "aca"]);
        check("inbox", &["INBOX"], &["inboxes"]);
        check("InBox/x", &["INBOX/x"], &["INBOX/X"]);
        check("%%%%%%%%%%%%%%%%%%%%%%%%b", &["b", "aab"], &["aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaac"]);
    }
}
