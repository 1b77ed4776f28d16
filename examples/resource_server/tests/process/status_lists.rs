//! `STATUS_LISTS`: tokens whose issuer has revoked them in a status list.

use std::{
    io::{BufRead, BufReader, Write},
    net::TcpListener,
};

use tower_bearer::{jws::SigningKey, test_util::TestIssuer};

use crate::{SECRET, server::Server};

#[test]
fn a_token_that_is_revoked_in_a_status_list_is_rejected() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let prefix = format!("http://{}/lists", listener.local_addr().unwrap());
    let url = format!("{prefix}/1");
    let issuer = TestIssuer::new().with_key(SigningKey::hs256(SECRET).unwrap());
    let list = issuer.status_list(&url).with_status(7, 1).issue();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            let _ = BufReader::new(&stream).read_line(&mut String::new());
            let length = list.len();
            let _ = write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n{list}");
        }
    });
    let server = Server::start(&[
        ("HS256_SECRET", SECRET),
        ("ISSUER", TestIssuer::NAME),
        ("AUDIENCE", TestIssuer::AUDIENCE),
        ("STATUS_LISTS", &prefix),
    ]);
    let token = |url: &str, index| issuer.token().with_status_entry(url, index).issue();
    let call = |token: String| server.call("GET", "/whoami", Some(&token));
    assert_eq!(call(token(&url, 6)).status, 200);
    call(token(&url, 7)).assert_token_not_valid("revoked");
    call(token("http://127.0.0.1:9/lists/1", 6)).assert_token_not_valid("elsewhere");
    assert_eq!(call(issuer.token().issue()).status, 200);
}
