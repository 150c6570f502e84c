//! A dbox file of either kind: headers, messages, metadata; and mending what is broken.

use storage::dbox::file::DboxFile;
use storage::dbox::header::{self, FileHeader};
use storage::dbox::mend::{Mend, mend};
use storage::dbox::metadata::Metadata;
use storage::dbox::records::{MailboxHeader, MapHeader, MapRecord, MdboxRecord};

pub(crate) fn run(data: &[u8]) {
    let _ = FileHeader::parse(data);
    let _ = header::parse_message(data);
    let _ = (
        MailboxHeader::parse(data),
        MdboxRecord::parse(data),
        MapHeader::parse(data),
        MapRecord::parse(data),
    );
    let lines = data.split(|&byte| byte == b'\n').map(<[u8]>::to_vec).collect();
    let metadata = Metadata::new(lines, 0);
    let _ = (metadata.guid(), metadata.received(), metadata.virtual_size(), metadata.pop3_order());
    walk(data);
    let mut mended = Vec::new();
    let all = Mend { source: data, good: None, now: 1_800_000_000, new_guid: &mut || "0".repeat(32) };
    if let Ok(count) = mend(all, &mut mended) {
        assert!(walk(&mended) >= count as usize, "what was mended is whole");
    }
}

fn walk(data: &[u8]) -> usize {
    let Ok(file) = DboxFile::open(data) else { return 0 };
    let mut count = 0;
    for message in file.messages() {
        let Ok((message, _)) = message else { break };
        let _ = file.metadata(&message);
        count += 1;
    }
    let _ = file.is_sound_from(0);
    count
}
