//! A Rust file as lines and as tokens: what a rule looks at.
//!
//! Tokens come from a lexer, so comments and strings are never taken for code. Each knows its line
//! and whether it belongs to tests (an item under `#[test]` or `#[cfg(test)]`).

use std::str::FromStr;

use proc_macro2::{Delimiter, Group, TokenStream, TokenTree};

/// A token: a word, a sign or a bracket.
pub(super) struct Token {
    pub(super) text: String,
    pub(super) line: usize,
    pub(super) test: bool,
}

/// Where a function begins and ends.
pub(super) struct Function {
    pub(super) name: String,
    pub(super) first_line: usize,
    pub(super) last_line: usize,
}

/// One file.
pub(super) struct Source {
    /// From the root of the repository, with `/`.
    pub(super) path: String,
    pub(super) lines: Vec<String>,
    pub(super) tokens: Vec<Token>,
    pub(super) functions: Vec<Function>,
}

impl Source {
    /// Lexes a file; what is no Rust has no tokens.
    pub(super) fn new(path: &str, text: &str) -> Self {
        let lines = text.lines().map(str::to_owned).collect();
        let (tokens, functions) = (Vec::new(), Vec::new());
        let mut source = Self { path: path.to_owned(), lines, tokens, functions };
        if source.is_rust() {
            let stream = TokenStream::from_str(text);
            let stream = stream.unwrap_or_else(|e| panic!("{path}:{}: {e}", e.span().start().line));
            let test = source.is_test_file();
            source.flatten(stream, test);
        }
        source
    }

    pub(super) fn is_rust(&self) -> bool {
        self.path.ends_with(".rs")
    }

    /// Whether the file holds nothing but tests or what they share.
    pub(super) fn is_test_file(&self) -> bool {
        let is_in_tests = self.path.starts_with("tests/") || self.path.contains("/tests/");
        is_in_tests || self.path.ends_with("tests.rs")
    }

    /// The places where `texts` follow each other, as indices of their first token.
    pub(super) fn find(&self, texts: &[&str]) -> Vec<usize> {
        let is_match = |window: &[Token]| window.iter().zip(texts).all(|(t, text)| t.text == *text);
        let windows = self.tokens.windows(texts.len()).enumerate();
        windows.filter(|(_, window)| is_match(window)).map(|(at, _)| at).collect()
    }

    fn push(&mut self, text: String, line: usize, test: bool) {
        self.tokens.push(Token { text, line, test });
    }

    fn flatten(&mut self, stream: TokenStream, in_test: bool) {
        let trees: Vec<TokenTree> = stream.into_iter().collect();
        // An attribute for tests holds until the end of the item that it stands before.
        let (mut in_test, mut item_is_test) = (in_test, false);
        for (at, tree) in trees.iter().enumerate() {
            let test = in_test || item_is_test;
            match tree {
                TokenTree::Group(group) => {
                    let signs: String = trees[..at].iter().rev().take(2).map(sign).collect();
                    match signs.as_str() {
                        "!#" => in_test |= marks_tests(group),
                        signs if signs.starts_with('#') => item_is_test |= marks_tests(group),
                        _ => {}
                    }
                    self.flatten_group(group, test);
                    item_is_test &= group.delimiter() != Delimiter::Brace;
                }
                other => {
                    let text = other.to_string();
                    item_is_test &= text != ";";
                    if text == "fn" {
                        self.functions.extend(function(&trees[at..]));
                    }
                    self.push(text, other.span().start().line, test);
                }
            }
        }
    }

    fn flatten_group(&mut self, group: &Group, test: bool) {
        let (open, close) = match group.delimiter() {
            Delimiter::Parenthesis => ("(", ")"),
            Delimiter::Brace => ("{", "}"),
            Delimiter::Bracket => ("[", "]"),
            Delimiter::None => ("", ""),
        };
        self.push(open.to_owned(), group.span_open().start().line, test);
        self.flatten(group.stream(), test);
        self.push(close.to_owned(), group.span_close().start().line, test);
    }
}

/// The sign that a token is, or a space.
fn sign(tree: &TokenTree) -> char {
    let TokenTree::Punct(sign) = tree else { return ' ' };
    sign.as_char()
}

/// The function that begins with `trees[0]`, unless it has no body.
fn function(trees: &[TokenTree]) -> Option<Function> {
    let TokenTree::Ident(name) = trees.get(1)? else { return None };
    for tree in &trees[2..] {
        match tree {
            TokenTree::Group(group) if group.delimiter() == Delimiter::Brace => {
                return Some(Function {
                    name: name.to_string(),
                    first_line: trees[0].span().start().line,
                    last_line: group.span_close().start().line,
                });
            }
            TokenTree::Punct(sign) if sign.as_char() == ';' => return None,
            _ => {}
        }
    }
    None
}

/// Whether the brackets of an attribute say `test` or `cfg(test)`.
fn marks_tests(attribute: &Group) -> bool {
    let text = attribute.stream().to_string().replace(' ', "");
    text == "test" || (text.starts_with("cfg(") && text.contains("test") && !text.contains("not("))
}
