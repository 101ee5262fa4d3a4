//! Trains, quantizes, plans and runs residual networks on microcontrollers.
