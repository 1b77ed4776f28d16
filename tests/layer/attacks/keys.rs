//! Rows 6 to 15, 17 and 25: which keys are taken, and where they come from.

use std::net::TcpListener;

use jsonwebtoken::Algorithm as SigningAlgorithm;
use tower_bearer::{Algorithm, ConfigError, Key, KeySet, RejectionKind};

use super::{
    forge::{CLAIMS, Signer, authenticate_with, es256, hs256, issuer_with, rs256},
    server::Server,
};
use crate::common::tokens::{SECRET, base64url, fixture, jwks_with};

fn code_with(algorithm: SigningAlgorithm, secret: &[u8]) -> String {
    let header = format!(r#"{{"alg":"{algorithm:?}"}}"#);
    let signing_input = format!("{}.{}", base64url(header), base64url(CLAIMS));
    authenticate_with(algorithm, secret, &signing_input)
}

fn oct(secret: &[u8]) -> String {
    format!(r#"{{"kty":"oct","k":"{}"}}"#, base64url(secret))
}

#[tokio::test]
async fn row_06_an_empty_secret_is_not_a_key() {
    for refused in [
        Key::hs256(""),
        Key::hs384(""),
        Key::hs512(""),
        Key::allow_short_secret(Algorithm::HS256, ""),
        Key::allow_short_secret(Algorithm::HS384, ""),
        Key::allow_short_secret(Algorithm::HS512, ""),
        Key::from_jwk_json(&oct(b"")),
    ] {
        assert!(matches!(refused, Err(ConfigError::SecretTooShort { length: 0, .. })));
    }
    for refused in [r#"{"kty":"oct"}"#, r#"{"kty":"oct","k":null}"#] {
        assert!(matches!(Key::from_jwk_json(refused), Err(ConfigError::UnreadableKey(_))));
    }

    let key = Key::from_jwk_json(&oct(SECRET)).unwrap();
    let server = Server::trusting([issuer_with(key)]).await;
    server.assert_admitted(&code_with(SigningAlgorithm::HS256, SECRET)).await;
    let empty = code_with(SigningAlgorithm::HS256, b"");
    server.assert_refused(&empty, RejectionKind::BadSignature).await;
}

type FromSecret = fn(&[u8]) -> Result<Key, ConfigError>;

#[tokio::test]
async fn row_07_a_secret_shorter_than_its_hash_needs_an_allow_function() {
    let ways: [(SigningAlgorithm, Algorithm, usize, FromSecret); 3] = [
        (SigningAlgorithm::HS256, Algorithm::HS256, 32, |secret| Key::hs256(secret)),
        (SigningAlgorithm::HS384, Algorithm::HS384, 48, |secret| Key::hs384(secret)),
        (SigningAlgorithm::HS512, Algorithm::HS512, 64, |secret| Key::hs512(secret)),
    ];
    for (signing, algorithm, least, from_secret) in ways {
        let (short, long) = (&SECRET[..least - 1], &SECRET[..least]);
        let Err(ConfigError::SecretTooShort { length, minimum }) = from_secret(short) else {
            panic!("{algorithm} took a secret of {} bytes", short.len());
        };
        assert_eq!((length, minimum), (short.len(), least));
        let jwk = |secret| {
            let members = format!(r#","alg":"{algorithm}"}}"#);
            Key::from_jwk_json(&oct(secret).replace('}', &members))
        };
        assert!(matches!(jwk(short), Err(ConfigError::SecretTooShort { .. })));

        for (key, secret) in [
            (from_secret(long), long),
            (jwk(long), long),
            (Key::allow_short_secret(algorithm, short), short),
        ] {
            let server = Server::trusting([issuer_with(key.unwrap())]).await;
            server.assert_admitted(&code_with(signing, secret)).await;
        }
    }
}

/// Whether a secret can be guessed cannot be seen: the length is looked at, and the docs warn. Most of what is in
/// lists of guesses falls with that.
#[test]
fn row_08_most_invented_secrets_are_too_short() {
    for secret in ["secret", "password", "your-256-bit-secret", "changeme", "qwertyuiop0123456789"]
    {
        assert!(matches!(Key::hs256(secret), Err(ConfigError::SecretTooShort { .. })), "{secret}");
    }
    assert!(Key::hs256(SECRET).is_ok());
}

#[tokio::test]
async fn row_09_a_key_in_the_header_is_not_used() {
    let (ours, theirs) = (Signer::new(), Signer::new());
    for (kid, keys) in [
        ("", KeySet::from(Key::from_jwk_json(&ours.jwk("")).unwrap())),
        (
            r#","kid":"ours""#,
            KeySet::from(Key::from_jwk_json(&ours.jwk(r#","kid":"ours""#)).unwrap()),
        ),
    ] {
        let server = Server::trusting([issuer_with(keys)]).await;
        let header = |jwk: &str| format!(r#"{{"alg":"ES256"{kid},"jwk":{jwk}}}"#);
        server.assert_admitted(&ours.sign(&format!(r#"{{"alg":"ES256"{kid}}}"#))).await;
        for jwk in [theirs.jwk(""), theirs.jwk(kid), theirs.jwk(r#","alg":"ES256","use":"sig""#)] {
            let token = theirs.sign(&header(&jwk));
            server.assert_refused(&token, RejectionKind::BadSignature).await;
            // The second twin: a good signature is good whatever key the header shows.
            server.assert_admitted(&ours.sign(&header(&jwk))).await;
        }
        for jwk in ["null", "{}", "[]", "\"\"", r#"{"kty":"oct","k":""}"#] {
            server.assert_admitted(&ours.sign(&header(jwk))).await;
        }
    }
}

#[tokio::test]
async fn row_10_addresses_and_certificates_in_the_header_are_not_followed() {
    let (ours, theirs) = (Signer::new(), Signer::new());
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let address = listener.local_addr().unwrap();
    let certificate = String::from_utf8(fixture("p256.certificate.pem")).unwrap();
    let x5c: String = certificate.lines().filter(|line| !line.starts_with("-----")).collect();

    let server = Server::trusting([issuer_with(Key::from_jwk_json(&ours.jwk("")).unwrap())]).await;
    server.assert_admitted(&ours.sign(r#"{"alg":"ES256"}"#)).await;
    for members in [
        format!(r#""jku":"http://{address}/jwks.json""#),
        format!(r#""jku":"https://{address}/jwks.json","kid":"theirs""#),
        format!(r#""x5u":"http://{address}/key.pem""#),
        format!(r#""jku":"http://issuer.example@{address}/","x5u":"http://{address}#issuer""#),
        format!(r#""x5c":["{x5c}"],"x5t":"{}","x5t#S256":"AA""#, base64url([7; 20])),
        r#""jku":"file:///etc/passwd""#.to_owned(),
        r#""jku":1,"x5u":null,"x5c":{},"x5t":[]"#.to_owned(),
    ] {
        let header = format!(r#"{{"alg":"ES256",{members}}}"#);
        server.assert_refused(&theirs.sign(&header), RejectionKind::BadSignature).await;
        // The second twin: none of it makes a good token bad.
        server.assert_admitted(&ours.sign(&header)).await;
    }
    let header = format!(r#"{{"alg":"ES256","x5c":["{x5c}"]}}"#);
    server.assert_refused(&es256(&header), RejectionKind::BadSignature).await;

    let nobody = listener.accept().unwrap_err();
    assert_eq!(nobody.kind(), std::io::ErrorKind::WouldBlock);
    // A connection would have been seen.
    let _connection = std::net::TcpStream::connect(address).unwrap();
    assert!(listener.accept().is_ok());
}

#[tokio::test]
async fn row_11_a_kid_is_only_compared_with_names_in_memory() {
    let longest = "k".repeat(1024);
    let keys = KeySet::new([
        Key::hs256(SECRET).unwrap().with_key_id("main"),
        Key::hs256(SECRET).unwrap().with_key_id(longest.as_str()),
    ]);
    let server = Server::trusting([issuer_with(keys)]).await;
    let header = |kid: &str| format!(r#"{{"alg":"HS256","kid":{kid}}}"#);
    for kid in ["\"main\"", "\"m\\u0061in\"", &format!("\"{longest}\"")] {
        server.assert_admitted(&hs256(&header(kid))).await;
    }
    for kid in [
        "/dev/null",
        "../../../../../dev/null",
        "file:///dev/null",
        "main/../main",
        "' OR '1'='1",
        "x' UNION SELECT 'secret'; --",
        "| sleep 10",
        "$(id)",
        "`id`",
        "http://127.0.0.1/key",
        "main\\u0000",
        "main\\u0000.pem",
        "\\u0000",
        "MAIN",
        " main",
        "main ",
        "mai",
        "",
        "%6dain",
        "ma\u{ed}n",
        "{{7*7}}",
        "${jndi:ldap://127.0.0.1/a}",
    ] {
        let header = header(&format!("\"{kid}\""));
        server.assert_refused(&hs256(&header), RejectionKind::UnknownKey).await;
        // What an attacker hopes that the path leads to.
        for secret in [&b""[..], b"\n", b"0", b"secret"] {
            let signing_input = format!("{}.{}", base64url(&header), base64url(CLAIMS));
            let token = authenticate_with(SigningAlgorithm::HS256, secret, &signing_input);
            server.assert_refused(&token, RejectionKind::UnknownKey).await;
        }
    }
    for kid in ["0", "1.5", "null", "true", "[\"main\"]", "{\"main\":\"main\"}"] {
        server.assert_refused(&hs256(&header(kid)), RejectionKind::MalformedHeader).await;
    }
    let too_long = header(&format!("\"{longest}k\""));
    server.assert_refused(&hs256(&too_long), RejectionKind::MalformedHeader).await;
}

/// A `kid` of a megabyte does not fit into the headers that the HTTP server takes, nor into a token of the default
/// length; a service that takes both has the limit of its own.
#[tokio::test]
async fn row_11_a_kid_of_a_megabyte_is_rejected_at_every_limit() {
    use crate::common::{
        requests::{builder, issuer, open, send, with_bearer},
        tokens::sign_hs256,
    };
    use tower::Layer;
    use tower_bearer::BearerLayer;

    let with_kid = |length: usize| {
        sign_hs256(&format!(r#"{{"alg":"HS256","kid":"{}"}}"#, "k".repeat(length)), CLAIMS)
    };
    let server = Server::trusting([issuer()]).await;
    server.assert_admitted(&with_kid(1024)).await;
    server.assert_refused(&with_kid(100_000), RejectionKind::TokenTooLong).await;

    for (limit, kind) in
        [(8 * 1024, RejectionKind::TokenTooLong), (4 * 1024 * 1024, RejectionKind::MalformedHeader)]
    {
        let authenticator = builder().with_max_token_length(limit).build().unwrap();
        let service = BearerLayer::new(authenticator).layer(open());
        send(service.clone(), with_bearer(&with_kid(1024))).await.assert_passed();
        let outcome = send(service, with_bearer(&with_kid(1024 * 1024))).await;
        assert_eq!((outcome.status.as_u16(), outcome.rejection), (401, Some(kind)));
    }
}

#[tokio::test]
async fn row_13_at_most_four_keys_of_one_kid_are_tried() {
    let signers = [(); 5].map(|()| Signer::new());
    for kid in ["", r#","kid":"k""#] {
        let header = format!(r#"{{"alg":"ES256"{kid}}}"#);
        let jwks = |signers: &mut dyn Iterator<Item = &Signer>| {
            let keys: Vec<_> = signers.map(|signer| signer.jwk(kid)).collect();
            KeySet::from_jwks_json(&format!(r#"{{"keys":[{}]}}"#, keys.join(","))).unwrap()
        };
        let [first, second, .., last] = &signers;

        let server = Server::trusting([issuer_with(jwks(&mut [first, second].into_iter()))]).await;
        server.assert_admitted(&first.sign(&header)).await;
        server.assert_admitted(&second.sign(&header)).await;
        server.assert_refused(&last.sign(&header), RejectionKind::BadSignature).await;

        let server = Server::trusting([issuer_with(jwks(&mut signers.iter()))]).await;
        for signer in &signers[..4] {
            server.assert_admitted(&signer.sign(&header)).await;
        }
        server.assert_refused(&last.sign(&header), RejectionKind::BadSignature).await;

        let server = Server::trusting([issuer_with(jwks(&mut signers.iter().rev()))]).await;
        server.assert_admitted(&last.sign(&header)).await;
        server.assert_refused(&first.sign(&header), RejectionKind::BadSignature).await;
    }
}

#[tokio::test]
async fn row_14_secrets_in_a_set_of_public_keys_are_left_out() {
    let secret = oct(SECRET).replace('}', r#","alg":"HS256","kid":"secret"}"#);
    assert!(Key::from_jwk_json(&secret).is_ok(), "alone and on purpose it is a key");
    assert!(matches!(
        KeySet::from_jwks_json(&format!(r#"{{"keys":[{secret}]}}"#)),
        Err(ConfigError::NoUsableKey(_))
    ));

    let keys = KeySet::from_jwks_json(&jwks_with(r#""kid":"rsa""#, &secret)).unwrap();
    assert_eq!(keys.len(), 1);
    let [refused] = keys.refused() else { panic!("{:?}", keys.refused()) };
    assert_eq!((refused.index(), refused.key_id()), (1, Some("secret")));
    assert!(matches!(refused.reason(), ConfigError::SecretInPublicKeySet));

    let server = Server::trusting([issuer_with(keys)]).await;
    server.assert_admitted(&rs256(r#"{"alg":"RS256"}"#)).await;
    server.assert_admitted(&rs256(r#"{"alg":"RS256","kid":"rsa"}"#)).await;
    let token = hs256(r#"{"alg":"HS256"}"#);
    server.assert_refused(&token, RejectionKind::AlgorithmMismatch).await;
    let token = hs256(r#"{"alg":"HS256","kid":"secret"}"#);
    server.assert_refused(&token, RejectionKind::UnknownKey).await;
}

#[tokio::test]
async fn row_15_a_key_that_is_not_for_verifying_is_not_used() {
    let other = Signer::new().jwk(r#","kid":"other""#);
    let token = rs256(r#"{"alg":"RS256","kid":"rsa"}"#);
    let without_kid = rs256(r#"{"alg":"RS256"}"#);
    let keys = |purpose: &str| {
        KeySet::from_jwks_json(&jwks_with(&format!(r#""kid":"rsa"{purpose}"#), &other)).unwrap()
    };
    for purpose in [
        "",
        r#","use":"sig""#,
        r#","key_ops":["verify"]"#,
        r#","key_ops":["sign","verify"]"#,
        r#","use":"sig","key_ops":["verify"]"#,
        // .NET writes members without a value.
        r#","use":null,"key_ops":[]"#,
        r#","use":null,"key_ops":null,"alg":null,"x5c":[],"oth":[],"d":null"#,
    ] {
        let server = Server::trusting([issuer_with(keys(purpose))]).await;
        server.assert_admitted(&token).await;
        server.assert_admitted(&without_kid).await;
    }
    for purpose in [
        r#","use":"enc""#,
        r#","use":"""#,
        r#","use":"SIG""#,
        r#","use":"enc","key_ops":["verify"]"#,
        r#","use":"sig","key_ops":["encrypt"]"#,
        r#","key_ops":["sign"]"#,
        r#","key_ops":["encrypt","wrapKey"]"#,
        r#","key_ops":[""]"#,
        r#","key_ops":{}"#,
        r#","key_ops":["VERIFY"]"#,
        r#","key_ops":"verify""#,
        r#","use":["sig"]"#,
        r#","d":"""#,
        r#","oth":[null]"#,
    ] {
        let server = Server::trusting([issuer_with(keys(purpose))]).await;
        server.assert_refused(&token, RejectionKind::UnknownKey).await;
        server.assert_refused(&without_kid, RejectionKind::AlgorithmMismatch).await;
    }
}

#[tokio::test]
async fn row_17_a_key_that_is_not_a_point_of_its_curve_is_not_loaded() {
    let jwk = |members: &str, x: &[u8], y: &[u8]| {
        let (x, y) = (base64url(x), base64url(y));
        Key::from_jwk_json(&format!(r#"{{{members},"x":"{x}","y":"{y}"}}"#))
    };
    let key: serde_json::Value = serde_json::from_str(&Signer::new().jwk("")).unwrap();
    let coordinate = |name: &str| {
        use base64::Engine;
        let text = key[name].as_str().unwrap();
        base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(text).unwrap()
    };
    let (x, y) = (coordinate("x"), coordinate("y"));
    let p256 = r#""kty":"EC","crv":"P-256""#;
    assert!(jwk(p256, &x, &y).is_ok());
    let mut off_curve = y.clone();
    off_curve[31] ^= 1;
    assert!(matches!(jwk(p256, &x, &off_curve), Err(ConfigError::InvalidPoint)));
    assert!(matches!(jwk(p256, &y, &x), Err(ConfigError::InvalidPoint)));
    assert!(matches!(jwk(p256, &[0; 32], &[0; 32]), Err(ConfigError::InvalidPoint)));
    assert!(matches!(jwk(p256, &[0xff; 32], &y), Err(ConfigError::InvalidPoint)));
    for (x, y) in [(&x[1..], &y[..]), (&x, &y[..31]), (&[&[0], &x[..]].concat(), &y), (&[], &[])] {
        assert!(matches!(jwk(p256, x, y), Err(ConfigError::CoordinateLength { .. })));
    }
    for (members, is_expected) in [
        (
            r#""kty":"EC","crv":"P-256","alg":"ES384""#,
            (|error| matches!(error, ConfigError::KeyAlgorithmMismatch(_)))
                as fn(&ConfigError) -> bool,
        ),
        (r#""kty":"EC","crv":"P-256","alg":"RS256""#, |error| {
            matches!(error, ConfigError::KeyAlgorithmMismatch(_))
        }),
        (r#""kty":"EC","crv":"P-256","alg":"HS256""#, |error| {
            matches!(error, ConfigError::KeyAlgorithmMismatch(_))
        }),
        (r#""kty":"EC","crv":"P-384""#, |error| {
            matches!(error, ConfigError::CoordinateLength { .. })
        }),
        (r#""kty":"EC","crv":"secp256k1""#, |error| {
            matches!(error, ConfigError::UnsupportedKey(_))
        }),
        (r#""kty":"EC","crv":"Ed25519""#, |error| matches!(error, ConfigError::UnsupportedKey(_))),
        (r#""kty":"OKP","crv":"P-256""#, |error| matches!(error, ConfigError::UnsupportedKey(_))),
        (r#""kty":"RSA","crv":"P-256""#, |error| matches!(error, ConfigError::UnreadableKey(_))),
        (r#""kty":"ec","crv":"P-256""#, |error| matches!(error, ConfigError::UnsupportedKey(_))),
    ] {
        let error = jwk(members, &x, &y).unwrap_err();
        assert!(is_expected(&error), "{members}: {error:?}");
    }
    for file in ["p384.public.pem", "p521.public.pem", "secp256k1.public.pem", "ed25519.public.pem"]
    {
        assert!(Key::from_pem(Algorithm::ES256, fixture(file)).is_err(), "{file}");
    }

    let key = Key::from_pem(Algorithm::ES256, fixture("p256.public.pem")).unwrap();
    let server = Server::trusting([issuer_with(key)]).await;
    server.assert_admitted(&es256(r#"{"alg":"ES256"}"#)).await;
}

/// Keys with the structure of ROCA are not looked for: that is for whoever makes keys.
#[tokio::test]
async fn row_25_weak_rsa_keys_are_not_loaded() {
    for (file, bits) in [("rsa1024.public.pem", 1024), ("rsa2047.public.pem", 2047)] {
        let error = Key::from_pem(Algorithm::RS256, fixture(file)).unwrap_err();
        assert!(matches!(error, ConfigError::RsaModulusBits(found) if found == bits), "{error}");
    }
    let keys: serde_json::Value = serde_json::from_str(&jwks_with(r#""kid":"rsa""#, "{}")).unwrap();
    let modulus = keys["keys"][0]["n"].as_str().unwrap();
    let with_exponent = |exponent: &[u8]| {
        let exponent = base64url(exponent);
        Key::from_jwk_json(&format!(r#"{{"kty":"RSA","n":"{modulus}","e":"{exponent}"}}"#))
    };
    for exponent in [&[0][..], &[1], &[0, 1], &[2], &[1, 0, 0], &[]] {
        let error = with_exponent(exponent).unwrap_err();
        assert!(matches!(error, ConfigError::RsaExponent), "{exponent:?} {error}");
    }
    let key = with_exponent(&[1, 0, 1]).unwrap();
    let server = Server::trusting([issuer_with(key)]).await;
    server.assert_admitted(&rs256(r#"{"alg":"RS256"}"#)).await;
    assert!(Key::from_pem(Algorithm::RS256, fixture("rsa2048-e3.public.pem")).is_ok());
}
