#![no_std]
//! The model file: records, weights, checks.
