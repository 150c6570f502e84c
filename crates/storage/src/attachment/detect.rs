//! `mail_attachment_detection_options`: whether a message has attachments, which the keywords
//! `$HasAttachment` and `$HasNoAttachment` tell to clients. Independent of where attachments are stored.

use base::filter::wildcard_match_icase;
use message::{Part, PartData, Parts};

/// Set on messages that have an attachment.
pub const HAS_ATTACHMENT: &str = "$HasAttachment";
/// Set on messages that have none.
pub const HAS_NO_ATTACHMENT: &str = "$HasNoAttachment";

/// The options. The default adds no keywords.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Detection {
    /// `add-flags` or `add-flags-on-save`, which are the same in 2.3.19: messages being saved get one of
    /// the keywords.
    pub on_save: bool,
    /// Those without either get one when their body is read anyway; `no-flags-on-fetch` forbids it.
    pub on_fetch: bool,
    /// `exclude-inlined`: parts that are shown inline are no attachments, even with a file name.
    pub exclude_inlined: bool,
    /// `content-type=[!]mask`, in order. The last that matches decides.
    content_types: Vec<(bool, String)>,
}

impl Detection {
    /// Reads the setting.
    ///
    /// # Errors
    /// An unknown option, in 2.3's words.
    pub fn parse(options: &str) -> Result<Self, String> {
        let (mut found, mut never_on_fetch) = (Self::default(), false);
        for option in options.split(' ').filter(|option| !option.is_empty()) {
            match (option, option.strip_prefix("content-type=")) {
                ("add-flags" | "add-flags-on-save", _) => found.on_save = true,
                ("no-flags-on-fetch", _) => never_on_fetch = true,
                ("exclude-inlined", _) => found.exclude_inlined = true,
                (_, Some(mask)) => {
                    let excluded = mask.starts_with('!');
                    found.content_types.push((!excluded, mask.trim_start_matches('!').to_owned()));
                }
                _ => return Err(format!("mail_attachment_detection_options: Unknown option: {option}")),
            }
        }
        found.on_fetch = found.on_save && !never_on_fetch;
        Ok(found)
    }

    /// The keyword that a message of these parts gets.
    pub fn keyword(&self, parts: &Parts) -> &'static str {
        let found = parts.iter().any(|(_, part)| self.is_attachment(part));
        if found { HAS_ATTACHMENT } else { HAS_NO_ATTACHMENT }
    }

    fn is_attachment(&self, part: &Part) -> bool {
        let data = &part.data;
        let is = |what: &[u8]| data.disposition.as_deref().is_some_and(|it| it.eq_ignore_ascii_case(what));
        let named =
            || data.disposition_params.iter().any(|param| param.name.eq_ignore_ascii_case(b"filename"));
        self.wants(data) && (is(b"attachment") || (!self.exclude_inlined && is(b"inline") && named()))
    }

    fn wants(&self, data: &PartData) -> bool {
        let Some(kind) = &data.content_type else { return self.content_types.is_empty() };
        let subtype = data.subtype.as_deref().unwrap_or_default();
        let text = format!("{}/{}", String::from_utf8_lossy(kind), String::from_utf8_lossy(subtype));
        let matching = self.content_types.iter().rev().find(|(_, mask)| wildcard_match_icase(&text, mask));
        matching.is_none_or(|(wanted, _)| *wanted)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keywords() {
        let check = |options: &str, headers: &[&str], expected: bool| {
            let mut text = "Mime-Version: 1.0\nContent-Type: multipart/mixed; boundary=b\n\n".to_owned();
            headers.iter().for_each(|header| text.push_str(&format!("--b\n{header}\n\nbody\n")));
            let parts = message::parse(text.as_bytes(), message::Options::default());
            let keyword = Detection::parse(options).unwrap().keyword(&parts);
            assert_eq!(keyword == HAS_ATTACHMENT, expected, "{options} {headers:?}");
        };
        let attached = "Content-Type: image/png\nContent-Disposition: ATTACHMENT";
        let inline = "Content-Type: text/calendar\nContent-Disposition: inline; FileName=x";
        check("add-flags", &[], false);
        check("add-flags", &["Content-Type: image/png"], false);
        check("add-flags", &["Content-Type: text/plain", attached], true);
        check("add-flags", &["Content-Disposition: attachment"], true);
        check("add-flags", &[inline], true);
        check("add-flags", &["Content-Disposition: inline"], false);
        check("add-flags exclude-inlined", &[inline], false);
        check("content-type=!image/*", &[attached], false);
        check("content-type=!image/*", &[inline], true);
        check("content-type=!* content-type=IMAGE/*", &[attached], true);
        check("content-type=!* content-type=IMAGE/*", &[inline], false);
        check("content-type=x/y", &["Content-Disposition: attachment"], false);
    }

    #[test]
    fn options() {
        let found = Detection::parse("add-flags-on-save no-flags-on-fetch").unwrap();
        assert!(found.on_save && !found.on_fetch);
        assert!(Detection::parse("add-flags").unwrap().on_fetch);
        assert!(Detection::parse("x").unwrap_err().ends_with("Unknown option: x"));
    }
}
