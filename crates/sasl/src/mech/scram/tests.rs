use super::*;
use crate::mech::tests::{begin_in, context, credentials};

/// A client, written after RFC 5802 without looking at the server.
fn client_final<V: Variant>(gs2: &[u8], bare: &str, server_first: &str, password: &str) -> (String, String) {
    let field = |name: &str| {
        let found = server_first.split(',').find_map(|field| field.strip_prefix(name));
        found.unwrap_or_else(|| panic!("no {name} in {server_first}")).to_owned()
    };
    let salt = from_base64(field("s=").as_bytes()).unwrap();
    let mut block = mac::<V>(password.as_bytes(), &[&salt[..], &[0, 0, 0, 1]].concat());
    let mut salted = block.clone();
    for _ in 1..field("i=").parse().unwrap() {
        block = mac::<V>(password.as_bytes(), &block);
        salted.iter_mut().zip(&block).for_each(|(key, byte)| *key ^= byte);
    }
    let unproved = format!("c={},r={}", base64(gs2), field("r="));
    let signed = format!("{bare},{server_first},{unproved}");
    let mut proof = mac::<V>(&salted, b"Client Key");
    let stored = V::digest(&proof);
    proof.iter_mut().zip(mac::<V>(&stored, signed.as_bytes())).for_each(|(key, byte)| *key ^= byte);
    let server_key = mac::<V>(&salted, b"Server Key");
    let verifier = format!("v={}", base64(&mac::<V>(&server_key, signed.as_bytes())));
    (format!("{unproved},p={}", base64(&proof)), verifier)
}

fn bindings() -> Bindings {
    Bindings { exporter: Some(b"EXPORTED".to_vec()), end_point: Some(b"HASH".to_vec()) }
}

/// One exchange in which the server has `secret` as the password.
fn exchange<V: Variant>(
    info: &MechanismInfo,
    offered: Bindings,
    gs2: &str,
    bound: &[u8],
    password: &str,
) -> Step {
    let mut scram = begin_in(info, &mut Context { bindings: offered, ..context() });
    let bare = "n=jo=2Ce,r=fyko";
    let step = scram.start(Some(format!("{gs2}{bare}").as_bytes()));
    let Step::Lookup { identity, scheme } = step else { return step };
    assert_eq!((identity.user.as_str(), scheme), ("jo,e", V::NAME));
    let step = scram.answer(Answer::Credentials(Some(credentials("secret", scheme).expose())));
    let Step::Challenge(server_first) = step else { return step };
    let server_first = String::from_utf8(server_first).unwrap();
    assert!(server_first.starts_with("r=fyko") && server_first.len() > 80, "{server_first}");
    let (message, verifier) =
        client_final::<V>(&[gs2.as_bytes(), bound].concat(), bare, &server_first, password);
    let step = scram.respond(message.as_bytes());
    if let Step::Success(data) = &step {
        assert_eq!(String::from_utf8_lossy(data), verifier, "the server proves itself");
        assert_eq!(scram.respond(message.as_bytes()), Step::Fail(Refusal::Unexpected));
    }
    step
}

fn outcome(step: Step) -> Result<(), String> {
    match step {
        Step::Success(_) => Ok(()),
        Step::Fail(refusal) => Err(refusal.to_string()),
        step => panic!("{step:?}"),
    }
}

#[test]
fn passwords() {
    let none = Bindings::default;
    for (password, expect) in [("secret", Ok(())), ("wrong", Err("Password mismatch".to_owned()))] {
        assert_eq!(outcome(exchange::<Sha1>(&SHA1, none(), "n,,", b"", password)), expect);
        assert_eq!(outcome(exchange::<Sha256>(&SHA256, none(), "y,,", b"", password)), expect);
    }
}

#[test]
fn channel_bindings() {
    let unavailable = Err("Channel binding not supported".to_owned());
    let invalid = Err("Invalid channel binding data".to_owned());
    let plus = |offered, gs2, bound| outcome(exchange::<Sha256>(&SHA256_PLUS, offered, gs2, bound, "secret"));
    assert_eq!(plus(bindings(), "p=tls-exporter,,", b"EXPORTED"), Ok(()));
    assert_eq!(plus(bindings(), "p=tls-server-end-point,,", b"HASH"), Ok(()));
    assert_eq!(plus(bindings(), "p=tls-exporter,,", b"another"), invalid);
    assert_eq!(plus(bindings(), "p=tls-exporter,,", b""), invalid);
    assert_eq!(plus(bindings(), "p=tls-exporter,,", b"HASH"), invalid);
    assert_eq!(plus(bindings(), "p=tls-unique,,", b"EXPORTED"), unavailable);
    assert_eq!(plus(Bindings::default(), "p=tls-exporter,,", b""), unavailable);
    assert_eq!(plus(bindings(), "n,,", b""), Err("Channel binding required".to_owned()));
    let plain = |offered, gs2, bound| outcome(exchange::<Sha256>(&SHA256, offered, gs2, bound, "secret"));
    assert_eq!(plain(bindings(), "p=tls-exporter,,", b"EXPORTED"), unavailable);
    assert_eq!(plain(bindings(), "n,,", b""), Ok(()));
    // The client says `y` where the offer was taken out of its sight.
    let downgraded = Err("Channel binding was offered, but the client says it was not".to_owned());
    assert_eq!(plain(bindings(), "y,,", b""), downgraded);
}

/// The exchange of RFC 7677 §3, with the server's random replaced by the example's.
#[test]
fn example_of_the_rfc() {
    let first = First {
        binding: b"n,,".to_vec(),
        bare: "n=user,r=rOprNGfwEbeRWgbNEkqO".into(),
        nonce: "rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0".into(),
    };
    let server_first =
        "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096";
    let (message, verifier) = client_final::<Sha256>(b"n,,", &first.bare, server_first, "pencil");
    assert!(message.ends_with(",p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="), "{message}");
    let salt = from_base64(b"W22ZaJ0SNY7soEsUEjb6gQ==").unwrap();
    let mut fixed = |bytes: &mut [u8]| bytes.copy_from_slice(&salt);
    let stored =
        crate::scheme::generate(b"pencil", &Default::default(), "SCRAM-SHA-256", &mut fixed).unwrap();
    let secret = ScramSecret::parse::<Sha256>(stored.as_bytes()).unwrap();
    let scram = Scram::<Sha256> { state: State::Done, is_bound: false, variant: PhantomData };
    let signature = scram.last(message.as_bytes(), &first, server_first, &secret).unwrap();
    assert_eq!(format!("v={}", base64(&signature)), verifier);
    assert_eq!(verifier, "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=");
}

#[test]
fn malformed() {
    for (message, text) in [
        (&b""[..], "Invalid initial client message: Missing first ',' in GS2 header"),
        (b"n,", "Invalid initial client message: Missing second ',' in GS2 header"),
        (b"n,,n=u", "Invalid initial client message: Missing nonce field"),
        (b"x,,n=u,r=a", "Invalid GS2 header"),
        (b",,n=u,r=a", "Invalid GS2 header"),
        (b"n,x,n=u,r=a", "Invalid authzid field"),
        (b"n,a==2,n=u,r=a", "authzid escaping is invalid"),
        (b"n,,m=x,n=u,r=a", "Mandatory extension(s) not supported"),
        (b"n,,u,r=a", "Invalid username field"),
        (b"n,,n=a=2Bb,r=a", "Username escaping is invalid"),
        ("n,,n=a=2ü,r=a".as_bytes(), "Username escaping is invalid"),
        (b"n,,n=u,x=a", "Invalid client nonce"),
        (b"n,,n=u\0,r=a", "invalid input"),
        (b"n,,n=\xff,r=a", "invalid input"),
        (&[b'n'; 9000], "invalid input: too long"),
    ] {
        let step = begin_in(&SHA256, &mut context()).start(Some(message));
        assert_eq!(outcome(step), Err(text.to_owned()), "{}", String::from_utf8_lossy(message));
    }
    for (message, text) in [
        ("", "Invalid final client message"),
        ("c=biws,p=x", "Invalid final client message"),
        ("c=!,r=NONCE,p=x", "Invalid channel binding data"),
        ("c=eSws,r=NONCE,p=x", "Invalid channel binding data"),
        ("c=biws,r=other,p=x", "Wrong nonce"),
        ("c=biws,r=NONCE,x", "Invalid ClientProof"),
        ("c=biws,r=NONCE,p=!", "Invalid base64 encoding"),
        ("c=biws,r=NONCE,p=AAAA", "Invalid ClientProof length"),
        ("c=biws,r=NONCE,p=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=", "Password mismatch"),
        ("c=biws,r=NONCE,x=y,p=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=", "Password mismatch"),
    ] {
        let mut scram = begin_in(&SHA256, &mut context());
        assert_eq!(scram.start(None), Step::Challenge(Vec::new()));
        scram.respond(b"n,,n=u,r=a");
        let step = scram.answer(Answer::Credentials(Some(credentials("x", "SCRAM-SHA-256").expose())));
        let Step::Challenge(challenge) = step else { panic!("{step:?}") };
        let challenge = String::from_utf8(challenge).unwrap();
        let nonce = challenge.split(',').next().unwrap().strip_prefix("r=").unwrap();
        let step = scram.respond(message.replace("NONCE", nonce).as_bytes());
        assert_eq!(outcome(step), Err(text.to_owned()), "{message}");
    }
    for bad in ["", "1,2", "1,a,b,c", "4096,!,AAAA,AAAA"] {
        let mut scram = begin_in(&SHA256, &mut context());
        scram.start(Some(b"n,,n=u,r=a"));
        let step = scram.answer(Answer::Credentials(Some(bad.as_bytes())));
        assert!(outcome(step).is_err_and(|text| text.starts_with("Invalid SCRAM-SHA-256 ")), "{bad}");
    }
}
