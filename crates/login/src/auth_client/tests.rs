use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixListener;
use zeroize::Zeroizing;

use super::*;

const HELLO: &[u8] = b"VERSION\t1\t2\nMECH\tPLAIN\tplaintext\nSPID\t5\nCUID\t1\nCOOKIE\tab\nDONE\n";

struct Fake {
    listener: UnixListener,
    path: PathBuf,
}

impl Fake {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("login-auth-{name}-{}", std::process::id()));
        let _ = std::fs::remove_file(&path);
        Self { listener: UnixListener::bind(&path).unwrap(), path }
    }

    async fn accept(&self) -> BufReader<UnixStream> {
        let (stream, _) = self.listener.accept().await.unwrap();
        let mut stream = BufReader::new(stream);
        assert_eq!(line(&mut stream).await, "VERSION\t1\t2");
        assert_eq!(line(&mut stream).await, "CPID\t42");
        stream
    }

    fn client(&self) -> AuthClient {
        AuthClient::start(self.path.clone(), 42, Logger::new("test: "))
    }
}

impl Drop for Fake {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

async fn line(stream: &mut BufReader<UnixStream>) -> String {
    let mut line = String::new();
    tokio::time::timeout(Duration::from_secs(10), stream.read_line(&mut line)).await.unwrap().unwrap();
    line.trim_end().to_owned()
}

fn plain(text: &str) -> AuthRequest {
    AuthRequest(Zeroizing::new(text.to_owned()))
}

#[tokio::test]
async fn requests_share_a_connection() {
    let fake = Fake::new("share");
    let client = fake.client();
    let mut server = fake.accept().await;
    server.write_all(HELLO).await.unwrap();
    assert!(
        matches!(client.settled().await, AuthState::Ready(it) if it.server_pid == 5 && it.list.len() == 1)
    );
    let mut first = client.request(&plain("PLAIN\tservice=imap"));
    let mut second = client.request(&plain("LOGIN\tservice=imap"));
    let third = client.request(&plain("PLAIN\tservice=imap"));
    assert_eq!(line(&mut server).await, "AUTH\t1\tPLAIN\tservice=imap");
    assert_eq!(line(&mut server).await, "AUTH\t2\tLOGIN\tservice=imap");
    assert_eq!(line(&mut server).await, "AUTH\t3\tPLAIN\tservice=imap");
    // Answers come in any order and cut anywhere; those nobody waits for do no harm.
    drop(third);
    assert_eq!(line(&mut server).await, "CANCEL\t3");
    server.write_all(b"CONT\t2\tVXNlcm5hbWU6\nOK\t9\tuser=x\nFAI").await.unwrap();
    assert_eq!(second.reply().await, AuthReply::Continue("VXNlcm5hbWU6".into()));
    second.respond("dQ==");
    assert_eq!(line(&mut server).await, "CONT\t2\tdQ==");
    server.write_all(b"L\t2\tuser=u\nOK\t1\tuser=v\n").await.unwrap();
    assert!(matches!(second.reply().await, AuthReply::Fail { fields } if fields.value("user") == Some("u")));
    assert!(matches!(first.reply().await, AuthReply::Ok { .. }));
    drop(second);
    first.keep();
    let _last = client.request(&plain("PLAIN"));
    assert_eq!(line(&mut server).await, "AUTH\t4\tPLAIN");
}

#[tokio::test]
async fn a_lost_connection_is_made_anew() {
    let fake = Fake::new("lost");
    let client = fake.client();
    let mut server = fake.accept().await;
    server.write_all(HELLO).await.unwrap();
    client.settled().await;
    let mut ticket = client.request(&plain("PLAIN"));
    let mut challenged = client.request(&plain("LOGIN"));
    server.write_all(b"CONT\t2\t\n").await.unwrap();
    assert_eq!(challenged.reply().await, AuthReply::Continue(String::new()));
    drop(server);
    assert_eq!(ticket.reply().await, AuthReply::Lost);
    assert_eq!(challenged.reply().await, AuthReply::Lost);
    let mut server = fake.accept().await;
    assert!(matches!(client.state(), AuthState::Away));
    // The new connection must not hear of the old one's requests.
    challenged.respond("dQ==");
    drop(challenged);
    server.write_all(HELLO).await.unwrap();
    assert!(matches!(client.settled().await, AuthState::Ready(_)));
    let _next = client.request(&plain("PLAIN"));
    assert_eq!(line(&mut server).await, "AUTH\t3\tPLAIN");
}

#[tokio::test]
async fn an_auth_process_that_never_gets_ready_is_broken() {
    let fake = Fake::new("broken");
    let client = fake.client();
    drop(fake.accept().await);
    assert!(matches!(client.settled().await, AuthState::Broken));
    let mut server = fake.accept().await;
    server.write_all(b"VERSION\t2\t0\n").await.unwrap();
    assert_eq!(line(&mut server).await, "");
}
