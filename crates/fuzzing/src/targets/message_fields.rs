//! Header fields one by one: addresses, dates, subjects, encoded words, parameters, HTML.

use message::address::{self, Missing};
use message::rfc822::Cursor;

pub(crate) fn run(data: &[u8]) {
    let mut out = Vec::new();
    for missing in [Missing::Named, Missing::Empty] {
        address::write(&mut out, &address::parse(data, missing));
        let _ = address::first(data, missing);
    }
    let _ = address::parse_path(data);
    if let Some(date) = message::date::parse(data) {
        let _ = date.local_secs();
    }
    let _ = message::subject::base(data);
    let _ = message::message_id::all(data).count();
    let text = message::encoded_word::decode(data);
    let _ = message::snippet::snippet(&message::html2text::html2text(&text), 100);
    let _ = message::params::parse(&mut Cursor::new(data));
    for charset in ["utf-7", "utf-16", "iso-2022-jp", "gb18030", "x-none"] {
        let _ = message::charset::to_utf8(charset.as_bytes(), data);
    }
    for encoding in ["base64", "quoted-printable", "x-uuencode"] {
        let mut decoder =
            message::transfer::Decoder::new(message::transfer::Encoding::of(Some(encoding.as_bytes())));
        decoder.push(data, &mut out);
        decoder.finish(&mut out);
    }
}
