//! Names the passes that the target's core can run: the compiler's own names for what a core has
//! (`target_feature`) do not tell them apart.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-env-changed=TARGET");
    println!(
        "cargo:rustc-check-cfg=cfg(resmcu_passes, values(\"armv6m\", \"armv7em\", \"armv7m\", \
         \"rv32\", \"portable\"))"
    );
    let target = std::env::var("TARGET").unwrap_or_default();
    println!("cargo:rustc-cfg=resmcu_passes=\"{}\"", passes(&target));
}

/// The passes for a target, as rustc names it.
fn passes(target: &str) -> &'static str {
    let core = target.split('-').next().unwrap_or_default();
    let is_bare = target.contains("-none");
    match core {
        // A Cortex-M with an FPU has the DSP extension too: M4F, M7, M33F, M55.
        _ if is_bare && core.starts_with("thumb") && target.ends_with("eabihf") => "armv7em",
        "thumbv7m" | "thumbv7em" | "thumbv8m.main" if is_bare => "armv7m",
        "thumbv6m" | "thumbv8m.base" if is_bare => "armv6m",
        // With the extension M, and with more registers than RV32E.
        _ if is_bare && core.starts_with("riscv32im") => "rv32",
        _ => "portable",
    }
}
