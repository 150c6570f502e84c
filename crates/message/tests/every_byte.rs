//! A [`Sink`] sees every byte of a message once and in order, however it is cut into pieces.

use message::{Options, Parser, PartId, Sink};

#[derive(Default)]
struct All {
    bytes: Vec<u8>,
    bodies: Vec<(PartId, Vec<u8>)>,
}

impl Sink for All {
    fn body(&mut self, part: PartId, data: &[u8]) {
        self.bytes.extend_from_slice(data);
        match self.bodies.last_mut() {
            Some((last, bytes)) if *last == part => bytes.extend_from_slice(data),
            _ => self.bodies.push((part, data.to_vec())),
        }
    }

    fn other(&mut self, data: &[u8]) {
        self.bytes.extend_from_slice(data);
    }
}

fn check(message: &str, bodies: &[&str]) {
    for piece in 1..=message.len().max(1) {
        let mut parser = Parser::new(Options::default(), All::default());
        message.as_bytes().chunks(piece).for_each(|piece| parser.push(piece));
        let (_, all) = parser.finish();
        assert_eq!(String::from_utf8_lossy(&all.bytes), message, "pieces of {piece}");
        let found: Vec<_> = all.bodies.iter().map(|(_, bytes)| String::from_utf8_lossy(bytes)).collect();
        assert_eq!(found, bodies, "pieces of {piece}");
    }
}

#[test]
fn every_byte_once() {
    check("", &[]);
    check("Subject: x", &[]);
    check("Subject: x\r\n\r\nbody\r\nmore", &["body\r\nmore"]);
    check(
        "Content-Type: multipart/mixed; boundary=b\n\npreamble\n--b\n\none\n\n--b\r\nX: y\r\n\r\ntwo\r\n--b--\nend\n",
        &["one\n", "two"],
    );
    check("Content-Type: multipart/mixed; boundary=b\n\n--b\nA: b\n--b\n\n--b-- x\n--b\n", &[]);
    check(
        "Content-Type: message/rfc822\n\nContent-Type: multipart/x; boundary=c\n\n--c\n\n-\n--\n--d\n--c\n\nlast",
        &["-\n--\n--d", "last"],
    );
}
