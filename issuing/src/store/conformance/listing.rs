use super::{Bench, HOUR, ISSUER, NOW, ada, answered, bob, by, called, private, secs};
use crate::store::{ListQuery, Page, PrivateTokenPage, SortBy, TokenStore, TokenUse};

impl<S: TokenStore> Bench<S> {
    async fn page(&self, query: &ListQuery) -> Option<PrivateTokenPage> {
        called(self.store.list_private(&by(ada()), query, NOW).await)
    }

    async fn names(&self, query: &ListQuery) -> Vec<String> {
        let page = self.page(query).await.unwrap_or_else(|| panic!("no such page"));
        page.tokens.iter().map(|token| token.name.to_string()).collect()
    }

    async fn found(&self, text: &str) -> Vec<String> {
        self.names(&ListQuery::new().with_search(text)).await
    }
}

fn ordered(by: SortBy, descending: bool) -> ListQuery {
    ListQuery::new().add_ordering(by, descending)
}

pub(super) async fn orders_are_stable_and_go_both_ways<S: TokenStore>(bench: Bench<S>) {
    for (n, (name, issued, expires)) in
        [("b", 3, 1), ("Z", 1, 2), ("a", 2, 3), ("b", 2, 1), ("é", 4, 4)].into_iter().enumerate()
    {
        let mut new = private(ada(), &format!("p.{n}"), name);
        (new.issued_at, new.expires_at) = (NOW + secs(issued), NOW + HOUR + secs(expires));
        bench.create_token(new).await;
    }
    let ids = async |query: ListQuery| -> Vec<i64> {
        let page = bench.page(&query).await.unwrap_or_else(|| panic!("no such page"));
        page.tokens.iter().map(|token| token.id).collect()
    };
    let all = ids(ListQuery::new()).await;
    let at = |places: [usize; 5]| places.map(|place| all.get(place).copied().unwrap_or(-1));
    assert!(all.is_sorted());
    assert_eq!(ids(ordered(SortBy::Id, true)).await, at([4, 3, 2, 1, 0]));
    assert_eq!(ids(ordered(SortBy::Name, false)).await, at([1, 2, 0, 3, 4]), "by code points");
    assert_eq!(ids(ordered(SortBy::Name, true)).await, at([4, 0, 3, 2, 1]));
    assert_eq!(ids(ordered(SortBy::CreatedAt, false)).await, at([1, 2, 3, 0, 4]));
    assert_eq!(ids(ordered(SortBy::ExpiresAt, true)).await, at([4, 2, 1, 0, 3]));
    let by_two = ordered(SortBy::Name, false).add_ordering(SortBy::CreatedAt, false);
    assert_eq!(ids(by_two).await, at([1, 2, 3, 0, 4]));
}

pub(super) async fn never_used_comes_first<S: TokenStore>(bench: Bench<S>) {
    for name in ["never", "late", "early"] {
        bench.create(ada(), name, name).await;
    }
    let uses = [
        TokenUse::new(ISSUER, "late", NOW + secs(9)),
        TokenUse::new(ISSUER, "early", NOW + secs(1)),
    ];
    answered(bench.store.touch(&uses).await);
    let (up, down) = (ordered(SortBy::LastUsedAt, false), ordered(SortBy::LastUsedAt, true));
    assert_eq!(bench.names(&up).await, ["never", "early", "late"]);
    assert_eq!(bench.names(&down).await, ["late", "early", "never"]);
}

pub(super) async fn pages_add_up_and_end<S: TokenStore>(bench: Bench<S>) {
    let sized = |page| ListQuery::new().with_page_size(2).with_page(page);
    let first = bench.page(&sized(Page::Number(1))).await;
    assert_eq!(first, Some(PrivateTokenPage::new(0, 1, vec![])), "an empty first page");
    assert_eq!(bench.page(&sized(Page::Last)).await, first);
    assert_eq!(bench.page(&sized(Page::Number(2))).await, None);

    bench.create(bob(), "p.bob", "not on the list").await;
    for n in 0..5 {
        bench.create(ada(), &format!("p.{n}"), &format!("{n}")).await;
    }
    for (page, number, names) in [
        (Page::Number(1), 1, &["0", "1"][..]),
        (Page::Number(2), 2, &["2", "3"]),
        (Page::Number(3), 3, &["4"]),
        (Page::Last, 3, &["4"]),
    ] {
        let page = bench.page(&sized(page)).await.unwrap_or_else(|| panic!("no page {number}"));
        assert_eq!((page.count, page.number), (5, number));
        let found: Vec<&str> = page.tokens.iter().map(|token| &*token.name).collect();
        assert_eq!(found, names);
    }
    for none in [0, 4, u64::MAX] {
        assert_eq!(bench.page(&sized(Page::Number(none))).await, None);
    }
    let nothing_found = sized(Page::Number(1)).with_search("no such name");
    assert_eq!(bench.page(&nothing_found).await, Some(PrivateTokenPage::new(0, 1, vec![])));
}

pub(super) async fn a_search_folds_case_and_takes_every_character_literally<S: TokenStore>(
    bench: Bench<S>,
) {
    for (n, name) in ["CI 100%", "ci_1", "ci 1", r"back\slash", "ÄRGER Straße", "a'; --", "*?[x]"]
        .into_iter()
        .enumerate()
    {
        bench.create(ada(), &format!("p.{n}"), name).await;
    }
    for (text, names) in [
        ("cI", &["CI 100%", "ci_1", "ci 1"][..]),
        ("%", &["CI 100%"]),
        ("0%", &["CI 100%"]),
        ("_", &["ci_1"]),
        ("i_1", &["ci_1"]),
        (r"\", &[r"back\slash"]),
        (r"K\S", &[r"back\slash"]),
        ("ärger", &["ÄRGER Straße"]),
        ("STRAßE", &["ÄRGER Straße"]),
        ("strasse", &[]),
        ("'", &["a'; --"]),
        ("*", &["*?[x]"]),
        ("?[", &["*?[x]"]),
    ] {
        assert_eq!(bench.found(text).await, names, "{text:?}");
    }
    assert_eq!(bench.found("").await.len(), 7);
}

pub(super) async fn a_name_comes_back_as_it_was<S: TokenStore>(bench: Bench<S>) {
    let names = [
        "\u{10ffff}\u{1f600}".to_owned(),
        "e\u{301} é".to_owned(),
        " inner  space\t\n".to_owned(),
        "\u{1f600}".repeat(255),
    ];
    for (n, name) in names.iter().enumerate() {
        bench.create(ada(), &format!("p.{n}"), name).await;
    }
    assert_eq!(bench.names(&ListQuery::new()).await, names);
}
