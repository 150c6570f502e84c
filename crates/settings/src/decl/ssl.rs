//! TLS for servers and clients.

use super::flags::*;
use super::roots::*;
use crate::key::Str;

settings! { Root from super::log::END;
    /// Certificates of authorities for client certificates, with their revocation lists.
    SSL_CA: Str = "", SSL_BASE;
    /// Server certificate with its chain, PEM.
    SSL_CERT: Str = "", SSL_SERVER;
    /// Private key of the certificate, PEM.
    SSL_KEY: Str = "", SSL_SERVER, SECRET;
    /// Second certificate, of another algorithm.
    SSL_ALT_CERT: Str = "", SSL_SERVER;
    /// Private key of the second certificate.
    SSL_ALT_KEY: Str = "", SSL_SERVER, SECRET;
    /// Password of an encrypted private key.
    SSL_KEY_PASSWORD: Str = "", SSL_SERVER, SECRET;
    /// Diffie-Hellman parameters, which TLS 1.2 and newer elliptic curves do without.
    SSL_DH: Str = "", SSL_SERVER, NO_EFFECT_YET;
    /// Authorities for outgoing TLS connections, a PEM file.
    SSL_CLIENT_CA_FILE: Str = "", AUTH | SSL_BASE;
    /// Authorities for outgoing TLS connections, a directory.
    SSL_CLIENT_CA_DIR: Str = "", AUTH | SSL_BASE;
    /// Certificate for outgoing TLS connections.
    SSL_CLIENT_CERT: Str = "", SSL_BASE;
    /// Private key for outgoing TLS connections.
    SSL_CLIENT_KEY: Str = "", SSL_BASE, SECRET;
    /// Ciphers for TLS 1.2, in OpenSSL's language.
    SSL_CIPHER_LIST: Str = "ALL:!kRSA:!SRP:!kDHd:!DSS:!aNULL:!eNULL:!EXPORT:!DES:!3DES:!MD5:!PSK:!RC4:!ADH:!LOW@STRENGTH", SSL_BASE;
    /// Ciphers for TLS 1.3.
    SSL_CIPHER_SUITES: Str = "", SSL_BASE;
    /// Curves for key exchange.
    SSL_CURVE_LIST: Str = "", SSL_BASE;
    /// Lowest TLS version to accept.
    SSL_MIN_PROTOCOL: Str = "TLSv1.2", SSL_BASE;
    /// Field of the client certificate that holds the user name.
    SSL_CERT_USERNAME_FIELD: Str = "commonName", SSL_BASE;
    /// OpenSSL engine to use.
    SSL_CRYPTO_DEVICE: Str = "", SSL_BASE, NO_EFFECT_YET;
    /// Asks clients for a certificate.
    SSL_VERIFY_CLIENT_CERT: bool = "no", SSL_BASE;
    /// Refuses servers with invalid certificates.
    SSL_CLIENT_REQUIRE_VALID_CERT: bool = "yes", SSL_BASE;
    /// Demands a revocation list for client certificates.
    SSL_REQUIRE_CRL: bool = "yes", SSL_BASE;
    /// Logs details of TLS handshakes.
    VERBOSE_SSL: bool = "no", SSL_BASE;
    /// Prefers the server's order of ciphers.
    SSL_PREFER_SERVER_CIPHERS: bool = "no", SSL_BASE;
    /// TLS flags: `no_ticket`.
    SSL_OPTIONS: Str = "", SSL_BASE;
}
