//! The operators, one a file, generic Rust.

pub mod add;
pub mod average_pool2d;
pub mod conv2d;
pub mod fully_connected;
pub mod global_mean;
pub mod global_sum;
pub mod max_pool2d;
pub mod softmax;
pub mod subsample_pad;
