//! What MySQL, MariaDB and PostgreSQL servers answer to a login and to queries. The first byte says which
//! server it is, how it is reached, and what it is asked first.

use std::sync::OnceLock;

use db::probe;
use db::sql::{Driver, QueryTemplate, Rows, SqlConfig, SqlError, Statement};
use settings::MemoryFiles;

use crate::kit::Scratch;

/// Stands in nothing that is sent by itself.
const PASSWORD: &str = "s3cr3t-passw0rd";

/// An authority of which no key is left.
const AUTHORITY: &str = "-----BEGIN CERTIFICATE-----
MIIBdTCCARugAwIBAgIUM4ahlQGb70aV0tNR1gZLbVssmNUwCgYIKoZIzj0EAwIw
DzENMAsGA1UEAwwEZnV6ejAgFw0yNjExMjYxNTA5MDZaGA8yMTI2MTEwMjE1MDkw
NlowDzENMAsGA1UEAwwEZnV6ejBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABM5i
UkO8y/rStPHPOY9fLCl1E1B3vMrgCIIxsdxwH+9v4dD+SJyGyhthYtG9PVD9xWXg
9b9nVZg9MY4Fmwo4zuajUzBRMB0GA1UdDgQWBBTu7+HCIo5u9WlZh67FOPrGIi/A
/jAfBgNVHSMEGDAWgBTu7+HCIo5u9WlZh67FOPrGIi/A/jAPBgNVHRMBAf8EBTAD
AQH/MAoGCCqGSM49BAMCA0gAMEUCIC2bnTq33m3ZVs25Ra5lk2GuYFrtEa0lKWze
uFhKcC/WAiEAvXA/dJJTYFcAU6qjEU49eDeQQJDdGGEso2pICvIcFrU=
-----END CERTIFICATE-----
";

const LOOKUP: &str =
    "SELECT username, password, uid, score, born, seen, note FROM users WHERE username = '%u'";
const LIST: &str = "SELECT username AS user FROM users";

/// How a server is reached.
struct Way {
    driver: Driver,
    is_encrypted: bool,
    /// MySQL only: nobody can listen.
    is_private: bool,
    list_first: bool,
}

impl Way {
    fn parse(byte: u8) -> Self {
        let bit = |at: u8| byte & (1 << at) != 0;
        Self {
            driver: if bit(0) { Driver::Pgsql } else { Driver::Mysql },
            is_encrypted: bit(1),
            is_private: bit(2),
            list_first: bit(3),
        }
    }

    fn config(&self) -> SqlConfig {
        static FILES: OnceLock<Scratch> = OnceLock::new();
        let tls = match (self.driver, self.is_encrypted) {
            (Driver::Pgsql, true) => "sslmode=require".to_owned(),
            (Driver::Pgsql, false) => "sslmode=disable".to_owned(),
            (_, true) => {
                let files = FILES.get_or_init(|| {
                    let files = Scratch::new();
                    files.write("authority.pem", AUTHORITY.as_bytes());
                    files
                });
                format!("ssl_ca={}/authority.pem", files.path().display())
            }
            (_, false) => String::new(),
        };
        let driver = self.driver.name();
        let connect = format!("host=localhost user=dove password={PASSWORD} dbname=mails {tls}");
        let text = format!("driver = {driver}\nconnect = {connect}\n");
        SqlConfig::read(&MemoryFiles::one("/conf", text.as_bytes()), "/conf").expect("a configuration")
    }

    fn statements(&self) -> Vec<(Statement, usize)> {
        let statement = |text| {
            let template = QueryTemplate::parse(text, self.driver).expect("a query");
            template.bind(|text| Ok(text.replace("%u", "joe"))).expect("a statement")
        };
        let lookup = (statement(LOOKUP), 2);
        let list = (statement(LIST), usize::MAX);
        match self.list_first {
            true => vec![list, lookup.clone(), lookup],
            false => vec![lookup.clone(), lookup, list],
        }
    }
}

pub(crate) fn run(data: &[u8]) {
    ask(data);
}

fn ask(data: &[u8]) -> Vec<Result<Rows, SqlError>> {
    let Some((first, said)) = data.split_first() else { return Vec::new() };
    let way = Way::parse(*first);
    let statements = way.statements();
    let (answers, heard) = probe::sql_answers(&way.config(), said, way.is_private, &statements);
    for (answer, (_, rows_max)) in answers.iter().zip(&statements) {
        if let Ok(rows) = answer {
            assert!(rows.rows.len() <= *rows_max);
            assert!(rows.rows.iter().all(|row| row.len() == rows.columns.len()));
        }
    }
    let is_told = heard.windows(PASSWORD.len()).any(|part| part == PASSWORD.as_bytes());
    match way.driver {
        // PostgreSQL's clients tell it to whoever asks, unless they want TLS.
        Driver::Pgsql => assert!(!is_told || !way.is_encrypted),
        _ => assert!(!is_told || way.is_private),
    }
    if way.is_encrypted && !way.is_private {
        // A name is told through TLS only.
        assert!(!heard.windows(4).any(|part| part == b"dove"));
    }
    answers
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The seeds get as far as seeds are meant to.
    #[test]
    fn seeds_have_rows() {
        for (seed, lists_first) in [
            (&include_bytes!("../../../../fuzz/seeds/sql_answers/mariadb")[..], false),
            (include_bytes!("../../../../fuzz/seeds/sql_answers/mariadb_password"), true),
            (include_bytes!("../../../../fuzz/seeds/sql_answers/mysql_8"), true),
            (include_bytes!("../../../../fuzz/seeds/sql_answers/postgresql"), false),
            (include_bytes!("../../../../fuzz/seeds/sql_answers/postgresql_md5"), true),
            (include_bytes!("../../../../fuzz/seeds/sql_answers/postgresql_password"), false),
        ] {
            let answers = ask(seed);
            let found = |at: usize| answers.get(at).and_then(|answer| answer.as_ref().ok()).cloned();
            let [list, lookup] = if lists_first { [0, 1] } else { [2, 0] }.map(found);
            let shown = format!("{}: {answers:?}", seed.escape_ascii());
            assert_eq!(list.expect(&shown).rows.len(), 2);
            let lookup = lookup.expect(&shown);
            let fields: Vec<_> = lookup.fields(0).collect();
            assert_eq!(
                fields,
                [
                    ("username", Some("joe")),
                    ("password", Some("{PLAIN}x")),
                    ("uid", Some("2000")),
                    ("score", Some("1.5")),
                    ("born", Some("2001-02-03")),
                    ("seen", Some("2001-02-03 04:05:06")),
                    ("note", None),
                ]
            );
        }
    }
}
