#![no_std]
//! The messages between host and device.
