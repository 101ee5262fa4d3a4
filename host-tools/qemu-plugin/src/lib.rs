//! A TCG plugin for QEMU: how often every instruction was executed, in sections, and how much was
//! loaded from flash.
//!
//! Arguments: `mark=ADDRESS` (hexadecimal, of a function), `out=FILE`, and any number of
//! `flash=START-END` (hexadecimal). A section ends and the next begins when the function at `mark`
//! is entered; the firmware calls it to read its counter, so sections are the spans that the
//! firmware itself measures. FILE is written when QEMU ends:
//!
//! ```text
//! section LOADS
//! START END INSTRUCTIONS EXECUTED TAKEN
//! ```
//!
//! LOADS counts the loads of data from the given ranges, those of more than a word by their words;
//! fetching an instruction is none. Then comes a line a translation block that ran in the section,
//! in order of address: its first byte and the byte after its last in hexadecimal, its number of
//! instructions, how often it ran, and how often something other than the byte after it followed.
//!
//! Owns the calls of QEMU's plugin interface (`qemu-plugin.h`), the few that its versions have in
//! common; QEMU 7.2 is what it ran with. Does not know what an instruction is: whoever reads FILE
//! decodes the ELF. One virtual processor is assumed; with more, counts are of all, and TAKEN means
//! nothing.
#![expect(unsafe_code, reason = "an interface of C")]

mod counts;

use counts::Counts;
use std::ffi::{CStr, c_char, c_int, c_uint, c_void};
use std::ops::Range;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The interface's version that is claimed. QEMU reads it before it calls anything here.
///
/// 7 and 8 take 0 to 1, 9 and later 2 and up; [`claim_version`] sees which of them loads this.
#[unsafe(no_mangle)]
static mut qemu_plugin_version: c_int = 1;

/// Runs when the library is loaded, before QEMU looks at the version.
#[used]
#[cfg_attr(not(target_os = "macos"), unsafe(link_section = ".init_array"))]
#[cfg_attr(target_os = "macos", unsafe(link_section = "__DATA,__mod_init_func"))]
static CLAIM_VERSION: extern "C" fn() = claim_version;

extern "C" fn claim_version() {
    // SAFETY: `dlsym` looks a name up in the program that loads this library.
    let found = unsafe { dlsym(std::ptr::null_mut(), c"qemu_plugin_scoreboard_new".as_ptr()) };
    if !found.is_null() {
        // SAFETY: nobody else runs code of this library while it is being loaded.
        unsafe { qemu_plugin_version = 2 };
    }
}

type Block = *mut c_void;
type Id = u64;

unsafe extern "C" {
    fn dlsym(handle: *mut c_void, name: *const c_char) -> *mut c_void;
    fn qemu_plugin_register_vcpu_tb_trans_cb(id: Id, callback: extern "C" fn(Id, Block));
    fn qemu_plugin_register_vcpu_tb_exec_cb(
        block: Block,
        callback: extern "C" fn(c_uint, *mut c_void),
        registers: c_int,
        data: *mut c_void,
    );
    fn qemu_plugin_register_vcpu_mem_cb(
        instruction: *mut c_void,
        callback: extern "C" fn(c_uint, u32, u64, *mut c_void),
        registers: c_int,
        accesses: c_int,
        data: *mut c_void,
    );
    fn qemu_plugin_mem_size_shift(access: u32) -> c_uint;
    fn qemu_plugin_mem_is_store(access: u32) -> bool;
    fn qemu_plugin_register_atexit_cb(
        id: Id,
        callback: extern "C" fn(Id, *mut c_void),
        data: *mut c_void,
    );
    fn qemu_plugin_tb_n_insns(block: Block) -> usize;
    fn qemu_plugin_tb_vaddr(block: Block) -> u64;
    fn qemu_plugin_tb_get_insn(block: Block, index: usize) -> *mut c_void;
    fn qemu_plugin_insn_vaddr(instruction: *const c_void) -> u64;
    fn qemu_plugin_insn_size(instruction: *const c_void) -> usize;
    fn qemu_plugin_outs(text: *const c_char);
}

/// What the callbacks share: they come from threads of QEMU.
struct State {
    counts: Counts,
    mark: u64,
    flash: Vec<Range<u64>>,
    out: PathBuf,
}

static STATE: Mutex<Option<State>> = Mutex::new(None);

fn state() -> MutexGuard<'static, Option<State>> {
    STATE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// QEMU's entry: gives 0 if the arguments are good.
///
/// # Safety
/// As `qemu-plugin.h` says: `arguments` are `count` strings.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn qemu_plugin_install(
    id: Id,
    _info: *const c_void,
    count: c_int,
    arguments: *const *const c_char,
) -> c_int {
    let texts = (0..usize::try_from(count).unwrap_or(0)).map(|index| {
        // SAFETY: QEMU's promise to this function.
        let text = unsafe { CStr::from_ptr(*arguments.add(index)) };
        text.to_string_lossy().into_owned()
    });
    let (mut mark, mut out, mut flash) = (None, None, Vec::new());
    for text in texts {
        match text.split_once('=') {
            Some(("mark", value)) => mark = address(value),
            Some(("out", value)) => out = Some(PathBuf::from(value)),
            Some(("flash", value)) => flash.extend(range(value)),
            _ => {}
        }
    }
    let (Some(mark), Some(out)) = (mark, out) else {
        // SAFETY: the text ends in zero.
        unsafe { qemu_plugin_outs(c"resmcu: wants mark=ADDRESS,out=FILE\n".as_ptr()) };
        return 1;
    };
    *state() = Some(State { counts: Counts::default(), mark, flash, out });
    // SAFETY: `id` is this plugin's; the callbacks have the types of `qemu-plugin.h`.
    unsafe {
        qemu_plugin_register_vcpu_tb_trans_cb(id, translated);
        qemu_plugin_register_atexit_cb(id, ended, std::ptr::null_mut());
    }
    0
}

fn address(text: &str) -> Option<u64> {
    u64::from_str_radix(text.trim_start_matches("0x"), 16).ok()
}

fn range(text: &str) -> Option<Range<u64>> {
    let (start, end) = text.split_once('-')?;
    Some(address(start)?..address(end)?)
}

/// No callback reads registers.
const NO_REGISTERS: c_int = 0;

/// A block was translated: it gets a number, which comes back each time it runs.
extern "C" fn translated(_id: Id, block: Block) {
    // SAFETY: `block` lives during this call, and its instructions too.
    let (start, instructions, end) = unsafe {
        let instructions = qemu_plugin_tb_n_insns(block);
        let last = qemu_plugin_tb_get_insn(block, instructions.saturating_sub(1));
        let end = qemu_plugin_insn_vaddr(last) + qemu_plugin_insn_size(last) as u64;
        (qemu_plugin_tb_vaddr(block), instructions as u64, end)
    };
    let mut state = state();
    let Some(state) = state.as_mut() else { return };
    let is_mark = start == state.mark;
    let number = state.counts.add_block(start, end, instructions, is_mark);
    let data = std::ptr::without_provenance_mut(number);
    // SAFETY: as above; `data` is a number that nobody takes for an address.
    unsafe { qemu_plugin_register_vcpu_tb_exec_cb(block, executed, NO_REGISTERS, data) };
    if state.flash.is_empty() {
        return;
    }
    // Of both kinds: QEMU 7.2 calls back for stores where only loads are asked for.
    const ACCESSES: c_int = 3;
    for index in 0..usize::try_from(instructions).unwrap_or(0) {
        // SAFETY: as above, and the block has an instruction of this index.
        unsafe {
            let instruction = qemu_plugin_tb_get_insn(block, index);
            let none = std::ptr::null_mut();
            qemu_plugin_register_vcpu_mem_cb(instruction, accessed, NO_REGISTERS, ACCESSES, none);
        }
    }
}

/// An instruction accessed `address`.
extern "C" fn accessed(_processor: c_uint, access: u32, address: u64, _data: *mut c_void) {
    // SAFETY: `access` is what QEMU gave to this call.
    if unsafe { qemu_plugin_mem_is_store(access) } {
        return;
    }
    if let Some(State { counts, flash, .. }) = state().as_mut()
        && flash.iter().any(|range| range.contains(&address))
    {
        // SAFETY: `access` is what QEMU gave to this call.
        let shift = unsafe { qemu_plugin_mem_size_shift(access) };
        counts.load(1 << shift.saturating_sub(2));
    }
}

/// Block number `data` begins to run.
extern "C" fn executed(_processor: c_uint, data: *mut c_void) {
    if let Some(state) = state().as_mut() {
        state.counts.execute(data.addr());
    }
}

/// QEMU ends.
extern "C" fn ended(_id: Id, _data: *mut c_void) {
    let Some(State { counts, out, .. }) = state().take() else { return };
    if let Err(error) = std::fs::write(&out, counts.finish()) {
        eprintln!("resmcu: {}: {error}", out.display());
    }
}
