//! Texts that say how to ask databases of users: configuration files of SQL, LDAP
//! and OAuth 2.0, queries, lists of attributes, JSON Web Tokens.

use base::Logger;
use db::ldap::{AttrMap, LdapConfig};
use db::oauth2::{Oauth2, Oauth2Config};
use db::sql::{Driver, QueryTemplate, SqlConfig};
use settings::MemoryFiles;

pub(crate) fn run(data: &[u8]) {
    let [text, value] = crate::kit::files::<2>(data);
    let (text_of_it, value) = (String::from_utf8_lossy(text), String::from_utf8_lossy(value));
    let files = MemoryFiles::one("/conf", text);
    let _ = SqlConfig::read(&files, "/conf");
    let _ = LdapConfig::read(&files, "/conf");
    // Keys in files are looked for, but nobody is connected to.
    let is_here = text_of_it
        .split("key_dict")
        .skip(1)
        .all(|uri| uri.trim_start_matches([' ', '\t', '=']).starts_with("fs:"));
    let oauth2 = Oauth2Config::read(&files, "/conf", "/nowhere");
    if let Ok(Ok(oauth2)) = oauth2.map(|config| Oauth2::new(config, &Logger::new("")))
        && is_here
    {
        let _ = oauth2.validate(&value, 1_000_000_000);
    }
    for driver in [Driver::Mysql, Driver::Pgsql, Driver::Sqlite] {
        let Ok(template) = QueryTemplate::parse(&text_of_it, driver) else { continue };
        let expand = |piece: &str| Ok(piece.replace("%u", &value));
        // Whatever the value is, it is not in the statement, unless it could be a name.
        if let Ok(statement) = template.bind(expand) {
            let _ = statement.shown().len();
        }
    }
    if let Ok(map) = AttrMap::parse(&text_of_it, Some("password")) {
        let _ = map.attributes_of(&value);
    }
    assert!(!db::ldap::escape(&value).contains(['(', ')', '*', '\0']));
}
