//! One message being shown.

use std::io;
use std::sync::Arc;
use std::time::SystemTime;

use base::Uid;
use message::Parts;
use message::address::{self, Missing};
use message::encoded_word;
use message::header::Fields;
use storage::{Error, Facts, MessageReader, Result, Wanted};

use super::fields::{Date, Field};
use super::{section, text};
use crate::context::{Failure, Outcome, status};
use crate::localtime;
use crate::mail::Job;
use crate::mail::found::Found;

/// A message with what has been read of it.
pub(super) struct Message<'a> {
    found: &'a mut Found,
    uid: Uid,
    username: &'a str,
    parts: Option<Arc<Parts>>,
    header: Option<Arc<[u8]>>,
}

/// Why a field cannot be shown.
pub(super) enum Trouble {
    Storage(Error),
    /// The rest of a stream could not be read.
    Read(io::Error),
    /// The command ends.
    End(Failure),
}

impl From<Error> for Trouble {
    fn from(error: Error) -> Self {
        Self::Storage(error)
    }
}

impl From<io::Error> for Trouble {
    fn from(error: io::Error) -> Self {
        Self::Read(error)
    }
}

impl Trouble {
    /// Says so in 2.3's words; the other fields are shown nevertheless.
    pub(super) fn tell(self, job: &mut Job<'_>, field: &str, mailbox: &str, uid: Uid) -> Outcome {
        let what = format!("fetch({field}) failed for box={mailbox} uid={uid}");
        match self {
            Self::Storage(error) => job.fail(what, &error),
            Self::Read(error) => {
                job.log().error(format_args!("{what}: read() failed: {}", base::reason(&error)));
                job.fail_as(status::TEMPFAIL);
            }
            Self::End(failure) => return Err(failure),
        }
        Ok(())
    }
}

type Shown = std::result::Result<(), Trouble>;

impl<'a> Message<'a> {
    pub(super) fn new(found: &'a mut Found, uid: Uid, username: &'a str) -> Self {
        Self { found, uid, username, parts: None, header: None }
    }

    /// The mailbox's name.
    pub(super) fn place(&self) -> &str {
        match self.found.place.name.as_str() {
            name if name.eq_ignore_ascii_case("INBOX") => "INBOX",
            name => name,
        }
    }

    pub(super) fn show(&mut self, job: &mut Job<'_>, field: &Field) -> Shown {
        match field {
            Field::User => job.print(self.username),
            Field::Mailbox => job.print(self.place()),
            Field::MailboxGuid => job.print(self.found.mailbox.guid()?),
            Field::Seq => job.print(self.found.view.seq(self.uid).map_or(0, base::Seq::get)),
            Field::Uid => job.print(self.uid),
            Field::Flags => job.print(self.flags()?),
            Field::ModSeq => job.print(self.record()?.modseq.0.max(1)),
            Field::Fact(wanted) => job.print_bytes(&self.fact(*wanted)?),
            Field::Date { kind, unixtime } => job.print(self.date(*kind, *unixtime)?),
            Field::Refcount => {
                let count = self.found.mailbox.refcount(self.uid)?;
                job.print(count.map_or_else(String::new, |count| count.to_string()));
            }
            Field::StorageId => job.print(self.found.mailbox.storage_id(self.uid)?),
            Field::Snippet => {
                let (mut reader, parts) = self.open()?;
                job.print(text::preview(&mut *reader, &parts)?);
            }
            Field::NamedHeader { name, filter } => {
                let value = self.header_field(job, name, filter.as_deref())?;
                job.print_bytes(&value);
            }
            Field::Header | Field::Body | Field::Text | Field::TextUtf8 | Field::Section { .. } => {
                self.stream(job, field)?;
            }
        }
        Ok(())
    }

    /// Values that may be as long as the message.
    fn stream(&mut self, job: &mut Job<'_>, field: &Field) -> Shown {
        let mut failure = None;
        let mut out = |piece: &[u8]| -> io::Result<()> {
            if piece.is_empty() {
                return Ok(());
            }
            job.print_piece(piece).map_err(|error| {
                failure = Some(error);
                io::Error::from(io::ErrorKind::Other)
            })
        };
        let read = self.pieces(field, &mut out);
        if let Some(failure) = failure {
            return Err(Trouble::End(failure));
        }
        // What has begun is ended, also where the rest could not be read.
        job.print_piece(b"").map_err(Trouble::End)?;
        read
    }

    fn pieces(&mut self, field: &Field, out: &mut dyn FnMut(&[u8]) -> io::Result<()>) -> Shown {
        match field {
            Field::Header => out(&self.header()?)?,
            Field::Text => section::copy(self.found.mailbox.open_message(self.uid)?, out)?,
            Field::Body => {
                let length = self.header()?.len();
                let mut reader = self.found.mailbox.open_message(self.uid)?;
                reader.seek(io::SeekFrom::Start(length as u64))?;
                section::copy(reader, out)?;
            }
            Field::TextUtf8 => {
                let (mut reader, parts) = self.open()?;
                text::utf8(&mut *reader, &parts, out)?;
            }
            Field::Section { section, decoded } => {
                let (mut reader, parts) = self.open()?;
                section::read(&mut *reader, &parts, section, *decoded, out)?;
            }
            _ => {}
        }
        Ok(())
    }

    fn record(&self) -> Result<&storage::Record> {
        self.found.view.record(self.uid).ok_or(Error::Expunged(self.uid))
    }

    fn flags(&self) -> Result<String> {
        let record = self.record()?;
        let recent = self.found.mailbox.recent().contains(self.uid).then_some("\\Recent");
        let keywords = self.found.view.keyword_names(&record.keywords);
        let mut all: Vec<&str> = record.flags.names().collect();
        all.extend(recent);
        all.extend(keywords);
        Ok(all.join(" "))
    }

    /// May be no text: strings stand in headers as they please.
    fn fact(&mut self, wanted: Wanted) -> Result<Vec<u8>> {
        let Facts {
            guid,
            size_physical,
            size_virtual,
            envelope,
            body,
            bodystructure,
            pop3_uidl,
            pop3_order,
            ..
        } = self.found.mailbox.fetch_facts(self.uid, wanted)?;
        let number = |number: Option<u64>| number.map(|number| number.to_string().into_bytes());
        let bytes = |bytes: Option<Arc<[u8]>>| bytes.map(|bytes| bytes.to_vec());
        let text = |text: Option<Arc<str>>| text.map(|text| text.as_bytes().to_vec());
        let value = match wanted {
            Wanted::GUID => text(guid),
            Wanted::SIZE_PHYSICAL => number(size_physical),
            Wanted::SIZE_VIRTUAL => number(size_virtual),
            Wanted::ENVELOPE => bytes(envelope),
            Wanted::BODY => bytes(body),
            Wanted::BODYSTRUCTURE => bytes(bodystructure),
            Wanted::POP3_UIDL => text(pop3_uidl),
            Wanted::POP3_ORDER => number(pop3_order.map(u64::from)),
            _ => None,
        };
        Ok(value.unwrap_or_default())
    }

    fn date(&mut self, kind: Date, unixtime: bool) -> Result<String> {
        let wanted = match kind {
            Date::Received => Wanted::INTERNAL_DATE,
            Date::Sent => Wanted::SENT_DATE,
            Date::Saved => Wanted::SAVE_DATE,
        };
        let facts = self.found.mailbox.fetch_facts(self.uid, wanted)?;
        let time = match kind {
            Date::Received => facts.internal_date,
            Date::Saved => facts.save_date,
            Date::Sent => return Ok(sent(facts.sent_date.unwrap_or_default(), unixtime)),
        };
        let secs = time.and_then(|time| time.duration_since(SystemTime::UNIX_EPOCH).ok());
        let secs = secs.map_or(0, |secs| secs.as_secs());
        Ok(if unixtime { secs.to_string() } else { localtime::date(secs) })
    }

    fn header(&mut self) -> Result<Arc<[u8]>> {
        if let Some(header) = &self.header {
            return Ok(header.clone());
        }
        let header = self.found.mailbox.fetch_facts(self.uid, Wanted::HEADER)?.header.unwrap_or_default();
        self.header = Some(header.clone());
        Ok(header)
    }

    /// All fields of the name, a line each; 2.3's filters take out addresses or names.
    fn header_field(
        &mut self,
        job: &Job<'_>,
        name: &str,
        filter: Option<&str>,
    ) -> std::result::Result<Vec<u8>, Trouble> {
        let header = match &self.header {
            Some(header) => header.clone(),
            // The cache may have it.
            None => {
                let facts = self.found.mailbox.fetch_fields(self.uid, Wanted::NONE, &[name])?;
                facts.fields.unwrap_or_default()
            }
        };
        let fields = Fields::new(&header).filter(|field| field.is(name.as_bytes()));
        let values: Vec<Vec<u8>> = match filter {
            Some("utf8") => {
                fields.map(|field| encoded_word::decode(&field.value_oneline()).into_bytes()).collect()
            }
            _ => fields.map(|field| field.value_lf().into_owned()).collect(),
        };
        let joined = values.join(&b'\n');
        Ok(match filter {
            None | Some("utf8") => joined,
            Some(filter @ ("address" | "address_name" | "address_name.utf8")) => addresses(&joined, filter),
            Some(filter) => {
                let text = format_args!("Unknown header filter: {filter}");
                return Err(Trouble::End(job.fatal(text, status::TEMPFAIL)));
            }
        })
    }

    fn open(&mut self) -> std::result::Result<(Box<dyn MessageReader>, Arc<Parts>), Trouble> {
        let mut reader = self.found.mailbox.open_message(self.uid)?;
        let parts = match &self.parts {
            Some(parts) => parts.clone(),
            None => {
                let parts = message::parse_reader(&mut reader, message::Options::default(), ())?;
                self.parts.insert(Arc::new(parts)).clone()
            }
        };
        Ok((reader, parts))
    }
}

fn sent(date: message::date::SentDate, unixtime: bool) -> String {
    if unixtime {
        return date.unix_secs.to_string();
    }
    let sign = if date.zone_minutes < 0 { '-' } else { '+' };
    let zone = date.zone_minutes.unsigned_abs();
    let day = localtime::date(u64::try_from(date.unix_secs).unwrap_or(0));
    format!("{day} ({sign}{:02}{:02})", zone / 60, zone % 60)
}

fn addresses(value: &[u8], filter: &str) -> Vec<u8> {
    let one = |address: &address::Address| match filter {
        "address" => {
            let mut text = address.mailbox.clone().unwrap_or_default();
            if let Some(domain) = &address.domain {
                text.push(b'@');
                text.extend_from_slice(domain);
            }
            text
        }
        "address_name" => address.name.clone().unwrap_or_default(),
        _ => address.name.as_deref().map(encoded_word::decode).unwrap_or_default().into_bytes(),
    };
    let all: Vec<Vec<u8>> = address::parse(value, Missing::Empty).iter().map(one).collect();
    all.join(&b'\n')
}
