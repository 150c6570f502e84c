//! Prints an error with all its causes, which is what the log wants; clients get a line of their
//! own from the one function per protocol that maps errors.

use std::error::Error;
use std::fmt;

/// Displays `error` and every source below it, joined with `: `; what the system says as [`reason`] has it.
pub fn chain<'a>(error: &'a (dyn Error + 'static)) -> impl fmt::Display + 'a {
    Chain(error)
}

/// What the system says about `error`, as the C library words it: `No such file or directory`,
/// without the number that Rust adds.
pub fn reason(error: &std::io::Error) -> String {
    let text = error.to_string();
    match error.raw_os_error() {
        Some(number) => text.trim_end_matches(&format!(" (os error {number})")).to_owned(),
        None => text,
    }
}

struct Chain<'a>(&'a (dyn Error + 'static));

impl fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)?;
        let mut source = self.0.source();
        while let Some(error) = source {
            match error.downcast_ref::<std::io::Error>() {
                Some(error) => write!(f, ": {}", reason(error))?,
                None => write!(f, ": {error}")?,
            }
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
        assert_eq!(chain(&error).to_string(), "open(/x) failed: No such file or directory");
    }

    #[test]
    fn reasons_have_no_numbers() {
        assert_eq!(reason(&std::io::Error::from_raw_os_error(2)), "No such file or directory");
        assert_eq!(reason(&std::io::Error::other("x")), "x");
    }
}
