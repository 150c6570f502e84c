//! A small OAuth 2.0 server: introspection (RFC 7662), token information and password grants, for a few
//! tokens.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, channel};

use crate::cert::TlsServer;

/// What came: the request line, the `Authorization` field, and the body.
pub type Seen = (String, String, String);

/// A server that knows the token `good` of `joe@example.org` and a few others.
pub struct OAuth2 {
    /// Before the path.
    address: String,
    seen: Receiver<Seen>,
    is_down: Arc<AtomicBool>,
}

impl OAuth2 {
    /// Starts one on a free port of loopback. It ends with the test's process.
    pub fn start() -> Self {
        Self::start_as(None)
    }

    /// The same over TLS for `localhost`, with a certificate that is written to `dir` first.
    pub fn start_with_tls(dir: &Path) -> Self {
        crate::cert::write(dir, &["localhost"]).expect("a certificate");
        Self::start_as(Some(TlsServer::new(dir)))
    }

    fn start_as(tls: Option<TlsServer>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = listener.local_addr().expect("its address").port();
        let address = match &tls {
            Some(_) => format!("https://localhost:{port}"),
            None => format!("http://127.0.0.1:{port}"),
        };
        let (sender, seen) = channel();
        let is_down = Arc::new(AtomicBool::new(false));
        let down = Arc::clone(&is_down);
        std::thread::spawn(move || {
            while let Ok((stream, _)) = listener.accept() {
                if !down.load(Ordering::Relaxed) {
                    let seen = match &tls {
                        Some(tls) => tls.over(stream).and_then(answer),
                        None => answer(stream),
                    };
                    // The test may have ended, or the client.
                    let _ = seen.map(|seen| sender.send(seen));
                }
            }
        });
        Self { address, seen, is_down }
    }

    /// The URL of a path.
    pub fn url(&self, path: &str) -> String {
        format!("{}{path}", self.address)
    }

    /// What has come since the last call.
    pub fn seen(&self) -> Vec<Seen> {
        self.seen.try_iter().collect()
    }

    /// From now on it hangs up on everybody, or no longer.
    pub fn set_down(&self, is_down: bool) {
        self.is_down.store(is_down, Ordering::Relaxed);
    }
}

fn answer(stream: impl Read + Write) -> std::io::Result<Seen> {
    let mut reader = BufReader::new(stream);
    let (mut first, mut authorization, mut length) = (String::new(), String::new(), 0);
    reader.read_line(&mut first)?;
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        match line.trim_end().split_once(": ") {
            Some(("Content-Length", value)) => length = value.parse().expect("a number"),
            Some(("Authorization", value)) => authorization = value.to_owned(),
            Some(_) => {}
            None => break,
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    let body = String::from_utf8(body).expect("UTF-8");
    let (status, text) = judge(&format!("{first}{authorization}{body}"));
    let stream = reader.get_mut();
    write!(stream, "HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n{text}", text.len())?;
    stream.flush()?;
    Ok((first.trim_end().to_owned(), authorization, body))
}

/// Status and body for a request, by the words in it.
fn judge(request: &str) -> (&'static str, &'static str) {
    let has = |word: &str| request.contains(word);
    match () {
        () if has("grant_type=password") && has("password=s%20e") => {
            ("200 OK", r#"{"access_token":"good","token_type":"bearer"}"#)
        }
        () if has("grant_type=password") => ("400 Bad Request", r#"{"error":"invalid_grant"}"#),
        () if has("inactive") => ("200 OK", r#"{"active":false}"#),
        () if has("scopeless") => ("200 OK", r#"{"active":true,"email":"joe@example.org","scope":"smtp"}"#),
        () if has("other") => ("200 OK", r#"{"active":true,"email":"ann@example.org","scope":"mail"}"#),
        () if has("nameless") => ("200 OK", r#"{"active":true,"scope":"mail"}"#),
        () if has("good") => (
            "200 OK",
            r#"{"active":true,"email":"Joe@example.org","scope":"smtp mail","id":7,"more":{"x":1}}"#,
        ),
        () if has("broken") => ("200 OK", "{\"active\":tru"),
        () if has("failing") => ("503 Unavailable", ""),
        () => ("401 Unauthorized", r#"{"error":"invalid_token"}"#),
    }
}
