//! A test that needs a server, or another program or file, never passes without it: it is ignored with that reason.
//!
//! 1. A function needs what the variables in [`NEEDS`] name if it reads one of them, or calls a function that does.
//! 2. Functions are looked up by name among the files of one test binary, or of one `src`, and the files that these
//!    include with `#[path]`. The files are formatted, so a function ends at a brace below its first letter.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Component, Path, PathBuf},
};

use super::root;

/// Variables, and the word for what each names in `#[ignore = "needs ..."]`.
const NEEDS: [(&str, &str); 9] = [
    ("REDIS_SERVER", "redis-server"),
    ("POSTGRES_BIN", "postgres"),
    ("OIDC_PROVIDER_DIR", "oidc-provider"),
    ("PYJWT_PYTHON", "pyjwt"),
    ("PROMETHEUS_BIN", "prometheus"),
    ("MCP_CLIENT_DIR", "the MCP client"),
    ("JOSE_DIR", "jose"),
    ("CHROMIUM", "Chromium"),
    ("PLAYWRIGHT_DIR", "playwright-core"),
];

type Needs = BTreeSet<&'static str>;

struct Function {
    file: PathBuf,
    /// With its type, as in `Server::start`.
    name: String,
    attributes: String,
    body: String,
}

#[test]
fn every_test_that_needs_a_server_is_ignored_with_that_reason() {
    let (mut found, mut wrong) = (BTreeMap::<_, u32>::new(), Vec::new());
    for files in crates().into_values() {
        let functions = functions_of_files(files);
        let needs = needs_of(&functions);
        for test in functions.iter().filter(|function| function.is_test()) {
            for need in test.needs(&needs) {
                *found.entry(need).or_default() += 1;
                if !test.is_ignored_because_of(need) {
                    wrong.push(format!("{}: {}: needs {need}", test.file.display(), test.name));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "tests without #[ignore = \"needs ...\"]:\n{}", wrong.join("\n"));
    assert_eq!(found.len(), NEEDS.len(), "not everything was found: {found:?}");
    assert!(found["redis-server"] > 100 && found["postgres"] > 15, "{found:?}");
}

#[test]
fn the_scan_finds_calls_through_helpers_and_types() {
    let source = r#"
impl Server {
    fn start() -> Self {
        Self::start_with(&[])
    }

    fn start_with(options: &[&str]) -> Self {
        Command::new(var_os("VARIABLE"))
    }
}

impl Other {
    fn start() {}
}

async fn two() -> (Server, Server) {
    (Server::start(), Server::start())
}

#[tokio::test]
#[ignore = "needs redis-server"]
async fn a() {
    let (one, other) = helpers::two().await;
}

#[test]
fn b() {
    Other::start();
    many_two();
    this.two();
}

#[test]
fn c() { two(); }
"#;
    let mut functions = Vec::new();
    let source = source.replace("VARIABLE", "REDIS_SERVER");
    add_functions(Path::new("tests/a.rs"), &source, &mut functions);
    let needs = needs_of(&functions);
    let helpers: Vec<&str> = needs.keys().map(String::as_str).collect();
    assert_eq!(helpers, ["Server::start", "Server::start_with", "two"]);
    let tests = functions.iter().filter(|function| function.is_test());
    let tests: Vec<_> = tests
        .map(|test| (test.needs(&needs).len(), test.is_ignored_because_of("redis-server")))
        .collect();
    assert_eq!(tests, [(1, true), (0, false), (1, false)]);
}

/// The files of each `src`, and of each test binary.
fn crates() -> BTreeMap<PathBuf, BTreeSet<PathBuf>> {
    let mut crates = BTreeMap::<PathBuf, BTreeSet<PathBuf>>::new();
    for file in sources(&root()) {
        let relative = file.strip_prefix(root()).expect("a file of this repository");
        let mut parts = relative.components();
        let position = parts.position(|part| {
            part == Component::Normal("src".as_ref()) || part == Component::Normal("tests".as_ref())
        });
        let Some(position) = position else { continue };
        let is_src = relative.iter().nth(position).is_some_and(|part| part == "src");
        let depth = position + if is_src { 1 } else { 2 };
        crates.entry(relative.iter().take(depth).collect()).or_default().insert(file);
    }
    crates
}

/// The Rust files below a folder, without what builds have written.
fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if path.is_dir() && name != "target" && !name.starts_with('.') {
            files.append(&mut sources(&path));
        } else if name.ends_with(".rs") {
            files.push(path);
        }
    }
    files
}

fn functions_of_files(mut files: BTreeSet<PathBuf>) -> Vec<Function> {
    for file in files.clone() {
        files.extend(included_by(&file));
    }
    let mut functions = Vec::new();
    for file in files {
        add_functions(&file, &fs::read_to_string(&file).expect("a text"), &mut functions);
    }
    functions
}

/// The files that a file includes with `#[path]`. A `mod.rs` includes those beside it.
fn included_by(file: &Path) -> Vec<PathBuf> {
    let source = fs::read_to_string(file).expect("a text");
    let folder = file.parent().expect("a folder");
    let paths = source.split("#[path = \"").skip(1).filter_map(|rest| rest.split('"').next());
    // Paths in a module within a file start in a folder of that module. No server is started there.
    let paths = paths.filter_map(|path| folder.join(path).canonicalize().ok());
    paths
        .flat_map(|path| match path.parent() {
            Some(folder) if path.ends_with("mod.rs") => sources(folder),
            _ => vec![path],
        })
        .collect()
}

fn add_functions(file: &Path, source: &str, functions: &mut Vec<Function>) {
    let (mut own_type, mut attributes) = (String::new(), String::new());
    let mut lines = source.lines();
    while let Some(line) = lines.next() {
        let code = line.trim_start();
        if let Some(header) = line.strip_prefix("impl") {
            own_type =
                format!("{}::", super::type_of(header.rsplit(" for ").next().unwrap_or(header)));
        } else if line == "}" {
            own_type.clear();
        }
        if code.starts_with("#[") {
            attributes += code;
        }
        let Some(name) = name_of_function(code) else {
            if !code.starts_with(['#', '/']) {
                attributes.clear();
            }
            continue;
        };
        let mut body = line.to_owned();
        if !line.ends_with(['}', ';']) {
            let end = format!("{}}}", line.strip_suffix(code).unwrap_or_default());
            body.extend(
                lines.by_ref().take_while(|line| **line != end).flat_map(|line| ["\n", line]),
            );
        }
        let (file, name) = (file.to_owned(), format!("{own_type}{name}"));
        let attributes = std::mem::take(&mut attributes);
        functions.push(Function { file, name, attributes, body });
    }
}

fn name_of_function(code: &str) -> Option<&str> {
    let (before, rest) = code.split_once("fn ")?;
    let is_item = before.split_whitespace().all(|word| {
        word.starts_with("pub") || ["const", "async", "in"].contains(&word) || word.ends_with(')')
    });
    is_item.then(|| rest.split(['(', '<']).next().unwrap_or_default())
}

/// The helpers that need anything, and what they need.
fn needs_of(functions: &[Function]) -> BTreeMap<String, Needs> {
    let mut needs = BTreeMap::<String, Needs>::new();
    loop {
        let before = needs.clone();
        for helper in functions.iter().filter(|function| !function.is_test()) {
            let needed = helper.needs(&before);
            if !needed.is_empty() {
                needs.entry(helper.name.clone()).or_default().extend(needed);
            }
        }
        if needs == before {
            return needs;
        }
    }
}

impl Function {
    fn is_test(&self) -> bool {
        self.attributes.contains("#[test]") || self.attributes.contains("#[tokio::test")
    }

    fn is_ignored_because_of(&self, need: &str) -> bool {
        let reason = self.attributes.split("#[ignore = \"needs ").nth(1);
        reason.and_then(|rest| rest.split('"').next()).is_some_and(|reason| reason.contains(need))
    }

    /// By itself and through these helpers.
    fn needs(&self, helpers: &BTreeMap<String, Needs>) -> Needs {
        let read = NEEDS.iter().filter(|(variable, _)| self.reads(variable)).map(|(_, need)| *need);
        let called = helpers.iter().filter(|(name, _)| self.calls(name));
        read.chain(called.flat_map(|(_, needs)| needs.iter().copied())).collect()
    }

    fn reads(&self, variable: &str) -> bool {
        self.body.contains(&format!("(\"{variable}\")"))
    }

    /// Whether the function of this name, or of this type and name, is called here.
    fn calls(&self, name: &str) -> bool {
        let own_type = self.name.split_once("::").map(|(own_type, _)| own_type);
        match name.split_once("::") {
            Some((of_type, method)) if own_type == Some(of_type) => {
                self.has_call(name) || self.has_call(&format!("Self::{method}"))
            }
            _ => self.has_call(name),
        }
    }

    fn has_call(&self, name: &str) -> bool {
        self.body.match_indices(&format!("{name}(")).any(|(at, _)| {
            let before = self.body.get(..at).unwrap_or_default();
            // A module may stand before it, but no type, whose function would be another one.
            let path =
                before.rsplit(|c: char| !c.is_alphanumeric() && !['_', ':'].contains(&c)).next();
            let path = path.unwrap_or_default();
            let is_of_module =
                path.is_empty() || path.ends_with("::") && !path.contains(char::is_uppercase);
            is_of_module && !before.ends_with(['.', '"']) && !before.ends_with("fn ")
        })
    }
}
