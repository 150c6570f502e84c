//! What the settings of a server say of TLS.

use std::path::Path;

use settings::Settings;
use settings::key::{self, Key};

use super::{ClientOptions, ServerOptions};
use crate::limits::CLIENT_CA_BYTES_MAX;

impl ServerOptions {
    /// From the `ssl_*` settings.
    pub fn of(settings: &Settings) -> Self {
        let text = |key: Key<key::Str>| settings.get(key).to_owned();
        Self {
            cert: text(key::SSL_CERT),
            key: text(key::SSL_KEY),
            alt_cert: text(key::SSL_ALT_CERT),
            alt_key: text(key::SSL_ALT_KEY),
            key_password: text(key::SSL_KEY_PASSWORD),
            ca: text(key::SSL_CA),
            verify_client_cert: settings.get(key::SSL_VERIFY_CLIENT_CERT),
            require_crl: settings.get(key::SSL_REQUIRE_CRL),
            cert_username_field: text(key::SSL_CERT_USERNAME_FIELD),
            min_protocol: text(key::SSL_MIN_PROTOCOL),
            cipher_list: text(key::SSL_CIPHER_LIST),
            cipher_suites: text(key::SSL_CIPHER_SUITES),
            curve_list: text(key::SSL_CURVE_LIST),
            prefer_server_ciphers: settings.get(key::SSL_PREFER_SERVER_CIPHERS),
            options: text(key::SSL_OPTIONS),
        }
    }
}

impl ClientOptions {
    /// From the `ssl_client_*` settings, with the [`client_authorities`] that were read. `any_cert` is what the
    /// connection asks for; `ssl_client_require_valid_cert = no` asks for it, too.
    pub fn of(settings: &Settings, authorities: &str, any_cert: bool) -> Self {
        let text = |key: Key<key::Str>| settings.get(key).to_owned();
        Self {
            ca: format!("{}\n{authorities}", settings.get(key::SSL_CA)),
            require_crl: settings.get(key::SSL_REQUIRE_CRL),
            cert: text(key::SSL_CLIENT_CERT),
            key: text(key::SSL_CLIENT_KEY),
            any_cert: any_cert || !settings.get(key::SSL_CLIENT_REQUIRE_VALID_CERT),
            min_protocol: text(key::SSL_MIN_PROTOCOL),
            cipher_list: text(key::SSL_CIPHER_LIST),
            cipher_suites: text(key::SSL_CIPHER_SUITES),
            curve_list: text(key::SSL_CURVE_LIST),
        }
    }
}

/// Certificates of authorities, PEM: what `ssl_client_ca_file` and `ssl_client_ca_dir` hold. What cannot be read is
/// left out, and told to `failed`.
pub fn client_authorities(settings: &Settings, failed: &mut dyn FnMut(String)) -> String {
    let mut text = String::new();
    let mut add =
        |setting: &str, path: &Path, failed: &mut dyn FnMut(String)| match std::fs::read_to_string(path) {
            Ok(read) if text.len() + read.len() <= CLIENT_CA_BYTES_MAX => {
                text.push_str(&read);
                text.push('\n');
            }
            Ok(_) => failed(format!("{setting}: {} is too large", path.display())),
            Err(error) => {
                failed(format!("{setting}: open({}) failed: {}", path.display(), base::reason(&error)));
            }
        };
    let file = settings.get(key::SSL_CLIENT_CA_FILE);
    if !file.is_empty() {
        add("ssl_client_ca_file", Path::new(file), failed);
    }
    let dir = settings.get(key::SSL_CLIENT_CA_DIR);
    if !dir.is_empty() {
        match std::fs::read_dir(dir) {
            Ok(entries) => {
                let hashed =
                    entries.flatten().filter(|entry| is_hashed(&entry.file_name().to_string_lossy()));
                hashed.for_each(|entry| add("ssl_client_ca_dir", &entry.path(), failed));
            }
            Err(error) => {
                failed(format!("ssl_client_ca_dir: opendir({dir}) failed: {}", base::reason(&error)));
            }
        }
    }
    text
}

/// Whether OpenSSL would look at such a file: `6fcc125d.0`.
fn is_hashed(name: &str) -> bool {
    name.split_once('.').is_some_and(|(hash, number)| {
        hash.len() == 8
            && hash.bytes().all(|byte| byte.is_ascii_hexdigit())
            && !number.is_empty()
            && number.bytes().all(|byte| byte.is_ascii_digit())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn authorities_in_a_file_and_a_directory() {
        let dir = tempfile::tempdir().unwrap();
        let place = dir.path().display();
        for (name, text) in
            [("one.pem", "one"), ("6fcc125d.0", "two"), ("6fcc125d.r0", "no"), ("readme", "no")]
        {
            std::fs::write(dir.path().join(name), text).unwrap();
        }
        let read = |file: &str, below: &str| {
            let config = format!("ssl_client_ca_file = {file}\nssl_client_ca_dir = {below}\n");
            let snapshot = settings::Snapshot::from_text(&config).unwrap();
            let mut errors = Vec::new();
            (client_authorities(&snapshot.root(), &mut |error| errors.push(error)), errors)
        };
        assert_eq!(read(&format!("{place}/one.pem"), &place.to_string()), ("one\ntwo\n".to_owned(), vec![]));
        let (text, errors) = read(&format!("{place}/none"), &format!("{place}/nowhere"));
        assert_eq!(text, "");
        let missing = "failed: No such file or directory";
        let expected = [
            format!("ssl_client_ca_file: open({place}/none) {missing}"),
            format!("ssl_client_ca_dir: opendir({place}/nowhere) {missing}"),
        ];
        assert_eq!(errors, expected);
    }
}
