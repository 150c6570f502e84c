//! What a cache file can hold of a message: fields, their types, and the decision whether a field is
//! worth its space. The registry knows all fields that this process has heard of, in the settings, from
//! the file and from clients.

use std::collections::HashMap;

use base::Logger;

use super::limits::FIELD_NAME_BYTES_MAX;

/// How a field's values are stored.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FieldType {
    /// Always so many bytes; the file's list of fields says how many.
    Fixed(u32),
    /// Bytes.
    Variable,
    /// Text; the same bytes as `Variable`, but `doveadm dump` shows them as text.
    String,
    /// So many bytes, of which a later record may add bits.
    Bitmask(u32),
    /// Numbers of header lines and their text, see [`value::Header`](super::value::Header).
    Header,
}

impl FieldType {
    /// The number in the file, and the size beside it.
    pub fn encode(self) -> (u8, u32) {
        match self {
            Self::Fixed(size) => (0, size),
            Self::Variable => (1, u32::MAX),
            Self::String => (2, u32::MAX),
            Self::Bitmask(size) => (3, size),
            Self::Header => (4, u32::MAX),
        }
    }

    /// The opposite of [`encode`](Self::encode). The size counts only where it is fixed.
    pub fn decode(number: u8, size: u32) -> Option<Self> {
        match number {
            0 => Some(Self::Fixed(size)),
            1 => Some(Self::Variable),
            2 => Some(Self::String),
            3 => Some(Self::Bitmask(size)),
            4 => Some(Self::Header),
            _ => None,
        }
    }

    /// Bytes of each value, where all have the same number.
    pub fn fixed_size(self) -> Option<u32> {
        match self {
            Self::Fixed(size) | Self::Bitmask(size) => Some(size),
            Self::Variable | Self::String | Self::Header => None,
        }
    }
}

/// Whether a field is worth its space.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub enum Want {
    /// Nobody asks for it.
    #[default]
    No,
    /// Wanted for new messages; dropped from those older than a week when the file is purged.
    Temp,
    /// Wanted for all messages.
    Yes,
}

impl Want {
    /// The number in the file.
    pub fn encode(self) -> u8 {
        self as u8
    }

    /// Reads the file's number. The bit for "forced" is not believed: that comes from the settings.
    pub fn decode(number: u8) -> Option<Self> {
        match number & !FORCED_BIT {
            0 => Some(Self::No),
            1 => Some(Self::Temp),
            2 => Some(Self::Yes),
            _ => None,
        }
    }

    /// 2.3's word for it in log lines.
    pub fn word(self) -> &'static str {
        match self {
            Self::No => "no",
            Self::Temp => "temp",
            Self::Yes => "yes",
        }
    }
}

/// Set in the file where the settings forced the decision.
pub const FORCED_BIT: u8 = 0x80;

/// A [`Want`], and whether the settings say so once and for all.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Decision {
    /// What is decided.
    pub want: Want,
    /// By `mail_always_cache_fields` or `mail_never_cache_fields`; nothing changes it.
    pub forced: bool,
}

impl Decision {
    /// Not forced.
    pub const fn of(want: Want) -> Self {
        Self { want, forced: false }
    }

    /// Forced.
    pub const fn forced(want: Want) -> Self {
        Self { want, forced: true }
    }

    /// Whether the settings forbid the field.
    pub fn is_never(self) -> bool {
        self == Self::forced(Want::No)
    }

    /// The number in the file.
    pub fn encode(self) -> u8 {
        self.want.encode() | if self.forced { FORCED_BIT } else { 0 }
    }
}

/// A field of the registry. Stays the same for as long as the registry lives.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct FieldId(pub(super) u32);

impl FieldId {
    /// Its place in the registry, counted from 0.
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// What is known of a field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Field {
    /// Its name, of which upper and lower case are the same.
    pub name: String,
    /// How values are stored.
    pub kind: FieldType,
    /// Whether it is wanted.
    pub decision: Decision,
    /// When somebody last wanted to know it, in seconds since 1970; not updated more than once a day.
    pub last_used: u32,
    /// The highest UID for which this process was asked for the field: who asks for a lower one has no
    /// memory of his own.
    pub(super) highest_uid_read: u32,
    /// It is in the file, or about to be.
    pub(super) used: bool,
    /// The decision changed and the file does not know yet.
    pub(super) dirty: bool,
    /// Its number in the file.
    pub(super) in_file: Option<u32>,
}

/// The fields that 2.3 knows by name, in its order, which is the order in a new file.
pub const WELL_KNOWN: [(&str, FieldType); 15] = [
    ("flags", FieldType::Bitmask(4)),
    ("date.sent", FieldType::Fixed(8)),
    ("date.received", FieldType::Fixed(4)),
    ("date.save", FieldType::Fixed(4)),
    ("size.virtual", FieldType::Fixed(8)),
    ("size.physical", FieldType::Fixed(8)),
    ("imap.body", FieldType::String),
    ("imap.bodystructure", FieldType::String),
    ("imap.envelope", FieldType::String),
    ("pop3.uidl", FieldType::String),
    ("pop3.order", FieldType::Fixed(4)),
    ("guid", FieldType::String),
    ("mime.parts", FieldType::Variable),
    ("binary.parts", FieldType::Variable),
    ("body.snippet", FieldType::Variable),
];

/// The fields that every mailbox has.
impl FieldId {
    /// What is known of the message's bytes: [`RecordFlags`](super::value::RecordFlags).
    pub const FLAGS: Self = Self(0);
    /// The `Date` header field: [`SentDate`](super::value::SentDate).
    pub const DATE_SENT: Self = Self(1);
    /// INTERNALDATE.
    pub const DATE_RECEIVED: Self = Self(2);
    /// When it came into this mailbox.
    pub const DATE_SAVE: Self = Self(3);
    /// Bytes with every line end as CRLF.
    pub const SIZE_VIRTUAL: Self = Self(4);
    /// Bytes as stored.
    pub const SIZE_PHYSICAL: Self = Self(5);
    /// IMAP's BODY without the outer parentheses.
    pub const IMAP_BODY: Self = Self(6);
    /// IMAP's BODYSTRUCTURE without the outer parentheses.
    pub const IMAP_BODYSTRUCTURE: Self = Self(7);
    /// IMAP's ENVELOPE without the outer parentheses.
    pub const IMAP_ENVELOPE: Self = Self(8);
    /// A UIDL that came with the message from another server.
    pub const POP3_UIDL: Self = Self(9);
    /// The message's number in POP3's order, from 1.
    pub const POP3_ORDER: Self = Self(10);
    /// The GUID.
    pub const GUID: Self = Self(11);
    /// The tree of MIME parts, as crate `message` writes it.
    pub const MIME_PARTS: Self = Self(12);
    /// Sizes of decoded parts: [`BinaryPart`](super::value::BinaryPart).
    pub const BINARY_PARTS: Self = Self(13);
    /// The text's beginning, with a digit for its version before it.
    pub const BODY_SNIPPET: Self = Self(14);
}

/// All fields that this process has heard of.
#[derive(Clone, Debug)]
pub struct Registry {
    fields: Vec<Field>,
    by_name: HashMap<String, FieldId>,
    /// The file's numbers, in the file's order.
    pub(super) file_order: Vec<FieldId>,
    /// Something in the file's newest list of fields is to be overwritten.
    pub(super) write_pending: bool,
}

impl Default for Registry {
    /// The well-known fields, none of them wanted.
    fn default() -> Self {
        let mut registry = Self {
            fields: Vec::new(),
            by_name: HashMap::new(),
            file_order: Vec::new(),
            write_pending: false,
        };
        for (name, kind) in WELL_KNOWN {
            registry.register(name, kind);
        }
        registry
    }
}

impl Registry {
    /// The field of this name, made known with "not wanted" if it is not yet. An existing field keeps
    /// its type.
    pub fn register(&mut self, name: &str, kind: FieldType) -> FieldId {
        let key = name.to_ascii_lowercase();
        if let Some(&id) = self.by_name.get(&key) {
            return id;
        }
        // Invariant: the file's lists and the limit on header fields keep this far below 2^32.
        let id = FieldId(self.fields.len() as u32);
        self.fields.push(Field {
            name: name.to_owned(),
            kind,
            decision: Decision::default(),
            last_used: 0,
            highest_uid_read: 0,
            used: false,
            dirty: false,
            in_file: None,
        });
        self.by_name.insert(key, id);
        id
    }

    /// The field for a header field, `hdr.<name>`, made known if it is not yet. `None` if no header
    /// field can have this name.
    pub fn header(&mut self, name: &str) -> Option<FieldId> {
        is_header_name(name).then(|| self.register(&format!("hdr.{name}"), FieldType::Header))
    }

    /// The field of this name.
    pub fn find(&self, name: &str) -> Option<FieldId> {
        self.by_name.get(&name.to_ascii_lowercase()).copied()
    }

    /// A field.
    pub fn field(&self, id: FieldId) -> &Field {
        // Invariant: ids come from this registry, which never forgets a field.
        &self.fields[id.index()]
    }

    pub(super) fn field_mut(&mut self, id: FieldId) -> &mut Field {
        &mut self.fields[id.index()]
    }

    /// All fields, in the order in which they became known.
    pub fn iter(&self) -> impl Iterator<Item = (FieldId, &Field)> {
        (0..).map(FieldId).zip(&self.fields)
    }

    pub(super) fn ids(&self) -> impl Iterator<Item = FieldId> + use<> {
        (0..self.fields.len() as u32).map(FieldId)
    }

    /// The fields in the file, in the file's order.
    pub fn in_file(&self) -> impl Iterator<Item = (FieldId, &Field)> {
        self.file_order.iter().map(|&id| (id, self.field(id)))
    }

    /// The field that has this number in the file.
    pub fn by_file_number(&self, number: u32) -> Option<FieldId> {
        self.file_order.get(usize::try_from(number).ok()?).copied()
    }

    /// Takes over what a setting says: a list of names, separated by spaces or commas. Names that make
    /// no sense are complained of in 2.3's words.
    pub fn apply_setting(&mut self, setting: &str, names: &str, decision: Decision, logger: &Logger) {
        for name in names.split([' ', ',']).filter(|name| !name.is_empty()) {
            let id = match (self.find(name), header_part(name)) {
                (Some(id), _) => id,
                (None, Some(header)) => {
                    let Some(id) = self.header(header) else {
                        logger.error(format_args!(
                            "{setting}: Header name '{header}' has invalid character, ignoring"
                        ));
                        continue;
                    };
                    id
                }
                (None, None) => {
                    logger.error(format_args!("{setting}: Unknown cache field name '{name}', ignoring"));
                    continue;
                }
            };
            self.suggest(id, decision, 0);
        }
    }

    /// Takes over a decision from settings or from another mailbox: a forced one always, any other if
    /// it wants more than the one that is there.
    pub fn suggest(&mut self, id: FieldId, decision: Decision, last_used: u32) {
        // Before the file has been read these are only the words it is to be compared with.
        let counts = !self.file_order.is_empty();
        let field = self.field_mut(id);
        let before = field.clone();
        if decision.forced || (!field.decision.forced && decision.want > field.decision.want) {
            field.decision = decision;
        }
        field.last_used = field.last_used.max(last_used);
        if counts && *field != before {
            field.dirty = true;
            self.write_pending = true;
        }
    }

    /// Decides about a field, whatever was decided before; what the settings force stays.
    pub(super) fn decide(&mut self, id: FieldId, want: Want, last_used: u32) {
        let field = self.field_mut(id);
        if !field.decision.forced {
            field.decision = Decision::of(want);
            field.last_used = last_used;
            field.dirty = true;
            self.write_pending = true;
        }
    }

    pub(super) fn forget_file(&mut self) {
        self.file_order.clear();
        for field in &mut self.fields {
            field.in_file = None;
        }
    }
}

/// Whether the name is one a header field can have (RFC 5322 §3.6.8), and short enough.
fn is_header_name(name: &str) -> bool {
    let printable = |byte: u8| byte.is_ascii_graphic() && byte != b':';
    !name.is_empty() && name.len() + "hdr.".len() <= FIELD_NAME_BYTES_MAX && name.bytes().all(printable)
}

/// What follows `hdr.`.
pub(super) fn header_part(name: &str) -> Option<&str> {
    let (head, header) = name.split_at_checked("hdr.".len())?;
    head.eq_ignore_ascii_case("hdr.").then_some(header)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn well_known_fields_have_their_numbers() {
        let registry = Registry::default();
        for (id, name) in [(FieldId::FLAGS, "flags"), (FieldId::BODY_SNIPPET, "body.snippet")] {
            assert_eq!(registry.field(id).name, name);
        }
        assert_eq!(registry.find("IMAP.Envelope"), Some(FieldId::IMAP_ENVELOPE));
    }

    #[test]
    fn settings_decide() {
        let (mut registry, logger) = (Registry::default(), Logger::new(""));
        registry.apply_setting("a", "flags, hdr.Subject", Decision::of(Want::Temp), &logger);
        registry.apply_setting("b", "hdr.subject", Decision::forced(Want::Yes), &logger);
        registry.apply_setting("c", "imap.envelope nonsense hdr.a:b", Decision::forced(Want::No), &logger);
        let subject = registry.find("hdr.SUBJECT").unwrap();
        assert_eq!(registry.field(FieldId::FLAGS).decision, Decision::of(Want::Temp));
        assert_eq!(registry.field(subject).decision, Decision::forced(Want::Yes));
        assert!(registry.field(FieldId::IMAP_ENVELOPE).decision.is_never());
        assert_eq!(registry.iter().count(), WELL_KNOWN.len() + 1);
    }

    #[test]
    fn less_is_not_taken_over() {
        let mut registry = Registry::default();
        registry.suggest(FieldId::GUID, Decision::of(Want::Yes), 5);
        registry.suggest(FieldId::GUID, Decision::of(Want::Temp), 3);
        assert_eq!(registry.field(FieldId::GUID).decision, Decision::of(Want::Yes));
        assert_eq!(registry.field(FieldId::GUID).last_used, 5);
    }
}
