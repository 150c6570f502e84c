//! What is in an index file or a log, told as it is: for `doveadm dump`. Nothing is mended or applied.

use crate::header::{HEADER_SIZE_MIN, Header, RECORD_SIZE, number};
use crate::log::LogHeader;
use crate::log::header::LOG_HEADER_SIZE_MIN;
use crate::log::record::{Next, RawRecord};
use crate::map::{ExtHeader, keyword_names};

/// An extension as an index file has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Extension<'a> {
    /// Its name.
    pub name: &'a [u8],
    /// Where its description begins in the file.
    pub offset: usize,
    /// Where its header begins in the file.
    pub header_offset: usize,
    /// Its header.
    pub header: &'a [u8],
    /// See [`crate::view::Column::reset_id`].
    pub reset_id: u32,
    /// Where it is in each message's record.
    pub record_offset: u16,
    /// Bytes for each message.
    pub record_size: u16,
    /// Their alignment.
    pub record_align: u16,
}

impl<'a> Extension<'a> {
    /// What it holds for the message with this record.
    pub fn of(&self, record: &'a [u8]) -> &'a [u8] {
        let start = usize::from(self.record_offset);
        record.get(start..start + usize::from(self.record_size)).unwrap_or_default()
    }
}

/// An index file.
#[derive(Clone, Debug)]
pub struct IndexFile<'a> {
    /// The base header.
    pub header: Header,
    /// The extensions in their order, up to the first that cannot be told from what follows.
    pub extensions: Vec<Extension<'a>>,
    /// The keywords, or none where their header is damaged.
    pub keywords: Vec<String>,
    records: &'a [u8],
}

impl<'a> IndexFile<'a> {
    /// Reads a file; the reason if it is no index.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, String> {
        let header = Header::parse(bytes);
        if bytes.len() < HEADER_SIZE_MIN || (header.record_size as usize) < RECORD_SIZE {
            return Err(format!("File too small ({})", bytes.len()));
        }
        let end = header.header_size as usize;
        let (Some(head), Some(records)) = (bytes.get(..end), bytes.get(end..)) else {
            return Err(format!("Header size is larger than file ({end} > {})", bytes.len()));
        };
        let mut extensions = Vec::new();
        let mut offset = usize::from(header.base_header_size).next_multiple_of(8);
        while let Some(extension) = extension_at(head, offset) {
            offset = (extension.header_offset + extension.header.len()).next_multiple_of(8);
            extensions.push(extension);
        }
        let keywords = extensions.iter().find(|extension| extension.name == b"keywords");
        let keywords = keywords.map(|extension| keyword_names(extension.header)).unwrap_or_default();
        Ok(Self { header, extensions, keywords, records })
    }

    /// The records: UID, flags, and the whole for [`Extension::of`].
    pub fn records(&self) -> impl Iterator<Item = (u32, u8, &'a [u8])> + 'a {
        let records = self.records.chunks_exact((self.header.record_size as usize).max(RECORD_SIZE));
        records
            .take(self.header.messages_count as usize)
            .filter_map(|record| Some((number(record, 0)?, *record.get(4)?, record)))
    }
}

fn extension_at(head: &[u8], offset: usize) -> Option<Extension<'_>> {
    let found = ExtHeader::parse(head.get(offset..)?)?;
    let name_at = offset + 16;
    let name = head.get(name_at..name_at + usize::from(found.name_size))?;
    let header_offset = (name_at + name.len()).next_multiple_of(8);
    Some(Extension {
        name,
        offset,
        header_offset,
        header: head.get(header_offset..header_offset.checked_add(found.hdr_size as usize)?)?,
        reset_id: found.reset_id,
        record_offset: found.record_offset,
        record_size: found.record_size,
        record_align: found.record_align,
    })
}

/// A log file.
#[derive(Clone, Debug)]
pub struct LogRecords<'a> {
    /// Its header.
    pub header: LogHeader,
    bytes: &'a [u8],
    offset: u64,
    modseq: u64,
    ended: bool,
}

/// A record, and the highest modification sequence before and after it.
pub type LogRecord<'a> = (RawRecord<'a>, u64, u64);

impl<'a> LogRecords<'a> {
    /// Begins to read a file; the reason if it is no log.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, String> {
        let header = LogHeader::parse(bytes);
        if bytes.len() < LOG_HEADER_SIZE_MIN || usize::from(header.hdr_size) < LOG_HEADER_SIZE_MIN {
            return Err("unexpected end of file while reading header".to_owned());
        }
        let (offset, modseq) = (header.hdr_size.into(), header.initial_modseq);
        Ok(Self { header, bytes, offset, modseq, ended: false })
    }
}

impl<'a> Iterator for LogRecords<'a> {
    type Item = Result<LogRecord<'a>, String>;

    /// The next record. What is not complete at the end is left out; what is no record gives a reason,
    /// and nothing after it.
    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        match RawRecord::at(self.bytes, 0, self.offset) {
            Next::Record(record) => {
                let before = self.modseq;
                record.advance_modseq(&mut self.modseq, self.header.version());
                self.offset = record.end();
                Some(Ok((record, before, self.modseq)))
            }
            Next::End => None,
            Next::Corrupt(reason) => {
                self.ended = true;
                Some(Err(reason))
            }
        }
    }
}
