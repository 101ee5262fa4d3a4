//! As much of GDB's remote protocol as a test needs: breakpoints, memory and a reset of an emulated
//! board.

use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::time::Duration;

/// Numbers of registers.
pub(crate) const SP: usize = 13;
pub(crate) const PC: usize = 15;

/// Bytes of memory in one packet.
const PIECE: usize = 1024;

/// The debugger's end.
pub(crate) struct Gdb {
    stream: TcpStream,
    pending: Vec<u8>,
}

/// A socket that QEMU connects to, and the arguments that make it do so, stopped at its reset.
pub(crate) fn listen() -> (TcpListener, [String; 5]) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    let chardev = format!("socket,id=gdb,host=127.0.0.1,port={port},nodelay=on");
    let words = ["-S", "-chardev", &chardev, "-gdb", "chardev:gdb"];
    (listener, words.map(str::to_owned))
}

impl Gdb {
    pub(crate) fn accept(listener: &TcpListener) -> Self {
        let (stream, _) = listener.accept().unwrap();
        stream.set_nodelay(true).unwrap();
        Self { stream, pending: Vec::new() }
    }

    /// Stops at `address`, or no longer does.
    pub(crate) fn breakpoint(&mut self, address: u64, is_set: bool) {
        let command = if is_set { 'Z' } else { 'z' };
        assert_eq!(self.ask(&format!("{command}0,{address:x},2")), "OK");
    }

    /// Lets the board run.
    pub(crate) fn go(&mut self) {
        self.send("c");
    }

    /// Runs one instruction.
    pub(crate) fn step(&mut self) {
        self.send("s");
        while !self.stopped(Duration::from_secs(10)) {}
    }

    /// Whether the board stops within `patience`.
    pub(crate) fn stopped(&mut self, patience: Duration) -> bool {
        self.packet(patience).is_some_and(|packet| packet.starts_with('T'))
    }

    /// Stops the board where it is.
    pub(crate) fn interrupt(&mut self) {
        self.stream.write_all(&[3]).unwrap();
        assert!(self.stopped(Duration::from_secs(10)), "it does not stop");
    }

    /// Has a stopped Cortex-M begin from its vector table at address 0, as a reset does.
    pub(crate) fn begin_anew(&mut self) {
        let vectors = self.read(0, 8);
        let mut registers = bytes(&self.ask("g"));
        registers[4 * SP..4 * SP + 4].copy_from_slice(&vectors[..4]);
        registers[4 * PC..4 * PC + 4].copy_from_slice(&vectors[4..]);
        registers[4 * PC] &= !1; // less the Thumb bit
        let hex: String = registers.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(self.ask(&format!("G{hex}")), "OK");
    }

    /// The registers r0 to pc.
    pub(crate) fn registers(&mut self) -> [u32; 16] {
        let answer = bytes(&self.ask("g"));
        std::array::from_fn(|at| u32::from_le_bytes(answer[4 * at..4 * at + 4].try_into().unwrap()))
    }

    /// Asks for the description of the core, without which QEMU does not serve single registers.
    pub(crate) fn describe(&mut self) {
        assert!(self.ask("qXfer:features:read:target.xml:0,ffb").contains("<target>"));
    }

    /// One register, after [`Self::describe`]: r0 to pc by their numbers, xPSR as 25.
    pub(crate) fn register(&mut self, number: usize) -> u32 {
        let answer = bytes(&self.ask(&format!("p{number:x}")));
        u32::from_le_bytes(answer.try_into().unwrap())
    }

    pub(crate) fn set_register(&mut self, number: usize, value: u32) {
        let hex: String = value.to_le_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(self.ask(&format!("P{number:x}={hex}")), "OK");
    }

    pub(crate) fn read(&mut self, address: u64, length: usize) -> Vec<u8> {
        self.try_read(address, length).expect("memory")
    }

    /// `None` where there is no memory.
    pub(crate) fn try_read(&mut self, address: u64, length: usize) -> Option<Vec<u8>> {
        let mut memory = Vec::with_capacity(length);
        for at in (0..length).step_by(PIECE) {
            let count = PIECE.min(length - at);
            let answer = self.ask(&format!("m{:x},{count:x}", address + at as u64));
            if answer.len() != 2 * count {
                return None;
            }
            memory.extend(bytes(&answer));
        }
        Some(memory)
    }

    pub(crate) fn write(&mut self, address: u64, memory: &[u8]) {
        self.try_write(address, memory).expect("memory");
    }

    /// `None` where there is no memory.
    pub(crate) fn try_write(&mut self, address: u64, memory: &[u8]) -> Option<()> {
        for (index, piece) in memory.chunks(PIECE).enumerate() {
            let hex: String = piece.iter().map(|byte| format!("{byte:02x}")).collect();
            let at = address + (index * PIECE) as u64;
            if self.ask(&format!("M{at:x},{:x}:{hex}", piece.len())) != "OK" {
                return None;
            }
        }
        Some(())
    }

    fn ask(&mut self, command: &str) -> String {
        self.send(command);
        self.packet(Duration::from_secs(10)).expect("an answer")
    }

    fn send(&mut self, command: &str) {
        let sum = command.bytes().fold(0u8, u8::wrapping_add);
        self.stream.write_all(format!("${command}#{sum:02x}").as_bytes()).unwrap();
    }

    /// The next packet, acknowledged, if one comes within `patience`.
    fn packet(&mut self, patience: Duration) -> Option<String> {
        loop {
            let begin = self.pending.iter().position(|&byte| byte == b'$');
            let end = self.pending.iter().position(|&byte| byte == b'#');
            if let (Some(begin), Some(end)) = (begin, end)
                && self.pending.len() > end + 2
            {
                let packet = String::from_utf8(self.pending[begin + 1..end].to_vec()).unwrap();
                self.pending.drain(..end + 3);
                self.stream.write_all(b"+").unwrap();
                return Some(packet);
            }
            let mut chunk = [0; 4096];
            self.stream.set_read_timeout(Some(patience)).unwrap();
            match self.stream.read(&mut chunk) {
                Ok(0) => panic!("QEMU closed the debugger's line"),
                Ok(count) => self.pending.extend_from_slice(&chunk[..count]),
                Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                    return None;
                }
                Err(error) => panic!("{error}"),
            }
        }
    }
}

fn bytes(hex: &str) -> Vec<u8> {
    let digits = hex.as_bytes().chunks_exact(2);
    digits.map(|pair| u8::from_str_radix(str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
}
