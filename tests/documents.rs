//! Compares the documents with the code: files, tests, types, checks, reasons, settings, features. `.ci/readme` runs the
//! commands of the README.

#[path = "documents/servers.rs"]
mod servers;

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use tower_bearer::RejectionKind;
use tower_bearer_issuing::audit::AuditKind;

const DOCUMENTS: [&str; 11] = [
    "README.md",
    "DESIGN.md",
    "COMPARE.md",
    "SECURITY.md",
    "CONTRIBUTING.md",
    "CHANGELOG.md",
    "examples/README.md",
    "benches/README.md",
    "examples/token_service/README.md",
    "operations/README.md",
    "operations/token_service.md",
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

/// Tests are named as `path/file.rs` `beginning_of_a_name`.
#[test]
fn every_test_that_the_guide_names_is_there() {
    let mut tests = 0;
    for page in ["src/guide/threats.rs", "src/guide/revocation.rs"] {
        let text = read(page);
        for row in text.lines().filter(|line| line.starts_with("//! | ")) {
            let shown_by = row.trim_end_matches(" |").rsplit(" | ").next().unwrap_or_default();
            let mut names = quoted(shown_by).skip_while(|name| !name.ends_with(".rs"));
            while let (Some(file), Some(test)) = (names.next(), names.next()) {
                let found = read(file).contains(&format!("fn {test}"));
                assert!(found, "{page}: {file} has no test {test}");
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

#[test]
fn the_paths_of_a_request_and_of_a_revocation_name_files_that_exist() {
    let text = read("CONTRIBUTING.md");
    let paths: Vec<Vec<String>> = section(&text, "Where a request goes")
        .split("\n\n")
        .map(numbered)
        .filter(|steps| !steps.is_empty())
        .collect();
    assert_eq!(paths.len(), 2, "one list for a request, one for a revocation");
    for steps in paths {
        assert!((5..=14).contains(&steps.len()), "{} files", steps.len());
        let mut files = BTreeSet::new();
        for step in &steps {
            let file = quoted(step).next().filter(|file| file.ends_with(".rs"));
            let file = file.unwrap_or_else(|| panic!("begins with a file: {step}"));
            assert!(root().join(file).is_file(), "there is no file {file}");
            assert!(files.insert(file), "{file} is named twice");
        }
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

/// The library code of every member.
const MEMBERS: [&str; 4] = ["src", "redis/src", "sql/src", "issuing/src"];

/// Public methods that take their builder and give it back: `Type::method`. Read from the source.
fn settings() -> BTreeSet<String> {
    let mut settings = BTreeSet::new();
    for folder in MEMBERS {
        sources(folder).iter().for_each(|source| settings_of(source, &mut settings));
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
        && [
            "Self",
            "Result<Self, ConfigError>",
            "Result<Self, ConnectError>",
            "Issuer",
            "IssuerWithoutAudience",
        ]
        .contains(&returned)
}

/// Types whose methods are not settings: what is fetched, stored or asked for, and what tests make.
const VALUES: [&str; 21] = [
    "Account",
    "AccountQuery",
    "AccountUpdate",
    "AuditQuery",
    "Caller",
    "ClientInfo",
    "Fetched",
    "ListQuery",
    "NewPrivateToken",
    "NewRefreshToken",
    "NewSession",
    "PrivateToken",
    "ProofKey",
    "RefreshRotation",
    "RevocationEntry",
    "SessionQuery",
    "StoreError",
    "TestIssuer",
    "TestProof",
    "TestStatusList",
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
        .filter(|setting| {
            let [link, plain] = [")", "`"].map(|end| format!("::{setting}{end}"));
            !page.contains(&link) && !page.contains(&plain)
        })
        .collect();
    assert!(missing.is_empty(), "guide::defaults lacks {missing:#?}");
}

/// All `.rs` files below a folder.
fn sources(folder: &str) -> Vec<String> {
    let (mut folders, mut texts) = (vec![root().join(folder)], Vec::new());
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                texts.push(fs::read_to_string(path).expect("a text"));
            }
        }
    }
    texts
}

/// The texts of links in place of links, and one space in place of each white space.
fn plain(text: &str) -> String {
    let mut plain = String::new();
    for (number, part) in text.split("](").enumerate() {
        let part = if number == 0 { part } else { part.split_once(')').expect("a link").1 };
        plain.push_str(part);
    }
    let plain = plain.replace('[', "");
    plain.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The numbered checks of a document, and the paragraph on cache hits behind them.
fn checks_of(text: &str) -> (Vec<String>, String) {
    let text = text.split("decides the answer.\n\n").nth(1).expect("the sentence before the list");
    let (list, rest) = text.split_once("\n\n").expect("a list");
    let checks = numbered(list).iter().map(|check| plain(check)).collect();
    let hit = rest.split("\n\n").next().unwrap_or_default();
    (checks, plain(hit))
}

/// The numbers in comments that start so, as in `// Check 7: signature.`
fn checks_in_the_code(start: &str, must_have: &str) -> Vec<usize> {
    let mut numbers = Vec::new();
    for source in sources("src") {
        let comments =
            source.lines().map(str::trim_start).filter_map(|line| line.strip_prefix(start));
        for comment in comments.filter(|comment| comment.contains(must_have)) {
            let number = comment.split([':', ',']).next().unwrap_or_default();
            numbers.push(number.parse().unwrap_or_else(|_| panic!("not a check: {comment}")));
        }
    }
    numbers.sort_unstable();
    numbers
}

#[test]
fn readme_rustdoc_and_code_number_the_same_checks() {
    let source = read("src/authenticator.rs");
    let lines = source.lines().filter_map(|line| line.strip_prefix("///"));
    let rustdoc: Vec<&str> = lines.map(|line| line.strip_prefix(' ').unwrap_or(line)).collect();
    let (checks, hit) = checks_of(&rustdoc.join("\n"));
    let readme = read("README.md");
    assert_eq!(
        checks_of(section(&readme, "What is checked, in this order")),
        (checks.clone(), hit.clone())
    );

    assert!(checks.len() > 15, "only {} checks were found", checks.len());
    for (index, check) in checks.iter().enumerate() {
        assert!(check.starts_with(&format!("{}. ", index + 1)), "out of order: {check}");
    }
    let all: Vec<usize> = (1..=checks.len()).collect();
    assert_eq!(
        checks_in_the_code("// Check ", ""),
        all,
        "each number occurs in the code exactly once"
    );

    let mut on_a_hit = checks_in_the_code("// Check ", "also on a cache hit");
    on_a_hit.extend(checks_in_the_code("// Cache hit, check ", ""));
    on_a_hit.sort_unstable();
    let sentence = hit.split(" run.").next().unwrap_or_default();
    let named: Vec<usize> =
        sentence.split([' ', ',']).filter_map(|word| word.parse().ok()).collect();
    assert_eq!(named, on_a_hit, "the checks that run on a cache hit");
}

#[test]
fn the_page_on_rejections_explains_every_kind() {
    let text = read("src/guide/rejected.rs");
    let rows = text.lines().filter_map(|line| line.strip_prefix("//! | [`"));
    let documented: Vec<Vec<String>> = rows
        .map(|row| row.split(" | ").map(|cell| cell.trim_end_matches(" |").to_owned()).collect())
        .collect();
    let kinds: Vec<String> =
        documented.iter().filter_map(|row| quoted(row.get(1)?).next().map(str::to_owned)).collect();
    let known: Vec<&str> = RejectionKind::ALL.iter().map(|kind| kind.as_str()).collect();
    assert_eq!(kinds, known, "the rows are the kinds, in the order of the enum");
    for (row, kind) in documented.iter().zip(RejectionKind::ALL) {
        let [name, _, answer, cause, remedy] = row.as_slice() else {
            panic!("five cells: {row:?}")
        };
        assert!(name.contains(&format!("RejectionKind::{kind:?})")), "{name} links to {kind:?}");
        let expected = format!("{} `{}`", kind.answer().status().as_u16(), kind.answer().code());
        assert_eq!(*answer, expected, "{kind:?}");
        assert!(cause.len() > 15 && remedy.len() > 15, "{kind:?} has a cause and a remedy");
    }
}

#[test]
fn the_page_about_auditing_has_every_kind_of_event() {
    let text = read("src/guide/audit.rs");
    let rows = text.lines().filter_map(|line| line.strip_prefix("//! | `"));
    let rows: Vec<Vec<&str>> = rows.map(|row| row.split(" | ").collect()).collect();
    let documented: Vec<&str> = rows.iter().map(|row| row[0].trim_end_matches('`')).collect();
    let kinds: Vec<&str> = AuditKind::ALL.iter().map(|kind| kind.as_str()).collect();
    assert_eq!(documented, kinds, "the rows are the kinds, in the order of the enum");
    assert!(rows.iter().all(|row| row.len() == 3 && row[1].len() > 15));
}

/// The folders with code of this repository, those of other members included.
const CODE: [&str; 8] =
    ["src", "tests", "fuzz/src", "benches", "examples", "redis", "sql", "issuing"];

#[test]
fn every_type_of_the_glossary_exists() {
    let text = read("CONTRIBUTING.md");
    let rows = section(&text, "Glossary").lines().filter(|line| line.ends_with("` |"));
    let cells = rows.filter_map(|row| row.trim_end_matches(" |").rsplit(" | ").next());
    let names: BTreeSet<&str> = cells.flat_map(quoted).collect();
    assert!(names.len() > 25, "only {} types were found", names.len());

    let folders = CODE.iter().filter(|folder| root().join(folder).exists());
    let defined: BTreeSet<String> = folders
        .flat_map(|folder| sources(folder))
        .flat_map(|source| definitions(&source))
        .collect();
    for name in names {
        assert!(defined.contains(name), "the glossary names {name}, which does not exist");
    }
}

/// The names behind `struct`, `enum`, `trait` and `const`.
fn definitions(source: &str) -> Vec<String> {
    let words: Vec<&str> = source.split_whitespace().collect();
    let pairs =
        words.windows(2).filter(|pair| ["struct", "enum", "trait", "const"].contains(&pair[0]));
    let name = |word: &str| {
        word.split(|c: char| c != '_' && !c.is_alphanumeric()).next().map(str::to_owned)
    };
    pairs.filter_map(|pair| name(pair[1])).collect()
}

#[test]
fn every_file_of_a_recipe_exists() {
    let text = read("CONTRIBUTING.md");
    let mut files = 0;
    for name in quoted(section(&text, "Recipes")).filter(|name| name.contains(['/', '.'])) {
        let path = name.split(' ').next().unwrap_or_default();
        let is_path = path.ends_with('/')
            || [".rs", ".md", ".py", ".toml"].iter().any(|end| path.ends_with(end))
            || path.starts_with(".ci/");
        if is_path {
            assert!(root().join(path).exists(), "a recipe names {path}");
            files += 1;
        }
    }
    assert!(files > 50, "only {files} files were found");
}

/// Sources and scripts below a folder, with their paths from the top.
fn files_with_text(folder: &str, files: &mut Vec<(String, String)>) {
    for entry in fs::read_dir(root().join(folder)).into_iter().flatten() {
        let entry = entry.expect("an entry");
        let name = entry.file_name().to_string_lossy().into_owned();
        let path = format!("{folder}/{name}");
        if entry.path().is_dir() {
            if name != "target" {
                files_with_text(&path, files);
            }
        } else if name.ends_with(".rs") || name.ends_with(".py") {
            files.push((path.clone(), read(&path)));
        }
    }
}

#[test]
fn the_recipe_for_a_body_lists_every_file_that_has_one() {
    let text = read("CONTRIBUTING.md");
    let recipe = text.split("### A changed body").nth(1).and_then(|rest| rest.split("###").next());
    let listed: BTreeSet<&str> = quoted(recipe.expect("a recipe")).collect();
    let mut files = vec![("README.md".to_owned(), read("README.md"))];
    CODE.iter().for_each(|folder| files_with_text(folder, &mut files));
    let details: BTreeSet<&str> =
        RejectionKind::ALL.iter().map(|kind| kind.answer().detail()).collect();
    let with_a_body =
        files.iter().filter(|(_, text)| details.iter().any(|detail| text.contains(detail)));
    let with_a_body: Vec<&str> = with_a_body.map(|(path, _)| path.as_str()).collect();
    assert!(with_a_body.len() > 10, "only {with_a_body:?} were found");
    let missing: Vec<_> = with_a_body.iter().filter(|path| !listed.contains(**path)).collect();
    assert!(missing.is_empty(), "the recipe for a changed body lacks {missing:?}");
}
