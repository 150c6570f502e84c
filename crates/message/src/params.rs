//! Parameters of MIME fields (RFC 2045 §5.1), with values that were cut into pieces (RFC 2231)
//! joined again, as Dovecot 2.3 shows them in BODYSTRUCTURE; and their decoding.

use crate::charset;
use crate::limits::PARAMETERS_MAX;
use crate::rfc822::Cursor;

/// A parameter. The name ends in `*` if the value is still encoded in RFC 2231's way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Param {
    /// The name as written.
    pub name: Vec<u8>,
    /// The value, unquoted.
    pub value: Vec<u8>,
}

/// The value of the first parameter with this name, in any case of letters.
pub fn find<'a>(params: &'a [Param], name: &[u8]) -> Option<&'a [u8]> {
    params.iter().find(|param| param.name.eq_ignore_ascii_case(name)).map(|param| param.value.as_slice())
}

/// The value of a parameter as text, RFC 2231 decoding applied where it was used.
pub fn find_text(params: &[Param], name: &[u8]) -> Option<String> {
    let extended = [name, b"*"].concat();
    if let Some(value) = find(params, &extended) {
        return Some(decode_extended(value));
    }
    find(params, name).map(crate::encoded_word::decode)
}

/// Decodes `charset'language'percent-encoded` (RFC 2231 §4).
fn decode_extended(value: &[u8]) -> String {
    let mut pieces = value.splitn(3, |&byte| byte == b'\'');
    let (charset, _language, text) = match (pieces.next(), pieces.next(), pieces.next()) {
        (Some(charset), Some(language), Some(text)) => (charset, language, text),
        _ => (&b""[..], &b""[..], value),
    };
    charset::to_utf8(charset, &percent_decoded(text))
}

fn percent_decoded(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let [first, tail @ ..] = rest {
        rest = tail;
        let hex = |byte: u8| (byte as char).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
        match (first, tail) {
            (b'%', [high, low, after @ ..]) => match (hex(*high), hex(*low)) {
                (Some(high), Some(low)) => {
                    out.push(high << 4 | low);
                    rest = after;
                }
                _ => out.push(b'%'),
            },
            _ => out.push(*first),
        }
    }
    out
}

/// A piece of a value: `name*index` or `name*index*`.
struct Piece {
    key: Vec<u8>,
    index: u32,
    extended: bool,
    value: Vec<u8>,
}

/// Reads all parameters from the cursor on. What does not fit is stepped over.
pub fn parse(cursor: &mut Cursor<'_>) -> Vec<Param> {
    let mut replacing = cursor.clone().replacing_nul();
    let (mut plain, mut pieces) = (Vec::new(), Vec::new());
    while plain.len() + pieces.len() < PARAMETERS_MAX {
        match replacing.parameter() {
            None => break,
            Some(Err(_)) if replacing.peek().is_none() => break,
            Some(Err(_)) => replacing.bump(),
            Some(Ok((name, value))) => match split_piece(&name) {
                Some((key, index, extended)) => pieces.push(Piece { key, index, extended, value }),
                None => plain.push(Param { name, value }),
            },
        }
    }
    cursor.rewind(replacing.pos());
    join(pieces, &mut plain);
    plain
}

/// Takes `name*`, `name*1`, `name*1*` apart; anything else after the star is an ordinary name.
fn split_piece(name: &[u8]) -> Option<(Vec<u8>, u32, bool)> {
    let star = memchr::memchr(b'*', name)?;
    let (key, tail) = name.split_at(star);
    let tail = tail.get(1..).unwrap_or_default();
    if tail.is_empty() {
        return Some((key.to_vec(), 0, true));
    }
    let digits = tail.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let (number, rest) = tail.split_at(digits);
    let index = number
        .iter()
        .fold(0u32, |sum, digit| sum.wrapping_mul(10).wrapping_add(u32::from(digit.wrapping_sub(b'0'))));
    match rest {
        b"" => Some((key.to_vec(), index, false)),
        b"*" => Some((key.to_vec(), index, true)),
        _ => None,
    }
}

/// Joins the pieces of each name. Where a piece is missing they are given as they came.
fn join(mut pieces: Vec<Piece>, out: &mut Vec<Param>) {
    pieces.sort_by(|a, b| a.key.cmp(&b.key).then(a.index.cmp(&b.index)));
    for run in pieces.chunk_by(|a, b| a.key.eq_ignore_ascii_case(&b.key)) {
        let complete = run.iter().zip(0..).all(|(piece, index)| piece.index == index);
        if complete {
            out.extend(joined(run));
        } else {
            out.extend(run.iter().map(|piece| Param { name: renamed(piece), value: piece.value.clone() }));
        }
    }
}

fn renamed(piece: &Piece) -> Vec<u8> {
    let star = if piece.extended { "*" } else { "" };
    [piece.key.as_slice(), format!("*{}{star}", piece.index).as_bytes()].concat()
}

fn joined(run: &[Piece]) -> Option<Param> {
    let first = run.first()?;
    let any_extended = run.iter().any(|piece| piece.extended);
    let mut value = Vec::new();
    if any_extended && !first.extended {
        value.extend_from_slice(b"''");
    }
    for piece in run {
        if any_extended && !piece.extended {
            for &byte in &piece.value {
                match byte {
                    b'%' => value.extend_from_slice(b"%25"),
                    byte => value.push(byte),
                }
            }
        } else {
            value.extend_from_slice(&piece.value);
        }
    }
    let star: &[u8] = if any_extended { b"*" } else { b"" };
    Some(Param { name: [first.key.as_slice(), star].concat(), value })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(input: &str, want: &[(&str, &str)]) {
        let params = parse(&mut Cursor::new(input.as_bytes()));
        let got: Vec<_> = params
            .iter()
            .map(|param| {
                (
                    String::from_utf8_lossy(&param.name).into_owned(),
                    String::from_utf8_lossy(&param.value).into_owned(),
                )
            })
            .collect();
        let want: Vec<_> = want.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect();
        assert_eq!(got, want, "{input:?}");
    }

    #[test]
    fn shapes() {
        check("; a=b; C=\"d e\"", &[("a", "b"), ("C", "d e")]);
        check("; a=; b = c ;d", &[("a", ""), ("b", "c")]);
        check("; name==?utf-8?b?eHg=?= ; x=y", &[("name", "=?utf-8?b?eHg=?="), ("x", "y")]);
        check("; n*1=b; n*0=a", &[("n", "ab")]);
        check("; n*0*=u'en'a%20; n*1=\"50%\"", &[("n*", "u'en'a%2050%25")]);
        check("; n*1=b; n*2*=a", &[("n*1", "b"), ("n*2*", "a")]);
        check("; n*x=b", &[("n*x", "b")]);
    }

    #[test]
    fn text() {
        let params =
            parse(&mut Cursor::new(b"; filename*=iso-8859-1'de'Gr%FC%DFe.txt; x==?utf-8?q?=C3=BC?="));
        assert_eq!(find_text(&params, b"filename").as_deref(), Some("Grüße.txt"));
        assert_eq!(find_text(&params, b"X").as_deref(), Some("ü"));
        assert_eq!(find_text(&params, b"y"), None);
    }
}
