//! A queue between a serial port's interrupt and the application.
//!
//! The interrupt puts bytes in and never waits; the application takes them out, and does what
//! `idle` says (sleep until an interrupt) while there are none. A byte that comes between the look
//! into the queue and the sleep ends the sleep: both are one critical section, in which the
//! interrupt stays pending, and that wakes a core as well (`wfi` of Arm and of RISC-V, and Arm's
//! `wfe` where SEVONPEND is set). A queue that holds a frame is never full: the host waits for its
//! answer. What finds one full is dropped and counted: the frame that it belonged to fails its CRC,
//! and the host sends it again.

use embedded_io::{ErrorType, Read, ReadReady, Write};
use heapless::spsc::{Consumer, Producer, Queue};
use portable_atomic::{AtomicU32, Ordering};

/// The queue: `N - 1` bytes wait in it at most.
pub struct SerialQueue<const N: usize> {
    bytes: Queue<u8, N>,
    dropped: AtomicU32,
}

impl<const N: usize> Default for SerialQueue<N> {
    fn default() -> Self {
        Self::new()
    }
}

impl<const N: usize> SerialQueue<N> {
    /// An empty queue.
    #[must_use]
    pub const fn new() -> Self {
        Self { bytes: Queue::new(), dropped: AtomicU32::new(0) }
    }

    /// The interrupt's end, and the application's: a serial port that sends by `sender`, and does
    /// `idle`, with interrupts masked, while there is nothing to read.
    pub fn split<W: Write, I: FnMut()>(
        &mut self,
        sender: W,
        idle: I,
    ) -> (Received<'_>, QueuedSerial<'_, W, I>) {
        let (producer, consumer) = self.bytes.split();
        let dropped = &self.dropped;
        (Received { producer, dropped }, QueuedSerial { consumer, dropped, sender, idle })
    }
}

/// The interrupt's end.
pub struct Received<'q> {
    producer: Producer<'q, u8>,
    dropped: &'q AtomicU32,
}

impl Received<'_> {
    /// A byte came.
    pub fn push(&mut self, byte: u8) {
        if self.producer.enqueue(byte).is_err() {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// The application's end.
pub struct QueuedSerial<'q, W, I> {
    consumer: Consumer<'q, u8>,
    dropped: &'q AtomicU32,
    sender: W,
    idle: I,
}

impl<W, I> QueuedSerial<'_, W, I> {
    /// Bytes that found the queue full.
    pub fn dropped(&self) -> u32 {
        self.dropped.load(Ordering::Relaxed)
    }
}

impl<W: ErrorType, I> ErrorType for QueuedSerial<'_, W, I> {
    type Error = W::Error;
}

impl<W: ErrorType, I: FnMut()> Read for QueuedSerial<'_, W, I> {
    fn read(&mut self, chunk: &mut [u8]) -> Result<usize, W::Error> {
        if chunk.is_empty() {
            return Ok(0);
        }
        let Self { consumer, idle, .. } = self;
        let mut sleep = || {
            critical_section::with(|_| {
                let is_empty = !consumer.ready();
                if is_empty {
                    idle();
                }
                is_empty
            })
        };
        while sleep() {}
        let mut received = 0;
        for slot in chunk {
            let Some(byte) = self.consumer.dequeue() else { break };
            *slot = byte;
            received += 1;
        }
        Ok(received)
    }
}

impl<W: ErrorType, I> ReadReady for QueuedSerial<'_, W, I> {
    fn read_ready(&mut self) -> Result<bool, W::Error> {
        Ok(self.consumer.ready())
    }
}

impl<W: Write, I> Write for QueuedSerial<'_, W, I> {
    fn write(&mut self, bytes: &[u8]) -> Result<usize, W::Error> {
        self.sender.write(bytes)
    }

    fn flush(&mut self) -> Result<(), W::Error> {
        self.sender.flush()
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use embedded_io::ErrorType;
    use std::cell::Cell;
    use std::convert::Infallible;
    use std::vec::Vec;

    struct Sink(Vec<u8>);

    impl ErrorType for Sink {
        type Error = Infallible;
    }

    impl Write for Sink {
        fn write(&mut self, bytes: &[u8]) -> Result<usize, Infallible> {
            self.0.extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> Result<(), Infallible> {
            Ok(())
        }
    }

    #[test]
    fn bytes_come_out_in_order_and_what_does_not_fit_is_counted() {
        let mut queue = SerialQueue::<5>::new();
        let (mut interrupt, mut serial) =
            queue.split(Sink(Vec::new()), || panic!("bytes are there"));
        (1..=6).for_each(|byte| interrupt.push(byte));
        assert_eq!((serial.dropped(), serial.read_ready()), (2, Ok(true)));
        let mut chunk = [0; 3];
        assert_eq!((serial.read(&mut []), serial.read(&mut chunk)), (Ok(0), Ok(3)));
        assert_eq!(chunk, [1, 2, 3]);
        interrupt.push(7);
        assert_eq!((serial.read(&mut chunk), chunk), (Ok(2), [4, 7, 3]));
        assert_eq!(serial.read_ready(), Ok(false));
        assert_eq!(serial.write_all(b"out"), Ok(()));
        assert_eq!(serial.sender.0, b"out");
    }

    #[test]
    fn an_empty_queue_is_waited_for() {
        let mut queue = SerialQueue::<3>::new();
        let (interrupt, waited) = (Cell::new(None::<Received<'_>>), Cell::new(0));
        let (received, mut serial) = queue.split(Sink(Vec::new()), || {
            waited.set(waited.get() + 1);
            let mut received = interrupt.take().expect("the interrupt's end");
            if waited.get() == 3 {
                received.push(9);
            }
            interrupt.set(Some(received));
        });
        interrupt.set(Some(received));
        let mut chunk = [0; 4];
        assert_eq!(serial.read(&mut chunk), Ok(1));
        assert_eq!((waited.get(), chunk[0]), (3, 9));
    }
}
