//! Log lines: defmt's where the feature is on, otherwise nothing.

/// One line of the log, at a level of defmt's.
macro_rules! log {
    ($level:ident, $($line:tt)*) => {{
        #[cfg(feature = "defmt")]
        defmt::$level!($($line)*);
        #[cfg(not(feature = "defmt"))]
        let _ = stringify!($level);
    }};
}

pub(crate) use log;
