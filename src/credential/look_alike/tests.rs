use super::*;

#[test]
fn a_cookie_is_recognised_by_its_decoded_and_trimmed_name() {
    for pair in [
        &b"session=x"[..],
        b" session=x",
        b"session =x",
        b"\tsession\t=x",
        b"session=",
        b"sessio%6e=x",
        b"sessio%6E=x",
        b"%73%65%73%73%69%6f%6e=x",
        b"session%20=x",
        b"%20session=x",
        b"session+=x",
        b"session%00=x",
        b"session\xA0=x",
        b"\xC2\xA0session=x",
        b"\"session\"=x",
        b"a=1,session=x",
        b"a=1, session =x",
        b"session=x=y",
    ] {
        assert!(is_cookie(pair, "session"), "{}", pair.escape_ascii());
    }
}

#[test]
fn a_cookie_of_another_name_is_not_recognised() {
    for pair in [
        &b""[..],
        b"=",
        b"=session",
        b"session",
        b"SESSION=x",
        b"sessions=x",
        b"xsession=x",
        b"a=session=x",
        b"sess ion=x",
        b"sessio%256e=x",
        b"sessio%6=x",
        b"sessio%=x",
        b"sessio%zz=x",
    ] {
        assert!(!is_cookie(pair, "session"), "{}", pair.escape_ascii());
    }
}

#[test]
fn a_parameter_is_recognised_by_its_decoded_and_trimmed_name() {
    for pair in [
        "access_token=x",
        "access_token",
        "access_token=",
        "access%5Ftoken=x",
        "access%5ftoken=x",
        "access%5Ftoken",
        "%61ccess_token=x",
        "access_token%20=x",
        "+access_token=x",
        "access_token%00=x",
        "a=1;access_token=x",
        "a;access%5Ftoken",
    ] {
        assert!(is_parameter(pair, "access_token"), "{pair}");
    }
}

#[test]
fn a_parameter_of_another_name_is_not_recognised() {
    for pair in [
        "",
        "=",
        "=access_token",
        "a=access_token",
        "ACCESS_TOKEN=x",
        "access-token=x",
        "access_tokens=x",
        "access%255Ftoken=x",
        "access%5=x",
        "access_token%",
    ] {
        assert!(!is_parameter(pair, "access_token"), "{pair}");
    }
}

/// A name that needs escapes itself is also compared without decoding.
#[test]
fn a_name_with_a_percent_sign_is_recognised_as_it_is() {
    assert!(is_cookie(b"a%62=x", "a%62"));
    assert!(is_cookie(b"a+b=x", "a+b"));
    assert!(is_cookie(b"ab=x", "ab") && !is_cookie(b"ab=x", "a%62"));
}
