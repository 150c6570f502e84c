//! The CAPABILITY of a logged-in session: what there is, in 2.3's order.

use crate::settings::ImapSettings;

const BUILT_IN: &str = "IMAP4rev1 SASL-IR LOGIN-REFERRALS ID ENABLE IDLE SORT SORT=DISPLAY \
    THREAD=REFERENCES THREAD=REFS THREAD=ORDEREDSUBJECT MULTIAPPEND UNSELECT CHILDREN NAMESPACE UIDPLUS \
    LIST-EXTENDED I18NLEVEL=1 ESEARCH ESORT SEARCHRES WITHIN LIST-STATUS MOVE STATUS=SIZE";

/// The string, after `imap_capability`: words that begin with `+` add to it, others replace it.
pub(crate) fn capability_string(settings: &ImapSettings, has_special_use: bool) -> String {
    let literal = if settings.literal_minus { "LITERAL-" } else { "LITERAL+" };
    let mut own = format!("{BUILT_IN} {literal}");
    if has_special_use {
        own.push_str(" SPECIAL-USE");
    }
    match settings.capability.trim() {
        "" => own,
        list => match list.strip_prefix('+') {
            Some(more) => format!("{own} {}", more.trim()),
            None => list.to_owned(),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(setting: &str, end: &str) {
        let settings = ImapSettings { capability: setting.to_owned(), ..ImapSettings::default() };
        let string = capability_string(&settings, true);
        assert!(string.ends_with(end), "{string}");
    }

    #[test]
    fn setting_adds_or_replaces() {
        check("", "LITERAL+ SPECIAL-USE");
        check("+XFOO XBAR", "SPECIAL-USE XFOO XBAR");
        check("IMAP4rev1", "IMAP4rev1");
    }
}
