//! A message as text: header fields with their encoded words decoded, bodies with their transfer
//! encoding and charset taken off. Search is made of it; whatever else reads text can be.

use crate::charset::{self, Charset};
use crate::encoded_word;
use crate::header::Field;
use crate::params;
use crate::parse::Sink;
use crate::part::{PartFlags, PartId};
use crate::part_data::PartData;
use crate::transfer;

/// Sees a message's text go by.
pub trait TextSink {
    /// A header field of `part`: its name and its value on one line, decoded.
    fn field(&mut self, part: PartId, name: &str, value: &str) {
        let _ = (part, name, value);
    }

    /// The next piece of the body of `part`. Only bodies that are text are shown.
    fn text(&mut self, part: PartId, text: &str);

    /// What comes next has nothing to do with what came before: another header or body begins.
    fn cut(&mut self) {}

    /// True ends the reading early.
    fn is_done(&self) -> bool {
        false
    }
}

/// Turns what the parser sees into text for a [`TextSink`].
pub struct Decoded<S> {
    sink: S,
    with_headers: bool,
    part: PartId,
    data: PartData,
    body: Option<Body>,
    bytes: Vec<u8>,
    text: String,
}

/// The body being decoded.
struct Body {
    transfer: transfer::Decoder,
    charset: charset::Decoder,
}

impl<S: TextSink> Decoded<S> {
    /// Shows bodies, and header fields too if `with_headers`, those of inner parts included.
    pub fn new(sink: S, with_headers: bool) -> Self {
        Self {
            sink,
            with_headers,
            part: PartId::ROOT,
            data: PartData::default(),
            body: None,
            bytes: Vec::new(),
            text: String::new(),
        }
    }

    /// Gives the sink back. To be called after the message has ended.
    pub fn into_inner(mut self) -> S {
        self.end_body();
        self.sink
    }

    fn turn_to(&mut self, part: PartId) {
        if part != self.part {
            self.end_body();
            self.sink.cut();
            self.part = part;
            self.data = PartData::default();
        }
    }

    fn begin_body(&self) -> Option<Body> {
        let is_text = match self.data.content_type.as_deref() {
            None => true,
            Some(kind) => kind.eq_ignore_ascii_case(b"text") || kind.eq_ignore_ascii_case(b"message"),
        };
        let encoding = transfer::Encoding::of(self.data.transfer_encoding.as_deref());
        let charset = params::find_text(&self.data.type_params, b"charset").unwrap_or_default();
        let charset = Charset::of(charset.as_bytes()).unwrap_or(Charset::UTF8);
        is_text.then(|| Body { transfer: transfer::Decoder::new(encoding), charset: charset.decoder() })
    }

    fn show(&mut self) {
        if !self.text.is_empty() {
            self.sink.text(self.part, &self.text);
            self.text.clear();
        }
    }

    fn end_body(&mut self) {
        let Some(mut body) = self.body.take() else { return };
        self.bytes.clear();
        body.transfer.finish(&mut self.bytes);
        body.charset.push(&self.bytes, &mut self.text);
        body.charset.finish(&mut self.text);
        self.show();
    }
}

impl<S: TextSink> Sink for Decoded<S> {
    fn field(&mut self, part: PartId, field: &Field<'_>) {
        self.turn_to(part);
        self.data.take(field);
        if self.with_headers {
            let name = String::from_utf8_lossy(field.name);
            self.sink.field(part, &name, &encoded_word::decode(&field.value_oneline()));
        }
    }

    fn header_end(&mut self, part: PartId, _flags: PartFlags) {
        self.turn_to(part);
        self.sink.cut();
        self.body = self.begin_body();
    }

    fn body(&mut self, part: PartId, data: &[u8]) {
        self.turn_to(part);
        let Some(body) = &mut self.body else { return };
        self.bytes.clear();
        body.transfer.push(data, &mut self.bytes);
        body.charset.push(&self.bytes, &mut self.text);
        self.show();
    }

    fn is_done(&self) -> bool {
        self.sink.is_done()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Options, Parser};
    use std::fmt::Write;

    #[derive(Default)]
    struct Log(String);

    impl TextSink for Log {
        fn field(&mut self, part: PartId, name: &str, value: &str) {
            writeln!(self.0, "{} {name}={value}", part.index()).unwrap();
        }

        fn text(&mut self, part: PartId, text: &str) {
            write!(self.0, "<{}:{text}>", part.index()).unwrap();
        }
    }

    fn check(message: &str, want: &str) {
        for piece in [1, 10, 10_000] {
            let mut parser = Parser::new(Options::default(), Decoded::new(Log::default(), true));
            message.as_bytes().chunks(piece).for_each(|piece| parser.push(piece));
            let log = parser.finish().1.into_inner().0;
            // Where pieces end does not matter.
            let joined = (0..9).fold(log, |log, part| log.replace(&format!("><{part}:"), ""));
            assert_eq!(joined, want, "pieces of {piece}");
        }
    }

    #[test]
    fn bodies() {
        check("Subject: =?utf-8?q?=C3=BC?=\n\nplain ü\n", "0 Subject=ü\n<0:plain ü\n>");
        check(
            "Content-Type: text/plain; charset=iso-8859-1\nContent-Transfer-Encoding: quoted-printable\n\n\
             Gr=FC=\n=DFe",
            "0 Content-Type=text/plain; charset=iso-8859-1\n0 Content-Transfer-Encoding=quoted-printable\n\
             <0:Grüße>",
        );
        check(
            "Content-Type: multipart/mixed; boundary=x\n\npreamble\n--x\nContent-Transfer-Encoding: base64\n\n\
             aGVs\nbG8=\n--x\nContent-Type: image/png\n\npng\n--x\nContent-Type: message/rfc822\n\n\
             A: b\n\ninner\n--x--\nepilogue",
            "0 Content-Type=multipart/mixed; boundary=x\n1 Content-Transfer-Encoding=base64\n<1:hello>\
             2 Content-Type=image/png\n3 Content-Type=message/rfc822\n4 A=b\n<4:inner>",
        );
        check("Content-Transfer-Encoding: x-odd\n\nabc", "0 Content-Transfer-Encoding=x-odd\n");
    }
}
