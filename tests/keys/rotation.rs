//! Keys that come and go.

use std::time::Duration;

use tower_bearer::{RejectionKind, jwks::Fetched};

use crate::{
    gate::{Gate, Said, UNAVAILABLE, UNKNOWN},
    script::{Habit, Script},
    server::{Answer, Server},
    signer::{Signer, set},
};

const BAD_SIGNATURE: Said = Err((401, RejectionKind::BadSignature));

#[tokio::test(start_paused = true)]
async fn rotation_to_a_key_that_was_published_early_rejects_no_valid_token() {
    let (a, b) = (Signer::new("a"), Signer::new("b"));
    let script = Script::serves(&set(&[&a]));
    let gate = Gate::new(&script.keys(), script.clock());
    let (mut sent, mut waited) = (0, 0);
    // Published at 1 000, used from 1 600 on, the old one withdrawn at 2 300, 100 seconds after its last token.
    for second in 0..4_000 {
        match second {
            1_000 => script.turns_to_serve(&set(&[&a, &b])),
            2_300 => script.turns_to_serve(&set(&[&b])),
            _ => {}
        }
        script.clock().reaches(second).await;
        let tokens = match second {
            0..1_600 => vec![a.token()],
            1_600..2_200 => vec![a.token(), b.token()],
            _ => vec![b.token()],
        };
        for token in tokens {
            sent += 1;
            let said = gate.says_at_once(&token);
            waited += usize::from(said.is_none());
            let said = if let Some(said) = said { said } else { gate.says(&token).await };
            assert_eq!(said, Ok(()), "at {second}");
        }
    }
    assert_eq!((sent, waited), (4_600, 1), "only the very first token waited");
    assert_eq!(script.asked_at(), [0, 480, 960, 1_440, 1_920, 2_400, 2_880, 3_360, 3_840]);
    assert_eq!(gate.says(&a.token()).await, UNKNOWN);
}

#[tokio::test(start_paused = true)]
async fn the_first_token_of_a_new_key_triggers_a_fetch() {
    let (a, b, c) = (Signer::new("a"), Signer::new("b"), Signer::new("c"));
    let script = Script::serves(&set(&[&a]));
    let gate = Gate::new(&script.keys(), script.clock());
    assert_eq!(gate.says(&a.token()).await, Ok(()));

    script.turns_to_serve(&set(&[&a, &b]));
    script.clock().reaches(30).await;
    assert_eq!(gate.says(&b.token()).await, Ok(()));
    assert_eq!(script.asked_at(), [0, 30]);

    // The next comes within the 30 seconds: it is refused until they are over, and not longer.
    script.turns_to_serve(&set(&[&a, &b, &c]));
    script.clock().reaches(31).await;
    assert_eq!(gate.says_at_once(&c.token()), Some(UNKNOWN));
    script.clock().reaches(59).await;
    assert_eq!(gate.says_at_once(&c.token()), Some(UNKNOWN));
    script.clock().reaches(60).await;
    assert_eq!(gate.says(&c.token()).await, Ok(()));
    assert_eq!(script.asked_at(), [0, 30, 60]);
}

#[tokio::test]
async fn a_withdrawn_key_is_gone_with_the_tokens_that_were_remembered_under_it() {
    let (a, b) = (Signer::new("a"), Signer::new("b"));
    let server = Server::start().await;
    server.serves("/keys", Answer::keys(&set(&[&a, &b])));
    let clock = server.clock.clone();
    let gate = Gate::new(&server.keys("/keys"), clock.clone());
    let (of_a, of_b) = (a.token(), b.token());
    for token in [&of_a, &of_b, &of_a, &of_b] {
        assert_eq!(gate.says(token).await, Ok(()));
    }

    server.serves("/keys", Answer::keys(&set(&[&b])));
    clock.advance(Duration::from_secs(30));
    assert_eq!(gate.says(&Signer::unknown("c")).await, UNKNOWN);
    assert_eq!(gate.says(&of_a).await, UNKNOWN, "remembered, but its key is gone");
    assert_eq!(gate.says_at_once(&of_b), Some(Ok(())));

    // The same id for another key: what the old one signed is not good any more.
    let other_b = Signer::new("b");
    server.serves("/keys", Answer::keys(&set(&[&other_b])));
    clock.advance(Duration::from_secs(30));
    assert_eq!(gate.says(&Signer::unknown("c")).await, UNKNOWN);
    assert!(gate.says(&of_b).await.is_err());
    assert_eq!(gate.says(&other_b.token()).await, Ok(()));
    assert_eq!(server.count("/keys"), 3);
}

#[tokio::test]
async fn keys_without_ids_serve_tokens_that_name_an_id_until_one_has_it() {
    let (a, b) = (Signer::new("a"), Signer::new("b"));
    let server = Server::start().await;
    server.serves("/keys", Answer::keys(&format!(r#"{{"keys":[{}]}}"#, a.jwk_with(""))));
    let clock = server.clock.clone();
    let gate = Gate::new(&server.keys("/keys"), clock.clone());
    assert_eq!(gate.says(&a.token()).await, Ok(()));
    assert_eq!(gate.says(&a.token_without_key_id()).await, Ok(()));

    // A key with that id may have come since, although a key without one was tried.
    clock.advance(Duration::from_secs(30));
    let both = format!(r#"{{"keys":[{},{}]}}"#, a.jwk_with(""), b.jwk());
    server.serves("/keys", Answer::keys(&both));
    assert_eq!(gate.says(&b.token()).await, Ok(()));
    assert_eq!(server.count("/keys"), 2);

    // A bad signature under a known id, or under none, says nothing about keys.
    clock.advance(Duration::from_secs(30));
    let forged = Signer::new("b");
    for token in [forged.token(), forged.token_without_key_id()] {
        assert!(gate.says_at_once(&token).unwrap().is_err());
    }
    assert_eq!(server.count("/keys"), 2);
}

#[tokio::test(start_paused = true)]
async fn a_bad_signature_triggers_a_fetch_only_where_that_is_set() {
    let (a, same_id, without_id) = (Signer::new("a"), Signer::new("a"), Signer::new("c"));
    let script = Script::serves(&set(&[&a]));
    let keys = script.keys().refetch_on_bad_signature();
    let gate = Gate::new(&keys, script.clock());
    assert_eq!(gate.says(&a.token()).await, Ok(()));

    // The issuer replaces the key and keeps its id.
    script.turns_to_serve(&set(&[&same_id]));
    script.clock().reaches(30).await;
    assert_eq!(gate.says(&same_id.token()).await, Ok(()));
    assert_eq!(script.asked_at(), [0, 30]);

    // Whoever sends bad signatures gets one fetch in 30 seconds, as with unknown ids.
    for second in 31..60 {
        script.clock().reaches(second).await;
        for forged in [a.token(), a.token_without_key_id()] {
            assert_eq!(gate.says_at_once(&forged), Some(BAD_SIGNATURE), "at {second}");
        }
    }
    assert_eq!(script.asked_at(), [0, 30]);

    // The same for a token that names no id.
    let keys_without_ids = format!(r#"{{"keys":[{}]}}"#, without_id.jwk_with(""));
    script.turns_to_serve(&keys_without_ids);
    script.clock().reaches(60).await;
    assert_eq!(gate.says(&without_id.token_without_key_id()).await, Ok(()));
    assert_eq!(script.asked_at(), [0, 30, 60]);

    // After a failed attempt it is not known whether the key is a new one.
    script.turns_to(Habit::Fails);
    script.clock().reaches(90).await;
    assert_eq!(gate.says(&a.token()).await, UNAVAILABLE);
    assert_eq!(gate.says_at_once(&without_id.token()), Some(Ok(())));
}

#[tokio::test(start_paused = true)]
async fn by_default_a_key_replaced_under_its_id_is_noticed_within_an_hour() {
    let (a, same_id) = (Signer::new("a"), Signer::new("a"));
    let day = Duration::from_secs(24 * 3_600);
    let with_max_age = |signer: &Signer| Fetched::document(set(&[signer])).with_max_age(day);
    let script = Script::that(Habit::Serves(with_max_age(&a)));
    let gate = Gate::new(&script.keys(), script.clock());
    assert_eq!(gate.says(&a.token()).await, Ok(()));
    script.turns_to(Habit::Serves(with_max_age(&same_id)));
    script.clock().reaches(3_599).await;
    assert_eq!(gate.says_at_once(&same_id.token()), Some(BAD_SIGNATURE));
    script.clock().reaches(3_600).await;
    assert_eq!(gate.says_at_once(&same_id.token()), Some(Ok(())));
    assert_eq!(script.asked_at(), [0, 3_600]);
}
