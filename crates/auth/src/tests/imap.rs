//! Another IMAP server as the judge of passwords: a small one that the test plays.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};

use super::bench::{Bench, local, plain};
use crate::client::Kind;

/// Serves by LOGIN with literals or AUTHENTICATE PLAIN; `judge` is asked what PLAIN would say.
pub(super) fn serve(
    mut stream: TcpStream,
    capability: &str,
    judge: fn(&str) -> &'static str,
) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    stream.write_all(b"* OK ready\r\n")?;
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 {
            return Ok(());
        }
        let mut words = line.trim_end().splitn(3, ' ');
        let (tag, command) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        let given = match command {
            "CAPABILITY" => {
                write!(stream, "* CAPABILITY IMAP4rev1{capability}\r\n{tag} OK done\r\n")?;
                continue;
            }
            "AUTHENTICATE" => {
                stream.write_all(b"+ \r\n")?;
                let mut response = String::new();
                reader.read_line(&mut response)?;
                sasl::encoding::from_base64(response.trim_end().as_bytes()).unwrap_or_default()
            }
            "LOGIN" => {
                let mut both = vec![0];
                let mut size = literal(words.next().unwrap_or_default());
                for is_last in [false, true] {
                    stream.write_all(b"+ go\r\n")?;
                    let mut bytes = vec![0; size];
                    reader.read_exact(&mut bytes)?;
                    both.extend(bytes);
                    let mut rest = String::new();
                    reader.read_line(&mut rest)?;
                    if !is_last {
                        both.push(0);
                        size = literal(rest.trim());
                    }
                }
                both
            }
            _ => return Ok(()),
        };
        let answer = judge(&String::from_utf8_lossy(&given));
        write!(stream, "{tag} {answer}\r\n")?;
    }
}

fn judge(given: &str) -> &'static str {
    match given {
        "\0joe\0s\"e\\c" | "\0j\u{fc}rgen\0p\u{e4}ss" => "OK in",
        "\0old\0x" => "NO [EXPIRED] Too old",
        "\0busy\0x" => "NO [UNAVAILABLE] Later",
        "\0bad\0x" => "BAD What?",
        _ => "NO [AUTHENTICATIONFAILED] No",
    }
}

fn literal(text: &str) -> usize {
    text.trim_matches(['{', '}']).parse().unwrap_or(0)
}

#[tokio::test(flavor = "current_thread")]
async fn another_server_judges() {
    local(async {
        for capability in ["", " AUTH=PLAIN"] {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let port = listener.local_addr().unwrap().port();
            std::thread::spawn(move || {
                for stream in listener.incoming().flatten() {
                    // Whoever has his answer may go.
                    std::thread::spawn(move || serve(stream, capability, judge).is_ok());
                }
            });
            let config = format!(
                "auth_username_chars =\nauth_username_format =\n\
                 passdb {{\n driver = imap\n args = host=127.0.0.1 port={port}\n}}\n\
                 userdb {{\n driver = static\n args = uid=1 gid=1 home=/h\n}}\n"
            );
            let bench = Bench::new(&config, &[]);
            let mut client = bench.client(Kind::Client).await;
            client.greeting().await;
            for (id, (user, password, expect)) in (1..).zip([
                ("joe", "s\"e\\c", "OK\tuser=joe"),
                ("joe", "wrong", "FAIL\tuser=joe"),
                ("joe", "", "FAIL\tuser=joe"),
                ("j\u{fc}rgen", "p\u{e4}ss", "OK\tuser=j\u{fc}rgen"),
                ("x {3+}", "x", "FAIL\tuser=x {3+}"),
                ("old", "x", "FAIL\tuser=old\tcode=pass_expired\treason=Password expired"),
                ("busy", "x", "FAIL\tuser=busy\tcode=temp_fail"),
                ("bad", "x", "FAIL\tuser=bad\tcode=temp_fail"),
            ]) {
                let answer = client.ask(&plain(id, user, password, "")).await;
                assert_eq!(answer.replacen(&format!("\t{id}"), "", 1), expect, "{capability}: {user}");
            }
        }
    })
    .await;
}

#[tokio::test(flavor = "current_thread")]
async fn a_judge_that_is_not_there_or_mad() {
    local(async {
        let gone = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let mad = TcpListener::bind("127.0.0.1:0").unwrap();
        let mad_port = mad.local_addr().unwrap().port();
        std::thread::spawn(move || {
            for (stream, say) in
                mad.incoming().zip([&b"220 smtp\r\n"[..], b"", b"* OK\r\n\xff\xfe", &[b'x'; 100_000]])
            {
                // Whoever has heard enough has gone.
                let _ = stream.and_then(|mut stream| stream.write_all(say));
            }
        });
        for port in [gone, mad_port, mad_port, mad_port, mad_port] {
            let config = format!(
                "passdb {{\n driver = imap\n args = host=127.0.0.1 port={port}\n}}\n\
                 userdb {{\n driver = static\n args = uid=1 gid=1 home=/h\n}}\n"
            );
            let bench = Bench::new(&config, &[]);
            let mut client = bench.client(Kind::Client).await;
            client.greeting().await;
            let answer = client.ask(&plain(1, "joe", "x", "")).await;
            assert_eq!(answer, "FAIL\t1\tuser=joe\tcode=temp_fail");
        }
    })
    .await;
}
