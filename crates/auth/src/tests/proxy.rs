//! Logins that belong to another server: what login processes are told, and where they may have
//! connections made to.

use ipc::connect::{Connect, Connected};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::bench::{Bench, local, plain};
use crate::client::Kind;
use crate::limits::PROXY_CONNECTS_MAX;

const FILE: &str = "auth_mechanisms = plain login\nauth_proxy_self = 192.0.2.7\n\
                    passdb {\n driver = passwd-file\n args = scheme=PLAIN DIR/users\n}\n";

/// 2.3 takes a broken `hostip` for a wrong password.
#[tokio::test(flavor = "current_thread")]
async fn what_login_processes_are_told() {
    let users = "away:x::::::proxy=y host=10.0.0.1\n\
                 pass:x::::::proxy=y host=10.0.0.1 pass=other master=boss\n\
                 maybe:x::::::proxy_maybe=y host=10.0.0.1 destuser=z\n\
                 self:x::::::proxy_maybe=y host=127.0.0.1 port=143 destuser=z\n\
                 port:x::::::proxy_maybe=y host=127.0.0.1 port=1143\n\
                 alias:x::::::proxy_maybe=y host=192.0.2.7\n\
                 always:x::::::proxy_maybe=y proxy_always=y host=192.0.2.7\n\
                 nohost:x::::::proxy=y\n\
                 named:x::::::proxy=y host=back.example hostip=10.0.0.2\n\
                 local:x::::::proxy=y host=localhost\n\
                 broken:x::::::proxy=y host=back.example hostip=nonsense nodelay=y\n\
                 unknown:x::::::proxy=y host=does.not.exist.invalid nodelay=y\n\
                 bad:y::::::proxy=y host=10.0.0.1 nodelay=y\n";
    let more = "\tlip=127.0.0.1\tlport=143";
    local(async {
        let bench = Bench::new(FILE, &[("users", users)]);
        let mut client = bench.client(Kind::Login).await;
        client.greeting().await;
        let cases = [
            ("away", "OK|user=away|proxy|host=10.0.0.1|pass=x"),
            ("pass", "OK|user=pass|proxy|host=10.0.0.1|pass=other|master=boss"),
            ("maybe", "OK|user=maybe|host=10.0.0.1|destuser=z|proxy|pass=x"),
            ("self", "OK|user=self|"),
            ("port", "OK|user=port|host=127.0.0.1|port=1143|proxy|pass=x"),
            ("alias", "OK|user=alias|"),
            ("always", "OK|user=always|proxy|pass=x"),
            ("nohost", "OK|user=nohost|proxy|lip=127.0.0.1|lport=143|pass=x"),
            ("named", "OK|user=named|proxy|host=back.example|hostip=10.0.0.2|pass=x"),
            ("broken", "FAIL|user=broken|nodelay|code=temp_fail|hostip=nonsense|nodelay"),
            ("unknown", "FAIL|user=unknown|nodelay|code=temp_fail|nodelay"),
            ("bad", "FAIL|user=bad"),
        ];
        for (id, (user, expect)) in (1..).zip(cases) {
            let answer = client.ask(&plain(id, user, "x", more)).await;
            let (word, fields) = expect.split_once('|').unwrap();
            let expect = format!("{word}|{id}|{fields}").replace('|', "\t");
            let answer = answer.replace("\tnodelay=y", "\tnodelay");
            assert_eq!(answer.trim_end_matches('\t'), expect.trim_end_matches('\t'), "{user}");
        }
        let answer = client.ask(&plain(99, "local", "x", more)).await;
        assert!(answer.contains("\thostip=127.0.0.1") || answer.contains("\thostip=::1"), "{answer}");
    })
    .await;
}

#[tokio::test(flavor = "current_thread")]
async fn connections_are_made_to_where_the_login_goes_and_nowhere_else() {
    local(async {
        let server = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = server.local_addr().unwrap().port();
        let closed = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();
        let users = format!(
            "joe:x::::::proxy=y host=127.0.0.1 port={port}\nann:x::::::\n\
             gone:x::::::proxy=y host=127.0.0.1 port={closed}\n"
        );
        let bench = Bench::new(FILE, &[("users", &users)]);
        let mut login = bench.client(Kind::Login).await;
        let (_, cookie) = login.greeting().await;
        for (id, user) in [(7, "joe"), (8, "ann"), (9, "gone")] {
            assert!(login.ask(&plain(id, user, "x", "")).await.starts_with("OK\t"));
        }
        let request = |auth_id| Connect {
            client_pid: std::process::id(),
            cookie: cookie.clone(),
            auth_id,
            source_ip: None,
            timeout_ms: 5000,
        };
        let mut link = bench.connector();
        link.send(&request(7)).await.unwrap();
        assert_eq!(link.expect::<Connected>().await.unwrap(), Connected::Ok);
        let stream = std::net::TcpStream::from(link.descriptor().unwrap());
        let mut stream = tokio::net::TcpStream::from_std(stream).unwrap();
        server.accept().await.unwrap().0.write_all(b"hi").await.unwrap();
        let mut heard = [0; 2];
        stream.read_exact(&mut heard).await.unwrap();
        assert_eq!(&heard, b"hi");
        // A login that is not proxied, one that there is not, and those of other processes.
        let wrong = [
            request(8),
            request(70),
            Connect { cookie: "00".repeat(16), ..request(7) },
            Connect { client_pid: 1, ..request(7) },
        ];
        for request in wrong {
            link.send(&request).await.unwrap();
            assert_eq!(link.expect::<Connected>().await.unwrap(), Connected::Expired, "{request:?}");
        }
        link.send(&request(9)).await.unwrap();
        let failed = link.expect::<Connected>().await.unwrap();
        assert!(
            matches!(&failed, Connected::Failed { reason, local: Some(_) } if reason == "Connection refused"),
            "{failed:?}"
        );
        let elsewhere = Connect { source_ip: "192.0.2.1".parse().ok(), ..request(7) };
        link.send(&elsewhere).await.unwrap();
        let failed = link.expect::<Connected>().await.unwrap();
        assert!(matches!(failed, Connected::Failed { .. }), "{failed:?}");
        // Not for ever, and not once the login is through.
        let mut count = 2;
        loop {
            link.send(&request(7)).await.unwrap();
            match link.expect::<Connected>().await.unwrap() {
                Connected::Ok => drop(link.descriptor()),
                Connected::Expired => break,
                other => panic!("{other:?}"),
            }
            count += 1;
        }
        assert_eq!(count, PROXY_CONNECTS_MAX);
        login.say("CANCEL\t9").await;
        assert!(login.ask(&plain(10, "ann", "x", "")).await.starts_with("OK\t"));
        link.send(&request(9)).await.unwrap();
        assert_eq!(link.expect::<Connected>().await.unwrap(), Connected::Expired);
    })
    .await;
}
