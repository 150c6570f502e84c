//! What HTTP servers answer: policy servers and those of OAuth 2.0; and URLs.

use db::http::Url;
use db::policy::{Attributes, Verdict};
use db::probe::{http_answer, oauth2_reply};

pub(crate) fn run(data: &[u8]) {
    let whole = http_answer(data, true);
    for at_end in [false, true] {
        for end in [data.len() / 2, data.len()] {
            if let Ok(Some(answer)) = http_answer(data.get(..end).unwrap_or_default(), at_end) {
                // More that comes is never what makes an answer wrong.
                assert!(at_end || whole.is_ok());
                let _ = Verdict::parse(&answer.body);
                let _ = oauth2_reply(answer);
            }
        }
    }
    let _ = Verdict::parse(data);
    let text = String::from_utf8_lossy(data);
    let _ = Url::parse(&text);
    if let Ok(attributes) = Attributes::parse(&text) {
        let json = attributes.json(&|template| template.to_owned(), &[("success", true)]);
        assert!(Verdict::parse(json.as_bytes()).is_ok() || json.contains("status") || json.contains("msg"));
    }
    assert!(db::http::escape(&text).bytes().all(|byte| byte.is_ascii_graphic() && byte != b'&'));
}
