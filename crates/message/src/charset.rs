//! Charsets to UTF-8, whole or in pieces. `encoding_rs` knows what browsers know; mail also has
//! true ISO-8859-1, DOS code pages, UTF-7, UTF-32 and the seven-bit forms of Korean and Chinese.
//!
//! Nothing fails: bytes that mean nothing in their charset become U+FFFD.

use encoding_rs::{BIG5, EUC_KR, Encoding, GBK, SHIFT_JIS, UTF_8, UTF_16BE, UTF_16LE};
use yore::CodePage;
use yore::code_pages as page;

/// A charset that can be decoded.
#[derive(Clone, Copy)]
pub struct Charset(Kind);

#[derive(Clone, Copy)]
enum Kind {
    Web(&'static Encoding),
    /// UTF-16 whose byte order a mark tells.
    Utf16,
    Latin1,
    Page(&'static (dyn CodePage + Sync)),
    Utf7,
    Utf32 {
        little: bool,
    },
    /// Two-byte characters of this encoding with their high bits taken off, between shifts.
    Shifted(&'static Encoding, Shifts),
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Shifts {
    /// ISO-2022-KR (RFC 1557): SO and SI.
    Control,
    /// HZ (RFC 1843): `~{` and `~}`.
    Tilde,
}

impl Charset {
    /// UTF-8, and what is taken where nothing else is said: ASCII is part of it.
    pub const UTF8: Self = Self(Kind::Web(UTF_8));

    /// The charset of that name, in any case; `None` for one that is not known. A language after a
    /// star (RFC 2231 §5) is passed over.
    pub fn of(name: &[u8]) -> Option<Self> {
        let name = name.split(|&byte| byte == b'*').next().unwrap_or_default();
        let name = name.trim_ascii().to_ascii_lowercase();
        if let Some(&(_, kind)) = NAMES.iter().find(|(known, _)| known.as_bytes() == name) {
            return Some(Self(kind));
        }
        Encoding::for_label_no_replacement(&name).map(|encoding| Self(Kind::Web(encoding)))
    }

    /// Starts to decode.
    pub fn decoder(self) -> Decoder {
        Decoder(match self.0 {
            Kind::Web(encoding) => Inner::Web(encoding.new_decoder_without_bom_handling()),
            Kind::Utf16 => Inner::Web(UTF_16LE.new_decoder()),
            Kind::Latin1 => Inner::Latin1,
            Kind::Page(page) => Inner::Page(page),
            Kind::Utf7 => Inner::Utf7(Utf7::default()),
            Kind::Utf32 { little } => Inner::Utf32 { little, held: Vec::new() },
            Kind::Shifted(encoding, shifts) => Inner::Shifted {
                decoder: encoding.new_decoder_without_bom_handling(),
                shifts,
                shifted: false,
                after: Vec::new(),
            },
        })
    }
}

/// Names that `encoding_rs` does not know or takes for something else.
const NAMES: &[(&str, Kind)] = &[
    ("us-ascii", Kind::Web(UTF_8)),
    ("ascii", Kind::Web(UTF_8)),
    ("ansi_x3.4-1968", Kind::Web(UTF_8)),
    ("iso-8859-1", Kind::Latin1),
    ("iso8859-1", Kind::Latin1),
    ("iso_8859-1", Kind::Latin1),
    ("latin1", Kind::Latin1),
    ("l1", Kind::Latin1),
    ("utf-16", Kind::Utf16),
    ("utf16", Kind::Utf16),
    ("ucs-2", Kind::Utf16),
    ("iso-10646-ucs-2", Kind::Utf16),
    ("utf-16le", Kind::Web(UTF_16LE)),
    ("utf-16be", Kind::Web(UTF_16BE)),
    ("utf-32", Kind::Utf32 { little: false }),
    ("utf-32be", Kind::Utf32 { little: false }),
    ("ucs-4", Kind::Utf32 { little: false }),
    ("utf-32le", Kind::Utf32 { little: true }),
    ("utf-7", Kind::Utf7),
    ("unicode-1-1-utf-7", Kind::Utf7),
    ("cp932", Kind::Web(SHIFT_JIS)),
    ("cp936", Kind::Web(GBK)),
    ("cp949", Kind::Web(EUC_KR)),
    ("uhc", Kind::Web(EUC_KR)),
    ("cp950", Kind::Web(BIG5)),
    ("iso-2022-kr", Kind::Shifted(EUC_KR, Shifts::Control)),
    ("hz-gb-2312", Kind::Shifted(GBK, Shifts::Tilde)),
    ("hz", Kind::Shifted(GBK, Shifts::Tilde)),
    ("cp437", Kind::Page(&page::CP437)),
    ("ibm437", Kind::Page(&page::CP437)),
    ("cp737", Kind::Page(&page::CP737)),
    ("cp850", Kind::Page(&page::CP850)),
    ("ibm850", Kind::Page(&page::CP850)),
    ("cp852", Kind::Page(&page::CP852)),
    ("ibm852", Kind::Page(&page::CP852)),
    ("cp855", Kind::Page(&page::CP855)),
    ("ibm855", Kind::Page(&page::CP855)),
    ("cp857", Kind::Page(&page::CP857)),
    ("ibm857", Kind::Page(&page::CP857)),
    ("cp860", Kind::Page(&page::CP860)),
    ("cp861", Kind::Page(&page::CP861)),
    ("cp862", Kind::Page(&page::CP862)),
    ("ibm862", Kind::Page(&page::CP862)),
    ("cp863", Kind::Page(&page::CP863)),
    ("cp864", Kind::Page(&page::CP864)),
    ("cp865", Kind::Page(&page::CP865)),
    ("cp869", Kind::Page(&page::CP869)),
];

/// Decodes text that comes in pieces; characters may lie across them.
pub struct Decoder(Inner);

enum Inner {
    Web(encoding_rs::Decoder),
    Latin1,
    Page(&'static (dyn CodePage + Sync)),
    Utf7(Utf7),
    Utf32 { little: bool, held: Vec<u8> },
    Shifted { decoder: encoding_rs::Decoder, shifts: Shifts, shifted: bool, after: Vec<u8> },
}

impl Decoder {
    /// Appends what `data` decodes to.
    pub fn push(&mut self, data: &[u8], out: &mut String) {
        self.step(data, out, false);
    }

    /// Ends the text: half a character becomes U+FFFD.
    pub fn finish(mut self, out: &mut String) {
        self.step(b"", out, true);
    }

    fn step(&mut self, data: &[u8], out: &mut String, last: bool) {
        match &mut self.0 {
            Inner::Web(decoder) => web(decoder, data, out, last),
            Inner::Latin1 => out.push_str(&encoding_rs::mem::decode_latin1(data)),
            Inner::Page(page) => out.push_str(&page.decode_lossy(data)),
            Inner::Utf7(utf7) => utf7.push(data, out),
            Inner::Utf32 { little, held } => {
                held.extend_from_slice(data);
                utf32(held, *little, out);
                if last && !held.is_empty() {
                    out.push(char::REPLACEMENT_CHARACTER);
                }
            }
            Inner::Shifted { decoder, shifts, shifted, after } => {
                let plain = unshift(data, *shifts, shifted, after);
                web(decoder, &plain, out, last);
            }
        }
    }
}

fn web(decoder: &mut encoding_rs::Decoder, data: &[u8], out: &mut String, last: bool) {
    let mut rest = data;
    loop {
        let room = decoder.max_utf8_buffer_length(rest.len()).unwrap_or(rest.len());
        out.reserve(room.max(16));
        let (result, read, _) = decoder.decode_to_string(rest, out, last);
        rest = rest.get(read..).unwrap_or_default();
        if result == encoding_rs::CoderResult::InputEmpty {
            return;
        }
    }
}

fn utf32(held: &mut Vec<u8>, little: bool, out: &mut String) {
    let (units, rest) = held.as_chunks::<4>();
    for unit in units {
        let value = if little { u32::from_le_bytes(*unit) } else { u32::from_be_bytes(*unit) };
        // A byte order mark is no text.
        if value != 0xfeff {
            out.push(char::from_u32(value).unwrap_or(char::REPLACEMENT_CHARACTER));
        }
    }
    *held = rest.to_vec();
}

/// Takes the shifts out and sets the high bits between them.
fn unshift(data: &[u8], shifts: Shifts, shifted: &mut bool, after: &mut Vec<u8>) -> Vec<u8> {
    let mut plain = Vec::with_capacity(data.len());
    for &byte in data {
        if after.as_slice() == b"~" {
            after.clear();
            match byte {
                b'{' => *shifted = true,
                b'}' => *shifted = false,
                b'~' => plain.push(b'~'),
                b'\n' => {}
                byte => plain.extend_from_slice(&[b'~', byte]),
            }
            continue;
        }
        match (shifts, byte) {
            // ESC $ ) C announces the charset of the whole text.
            (Shifts::Control, 0x1b | b'$' | b')' | b'C') if announces(after, byte) => {}
            (Shifts::Control, 0x0e) => *shifted = true,
            (Shifts::Control, 0x0f) => *shifted = false,
            (Shifts::Tilde, b'~') => after.push(byte),
            (_, b'\n') => {
                *shifted = false;
                plain.push(byte);
            }
            (_, 0x21..=0x7e) if *shifted => plain.push(byte | 0x80),
            (_, byte) => plain.push(byte),
        }
    }
    plain
}

fn announces(after: &mut Vec<u8>, byte: u8) -> bool {
    const ANNOUNCEMENT: [u8; 4] = [0x1b, b'$', b')', b'C'];
    if ANNOUNCEMENT.get(after.len()) != Some(&byte) {
        after.clear();
        return false;
    }
    after.push(byte);
    if after.len() == ANNOUNCEMENT.len() {
        after.clear();
    }
    true
}

/// UTF-7 (RFC 2152).
#[derive(Default)]
struct Utf7 {
    /// In base64, with nothing of it read yet.
    opened: bool,
    shifted: bool,
    bits: u32,
    count: u32,
    high: Option<u16>,
}

impl Utf7 {
    fn push(&mut self, data: &[u8], out: &mut String) {
        for &byte in data {
            if !self.shifted {
                match byte {
                    b'+' => *self = Self { opened: true, shifted: true, ..Self::default() },
                    byte if byte.is_ascii() => out.push(char::from(byte)),
                    _ => out.push(char::REPLACEMENT_CHARACTER),
                }
                continue;
            }
            match crate::transfer::sextet(byte) {
                Some(value) => self.take_bits(value, out),
                None => self.close(byte, out),
            }
            self.opened = false;
        }
    }

    fn take_bits(&mut self, value: u32, out: &mut String) {
        self.bits = self.bits << 6 | value;
        self.count += 6;
        if self.count < 16 {
            return;
        }
        self.count -= 16;
        let [low, high, ..] = (self.bits >> self.count).to_le_bytes();
        let unit = u16::from_le_bytes([low, high]);
        self.bits &= (1 << self.count) - 1;
        match (self.high.take(), unit) {
            (None, 0xd800..=0xdbff) => self.high = Some(unit),
            (Some(high), unit) => out.extend(lossy(&[high, unit])),
            (None, unit) => out.extend(lossy(&[unit])),
        }
    }

    fn close(&mut self, byte: u8, out: &mut String) {
        if self.high.take().is_some() {
            out.push(char::REPLACEMENT_CHARACTER);
        }
        match byte {
            b'-' if self.opened => out.push('+'),
            b'-' => {}
            byte if byte.is_ascii() => out.push(char::from(byte)),
            _ => out.push(char::REPLACEMENT_CHARACTER),
        }
        self.shifted = false;
    }
}

fn lossy(units: &[u16]) -> impl Iterator<Item = char> + '_ {
    char::decode_utf16(units.iter().copied()).map(|unit| unit.unwrap_or(char::REPLACEMENT_CHARACTER))
}

/// `value` as text; `None` if the charset is not known.
pub fn decode(charset: &[u8], value: &[u8]) -> Option<String> {
    let mut decoder = Charset::of(charset)?.decoder();
    let mut out = String::with_capacity(value.len());
    decoder.push(value, &mut out);
    decoder.finish(&mut out);
    Some(out)
}

/// `value` as text. An unknown charset is taken for UTF-8, of which ASCII at least comes out right.
pub fn to_utf8(charset: &[u8], value: &[u8]) -> String {
    decode(charset, value).unwrap_or_else(|| String::from_utf8_lossy(value).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(charset: &str, bytes: &[u8], want: &str) {
        assert_eq!(decode(charset.as_bytes(), bytes).as_deref(), Some(want), "{charset}");
        let mut out = String::new();
        let mut decoder = Charset::of(charset.as_bytes()).unwrap().decoder();
        for byte in bytes {
            decoder.push(&[*byte], &mut out);
        }
        decoder.finish(&mut out);
        assert_eq!(out, want, "{charset}, byte by byte");
    }

    #[test]
    fn charsets_of_mail() {
        check("UTF-8", "Grüße".as_bytes(), "Grüße");
        check("us-ascii", b"a\xc3\xbc", "aü");
        check("ISO-8859-1", b"Gr\xfc\xdfe \x80", "Grüße \u{80}");
        check("windows-1252", b"\x80", "€");
        check("iso-8859-15*de", b"\xa4", "€");
        check("koi8-r", b"\xf0\xd2\xc9", "При");
        check("iso-2022-jp", b"\x1b$BF|K\\\x1b(B!", "日本!");
        check("shift_jis", b"\x93\xfa\x96{", "日本");
        check("gb2312", b"\xc4\xe3\xba\xc3", "你好");
        check("big5", b"\xa7A\xa6n", "你好");
        check("euc-kr", b"\xc7\xd1", "한");
        check("utf-16", b"\xfe\xff\x00a\x20\xac", "a€");
        check("utf-16be", b"\x00a\x20\xac", "a€");
    }

    #[test]
    fn charsets_of_mail_only() {
        check("cp437", b"\x81\xe1", "üß");
        check("cp850", b"\x81\x9c", "ü£");
        check("utf-7", b"Hi Mom +Jjo-!+-x +2D3eAA-", "Hi Mom ☺!+x 😀");
        check("utf-32", b"\x00\x00\xfe\xff\x00\x01\xf6\x00", "😀");
        check("utf-32le", b"\xac\x20\x00\x00", "€");
        check("iso-2022-kr", b"\x1b$)C\x0eGQ\x0f ok", "한 ok");
        check("hz-gb-2312", b"~{Dc:C~} ~~", "你好 ~");
    }

    #[test]
    fn what_makes_no_sense() {
        assert_eq!(decode(b"x-nonsense", b"a"), None);
        assert_eq!(to_utf8(b"x-nonsense", b"a\xff"), "a\u{fffd}");
        check("utf-8", b"a\xe2\x82", "a\u{fffd}");
        check("utf-32", b"\x00\x00", "\u{fffd}");
        check("utf-7", b"+2D0-\xff", "\u{fffd}\u{fffd}");
    }
}
