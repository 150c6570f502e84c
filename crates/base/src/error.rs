//! Prints an error with all its causes, which is what the log wants; clients get a line of their
//! own from the one function per protocol that maps errors.

use std::error::Error;
use std::fmt;

/// Displays `error` and every source below it, joined with `: `.
pub fn chain<'a>(error: &'a (dyn Error + 'static)) -> impl fmt::Display + 'a {
    Chain(error)
}

struct Chain<'a>(&'a (dyn Error + 'static));

impl fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)?;
        let mut source = self.0.source();
        while let Some(error) = source {
            write!(f, ": {error}")?;
            source = error.source();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("open({0}) failed")]
    struct Open(&'static str, #[source] std::io::Error);

    #[test]
    fn prints_each_cause_once() {
        let error = Open("/x", std::io::Error::from_raw_os_error(2));
        assert_eq!(chain(&error).to_string(), "open(/x) failed: No such file or directory (os error 2)");
    }
}
