//! The page that specifies the protocol against the code that speaks it: the number and the name of
//! every message, its fields, and every error code.

use proc_macro2::{Delimiter, Group, Spacing, TokenStream, TokenTree};
use std::collections::BTreeSet;
use std::path::Path;

const PAGE: &str = "firmware/wire-protocol/README.md";
const MESSAGES: &str = "firmware/wire-protocol/src/message.rs";

fn read(path: &str) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the repository");
    std::fs::read_to_string(root.join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// What stands in braces after `enum NAME`, generics skipped.
fn body(source: &str, name: &str) -> Group {
    let tokens: TokenStream = source.parse().expect("Rust");
    let mut tokens = tokens.into_iter().skip_while(|token| token.to_string() != name);
    tokens
        .find_map(|token| match token {
            TokenTree::Group(group) if group.delimiter() == Delimiter::Brace => Some(group),
            _ => None,
        })
        .unwrap_or_else(|| panic!("no {name} in {MESSAGES}"))
}

/// Names at the begin of the parts between commas, attributes skipped, each with its own braces.
fn names(group: &Group) -> Vec<(String, Option<Group>)> {
    let mut names: Vec<(String, Option<Group>)> = Vec::new();
    let mut is_begin = true;
    for token in group.stream() {
        match token {
            TokenTree::Punct(mark) if mark.as_char() == ',' => is_begin = true,
            TokenTree::Ident(name) if is_begin => {
                names.push((name.to_string(), None));
                is_begin = false;
            }
            TokenTree::Group(fields) if !is_begin && fields.delimiter() == Delimiter::Brace => {
                names.last_mut().expect("its name came before").1 = Some(fields);
            }
            _ => {}
        }
    }
    names
}

/// Names before a colon that is no path's.
fn fields_of(group: &Group) -> Vec<String> {
    let tokens: Vec<TokenTree> = group.stream().into_iter().collect();
    let name = |pair: &[TokenTree]| match pair {
        [TokenTree::Ident(name), TokenTree::Punct(mark)]
            if mark.as_char() == ':' && mark.spacing() == Spacing::Alone =>
        {
            Some(name.to_string())
        }
        _ => None,
    };
    tokens.windows(2).filter_map(name).collect()
}

/// Rows of the table whose heading begins with `| # | HEADING |`.
fn rows<'p>(page: &'p str, heading: &str) -> Vec<&'p str> {
    let start = page.find(&format!("| # | {heading} |")).expect("the table is there");
    page[start..].lines().skip(2).take_while(|line| line.starts_with('|')).collect()
}

/// Every variant has its row, in order, which names the variant's fields.
#[track_caller]
fn check(name: &str, heading: &str) {
    let (page, source) = (read(PAGE), read(MESSAGES));
    let (rows, variants) = (rows(&page, heading), names(&body(&source, name)));
    assert_eq!(rows.len(), variants.len(), "{PAGE} has another number of {heading}s than {name}");
    for (number, (row, (variant, fields))) in rows.iter().zip(&variants).enumerate() {
        assert!(row.starts_with(&format!("| {number} | `{variant}` |")), "{variant}: {row}");
        for field in fields.iter().flat_map(fields_of) {
            assert!(row.contains(&field), "{variant} has `{field}`: {row}");
        }
    }
}

#[test]
fn every_message_and_refusal_stands_on_the_page() {
    check("Request", "request");
    check("Response", "response");
    check("Refusal", "refusal");
    let version = resmcu_wire_protocol::PROTOCOL_VERSION;
    assert!(read(PAGE).contains(&format!("\nVersion {version}. ")), "the version is {version}");
}

/// Numbers after `=>` in the functions `code` of the loader's errors.
fn codes(path: &str) -> BTreeSet<u16> {
    let source = read(path);
    let body = source.split("fn code(").nth(1).expect("it gives codes");
    let body = body.split("\n    }").next().expect("it ends");
    let number = |line: &str| line.split("=> ").nth(1)?.trim_end_matches(',').parse().ok();
    body.lines().filter_map(number).collect()
}

#[test]
fn every_load_error_stands_on_the_page() {
    let mut codes_of_code = codes("firmware/model-format/src/error.rs");
    codes_of_code.append(&mut codes("firmware/int8-runtime/src/error.rs"));
    let page = read(PAGE);
    let table = page.split("### Load errors").nth(1).expect("the table is there");
    let table = table.split("\n## ").next().expect("it ends");
    let rows = table.lines().filter_map(|line| line.strip_prefix("| ")?.split(" |").next());
    let codes_of_page = rows.flat_map(|row| row.split(", ")).filter_map(|code| code.parse().ok());
    assert!(codes_of_code.len() > 20, "{codes_of_code:?}");
    assert_eq!(codes_of_page.collect::<BTreeSet<u16>>(), codes_of_code);
}
