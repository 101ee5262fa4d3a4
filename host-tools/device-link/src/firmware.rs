//! The firmware's ELF: its log table, its slots, its bytes, and what it takes of flash and RAM.

use crate::error::LinkError;
use crate::target::Target;
use defmt_decoder::Table;
use object::elf::{FileHeader32, PT_LOAD};
use object::read::elf::{FileHeader, ProgramHeader};
use object::{Endianness, Object, ObjectSection, ObjectSymbol, SectionFlags, SectionKind};
use resmcu_model_slots::HEADER_BYTES;
use std::ops::Range;
use std::path::{Path, PathBuf};

/// A firmware image that was read and looks like one of ours.
pub struct Firmware {
    table: Table,
    sizes: ImageSizes,
    image: Image,
}

/// What of a firmware lies where on its board.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image {
    /// The ELF file.
    pub path: PathBuf,
    /// Where its memory map has the two slots for models; the second may be empty.
    pub slots: [Range<u64>; 2],
    /// What is loaded: addresses in flash, and the bytes that go there.
    pub segments: Vec<(u64, Vec<u8>)>,
}

/// What the linked image takes, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ImageSizes {
    /// Flash: code, constants and the initial values of variables.
    pub flash: u64,
    /// Statics in RAM, without the arena and the plan.
    pub statics: u64,
    /// The arena.
    pub arena: u64,
    /// The table of decoded steps.
    pub plan: u64,
    /// The stack's region.
    pub stack: u64,
}

impl Firmware {
    /// Reads the ELF file at `path`.
    ///
    /// # Errors
    /// Where it cannot be read or is no image of `firmware/boards`.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, LinkError> {
        let path = path.as_ref().to_owned();
        let refuse = |reason: String| LinkError::Firmware { path: path.clone(), reason };
        let bytes = std::fs::read(&path).map_err(|error| refuse(error.to_string()))?;
        let (slots, sizes) = layout(&bytes).map_err(&refuse)?;
        let segments = segments(&bytes).map_err(&refuse)?;
        let table = Table::parse(&bytes).map_err(|error| refuse(error.to_string()))?;
        let table = table.ok_or_else(|| refuse("it has no defmt log table".into()))?;
        Ok(Self { table, sizes, image: Image { path, slots, segments } })
    }

    /// Where it was read.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.image.path
    }

    /// What it takes of flash and RAM.
    #[must_use]
    pub fn sizes(&self) -> ImageSizes {
        self.sizes
    }

    /// Its bytes, and where they and the models go.
    #[must_use]
    pub fn image(&self) -> &Image {
        &self.image
    }

    /// The address of a symbol of it.
    #[must_use]
    pub fn symbol(&self, name: &str) -> Option<u64> {
        let bytes = std::fs::read(self.path()).ok()?;
        let file = object::File::parse(&*bytes).ok()?;
        file.symbols().find(|symbol| symbol.name() == Ok(name)).map(|symbol| symbol.address())
    }

    /// The table of its log lines.
    pub(crate) fn table(&self) -> Table {
        self.table.clone()
    }

    /// That it is a build of `target`'s memory map.
    pub(crate) fn check_slot(&self, target: &Target) -> Result<(), LinkError> {
        let end = target.slot_address + u64::from(HEADER_BYTES) + target.slot_bytes;
        let expected = target.slot_address..end;
        let Image { path, slots: [slot, _], .. } = &self.image;
        if *slot == expected {
            return Ok(());
        }
        Err(LinkError::Firmware {
            path: path.clone(),
            reason: format!(
                "its first model slot is {:#x} to {:#x}, and that of {} is {:#x} to {:#x}",
                slot.start, slot.end, target.name, expected.start, expected.end
            ),
        })
    }
}

/// The bytes of every segment that is loaded, by its physical address: initial values of variables
/// lie in flash.
fn segments(bytes: &[u8]) -> Result<Vec<(u64, Vec<u8>)>, String> {
    let text = |error: object::Error| error.to_string();
    let header = FileHeader32::<Endianness>::parse(bytes).map_err(text)?;
    let endian = header.endian().map_err(text)?;
    let mut segments = Vec::new();
    for segment in header.program_headers(endian, bytes).map_err(text)? {
        let data = segment.data(endian, bytes);
        let data = data.map_err(|()| "a segment passes the end of the file".to_owned())?;
        if segment.p_type(endian) == PT_LOAD && !data.is_empty() {
            segments.push((segment.p_paddr(endian).into(), data.to_vec()));
        }
    }
    Ok(segments)
}

fn layout(bytes: &[u8]) -> Result<([Range<u64>; 2], ImageSizes), String> {
    let file = object::File::parse(bytes).map_err(|error| error.to_string())?;
    let symbol = |name: &'static str| {
        file.symbols()
            .find(|symbol| symbol.name() == Ok(name))
            .ok_or_else(|| format!("it has no symbol `{name}`: is it an image of firmware/boards?"))
    };
    let address = |name| symbol(name).map(|symbol| symbol.address());
    let [arena, plan] = [symbol("resmcu_arena")?.size(), symbol("resmcu_plan")?.size()];
    let stack = address("_stack_start")?.saturating_sub(address("_stack_end")?);
    let (mut flash, mut statics) = (0, 0);
    for section in file.sections() {
        let in_file = !matches!(section.kind(), SectionKind::UninitializedData);
        if in_file && is_loaded(section.flags()) {
            flash += section.size();
        }
        if matches!(section.name(), Ok(".data" | ".bss" | ".uninit")) {
            statics += section.size();
        }
    }
    let statics = statics.saturating_sub(arena + plan);
    let sizes = ImageSizes { flash, statics, arena, plan, stack };
    let middle = address("_model_middle")?;
    Ok(([address("_model_start")?..middle, middle..address("_model_end")?], sizes))
}

/// Whether a section is part of the running program.
fn is_loaded(flags: SectionFlags) -> bool {
    match flags {
        SectionFlags::Elf { sh_flags, .. } => sh_flags.0 & object::elf::SHF_ALLOC.0 != 0,
        _ => false,
    }
}
