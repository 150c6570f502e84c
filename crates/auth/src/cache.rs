//! `auth_cache_*`: what databases said lately, the oldest forgotten first.

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};

use zeroize::Zeroizing;

use crate::request::Request;
use crate::{tab, vars};

/// Memory of an entry beside its texts, in bytes, as far as it can be known.
const ENTRY_OVERHEAD: usize = 96;

/// Results by key. An empty value says that there is no such user.
pub(crate) struct Cache {
    entries: HashMap<String, Entry>,
    /// Keys by when they were last used.
    by_age: BTreeMap<u64, String>,
    clock: u64,
    size: usize,
    size_max: usize,
    ttl: Duration,
    negative_ttl: Duration,
    counts: Counts,
}

/// What has happened since the last [`Cache::statistics`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) hits: u64,
    pub(crate) misses: u64,
    /// Entries for users that there are, and their bytes.
    pub(crate) positive: u64,
    pub(crate) positive_bytes: u64,
    /// The same for users that there are not.
    pub(crate) negative: u64,
    pub(crate) negative_bytes: u64,
}

struct Entry {
    value: Zeroizing<String>,
    created: Instant,
    used: u64,
    /// The last password verified against it was right.
    last_success: bool,
}

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Hit {
    pub(crate) value: Zeroizing<String>,
    /// Too old to be used, unless the database fails.
    pub(crate) expired: bool,
    /// Older than `auth_cache_negative_ttl`.
    pub(crate) negative_expired: bool,
    pub(crate) last_success: bool,
}

impl Cache {
    pub(crate) fn new(size_max: u64, ttl: Duration, negative_ttl: Duration) -> Option<Self> {
        let size_max = usize::try_from(size_max).unwrap_or(usize::MAX);
        (size_max > 0 && !ttl.is_zero()).then(|| Self {
            entries: HashMap::new(),
            by_age: BTreeMap::new(),
            clock: 0,
            size: 0,
            size_max,
            ttl,
            negative_ttl,
            counts: Counts::default(),
        })
    }

    pub(crate) fn lookup(&mut self, key: &str) -> Option<Hit> {
        let Some(entry) = self.entries.get_mut(key) else {
            self.counts.misses += 1;
            return None;
        };
        let age = entry.created.elapsed();
        let ttl = if entry.value.is_empty() { self.negative_ttl } else { self.ttl };
        let hit = Hit {
            value: entry.value.clone(),
            expired: age > ttl,
            negative_expired: age > self.negative_ttl,
            last_success: entry.last_success,
        };
        if hit.expired {
            self.counts.misses += 1;
        } else {
            self.counts.hits += 1;
            self.clock += 1;
            if let Some(key) = self.by_age.remove(&entry.used) {
                self.by_age.insert(self.clock, key);
            }
            entry.used = self.clock;
        }
        Some(hit)
    }

    pub(crate) fn insert(&mut self, key: String, value: String, last_success: bool) {
        if value.is_empty() && self.negative_ttl.is_zero() {
            return;
        }
        self.remove(&key);
        let size = size_of_entry(&key, &value);
        while self.size + size > self.size_max {
            let Some((_, oldest)) = self.by_age.pop_first() else { return };
            self.forget(&oldest);
        }
        self.clock += 1;
        self.size += size;
        let bytes = u64::try_from(size).unwrap_or(u64::MAX);
        if value.is_empty() {
            self.counts.negative += 1;
            self.counts.negative_bytes += bytes;
        } else {
            self.counts.positive += 1;
            self.counts.positive_bytes += bytes;
        }
        self.by_age.insert(self.clock, key.clone());
        let entry =
            Entry { value: Zeroizing::new(value), created: Instant::now(), used: self.clock, last_success };
        self.entries.insert(key, entry);
    }

    pub(crate) fn remember_verdict(&mut self, key: &str, last_success: bool) {
        if let Some(entry) = self.entries.get_mut(key) {
            entry.last_success = last_success;
        }
    }

    fn remove(&mut self, key: &str) {
        if let Some(used) = self.entries.get(key).map(|entry| entry.used) {
            self.by_age.remove(&used);
            self.forget(key);
        }
    }

    fn forget(&mut self, key: &str) {
        if let Some(entry) = self.entries.remove(key) {
            self.size -= size_of_entry(key, &entry.value);
        }
    }

    /// Forgets everything; gives the number of entries.
    pub(crate) fn clear(&mut self) -> usize {
        let count = self.entries.len();
        self.entries.clear();
        self.by_age.clear();
        self.size = 0;
        count
    }

    /// Forgets these users.
    pub(crate) fn clear_users(&mut self, users: &[String]) -> usize {
        let of_user = |key: &&String| {
            let name = key.split('\t').nth(1).map(tab::unescape);
            name.is_some_and(|name| users.contains(&name))
        };
        let keys: Vec<String> = self.entries.keys().filter(of_user).cloned().collect();
        keys.iter().for_each(|key| self.remove(key));
        keys.len()
    }

    /// The lines that 2.3 logs on SIGUSR2; counting begins anew.
    pub(crate) fn statistics(&mut self) -> [String; 3] {
        let counts = std::mem::take(&mut self.counts);
        let total = counts.hits + counts.misses;
        let percent = (counts.hits * 100).checked_div(total).unwrap_or(100);
        let Counts { hits, positive, positive_bytes, negative, negative_bytes, .. } = counts;
        [
            format!("Authentication cache hits {hits}/{total} ({percent}%)"),
            format!(
                "Authentication cache inserts: positive: {positive} entries {positive_bytes} bytes, \
                 negative: {negative} entries {negative_bytes} bytes"
            ),
            format!(
                "Authentication cache current size: {} bytes used of {} bytes ({}%)",
                self.size,
                self.size_max,
                self.size.saturating_mul(100) / self.size_max.max(1)
            ),
        ]
    }

    /// The figures for `doveadm auth cache status`, which go on.
    pub(crate) fn figures(&self) -> [(&'static str, u64); 9] {
        let wide = |size: usize| u64::try_from(size).unwrap_or(u64::MAX);
        let counts = self.counts;
        [
            ("hits", counts.hits),
            ("misses", counts.misses),
            ("positive_inserts", counts.positive),
            ("positive_bytes", counts.positive_bytes),
            ("negative_inserts", counts.negative),
            ("negative_bytes", counts.negative_bytes),
            ("entries", wide(self.entries.len())),
            ("bytes_used", wide(self.size)),
            ("bytes_max", wide(self.size_max)),
        ]
    }
}

fn size_of_entry(key: &str, value: &str) -> usize {
    ENTRY_OVERHEAD + 2 * key.len() + value.len()
}

/// The variables of a query, which make the difference between users.
pub(crate) fn key_of(template: &str) -> String {
    let mut names: Vec<&str> = Vec::new();
    let mut rest = template;
    while let Some(at) = rest.find('%') {
        let (name, after) = variable(&rest[at + 1..]);
        rest = after;
        if !name.is_empty() && name != "%" && !names.contains(&name) {
            names.push(name);
        }
    }
    let is = |name: &str, short: &str, long: &str| name == short || name == long;
    if names.iter().any(|name| is(name, "n", "{username}"))
        && names.iter().any(|name| is(name, "d", "{domain}"))
    {
        names.retain(|name| {
            !is(name, "n", "{username}") && !is(name, "d", "{domain}") && !is(name, "u", "{user}")
        });
        names.insert(0, "u");
    }
    // The user comes first: flushing by user looks there.
    names.sort_by_key(|name| !is(name, "u", "{user}") && !is(name, "n", "{username}"));
    names.iter().map(|name| format!("%{name}")).collect::<Vec<_>>().join("\t")
}

/// The variable after a `%`, without width and modifiers, and what follows.
fn variable(text: &str) -> (&str, &str) {
    let text = text.trim_start_matches(|c: char| c.is_ascii_digit() || "-.LUEXRHNMDT".contains(c));
    if text.starts_with('{')
        && let Some(end) = text.find('}')
    {
        return text.split_at(end + 1);
    }
    text.split_at(text.chars().next().map_or(0, char::len_utf8))
}

/// The key of a request in a database's part of the cache. The user is part of it even where the template
/// leaves him out: what is known of one user never counts for another.
pub(crate) fn key_for(request: &Request, template: &str, is_userdb: bool) -> Option<String> {
    let escape = |value: &str| {
        let mut text = String::new();
        tab::push(&mut text, value);
        text
    };
    let user = request.facts.translated_user.as_deref().unwrap_or_default();
    let kind = if is_userdb { 'U' } else { 'P' };
    let master = request.facts.master_user.as_deref().map(|name| format!("+{}", escape(name)));
    let names_user = |word: &str| ["%u", "%{user}", "%n", "%{username}"].contains(&word);
    let own = match template.split('\t').any(names_user) {
        true => String::new(),
        false => format!("{}\t", escape(user)),
    };
    let rest = vars::expand_as(template, request, user, escape).ok()?;
    Some(format!("{kind}{}{}\t{own}{rest}", request.database_id, master.unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_of_queries() {
        for (query, key) in [
            ("SELECT 1", ""),
            ("WHERE u = '%u'", "%u"),
            ("WHERE a = '%n' AND b = '%d'", "%u"),
            ("WHERE a = '%Ld' AND s = '%s'", "%d\t%s"),
            ("'%{rip}' '%Lu' '%u'", "%u\t%{rip}"),
            ("100%% '%n'", "%n"),
        ] {
            assert_eq!(key_of(query), key, "{query}");
        }
    }

    #[test]
    fn the_oldest_go_first() {
        let mut cache = Cache::new(1024, Duration::from_secs(60), Duration::from_secs(60)).unwrap();
        for number in 0..100 {
            cache.insert(format!("P1\tuser{number}"), "{PLAIN}x".into(), true);
            assert!(cache.lookup("P1\tuser0").is_some(), "used all the time");
        }
        assert!(cache.size <= 1024);
        assert!(cache.lookup("P1\tuser1").is_none());
        assert_eq!(cache.clear_users(&["user0".into(), "nobody".into()]), 1);
        assert!(cache.clear() > 0);
        assert_eq!(cache.size, 0);
    }

    #[test]
    fn statistics_of_2_3() {
        let mut cache = Cache::new(1024, Duration::from_secs(60), Duration::from_secs(60)).unwrap();
        cache.lookup("P1\tu");
        cache.insert("P1\tu".into(), "{PLAIN}x".into(), true);
        cache.insert("P1\tv".into(), String::new(), false);
        cache.lookup("P1\tu");
        let size = size_of_entry("P1\tu", "{PLAIN}x");
        let lines = cache.statistics();
        assert_eq!(lines[0], "Authentication cache hits 1/2 (50%)");
        let inserts = format!("positive: 1 entries {size} bytes, negative: 1 entries {} bytes", size - 8);
        assert_eq!(lines[1], format!("Authentication cache inserts: {inserts}"));
        assert_eq!(cache.statistics()[0], "Authentication cache hits 0/0 (100%)");
        assert!(cache.figures().contains(&("entries", 2)));
    }

    #[test]
    fn negative_entries() {
        let mut cache = Cache::new(1024, Duration::from_secs(60), Duration::ZERO).unwrap();
        cache.insert("k".into(), String::new(), false);
        assert_eq!(cache.lookup("k"), None);
    }
}
