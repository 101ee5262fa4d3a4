#![no_std]
//! Runs a planned int8 model in one static arena.
