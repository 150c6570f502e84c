//! Patterns of LIST (RFC 3501 §6.3.8): `*` matches anything, `%` anything within a level.

/// Whether a mailbox name fits a pattern of LIST.
pub fn fits(name: &str, pattern: &str, separator: char) -> bool {
    Pattern::new(pattern, separator).matches(name)
}

/// One pattern.
pub struct Pattern<'a> {
    text: &'a str,
    separator: char,
}

impl<'a> Pattern<'a> {
    /// A pattern for names with this separator.
    pub fn new(text: &'a str, separator: char) -> Self {
        Self { text, separator }
    }

    /// Whether it has a `%`.
    pub fn has_percent(&self) -> bool {
        self.text.contains('%')
    }

    /// Whether a name fits. INBOX, also as the first level, is compared without regard to case.
    pub fn matches(&self, name: &str) -> bool {
        let first = name.split(self.separator).next().unwrap_or_default();
        let text: Vec<char> = self.text.chars().collect();
        let name: Vec<char> = name.chars().collect();
        let folded = if first == "INBOX" { 5 } else { 0 };
        self.run(&text, &name, folded)
    }

    /// Steps through all ways at once, so that no pattern takes more than quadratic time.
    fn run(&self, text: &[char], name: &[char], folded: usize) -> bool {
        let mut open = vec![false; text.len() + 1];
        open[0] = true;
        spread(text, &mut open);
        for (at, &c) in name.iter().enumerate() {
            let mut next = vec![false; text.len() + 1];
            for (state, &wanted) in text.iter().enumerate().filter(|&(state, _)| open[state]) {
                match wanted {
                    '*' => next[state] = true,
                    '%' => next[state] |= c != self.separator,
                    wanted if at < folded && wanted.eq_ignore_ascii_case(&c) => next[state + 1] = true,
                    wanted => next[state + 1] |= wanted == c,
                }
            }
            spread(text, &mut next);
            open = next;
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
        check("%/%", &["a/b"], &["a", "a/b/c"]);
        check("a*c", &["ac", "a/b/c"], &["ab", "aca"]);
        check("inbox", &["INBOX"], &["inboxes"]);
        check("InBox/x", &["INBOX/x"], &["INBOX/X"]);
        check("%%%%%%%%%%%%%%%%%%%%%%%%b", &["b", "aab"], &["aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaac"]);
    }
}
