use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject};
use rustls::{ClientConfig, RootCertStore};
use tokio_rustls::TlsConnector;

use super::*;
use crate::tls::{AcceptError, accept, details};

struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    fn new(name: &str) -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    fn issue(&self, name: &str) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        (params.signed_by(&key, &self.0).unwrap().pem(), key.serialize_pem())
    }
}

fn options(authority: &Authority, name: &str) -> ServerOptions {
    let (cert, key) = authority.issue(name);
    ServerOptions { cert, key, min_protocol: "TLSv1.2".into(), require_crl: false, ..Default::default() }
}

fn client(authority: &Authority, cert: Option<(String, String)>, old: bool) -> TlsConnector {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(authority.0.pem().as_bytes()).unwrap()).unwrap();
    let versions: &[_] = if old { &[&rustls::version::TLS12] } else { &[&rustls::version::TLS13] };
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(versions)
        .unwrap()
        .with_root_certificates(roots);
    let config = match cert {
        None => builder.with_no_client_auth(),
        Some((cert, key)) => builder
            .with_client_auth_cert(
                vec![CertificateDer::from_pem_slice(cert.as_bytes()).unwrap()],
                PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap(),
            )
            .unwrap(),
    };
    TlsConnector::from(Arc::new(config))
}

async fn shake(
    context: Arc<ServerContext>,
    connector: TlsConnector,
    name: &'static str,
) -> Result<(String, ClientCert, Option<String>), AcceptError> {
    let (near, far) = tokio::io::duplex(1 << 16);
    let mut asked = None;
    let server = accept(near, b"", |name| {
        asked = name.map(str::to_owned);
        Some(context)
    });
    let client = connector.connect(ServerName::try_from(name).unwrap(), far);
    let (server, _client) = tokio::join!(server, client);
    let (stream, context) = server?;
    let cert = context.client_cert(stream.get_ref().1);
    Ok((details(&stream).unwrap().to_string(), cert, asked))
}

#[tokio::test]
async fn handshakes() {
    let authority = Authority::new("Test CA");
    let context = Arc::new(ServerContext::new(&options(&authority, "mail.example.org")).unwrap());
    for (old, expected) in [
        (false, "TLSv1.3 with cipher TLS_AES_256_GCM_SHA384 (256/256 bits)"),
        (true, "TLSv1.2 with cipher ECDHE-ECDSA-AES256-GCM-SHA384 (256/256 bits)"),
    ] {
        let connector = client(&authority, None, old);
        let (details, cert, name) = shake(context.clone(), connector, "mail.example.org").await.unwrap();
        assert_eq!(
            (&*details, cert, name.as_deref()),
            (expected, ClientCert::None, Some("mail.example.org"))
        );
    }
    let mut only_13 = options(&authority, "mail.example.org");
    only_13.min_protocol = "TLSv1.3".into();
    let context = Arc::new(ServerContext::new(&only_13).unwrap());
    let error = shake(context, client(&authority, None, true), "mail.example.org").await.unwrap_err();
    assert_eq!(error.to_string(), UNSUPPORTED);
}

const UNSUPPORTED: &str = "SSL_accept() failed: error:0A000102:SSL routines::unsupported protocol";

/// A ClientHello of TLS 1.0 or 1.1 (`minor` 1 or 2), without extensions, as old clients send it.
fn old_hello(minor: u8) -> Vec<u8> {
    let mut hello = vec![3, minor];
    hello.extend([7; 32]);
    // No session; TLS_RSA_WITH_AES_128_CBC_SHA and TLS_RSA_WITH_3DES_EDE_CBC_SHA; no compression.
    hello.extend([0, 0, 4, 0, 0x2f, 0, 0x0a, 1, 0]);
    let mut message = vec![1, 0, 0, u8::try_from(hello.len()).unwrap()];
    message.extend(hello);
    let mut record = vec![0x16, 3, 1, 0, u8::try_from(message.len()).unwrap()];
    record.extend(message);
    record
}

/// What clients and we do not agree on is logged in OpenSSL's words, which administrators know.
#[tokio::test]
async fn clients_that_do_not_fit() {
    let (authority, stranger) = (Authority::new("Test CA"), Authority::new("Other CA"));
    let context = Arc::new(ServerContext::new(&options(&authority, "a.example.org")).unwrap());
    for minor in [1, 2, 3] {
        let (near, mut far) = tokio::io::duplex(1 << 16);
        tokio::io::AsyncWriteExt::write_all(&mut far, &old_hello(minor)).await.unwrap();
        let error = accept(near, b"", |_| Some(context.clone())).await.map(|_| ()).unwrap_err();
        assert_eq!(error.to_string(), UNSUPPORTED, "TLS 1.{}", minor - 1);
    }

    // Our certificate is for ECDSA.
    let mut provider = rustls::crypto::aws_lc_rs::default_provider();
    provider.cipher_suites.retain(|suite| format!("{:?}", suite.suite()).contains("ECDHE_RSA"));
    let rsa_only = ClientConfig::builder_with_provider(Arc::new(provider))
        .with_protocol_versions(&[&rustls::version::TLS12])
        .unwrap()
        .with_root_certificates(RootCertStore::empty())
        .with_no_client_auth();
    let (rsa_only, untrusting) = (TlsConnector::from(Arc::new(rsa_only)), client(&stranger, None, false));
    for (connector, expected) in [
        (rsa_only, "error:0A0000C1:SSL routines::no shared cipher"),
        (untrusting, "error:0A000418:SSL routines::tlsv1 alert unknown ca: SSL alert number 48"),
    ] {
        let error = shake(context.clone(), connector, "a.example.org").await.unwrap_err();
        assert_eq!(error.to_string(), format!("SSL_accept() failed: {expected}"));
    }
}

#[tokio::test]
async fn client_certificates_are_judged_after_the_handshake() {
    let (authority, stranger) = (Authority::new("Test CA"), Authority::new("Other CA"));
    let mut options = options(&authority, "mail.example.org");
    options.verify_client_cert = true;
    options.ca = authority.0.pem();
    let context = Arc::new(ServerContext::new(&options).unwrap());
    let judged =
        async |cert| shake(context.clone(), client(&authority, cert, false), "mail.example.org").await;
    assert_eq!(judged(None).await.unwrap().1, ClientCert::None);
    let ClientCert::Valid { username, subject } = judged(Some(authority.issue("anna"))).await.unwrap().1
    else {
        panic!("own certificate refused");
    };
    assert_eq!((username.as_deref(), &*subject), (Some("anna"), "/CN=anna"));
    let ClientCert::Invalid(reason) = judged(Some(stranger.issue("anna"))).await.unwrap().1 else {
        panic!("a stranger's certificate taken");
    };
    assert!(reason.contains("unable to get local issuer certificate: /CN=anna (check ssl_ca"), "{reason}");
    // ssl_require_crl without a revocation list is a refusal, as with OpenSSL.
    options.require_crl = true;
    let context = Arc::new(ServerContext::new(&options).unwrap());
    let connector = client(&authority, Some(authority.issue("anna")), false);
    let (_, cert, _) = shake(context, connector, "mail.example.org").await.unwrap();
    assert!(matches!(cert, ClientCert::Invalid(reason) if reason.contains("unable to get certificate CRL")));
}

#[tokio::test]
async fn garbage_and_half_handshakes_fail() {
    let authority = Authority::new("Test CA");
    let context = Arc::new(ServerContext::new(&options(&authority, "a")).unwrap());
    for (bytes, expected) in [
        (
            &b"GET / HTTP/1.0\r\n\r\n"[..],
            "SSL_accept() failed: error:0A00010B:SSL routines::wrong version number",
        ),
        (&b"\x16\x03\x01\x02\x00\x01"[..], "Connection closed"),
        (&b""[..], "Connection closed"),
    ] {
        let (near, mut far) = tokio::io::duplex(1 << 16);
        tokio::io::AsyncWriteExt::write_all(&mut far, bytes).await.unwrap();
        tokio::io::AsyncWriteExt::shutdown(&mut far).await.unwrap();
        let error = accept(near, b"", |_| Some(context.clone())).await.map(|_| ()).unwrap_err();
        assert!(error.to_string().starts_with(expected), "{error}");
    }
}

/// STARTTLS: a client may send its first message without waiting for our OK, but nothing else.
#[tokio::test]
async fn bytes_that_were_read_before() {
    let authority = Authority::new("Test CA");
    let context = Arc::new(ServerContext::new(&options(&authority, "a.example.org")).unwrap());
    let (near, _far) = tokio::io::duplex(1 << 16);
    let error = accept(near, b"b noop\r\n", |_| Some(context.clone())).await.map(|_| ()).unwrap_err();
    assert_eq!(error.to_string(), "SSL_accept() failed: error:0A00010B:SSL routines::wrong version number");

    let (mut near, far) = tokio::io::duplex(1 << 16);
    let connector = client(&authority, None, false);
    let name = ServerName::try_from("a.example.org").unwrap();
    let connecting = tokio::spawn(async move { connector.connect(name, far).await });
    let mut early = [0; 64];
    tokio::io::AsyncReadExt::read_exact(&mut near, &mut early).await.unwrap();
    accept(near, &early, |_| Some(context)).await.unwrap();
    connecting.await.unwrap().unwrap();
}

#[test]
fn settings_errors() {
    let authority = Authority::new("Test CA");
    let good = options(&authority, "a");
    let check = |change: &dyn Fn(&mut ServerOptions), expected: &str| {
        let mut options = good.clone();
        change(&mut options);
        let error = ServerContext::new(&options).unwrap_err();
        assert!(base::chain(&error).to_string().starts_with(expected), "{}", base::chain(&error));
    };
    check(&|o| o.cert.clear(), "Can't load ssl_cert: There is no valid PEM certificate.");
    check(
        &|o| o.key = o.cert.clone(),
        "Can't load SSL private key (ssl_key setting): There is no valid PEM private key.",
    );
    check(
        &|o| o.key = KeyPair::generate().unwrap().serialize_pem(),
        "Can't load SSL private key (ssl_key setting): ",
    );
    check(&|o| o.min_protocol = "TLSv7".into(), "Unknown ssl_min_protocol setting 'TLSv7'");
    check(&|o| o.alt_cert = "x".into(), "Can't load ssl_alt_cert: ");
    check(
        &|o| {
            o.verify_client_cert = true;
            o.cert_username_field = "nonsense".into();
        },
        "Invalid cert_username_field: nonsense",
    );
    check(&|o| o.verify_client_cert = true, "Couldn't parse ssl_ca: ");
}

#[test]
fn encrypted_keys() {
    let authority = Authority::new("Test CA");
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(vec!["a".to_owned()]).unwrap();
    let cert = params.signed_by(&key, &authority.0).unwrap().pem();
    let plain = pkcs8::PrivateKeyInfoRef::try_from(key.serialized_der()).unwrap();
    let document = plain.encrypt("secret").unwrap();
    let encrypted = document.to_pem("ENCRYPTED PRIVATE KEY", pkcs8::LineEnding::LF).unwrap().to_string();
    let mut options =
        ServerOptions { cert, key: encrypted, key_password: "secret".into(), ..Default::default() };
    ServerContext::new(&options).unwrap();
    options.key_password = "wrong".into();
    let error = ServerContext::new(&options).unwrap_err().to_string();
    assert!(
        error.starts_with("Can't load SSL private key (ssl_key setting): ssl_key_password can't"),
        "{error}"
    );
    options.key_password.clear();
    assert!(ServerContext::new(&options).unwrap_err().to_string().contains("Password is required"));
}

#[test]
fn contexts_are_shared_until_cleared() {
    let authority = Authority::new("Test CA");
    let (contexts, options) = (Contexts::default(), options(&authority, "a"));
    let mut made = 0;
    let first = contexts.context(&options, |_| made += 1).unwrap();
    let second = contexts.context(&options, |_| made += 1).unwrap();
    assert!(Arc::ptr_eq(&first, &second));
    contexts.clear();
    assert!(!Arc::ptr_eq(&first, &contexts.context(&options, |_| made += 1).unwrap()));
    assert_eq!(made, 2);
}

#[tokio::test]
async fn both_ends_have_the_same_bindings() {
    let authority = Authority::new("Ours");
    let options = options(&authority, "mail.example.org");
    let certificate = CertificateDer::from_pem_slice(options.cert.as_bytes()).unwrap();
    // rcgen signs with ECDSA and SHA-256.
    let end_point = Some(<sha2::Sha256 as sha2::Digest>::digest(&certificate).to_vec());
    for old in [true, false] {
        let context = Arc::new(ServerContext::new(&options).unwrap());
        let (near, far) = tokio::io::duplex(1 << 16);
        let connector = client(&authority, None, old);
        let server = accept(near, b"", |_| Some(context.clone()));
        let client = connector.connect(ServerName::try_from("mail.example.org").unwrap(), far);
        let (server, client) = tokio::join!(server, client);
        let (server, client) = (server.unwrap().0, client.unwrap());
        let label = b"EXPORTER-Channel-Binding";
        let theirs = client.get_ref().1.export_keying_material(vec![0; 32], label, Some(&[])).unwrap();
        let ours = context.bindings(server.get_ref().1);
        assert_eq!(ours.exporter, (!old).then_some(theirs), "only TLS 1.3 has one");
        assert_eq!(ours.end_point, end_point);
    }
    // With two certificates it is not known which one the client was shown.
    let (alt_cert, alt_key) = authority.issue("mail.example.org");
    let context = ServerContext::new(&ServerOptions { alt_cert, alt_key, ..options }).unwrap();
    assert_eq!(context.end_point, None);
}
