//! A model file as an array in source code, for firmware that does not read files.
//!
//! The array is aligned as the format demands, so that weights are read in place.

use resmcu_model_format::{ALIGNMENT, ModelFile, VERSION};
use std::fmt::Write;

/// Bytes on a line.
const COLUMNS: usize = 12;

/// The language of an array.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Language {
    /// C11, in one file that is both header and definition.
    C,
    /// Rust, as a module.
    Rust,
}

/// The source code of `bytes`, which `model` is read from.
#[must_use]
pub fn array(language: Language, bytes: &[u8], model: &ModelFile<'_>) -> String {
    let (header, name) = (model.header(), identifier(model.header().name));
    let mut text = String::with_capacity(bytes.len() * 6);
    let about = [
        format!("Model `{}`, CRC-32 {:08x}, format {VERSION}.", one_line(header.name), model.crc()),
        format!("{} bytes, aligned to {ALIGNMENT}.", bytes.len()),
        format!("Arena {} bytes, scratch {} bytes.", header.arena_bytes, header.scratch_bytes),
        format!("Written by {}; do not edit.", one_line(header.producer)),
    ];
    let end = match language {
        Language::C => {
            about.iter().for_each(|line| line_of(&mut text, &format!("// {line}")));
            c_head(&mut text, &name, bytes.len(), model);
            "};\n"
        }
        Language::Rust => {
            about.iter().for_each(|line| line_of(&mut text, &format!("//! {line}")));
            rust_head(&mut text, &name, bytes.len(), model);
            "]);\n"
        }
    };
    for row in bytes.chunks(COLUMNS) {
        text.push_str("   ");
        for byte in row {
            // Writing to a string does not fail.
            let _ = write!(text, " 0x{byte:02x},");
        }
        text.push('\n');
    }
    text.push_str(end);
    text
}

fn line_of(text: &mut String, line: &str) {
    text.push_str(line);
    text.push('\n');
}

fn c_head(text: &mut String, name: &str, bytes: usize, model: &ModelFile<'_>) {
    let upper = name.to_uppercase();
    let header = model.header();
    let (arena, scratch) = (header.arena_bytes, header.scratch_bytes);
    let lines = [
        String::new(),
        "#include <stdalign.h>".to_owned(),
        "#include <stdint.h>".to_owned(),
        String::new(),
        format!("#define {upper}_BYTES {bytes}u"),
        format!("#define {upper}_ARENA_BYTES {arena}u"),
        format!("#define {upper}_SCRATCH_BYTES {scratch}u"),
        format!("#define {upper}_CRC32 0x{:08x}u", model.crc()),
        String::new(),
        format!("static alignas({ALIGNMENT}) const uint8_t {name}[{upper}_BYTES] = {{"),
    ];
    lines.iter().for_each(|line| line_of(text, line));
}

fn rust_head(text: &mut String, name: &str, bytes: usize, model: &ModelFile<'_>) {
    let upper = name.to_uppercase();
    let header = model.header();
    let lines = [
        String::new(),
        "/// A model file at an address from which it can be read in place.".to_owned(),
        format!("#[repr(C, align({ALIGNMENT}))]"),
        "pub struct Aligned(pub [u8; BYTES]);".to_owned(),
        String::new(),
        "/// Size of the model file in bytes.".to_owned(),
        format!("pub const BYTES: usize = {bytes};"),
        "/// Memory of the activations in bytes.".to_owned(),
        format!("pub const ARENA_BYTES: usize = {};", header.arena_bytes),
        "/// Working memory of the kernels in bytes, which follows the arena.".to_owned(),
        format!("pub const SCRATCH_BYTES: usize = {};", header.scratch_bytes),
        "/// CRC-32 of the model file, which it carries too.".to_owned(),
        format!("pub const CRC32: u32 = 0x{:08x};", model.crc()),
        String::new(),
        "/// The model file.".to_owned(),
        format!("pub static {upper}: Aligned = Aligned(["),
    ];
    lines.iter().for_each(|line| line_of(text, line));
}

/// A name that both languages take, of one that may be anything.
fn identifier(name: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '_' };
    format!("model_{}", name.chars().map(plain).collect::<String>())
}

/// Text that stays in its comment.
fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() || c == '\\' { '_' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_identifiers_and_comments_stay_on_their_line() {
        assert_eq!(identifier("resnet8-fashion"), "model_resnet8_fashion");
        assert_eq!(identifier("8 Ü\n"), "model_8___");
        assert_eq!(one_line("a\n#include \\"), "a_#include _");
    }
}
