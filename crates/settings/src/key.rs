//! Typed names of settings: the only way to read one. A setting is never read by string.

use std::marker::PhantomData;
use std::time::Duration;

use crate::decl::{Kind, SectionKind};
use crate::value::Value;

pub use crate::decl::{
    auth::*, dict::*, director::*, doveadm::*, imap::*, imapc::*, lda::*, lmtp::*, log::*, login::*, mail::*,
    maildir::*, managesieve::*, master::*, mbox::*, mdbox::*, pop3::*, pop3c::*, replication::*, ssl::*,
    stats::*, submission::*,
};
pub use crate::decl::{
    event_exporter, fifo_listener, inet_listener, mailbox, metric, namespace, passdb, service, unix_listener,
    userdb,
};

/// Names one setting of one kind of section, and knows the type of its value.
#[derive(Debug)]
pub struct Key<T> {
    section: SectionKind,
    index: u16,
    value: PhantomData<fn() -> T>,
}

impl<T> Key<T> {
    pub(crate) const fn new(section: SectionKind, index: u16) -> Self {
        Self { section, index, value: PhantomData }
    }

    /// The kind of section that holds the setting.
    pub const fn section(self) -> SectionKind {
        self.section
    }

    /// The setting's number in its section.
    pub const fn index(self) -> u16 {
        self.index
    }

    /// The setting's name in the configuration.
    pub fn name(self) -> &'static str {
        self.section.decl(self.index).name
    }
}

impl<T> Clone for Key<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Key<T> {}

/// The type of a setting's value.
pub trait SettingType {
    /// How it is written.
    const KIND: Kind;
    /// What reading it gives.
    type Out<'a>;
    /// Reads it.
    fn read(value: &Value) -> Self::Out<'_>;
}

/// A size in bytes; `u64::MAX` where 2.3 means "unlimited".
#[derive(Debug)]
pub enum Size {}

/// A time in whole seconds.
#[derive(Debug)]
pub enum Time {}

/// A time in milliseconds.
#[derive(Debug)]
pub enum Millis {}

/// A file mode.
#[derive(Debug)]
pub enum Octal {}

/// A TCP port; 0 means none.
#[derive(Debug)]
pub enum Port {}

/// Text.
#[derive(Debug)]
pub enum Str {}

/// One of the words that the declaration lists.
#[derive(Debug)]
pub enum Enum {}

impl SettingType for bool {
    const KIND: Kind = Kind::Bool;
    type Out<'a> = bool;
    fn read(value: &Value) -> bool {
        value.is_yes()
    }
}

impl SettingType for u64 {
    const KIND: Kind = Kind::Uint;
    type Out<'a> = u64;
    fn read(value: &Value) -> u64 {
        value.number()
    }
}

impl SettingType for Size {
    const KIND: Kind = Kind::Size;
    type Out<'a> = u64;
    fn read(value: &Value) -> u64 {
        value.number()
    }
}

impl SettingType for Time {
    const KIND: Kind = Kind::Time;
    type Out<'a> = Duration;
    fn read(value: &Value) -> Duration {
        Duration::from_millis(value.number())
    }
}

impl SettingType for Millis {
    const KIND: Kind = Kind::Millis;
    type Out<'a> = Duration;
    fn read(value: &Value) -> Duration {
        Duration::from_millis(value.number())
    }
}

impl SettingType for Octal {
    const KIND: Kind = Kind::Octal;
    type Out<'a> = u32;
    fn read(value: &Value) -> u32 {
        // Parsing cut it to 32 bits.
        value.number() as u32
    }
}

impl SettingType for Port {
    const KIND: Kind = Kind::Port;
    type Out<'a> = u16;
    fn read(value: &Value) -> u16 {
        // Parsing refused anything larger.
        value.number() as u16
    }
}

impl SettingType for Str {
    const KIND: Kind = Kind::Str;
    type Out<'a> = &'a str;
    fn read(value: &Value) -> &str {
        value.text()
    }
}

impl SettingType for Enum {
    const KIND: Kind = Kind::Enum;
    type Out<'a> = &'a str;
    fn read(value: &Value) -> &str {
        value.text()
    }
}
