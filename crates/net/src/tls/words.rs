//! Why a handshake failed, in the words of OpenSSL 3, which stand in the logs that administrators and their
//! tools know. What OpenSSL has no words for keeps those of rustls.

use rustls::{AlertDescription, Error, InvalidMessage, PeerIncompatible};

/// What `SSL_accept() failed: ` goes on with.
pub(super) fn why(error: &Error) -> String {
    if let Error::AlertReceived(alert) = error {
        return alert_received(*alert).unwrap_or_else(|| error.to_string());
    }
    let (reason, words) = match error {
        Error::PeerIncompatible(what) => match what {
            // TLS 1.2 brought signature_algorithms, so that who has none does not speak it.
            PeerIncompatible::SignatureAlgorithmsExtensionRequired
            | PeerIncompatible::SupportedVersionsExtensionRequired
            | PeerIncompatible::Tls12NotOffered
            | PeerIncompatible::Tls12NotOfferedOrEnabled => (258, "unsupported protocol"),
            PeerIncompatible::NoCipherSuitesInCommon => (193, "no shared cipher"),
            PeerIncompatible::NoSignatureSchemesInCommon => (118, "no suitable signature algorithm"),
            PeerIncompatible::NoKxGroupsInCommon | PeerIncompatible::KeyShareExtensionRequired => {
                (101, "no suitable key share")
            }
            _ => return error.to_string(),
        },
        Error::InvalidMessage(
            InvalidMessage::InvalidContentType | InvalidMessage::UnknownProtocolVersion,
        ) => (267, "wrong version number"),
        Error::InappropriateMessage { .. } | Error::InappropriateHandshakeMessage { .. } => {
            (244, "unexpected message")
        }
        _ => return error.to_string(),
    };
    ssl(reason, words)
}

/// An alert of the client: what it did not like about us, above all our certificate.
fn alert_received(alert: AlertDescription) -> Option<String> {
    let (number, words) = match alert {
        AlertDescription::UnexpectedMessage => (10, "sslv3 alert unexpected message"),
        AlertDescription::BadRecordMac => (20, "sslv3 alert bad record mac"),
        AlertDescription::RecordOverflow => (22, "tlsv1 alert record overflow"),
        AlertDescription::HandshakeFailure => (40, "sslv3 alert handshake failure"),
        AlertDescription::BadCertificate => (42, "sslv3 alert bad certificate"),
        AlertDescription::UnsupportedCertificate => (43, "sslv3 alert unsupported certificate"),
        AlertDescription::CertificateRevoked => (44, "sslv3 alert certificate revoked"),
        AlertDescription::CertificateExpired => (45, "sslv3 alert certificate expired"),
        AlertDescription::CertificateUnknown => (46, "sslv3 alert certificate unknown"),
        AlertDescription::IllegalParameter => (47, "sslv3 alert illegal parameter"),
        AlertDescription::UnknownCA => (48, "tlsv1 alert unknown ca"),
        AlertDescription::AccessDenied => (49, "tlsv1 alert access denied"),
        AlertDescription::DecodeError => (50, "tlsv1 alert decode error"),
        AlertDescription::DecryptError => (51, "tlsv1 alert decrypt error"),
        AlertDescription::ProtocolVersion => (70, "tlsv1 alert protocol version"),
        AlertDescription::InsufficientSecurity => (71, "tlsv1 alert insufficient security"),
        AlertDescription::InternalError => (80, "tlsv1 alert internal error"),
        AlertDescription::UserCanceled => (90, "tlsv1 alert user cancelled"),
        _ => return None,
    };
    // OpenSSL numbers the reasons for alerts from a thousand on.
    Some(format!("{}: SSL alert number {number}", ssl(1000 + number, words)))
}

/// `reason` of OpenSSL's library SSL, whose number is 20.
fn ssl(reason: u32, words: &str) -> String {
    format!("error:{:08X}:SSL routines::{words}", (20 << 23) | reason)
}
