//! `mail_attachment_detection_options`: whether a message has attachments, which the keywords
//! `$HasAttachment` and `$HasNoAttachment` tell to clients. Independent of where attachments are stored.

use base::filter::wildcard_match_icase;
use message::{Options, Parser, Part, PartData, Parts};

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
                    let excluded = mask.strip_prefix('!');
                    found.content_types.push((excluded.is_none(), excluded.unwrap_or(mask).to_owned()));
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

    /// Whether a message that has these keywords needs no other: it has one of the two.
    pub(crate) fn is_settled<'a>(keywords: impl Iterator<Item = &'a str>) -> bool {
        let (mut has, mut has_not) = (false, false);
        for name in keywords {
            has |= name.eq_ignore_ascii_case(HAS_ATTACHMENT);
            has_not |= name.eq_ignore_ascii_case(HAS_NO_ATTACHMENT);
        }
        has != has_not
    }

    fn is_attachment(&self, part: &Part) -> bool {
        let data = &part.data;
        let is = |what: &[u8]| data.disposition.as_deref().is_some_and(|it| it.eq_ignore_ascii_case(what));
        let named =
            || data.disposition_params.iter().any(|param| param.name.eq_ignore_ascii_case(b"filename"));
        self.wants(data) && (is(b"attachment") || (!self.exclude_inlined && is(b"inline") && named()))
    }

    /// As in 2.3, a part without a content type is none, whatever the masks.
    fn wants(&self, data: &PartData) -> bool {
        let Some(kind) = &data.content_type else { return false };
        let subtype = data.subtype.as_deref().unwrap_or_default();
        let text = format!("{}/{}", String::from_utf8_lossy(kind), String::from_utf8_lossy(subtype));
        let matching = self.content_types.iter().rev().find(|(_, mask)| wildcard_match_icase(&text, mask));
        matching.is_none_or(|(wanted, _)| *wanted)
    }
}

/// Looks at a message while it is being saved.
pub(crate) struct Detector {
    detection: Detection,
    parser: Parser,
}

impl Detector {
    /// `None` where there is nothing to find out.
    pub(crate) fn new(detection: &Detection, keywords: &[String]) -> Option<Self> {
        let wanted = detection.on_save && !Detection::is_settled(keywords.iter().map(String::as_str));
        let parser = || Parser::new(Options::default(), ());
        wanted.then(|| Self { detection: detection.clone(), parser: parser() })
    }

    pub(crate) fn push(&mut self, bytes: &[u8]) {
        self.parser.push(bytes);
    }

    /// Gives the message its keyword, and takes the other.
    pub(crate) fn finish(self, keywords: &mut Vec<String>) {
        let found = self.detection.keyword(&self.parser.finish().0);
        keywords.retain(|name| {
            !name.eq_ignore_ascii_case(HAS_ATTACHMENT) && !name.eq_ignore_ascii_case(HAS_NO_ATTACHMENT)
        });
        keywords.push(found.to_owned());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What 2.3.19 says of a part with each of these headers: `+` for `$HasAttachment`.
    #[test]
    fn keywords() {
        let headers = [
            "",
            "Content-Type: image/png\n",
            "Content-Type: image/png\nContent-Disposition: ATTACHMENT\n",
            "Content-Disposition: attachment\n",
            "Content-Type: text/calendar\nContent-Disposition: inline; FileName=x\n",
            "Content-Disposition: inline\n",
            "Content-Type: a/b\nContent-Disposition: inline; filename*0=x\n",
            "Content-Type: a/b\nContent-Disposition: inline; filename*=utf-8''x\n",
            "Content-Type: bad\nContent-Disposition: attachment\n",
            "Content-Disposition: inline; filename=x\n",
        ];
        for (options, expected) in [
            ("add-flags", "--+-+-+-+-"),
            ("add-flags exclude-inlined", "--+-----+-"),
            ("add-flags content-type=!image/*", "----+-+-+-"),
            ("add-flags content-type=!* content-type=IMAGE/*", "--+-------"),
            ("add-flags content-type=x/y", "--+-+-+-+-"),
        ] {
            let detection = Detection::parse(options).unwrap();
            let found = headers.iter().map(|header| {
                let text = format!(
                    "Mime-Version: 1.0\nContent-Type: multipart/mixed; boundary=b\n\n--b\n{header}\nbody\n--b--\n"
                );
                let parts = message::parse(text.as_bytes(), message::Options::default());
                if detection.keyword(&parts) == HAS_ATTACHMENT { '+' } else { '-' }
            });
            assert_eq!(found.collect::<String>(), expected, "{options}");
        }
    }

    #[test]
    fn options() {
        let found = Detection::parse("add-flags-on-save no-flags-on-fetch").unwrap();
        assert!(found.on_save && !found.on_fetch);
        assert!(Detection::parse("add-flags").unwrap().on_fetch);
        assert!(Detection::parse("x").unwrap_err().ends_with("Unknown option: x"));
    }
}
