//! Messages: structure, sections, search, and what is kept of it in caches.

use message::search::{Needle, Scope, in_message};
use message::section::{Resolved, Section, resolve};
use message::{Options, Parser, Parts, bodystructure, envelope};

pub(crate) fn run(data: &[u8]) {
    let Some((&choice, data)) = data.split_first() else { return };
    let parts = message::parse(data, Options { envelope: true });
    // In pieces it is the same message.
    let mut parser = Parser::new(Options { envelope: true }, ());
    data.chunks(usize::from(choice) + 1).for_each(|piece| parser.push(piece));
    let (again, ()) = parser.finish();
    let shown = structure(&parts);
    assert_eq!(structure(&again), shown);
    let restored = Parts::restore(&parts.store()).expect("what we wrote");
    // Headers have no count of lines there.
    assert_eq!(restored.size().physical, parts.size().physical);
    assert_eq!(restored.size().virtual_, parts.size().virtual_);
    for spec in ["", "TEXT", "HEADER", "1", "1.1", "1.1.MIME", "2.HEADER", "2.1", "1.2.TEXT"] {
        let Ok(section) = Section::parse(spec.as_bytes(), None) else { continue };
        if let Resolved::Bytes(span) = resolve(&parts, &section) {
            assert!(span.start + span.size.physical <= data.len() as u64, "{spec}");
        }
    }
    for needle in ["one", "\u{e4}", "=?"] {
        let _ = in_message(data, &Needle::new(needle), Scope::Text);
        let _ = in_message(data, &Needle::new(needle), Scope::Body);
    }
}

fn structure(parts: &Parts) -> Vec<u8> {
    let mut out = Vec::new();
    bodystructure::write(&mut out, parts, true);
    bodystructure::write(&mut out, parts, false);
    if let Some(found) = parts.envelope() {
        envelope::write(&mut out, found);
    }
    out
}
