//! What Redis, memcached and a dict process answer, what stands in a dictionary's file, URIs, and what is said to
//! our own dict process.

use std::io::{Read, Write};
use std::os::unix::net::UnixListener;
use std::sync::Arc;

use base::Logger;
use db::dict::{Change, Dict, DictUri, Flags, Iteration, Transaction, json_fields};
use settings::{MemoryFiles, Snapshot, StdFiles};

use crate::kit::Scratch;

pub(crate) fn run(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let _ = json_fields(&text);
    // Whatever file a URI names has the same in it.
    let _ = DictUri::parse(&MemoryFiles::default(), &text, "");
    for uri in ["mysql:/file", "pgsql:/file", "sqlite:/file", "ldap:/file"] {
        let _ = DictUri::parse(&MemoryFiles::one("/file", data), uri, "");
    }
    let scratch = Scratch::new();
    scratch.write("file", data);
    let place = scratch.path().display();
    let open = |uri: &str| Dict::new(&DictUri::parse(&StdFiles, uri, "").expect("a URI"), &Logger::new(""));
    use_all(&mut open(&format!("file:{place}/file")), &text);
    use_all(&mut open(&format!("fs:posix:prefix={place}/fs/")), &text);
    let redis = format!("redis:path={place}/socket:timeout_msecs=1000:db=1");
    ask(&scratch, &redis, data);
    std::fs::remove_file(scratch.path().join("socket")).expect("unlink");
    ask(&scratch, &format!("proxy:{place}/socket:name"), data);
    let config = format!("dict {{\n name = file:{place}/file\n}}\n");
    let settings = Arc::new(Snapshot::from_text(&config).expect("a configuration"));
    let said = [b"H3\t2\t0\tjoe\tname\n", data].concat();
    for said in [data, &said] {
        let _ = backplane::probe::dict_answers(&settings, said).expect("a socket pair");
    }
    // memcached is never reached over a socket's path by configuration; the address is the same.
    ask_over_tcp("memcached", data);
    ask_over_tcp("memcached_ascii", data);
}

fn ask(scratch: &Scratch, uri: &str, data: &[u8]) {
    let listener = UnixListener::bind(scratch.path().join("socket")).expect("bind");
    std::thread::scope(|scope| {
        scope.spawn(move || {
            if let Ok((stream, _)) = listener.accept() {
                say(stream, data, |stream| stream.shutdown(std::net::Shutdown::Write));
            }
        });
        look_up(uri);
    });
}

fn ask_over_tcp(driver: &str, data: &[u8]) {
    let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).expect("bind");
    let port = listener.local_addr().expect("an address").port();
    std::thread::scope(|scope| {
        scope.spawn(move || {
            if let Ok((stream, _)) = listener.accept() {
                say(stream, data, |stream| stream.shutdown(std::net::Shutdown::Write));
            }
        });
        look_up(&format!("{driver}:host=127.0.0.1:port={port}:timeout_msecs=1000"));
    });
}

fn say<S: Read + Write>(mut stream: S, data: &[u8], end: impl Fn(&S) -> std::io::Result<()>) {
    let _ = stream.write_all(data);
    let _ = end(&stream);
    let _ = stream.read_to_end(&mut Vec::new());
}

fn look_up(uri: &str) {
    let mut dict = Dict::new(&DictUri::parse(&StdFiles, uri, "").expect("a URI"), &Logger::new(""));
    for step in [
        |dict: &mut Dict| dict.lookup("joe", "shared/key").is_ok(),
        |dict: &mut Dict| dict.commit(&transaction("shared/key", "value")).is_ok(),
        |dict: &mut Dict| dict.iterate(&iteration("shared/"), &mut |_| {}).is_ok(),
        |dict: &mut Dict| dict.lookup("joe", "priv/key").is_ok(),
    ] {
        if !step(&mut dict) {
            // Nobody would answer the next one.
            break;
        }
    }
}

fn iteration(path: &str) -> Iteration<'_> {
    Iteration { user: "joe", path, flags: Flags { recurse: true, ..Flags::default() }, rows_max: 0 }
}

fn transaction(key: &str, value: &str) -> Transaction {
    let (key, value) = (key.to_owned(), value.to_owned());
    let changes = vec![
        Change::Set { key: key.clone(), value },
        Change::Increase { key: key.clone(), diff: 1 },
        Change::Unset { key },
    ];
    Transaction { user: "joe".into(), timestamp: Some((1, 2)), changes }
}

/// All that can be done with keys that a stranger has chosen.
fn use_all(dict: &mut Dict, text: &str) {
    let (key, value) = text.split_once('\n').unwrap_or((text, ""));
    for key in [key, &format!("shared/{key}"), &format!("priv/{key}")] {
        let _ = dict.commit(&transaction(key, value));
        let set = Change::Set { key: key.to_owned(), value: value.to_owned() };
        let _ = dict.commit(&Transaction { changes: vec![set], ..Transaction::default() });
        let _ = dict.lookup("joe", key);
        let _ = dict.iterate(&iteration(key), &mut |_| {});
        let _ = dict.iterate(&Iteration { flags: Flags::default(), ..iteration(key) }, &mut |_| {});
    }
}
