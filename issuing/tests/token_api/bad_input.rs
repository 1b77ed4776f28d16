//! Each field missing, null, blank, of the wrong type, too long; bodies that are no JSON, no object, or too large; dates
//! that are past, far away or without an offset: the documented answer, and nothing is written.

use http::Method;
use serde_json::{Value, json};

use crate::api::{Api, Call, Tokens};

const REQUIRED: &str = "This field is required.";
const NULL: &str = "This field may not be null.";
const BLANK: &str = "This field may not be blank.";
const NO_STRING: &str = "Not a valid string.";
const NO_DATE: &str = "Datetime has wrong format. Use one of these formats instead: YYYY-MM-DDThh:mm[:ss[.uuuuuu]][+HH:MM|-HH:MM|Z].";
const NO_OFFSET: &str = "Datetime has no time zone. Add one: +HH:MM, -HH:MM or Z.";
const PAST: &str = "Ensure this datetime is in the future.";
const TOO_FAR: &str = "Ensure this datetime is no more than 366 days from now.";
const NO_INTEGER: &str = "A valid integer is required.";
const NEGATIVE: &str = "Ensure this value is greater than or equal to 0.";
const TOO_LONG: &str = "Ensure this field has no more than 255 characters.";
const NUL: &str = "Null characters are not allowed.";

/// A service with a token and a session that must outlive every bad call.
struct Watched {
    api: Api,
    tokens: Tokens,
    private: String,
    rotate: String,
    rows: String,
}

impl Watched {
    async fn new() -> Self {
        let api = Api::new();
        let tokens = api.log_in("ada").await;
        let (id, private) = api.create(&tokens.access, "ci").await;
        let rows = api.get("/private_tokens/", &tokens.access).await.body;
        Self { api, tokens, private, rotate: format!("/private_tokens/{id}/rotate/"), rows }
    }

    async fn refuses(&self, path: &str, body: Value, status: u16, expected: &str) {
        self.refuses_bytes(path, "application/json", body.to_string(), status, expected).await;
    }

    async fn refuses_bytes(
        &self,
        path: &str,
        content_type: &str,
        body: impl Into<Vec<u8>>,
        status: u16,
        expected: &str,
    ) {
        let token =
            Some(&*self.tokens.access).filter(|_| !["/login/", "/refresh/"].contains(&path));
        let call = Call::new(Method::POST, path).token(token).body(content_type, body);
        self.api.call(call).await.is(status, &[], expected);
        // Nothing was written: the list is the same, the tokens are as good as they were.
        let rows = self.api.get("/private_tokens/", &self.tokens.access).await;
        assert_eq!(rows.body, self.rows, "{path}");
        assert_eq!(self.api.me(&self.private).await.status, 200, "{path}");
    }

    /// The refresh token was not used.
    async fn keeps_its_session(self) {
        let body = json!({"refresh_token": self.tokens.refresh});
        Tokens::of(&self.api.post("/refresh/", None, body).await);
    }

    fn paths(&self) -> [&str; 5] {
        ["/login/", "/refresh/", "/logout/", "/private_tokens/", &self.rotate]
    }
}

fn one(field: &str, message: &str) -> String {
    json!({field: [message]}).to_string()
}

#[tokio::test]
async fn each_text_is_required_not_null_not_blank_a_string_and_without_nul() {
    let watched = Watched::new().await;
    let good = |path: &str| match path {
        "/login/" => json!({"username": "ada@example.org", "password": "right"}),
        "/private_tokens/" => json!({"name": "x", "expiration_time": "2027-01-16T08:00:00Z"}),
        _ => json!({"refresh_token": watched.tokens.refresh}),
    };
    for (path, field, trims) in [
        ("/login/", "username", true),
        ("/login/", "password", false),
        ("/refresh/", "refresh_token", true),
        ("/logout/", "refresh_token", true),
        ("/private_tokens/", "name", true),
    ] {
        let with = |value: Value| {
            let mut body = good(path);
            body[field] = value;
            body
        };
        let mut without = good(path);
        without.as_object_mut().unwrap().remove(field);
        watched.refuses(path, without, 400, &one(field, REQUIRED)).await;
        watched.refuses(path, with(Value::Null), 400, &one(field, NULL)).await;
        watched.refuses(path, with(json!("")), 400, &one(field, BLANK)).await;
        if trims {
            watched.refuses(path, with(json!(" \t\n\u{a0}")), 400, &one(field, BLANK)).await;
        }
        for value in [json!(5), json!(1.5), json!(true), json!(["x"]), json!({"x": 1})] {
            watched.refuses(path, with(value), 400, &one(field, NO_STRING)).await;
        }
        watched.refuses(path, with(json!("a\0b")), 400, &one(field, NUL)).await;
    }
    let alias = json!({"email": null, "password": "right"});
    watched.refuses("/login/", alias, 400, &one("email", NULL)).await;
    watched.keeps_its_session().await;
}

#[tokio::test]
async fn names_have_up_to_255_characters_of_any_length_in_bytes() {
    let watched = Watched::new().await;
    let body = |name: String| json!({"name": name, "expiration_time": "2027-01-16T08:00:00Z"});
    watched.refuses("/private_tokens/", body("é".repeat(256)), 400, &one("name", TOO_LONG)).await;
    let longest = body("😀".repeat(255));
    let answer = watched.api.post("/private_tokens/", Some(&watched.tokens.access), longest).await;
    assert_eq!(answer.status, 201, "{}", answer.body);
}

#[tokio::test]
async fn each_date_is_required_well_formed_in_the_future_and_near_enough() {
    let watched = Watched::new().await;
    let rotate = watched.rotate.clone();
    for path in ["/private_tokens/", &rotate] {
        let field = "expiration_time";
        watched.refuses(path, json!({"name": "x"}), 400, &one(field, REQUIRED)).await;
        for (value, message) in [
            (Value::Null, NULL),
            (json!(""), NO_DATE),
            (json!("tomorrow"), NO_DATE),
            (json!("2027-01-16"), NO_DATE),
            (json!("2027-02-30T08:00:00Z"), NO_DATE),
            (json!("2027-01-16T08:00:00Z[UTC]"), NO_DATE),
            (json!(1_800_086_400), NO_DATE),
            (json!(true), NO_DATE),
            (json!(["2027-01-16T08:00:00Z"]), NO_DATE),
            (json!({}), NO_DATE),
            (json!("2027-01-16T08:00:00"), NO_OFFSET),
            (json!("2027-01-16 08:00"), NO_OFFSET),
            (json!("2027-01-15T08:00:00Z"), PAST),
            (json!("2027-01-15T08:00:00.999Z"), PAST),
            (json!("2027-01-15T09:00:00+01:30"), PAST),
            (json!("1969-12-31T23:59:59Z"), PAST),
            (json!("0001-01-01T00:00:00Z"), PAST),
            (json!("2028-01-16T08:00:01Z"), TOO_FAR),
            (json!("9999-12-31T23:59:59Z"), "Datetime value out of range."),
            (json!("9999-01-01T00:00:00Z"), TOO_FAR),
        ] {
            let body = json!({"name": "x", "expiration_time": value});
            watched.refuses(path, body, 400, &one(field, message)).await;
        }
    }
    // The last second is good, and so is the next one.
    for last in ["2028-01-16T08:00:00Z", "2027-01-15T08:00:01Z"] {
        let body = json!({"name": "x", "expiration_time": last});
        let access = Some(&*watched.tokens.access);
        let answer = watched.api.post("/private_tokens/", access, body).await;
        assert_eq!(
            (answer.status.as_u16(), &answer.json()["expiration_time"]),
            (201, &json!(last))
        );
    }
}

#[tokio::test]
async fn an_overlap_is_a_number_of_seconds() {
    let watched = Watched::new().await;
    for (value, message) in [
        (Value::Null, NULL),
        (json!("60"), NO_INTEGER),
        (json!(""), NO_INTEGER),
        (json!(true), NO_INTEGER),
        (json!(1.5), NO_INTEGER),
        (json!(-1.5), NO_INTEGER),
        (json!([60]), NO_INTEGER),
        (json!(-1), NEGATIVE),
        (json!(-1e300), NEGATIVE),
    ] {
        let body = json!({"expiration_time": "2027-01-16T08:00:00Z", "overlap_seconds": value});
        watched.refuses(&watched.rotate, body, 400, &one("overlap_seconds", message)).await;
    }
    // More than the operator allows is the operator's maximum.
    for value in ["1e300", "18446744073709551615", "60.0"] {
        let body =
            format!(r#"{{"expiration_time":"2027-01-16T08:00:00Z","overlap_seconds":{value}}}"#);
        let call = Call::new(Method::POST, &watched.rotate)
            .token(Some(&watched.tokens.access))
            .body("application/json", body);
        assert_eq!(watched.api.call(call).await.status, 201, "{value}");
    }
}

#[tokio::test]
async fn all_fields_that_are_wrong_are_named_at_once_in_their_order() {
    let watched = Watched::new().await;
    for (path, body, expected) in [
        ("/login/", "{}", format!(r#"{{"username":["{REQUIRED}"],"password":["{REQUIRED}"]}}"#)),
        (
            "/private_tokens/",
            "{}",
            format!(r#"{{"name":["{REQUIRED}"],"expiration_time":["{REQUIRED}"]}}"#),
        ),
        (
            "/private_tokens/",
            r#"{"name":"","expiration_time":"2020-01-01T00:00:00Z"}"#,
            format!(r#"{{"name":["{BLANK}"],"expiration_time":["{PAST}"]}}"#),
        ),
        (
            &*watched.rotate.clone(),
            r#"{"overlap_seconds":"x"}"#,
            format!(r#"{{"expiration_time":["{REQUIRED}"],"overlap_seconds":["{NO_INTEGER}"]}}"#),
        ),
    ] {
        watched.refuses_bytes(path, "application/json", body, 400, &expected).await;
    }
    // No body is an object without members, whatever its type.
    let expected = one("refresh_token", REQUIRED);
    for content_type in ["", "application/json", "text/plain"] {
        watched.refuses_bytes("/refresh/", content_type, "", 400, &expected).await;
    }
}

#[tokio::test]
async fn what_is_no_object_is_named() {
    let watched = Watched::new().await;
    for path in watched.paths() {
        for (body, kind) in [
            ("[1,{}]", "list"),
            ("\"x\"", "str"),
            ("5", "int"),
            ("-5", "int"),
            ("1.5", "float"),
            ("true", "bool"),
        ] {
            let message = format!("Invalid data. Expected a dictionary, but got {kind}.");
            let expected = one("non_field_errors", &message);
            watched.refuses_bytes(path, "application/json", body, 400, &expected).await;
        }
        let expected = one("non_field_errors", "No data provided");
        watched.refuses_bytes(path, "application/json", "null", 400, &expected).await;
    }
}

#[tokio::test]
async fn what_is_no_json_is_refused_without_a_word_of_it() {
    let watched = Watched::new().await;
    let deep = format!("{{\"a\":{}", "[".repeat(10_000));
    for path in watched.paths() {
        for (body, why) in [
            (&b"{"[..], "EOF while parsing an object at line 1 column 1"),
            (b" ", "EOF while parsing a value at line 1 column 1"),
            (b"{secret}", "key must be a string at line 1 column 2"),
            (b"{\"a\":1}x", "trailing characters at line 1 column 8"),
            (b"{\"a\":NaN}", "expected value at line 1 column 6"),
            (b"{\"a\":1e400}", "number out of range at line 1 column 10"),
            (b"{\"a\":1,\"a\":1}", "a member appears twice at line 1 column 13"),
            (b"{\"a\":1,\"\\u0061\":1}", "a member appears twice at line 1 column 18"),
            (b"{\"a\":\"\\ud800\"}", "unexpected end of hex escape at line 1 column 13"),
            (b"{\"name\":\"\xff\"}", "the text is not UTF-8"),
            (b"\xff\xfe{\0}\0", "the text is not UTF-8"),
            (b"\xef\xbb\xbf{}", "expected value at line 1 column 1"),
            (deep.as_bytes(), "recursion limit exceeded at line 1 column 132"),
        ] {
            let expected = json!({"detail": format!("JSON parse error - {why}")}).to_string();
            watched.refuses_bytes(path, "application/json", body, 400, &expected).await;
        }
    }
    watched.keeps_its_session().await;
}

#[tokio::test]
async fn unknown_members_are_read_as_strictly_as_the_others() {
    let watched = Watched::new().await;
    let too_deep = format!(r#"{{"x":{}{}}}"#, "[".repeat(32), "]".repeat(32));
    for (body, why) in [
        (r#"{"x":[{"a":1,"a":2}]}"#, "a member appears twice at line 1 column 19"),
        (r#"{"x":["\udc00"]}"#, "lone leading surrogate in hex escape at line 1 column 13"),
        (&too_deep, "more than 32 levels, or a member name that serde_json reserves"),
        (
            r#"{"x":{"$serde_json::private::RawValue":"1"}}"#,
            "more than 32 levels, or a member name that serde_json reserves",
        ),
    ] {
        let expected = json!({"detail": format!("JSON parse error - {why}")}).to_string();
        watched.refuses_bytes("/refresh/", "application/json", body, 400, &expected).await;
    }
    let missing = one("refresh_token", REQUIRED);
    let deepest = format!(r#"{{"x":{}{}}}"#, "[".repeat(31), "]".repeat(31));
    watched.refuses_bytes("/refresh/", "application/json", deepest, 400, &missing).await;
    watched.keeps_its_session().await;
}

#[tokio::test]
async fn other_media_types_are_named() {
    let watched = Watched::new().await;
    for path in watched.paths() {
        for (content_type, named) in [
            ("text/plain", "text/plain"),
            ("text/plain; charset=utf-8", "text/plain; charset=utf-8"),
            ("application/x-www-form-urlencoded", "application/x-www-form-urlencoded"),
            ("multipart/form-data; boundary=\"x\"", r#"multipart/form-data; boundary=\"x\""#),
            ("application/jsonp", "application/jsonp"),
            ("", ""),
        ] {
            let expected =
                format!(r#"{{"detail":"Unsupported media type \"{named}\" in request."}}"#);
            watched.refuses_bytes(path, content_type, "{}", 415, &expected).await;
        }
        for content_type in
            ["application/json; charset=utf-8", "APPLICATION/JSON", "application/json ;x"]
        {
            let call = Call::new(Method::POST, "/refresh/").body(content_type, r#"{"a":1}"#);
            watched.api.call(call).await.is(400, &[], &one("refresh_token", REQUIRED));
        }
    }
}

#[tokio::test]
async fn bodies_end_at_64_kib() {
    let watched = Watched::new().await;
    let expected = r#"{"detail":"Request body is larger than 65536 bytes."}"#;
    for path in watched.paths() {
        for size in [64 * 1024 + 1, 1024 * 1024, 8 * 1024 * 1024] {
            let body = vec![b' '; size];
            watched.refuses_bytes(path, "application/json", body, 413, expected).await;
        }
    }
    let body = format!(r#"{{"x":"{}"}}"#, "x".repeat(64 * 1024 - 8));
    assert_eq!(body.len(), 64 * 1024);
    let missing = one("refresh_token", REQUIRED);
    watched.refuses_bytes("/refresh/", "application/json", body, 400, &missing).await;
    watched.keeps_its_session().await;
}
