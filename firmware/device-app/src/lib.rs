#![no_std]
//! The board-independent application.
