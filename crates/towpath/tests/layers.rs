//! What the repository says of itself holds: the layers and paths of ARCHITECTURE.md, the links
//! between its pages, and what deny.toml lets in. Needs no server.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::panic,
    reason = "test code"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

/// The folder of the repository.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

fn page(name: &str) -> String {
    fs::read_to_string(root().join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// What a command prints. It asks no network.
fn printed(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).current_dir(root()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn metadata(arguments: &[&str]) -> Vec<Value> {
    let all = [&["metadata", "--format-version", "1", "--locked", "--offline"], arguments].concat();
    let mut metadata: Value = serde_json::from_str(&printed(env!("CARGO"), &all)).unwrap();
    let Value::Array(packages) = metadata["packages"].take() else { panic!("no packages") };
    packages
}

/// What stands in backquotes.
fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

/// A crate without the name of the project, but for the program itself.
fn short(name: &str) -> &str {
    name.strip_prefix("towpath-").unwrap_or(name)
}

type Layers = BTreeMap<String, BTreeSet<String>>;

/// The table under `### Layers`: the crates from top to bottom, and what each one uses.
fn listed() -> (Vec<String>, Layers) {
    let text = page("ARCHITECTURE.md");
    let (_, section) = text.split_once("### Layers\n").unwrap();
    let rows = section.lines().skip_while(|line| !line.starts_with("| `"));
    let rows: Vec<Vec<&str>> =
        rows.take_while(|line| line.starts_with('|')).map(|row| row.split('|').collect()).collect();
    let order: Vec<String> =
        rows.iter().map(|row| quoted(row[1]).next().unwrap().to_owned()).collect();
    let uses = rows.iter().map(|row| quoted(row[2]).map(ToOwned::to_owned).collect());
    (order.clone(), order.into_iter().zip(uses).collect())
}

#[test]
fn crates_use_each_other_as_the_map_says() {
    let mut found = Layers::new();
    for package in metadata(&["--no-deps"]) {
        let uses = package["dependencies"].as_array().unwrap().iter();
        // A normal dependency has no kind.
        let uses = uses.filter(|used| used["kind"].is_null());
        let names = uses.map(|used| used["name"].as_str().unwrap());
        let ours =
            names.filter(|name| name.starts_with("towpath")).map(|name| short(name).to_owned());
        found.insert(short(package["name"].as_str().unwrap()).to_owned(), ours.collect());
    }
    let (order, listed) = listed();
    assert_eq!(found, listed, "Cargo.toml of the crates on the left, ARCHITECTURE.md on the right");
    for (place, name) in order.iter().enumerate() {
        let above: BTreeSet<String> = order[..place].iter().cloned().collect();
        assert!(listed[name].is_subset(&above), "{name} uses a crate in a line below its own");
    }
}

/// Words in backquotes that are paths: with a slash, or with the ending of a file.
fn is_path(word: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-".contains(c);
    let ending = Path::new(word).extension().is_some_and(|ending| ending == "rs" || ending == "md");
    word.chars().all(plain) && (word.contains('/') || ending)
}

#[test]
fn every_path_on_the_map_is_there() {
    let text = page("ARCHITECTURE.md");
    let folders = text.lines().filter(|line| line.starts_with("| `"));
    let first = folders.filter_map(|line| quoted(line.split('|').nth(1)?).next());
    let (order, _) = listed();
    let named: BTreeSet<&str> = quoted(&text).filter(|word| is_path(word)).collect();
    let wanted: BTreeSet<&str> = named.into_iter().chain(first).collect();
    assert!(wanted.len() > order.len(), "nothing was found: {wanted:?}");
    let there =
        |path: &str| root().join(path).exists() || root().join("crates").join(path).exists();
    let missing: Vec<&str> = wanted.into_iter().filter(|path| !there(path)).collect();
    assert!(missing.is_empty(), "ARCHITECTURE.md names what is not there: {missing:?}");
}

/// The pages of the repository.
fn pages() -> Vec<String> {
    let mut pages = Vec::new();
    for folder in ["", "docs"] {
        for entry in fs::read_dir(root().join(folder)).unwrap() {
            let name = entry.unwrap().file_name().into_string().unwrap();
            if name.ends_with(".md") {
                pages.push(Path::new(folder).join(name).to_str().unwrap().to_owned());
            }
        }
    }
    pages
}

/// The anchor that a heading gets.
fn anchor(heading: &str) -> String {
    let kept = heading.trim().to_lowercase();
    let kept = kept.chars().filter(|c| c.is_alphanumeric() || " -_".contains(*c));
    kept.map(|c| if c == ' ' { '-' } else { c }).collect()
}

fn has_anchor(page: &Path, wanted: &str) -> bool {
    let text = fs::read_to_string(page).unwrap();
    let headings = text.lines().filter(|line| line.starts_with('#'));
    headings.map(|line| anchor(line.trim_start_matches('#'))).any(|found| found == wanted)
}

#[test]
fn every_link_between_pages_leads_somewhere() {
    let mut lost = Vec::new();
    for name in pages() {
        let text = page(&name);
        let path = root().join(&name);
        for after in text.split("](").skip(1) {
            let link = &after[..after.find(')').unwrap()];
            if link.contains("://") {
                continue;
            }
            let (file, wanted) = link.split_once('#').unwrap_or((link, ""));
            let target =
                if file.is_empty() { path.clone() } else { path.parent().unwrap().join(file) };
            if !target.exists() || !wanted.is_empty() && !has_anchor(&target, wanted) {
                lost.push(format!("{name}: {link}"));
            }
        }
    }
    assert!(lost.is_empty(), "{lost:#?}");
}

/// The strings of a list in deny.toml.
fn let_in(list: &str) -> BTreeSet<String> {
    let text = page("deny.toml");
    let (_, rest) = text.split_once(&format!("\n{list} = [\n")).unwrap();
    let (lines, _) = rest.split_once("\n]\n").unwrap();
    let lines = lines.lines().filter(|line| !line.trim().starts_with('#'));
    lines.filter_map(|line| line.split('"').nth(1)).map(ToOwned::to_owned).collect()
}

/// All packages that the programs and tests of this machine are made of.
fn packages() -> Vec<Value> {
    let version = printed("rustc", &["-vV"]);
    let host = version.lines().find_map(|line| line.strip_prefix("host: ")).unwrap();
    metadata(&["--filter-platform", host])
}

/// Whether one may choose licences that are all accepted. Expressions here nest no deeper than
/// `(A OR B) AND C`.
fn accepts(accepted: &BTreeSet<String>, expression: &str) -> bool {
    let expression = expression.replace('/', " OR ");
    let any = |choice: &str| {
        let choice = choice.trim_matches(['(', ')']);
        choice.split(" OR ").any(|licence| accepted.contains(licence.trim()))
    };
    let parts: Vec<&str> = expression.split(" AND ").collect();
    parts.into_iter().all(any)
}

#[test]
fn licences_are_accepted() {
    let accepted = let_in("allow");
    assert!(accepts(&accepted, "Apache-2.0") && !accepts(&accepted, "MIT AND GPL-3.0-only"));
    for package in packages() {
        let licence = package["license"].as_str().unwrap_or("none");
        assert!(accepts(&accepted, licence), "{}: the licence is {licence}", package["name"]);
    }
}

#[test]
fn crates_come_once_and_from_one_registry() {
    let skipped = let_in("skip");
    let mut versions: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut sources = BTreeSet::new();
    for package in packages() {
        let [name, version] = ["name", "version"].map(|key| package[key].as_str().unwrap());
        let is_skipped = skipped.iter().any(|skip| {
            let (skip_name, skip_version) = skip.split_once('@').unwrap();
            skip_name == name && version.starts_with(&format!("{skip_version}."))
        });
        if !is_skipped {
            versions.entry(name.to_owned()).or_default().push(version.to_owned());
        }
        sources.extend(package["source"].as_str().map(ToOwned::to_owned));
    }
    versions.retain(|_, versions| versions.len() > 1);
    assert!(versions.is_empty(), "in several versions, and not in deny.toml: {versions:?}");
    assert!(sources.len() == 1 && sources.iter().all(|source| source.starts_with("registry+")));
}
