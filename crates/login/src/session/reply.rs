//! What the auth process says about a request (auth client protocol 1.2).

use zeroize::Zeroize;

/// The answer to `AUTH` or `CONT`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum AuthReply {
    /// The client is who it says.
    Ok {
        /// `user=` and what the passdb adds.
        fields: Fields,
    },
    /// A challenge for the client, in base64.
    Continue(String),
    /// It is not, or may not log in.
    Fail {
        /// `user=`, `code=`, `reason=` and the like.
        fields: Fields,
    },
    /// The auth process went away meanwhile.
    Lost,
}

/// Fields of an answer, `name` or `name=value`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Fields(Vec<String>);

impl Fields {
    /// From the unescaped words of a line.
    pub(crate) fn new(words: impl Iterator<Item = String>) -> Self {
        Self(words.collect())
    }

    /// What takes the place of an answer that will not come. 2.3 answers "Authentication failed"
    /// here, on which mail programs ask for a new password; a temporary failure is the truth.
    pub(super) fn lost() -> Self {
        Self(vec!["code=temp_fail".to_owned()])
    }

    /// The value of a field; empty for one without a value.
    pub(crate) fn value(&self, name: &str) -> Option<&str> {
        self.0.iter().find_map(|field| match field.strip_prefix(name)? {
            "" => Some(""),
            rest => rest.strip_prefix('='),
        })
    }

    /// Whether a field is there.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.value(name).is_some()
    }

    /// The fields whose names begin with `prefix`, without it, and their values.
    pub(crate) fn with_prefix(&self, prefix: &str) -> impl Iterator<Item = (String, String)> {
        self.0.iter().filter_map(move |field| {
            let (name, value) = field.strip_prefix(prefix)?.split_once('=')?;
            Some((name.to_owned(), value.to_owned()))
        })
    }

    /// All fields, for `%{passdb:…}` in log lines.
    /// The password for another server is none of its business.
    pub(super) fn into_vec(mut self) -> Vec<String> {
        for field in self.0.iter_mut().filter(|field| field.starts_with("pass=")) {
            field.zeroize();
        }
        self.0.retain(|field| !field.is_empty());
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields() {
        let fields =
            Fields::new(["user=a=b", "nologin", "username=x", "reason="].map(String::from).into_iter());
        assert_eq!(fields.value("user"), Some("a=b"));
        assert_eq!(fields.value("nologin"), Some(""));
        assert_eq!(fields.value("reason"), Some(""));
        assert!(!fields.has("use") && !fields.has("proxy"));
    }
}
