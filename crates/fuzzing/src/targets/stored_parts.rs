//! What the cache keeps of a message's structure, and the other values in it.

use index::cache::value;
use message::{Parts, bodystructure};

pub(crate) fn run(data: &[u8]) {
    if let Ok(parts) = Parts::restore(data) {
        let mut out = Vec::new();
        bodystructure::write(&mut out, &parts, true);
        let _ = parts.dump();
        let _ = parts.store();
    }
    let _ = value::Header::decode(data);
    let (one, other) = data.split_at(data.len() / 2);
    let _ = value::join_headers([one, other, data]);
    let _ = value::header_text(data);
    let _ = value::SentDate::decode(data);
    let _ = value::BinaryPart::decode_all(data);
    let _ = value::Snippet::decode(data);
    let _ = value::decode_size(data);
    for name in ["mime.parts", "hdr.subject", "date.sent", "flags", "body.snippet", "binary.parts"] {
        let _ = index::cache::dump::value(name, index::cache::field::FieldType::Variable, data);
    }
}
