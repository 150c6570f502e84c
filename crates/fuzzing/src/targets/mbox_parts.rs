//! What an mbox is made of: From lines, headers with flags and UIDs, where messages end.

use jiff::tz::TimeZone;
use storage::mbox::header::{self, Header};
use storage::mbox::md5::HeaderMd5;
use storage::mbox::save::SaveFilter;
use storage::mbox::scan::Scan;
use storage::mbox::{from_line, records::MboxHeader};

pub(crate) fn run(data: &[u8]) {
    let _ = from_line::parse(data, &TimeZone::UTC);
    let _ = Header::parse(data);
    let _ = header::content_length(data);
    assert!(header::visible(data).len() <= data.len() + 2);
    let _ = MboxHeader::parse(data);
    let _ = HeaderMd5::Apop3d.of_header(data);
    let mut filter = SaveFilter::new(b"X-UID: 1\n".to_vec(), false, Some(HeaderMd5::All));
    data.chunks(9).for_each(|piece| filter.push(piece));
    let _ = filter.finish();
    let scan = Scan::new(data, TimeZone::UTC);
    let mut at = 0;
    while let Ok(Some(start)) = scan.start(at) {
        let Ok(end) = scan.end(&start) else { break };
        assert!(end.next > at && end.body <= data.len() as u64);
        at = end.next;
    }
}
