//! Looks for secrets in whatever way they may be written.

use std::{
    collections::BTreeSet,
    error::Error,
    fmt::{Debug, Write as _},
};

use base64::{
    Engine,
    engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD},
};

use super::marked::{EMAIL, KEY_ID, SCOPE, SECRET, SESSION, SUBJECT, TOKEN_ID};

/// Every piece of eight bytes of what is hidden, in each way in which bytes are written.
#[derive(Default)]
pub(crate) struct Hidden(BTreeSet<String>);

impl Hidden {
    const PIECE: usize = 8;

    pub(crate) fn add(&mut self, secret: impl AsRef<[u8]>) {
        let secret = secret.as_ref();
        assert!(secret.len() >= Self::PIECE);
        for piece in secret.windows(Self::PIECE) {
            if let Ok(text) = std::str::from_utf8(piece) {
                self.0.insert(text.to_owned());
            }
            let mut hex = String::new();
            piece.iter().for_each(|byte| write!(hex, "{byte:02x}").unwrap());
            self.0.extend([hex.to_uppercase(), hex]);
            let list = format!("{piece:?}");
            self.0.insert(list.trim_matches(['[', ']']).to_owned());
            // Eight characters of it, from the middle of whatever it stands in.
            for engine in [&STANDARD_NO_PAD, &URL_SAFE_NO_PAD] {
                let text = engine.encode(piece);
                self.0.insert(text[..8].to_owned());
            }
        }
    }

    pub(crate) fn add_token(&mut self, token: &str) {
        let (_, signature) = token.rsplit_once('.').unwrap();
        self.add(token);
        self.add(URL_SAFE_NO_PAD.decode(signature).unwrap());
    }

    pub(crate) fn piece_in(&self, text: &str) -> Option<&str> {
        self.0.iter().map(String::as_str).find(|piece| text.contains(piece))
    }

    #[track_caller]
    pub(crate) fn assert_not_in(&self, text: &str) {
        if let Some(piece) = self.piece_in(text) {
            panic!("{piece:?} stands in {text}");
        }
    }

    #[track_caller]
    pub(crate) fn assert_not_printed(&self, value: &dyn Debug) {
        self.assert_not_in(&format!("{value:?} {value:#?}"));
    }

    #[track_caller]
    pub(crate) fn assert_not_told(&self, error: &dyn Error) {
        let mut next = Some(error);
        while let Some(error) = next {
            self.assert_not_in(&format!("{error} {error:?} {error:#?}"));
            next = error.source();
        }
    }
}

/// All marks, and these tokens.
pub(crate) fn hidden<'t>(tokens: impl IntoIterator<Item = &'t str>) -> Hidden {
    let mut hidden = Hidden::default();
    hidden.add(SECRET);
    for text in [SUBJECT, TOKEN_ID, SESSION, KEY_ID, SCOPE, EMAIL] {
        hidden.add(text);
    }
    for token in tokens {
        hidden.add_token(token);
    }
    hidden
}

#[test]
pub(crate) fn a_secret_is_found_in_every_encoding() {
    let hidden = hidden([]);
    for text in [
        String::from_utf8(SECRET.to_vec()).unwrap(),
        format!("x{}x", &SUBJECT[3..]),
        format!("{:?}", SECRET),
        format!("{:x?}", SECRET).replace(", ", ""),
        format!("{:X?}", SECRET).replace(", ", ""),
        STANDARD_NO_PAD.encode(SECRET),
        URL_SAFE_NO_PAD.encode(&SECRET[1..]),
        URL_SAFE_NO_PAD.encode(format!("?{EMAIL}")),
        URL_SAFE_NO_PAD.encode(format!("??{EMAIL}")),
    ] {
        assert!(hidden.piece_in(&text).is_some(), "{text}");
    }
    assert_eq!(hidden.piece_in("Zq7Wx2L, token_not_valid, https://issuer.example"), None);
}
