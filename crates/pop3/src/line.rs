//! Command lines: bytes to a command's name and arguments, and arguments to numbers, with 2.3's
//! words for what is wrong with them.

use crate::limits::LINE_BYTES_MAX;

/// What was found at the start of the input.
#[derive(Debug, PartialEq, Eq)]
pub enum Read<'a> {
    /// A line without its end.
    Line(&'a [u8]),
    /// Not a whole line yet.
    More,
    /// More bytes without an end than a line may have.
    TooLong,
}

/// Takes a line off the input. Lines end with LF; a CR before it belongs to the end.
pub fn read<'a>(input: &mut &'a [u8]) -> Read<'a> {
    let start = input.get(..LINE_BYTES_MAX).unwrap_or(input);
    let Some(end) = start.iter().position(|&byte| byte == b'\n') else {
        return if input.len() > LINE_BYTES_MAX { Read::TooLong } else { Read::More };
    };
    let (line, rest) = input.split_at(end);
    *input = rest.get(1..).unwrap_or_default();
    Read::Line(line.strip_suffix(b"\r").unwrap_or(line))
}

/// A line as a command: its name in upper case and its arguments, without spaces before them.
/// A NUL ends the line, as in 2.3.
pub fn split(line: &[u8]) -> (Vec<u8>, &[u8]) {
    let line = line.split(|&byte| byte == 0).next().unwrap_or_default();
    let end = line.iter().position(|&byte| byte == b' ').unwrap_or(line.len());
    let (name, args) = line.split_at(end);
    (name.to_ascii_uppercase(), skip_spaces(args))
}

/// A number at the start of `args` and what follows it.
///
/// # Errors
/// The words that 2.3 has for it, to which the rest of the arguments is appended.
pub fn number<'a>(args: &'a [u8], words: &Words, max: u64) -> Result<(u64, &'a [u8]), Bad<'a>> {
    let digits = args.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let (digits, rest) = args.split_at(digits);
    if digits.is_empty() {
        return Err(Bad { text: words.invalid, args });
    }
    // Digits are ASCII; more of them than a u64 has room for are too large.
    let value = std::str::from_utf8(digits).ok().and_then(|digits| digits.parse::<u64>().ok());
    match value {
        None => Err(Bad { text: words.too_large, args }),
        Some(value) if value > max => Err(Bad { text: words.too_large, args: rest }),
        Some(value) => Ok((value, rest)),
    }
}

/// Checks what follows a number: nothing, or where `more` says so a space and further arguments,
/// which come back without the spaces before them.
///
/// # Errors
/// As [`number`].
pub fn after<'a>(rest: &'a [u8], words: &Words, more: bool) -> Result<&'a [u8], Bad<'a>> {
    match (rest.first(), more) {
        (None, false) | (Some(b' '), true) => Ok(skip_spaces(rest)),
        _ => Err(Bad { text: words.noise, args: rest }),
    }
}

/// 2.3's words about one kind of number.
#[derive(Debug)]
pub struct Words {
    invalid: &'static str,
    too_large: &'static str,
    noise: &'static str,
}

/// About message numbers.
pub const MESSAGE: Words = Words {
    invalid: "Invalid message number",
    too_large: "Message number too large",
    noise: "Noise after message number",
};

/// About the number of lines of TOP.
pub const SIZE: Words =
    Words { invalid: "Invalid size", too_large: "Size too large", noise: "Noise after size" };

/// An argument that makes no sense.
#[derive(Debug, PartialEq, Eq)]
pub struct Bad<'a> {
    /// What is wrong.
    pub text: &'static str,
    /// Where.
    pub args: &'a [u8],
}

fn skip_spaces(args: &[u8]) -> &[u8] {
    let start = args.iter().position(|&byte| byte != b' ').unwrap_or(args.len());
    args.get(start..).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines() {
        let check = |bytes: &[u8], expected: Read<'_>, left: usize| {
            let mut input = bytes;
            assert_eq!(read(&mut input), expected, "{bytes:?}");
            assert_eq!(input.len(), left, "{bytes:?}");
        };
        check(b"", Read::More, 0);
        check(b"NOOP", Read::More, 4);
        check(b"NOOP\r\nQ", Read::Line(b"NOOP"), 1);
        check(b"a\rb\n", Read::Line(b"a\rb"), 0);
        check(&[b'x'; 2048], Read::More, 2048);
        check(&[b'x'; 2049], Read::TooLong, 2049);
        let mut longest = vec![b'x'; 2047];
        longest.push(b'\n');
        check(&longest, Read::Line(&[b'x'; 2047]), 0);
        longest.insert(0, b'x');
        check(&longest, Read::TooLong, 2049);
    }

    #[test]
    fn commands() {
        let check = |line: &[u8], name: &[u8], args: &[u8]| {
            assert_eq!(split(line), (name.to_vec(), args), "{line:?}");
        };
        check(b"", b"", b"");
        check(b"quit", b"QUIT", b"");
        check(b"Top  1 2 ", b"TOP", b"1 2 ");
        check(b" quit", b"", b"quit");
        check(b"li\0st", b"LI", b"");
        check(b"d\xe9le 1", b"D\xe9LE", b"1");
    }

    /// The number and what follows, or the error's text and what it is about.
    type Parsed<'a> = Result<(u64, &'a [u8]), (&'a str, &'a [u8])>;

    #[test]
    fn numbers() {
        let check = |args: &[u8], more: bool, expected: Parsed<'_>| {
            let found = number(args, &MESSAGE, u64::from(u32::MAX))
                .and_then(|(value, rest)| Ok((value, after(rest, &MESSAGE, more)?)))
                .map_err(|bad| (bad.text, bad.args));
            assert_eq!(found, expected, "{args:?}");
        };
        check(b"12", false, Ok((12, b"")));
        check(b"1  2", true, Ok((1, b"2")));
        check(b"", false, Err(("Invalid message number", b"")));
        check(b"-1", false, Err(("Invalid message number", b"-1")));
        check(b"1 ", false, Err(("Noise after message number", b" ")));
        check(b"1", true, Err(("Noise after message number", b"")));
        check(b"4294967296 x", false, Err(("Message number too large", b" x")));
        check(b"99999999999999999999 x", false, Err(("Message number too large", b"99999999999999999999 x")));
    }
}
