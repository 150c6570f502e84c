//! Dictionaries over real databases: SQLite always; MariaDB, PostgreSQL, slapd, Redis and memcached of the
//! test's own where they are installed.

use std::path::Path;

use base::Logger;
use db::dict::{Change, Committed, Dict, DictError, DictUri, Flags, Iteration, Transaction};
use db::sql::{Database, SqlConfig, Statement};
use settings::StdFiles;

const TABLES: [&str; 4] = [
    "CREATE TABLE quota (username varchar(64) PRIMARY KEY, bytes bigint, messages bigint)",
    "CREATE TABLE expires (user_name varchar(64), box varchar(64), stamp bigint, note varchar(20), \
     PRIMARY KEY (user_name, box))",
    "CREATE TABLE notes (username varchar(64), name varchar(64), value varchar(200), PRIMARY KEY (username, name))",
    "CREATE TABLE blobs (id BLOBTYPE PRIMARY KEY, value varchar(20))",
];

const MAPS: &str = "map {\n pattern = priv/quota/storage\n table = quota\n username_field = username\n value_field = bytes\n value_type = int\n}\n\
    map {\n pattern = priv/quota/messages\n table = quota\n username_field = username\n value_field = messages\n value_type = int\n}\n\
    map {\n pattern = shared/expire/$user/$box\n table = expires\n value_field = stamp,note\n value_type = uint,string\n\
    \x20fields {\n user_name = $user\n box = $box\n }\n}\n\
    map {\n pattern = priv/note/$name\n table = notes\n username_field = username\n value_field = value\n fields {\n name = $name\n }\n}\n\
    map {\n pattern = shared/blob/$id\n table = blobs\n value_field = value\n fields {\n id = ${hexblob:id}\n }\n}\n";

fn open(uri: &str) -> Dict {
    Dict::new(&DictUri::parse(&StdFiles, uri, "").unwrap(), &Logger::new("test: "))
}

fn sql(dir: &Path, driver: &str, connect: &str, blob: &str) -> Dict {
    let path = dir.join("sql.conf.ext");
    std::fs::write(&path, format!("driver = {driver}\nconnect = {connect}\n")).unwrap();
    let config = SqlConfig::read(&StdFiles, path.to_str().unwrap()).unwrap();
    let mut database = Database::new(&config, Logger::new("test: "));
    for table in TABLES {
        database.query(&Statement::plain(table.replace("BLOBTYPE", blob)), 0).unwrap();
    }
    let path = dir.join("dict.conf.ext");
    std::fs::write(&path, format!("connect = {connect}\n{MAPS}")).unwrap();
    open(&format!("{driver}:{}", path.display()))
}

fn set(key: &str, value: &str) -> Change {
    Change::Set { key: key.into(), value: value.into() }
}

fn unset(key: &str) -> Change {
    Change::Unset { key: key.into() }
}

fn add(key: &str, diff: i64) -> Change {
    Change::Increase { key: key.into(), diff }
}

fn commit(dict: &mut Dict, changes: &[Change]) -> Result<Committed, DictError> {
    dict.commit(&Transaction { user: "joe".into(), timestamp: None, changes: changes.to_vec() })
}

fn value(dict: &mut Dict, key: &str) -> Option<String> {
    dict.values("joe", key).unwrap().map(|values| values.join("|"))
}

fn list(dict: &mut Dict, path: &str, bits: u32, rows_max: usize) -> String {
    let iteration = Iteration { user: "joe", path, flags: Flags::from_bits(bits), rows_max };
    let mut rows = Vec::new();
    let listed = dict.iterate(&iteration, &mut |row| {
        let values = row.values.join("|");
        rows.push(if row.values.is_empty() { row.key } else { format!("{}={values}", row.key) });
    });
    rows.extend(listed.err().map(|error| error.to_string()));
    rows.join(" ")
}

const RECURSE: u32 = 1;
const BY_KEY: u32 = 2;
const BY_VALUE: u32 = 4;
const NO_VALUE: u32 = 8;
const EXACT: u32 = 16;

/// The same whatever the database.
fn check_sql(dict: &mut Dict) {
    let (storage, messages) = ("priv/quota/storage", "priv/quota/messages");
    assert_eq!(value(dict, storage), None);
    assert_eq!(commit(dict, &[add(storage, 5)]), Ok(Committed::NotFound));
    assert_eq!(commit(dict, &[set(storage, "9007199254740993"), set(messages, "6")]), Ok(Committed::Done));
    assert_eq!(commit(dict, &[add(storage, 2), add(messages, -7)]), Ok(Committed::Done));
    assert_eq!(value(dict, storage).as_deref(), Some("9007199254740995"), "to the last digit");
    assert_eq!(value(dict, messages).as_deref(), Some("-1"));
    assert_eq!(commit(dict, &[set(messages, "8")]), Ok(Committed::Done), "the row is there already");
    assert_eq!(value(dict, storage).as_deref(), Some("9007199254740995"));
    // All or nothing.
    let failed = commit(dict, &[set(messages, "9"), set("shared/expire/joe/INBOX", "-5")]).unwrap_err();
    assert_eq!(
        failed.to_string(),
        "dict-sql: Failed to set 1 fields (first shared/expire/joe/INBOX): \
         value field's value isn't 64bit unsigned integer: -5 (in pattern: shared/expire/$/$)"
    );
    let too_long = "x".repeat(300);
    let failed = commit(dict, &[set(messages, "9"), set("priv/note/a", &too_long)]);
    if let Err(failed) = &failed {
        assert!(failed.to_string().starts_with("sql dict: commit failed: "), "{failed}");
        assert_eq!(value(dict, messages).as_deref(), Some("8"), "rolled back");
    }
    commit(dict, &[unset("priv/note/a")]).unwrap();
    check_sql_lists(dict);
    for hostile in ["' OR '1'='1", "\\' OR 1=1 -- ", "%", "_", "ü", "\"", "a\\"] {
        let key = format!("priv/note/{hostile}");
        assert_eq!(value(dict, &key), None, "{hostile}");
        assert_eq!(commit(dict, &[set(&key, hostile)]), Ok(Committed::Done));
        assert_eq!(value(dict, &key).as_deref(), Some(hostile));
    }
    assert_eq!(commit(dict, &[unset("priv/note/%")]), Ok(Committed::Done));
    assert_eq!(
        list(dict, "priv/note/", NO_VALUE, 0).split(' ').filter(|key| key.contains("/note/")).count(),
        6
    );
    assert_eq!(commit(dict, &[unset(storage)]), Ok(Committed::Done));
    assert_eq!(value(dict, messages), None, "they are one row");
    let unmapped = dict.lookup("joe", "shared/x").unwrap_err();
    assert_eq!(unmapped.to_string(), "sql dict lookup: Invalid/unmapped key: shared/x");
}

fn check_sql_lists(dict: &mut Dict) {
    let stamps = [("b", "2"), ("a", "1"), ("c/d", "3")];
    let stamps = stamps.map(|(name, stamp)| set(&format!("shared/expire/joe/{name}"), stamp));
    commit(dict, &stamps).unwrap();
    commit(dict, &[set("shared/expire/ann/a", "0")]).unwrap();
    for (path, bits, rows_max, expect) in [
        ("shared/expire/joe/", BY_KEY, 0, "shared/expire/joe/a=1| shared/expire/joe/b=2|"),
        ("shared/expire/joe/", RECURSE + BY_VALUE + NO_VALUE, 2, "shared/expire/joe/a shared/expire/joe/b"),
        (
            "shared/expire/",
            RECURSE + BY_KEY + NO_VALUE,
            0,
            "shared/expire/ann/a shared/expire/joe/a shared/expire/joe/b shared/expire/joe/c/d",
        ),
        ("shared/expire/joe/b", EXACT, 0, "shared/expire/joe/b=2|"),
        ("shared/expire/joe/x", EXACT, 0, ""),
        ("shared/expire/", 0, 0, "sql dict iterate failed for shared/expire/: Invalid/unmapped path"),
        ("shared/x/", RECURSE, 0, "sql dict iterate failed for shared/x/: Invalid/unmapped path"),
        (
            "shared/expire/joe/b/",
            0,
            0,
            "sql dict iterate failed for shared/expire/joe/b/: \
             Key continues past the matched pattern shared/expire/$/$",
        ),
        ("priv/note/", 0, 0, ""),
        ("priv/quota/", RECURSE + NO_VALUE, 0, "priv/quota/storage priv/quota/messages"),
    ] {
        assert_eq!(list(dict, path, bits, rows_max), expect, "{path} {bits}");
    }
    commit(dict, &[set("shared/blob/00ff41", "x")]).unwrap();
    assert_eq!(value(dict, "shared/blob/00FF41").as_deref(), Some("x"));
    assert_eq!(list(dict, "shared/blob/", 0, 0), "shared/blob/00ff41=x");
}

#[test]
fn sqlite() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("db");
    std::fs::write(&path, "").unwrap();
    check_sql(&mut sql(dir.path(), "sqlite", path.to_str().unwrap(), "blob"));
}

#[test]
fn mariadb() {
    let dir = tempfile::tempdir().unwrap();
    let Some(mut server) = harness::MariaDb::start(dir.path()) else { return };
    server.run("CREATE DATABASE mails");
    let connect = format!("host={} user=root dbname=mails", server.socket().display());
    let mut dict = sql(dir.path(), "mysql", &connect, "varbinary(20)");
    check_sql(&mut dict);
    // The server goes away and comes back: the next change finds out and is made once.
    let key = "priv/quota/storage";
    commit(&mut dict, &[set(key, "1")]).unwrap();
    server.kill();
    assert!(commit(&mut dict, &[add(key, 1)]).is_err());
    server.resume();
    harness::needs::wait_for("reconnect", || dict.lookup("joe", key).ok());
    server.kill();
    server.resume();
    assert_eq!(commit(&mut dict, &[add(key, 1)]), Ok(Committed::Done));
    assert_eq!(value(&mut dict, key).as_deref(), Some("2"));
}

#[test]
fn postgresql() {
    let dir = tempfile::tempdir().unwrap();
    let Some(server) = harness::Postgres::start(dir.path()) else { return };
    server.run("CREATE USER dove PASSWORD 'x'; GRANT ALL ON SCHEMA public TO dove;");
    let connect = format!("host=127.0.0.1 port={} user=dove password=x dbname=postgres", server.port());
    check_sql(&mut sql(dir.path(), "pgsql", &connect, "bytea"));
}

#[test]
fn redis() {
    let dir = tempfile::tempdir().unwrap();
    let Some(mut server) = harness::Redis::start(dir.path(), "pw") else { return };
    let uri = format!("redis:port={}:password=pw:db=2:prefix=p/:expire_secs=1000", server.port());
    let mut dict = open(&uri);
    assert_eq!(value(&mut dict, "shared/a"), None);
    assert_eq!(commit(&mut dict, &[set("shared/a", "x\r\ny"), set("priv/n", "5")]), Ok(Committed::Done));
    assert_eq!(value(&mut dict, "shared/a").as_deref(), Some("x\r\ny"));
    assert_eq!(commit(&mut dict, &[add("priv/n", -7), unset("shared/a")]), Ok(Committed::Done));
    assert_eq!(value(&mut dict, "priv/n").as_deref(), Some("-2"));
    assert_eq!(
        value(&mut open(&uri.replace("prefix=p/", "prefix=p/joe/")), "shared/n").as_deref(),
        Some("-2")
    );
    assert_eq!(value(&mut dict, "shared/a"), None);
    commit(&mut dict, &[set("shared/text", "x")]).unwrap();
    let failed = commit(&mut dict, &[add("shared/text", 1)]).unwrap_err();
    assert!(matches!(&failed, DictError::Failed(text) if text.starts_with("redis: ")), "{failed}");
    assert_eq!(list(&mut dict, "shared/", 0, 0), DictError::Unsupported.to_string());
    server.kill();
    assert!(matches!(commit(&mut dict, &[set("shared/a", "x")]), Err(DictError::Failed(_))));
    server.resume();
    assert_eq!(commit(&mut dict, &[set("shared/a", "x")]), Ok(Committed::Done));
}

#[test]
fn memcached() {
    let Some(server) = harness::Memcached::start() else { return };
    let mut dict = open(&format!("memcached_ascii:port={}:prefix=p/", server.port()));
    let first = [set("shared/a", "x\r\ny"), add("priv/n", 5), unset("shared/none")];
    assert_eq!(commit(&mut dict, &first), Ok(Committed::Done));
    assert_eq!(value(&mut dict, "shared/a").as_deref(), Some("x\r\ny"));
    assert_eq!(commit(&mut dict, &[add("priv/n", -2), unset("shared/a")]), Ok(Committed::Done));
    assert_eq!(value(&mut dict, "priv/n").as_deref(), Some("3"));
    assert_eq!(value(&mut dict, "shared/a"), None);
    assert!(commit(&mut dict, &[set("shared/a b", "x")]).is_err(), "it would be another command");
    let mut binary = open(&format!("memcached:port={}:prefix=p/", server.port()));
    assert_eq!(value(&mut binary, "shared/joe/n").as_deref(), Some("3"));
    assert_eq!(commit(&mut binary, &[set("shared/a", "x")]), Err(DictError::Unsupported));
}

#[test]
fn ldap() {
    const LDIF: &str = "dn: dc=example,dc=org\nobjectClass: dcObject\nobjectClass: organization\no: x\ndc: example\n\n\
        dn: cn=joe,dc=example,dc=org\nobjectClass: person\ncn: joe\nsn: (x)*\ndescription: 5G\n\n";
    let dir = tempfile::tempdir().unwrap();
    let Some(mut server) = harness::Slapd::start(dir.path(), None, LDIF) else { return };
    let path = dir.path().join("ldap.conf.ext");
    let text = format!(
        "uri = ldap://127.0.0.1:{}\nbind_dn = cn=admin,dc=example,dc=org\npassword = adminpw\nmax_idle_time = 60\n\
         map {{\n pattern = priv/quota\n filter = (objectClass=person)\n value_attribute = description\n base_dn = dc=example,dc=org\n}}\n\
         map {{\n pattern = shared/by-sn/$sn\n filter = (&(objectClass=person)(sn=%{{sn}}))\n value_attribute = cn\n\
         \x20base_dn = dc=example,dc=org\n scope = one\n fields {{\n sn = $sn\n }}\n}}\n",
        server.port()
    );
    std::fs::write(&path, text).unwrap();
    let mut dict = open(&format!("ldap:{}", path.display()));
    assert_eq!(value(&mut dict, "priv/quota").as_deref(), Some("5G"));
    assert_eq!(dict.lookup("*", "priv/quota"), Ok(None), "a name is no pattern");
    assert_eq!(value(&mut dict, "shared/by-sn/(x)*").as_deref(), Some("joe"));
    assert_eq!(value(&mut dict, "shared/by-sn/*"), None);
    assert_eq!(dict.lookup("joe", "shared/x").unwrap_err().to_string(), "no such key");
    assert_eq!(commit(&mut dict, &[set("priv/quota", "1")]), Err(DictError::Unsupported));
    assert_eq!(list(&mut dict, "priv/", 0, 0), DictError::Unsupported.to_string());
    server.kill();
    assert!(dict.lookup("joe", "priv/quota").is_err());
}
