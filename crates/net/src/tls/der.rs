//! Reads one attribute out of a certificate's subject. The certificate was parsed and its
//! signature checked by webpki before; this walks the subject's bytes only.

use crate::limits::DER_SUBJECT_BYTES_MAX;

const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;
const OBJECT_IDENTIFIER: u8 = 0x06;
const BMP_STRING: u8 = 0x1e;
const UNIVERSAL_STRING: u8 = 0x1c;

/// The names that `ssl_cert_username_field` may have, as OpenSSL knows them, and their identifiers.
const FIELDS: &[(&str, &str, &[u8])] = &[
    ("commonName", "CN", &[0x55, 4, 3]),
    ("surname", "SN", &[0x55, 4, 4]),
    ("serialNumber", "serialNumber", &[0x55, 4, 5]),
    ("countryName", "C", &[0x55, 4, 6]),
    ("localityName", "L", &[0x55, 4, 7]),
    ("stateOrProvinceName", "ST", &[0x55, 4, 8]),
    ("organizationName", "O", &[0x55, 4, 10]),
    ("organizationalUnitName", "OU", &[0x55, 4, 11]),
    ("title", "title", &[0x55, 4, 12]),
    ("description", "description", &[0x55, 4, 13]),
    ("name", "name", &[0x55, 4, 41]),
    ("givenName", "GN", &[0x55, 4, 42]),
    ("initials", "initials", &[0x55, 4, 43]),
    ("x500UniqueIdentifier", "x500UniqueIdentifier", &[0x55, 4, 45]),
    ("dnQualifier", "dnQualifier", &[0x55, 4, 46]),
    ("pseudonym", "pseudonym", &[0x55, 4, 65]),
    ("userId", "UID", &[0x09, 0x92, 0x26, 0x89, 0x93, 0xf2, 0x2c, 0x64, 1, 1]),
    ("domainComponent", "DC", &[0x09, 0x92, 0x26, 0x89, 0x93, 0xf2, 0x2c, 0x64, 1, 25]),
    ("emailAddress", "emailAddress", &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 9, 1]),
];

/// The encoded identifier of a field by its long or short name, or `None` for an unknown one.
pub(super) fn field(name: &str) -> Option<&'static [u8]> {
    FIELDS.iter().find(|(long, short, _)| *long == name || *short == name).map(|(_, _, oid)| *oid)
}

/// The first value of the attribute `oid` in a subject, `subject` being the content of the Name's
/// SEQUENCE. A value with a zero byte is refused, since C programs down the line would cut it.
pub(super) fn attribute(subject: &[u8], oid: &[u8]) -> Option<String> {
    let mut sets = subject.get(..subject.len().min(DER_SUBJECT_BYTES_MAX))?;
    while !sets.is_empty() {
        let (mut set, rest) = expect(sets, SET)?;
        while !set.is_empty() {
            let (pair, rest) = expect(set, SEQUENCE)?;
            let (kind, value) = expect(pair, OBJECT_IDENTIFIER)?;
            if kind == oid {
                let (tag, value, _) = next(value)?;
                return text(tag, value).filter(|text| !text.contains('\0'));
            }
            set = rest;
        }
        sets = rest;
    }
    None
}

/// The subject in OpenSSL's one-line form, `/CN=…/O=…`, for log lines. Empty if it is malformed.
pub(super) fn one_line(subject: &[u8]) -> String {
    let mut line = String::new();
    let mut sets = subject.get(..subject.len().min(DER_SUBJECT_BYTES_MAX)).unwrap_or_default();
    while let Some((mut set, rest)) = expect(sets, SET) {
        while let Some((pair, rest)) = expect(set, SEQUENCE) {
            if let Some((kind, value)) = expect(pair, OBJECT_IDENTIFIER)
                && let Some((tag, value, _)) = next(value)
            {
                let short =
                    FIELDS.iter().find(|(_, _, oid)| *oid == kind).map_or("?", |(_, short, _)| *short);
                line.push_str(&format!("/{short}={}", text(tag, value).unwrap_or_default()));
            }
            set = rest;
        }
        sets = rest;
    }
    line
}

fn text(tag: u8, value: &[u8]) -> Option<String> {
    match tag {
        BMP_STRING => {
            let units = value.chunks_exact(2).map(|pair| u16::from_be_bytes([pair[0], pair[1]]));
            char::decode_utf16(units).collect::<Result<_, _>>().ok()
        }
        UNIVERSAL_STRING => value
            .chunks_exact(4)
            .map(|four| char::from_u32(u32::from_be_bytes([four[0], four[1], four[2], four[3]])))
            .collect(),
        _ => Some(match std::str::from_utf8(value) {
            Ok(text) => text.to_owned(),
            // TeletexString is Latin-1 in practice.
            Err(_) => value.iter().map(|&byte| char::from(byte)).collect(),
        }),
    }
}

/// The identifier of the algorithm that a certificate is signed with (RFC 5280 §4.1.1.2).
pub(super) fn signature_algorithm(certificate: &[u8]) -> Option<&[u8]> {
    let (content, _) = expect(certificate, SEQUENCE)?;
    let (_, rest) = expect(content, SEQUENCE)?;
    let (algorithm, _) = expect(rest, SEQUENCE)?;
    let (identifier, _) = expect(algorithm, OBJECT_IDENTIFIER)?;
    Some(identifier)
}

fn expect(bytes: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (found, value, rest) = next(bytes)?;
    (found == tag).then_some((value, rest))
}

fn next(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&[tag, length], rest) = bytes.split_first_chunk::<2>()?;
    let (length, rest) = match length {
        0..=0x7f => (usize::from(length), rest),
        0x81 => rest.split_first().map(|(&length, rest)| (usize::from(length), rest))?,
        0x82 => {
            let (length, rest) = rest.split_first_chunk::<2>()?;
            (usize::from(u16::from_be_bytes(*length)), rest)
        }
        _ => return None,
    };
    let (value, rest) = rest.split_at_checked(length)?;
    Some((tag, value, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair(oid: &[u8], tag: u8, value: &[u8]) -> Vec<u8> {
        let wrap = |tag: u8, inner: &[u8]| [&[tag, inner.len() as u8], inner].concat();
        wrap(SET, &wrap(SEQUENCE, &[wrap(OBJECT_IDENTIFIER, oid), wrap(tag, value)].concat()))
    }

    #[test]
    fn attributes() {
        let cn = field("commonName").unwrap();
        let subject = [pair(&[0x55, 4, 10], 0x0c, b"Org"), pair(cn, 0x0c, "jörg".as_bytes())].concat();
        assert_eq!(attribute(&subject, cn).as_deref(), Some("jörg"));
        assert_eq!(attribute(&subject, field("UID").unwrap()), None);
        assert_eq!(one_line(&subject), "/O=Org/CN=jörg");
        assert_eq!(attribute(&pair(cn, 0x1e, &[0, b'a', 0, b'b']), cn).as_deref(), Some("ab"));
        assert_eq!(attribute(&pair(cn, 0x0c, b"root\0x"), cn), None);
        for end in 0..subject.len() {
            let _ = attribute(&subject[..end], cn);
        }
        assert_eq!(field("nonsense"), None);
    }
}
