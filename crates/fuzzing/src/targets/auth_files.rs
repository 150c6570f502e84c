//! Files that say who may come in: a passwd-file, an object of a dictionary, the reply of a checkpassword
//! program. Whatever fields they hold, the answers to agents, login and mail processes stay lines.

use auth::probe::{Peer, Probe};
use ipc::auth_worker::{Facts, Subject, ToWorker};

use crate::kit::{Scratch, files, logger};

const AGENT: &str = "VERSION\t1\t2\nCPID\t1\nAUTH\t1\tPLAIN\tservice=imap\trip=10.0.0.1\t\
    resp=AGpvZQBzZWNyZXQ=\nAUTH\t2\tCRAM-MD5\tservice=pop3\n";
const MASTER: &str = "VERSION\t1\t1\nUSER\t1\tjoe\tservice=lda\nPASS\t2\tjoe\tservice=imap\nLIST\t3\n";

pub(crate) fn run(data: &[u8]) {
    let [passwd, object, reply] = files(data);
    let scratch = Scratch::new();
    let place = scratch.path().display();
    // A value of a dictionary's file is a line.
    let object: Vec<u8> = object.iter().copied().filter(|&byte| byte != b'\n').collect();
    scratch.write("values", &[b"shared/joe\n", &*object, b"\n"].concat());
    let dict = format!(
        "uri = file:{place}/values\nkey passdb {{\n key = %u\n format = json\n}}\n\
         key userdb {{\n key = %u\n format = json\n}}\n\
         passdb_objects = passdb\nuserdb_objects = userdb\npassdb_fields {{\n x = %{{dict:passdb.x}}\n}}\n"
    );
    scratch.write("dict", dict.as_bytes());
    std::fs::write(scratch.path().join("passwd"), passwd).expect("write");
    let config = format!(
        "auth_failure_delay = 0\nauth_username_chars =\nauth_mechanisms = plain cram-md5\n\
         auth_cache_size = 1M\nauth_verbose = yes\nauth_debug = yes\n\
         passdb {{\n driver = passwd-file\n args = scheme=plain username_format=%u {place}/passwd\n}}\n\
         passdb {{\n driver = dict\n args = {place}/dict\n}}\n\
         userdb {{\n driver = passwd-file\n args = {place}/passwd\n}}\n\
         userdb {{\n driver = dict\n args = {place}/dict\n}}\n"
    );
    let Ok(probe) = Probe::new(&config, logger()) else { return };
    for (peer, said) in [(Peer::Agent, AGENT), (Peer::Login, AGENT), (Peer::Master, MASTER)] {
        let heard = probe.talk(peer, said.as_bytes());
        assert!(heard.ends_with(b"\n") && !heard.contains(&0));
    }
    for frame in lookups() {
        let _ = probe.work(&ipc::encode(&frame).expect("a frame"));
    }
    for (name, _) in probe.hear_checkpassword(reply) {
        assert!(!name.contains(['\t', '\n']), "{name:?}");
    }
}

fn lookups() -> [ToWorker; 4] {
    let facts = Facts { user: Some("joe".into()), service: "imap".into(), ..Facts::default() };
    let subject = Box::new(Subject { facts, ..Subject::default() });
    let password = Some(b"secret".to_vec());
    [
        ToWorker::Passdb { id: 1, passdb: 1, subject: subject.clone(), password },
        ToWorker::Passdb { id: 2, passdb: 1, subject: subject.clone(), password: None },
        ToWorker::Userdb { id: 3, userdb: 1, subject: subject.clone() },
        ToWorker::List { id: 4, userdb: 1, subject },
    ]
}
