//! What a machine can check of STYLE.md and of DESIGN.md's invariants, on the whole repository.

mod manifests;
mod rules;
mod source;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use rules::{RULES, Rule};
use source::Source;

/// Folders without files of the project's own.
const SKIPPED: [&str; 5] = [".git", "target", "demo-output", "node_modules", "__pycache__"];

/// Files that people read or write, by the ends of their names.
const TEXTS: [&str; 9] = [".rs", ".toml", ".md", ".x", ".sh", ".py", ".ci/run", ".yml", ".h"];

fn root() -> PathBuf {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    package.parent().expect("tests/ is in the repository").to_owned()
}

/// All text files of the repository, by their paths from its root.
fn texts() -> Vec<(String, String)> {
    let (root, mut found) = (root(), Vec::new());
    let mut folders = vec![root.clone()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let relative = path.strip_prefix(&root).unwrap().to_string_lossy().replace('\\', "/");
            if path.is_dir() && !SKIPPED.contains(&name.as_str()) {
                folders.push(path);
            } else if path.is_file() && TEXTS.iter().any(|end| relative.ends_with(end)) {
                found.push((relative, fs::read_to_string(&path).unwrap()));
            }
        }
    }
    found.sort();
    found
}

#[test]
fn every_file_keeps_the_rules() {
    let texts = texts();
    let mut findings = Vec::new();
    for (path, text) in &texts {
        let source = Source::new(path, text);
        for (line, reason) in RULES.iter().flat_map(|rule| rule(&source)) {
            findings.push(format!("{path}:{line}: {reason}"));
        }
    }
    assert!(texts.len() > 50, "only {} files were found", texts.len());
    assert!(findings.is_empty(), "{} findings:\n{}", findings.len(), findings.join("\n"));
}

#[test]
fn dependencies_go_down_only() {
    let mut findings = Vec::new();
    for (path, text) in texts().iter().filter(|(path, _)| path.ends_with("Cargo.toml")) {
        findings.extend(manifests::check(text));
        if path.starts_with("firmware/") {
            findings.extend(manifests::check_device(text));
        }
    }
    assert!(findings.is_empty(), "{}", findings.join("\n"));
}

/// Operators of the profile `native` alone: no outside judge makes golden vectors of them.
const WITHOUT_GOLDEN: [&str; 3] = ["global_mean", "global_sum", "subsample_pad"];

/// An operator has a file in each place, of the same name.
#[test]
fn every_operator_has_oracle_suite_and_golden_vectors() {
    let root = root();
    let operators = names(&root.join("firmware/int8-kernels/src/ops"));
    let judged: BTreeSet<String> =
        operators.iter().filter(|name| !WITHOUT_GOLDEN.contains(&name.as_str())).cloned().collect();
    assert_eq!(operators.len() - judged.len(), WITHOUT_GOLDEN.len(), "an operator has gone");
    let places = [
        (&operators, "tests/it/oracle"),
        (&operators, "tests/it/suite"),
        (&judged, "tests/golden"),
    ];
    let findings: Vec<String> = places
        .iter()
        .flat_map(|(operators, place)| missing(operators, &names(&root.join(place)), place))
        .collect();
    assert!(findings.is_empty(), "{}", findings.join("\n"));
}

/// Names of the files (without their ends) and folders in a folder; none if it is not there.
fn names(folder: &Path) -> BTreeSet<String> {
    let Ok(entries) = fs::read_dir(folder) else { return BTreeSet::new() };
    let stem = |path: PathBuf| Some(path.file_stem()?.to_string_lossy().into_owned());
    entries.filter_map(|entry| stem(entry.unwrap().path())).filter(|name| name != "mod").collect()
}

/// Operators that a place does not have. It binds as soon as the place has one of them.
fn missing(operators: &BTreeSet<String>, there: &BTreeSet<String>, place: &str) -> Vec<String> {
    if operators.is_disjoint(there) {
        return Vec::new();
    }
    operators.difference(there).map(|name| format!("{place} has no `{name}`")).collect()
}

#[test]
fn a_missing_operator_is_found() {
    let set = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    let operators = set(&["add", "conv2d"]);
    let check = |there: &[&str], expected: &[&str]| {
        assert_eq!(missing(&operators, &set(there), "suite"), expected);
    };
    check(&[], &[]);
    check(&["rng"], &[]);
    check(&["add", "conv2d", "rng"], &[]);
    check(&["add", "rng"], &["suite has no `conv2d`"]);
}

/// `rule` finds exactly `lines` in a file of that name and text.
#[track_caller]
fn check(rule: Rule, path: &str, text: &str, lines: &[usize]) {
    let found: Vec<usize> = rule(&Source::new(path, text)).iter().map(|(line, _)| *line).collect();
    assert_eq!(found, lines, "{path}: {text}");
}

#[test]
fn bad_lengths_and_headers_are_found() {
    let file = "quantizer/src/x.rs";
    check(rules::file_length, file, &"//\n".repeat(500), &[]);
    check(rules::file_length, file, &"//\n".repeat(501), &[501]);
    check(rules::line_length, file, &format!("//\n//{}", "é".repeat(98)), &[]);
    check(rules::line_length, file, &format!("//\n//{}", "é".repeat(99)), &[2]);
    let function =
        |lines: usize| format!("trait T {{ fn a(); }}\nfn f() {{{}}}", "\n".repeat(lines - 1));
    check(rules::function_length, file, &function(70), &[]);
    check(rules::function_length, file, &function(71), &[2]);
    check(rules::function_length, file, &format!("mod m {{ {} }}", function(71)), &[2]);
    check(rules::header, file, "//! Says what it is for.\nfn f() {}", &[]);
    check(rules::header, file, "#![no_std]\n//! The same.", &[]);
    check(rules::header, file, "// A comment.\nfn f() {}", &[1]);
    check(rules::header, file, "", &[1]);
}

#[test]
fn bad_words_are_found() {
    let file = "quantizer/src/x.rs";
    check(rules::excused_lints, file, "#[allow(dead_code)]\nfn f() {}", &[1]);
    check(rules::excused_lints, file, "#![allow(dead_code)]\n", &[1]);
    check(rules::excused_lints, file, "#[expect(dead_code)]\nfn f() { allow(1) }", &[]);
    check(rules::unfinished, file, "fn f() { todo!() }\nfn g() { unimplemented!() }", &[1, 2]);
    check(rules::unfinished, file, "#[test]\n#[ignore]\nfn f() {}", &[2]);
    check(rules::unfinished, file, "fn f() { let s = \"todo!\"; } // todo!", &[]);
    check(rules::unwrap, file, "fn f() {\n  x\n.unwrap();\n}", &[3]);
    check(rules::unwrap, file, "/// `x.unwrap()`\nfn f() { x.unwrap_or(1); }", &[]);
    check(rules::unwrap, file, "#[test]\nfn f() { x.unwrap(); }\nfn g() { x.unwrap() }", &[3]);
    let module = "#[cfg(test)]\nmod tests { fn f() { x.unwrap() } }\nfn g() { x.unwrap() }";
    check(rules::unwrap, file, module, &[3]);
    check(rules::unwrap, file, "#[cfg(not(test))]\nfn f() { x.unwrap(); }", &[2]);
    check(rules::unwrap, file, "#![cfg(test)]\nfn f() { x.unwrap(); }", &[]);
    check(rules::unwrap, "quantizer/tests/x.rs", "fn f() { x.unwrap(); }", &[]);
    let machine = ["work", "root", "home"].map(|f| format!("see /{f}/x\n")).concat();
    check(rules::machine_paths, "README.md", &machine, &[1, 2, 3]);
    check(rules::machine_paths, "README.md", "a frame/work/x, https://a.b/home/x", &[]);
}

#[test]
fn bad_unsafe_code_is_found() {
    let block = "fn f() {\n  // SAFETY: true.\n  unsafe { g() }\n}";
    check(rules::unsafe_place, "quantizer/src/x.rs", block, &[3]);
    check(rules::unsafe_place, "firmware/int8-kernels/src/arch/armv7em/x.rs", block, &[]);
    check(rules::unsafe_place, "quantizer/src/x.rs", "// unsafe\nfn f() {}", &[]);
    let in_macro = "macro_rules! m { () => {\n unsafe { g() } } }";
    check(rules::unsafe_place, "quantizer/src/x.rs", in_macro, &[2]);
    check(rules::unsafe_reason, "firmware/boards/x.rs", block, &[]);
    check(rules::unsafe_reason, "firmware/boards/x.rs", in_macro, &[2]);
    let far = block.replace("true.\n", "true.\n\n");
    check(rules::unsafe_reason, "firmware/boards/x.rs", &far, &[4]);
    check(rules::unsafe_reason, "firmware/boards/x.rs", "unsafe impl A for B {}", &[1]);
}

#[test]
fn bad_device_code_is_found() {
    let check_in = |path: &str, text: &str, lines: &[usize]| {
        check(rules::device_code, path, text, lines);
    };
    let kernel = "firmware/int8-kernels/src/ops/x.rs";
    check_in(kernel, "use std::fs;\nfn f(x: alloc::vec::Vec<u8>) {}", &[1, 2]);
    check_in(kernel, "use core::fmt;\n#[cfg(test)]\nmod tests { use std::fs; }", &[]);
    check_in(kernel, "fn f(x: f32) {}", &[1]);
    check_in("firmware/device-app/src/x.rs", "fn f(x: f32) {}", &[]);
    check_in("firmware/device-app/src/lib.rs", "//! No attribute.", &[1]);
    check_in("firmware/device-app/src/lib.rs", "#![no_std]", &[]);
    check_in("firmware/device-app/tests/x.rs", "use std::fs;", &[]);
    check_in("quantizer/src/x.rs", "use std::fs;\nfn f(x: f32) {}", &[]);
}
