//! ENABLE (RFC 5161): names of capabilities, known or not.

use super::super::arg::Arg;
use super::super::error::{ArgsError, INVALID_ARGUMENTS};

pub(super) fn parse(args: &[Arg]) -> Result<Vec<String>, ArgsError> {
    args.iter().map(|arg| arg.atom().map(str::to_ascii_uppercase).ok_or(INVALID_ARGUMENTS)).collect()
}
