//! Checks of storage, namespaces and mailboxes.

use super::{sections, spaced};
use crate::decl::SectionKind;
use crate::key::{self, mailbox, namespace};
use crate::tree::Node;

const SPECIAL_USES: [&str; 8] = ["all", "archive", "drafts", "flagged", "important", "junk", "sent", "trash"];
const HASHES: [&str; 8] = ["md4", "md5", "sha1", "sha256", "sha384", "sha512", "size", "sha3-256"];

pub(super) fn check(node: &Node) -> Result<(), String> {
    storage(node)?;
    let namespaces = sections(node, SectionKind::Namespace);
    for space in namespaces {
        one_namespace(space, namespaces)?;
        for section in sections(space, SectionKind::Mailbox) {
            special_use(section)?;
        }
    }
    Ok(())
}

fn storage(node: &Node) -> Result<(), String> {
    let number = |index| node.value(index).number();
    let text = |index| node.value(index).text();
    if number(key::MAILBOX_IDLE_CHECK_INTERVAL.index()) == 0 {
        return Err("mailbox_idle_check_interval must not be 0".into());
    }
    if node.value(key::MAIL_NFS_INDEX.index()).is_yes() {
        if !node.value(key::MMAP_DISABLE.index()).is_yes() {
            return Err("mail_nfs_index=yes requires mmap_disable=yes".into());
        }
        if text(key::MAIL_FSYNC.index()) != "always" {
            return Err("mail_nfs_index=yes requires mail_fsync=always".into());
        }
    }
    if number(key::MAIL_CACHE_MAX_SIZE.index()) > 1 << 30 {
        return Err("mail_cache_max_size can't be over 1 GB".into());
    }
    if number(key::MAIL_CACHE_PURGE_DELETE_PERCENTAGE.index()) > 100 {
        return Err("mail_cache_purge_delete_percentage can't be over 100".into());
    }
    uidl_format(text(key::POP3_UIDL_FORMAT.index()))?;
    attachment_hash(text(key::MAIL_ATTACHMENT_HASH.index()))?;
    detection(text(key::MAIL_ATTACHMENT_DETECTION_OPTIONS.index()))?;
    for setting in [key::MAIL_CACHE_FIELDS, key::MAIL_ALWAYS_CACHE_FIELDS, key::MAIL_NEVER_CACHE_FIELDS] {
        cache_fields(setting.name(), text(setting.index()))?;
    }
    Ok(())
}

/// At least one variable, and no unknown one.
fn uidl_format(format: &str) -> Result<(), String> {
    let mut rest = format;
    let mut has_variable = false;
    while let Some(at) = rest.find('%') {
        rest = &rest[at + 1..];
        // `%08Xu`: width and modifiers come before the letter.
        let letter_at = rest.find(|c: char| {
            !matches!(c, '0'..='9' | '.' | '-' | 'L' | 'U' | 'E' | 'X' | 'R' | 'N' | 'H' | 'M' | 'D' | 'T')
        });
        let Some(letter) = letter_at.and_then(|at| rest[at..].chars().next()) else { break };
        match letter {
            'v' | 'u' | 'm' | 'f' | 'g' => has_variable = true,
            '%' => {}
            other => return Err(format!("Unknown pop3_uidl_format variable: %{other}")),
        }
        rest = &rest[letter_at.unwrap_or(0) + letter.len_utf8()..];
    }
    if has_variable {
        Ok(())
    } else {
        Err("pop3_uidl_format setting doesn't contain any %% variables.".into())
    }
}

fn attachment_hash(format: &str) -> Result<(), String> {
    if format.contains('/') {
        return Err("mail_attachment_hash setting must not contain '/' characters".into());
    }
    let mut rest = format;
    while let Some(at) = rest.find('%') {
        let wrong = |why: &str| Err(format!("Invalid mail_attachment_hash setting: {why}"));
        let Some(inner) = rest[at + 1..].strip_prefix('{') else { return wrong("No '{' after '%'") };
        let Some((name, after)) = inner.split_once('}') else { return wrong("Missing '}'") };
        let (name, bits) = name.split_once(':').map_or((name, None), |(name, bits)| (name, Some(bits)));
        if !HASHES.contains(&name) {
            return wrong(&format!("Unknown hash method: {name}"));
        }
        if bits.is_some_and(|bits| !bits.parse::<u32>().is_ok_and(|bits| bits > 0 && bits % 8 == 0)) {
            return wrong("Invalid truncation");
        }
        rest = after;
    }
    if format.contains('-') {
        return Err("mail_attachment_hash setting must not contain '-' characters".into());
    }
    Ok(())
}

fn detection(options: &str) -> Result<(), String> {
    let known = ["add-flags", "add-flags-on-save", "no-flags-on-fetch", "exclude-inlined"];
    match spaced(options).find(|option| !known.contains(option) && !option.starts_with("content-type=")) {
        Some(option) => Err(format!("mail_attachment_detection_options: Unknown option: {option}")),
        None => Ok(()),
    }
}

fn cache_fields(name: &str, fields: &str) -> Result<(), String> {
    let header = |field: &&str| field.get(..4).is_some_and(|start| start.eq_ignore_ascii_case("hdr."));
    let valid =
        |name: &str| !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_graphic() && byte != b':');
    let mut headers = fields.split([' ', ',']).filter(header);
    match headers.find(|field| !valid(&field[4..])) {
        Some(field) => Err(format!("Invalid {name}: {field} is not a valid header name")),
        None => Ok(()),
    }
}

fn one_namespace(space: &Node, all: &[Node]) -> Result<(), String> {
    let name = space.value(namespace::PREFIX.index()).text();
    // 2.3 counts bytes.
    if space.value(namespace::SEPARATOR.index()).text().len() > 1 {
        return Err(format!("Namespace '{name}': Hierarchy separator must be only one character long"));
    }
    let alias = |space: &Node| {
        space.entries.get(&namespace::ALIAS_FOR.index()).map(|entry| entry.value.text().to_owned())
    };
    let Some(target) = alias(space).filter(|_| !space.value(namespace::DISABLED.index()).is_yes()) else {
        return Ok(());
    };
    let Some(found) = all.iter().find(|other| other.value(namespace::PREFIX.index()).text() == target) else {
        return Err(format!("Namespace '{name}': alias_for points to unknown namespace: {target}"));
    };
    match alias(found) {
        Some(next) => {
            Err(format!("Namespace '{name}': alias_for chaining isn't allowed: {target} -> {next}"))
        }
        None => Ok(()),
    }
}

fn special_use(section: &Node) -> Result<(), String> {
    let known = |word: &str| {
        word.strip_prefix('\\').is_some_and(|name| SPECIAL_USES.contains(&name.to_ascii_lowercase().as_str()))
    };
    match spaced(section.value(mailbox::SPECIAL_USE.index()).text()).find(|word| !known(word)) {
        Some(word) => Err(format!("mailbox {}: unknown special_use: {word}", section.name())),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uidl_formats() {
        for (format, ok) in
            [("%08Xu%08Xv", true), ("%g", true), ("%f", true), ("%%", false), ("x", false), ("%q%u", false)]
        {
            assert_eq!(uidl_format(format).is_ok(), ok, "{format}");
        }
    }
}
