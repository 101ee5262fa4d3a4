//! What a machine can check of one file. A rule gives the lines that break it, with the reason.

use super::source::Source;

/// Lines (counted from 1) and what is wrong there.
pub(super) type Findings = Vec<(usize, String)>;

/// Looks at one file.
pub(super) type Rule = fn(&Source) -> Findings;

/// All of them.
pub(super) const RULES: [Rule; 11] = [
    file_length,
    line_length,
    function_length,
    header,
    machine_paths,
    excused_lints,
    unfinished,
    unwrap,
    unsafe_place,
    unsafe_reason,
    device_code,
];

const FILE_LINES_MAX: usize = 500;
const COLUMNS_MAX: usize = 100;
const FUNCTION_LINES_MAX: usize = 70;

/// DESIGN.md's invariant 2: files and folders that may hold `unsafe`.
const UNSAFE_PLACES: [&str; 5] = [
    "firmware/int8-kernels/src/arch/",
    "quantizer/engine-kernels/",
    "host-tools/qemu-plugin/",
    "firmware/boards/",
    "firmware/int8-runtime/src/arena.rs",
];

/// How far above `unsafe` its comment may begin.
const SAFETY_LINES_MAX: usize = 10;

pub(super) fn file_length(source: &Source) -> Findings {
    let lines = source.lines.len();
    let is_long = source.is_rust() && lines > FILE_LINES_MAX;
    is_long
        .then(|| (lines, format!("{lines} lines, at most {FILE_LINES_MAX}")))
        .into_iter()
        .collect()
}

pub(super) fn line_length(source: &Source) -> Findings {
    let long = |(at, line): (usize, &String)| {
        let columns = line.chars().count();
        (columns > COLUMNS_MAX)
            .then(|| (at + 1, format!("{columns} columns, at most {COLUMNS_MAX}")))
    };
    let lines = source.lines.iter().enumerate().filter(|_| source.is_rust());
    lines.filter_map(long).collect()
}

pub(super) fn function_length(source: &Source) -> Findings {
    let long = |f: &super::source::Function| {
        let lines = f.last_line + 1 - f.first_line;
        let words = || format!("`{}` has {lines} lines, at most {FUNCTION_LINES_MAX}", f.name);
        (lines > FUNCTION_LINES_MAX).then(|| (f.first_line, words()))
    };
    source.functions.iter().filter_map(long).collect()
}

/// A file opens with what it is for; attributes of a crate may stand before.
pub(super) fn header(source: &Source) -> Findings {
    let first = source.lines.iter().find(|line| !line.is_empty() && !line.starts_with("#!["));
    let is_missing = source.is_rust() && !first.is_some_and(|line| line.starts_with("//!"));
    is_missing.then(|| (1, "does not open with `//!`".to_owned())).into_iter().collect()
}

/// Paths of the machine that it was written on.
pub(super) fn machine_paths(source: &Source) -> Findings {
    // In parts, so that this file does not break its own rule.
    let paths = ["work", "root", "home"].map(|folder| format!("/{folder}/"));
    let found = |line: &String| paths.iter().find(|path| has_path(line, path)).cloned();
    let lines = source.lines.iter().enumerate();
    lines.filter_map(|(at, line)| Some((at + 1, format!("a path in `{}`", found(line)?)))).collect()
}

/// Whether `path` begins somewhere in `line`, rather than go on another path or an address.
fn has_path(line: &str, path: &str) -> bool {
    line.match_indices(path).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        !before.is_some_and(|c| c.is_alphanumeric() || ".-_~}/".contains(c))
    })
}

pub(super) fn excused_lints(source: &Source) -> Findings {
    at_lines(source, &["[", "allow", "("], "`allow`, where `expect` with a reason belongs")
}

pub(super) fn unfinished(source: &Source) -> Findings {
    let mut findings = at_lines(source, &["#", "[", "ignore"], "an ignored test");
    for word in ["todo", "unimplemented", "dbg"] {
        findings.extend(at_lines(source, &[word, "!"], &format!("`{word}!`")));
    }
    findings
}

pub(super) fn unwrap(source: &Source) -> Findings {
    let calls = source.find(&[".", "unwrap", "("]).into_iter();
    let outside = calls.filter(|&at| !source.tokens[at].test);
    outside.map(|at| (source.tokens[at + 1].line, "`unwrap` outside tests".to_owned())).collect()
}

pub(super) fn unsafe_place(source: &Source) -> Findings {
    if UNSAFE_PLACES.iter().any(|place| source.path.starts_with(place)) {
        return Vec::new();
    }
    at_lines(source, &["unsafe"], "`unsafe` outside the places that DESIGN.md lists")
}

/// Every block and every implementation says what makes it true.
pub(super) fn unsafe_reason(source: &Source) -> Findings {
    let has_reason = |line: usize| {
        let above = source.lines[..line].iter().rev().take(SAFETY_LINES_MAX);
        above.take_while(|l| !l.trim().is_empty()).any(|l| l.contains("SAFETY:"))
    };
    let blocks = [source.find(&["unsafe", "{"]), source.find(&["unsafe", "impl"])].concat();
    blocks
        .into_iter()
        .map(|at| source.tokens[at].line)
        .filter(|&line| !has_reason(line))
        .map(|line| (line, "`unsafe` without a SAFETY comment".to_owned()))
        .collect()
}

/// Device code has no heap and no standard library, and the arithmetic no float.
pub(super) fn device_code(source: &Source) -> Findings {
    let is_device = source.path.starts_with("firmware/") && source.path.contains("/src/");
    // Writing model files is the host's part of the format, behind a feature.
    if !is_device || source.path == "firmware/model-format/src/write.rs" {
        return Vec::new();
    }
    let mut findings = Vec::new();
    if source.path.ends_with("/lib.rs") && source.find(&["no_std"]).is_empty() {
        findings.push((1, "a device crate without `no_std`".to_owned()));
    }
    // Compiled for hosts only, whose system is asked what the processor has.
    let is_host = source.path.starts_with("firmware/int8-kernels/src/arch/aarch64/");
    let integer = ["int8-kernels", "int8-runtime"].iter().any(|c| source.path.contains(c));
    let is_colon = |at: usize| source.tokens.get(at).is_some_and(|token| token.text == ":");
    for (at, token) in source.tokens.iter().enumerate().filter(|(_, token)| !token.test) {
        let goes_on = at >= 2 && is_colon(at - 1) && is_colon(at - 2);
        let is_path = is_colon(at + 1) && is_colon(at + 2) && !goes_on;
        match token.text.as_str() {
            "std" | "alloc" if is_path && !is_host => {
                findings.push((token.line, format!("`{}` on the device", token.text)));
            }
            "f32" | "f64" if integer => {
                findings.push((token.line, format!("`{}` in integer code", token.text)));
            }
            _ => {}
        }
    }
    findings
}

fn at_lines(source: &Source, texts: &[&str], reason: &str) -> Findings {
    source.find(texts).into_iter().map(|at| (source.tokens[at].line, reason.to_owned())).collect()
}
