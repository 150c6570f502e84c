//! Text as it is compared in searches: without regard to case and to how accents are put together,
//! much as i;unicode-casemap (RFC 5051) and Dovecot's own normal form.

use unicode_normalization::char::decompose_compatible;

/// Appends `text` in upper case and decomposed. Folding pieces one by one gives the same as folding
/// them together.
pub fn fold(text: &str, out: &mut Vec<u8>) {
    let mut rest = text;
    while !rest.is_empty() {
        let ascii = rest.bytes().take_while(u8::is_ascii).count();
        let (plain, others) = rest.split_at(ascii);
        let start = out.len();
        out.extend_from_slice(plain.as_bytes());
        out.get_mut(start..).unwrap_or_default().make_ascii_uppercase();
        let end = others.bytes().position(|byte| byte.is_ascii()).unwrap_or(others.len());
        let (wide, after) = others.split_at(end);
        wide.chars().for_each(|character| fold_char(character, out));
        rest = after;
    }
}

fn fold_char(character: char, out: &mut Vec<u8>) {
    // Upper case may hide in what a ligature is made of, too.
    decompose_compatible(simple_upper(character), |piece| {
        let mut buffer = [0; 4];
        out.extend_from_slice(simple_upper(piece).encode_utf8(&mut buffer).as_bytes());
    });
}

/// The upper case if it is one character: `ß` stays, as in Dovecot.
fn simple_upper(character: char) -> char {
    let mut upper = character.to_uppercase();
    match (upper.next(), upper.next()) {
        (Some(single), None) => single,
        _ => character,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(a: &str, b: &str) {
        let folded = |text| {
            let mut out = Vec::new();
            fold(text, &mut out);
            String::from_utf8(out).unwrap()
        };
        assert_eq!(folded(a), folded(b), "{a:?} {b:?}");
    }

    #[test]
    fn same_in_searches() {
        check("Hello wörld", "HELLO WÖRLD");
        check("café", "cafe\u{301}");
        check("ПРИВЕТ", "привет");
        check("σς", "ΣΣ");
        check("ﬁx", "FIX");
        check("ｆｕｌｌ", "full");
        check("한", "\u{1112}\u{1161}\u{11ab}");
        check("ß", "ß");
    }
}
