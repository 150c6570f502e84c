//! What Redis, memcached and a dict process answer, what stands in a dictionary's file, URIs, and what is said to
//! our own dict process.

use std::io::{Read, Write};
use std::os::unix::net::UnixListener;
use std::sync::Arc;

use db::dict::{Dict, DictUri, json_fields};
use settings::Snapshot;

use crate::kit::Scratch;

pub(crate) fn run(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let _ = json_fields(&text);
    let _ = DictUri::parse(&text, "");
    let scratch = Scratch::new();
    scratch.write("file", data);
    let place = scratch.path().display();
    if let Ok(uri) = DictUri::parse(&format!("file:{place}/file"), "") {
        let mut dict = Dict::new(&uri);
        let _ = dict.lookup("joe", "shared/key");
        let _ = dict.iterate("shared/", &mut |_| {});
    }
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
    let mut dict = Dict::new(&DictUri::parse(uri, "").expect("a URI"));
    for _ in 0..2 {
        if dict.lookup("joe", "shared/key").is_err() {
            // Nobody would answer the next one.
            break;
        }
    }
}
