//! What the documents name is there: files, rooms, tests, reasons, features. Commands are held against it by `.ci/readme`.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use tower_bearer::RejectionKind;

const DOCUMENTS: [&str; 8] = [
    "README.md",
    "DESIGN.md",
    "COMPARE.md",
    "SECURITY.md",
    "CONTRIBUTING.md",
    "CHANGELOG.md",
    "examples/README.md",
    "benches/README.md",
];

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: impl AsRef<Path>) -> String {
    let path = root().join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// What stands behind `mark` up to one of `ends`, each time.
fn behind<'a>(text: &'a str, mark: &'a str, ends: &'a [char]) -> impl Iterator<Item = &'a str> {
    text.split(mark).skip(1).filter_map(move |rest| rest.split(ends).next())
}

/// What stands in backquotes.
fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

#[test]
fn every_file_that_a_document_links_to_is_there() {
    let mut links = 0;
    for document in DOCUMENTS {
        let text = read(document);
        let folder = root().join(document).parent().expect("a folder").to_owned();
        for target in behind(&text, "](", &[')']) {
            if target.contains("://") || target.starts_with('#') {
                continue;
            }
            let path = target.split('#').next().unwrap_or_default();
            assert!(folder.join(path).exists(), "{document} links to {target}");
            links += 1;
        }
    }
    assert!(links > 10, "only {links} links were found");
}

/// Tests are named as `folder/file.rs` `beginning_of_a_name`.
#[test]
fn every_test_that_the_guide_names_is_there() {
    let mut tests = 0;
    for page in ["src/guide/threats.rs", "src/guide/revocation.rs"] {
        let text = read(page);
        for row in text.lines().filter(|line| line.starts_with("//! | ")) {
            let shown_by = row.trim_end_matches(" |").rsplit(" | ").next().unwrap_or_default();
            let mut names = quoted(shown_by).skip_while(|name| !name.ends_with(".rs"));
            while let (Some(file), Some(test)) = (names.next(), names.next()) {
                let found = read(Path::new("tests").join(file)).contains(&format!("fn {test}"));
                assert!(found, "{page}: tests/{file} has no test {test}");
                tests += 1;
            }
        }
    }
    assert!(tests > 70, "only {tests} tests were found");
}

/// Checks tests that are named as `path/file.rs` `name`, `another_name`, and returns how many there are.
fn named_tests(text: &str) -> usize {
    let (mut file, mut tests) = (None, 0);
    for name in quoted(text) {
        if name.ends_with(".rs") {
            file = Some(name);
            continue;
        }
        let Some(file) = file else { continue };
        assert!(read(file).contains(&format!("fn {name}")), "{file} has no test {name}");
        tests += 1;
    }
    tests
}

/// The part of a document under a heading of the second level.
fn section<'a>(text: &'a str, heading: &str) -> &'a str {
    let rest = text.split(&format!("\n## {heading}\n")).nth(1).expect(heading);
    rest.split("\n## ").next().unwrap_or_default()
}

#[test]
fn every_promise_names_tests_that_exist() {
    let text = read("SECURITY.md");
    let promises = section(&text, "Promises and their tests").lines();
    let promises = promises.filter(|line| line.starts_with("| ") && !line.starts_with("| promise"));
    let mut count = 0;
    for row in promises {
        let tests = row.trim_end_matches(" |").rsplit(" | ").next().unwrap_or_default();
        assert!(named_tests(tests) > 0, "no test: {row}");
        count += 1;
    }
    assert!(count > 25, "only {count} promises were found");
}

#[test]
fn every_decision_names_tests_that_exist_or_what_shows_it() {
    let text = read("DESIGN.md");
    let mut count = 0;
    for decision in section(&text, "Decisions").split("\n\n").flat_map(numbered) {
        match decision.split_once("Tests: ") {
            Some((_, tests)) => assert!(named_tests(tests) > 0, "no test: {decision}"),
            None => assert!(decision.contains(" is the test"), "no test: {decision}"),
        }
        count += 1;
    }
    assert!(count > 35, "only {count} decisions were found");
}

/// The items of a numbered list.
fn numbered(text: &str) -> Vec<String> {
    let mut items: Vec<String> = Vec::new();
    for line in text.lines() {
        let is_first = line.split_once(". ").is_some_and(|(n, _)| n.parse::<u8>().is_ok());
        match items.last_mut() {
            _ if is_first => items.push(line.to_owned()),
            Some(item) => {
                item.push('\n');
                item.push_str(line);
            }
            None => {}
        }
    }
    items
}

#[test]
fn every_reason_that_the_guide_names_is_one() {
    let text = read("src/guide/threats.rs");
    let known = |name: &str| RejectionKind::ALL.iter().any(|kind| kind.as_str() == name);
    let reasons: Vec<&str> = behind(&text, "401 `", &['`']).collect();
    assert!(reasons.len() >= 10, "only {} reasons were found", reasons.len());
    for reason in reasons {
        assert!(known(reason), "there is no reason {reason}");
    }
}

#[test]
fn every_room_that_contributing_names_is_there() {
    let text = read("CONTRIBUTING.md");
    for room in behind(&text, "`src/", &['`']).chain(behind(&text, "`tests/", &['`'])) {
        let room = room.trim_end_matches('*');
        let is_there = |folder: &str| {
            [format!("{folder}/{room}"), format!("{folder}/{room}.rs")]
                .iter()
                .any(|path| root().join(path).exists())
        };
        assert!(is_there("src") || is_there("tests"), "there is no room {room}");
    }
}

/// The features of `Cargo.toml`, without `default` and those that are its own business (`_...`).
fn features() -> BTreeSet<String> {
    let manifest = read("Cargo.toml");
    let section = manifest.split("[features]").nth(1).and_then(|rest| rest.split("\n[").next());
    let names = section.expect("a section").lines().filter_map(|line| line.split_once(" = "));
    names
        .map(|(name, _)| name.to_owned())
        .filter(|name| name != "default" && !name.starts_with('_'))
        .collect()
}

#[test]
fn the_table_of_features_has_every_feature_and_no_other() {
    let text = read("src/lib.rs");
    let table = text.split("| feature | default | adds |").nth(1).expect("a table");
    let rows = table.lines().skip(2).map(|line| line.trim_start_matches("//! "));
    let rows = rows.take_while(|row| row.starts_with('|'));
    let named: BTreeSet<String> = rows
        .filter_map(|row| row.split(" | ").next())
        .flat_map(quoted)
        .map(str::to_owned)
        .collect();
    assert_eq!(named, features());
}

/// Public methods that take their builder and give it back: `Type::method`. Read from the source.
fn settings() -> BTreeSet<String> {
    let mut folders = vec![root().join("src")];
    let mut settings = BTreeSet::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                settings_of(&fs::read_to_string(path).expect("a text"), &mut settings);
            }
        }
    }
    settings
}

fn settings_of(source: &str, settings: &mut BTreeSet<String>) {
    let mut name_of_type = "";
    let mut rest_of_source = source;
    for line in source.lines() {
        if let Some(header) = line.strip_prefix("impl") {
            name_of_type = type_of(header);
        }
        if let Some(name) = line.strip_prefix("    pub fn ")
            && is_setter(rest_of_source)
        {
            let name = name.split(['(', '<']).next().unwrap_or_default();
            settings.insert(format!("{name_of_type}::{name}"));
        }
        rest_of_source = rest_of_source.get(line.len() + 1..).unwrap_or_default();
    }
}

/// The type in what stands behind `impl`.
fn type_of(header: &str) -> &str {
    let parameters = header.strip_prefix('<').and_then(|rest| rest.split_once("> "));
    let header = parameters.map_or(header, |(_, header)| header).trim_start();
    header.split(|c: char| !c.is_alphanumeric()).next().unwrap_or_default()
}

/// Whether the method at the beginning of this text takes its builder and gives it back, or the next step of it.
fn is_setter(source: &str) -> bool {
    let signature = source.split(" {\n").next().unwrap_or_default();
    let parameters = signature.split_once('(').map_or("", |(_, it)| it).trim_start();
    let returned = signature.rsplit_once("-> ").map_or("", |(_, it)| it);
    (parameters.starts_with("self,")
        || parameters.starts_with("self)")
        || parameters.starts_with("mut self"))
        && ["Self", "Result<Self, ConfigError>", "Issuer", "IssuerWithoutAudience"]
            .contains(&returned)
}

/// Types whose methods are not settings: what is fetched, stored or asked for, and what tests make.
const VALUES: [&str; 9] = [
    "Caller",
    "Fetched",
    "ListQuery",
    "NewPrivateToken",
    "RefreshRotation",
    "RevocationEntry",
    "StoreError",
    "TestIssuer",
    "TestToken",
];

#[test]
fn the_defaults_list_every_setting() {
    let settings = settings();
    assert!(settings.len() > 60, "only {} settings were found", settings.len());
    let page = read("src/guide/defaults.rs");
    let missing: Vec<_> = settings
        .iter()
        .filter(|setting| !VALUES.iter().any(|value| setting.starts_with(&format!("{value}::"))))
        .filter(|setting| !page.contains(&format!("::{setting})")))
        .collect();
    assert!(missing.is_empty(), "guide::defaults lacks {missing:#?}");
}
