//! What of its environment a delivery lets others see.

use std::process::Command;

/// Which variables count.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Environment {
    /// All (`dovecot-lda -k`).
    Kept,
    /// Those that `import_environment` names.
    Only(Vec<String>),
}

impl Default for Environment {
    fn default() -> Self {
        Self::Only(Vec::new())
    }
}

impl Environment {
    /// From `import_environment`: names, or `NAME=value` to set one.
    pub fn imported(setting: &str) -> Self {
        Self::Only(setting.split_whitespace().map(str::to_owned).collect())
    }

    /// The value of a variable, if it counts.
    pub fn get(&self, name: &str) -> Option<String> {
        let Self::Only(words) = self else { return std::env::var(name).ok() };
        words.iter().find_map(|word| match word.split_once('=') {
            Some((known, value)) if known == name => Some(value.to_owned()),
            None if word == name => std::env::var(name).ok(),
            _ => None,
        })
    }

    /// The names of those that count; `None` for all.
    pub fn names(&self) -> Option<Vec<String>> {
        let Self::Only(words) = self else { return None };
        Some(words.iter().map(|word| word.split('=').next().unwrap_or(word).to_owned()).collect())
    }

    /// Gives a program the variables that count.
    pub(crate) fn apply(&self, command: &mut Command) {
        let Some(names) = self.names() else { return };
        command.env_clear();
        for name in names {
            if let Some(value) = self.get(&name) {
                command.env(name, value);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_imported() {
        let some = Environment::imported("NO_SUCH X=1 PATH");
        assert_eq!((some.get("X").as_deref(), some.get("NO_SUCH")), (Some("1"), None));
        assert_eq!((some.get("PATH"), some.get("HOME")), (std::env::var("PATH").ok(), None));
        assert_eq!(Environment::Kept.get("HOME"), std::env::var("HOME").ok());
    }
}
