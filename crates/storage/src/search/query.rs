//! What to search for: RFC 3501 §6.4.4's keys and those of later extensions as a tree.

use base::{ModSeq, UidSet};

use super::part::PartQuery;
use crate::thread::Algorithm;
use crate::view::Flags;

/// A condition on a message. Protocols resolve sequence numbers to UIDs before they build one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Query {
    /// Every message.
    All,
    /// None of them, as `UID` with an empty set.
    None,
    /// Turns it around.
    Not(Box<Query>),
    /// All of them hold.
    And(Vec<Query>),
    /// At least one holds.
    Or(Vec<Query>),
    /// `UID`, and sequence sets after resolving.
    Uids(UidSet),
    /// All these system flags are set (`SEEN`, `ANSWERED` …).
    Flags(Flags),
    /// `KEYWORD`: the keyword is set; compared without regard to case.
    Keyword(String),
    /// `RECENT`. `NEW` is `And(Recent, Not(Flags(SEEN)))`.
    Recent,
    /// `LARGER`: RFC822.SIZE above, in bytes.
    Larger(u64),
    /// `SMALLER`: RFC822.SIZE below, in bytes.
    Smaller(u64),
    /// `BEFORE`, `SENTBEFORE`, `SAVEDBEFORE`: strictly before the day.
    Before(DateKind, Day),
    /// `ON`, `SENTON`, `SAVEDON`.
    On(DateKind, Day),
    /// `SINCE`, `SENTSINCE`, `SAVEDSINCE`: on the day or later.
    Since(DateKind, Day),
    /// Strictly before the moment, in seconds since 1970: what `doveadm search before 2days` asks.
    BeforeTime(DateKind, i64),
    /// At the moment or later, in seconds since 1970.
    SinceTime(DateKind, i64),
    /// `OLDER` (RFC 5032): the internal date lies at least so many seconds back.
    Older(u32),
    /// `YOUNGER` (RFC 5032): the internal date lies at most so many seconds back.
    Younger(u32),
    /// `SAVEDATESUPPORTED` (RFC 8514): a save date is known.
    SaveDateSupported,
    /// `HEADER name text`, `SUBJECT`, `FROM` …; an empty text asks whether the field is there.
    Header {
        /// Field name, any case.
        name: String,
        /// UTF-8; the protocol has decoded the client's charset.
        text: String,
    },
    /// `BODY`: in the text of any part, decoded.
    Body(String),
    /// `TEXT`: in header or body.
    Text(String),
    /// `MODSEQ` (RFC 7162): at least this.
    ModSeq(ModSeq),
    /// `MIMEPART`: some part of it fits.
    Part(Box<PartQuery>),
    /// `X-GUID`.
    Guid(String),
    /// `INTHREAD`: some message of its thread fits.
    InThread(Algorithm, Box<Query>),
}

/// Which of a message's dates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DateKind {
    /// INTERNALDATE, in the server's time zone.
    Received,
    /// The `Date:` field, disregarding its time zone (RFC 3501 §6.4.4).
    Sent,
    /// RFC 8514.
    Saved,
}

/// A calendar day, counted from 1970-01-01.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Day(pub i32);

impl Day {
    /// `None` for a date that is not in the Gregorian calendar.
    pub fn from_ymd(year: i16, month: u8, day: u8) -> Option<Self> {
        let date = jiff::civil::Date::new(year, i8::try_from(month).ok()?, i8::try_from(day).ok()?).ok()?;
        let epoch = jiff::civil::Date::new(1970, 1, 1).ok()?;
        epoch.until((jiff::Unit::Day, date)).ok().map(|span| Self(span.get_days()))
    }
}
