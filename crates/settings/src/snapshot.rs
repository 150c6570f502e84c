//! The settings of one moment, as processes get them: immutable, cheap to clone, and small enough
//! to hand over in a sealed memory file.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex};

use serde::{Deserialize, Serialize};

use crate::config::{Part, merge_parts};
use crate::decl::{MapKind, SectionKind, flags};
use crate::filter::{Filter, Mask};
use crate::limits;
use crate::secrets;
use crate::tree::{Entry, MapEntry, Node};
use crate::value::Value;
use crate::view::{Settings, View};

/// Settings that nothing changes any more.
#[derive(Clone)]
pub struct Snapshot(Arc<Inner>);

struct Inner {
    parts: Vec<Part>,
    /// Merged views by the parts they are made of.
    views: Mutex<HashMap<Vec<u32>, Arc<View>>>,
}

/// Why bytes are no snapshot.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    /// Larger than any configuration can be.
    #[error("settings snapshot is too large ({0} bytes)")]
    TooLarge(usize),
    /// Cut off, or written by another version.
    #[error("settings snapshot is not readable")]
    Malformed(#[source] postcard::Error),
}

impl Snapshot {
    /// A configuration in which nothing is set.
    pub fn defaults() -> Self {
        Self::from_parts(crate::Config::defaults().parts)
    }

    /// The snapshot of a configuration text, for tests.
    ///
    /// # Errors
    /// What the parser and the checks refuse.
    pub fn from_text(text: &str) -> Result<Self, crate::Diagnostic> {
        crate::Config::parse_text(text)?.snapshot()
    }

    pub(crate) fn from_parts(parts: Vec<Part>) -> Self {
        Self(Arc::new(Inner { parts, views: Mutex::new(HashMap::new()) }))
    }

    /// The same with the `ssl_key_password` that an administrator gave at start (`dovecot -p`).
    pub fn with_key_password(&self, password: &str) -> Self {
        let mut parts = self.0.parts.clone();
        if let Some(global) = parts.first_mut() {
            let entry = Entry { value: Value::Text(password.into()), source: None, file: None };
            global.node.entries.insert(crate::key::SSL_KEY_PASSWORD.index(), entry);
        }
        Self::from_parts(parts)
    }

    /// The settings outside any filter.
    pub fn root(&self) -> Settings {
        self.view(&Filter::default())
    }

    /// The settings for whom `filter` describes. Looked up once, it is kept for the next time.
    pub fn view(&self, filter: &Filter<'_>) -> Settings {
        let parts = &self.0.parts;
        let matching = (0u32..).zip(parts).filter(|(_, part)| part.mask.matches(filter));
        let key: Vec<u32> = matching.map(|(at, _)| at).collect();
        let mut views = self.0.views.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some(view) = views.get(&key) {
            return Settings::new(view.clone());
        }
        if views.len() >= limits::CACHED_VIEWS_MAX {
            views.clear();
        }
        // A conflict between filters was refused when the configuration was checked. Should two
        // filters conflict only for this connection, the global settings are the safe answer.
        let node = merge_parts(parts, filter).unwrap_or_else(|_| parts[0].node.clone());
        let view = Arc::new(View::new(&node));
        views.insert(key, view.clone());
        Settings::new(view)
    }

    /// The filters that have a `local_name`: a login process loads their certificates when it
    /// starts.
    pub fn local_names(&self) -> Vec<Mask> {
        let masks = self.0.parts.iter().map(|part| &part.mask);
        masks.filter(|mask| mask.local_name.is_some()).cloned().collect()
    }

    /// Every filter, the empty one first.
    pub fn masks(&self) -> impl Iterator<Item = &Mask> {
        self.0.parts.iter().map(|part| &part.mask)
    }

    /// The same without the secrets that `process` may not see, see [`crate::secrets`].
    pub fn restricted_to(&self, process: &str) -> Self {
        let mut parts = self.0.parts.clone();
        for part in &mut parts {
            part.node.entries.retain(|index, _| {
                let decl = SectionKind::Root.decl(*index);
                !decl.has(flags::SECRET) || secrets::may_read(process, decl.name)
            });
        }
        Self::from_parts(parts)
    }

    /// For [`Snapshot::from_bytes`] in another process. Settings travel by name, so that a
    /// process of a newer version reads them too.
    pub fn to_bytes(&self) -> Vec<u8> {
        let parts: Vec<WirePart> = self.0.parts.iter().map(WirePart::from).collect();
        postcard::to_stdvec(&parts).expect("settings are plain data")
    }

    /// Reads what [`Snapshot::to_bytes`] wrote.
    ///
    /// # Errors
    /// The bytes are too many or no snapshot.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, SnapshotError> {
        if bytes.len() > limits::SNAPSHOT_BYTES_MAX {
            return Err(SnapshotError::TooLarge(bytes.len()));
        }
        let wire: Vec<WirePart> = postcard::from_bytes(bytes).map_err(SnapshotError::Malformed)?;
        let mut parts: Vec<Part> = wire.into_iter().map(WirePart::into_part).collect();
        if parts.is_empty() {
            parts = crate::Config::defaults().parts;
        }
        Ok(Self::from_parts(parts))
    }
}

impl fmt::Debug for Snapshot {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Values may be secret.
        out.debug_struct("Snapshot").field("parts", &self.0.parts.len()).finish()
    }
}

impl PartialEq for Snapshot {
    fn eq(&self, other: &Self) -> bool {
        let same = |(a, b): (&Part, &Part)| a.mask == b.mask && a.node == b.node;
        self.0.parts.len() == other.0.parts.len() && self.0.parts.iter().zip(&other.0.parts).all(same)
    }
}

#[derive(Serialize, Deserialize)]
struct WirePart {
    mask: Mask,
    origin: String,
    node: WireNode,
}

#[derive(Serialize, Deserialize)]
struct WireNode {
    kind: SectionKind,
    path_name: String,
    entries: Vec<(String, Entry)>,
    lists: Vec<(SectionKind, Vec<WireNode>)>,
    maps: Vec<(MapKind, Vec<MapEntry>)>,
}

impl From<&Part> for WirePart {
    fn from(part: &Part) -> Self {
        Self { mask: part.mask.clone(), origin: part.origin.clone(), node: (&part.node).into() }
    }
}

impl From<&Node> for WireNode {
    fn from(node: &Node) -> Self {
        let entries = node.entries.iter();
        let list =
            |(kind, nodes): (&SectionKind, &Vec<Node>)| (*kind, nodes.iter().map(Self::from).collect());
        Self {
            kind: node.kind,
            path_name: node.path_name.clone(),
            entries: entries
                .map(|(index, entry)| (node.kind.decl(*index).name.to_owned(), entry.clone()))
                .collect(),
            lists: node.lists.iter().map(list).collect(),
            maps: node.maps.iter().map(|(kind, entries)| (*kind, entries.clone())).collect(),
        }
    }
}

impl WirePart {
    fn into_part(self) -> Part {
        Part { mask: self.mask, origin: self.origin, node: self.node.into_node() }
    }
}

impl WireNode {
    fn into_node(self) -> Node {
        let mut node = Node::new(self.kind, self.path_name);
        for (name, entry) in self.entries {
            if let Some(index) =
                self.kind.index_of(&name).filter(|index| fits(self.kind, *index, &entry.value))
            {
                node.entries.insert(index, entry);
            }
        }
        for (kind, nodes) in self.lists {
            node.lists.insert(kind, nodes.into_iter().map(Self::into_node).collect());
        }
        node.maps = self.maps.into_iter().collect();
        node
    }
}

fn fits(kind: SectionKind, index: u16, value: &Value) -> bool {
    std::mem::discriminant(value) == std::mem::discriminant(&kind.defaults()[usize::from(index)])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::{self, namespace, service};

    const TEXT: &str = "
protocols = imap
ssl_key = secret
mail_location = maildir:~/Maildir
plugin {
  quota = maildir
}
namespace inbox {
  inbox = yes
  mailbox Drafts {
    special_use = \\Drafts
  }
}
protocol imap {
  mail_max_userip_connections = 20
}
local_name a.example.com {
  ssl_cert = two
}
service imap {
  service_count = 1
}
";

    fn snapshot() -> Snapshot {
        let made = Snapshot::from_text(TEXT).unwrap();
        let copy = Snapshot::from_bytes(&made.to_bytes()).unwrap();
        assert_eq!(copy, made);
        copy
    }

    #[test]
    fn values_sections_and_defaults() {
        let settings = snapshot().root();
        assert_eq!(settings.get(key::MAIL_LOCATION), "maildir:~/Maildir");
        assert_eq!(settings.get(key::AUTH_CACHE_TTL).as_secs(), 3600);
        assert_eq!(settings.get(key::DEFAULT_VSZ_LIMIT), 256 << 20);
        assert_eq!(settings.plugin().get("quota"), Some("maildir"));
        assert!(settings.is_set(key::PROTOCOLS) && !settings.is_set(key::LISTEN));
        let imap = settings.section(SectionKind::Service, "imap").unwrap();
        assert_eq!(imap.get(service::SERVICE_COUNT), 1);
        assert_eq!(imap.get(service::CLIENT_LIMIT), 1000);
        assert_eq!(imap.get(service::PROTOCOL), "imap");
        assert_eq!(imap.sub(SectionKind::UnixListener).len(), 2);
        let inbox = settings.section(SectionKind::Namespace, "inbox").unwrap();
        assert_eq!(inbox.sub(SectionKind::Mailbox)[0].name(), "Drafts");
    }

    #[test]
    fn filters() {
        let snapshot = snapshot();
        let imap = Filter { protocol: Some("imap"), ..Filter::default() };
        assert_eq!(snapshot.view(&imap).get(key::MAIL_MAX_USERIP_CONNECTIONS), 20);
        assert_eq!(snapshot.root().get(key::MAIL_MAX_USERIP_CONNECTIONS), 10);
        let named = Filter { local_name: Some("A.example.com"), ..imap };
        assert_eq!(snapshot.view(&named).get(key::SSL_CERT), "two");
        assert_eq!(snapshot.view(&named).get(key::SSL_KEY), "secret");
        assert_eq!(snapshot.local_names().len(), 1);
    }

    #[test]
    fn secrets_stay_with_those_who_need_them() {
        let snapshot = snapshot();
        assert_eq!(snapshot.restricted_to("imap-login").root().get(key::SSL_KEY), "secret");
        assert_eq!(snapshot.restricted_to("imap").root().get(key::SSL_KEY), "");
    }

    #[test]
    fn userdb_fields() {
        let root = snapshot().root();
        let fields = [
            ("mail", "mbox:~/mail"),
            ("quota_rule", "*:storage=1G"),
            ("quota", "dict"),
            ("namespace/inbox/location", "maildir:/x"),
            ("mail_debug", "yes"),
        ];
        let user = root.with_overrides(fields.into_iter()).unwrap();
        assert_eq!(user.get(key::MAIL_LOCATION), "mbox:~/mail");
        assert_eq!(root.get(key::MAIL_LOCATION), "maildir:~/Maildir");
        assert!(user.get(key::MAIL_DEBUG));
        assert_eq!(
            user.plugin().iter().collect::<Vec<_>>(),
            [("quota", "dict"), ("quota_rule", "*:storage=1G")]
        );
        let inbox = user.section(SectionKind::Namespace, "inbox").unwrap();
        assert_eq!(inbox.get(namespace::LOCATION), "maildir:/x");
        assert!(root.with_overrides([("mail_debug", "maybe")].into_iter()).is_err());
    }

    #[test]
    fn damaged_bytes_are_refused() {
        let bytes = snapshot().to_bytes();
        for cut in [0, 1, bytes.len() / 2, bytes.len() - 1] {
            assert!(Snapshot::from_bytes(&bytes[..cut]).is_err() || cut == 0, "{cut}");
        }
    }
}
