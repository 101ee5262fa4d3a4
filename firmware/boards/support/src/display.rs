//! A board's display: an SSD1306 on the I2C of the camera's sensor.
//!
//! Owns how the two share the bus. The driver is the application's.

use core::cell::RefCell;
use embedded_hal::i2c::I2c;
use embedded_hal_bus::i2c::RefCellDevice;
use resmcu_device_app::{Oled, Panel};
use static_cell::StaticCell;

/// The bus for the camera's sensor, and a display on it beside `light`. Whether one is there is
/// seen now: the bus needs its pull-up resistors, so that nobody's silence is heard.
pub fn share<B: I2c + 'static, L: Panel>(
    bus: B,
    place: &'static StaticCell<RefCell<B>>,
    light: L,
) -> (impl I2c + use<B, L>, impl Panel + use<B, L>) {
    let bus = place.init(RefCell::new(bus));
    let display = Oled::on_i2c(RefCellDevice::new(bus), light);
    if display.is_there() {
        defmt::info!("a display shows the answers");
    }
    (RefCellDevice::new(bus), display)
}
