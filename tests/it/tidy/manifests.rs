//! Who depends on whom: the manifests against the picture in DESIGN.md.

use std::collections::BTreeMap;

use toml::{Table, Value};

/// The edges that a package may have to others of this repository, tests apart.
const EDGES: [(&str, &[&str]); 19] = [
    ("resmcu-model-format", &[]),
    ("resmcu-int8-kernels", &[]),
    ("resmcu-model-slots", &[]),
    ("resmcu-wire-protocol", &[]),
    ("resmcu-int8-runtime", &["resmcu-int8-kernels", "resmcu-model-format"]),
    ("resmcu-device-app", &["resmcu-int8-runtime", "resmcu-model-slots", "resmcu-wire-protocol"]),
    ("resmcu-board-support", &["resmcu-device-app"]),
    ("resmcu-boards", &["resmcu-board-support", "resmcu-device-app"]),
    ("resmcu-arm-boards", &["resmcu-board-support", "resmcu-device-app"]),
    ("resmcu-e310x-boards", &["resmcu-board-support", "resmcu-device-app"]),
    ("resmcu-rp235x-boards", &["resmcu-board-support", "resmcu-device-app"]),
    ("resmcu-esp32c3-boards", &["resmcu-board-support", "resmcu-device-app"]),
    ("resmcu-engine-kernels", &[]),
    ("resmcu-quantizer", &["resmcu-engine-kernels", "resmcu-int8-kernels", "resmcu-model-format"]),
    ("resmcu-qemu-plugin", &[]),
    ("resmcu-device-link", &["resmcu-model-slots", "resmcu-wire-protocol"]),
    ("resmcu-xtask", &[]),
    (
        "resmcu",
        &[
            "resmcu-device-link",
            "resmcu-int8-runtime",
            "resmcu-model-format",
            "resmcu-quantizer",
            "resmcu-xtask",
        ],
    ),
    // The tests look at all; what they need stands under `dev-dependencies`.
    ("resmcu-tests", &[]),
];

/// Pairs that must not meet in tests either.
const STRANGERS: [(&str, &str); 2] = [
    ("resmcu-int8-kernels", "resmcu-model-format"),
    ("resmcu-model-format", "resmcu-int8-kernels"),
];

/// Features that bring a heap or the standard library into a device crate.
const HEAP_FEATURES: [&str; 3] = ["alloc", "std", "use-std"];

/// What is wrong with a manifest.
pub(super) fn check(text: &str) -> Vec<String> {
    let manifest: Table = text.parse().expect("a manifest is TOML");
    let Some(package) = manifest.get("package") else { return Vec::new() };
    let name = package["name"].as_str().expect("a package has a name").to_owned();
    let mut findings = check_edges(&name, &manifest);
    let own_workspace = manifest.contains_key("workspace");
    let inherits = manifest.get("lints").and_then(|l| l.get("workspace")) == Some(&true.into());
    if !own_workspace && !inherits {
        findings.push(format!("{name} does not take the lints of the workspace"));
    }
    findings
}

/// Device crates take no heap by a feature of a dependency.
pub(super) fn check_device(text: &str) -> Vec<String> {
    let manifest: Table = text.parse().expect("a manifest is TOML");
    let mut findings = Vec::new();
    for (dependency, value) in dependencies(&manifest, &["dependencies"]) {
        let features = value.get("features").and_then(Value::as_array).cloned();
        for feature in features.unwrap_or_default() {
            if feature.as_str().is_some_and(|f| HEAP_FEATURES.contains(&f)) {
                findings.push(format!("{dependency} with the feature {feature}"));
            }
        }
    }
    findings
}

fn check_edges(name: &str, manifest: &Table) -> Vec<String> {
    let Some((_, allowed)) = EDGES.iter().find(|(package, _)| *package == name) else {
        return vec![format!("{name} is not in DESIGN.md's picture, nor in EDGES")];
    };
    let mut findings = Vec::new();
    for (to, _) in dependencies(manifest, &["dependencies", "build-dependencies"]) {
        if is_ours(&to) && !allowed.contains(&to.as_str()) {
            findings.push(format!("{name} depends on {to}"));
        }
    }
    for (to, _) in dependencies(manifest, &["dev-dependencies"]) {
        if to == "resmcu-tests" || STRANGERS.contains(&(name, to.as_str())) {
            findings.push(format!("{name} depends on {to} in its tests"));
        }
    }
    findings
}

fn is_ours(package: &str) -> bool {
    package == "resmcu" || package.starts_with("resmcu-")
}

/// The dependencies of some kinds, those of single targets too, by the names of their packages.
fn dependencies(manifest: &Table, kinds: &[&str]) -> BTreeMap<String, Value> {
    let targets = manifest.get("target").and_then(Value::as_table).into_iter().flatten();
    let tables = targets.filter_map(|(_, table)| table.as_table()).chain([manifest]);
    let mut found = BTreeMap::new();
    for table in tables {
        let of_kind = kinds.iter().filter_map(|kind| table.get(*kind)?.as_table());
        for (key, value) in of_kind.flatten() {
            let package = value.get("package").and_then(Value::as_str).unwrap_or(key);
            found.insert(package.to_owned(), value.clone());
        }
    }
    found
}

#[test]
fn bad_manifests_are_found() {
    let check_one = |tables: &str, expected: &[&str]| {
        let lints = "[lints]\nworkspace = true";
        let text = format!("[package]\nname = \"resmcu-int8-kernels\"\n{tables}\n{lints}");
        assert_eq!(check(&text), expected, "{tables}");
    };
    check_one("[dependencies]\nzerocopy.workspace = true", &[]);
    let up = "resmcu-int8-kernels depends on resmcu-quantizer";
    check_one("[dependencies]\nresmcu-quantizer.workspace = true", &[up]);
    check_one("[build-dependencies]\nresmcu-quantizer.workspace = true", &[up]);
    check_one("[target.'cfg(unix)'.dependencies]\nresmcu-quantizer.workspace = true", &[up]);
    check_one("[dependencies]\nq = { path = \"x\", package = \"resmcu-quantizer\" }", &[up]);
    let aside = "resmcu-int8-kernels depends on resmcu-model-format in its tests";
    check_one("[dev-dependencies]\nresmcu-model-format.workspace = true", &[aside]);
    let unknown = check("[package]\nname = \"resmcu-new\"\n[lints]\nworkspace = true");
    assert_eq!(unknown, ["resmcu-new is not in DESIGN.md's picture, nor in EDGES"]);
    let lax = check("[package]\nname = \"resmcu-xtask\"");
    assert_eq!(lax, ["resmcu-xtask does not take the lints of the workspace"]);
    let heap = check_device("[dependencies]\nserde = { version = \"1\", features = [\"alloc\"] }");
    assert_eq!(heap, ["serde with the feature \"alloc\""]);
}
