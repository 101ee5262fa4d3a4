#![no_std]
//! Integer operators of residual networks on slices.
